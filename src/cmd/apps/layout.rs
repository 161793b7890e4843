//! A line a reply: what most applications show.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use choria::core::client::RpcReply;
use choria::core::text::column;

use crate::cmd::render::footer::footer;
use crate::cmd::render::forms::{Asked, Flags, Form, Outcome, Spelling, ruby, summaries};
use crate::cmd::render::text::{Colour, clean, paint};
use crate::cmd::request::RequestFlags;
use crate::cmd::{Globals, Personality};

/// Where the name of a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Right-aligned before a colon, by the longest name.
    Right,
    /// In a column of forty, before this.
    Left(&'static str),
    /// As it is, before a colon.
    Plain,
}

/// What a reply comes to; nothing where it is not shown.
pub type Line<'a> = dyn Fn(&RpcReply) -> Option<String> + Sync + 'a;

/// The form of an application.
pub struct Lines<'a> {
    mco: bool,
    caption: String,
    place: Place,
    line: &'a Line<'a>,
    /// The mode of `--display`.
    display: Option<String>,
    /// Widest name of a node that is asked.
    width: AtomicUsize,
    any: AtomicBool,
}

impl<'a> Lines<'a> {
    pub fn new(
        globals: &Globals,
        flags: &RequestFlags,
        caption: String,
        place: Place,
        line: &'a Line<'a>,
    ) -> Lines<'a> {
        Lines {
            mco: globals.personality == Personality::Mco,
            caption,
            place,
            line,
            display: flags.display.clone(),
            width: AtomicUsize::new(0),
            any: AtomicBool::new(false),
        }
    }

    /// What is shown of a reply; a failure says why.
    fn text(&self, reply: &RpcReply, colour: bool) -> Option<String> {
        let ok = reply.body.statuscode.is_ok();
        match (self.display.as_deref(), ok) {
            (Some("none"), _) | (Some("ok"), false) | (Some("failed"), true) => None,
            (_, true) => (self.line)(reply).map(|line| clean(&line, false).into_owned()),
            (_, false) => {
                let message = match reply.body.statusmsg.as_str() {
                    "" => "failed without a word",
                    message => message,
                };
                Some(paint(&clean(message, false), Colour::Red, colour))
            }
        }
    }
}

impl Form for Lines<'_> {
    fn wanted(&self, _: Flags) -> bool {
        true
    }

    fn has_bar(&self) -> bool {
        true
    }

    fn shows_failures(&self, _: &Asked<'_>) -> bool {
        !matches!(self.display.as_deref(), Some("none" | "ok"))
    }

    fn sums_up(&self) -> bool {
        true
    }

    fn targets(&self, nodes: &[String]) {
        let width = column(nodes.iter().map(|node| node.chars().count()));
        self.width.store(width, Ordering::Relaxed);
    }

    fn reply(&self, out: &mut dyn Write, asked: &Asked<'_>, reply: &RpcReply) -> io::Result<()> {
        let Some(line) = self.text(reply, asked.style.colour) else { return Ok(()) };
        self.any.store(true, Ordering::Relaxed);
        let sender = clean(&reply.sender, false);
        match self.place {
            Place::Right => {
                let width = self.width.load(Ordering::Relaxed) + 3;
                writeln!(out, "{sender:>width$}: {line}")
            }
            Place::Left(between) => writeln!(out, "{sender:<40}{between}{line}"),
            Place::Plain => writeln!(out, "{sender}: {line}"),
        }
    }

    fn finish(&self, out: &mut dyn Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        if self.any.load(Ordering::Relaxed) {
            writeln!(out)?;
        }
        finish(out, asked, outcome, self.mco, &self.caption)
    }
}

/// Summaries and statistics, as one world or the other knows them.
pub fn finish(
    out: &mut dyn Write,
    asked: &Asked<'_>,
    outcome: &Outcome<'_>,
    mco: bool,
    caption: &str,
) -> io::Result<()> {
    if mco {
        return ruby::finish(out, asked, outcome, caption);
    }
    let style = asked.style;
    if outcome.stats.responses > 0 {
        write!(out, "{}", summaries(asked.action, &outcome.sums.summaries(Spelling::Today)))?;
    }
    write!(out, "{}", footer(outcome.stats, outcome.interrupted, style.verbose, style.colour))
}

