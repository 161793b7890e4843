//! One caller's connection, and requests on it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::addresses::Addresses;
use super::outgoing::{Letter, Outgoing, Post};
use super::replies::{Heard, Replies};
use crate::core::config::{Config, Environment};
use crate::core::connection::{
    ConnectError, FirstFailure, HostError, PublishError, Purpose, ServerList, Session, SessionOptions,
};
use crate::core::protocol::filter::Filter;
use crate::core::protocol::subjects;
use crate::core::protocol::v1::{Envelope, Federation, Headers, Request, Transport, new_request_id};
use crate::core::security::{Provider, SecurityError, Signer};

/// Node subjects in one message to a federation broker.
const FEDERATED_TARGETS: usize = 200;
/// Least time a first connection is tried, whatever is configured.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// Who is asked.
#[derive(Debug, Clone)]
pub enum Targets {
    /// Every node that has the agent; the filter decides there.
    Broadcast,
    /// These nodes.
    Direct(Arc<[String]>),
    /// Any one node that offers the service.
    Service,
}

/// A request could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum ClientError {
    #[error(transparent)]
    Hosts(#[from] HostError),
    #[error(transparent)]
    Security(#[from] SecurityError),
    #[error("{error}{}", listed(.doubts))]
    Connect { error: ConnectError, doubts: Vec<String> },
    #[error("the request was not sent: {0}")]
    Publish(#[from] PublishError),
    #[error("cannot set collective to '{0}', it is not on the list of known collectives: {1}")]
    Collective(String, String),
    #[error(
        "requests without filters have been disabled by plugin.choria.require_client_filter, add a filter such as -F, -C or -I"
    )]
    FilterRequired,
    #[error("{0}")]
    Unfit(String),
    #[error(
        "the broker does not let {caller} {what}: there, its certificate is not one of a client \
         (plugin.choria.network.client_certnames of the broker), or its permissions leave this out"
    )]
    Denied { caller: String, what: String },
    #[error("no random numbers are to be had")]
    NoRandom,
    #[error("ttl is {0} seconds, a request needs at least 30; set ttl in the client configuration")]
    Ttl(i64),
}

fn listed(doubts: &[String]) -> String {
    doubts.iter().map(|doubt| format!("; {doubt}")).collect()
}

/// One caller, connected.
pub struct Client {
    session: Session,
    /// Further connections that share the work of taking replies.
    receivers: Vec<Session>,
    signer: Signer,
    config: Arc<Config>,
    caller: String,
    doubts: Vec<String>,
}

/// How a client connects.
#[derive(Default)]
pub struct ClientOptions {
    /// Connections that take replies, at least one; one is enough for any fleet
    /// unless TLS is what limits a client.
    pub workers: usize,
    /// Hears why the first try failed, when there will be another.
    pub first_failure: Option<FirstFailure>,
}

impl Client {
    /// Connects; gives up after `plugin.choria.network.connect_limit` with the
    /// reason each broker gave, and at once when all of them refuse this caller.
    ///
    /// # Errors
    /// [`ClientError`]; a certificate that nobody can accept is one before
    /// anything is connected.
    pub async fn connect(
        config: Arc<Config>,
        provider: &Arc<Provider>,
        env: &dyn Environment,
        with: ClientOptions,
    ) -> Result<Client, ClientError> {
        let now = jiff::Timestamp::now().as_second();
        if let Some(reason) = provider.unfit(now) {
            return Err(ClientError::Unfit(reason));
        }
        let purpose = if config.choria_federation_collectives.is_empty() {
            Purpose::Fleet
        } else {
            Purpose::Federation
        };
        let servers = ServerList::from_config(&config, purpose, env)?;
        let caller = provider.caller_id().as_str().to_owned();
        let tls = provider.client_tls()?;
        let options = || {
            let inboxes = subjects::caller_inbox_prefix(&config.main_collective, &caller);
            let mut options = SessionOptions::new(&caller, servers.clone(), inboxes);
            options.tls = Some(tls.clone());
            options.connect_timeout = config.choria_network_connect_timeout;
            options.give_up_after = Some(config.choria_network_connect_limit.max(LEAST_PATIENCE));
            options.first_failure = with.first_failure.clone();
            options.user = (!config.nats_user.is_empty() && !config.nats_pass.is_empty())
                .then(|| (config.nats_user.clone(), config.nats_pass.clone().into()));
            options
        };
        let doubts = provider.doubts(now);
        let connecting = || async {
            Session::connect(options()).await.map_err(|error| {
                // Who is not even spoken to is not refused for a certificate.
                let doubts = if error.refused { doubts.clone() } else { vec![] };
                ClientError::Connect { error, doubts }
            })
        };
        let session = connecting().await?;
        let mut receivers = vec![];
        for _ in 1..with.workers {
            receivers.push(connecting().await?);
        }
        Ok(Client { session, receivers, signer: provider.signer()?, config, caller, doubts })
    }

