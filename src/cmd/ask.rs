//! One action, all replies: for commands that show the answers in a form of
//! their own.

use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::client::{Client, RequestStats, RpcCall, RpcOptions, RpcReply};
use choria::core::discovery::Discovered;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};

use super::exit::AfterAsking;
use super::out;
use super::request::usual_timeout;
use super::rpc::resolver;
use super::trouble;

/// What came back.
pub struct Answers {
    pub replies: Vec<RpcReply>,
    pub stats: RequestStats,
    /// A person ended it before everybody had answered.
    pub interrupted: bool,
    /// The nodes have answered when they were looked for.
    found: bool,
    agent: String,
}

impl Answers {
    /// Says what is known about those who did not answer, or do not let us.
    pub fn report(&self, client: &Client, collective: &str) {
        let denied = self.replies.iter().filter(|reply| trouble::is_denial(&reply.body)).count();
        trouble::denied(denied, &self.agent);
        trouble::report(client, collective, &self.stats, self.found);
    }
}

/// Calls `agent#action` on `found` and collects the replies; stops early when
/// interrupted, with what is known.
pub async fn ask(
    client: &Client,
    agent: &str,
    action: &str,
    data: Map<String, Value>,
    collective: String,
    found: Discovered,
) -> anyhow::Result<Answers> {
    if found.nodes.is_empty() {
        bail!(
            "did not discover any nodes{}",
            trouble::nobody_found(client, &collective, &found, Some(agent))
        );
    }
    let ddl = resolver(client.config()).agent(agent)?;
    ddl.action(action).with_context(|| format!("unknown action {agent}#{action}"))?;
    let options = RpcOptions {
        agent: agent.to_owned(),
        action: action.to_owned(),
        data,
        collective,
        timeout: Duration::from_secs(usual_timeout(client.config(), &ddl)),
        batch: None,
    };
    collect(client, options, found).await
}

/// All replies of the nodes that were found; stops early when interrupted, with what
/// is known.
pub async fn collect(client: &Client, options: RpcOptions, mut found: Discovered) -> anyhow::Result<Answers> {
    let agent = options.agent.clone();
    let mut call = RpcCall::direct(client, options, found.nodes).await?;
    out::nodes_are_asked();
    let mut replies = vec![];
    let mut interrupted = false;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            reply = call.next() => match reply {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(e) if call.sent() => return Err(AfterAsking(e.to_string()).into()),
                Err(e) => return Err(e.into()),
            },
            _ = interrupt.recv() => {
                interrupted = true;
                break;
            }
        }
    }
    let mut stats = call.stats();
    stats.discover_time = found.took;
    stats.late_discoveries = found.late.names();
    Ok(Answers { replies, stats, interrupted, found: found.late.asked(), agent })
}
