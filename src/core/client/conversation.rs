//! One caller's connection, and requests on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::core::config::{Config, Environment};
use crate::core::connection::{
    ConnectError, HostError, Message, PublishError, Purpose, ServerList, Session, SessionOptions,
};
use crate::core::protocol::filter::Filter;
use crate::core::protocol::subjects;
use crate::core::protocol::v1::{Envelope, Federation, Headers, Request, Transport, new_request_id};
use crate::core::security::{Provider, SecurityError, Signer};

/// Replies that wait to be looked at; a fleet's answer to one broadcast.
const REPLIES: usize = 65_536;
/// Node subjects in one message to a federation broker.
const FEDERATED_TARGETS: usize = 200;
/// How long a first connection is tried before a person is told.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Who is asked.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// Every node that has the agent; the filter decides there.
    Broadcast,
    /// These nodes.
    Direct(&'a [String]),
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
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the request was not sent: {0}")]
    Publish(#[from] PublishError),
    #[error("cannot set collective to '{0}', it is not on the list of known collectives: {1}")]
    Collective(String, String),
    #[error(
        "requests without filters have been disabled by plugin.choria.require_client_filter, add a filter such as -F, -C or -I"
    )]
    FilterRequired,
    #[error("ttl is {0} seconds, a request needs at least 30; set ttl in the client configuration")]
    Ttl(i64),
}

/// One caller, connected.
pub struct Client {
    session: Session,
    /// Further connections that share the work of taking replies.
    receivers: Vec<Session>,
    signer: Signer,
    config: Arc<Config>,
    caller: String,
}

impl Client {
    /// Connects; gives up after ten seconds with the reason each broker gave.
    ///
    /// Replies arrive on `workers` connections, at least one; one is enough for
    /// any fleet unless TLS is what limits a client.
    pub async fn connect(
        config: Arc<Config>,
        provider: &Arc<Provider>,
        env: &dyn Environment,
        workers: usize,
    ) -> Result<Client, ClientError> {
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
            options.give_up_after = Some(GIVE_UP);
            options.user = (!config.nats_user.is_empty() && !config.nats_pass.is_empty())
                .then(|| (config.nats_user.clone(), config.nats_pass.clone().into()));
            options
        };
        let session = Session::connect(options()).await?;
        let mut receivers = vec![];
        for _ in 1..workers {
            receivers.push(Session::connect(options()).await?);
        }
        Ok(Client { session, receivers, signer: provider.signer()?, config, caller })
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
        let (sink, replies) = mpsc::channel(REPLIES);
        // The connection that publishes is one of the group: a reply that comes
        // before the others are known still finds somebody.
        let queue = (!self.receivers.is_empty()).then(|| self.caller.clone());
        for session in [&self.session].into_iter().chain(&self.receivers) {
            session.subscribe_into(reply_subject.clone(), queue.clone(), sink.clone()).await;
        }
        let agent = agent.to_owned();
        Ok(Conversation {
            client: self,
            agent,
            payload,
            collective,
            filter,
            request_id,
            reply_subject,
            replies,
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
    reply_subject: String,
    replies: mpsc::Receiver<Message>,
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
        self.reply_subject = subject;
    }

    /// Signs the request as of now and publishes it to the targets.
    pub async fn send(&self, targets: Targets<'_>) -> Result<(), ClientError> {
        let subjects: Vec<String> = match targets {
            Targets::Broadcast => vec![subjects::broadcast(&self.collective, &self.agent)],
            Targets::Service => vec![subjects::service(&self.collective, &self.agent)],
            Targets::Direct(nodes) => nodes.iter().map(|n| subjects::node(&self.collective, n)).collect(),
        };
        let secure = self.client.signer.sign(&self.request())?.encode().into_bytes();
        let federations = &self.client.config.choria_federation_collectives;
        if federations.is_empty() {
            let message = Bytes::from(self.transport(secure, None));
            for subject in subjects {
                self.client.session.publish(subject, message.clone()).await?;
            }
        } else {
            for targets in subjects.chunks(FEDERATED_TARGETS) {
                let message = Bytes::from(self.transport(secure.clone(), Some(targets.to_vec())));
                for cluster in federations {
                    self.client.session.publish(subjects::federation(cluster), message.clone()).await?;
                }
            }
        }
        self.client.session.flush().await;
        Ok(())
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

    fn transport(&self, data: Vec<u8>, federated: Option<Vec<String>>) -> String {
        let identity = self.client.config.identity.clone();
        let url = self.client.session.connected_server().unwrap_or_else(|| "unknown".to_owned());
        let federation = federated.map(|targets| Federation {
            request: self.request_id.clone(),
            reply_to: String::new(),
            targets,
        });
        let headers = Headers {
            reply_to: Some(self.reply_subject.clone()),
            sender: identity.clone(),
            seen_by: vec![[url.clone(), identity, url]],
            federation,
        };
        Transport { data, headers }.encode()
    }

    /// What is still to come, after nothing more will be sent.
    pub fn into_replies(self) -> mpsc::Receiver<Message> {
        self.replies
    }

    /// The next message on the reply subject, `None` at `deadline`.
    pub async fn next(&mut self, deadline: Instant) -> Option<Message> {
        tokio::time::timeout_at(deadline.into(), self.replies.recv()).await.ok().flatten()
    }
}
