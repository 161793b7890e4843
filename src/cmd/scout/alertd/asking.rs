//! Nodes are asked how their checks are where that may have been told while nobody listened.

use std::time::Duration;

use choria::core::client::Client;
use choria::core::discovery::Discovered;
use choria::core::rpc::StatusCode;
use choria::core::scout::alerts::Shown;
use serde_json::Map;

use super::telling::{Telling, now};
use crate::cmd::ask::ask;

/// Between two looks at who is to be asked, and nodes that are asked at once.
const EVERY: Duration = Duration::from_secs(10);
const MOST: usize = 100;

/// Asks, for ever.
pub(super) async fn asks(client: &Client, telling: &Telling) {
    let mut told = false;
    loop {
        tokio::time::sleep(EVERY).await;
        let mut nodes = Vec::new();
        if telling.leads() {
            telling.heard(|all| nodes = all.to_ask(now(), MOST));
        }
        if nodes.is_empty() {
            continue;
        }
        if let Err(problem) = asked(client, telling, nodes).await
            && !std::mem::replace(&mut told, true)
        {
            tracing::warn!(
                "nodes cannot be asked how their checks are, so what was not heard is not known: {problem}"
            );
        }
    }
}

async fn asked(client: &Client, telling: &Telling, nodes: Vec<String>) -> Result<(), String> {
    let at = now();
    let collective = client.collective(None).map_err(|e| e.to_string())?;
    let found = Discovered::known(nodes, Duration::ZERO);
    let answers = ask(client, "scout", "checks", Map::new(), collective, found).await;
    let mut refused = None;
    for reply in answers.map_err(|e| e.to_string())?.replies {
        match Shown::read(&reply.body.data).filter(|_| reply.body.statuscode == StatusCode::Ok) {
            Some(shown) => telling.heard(|all| all.answered(&reply.sender, &shown, at, now())),
            None => {
                refused = Some(format!(
                    "{} said {}; its scout.policy should allow the action checks",
                    reply.sender, reply.body.statusmsg
                ))
            }
        }
    }
    refused.map_or(Ok(()), Err)
}
