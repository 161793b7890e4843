//! `--table`: replies of nodes that answered well, a row each.

use std::io::{self, Write};

use choria::core::client::RpcReply;
use choria::core::rpc::StatusCode;
use serde_json::Value;

use super::{Asked, Flags, Form, Outcome, Timing};
use crate::cmd::render::table;
use crate::cmd::render::text::NONE;

/// A column for each output of the action.
pub struct Table;

impl Form for Table {
    fn wanted(&self, flags: Flags) -> bool {
        flags.table
    }

    fn timing(&self) -> Timing {
        Timing::Together
    }

    fn finish(&self, out: &mut dyn Write, asked: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        let outputs: Vec<&String> = asked.action.output.keys().collect();
        let mut header = vec!["Sender".to_owned()];
        header.extend(outputs.iter().map(|output| asked.action.label(output).to_owned()));
        let ok = |reply: &&RpcReply| reply.body.statuscode == StatusCode::Ok;
        let row = |reply: &RpcReply| {
            let mut row = vec![reply.sender.clone()];
            row.extend(outputs.iter().map(|output| cell(reply.body.data.get(output.as_str()))));
            row
        };
        let rows: Vec<Vec<String>> = outcome.replies.iter().filter(ok).map(row).collect();
        write!(out, "{}", table::render(&header, &rows))
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::Null) => NONE.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
