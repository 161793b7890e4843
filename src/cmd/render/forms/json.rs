//! `--json`: one document with everything.

use std::io::{self, Write};

use choria::core::client::RpcReply;
use serde_json::{Value, json};

use super::{Asked, Flags, Form, Outcome, Timing};
use crate::cmd::render::text::escaped;

/// Replies, summaries and statistics.
pub struct Json;

impl Form for Json {
    fn wanted(&self, flags: Flags) -> bool {
        flags.json
    }

    fn timing(&self) -> Timing {
        Timing::Together
    }

    fn shows_sums(&self) -> bool {
        true
    }

    fn finish(&self, out: &mut dyn Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        let replies: Vec<Value> = outcome.replies.iter().map(reply).collect();
        let document = json!({
            "agent": asked.agent,
            "action": asked.name,
            "replies": replies,
            "request_stats": outcome.stats,
            "summaries": outcome.sums.json(),
        });
        writeln!(out, "{}", pretty(&document)?)
    }
}

fn reply(reply: &RpcReply) -> Value {
    let body = &reply.body;
    json!({"sender": reply.sender, "action": body.action, "statuscode": body.statuscode.code(),
           "statusmsg": body.statusmsg, "data": body.data, "time_utc": reply.time})
}

/// JSON indented by three spaces, as today's scripts and people know it.
fn pretty(document: &Value) -> serde_json::Result<String> {
    let mut json = vec![];
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, formatter);
    serde::Serialize::serialize(document, &mut serializer)?;
    Ok(escaped(&String::from_utf8_lossy(&json)).into_owned())
}
