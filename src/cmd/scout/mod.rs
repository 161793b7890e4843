//! `choria scout`: checks of nodes.

mod alertd;
mod moves;
mod status;
mod validate;
mod watch;
mod web;

use std::process::ExitCode;

use argh::{ArgsInfo, FromArgs};

use choria::core::client::RpcReply;
use serde_json::{Value, json};

use super::Globals;

/// the checks of nodes: how they are, run at once, kept quiet
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "scout")]
pub struct Scout {
    #[argh(subcommand)]
    command: ScoutCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum ScoutCommand {
    Alertd(alertd::Alertd),
    Maintenance(moves::Maintenance),
    Resume(moves::Resume),
    Status(status::Status),
    Trigger(moves::Trigger),
    Validate(validate::Validate),
    Watch(watch::Watch),
    Web(web::Web),
}

/// Replies as one document, of the shape that `rpc --json` has.
fn document(action: &str, replies: &[RpcReply]) -> Value {
    let one = |reply: &RpcReply| {
        json!({
            "sender": reply.sender,
            "action": action,
            "statuscode": reply.body.statuscode.code(),
            "statusmsg": reply.body.statusmsg,
            "data": reply.body.data,
        })
    };
    json!({"agent": "scout", "action": action, "replies": replies.iter().map(one).collect::<Vec<_>>()})
}

/// SIGTERM, as service managers send it.
pub async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

impl Scout {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            ScoutCommand::Alertd(c) => c.run(globals),
            ScoutCommand::Maintenance(c) => c.run(globals),
            ScoutCommand::Resume(c) => c.run(globals),
            ScoutCommand::Status(c) => c.run(globals),
            ScoutCommand::Trigger(c) => c.run(globals),
            ScoutCommand::Validate(c) => c.run(globals),
            ScoutCommand::Watch(c) => c.run(globals),
            ScoutCommand::Web(c) => c.run(globals),
        }
    }
}
