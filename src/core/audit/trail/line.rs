//! The forms of a line.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Entry, Verdict};

/// What a line is.
#[derive(Debug)]
pub(super) enum Line {
    Entry(Box<Entry>),
    /// Whole, and about something else.
    Other,
    /// Neither JSON nor a line of a log.
    Broken,
}

/// Audit records and JSON logs at once: what one of them has the other has not.
#[derive(Deserialize)]
struct Record<'a> {
    timestamp: Option<String>,
    time: Option<String>,
    request_id: Option<String>,
    request: Option<String>,
    caller: Option<String>,
    sender: Option<String>,
    agent: Option<String>,
    action: Option<String>,
    msg: Option<String>,
    level: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// A value as the text log writes it.
const VALUE: &str = r#"("(?:[^"\\]|\\.)*"|[^ "]*)"#;

/// What `journalctl -o short-iso-precise` writes before a line: `TIME HOST PROGRAM[PID]: `.
static JOURNAL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(\d{4}-\d\d-\d\dT\S+) \S+ [^\s\[]+\[\d+\]: ").ok());

/// `TIME level message field=value …`, or the message alone as `journalctl` has it. Peers choose parts of the message but never of what stands
/// behind it: the last fields of the line count.
static TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let fields = format!(" request={VALUE} caller={VALUE}(?: agent={VALUE} action={VALUE}| sender={VALUE})");
    Regex::new(&format!(r"^(?:(\S+Z) (\w+) +)?(?:<\d>)?(.*?)(?:{fields})?$")).ok()
});

pub(super) fn read(line: &[u8]) -> Line {
    let Ok(text) = std::str::from_utf8(line) else { return Line::Broken };
    let text = text.trim();
    let journal = JOURNAL.as_ref().and_then(|regex| regex.captures(text));
    let (said, text) = match journal.as_ref().and_then(|found| Some((found.get(0)?, found.get(1)?))) {
        Some((all, time)) => (time_of(time.as_str()), &text[all.end()..]),
        None => (None, text),
    };
    let line = match text.as_bytes().first() {
        None => Line::Other,
        Some(b'{') => json(text),
        Some(_) => plain(text),
    };
    match line {
        Line::Entry(mut entry) => {
            entry.time = entry.time.or(said);
            Line::Entry(entry)
        }
        Line::Broken if said.is_some() => Line::Other,
        line => line,
    }
}

fn json(text: &str) -> Line {
    let Ok(record) = serde_json::from_str::<Record<'_>>(text) else { return Line::Broken };
    let own = Option::unwrap_or_default;
    if let (Some(timestamp), Some(request)) = (&record.timestamp, record.request_id) {
        return entry(
            Verdict::Ran,
            time_of(timestamp),
            Fields {
                request,
                caller: own(record.caller),
                sender: own(record.sender),
                agent: own(record.agent),
                action: own(record.action),
            },
            String::new(),
            record.data.map(RawValue::to_owned),
        );
    }
    let (Some(message), Some(_)) = (record.msg, record.level) else { return Line::Broken };
    let Some((verdict, reason)) = verdict(&message) else { return Line::Other };
    let fields = Fields {
        request: own(record.request),
        caller: own(record.caller),
        sender: own(record.sender),
        agent: own(record.agent),
        action: own(record.action),
    };
    entry(verdict, record.time.as_deref().and_then(time_of), fields, reason.to_owned(), None)
}

#[derive(Default)]
struct Fields {
    request: String,
    caller: String,
    sender: String,
    agent: String,
    action: String,
}

fn plain(text: &str) -> Line {
    let Some(found) = TEXT.as_ref().and_then(|regex| regex.captures(text)) else { return Line::Broken };
    let get = |index: usize| found.get(index).map_or("", |m| m.as_str());
    let Some((verdict, reason)) = verdict(get(3)) else {
        // A log line is a time and a level, or comes from a journal and then
        // looks like nothing in particular.
        return if get(1).is_empty() && get(3) != UNAUDITED { Line::Broken } else { Line::Other };
    };
    let fields = Fields {
        request: unquoted(get(4)),
        caller: unquoted(get(5)),
        agent: unquoted(get(6)),
        action: unquoted(get(7)),
        sender: unquoted(get(8)),
    };
    entry(verdict, time_of(get(1)), fields, reason.to_owned(), None)
}

/// What is said of a call that would leave no trace, behind a line that says so, too, and why.
const UNAUDITED: &str = "denied: its audit record was not written";

/// What a message of the server says of a request, and why.
fn verdict(message: &str) -> Option<(Verdict, &str)> {
    // of the line before none is held back
    if message == UNAUDITED {
        return None;
    }
    if let Some(reason) = message.strip_prefix("denied: ") {
        return Some((Verdict::Denied, reason));
    }
    if let Some(reason) = message.strip_prefix("refused a request: ") {
        return Some((Verdict::Refused, reason));
    }
    if let Some(reason) = message.strip_prefix("the audit record was not written, the action ") {
        let ran = reason.starts_with("runs");
        return Some((if ran { Verdict::Unaudited } else { Verdict::Denied }, message));
    }
    message.starts_with("the action took longer than ").then_some((Verdict::Timeout, message))
}

fn entry(
    verdict: Verdict,
    time: Option<jiff::Timestamp>,
    fields: Fields,
    reason: String,
    data: Option<Box<RawValue>>,
) -> Line {
    let Fields { request, caller, sender, agent, action } = fields;
    Line::Entry(Box::new(Entry { time, verdict, caller, agent, action, sender, request, reason, data }))
}

/// Both `2026-01-07T07:13:30.174912+0000` and `2026-01-07T07:13:30Z`.
fn time_of(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok().or_else(|| jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).ok())
}

fn unquoted(text: &str) -> String {
    match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.to_owned(),
    }
}