#[cfg(test)]
pub mod tests {
    use choria::core::client::RequestStats;
    use choria::core::ddl::{Action, Display};
    use choria::core::protocol::v1::{Reply, ReplyEnvelope};
    use choria::core::rpc::ReplyBody;
    use serde_json::{Value, json};

    use super::*;
    use crate::cmd::render::forms::Style;

    /// A reply of a node.
    pub fn reply(node: &str, code: i64, message: &str, data: Value) -> RpcReply {
        let data = data.as_object().cloned().unwrap_or_default();
        let body =
            ReplyBody { action: String::new(), statuscode: code.into(), statusmsg: message.into(), data };
        let envelope =
            ReplyEnvelope { requestid: "".into(), senderid: node.into(), agent: "".into(), time: 0 };
        RpcReply::new(Default::default(), &Reply { message: body.encode().into(), envelope })
    }

    /// What a layout shows of replies.
    pub fn shown(form: &dyn Form, replies: &[RpcReply], sums: &[(&str, &str)]) -> String {
        let aggregate: Vec<Value> =
            sums.iter().map(|(function, output)| json!({"function": function, "args": [output]})).collect();
        let action = json!({"action": "x", "aggregate": aggregate, "output": {"status": {"display_as": "Service Status"}}});
        let action: Action = serde_json::from_value(action).unwrap();
        let style = Style { display: Display::Always, verbose: false, colour: false };
        let asked = Asked { agent: "a", name: "x", action: &action, style };
        let mut sums = action.aggregator();
        let mut out = vec![];
        form.targets(&replies.iter().map(|reply| reply.sender.clone()).collect::<Vec<_>>());
        for reply in replies {
            sums.add(&reply.body.data);
            form.reply(&mut out, &asked, reply).unwrap();
        }
        let failed = replies.iter().filter(|reply| !reply.body.statuscode.is_ok()).count();
        let stats = RequestStats {
            discovered: replies.len(),
            responses: replies.len(),
            failed,
            ok: replies.len() - failed,
            request_time: std::time::Duration::from_micros(542_480),
            ..RequestStats::default()
        };
        let outcome = Outcome { replies, sums: &sums, stats: &stats, interrupted: false };
        form.finish(&mut out, &asked, &outcome).unwrap();
        String::from_utf8(out).unwrap()
    }

    pub fn globals(personality: Personality) -> Globals {
        Globals { config: None, debug: false, personality, settings: vec![] }
    }

    #[test]
    fn a_restart_reads_as_it_always_has() {
        let replies = [
            reply("n2.example.net", 1, "Could not restart Service[httpd]", json!({"status": "unknown"})),
            reply("n1.example.net", 0, "OK", json!({"status": "running"})),
        ];
        let line = |_: &RpcReply| None;
        let lines = |personality, place| {
            let flags = RequestFlags::default();
            let lines = Lines::new(&globals(personality), &flags, "restart".to_owned(), place, &line);
            shown(&lines, &replies, &[("summary", "status")])
        };
        assert_eq!(
            lines(Personality::Mco, Place::Right),
            "   n2.example.net: Could not restart Service[httpd]\n\nSummary of Service Status:\n\n   \
             running = 1\n   unknown = 1\n\nFinished processing 2 / 2 hosts in 542.48 ms\n"
        );
        let ours = lines(Personality::Choria, Place::Left(" status = "));
        assert!(
            ours.contains("   running: 1\n") && ours.contains("hosts in 542ms\n1 ok, 1 failed"),
            "{ours}"
        );
        assert!(ours.starts_with("n2.example.net                           status = Could not"), "{ours}");
    }

    #[test]
    fn the_display_mode_has_the_last_word() {
        let replies = [reply("n1", 0, "OK", json!({})), reply("n2", 1, "no", json!({}))];
        let line = |_: &RpcReply| Some("yes\u{1b}[2J".to_owned());
        for (mode, yes, no) in [
            (None, true, true),
            (Some("ok"), true, false),
            (Some("failed"), false, true),
            (Some("none"), false, false),
        ] {
            let flags = RequestFlags { display: mode.map(str::to_owned), ..RequestFlags::default() };
            let lines = Lines::new(&globals(Personality::Mco), &flags, String::new(), Place::Plain, &line);
            let text = shown(&lines, &replies, &[]);
            assert_eq!(
                (text.contains("n1: yes\u{fffd}[2J\n"), text.contains("n2: no\n")),
                (yes, no),
                "{text}"
            );
        }
    }
}
