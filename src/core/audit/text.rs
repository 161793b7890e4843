//! Records as lines of a log.

use std::borrow::Cow;

use aws_lc_rs::digest;
use serde_json::Value;

use super::AuditRecord;
use crate::core::protocol::json::{push_integer, push_string, push_value};
use crate::core::text::{escaped, hex, shorten};

/// Bytes of inputs that a record holds as they were, and of a text in longer ones.
const MOST_DATA: usize = 64 * 1024;
const OF_TEXT: usize = 1024;

/// Writes the inputs. Of what is too long for a log that others may fill, beginnings stand
/// there, with the length and digest of each: whoever has the whole can show that it ran.
fn push_data(out: &mut String, data: &Value) {
    let begun = out.len();
    push_value(out, data);
    if out.len() - begun <= MOST_DATA {
        return;
    }
    let whole = out.split_off(begun);
    push_value(out, &cut(data));
    if out.len() - begun > MOST_DATA {
        out.truncate(begun);
        push_value(out, &Value::from(beginning(&whole)));
    }
}

fn cut(data: &Value) -> Value {
    match data {
        Value::Object(map) => map.iter().map(|(name, value)| (beginning(name), cut(value))).collect(),
        Value::Array(items) => items.iter().map(cut).collect(),
        Value::String(text) => Value::from(beginning(text)),
        other => other.clone(),
    }
}

fn beginning(text: &str) -> String {
    if text.len() <= OF_TEXT {
        return text.to_owned();
    }
    let digest = hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    let mut begins = text.to_owned();
    shorten(&mut begins, OF_TEXT);
    format!("{begins} ({} bytes, SHA-256 {digest})", text.len())
}

/// One line of the log, with its line end.
pub(super) fn line(record: &AuditRecord<'_>, now: jiff::Timestamp) -> String {
    let mut out = String::with_capacity(256);
    out.push_str("{\"timestamp\":");
    push_string(&mut out, &now.strftime("%Y-%m-%dT%H:%M:%S.%6f+0000").to_string());
    out.push_str(",\"request_id\":");
    push_string(&mut out, record.request_id);
    out.push_str(",\"request_time\":");
    push_integer(&mut out, record.request_time);
    for (key, value) in [
        (",\"caller\":", record.caller),
        (",\"sender\":", record.sender),
        (",\"agent\":", record.agent),
        (",\"action\":", record.action),
    ] {
        out.push_str(key);
        push_string(&mut out, value);
    }
    out.push_str(",\"data\":");
    push_data(&mut out, record.data);
    out.push_str("}\n");
    match escaped(&out) {
        Cow::Borrowed(_) => out,
        Cow::Owned(escaped) => escaped,
    }
}
