//! Replies as the `mco` of the Ruby world shows them (spec 03 §14.5): text, and
//! the bare list of its `--json`.

use std::fmt::Write as _;
use std::io::{self, Write};

use choria::core::client::RpcReply;
use choria::core::ddl::Spelling;
use serde_json::{Value, json};

use super::text::{outputs, summaries};
use super::{Asked, Flags, Form, Outcome, Timing};
use crate::cmd::render::failures::status;
use crate::cmd::render::ruby::footer;
use crate::cmd::render::text::{Colour, clean, escaped, paint};

/// A block a reply, summaries and how many answered.
pub struct RubyText {
    /// What the statistics are called.
    pub caption: String,
}

impl Form for RubyText {
    fn wanted(&self, _: Flags) -> bool {
        true
    }

    fn has_bar(&self) -> bool {
        true
    }

    fn shows_failures(&self, asked: &Asked<'_>) -> bool {
        asked.style.display.shows(false)
    }

    fn sums_up(&self) -> bool {
        true
    }

    fn reply(&self, out: &mut dyn Write, asked: &Asked<'_>, reply: &RpcReply) -> io::Result<()> {
        match block(reply, asked) {
            Some(text) => out.write_all(text.as_bytes()),
            None => Ok(()),
        }
    }

    fn finish(&self, out: &mut dyn Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        finish(out, asked, outcome, &self.caption)
    }
}

/// Summaries and statistics.
pub fn finish(
    out: &mut dyn Write,
    asked: &Asked<'_>,
    outcome: &Outcome<'_>,
    caption: &str,
) -> io::Result<()> {
    if outcome.stats.responses > 0 {
        write!(out, "{}", summaries(asked.action, &outcome.sums.summaries(Spelling::Ruby)))?;
    }
    write!(out, "{}", footer(outcome.stats, caption, asked.style.verbose, asked.style.colour))
}

fn block(reply: &RpcReply, asked: &Asked<'_>) -> Option<String> {
    let ok = reply.body.statuscode.is_ok();
    if !asked.style.display.shows(ok) {
        return None;
    }
    let status = paint(&status(reply.body.statuscode), Colour::Red, asked.style.colour && !ok);
    let mut out = format!("{:<40} {status}", clean(&reply.sender, false)).trim_end().to_owned();
    out.push('\n');
    if reply.body.statusmsg != "OK" {
        for line in clean(&reply.body.statusmsg, true).lines() {
            let _ = writeln!(out, "   {}", paint(line, Colour::Yellow, asked.style.colour));
        }
    }
    if ok {
        outputs(&mut out, reply, asked.action);
    }
    out.push('\n');
    Some(out)
}

/// One list, without statistics.
pub struct RubyJson;

impl Form for RubyJson {
    fn wanted(&self, _: Flags) -> bool {
        true
    }

    fn timing(&self) -> Timing {
        Timing::Together
    }

    fn finish(&self, out: &mut dyn Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        let row = |reply: &RpcReply| {
            json!({"agent": asked.agent, "action": asked.name, "sender": reply.sender,
                   "statuscode": reply.body.statuscode.code(), "statusmsg": reply.body.statusmsg,
                   "data": reply.body.data})
        };
        let rows: Vec<Value> = outcome.replies.iter().map(row).collect();
        writeln!(out, "{}", escaped(&serde_json::to_string_pretty(&rows)?))
    }
}
