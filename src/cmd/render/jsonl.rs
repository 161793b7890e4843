//! `--jsonl`: one document a line, as things happen (spec 03 §6.10).

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use choria::core::client::{RequestStats, RpcReply};

/// A line; `k` tells which.
#[derive(Serialize)]
pub struct Line<'a> {
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

    pub fn discovering(method: &'a str) -> Line<'a> {
        Line { dm: Some(method), ..Line::of("discovery") }
    }

    pub fn discovered(method: &'a str, count: usize, seconds: f64) -> Line<'a> {
        Line { dm: Some(method), count: Some(count), dt: Some(seconds), ..Line::of("discovery") }
    }

    pub fn result(reply: &RpcReply) -> Line<'a> {
        Line {
            pr: RawValue::from_string(reply.protocol().encode()).ok(),
            rr: Some(super::replies::json(reply, true)),
            ..Line::of("result")
        }
    }

    pub fn summaries(aggregates: &'a Map<String, Value>) -> Line<'a> {
        Line { agg: Some(aggregates), ..Line::of("summaries") }
    }

    pub fn stats(stats: &'a RequestStats) -> Line<'a> {
        Line { stat: Some(stats), ..Line::of("stats") }
    }

    pub fn error(text: &'a str) -> Line<'a> {
        Line { err: Some(text), ..Line::of("error") }
    }

    pub fn text(&self) -> String {
        // Strings, numbers and values: nothing that fails to serialise.
        super::text::escaped(&serde_json::to_string(self).unwrap_or_default()).into_owned()
    }
}
