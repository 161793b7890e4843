//! `--jsonl`: one document a line, as things happen (spec 03 §6.10).

use std::io::{self, Write};

use choria::core::client::{RequestStats, RpcReply};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Asked, Flags, Form, Outcome, Timing};
use crate::cmd::render::text::escaped;

/// Discovery, replies, summaries, statistics and failures, a line each.
pub struct JsonLines;

impl Form for JsonLines {
    fn wanted(&self, flags: Flags) -> bool {
        flags.jsonl
    }

    fn timing(&self) -> Timing {
        Timing::Always
    }

    fn discovering(&self, out: &mut dyn Write, method: &str) -> io::Result<()> {
        Line { dm: Some(method), ..Line::of("discovery") }.write(out)
    }

    fn discovered(&self, out: &mut dyn Write, method: &str, nodes: usize, seconds: f64) -> io::Result<()> {
        Line { dm: Some(method), count: Some(nodes), dt: Some(seconds), ..Line::of("discovery") }.write(out)
    }

    fn reply(&self, out: &mut dyn Write, _: &Asked<'_>, reply: &RpcReply) -> io::Result<()> {
        let body = &reply.body;
        // the sender last, as the original has it here
        let row = json!({"action": body.action, "statuscode": body.statuscode.code(), "statusmsg": body.statusmsg,
                         "data": body.data, "sender": reply.sender, "time_utc": reply.time});
        let protocol = RawValue::from_string(reply.protocol().encode()).ok();
        Line { pr: protocol, rr: Some(row), ..Line::of("result") }.write(out)
    }

    fn shows_sums(&self) -> bool {
        true
    }

    fn finish(&self, out: &mut dyn Write, _: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        let sums: Map<String, Value> = outcome.sums.json();
        Line { agg: Some(&sums), ..Line::of("summaries") }.write(out)?;
        Line { stat: Some(outcome.stats), ..Line::of("stats") }.write(out)
    }

    fn failure(&self, text: &str) -> Option<String> {
        Some(Line { err: Some(text), ..Line::of("error") }.text())
    }
}

/// A line; `k` tells which.
#[derive(Serialize)]
struct Line<'a> {
    k: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pr: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rr: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agg: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stat: Option<&'a RequestStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dt: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    err: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(k: &'static str) -> Line<'a> {
        Line { k, pr: None, rr: None, agg: None, stat: None, count: None, dt: None, dm: None, err: None }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.text())
    }

    fn text(&self) -> String {
        // Strings, numbers and values: nothing that fails to serialise.
        escaped(&serde_json::to_string(self).unwrap_or_default()).into_owned()
    }
}