    /// Why brokers and nodes might refuse this caller, as far as can be known
    /// here: what to say when nobody answers.
    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }

    /// The configuration the client was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The connection below.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The collective to use: `wanted`, which has to be a known one, or the
    /// main collective.
    pub fn collective(&self, wanted: Option<&str>) -> Result<String, ClientError> {
        match wanted {
            None => Ok(self.config.main_collective.clone()),
            Some(name) if self.config.collectives.iter().any(|c| c == name) => Ok(name.to_owned()),
            Some(name) => Err(ClientError::Collective(name.to_owned(), self.config.collectives.join(", "))),
        }
    }

    /// Opens a conversation with `agent`: replies are subscribed to before
    /// anything is sent.
    pub async fn converse(
        &self,
        agent: &str,
        payload: String,
        collective: String,
        filter: Filter,
    ) -> Result<Conversation<'_>, ClientError> {
        if self.config.ttl < 30 {
            return Err(ClientError::Ttl(self.config.ttl));
        }
        if self.config.choria_require_client_filter && unfiltered(agent, &filter) {
            return Err(ClientError::FilterRequired);
        }
        let request_id = new_request_id();
        let reply_subject = subjects::reply(&collective, &self.caller, &request_id);
        let addresses = Addresses::new(reply_subject)?;
        let (replies, sink) = Replies::new(addresses.clone());
        let complaints = self.session.complaints();
        let complaints_read = self.session.broker_errors().len();
        // The connection that publishes is one of the group: a reply that comes
        // before the others are known still finds somebody.
        let queue = (!self.receivers.is_empty()).then(|| self.caller.clone());
        for session in [&self.session].into_iter().chain(&self.receivers) {
            for subject in [addresses.shared().to_owned(), addresses.of_nodes()] {
                session.subscribe_within(subject, queue.clone(), sink.clone(), replies.budget()).await;
            }
        }
        // Only the connection that publishes is told that nobody listens.
        self.session.subscribe_within(addresses.of_broker(), None, sink, replies.budget()).await;
        let agent = agent.to_owned();
        Ok(Conversation {
            client: self,
            agent,
            payload,
            collective,
            filter,
            request_id,
            addresses,
            elsewhere: None,
            replies,
            complaints,
            complaints_read,
            denials: VecDeque::new(),
        })
    }
}

/// Discovery carries the agent it looks for, which narrows nothing down.
fn unfiltered(agent: &str, filter: &Filter) -> bool {
    let bare = filter.fact.is_empty()
        && filter.cf_class.is_empty()
        && filter.identity.is_empty()
        && filter.compound.is_empty();
    bare && (filter.agent.is_empty() || agent == "discovery" && filter.agent.len() == 1)
}

/// One request id and its replies.
pub struct Conversation<'a> {
    client: &'a Client,
    agent: String,
    payload: String,
    collective: String,
    filter: Filter,
    request_id: String,
    addresses: Addresses,
    /// Where replies go instead.
    elsewhere: Option<String>,
    replies: Replies,
    complaints: watch::Receiver<u64>,
    complaints_read: usize,
    denials: VecDeque<Heard>,
}

