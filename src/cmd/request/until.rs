//! `--until`: what nodes that do not answer are left, to run once when they come.

use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::client::{Client, RequestStats};
use choria::core::deferred::{Deferred, Head, Keeping, MOST_NODES};
use choria::core::protocol::deferred::{LARGEST, LONGEST};
use choria::core::protocol::subjects;
use choria::core::protocol::v1::{Envelope, SecureRequest};
use choria::core::rpc::RequestBody;
use jiff::Timestamp;

use crate::cmd::out::errln;
use crate::cmd::render::text::clean;
use crate::cmd::streams::clock;

/// Requests signed between two looks at the connection: a millisecond or some each.
const AT_ONCE: usize = 64;
/// Least time that makes sense: the ordinary request has taken some of it.
const SHORTEST: Duration = Duration::from_secs(30);
/// Bytes of what is asked; who asks, and his certificate's text, come beside it.
const MOST_ASKED: usize = LARGEST / 2;
/// Nodes that were not kept anything for and are named.
const NAMED: usize = 5;

/// How long it waits.
pub struct Until(i64);

/// A request that is about to be asked, and to wait.
pub struct Waits {
    keeping: Keeping,
    body: RequestBody,
    collective: String,
    made: i64,
    until: i64,
}

/// The way of a caller to what he keeps.
pub fn keeping(client: &Client, caller: &str) -> Keeping {
    let inboxes = subjects::caller_inbox_prefix(&client.config().main_collective, client.caller());
    Keeping::new(&client.streams(), caller, &inboxes)
}

impl Until {
    /// What a person gave.
    pub fn read(text: &str, elsewhere: bool) -> anyhow::Result<Until> {
        if elsewhere {
            bail!("--until keeps a request for nodes that do not answer, and no answers are waited for here");
        }
        let time = choria::core::config::parse_duration(text).with_context(|| format!("--until {text}"))?;
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        if time < SHORTEST || seconds > LONGEST {
            bail!("--until {text} is not between 30s and 30d: say how long it is to wait, such as 7d");
        }
        Ok(Until(seconds))
    }

    /// Finds out whether it can be kept, before anybody is asked.
    pub async fn begin(
        &self,
        client: &Client,
        body: RequestBody,
        collective: &str,
        service: bool,
        secrets: &[String],
    ) -> anyhow::Result<Waits> {
        if service {
            bail!("{} is a service, one node of which answers: there is nobody to wait for", body.agent);
        }
        if !client.config().choria_federation_collectives.is_empty() {
            bail!("--until does not go through federations: each network keeps its own requests");
        }
        if let Some(secret) = secrets.first() {
            bail!(
                "the input {} is a secret: what is kept for nodes can be read by the operators of the network",
                clean(secret, false)
            );
        }
        let size = body.encode().len();
        if size > MOST_ASKED {
            bail!("inputs of {size} bytes are too large to be kept, {MOST_ASKED} bytes may be");
        }
        let keeping = keeping(client, client.caller());
        let made = Timestamp::now().as_second();
        keeping.ready(made).await?;
        Ok(Waits { keeping, body, collective: collective.to_owned(), made, until: made + self.0 })
    }
}

impl Waits {
    /// When it is over, unix seconds.
    pub fn until(&self) -> i64 {
        self.until
    }

    /// Keeps it for those who did not answer.
    pub async fn keep(self, client: &Client, stats: &RequestStats) -> anyhow::Result<()> {
        let may = |node: &&String| stats.denied_by_broker.binary_search(node).is_err();
        let nodes: Vec<String> = stats.no_responses.iter().filter(may).cloned().collect();
        if nodes.is_empty() {
            return Ok(());
        }
        if nodes.len() > MOST_NODES {
            bail!(
                "{} nodes did not answer, and a request is kept for {MOST_NODES} at most: none is kept",
                nodes.len()
            );
        }
        let id = stats.requestid.clone();
        let envelope = Envelope {
            requestid: id.clone(),
            senderid: client.config().identity.clone(),
            callerid: client.caller().to_owned(),
            collective: self.collective.clone(),
            agent: self.body.agent.clone(),
            time: self.made,
            ..Envelope::default()
        };
        let body = self.body.encode();
        let head = Head {
            caller: client.caller().to_owned(),
            agent: self.body.agent.clone(),
            action: self.body.action.clone(),
            inputs: self.body.data.clone(),
            made: self.made,
            until: self.until,
            ended: None,
            nodes: nodes.clone(),
        };
        self.keeping.begin(&id, &head).await?;
        let mut failed = vec![];
        for some in nodes.chunks(AT_ONCE) {
            let mut signed: Vec<(String, SecureRequest)> = Vec::with_capacity(some.len());
            for node in some {
                let asked = stats.nobody_listens.binary_search(node).is_err();
                let deferred = Deferred::new(&envelope, node, self.until, asked, &body);
                signed.push((node.clone(), client.signer().sign_deferred(&deferred)?));
            }
            failed.extend(self.keeping.keep(&id, &signed).await);
        }
        let kept = nodes.len() - failed.len();
        if kept > 0 {
            let of = if kept == 1 {
                "1 node that did not answer"
            } else {
                &format!("{kept} nodes that did not answer")
            };
            let until = clock(Timestamp::from_second(self.until).unwrap_or_default());
            errln!("choria: kept for {of}, until {until}: choria requests show {id}");
        }
        match failed.first() {
            None => Ok(()),
            Some((_, why)) => {
                let names: Vec<&str> = failed.iter().take(NAMED).map(|(node, _)| node.as_str()).collect();
                bail!(
                    "it was not kept for {} nodes ({}{}): {why}",
                    failed.len(),
                    names.join(", "),
                    if failed.len() > NAMED { ", …" } else { "" }
                )
            }
        }
    }
}
