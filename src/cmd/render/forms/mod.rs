//! The output forms of `choria rpc`, one file each.
//!
//! A new form is a file with a type that implements [`Form`], a line in [`FORMS`]
//! and, if it has a flag of its own, that flag in [`Flags`].

use std::io::{self, Write};

use choria::core::client::{RequestStats, RpcReply};
use choria::core::ddl::{Action, Aggregator};

mod json;
mod jsonl;
pub mod ruby;
mod senders;
mod senders_json;
mod table;
mod text;

pub use choria::core::ddl::Spelling;
pub use ruby::{RubyJson, RubyText};
pub use text::{Style, summaries};

/// All of them; of several that the flags of a command ask for, the first is taken.
const FORMS: [&dyn Form; 6] = [
    &senders_json::SendersJson,
    &senders::Senders,
    &json::Json,
    &jsonl::JsonLines,
    &table::Table,
    &text::Text,
];

/// Flags of a command that say in which form its results are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--json`
    pub json: bool,
    /// `--jsonl`
    pub jsonl: bool,
    /// `--table`
    pub table: bool,
    /// `--senders`
    pub senders: bool,
}

/// What was asked, and how the person wants to see it.
pub struct Asked<'a> {
    pub agent: &'a str,
    pub name: &'a str,
    /// The action of that name, as its DDL describes it.
    pub action: &'a Action,
    pub style: Style,
}

/// What came of it, once all have answered.
pub struct Outcome<'a> {
    /// Replies that were kept: see [`Timing`].
    pub replies: &'a [RpcReply],
    pub sums: &'a Aggregator,
    pub stats: &'a RequestStats,
    /// A person ended it before everybody had answered.
    pub interrupted: bool,
}

/// When replies are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// As they arrive: a log of what happens, which is never sorted.
    Always,
    /// As they arrive, or sorted at the end if that is wanted.
    Arrival,
    /// In one document, at the end.
    Together,
}

/// A form. It writes to `out` and escapes what came from nodes.
pub trait Form: Sync {
    /// Whether the flags ask for it.
    fn wanted(&self, flags: Flags) -> bool;

    /// When it shows replies.
    fn timing(&self) -> Timing {
        Timing::Arrival
    }

    /// Whether a bar may show how far the request is.
    fn has_bar(&self) -> bool {
        false
    }

    /// Whether it shows the replies of nodes that failed; else they are told on
    /// standard error.
    fn shows_failures(&self, _asked: &Asked<'_>) -> bool {
        false
    }

    /// Whether it says how many answered, and how; else that is told on standard
    /// error where not all is well.
    fn sums_up(&self) -> bool {
        false
    }

    /// Whether it shows what replies come to, and so what is left out of that is told.
    fn shows_sums(&self) -> bool {
        self.sums_up()
    }

    /// Nodes are looked for, by this method.
    fn discovering(&self, _out: &mut dyn Write, _method: &str) -> io::Result<()> {
        Ok(())
    }

    /// So many nodes will be asked, found in so many seconds.
    fn discovered(
        &self,
        _out: &mut dyn Write,
        _method: &str,
        _nodes: usize,
        _seconds: f64,
    ) -> io::Result<()> {
        Ok(())
    }

    /// These nodes will be asked.
    fn targets(&self, _nodes: &[String]) {}

    /// A reply, of forms that do not show them [together](Timing::Together).
    fn reply(&self, _out: &mut dyn Write, _asked: &Asked<'_>, _reply: &RpcReply) -> io::Result<()> {
        Ok(())
    }

    /// All have answered, or will not.
    fn finish(&self, out: &mut dyn Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()>;

    /// What says on standard output that the command failed, for forms that do.
    fn failure(&self, _text: &str) -> Option<String> {
        None
    }
}

/// The form that the flags ask for.
pub fn form(flags: Flags) -> &'static dyn Form {
    let wanted = FORMS.into_iter().find(|form| form.wanted(flags));
    wanted.unwrap_or(&text::Text)
}
