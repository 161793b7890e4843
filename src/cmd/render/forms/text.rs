//! What people read: the form without a flag.

use std::fmt::Write;
use std::io;

use serde_json::Value;

use choria::core::client::RpcReply;
use choria::core::ddl::{Action, Display, Spelling, Summary};
use choria::core::rpc::StatusCode;
use choria::core::text::{column, shortened};

use super::{Asked, Flags, Form, Outcome};
use crate::cmd::render::failures::status;
use crate::cmd::render::footer::footer;
use crate::cmd::render::text::NONE;
use crate::cmd::render::text::{Colour, clean, paint};

/// Lists up to this long stay on one line.
const INLINE: usize = 80;

/// A block a reply, summaries and how many answered.
pub struct Text;

impl Form for Text {
    /// What there is without a flag: it is the last that is asked.
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

    fn reply(&self, out: &mut dyn io::Write, asked: &Asked<'_>, reply: &RpcReply) -> io::Result<()> {
        match block(reply, asked.action, asked.style) {
            Some(text) => out.write_all(text.as_bytes()),
            None => Ok(()),
        }
    }

    fn finish(&self, out: &mut dyn io::Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        // Where nobody answered well there is nothing to sum up.
        if outcome.stats.ok > 0 {
            write!(out, "{}", summaries(asked.action, &outcome.sums.summaries(Spelling::Today)))?;
        }
        write!(
            out,
            "\n{}",
            footer(outcome.stats, outcome.interrupted, asked.style.verbose, asked.style.colour)
        )
    }
}

/// How replies are written for people.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Which replies are shown.
    pub display: Display,
    /// Data as JSON.
    pub verbose: bool,
    /// Colour codes.
    pub colour: bool,
}

/// One reply for people; `None` when the display mode hides it. A reason for a
/// failure is never hidden.
fn block(reply: &RpcReply, action: &Action, style: Style) -> Option<String> {
    let ok = reply.body.statuscode == StatusCode::Ok;
    if !style.display.shows(ok) {
        return None;
    }
    let status = status(reply.body.statuscode);
    let mut out = String::with_capacity(256);
    let sender = clean(&reply.sender, false);
    if status.is_empty() {
        out.push_str(&sender);
    } else {
        let status = paint(&status, Colour::Red, style.colour && !ok);
        out.push_str(format!("{sender:<40} {status}").trim_end());
    }
    out.push_str("\n\n");
    if !ok {
        let message = clean(&reply.body.statusmsg, true);
        for line in message.lines() {
            out.push_str(&format!("    {}\n", paint(line, Colour::Yellow, style.colour)));
        }
    }
    if style.verbose && (ok || !reply.body.data.is_empty()) {
        let mut data = Value::Object(reply.body.data.clone());
        data.sort_all_objects();
        let pretty = serde_json::to_string_pretty(&data).unwrap_or_default();
        pretty.lines().for_each(|line| out.push_str(&format!("   {}\n", clean(line, false))));
    } else if ok {
        outputs(&mut out, reply, action);
    }
    out.push('\n');
    Some(out)
}

/// Characters of a label: interfaces may come from others.
const LONGEST_LABEL: usize = 200;

/// `label: value` rows; outputs the node did not send show the DDL's default.
pub(super) fn outputs(out: &mut String, reply: &RpcReply, action: &Action) {
    let shown = action.shown(&reply.body.data);
    let rows: Vec<_> = shown
        .into_iter()
        .map(|(name, value)| (shortened(action.label(name), LONGEST_LABEL), value))
        .collect();
    let width = column(rows.iter().map(|(label, _)| label.chars().count())) + 3;
    for (label, value) in rows {
        let _ = write!(out, "{label:>width$}: {}", plain(value, width + 2));
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
}

/// A value for people, further lines indented by `indent`.
fn plain(value: &Value, indent: usize) -> String {
    let indented = |text: &str| clean(text, true).replace('\n', &format!("\n{}", " ".repeat(indent)));
    match value {
        Value::Null => NONE.to_owned(),
        Value::String(text) => indented(text),
        Value::Array(items) if !items.iter().any(Value::is_object) && value.to_string().len() <= INLINE => {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            clean(&format!("[{}]", items.join(", ")), false).into_owned()
        }
        Value::Array(_) | Value::Object(_) => {
            let mut sorted = value.clone();
            sorted.sort_all_objects();
            indented(&serde_json::to_string_pretty(&sorted).unwrap_or_default())
        }
        other => other.to_string(),
    }
}

/// Aggregates, sorted by output name, with their blank lines.
pub fn summaries(action: &Action, summaries: &[Summary]) -> String {
    let mut out = String::new();
    for Summary { output, lines, drawing } in summaries {
        out.push_str(&format!("Summary of {}:\n\n", clean(action.label(output), false)));
        if lines.is_empty() {
            out.push_str("   No summary received\n");
        }
        let indent = if *drawing { "" } else { "   " };
        lines.iter().for_each(|line| out.push_str(&format!("{indent}{}\n", clean(line, false))));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests;
