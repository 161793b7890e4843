//! Failures that the form of the output does not show, on standard error: a
//! command that says nothing of them reads as if all had gone well.

use choria::core::client::RpcReply;
use choria::core::rpc::StatusCode;

use super::text::clean;
use crate::cmd::out::errln;

/// Nodes that get a line of their own; more are counted.
const NAMED: usize = 10;

/// Failures so far.
#[derive(Default)]
pub struct Failures {
    told: Vec<String>,
    more: usize,
}

impl Failures {
    /// One more, unless the reply is a good one.
    pub fn add(&mut self, reply: &RpcReply) {
        if reply.body.statuscode == StatusCode::Ok {
            return;
        }
        if self.told.len() == NAMED {
            self.more += 1;
            return;
        }
        self.told.push(format!(
            "{}: {}: {}",
            clean(&reply.sender, false),
            status(reply.body.statuscode),
            clean(&reply.body.statusmsg, false)
        ));
    }

    /// Says them.
    pub fn tell(&self) {
        self.told.iter().for_each(|line| errln!("choria: {line}"));
        if self.more > 0 {
            errln!("choria: {} more nodes failed, see --json", self.more);
        }
    }
}

/// What a status is called; empty for a good one.
pub fn status(code: StatusCode) -> String {
    match code {
        StatusCode::Ok => String::new(),
        StatusCode::Aborted => "Request Aborted".to_owned(),
        StatusCode::UnknownAction => "Unknown Action".to_owned(),
        StatusCode::MissingData => "Missing Request Data".to_owned(),
        StatusCode::InvalidData => "Invalid Request Data".to_owned(),
        StatusCode::UnknownError => "Unknown Request Status".to_owned(),
        StatusCode::Other(code) => format!("Unknown Status {code}"),
    }
}
