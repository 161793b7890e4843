//! Replies on their way to the person, in one of the [forms](super::forms).

use std::io::{self, Write};

use choria::core::client::{RequestStats, RpcReply};
use choria::core::ddl::Aggregator;
use choria::core::rpc::StatusCode;

use super::failures::Failures;
use super::footer;
use super::forms::{Asked, Form, Outcome, Timing};
use super::keep::Keep;
use super::progress::Progress;
use super::rows::Rows;
use super::text::clean;
use crate::cmd::out::errln;
use crate::cmd::trouble;

/// Shows replies as they arrive, or keeps them where the form needs them all.
pub struct View<'a> {
    out: Rows,
    form: &'a dyn Form,
    asked: Asked<'a>,
    sort: bool,
    keep: Keep,
    kept: Vec<RpcReply>,
    sums: Aggregator,
    progress: Progress,
    hidden: Failures,
    denied: usize,
}

impl<'a> View<'a> {
    /// A view that writes to `out`; with `sort` replies are shown by name, once all
    /// have come.
    pub fn new(out: Box<dyn Write>, form: &'a dyn Form, asked: Asked<'a>, sort: bool) -> View<'a> {
        let sums = asked.action.aggregator();
        let progress = Progress::new(0, false);
        View {
            out: Rows::new(out),
            form,
            asked,
            sort,
            keep: Keep::default(),
            kept: vec![],
            sums,
            progress,
            hidden: Failures::default(),
            denied: 0,
        }
    }

    /// Shows and sums up only what a filter keeps.
    pub fn keeping(mut self, keep: Keep) -> View<'a> {
        self.keep = keep;
        self
    }

    /// Nodes are looked for, by this method.
    pub fn discovering(&mut self, method: &str) -> io::Result<()> {
        self.form.discovering(&mut self.out, method)?;
        self.flush()
    }

    /// So many nodes will be asked, found in so many seconds.
    pub fn discovered(&mut self, method: &str, nodes: usize, seconds: f64) -> io::Result<()> {
        self.form.discovered(&mut self.out, method, nodes, seconds)
    }

    /// These nodes will be asked.
    pub fn targets(&self, nodes: &[String]) {
        self.form.targets(nodes);
    }

    /// The request is out; a bar shows how many of `nodes` have answered, if it may.
    pub fn asked(&mut self, nodes: usize, bar: bool) {
        self.progress = Progress::new(nodes, bar && self.form.has_bar());
    }

    /// Writes what is held, with the bar out of the way.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.out.any() {
            return Ok(());
        }
        let (out, mut written) = (&mut self.out, Ok(()));
        self.progress.print(|| written = out.flush());
        written
    }

    /// A reply came.
    pub fn reply(&mut self, mut reply: RpcReply) -> io::Result<()> {
        self.progress.step();
        self.denied += usize::from(trouble::is_denial(&reply.body));
        if !self.keep.takes(&mut reply) {
            return Ok(());
        }
        self.sums.add(&reply.body.data);
        if reply.body.statuscode != StatusCode::Ok && !self.form.shows_failures(&self.asked) {
            self.hidden.add(&reply);
        }
        let timing = self.form.timing();
        if timing == Timing::Together || self.sort && timing == Timing::Arrival {
            self.kept.push(reply);
            return Ok(());
        }
        self.form.reply(&mut self.out, &self.asked, &reply)?;
        if self.out.due() { self.flush() } else { Ok(()) }
    }

    /// What a node says in the end, for what it said before. Where that is shown already it stays: what became of
    /// it has been said.
    pub fn again(&mut self, mut reply: RpcReply) {
        let Some(at) = self.kept.iter().position(|before| before.sender == reply.sender) else { return };
        self.kept.remove(at);
        if self.keep.takes(&mut reply) {
            self.kept.insert(at, reply);
        }
    }

    /// All have answered, or will not.
    pub fn finish(mut self, stats: &RequestStats, interrupted: bool) -> io::Result<()> {
        std::mem::replace(&mut self.progress, Progress::new(0, false)).finish();
        if self.sort {
            self.kept.sort_by(|a, b| a.sender.cmp(&b.sender));
        }
        if self.form.timing() == Timing::Arrival {
            for reply in &self.kept {
                self.form.reply(&mut self.out, &self.asked, reply)?;
            }
        }
        let outcome = Outcome { replies: &self.kept, sums: &self.sums, stats, interrupted };
        self.form.finish(&mut self.out, &self.asked, &outcome)?;
        self.out.flush()?;
        self.hidden.tell();
        self.keep.tell();
        if self.form.shows_sums() && !self.sums.unknown().is_empty() {
            let functions = self.sums.unknown().join(", ");
            errln!(
                "choria: the interface sums up by {}, which is not known here and left out",
                clean(&functions, false)
            );
        }
        trouble::denied(self.denied, self.asked.agent);
        if !self.form.sums_up()
            && let Some(counts) = footer::counts(stats, interrupted)
        {
            errln!("choria: {counts}");
        }
        Ok(())
    }
}
