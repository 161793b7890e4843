//! `--senders --json`: the names of nodes that answered well, as one list.

use std::io::{self, Write};

use choria::core::client::RpcReply;
use choria::core::rpc::StatusCode;

use super::{Asked, Flags, Form, Outcome, Timing};
use crate::cmd::render::text::escaped;

/// A JSON list of names.
pub struct SendersJson;

impl Form for SendersJson {
    fn wanted(&self, flags: Flags) -> bool {
        flags.senders && flags.json
    }

    fn timing(&self) -> Timing {
        Timing::Together
    }

    fn finish(&self, out: &mut dyn Write, _: &Asked<'_>, outcome: &Outcome<'_>) -> io::Result<()> {
        let ok = |reply: &&RpcReply| reply.body.statuscode == StatusCode::Ok;
        let names: Vec<&String> = outcome.replies.iter().filter(ok).map(|reply| &reply.sender).collect();
        writeln!(out, "{}", escaped(&serde_json::to_string_pretty(&names)?))
    }
}