impl Conversation<'_> {
    /// The request id.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The agent asked.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Sends replies elsewhere: nothing arrives here then.
    pub fn reply_to(&mut self, subject: String) {
        self.elsewhere = Some(subject);
    }

    /// Signs the request as of now and publishes it to the targets.
    pub async fn send(&self, targets: Targets) -> Result<(), ClientError> {
        let mut outgoing = self.outgoing(targets)?;
        while outgoing.send_some().await? {}
        Ok(())
    }

    /// Signs the request as of now; it is the caller's to send, between looks at
    /// what comes back.
    pub(super) fn outgoing(&self, targets: Targets) -> Result<Outgoing, ClientError> {
        let secure = self.client.signer.sign(&self.request())?.encode().into_bytes();
        let federations = &self.client.config.choria_federation_collectives;
        let post = match targets {
            _ if !federations.is_empty() => Post::Carried(self.carried(&secure, &self.subjects(&targets))),
            Targets::Direct(nodes) => {
                Post::Each { collective: self.collective.clone(), nodes, letter: self.letter(secure) }
            }
            Targets::Broadcast | Targets::Service => Post::All {
                subject: self.subjects(&targets).swap_remove(0),
                message: Bytes::from(self.transport(secure, None).encode()),
            },
        };
        Ok(Outgoing::new(self.client.session.clone(), self.addresses.clone(), post))
    }

    /// The message to single nodes: each is told an address of its own, unless
    /// replies go elsewhere.
    fn letter(&self, secure: Vec<u8>) -> Letter {
        let transport = self.transport(secure, None);
        match (&self.elsewhere, transport.encode_with_gap()) {
            (None, (text, Some(gap))) => Letter::Own { text, gap },
            (_, (text, _)) => Letter::Same(Bytes::from(text)),
        }
    }

    /// The addresses by which nodes that are asked by name answer; none where
    /// they are all told the same.
    pub(super) fn own_addresses(&self) -> Option<Addresses> {
        let carried = !self.client.config.choria_federation_collectives.is_empty();
        (!carried && self.elsewhere.is_none()).then(|| self.addresses.clone())
    }

    fn subjects(&self, targets: &Targets) -> Vec<String> {
        match targets {
            Targets::Broadcast => vec![subjects::broadcast(&self.collective, &self.agent)],
            Targets::Service => vec![subjects::service(&self.collective, &self.agent)],
            Targets::Direct(nodes) => nodes.iter().map(|n| subjects::node(&self.collective, n)).collect(),
        }
    }

    /// One message for so many subjects, to each federation.
    fn carried(&self, secure: &[u8], nodes: &[String]) -> Vec<(String, Bytes)> {
        let federations = &self.client.config.choria_federation_collectives;
        let mut messages = vec![];
        for targets in nodes.chunks(FEDERATED_TARGETS) {
            let message = Bytes::from(self.transport(secure.to_vec(), Some(targets.to_vec())).encode());
            messages.extend(federations.iter().map(|f| (subjects::federation(f), message.clone())));
        }
        messages
    }

    fn request(&self) -> Request {
        let config = &self.client.config;
        Request {
            message: self.payload.clone(),
            envelope: Envelope {
                requestid: self.request_id.clone(),
                senderid: config.identity.clone(),
                callerid: self.client.caller.clone(),
                collective: self.collective.clone(),
                agent: self.agent.clone(),
                ttl: config.ttl,
                time: jiff::Timestamp::now().as_second(),
                filter: self.filter.clone(),
            },
        }
    }

    fn transport(&self, data: Vec<u8>, federated: Option<Vec<String>>) -> Transport {
        let identity = self.client.config.identity.clone();
        let url = self.client.session.connected_server().unwrap_or_else(|| "unknown".to_owned());
        let federation = federated.map(|targets| Federation {
            request: self.request_id.clone(),
            reply_to: String::new(),
            targets,
        });
        let headers = Headers {
            reply_to: Some(self.elsewhere.clone().unwrap_or_else(|| self.addresses.shared().to_owned())),
            sender: identity.clone(),
            seen_by: vec![[url.clone(), identity, url]],
            federation,
        };
        Transport { data, headers }
    }

    /// Asks the broker to say when it has worked through everything sent so
    /// far: [`Heard::Probed`] with this number. It says so by telling that
    /// nobody listens on the subject of a node that cannot be; where somebody
    /// listens to all subjects the answer does not come.
    pub async fn probe(&self, number: u64) -> Result<(), ClientError> {
        let nowhere = subjects::node(&self.collective, &self.request_id);
        let back = self.addresses.probe(number);
        self.client.session.line().await?.publish(nowhere, Some(back), Bytes::new()).await?;
        self.client.session.flush().await;
        Ok(())
    }

    /// What is still to come, after nothing more will be sent.
    pub fn into_replies(self) -> Replies {
        self.replies
    }

    /// What arrives next, `None` at `deadline`.
    pub async fn next(&mut self, deadline: Instant) -> Option<Heard> {
        loop {
            // nothing is set up to wait for what is there
            let there = self.denials.pop_front().or_else(|| self.replies.try_next());
            if there.is_some() {
                return there;
            }
            tokio::select! {
                biased;
                heard = self.replies.next(deadline) => return heard,
                changed = self.complaints.changed() => match changed {
                    Ok(()) => self.read_complaints(),
                    // The session has gone, and with it whoever could complain.
                    Err(_) => return self.replies.next(deadline).await,
                },
            }
        }
    }

    /// The error of a conversation whose caller may not do `what`.
    pub fn denied(&self, what: String) -> ClientError {
        ClientError::Denied { caller: self.client.caller.clone(), what }
    }

    /// Messages dropped because too many bytes of them waited.
    pub fn overflowed(&self) -> u64 {
        self.replies.overflowed()
    }

    /// Picks what concerns this conversation out of what the broker has denied.
    fn read_complaints(&mut self) {
        const PUBLISH: &str = "Permissions Violation for Publish to ";
        const SUBSCRIBE: &str = "Permissions Violation for Subscription to ";
        let errors = self.client.session.broker_errors_from(self.complaints_read);
        self.complaints_read += errors.len();
        for error in errors {
            let subject = |after: &str| Some(error.split_once(after)?.1.split('"').nth(1)?.to_owned());
            let denied = match (subject(PUBLISH), subject(SUBSCRIBE)) {
                (Some(subject), _) => {
                    let node = subject.strip_prefix(&subjects::node(&self.collective, ""));
                    let everybody = [subjects::broadcast, subjects::service]
                        .iter()
                        .any(|of| of(&self.collective, &self.agent) == subject);
                    match node {
                        Some(node) => Some(Heard::DeniedAt(node.to_owned())),
                        None => everybody.then(|| Heard::Denied(format!("publish to {subject}"))),
                    }
                }
                (None, Some(subject)) => (subject == self.addresses.shared()
                    || subject == self.addresses.of_nodes())
                .then(|| Heard::Denied(format!("hear replies on {subject}"))),
                (None, None) => None,
            };
            self.denials.extend(denied);
        }
    }
}
