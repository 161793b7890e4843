//! One request id and its replies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::addresses::Addresses;
use super::caller::Client;
use super::complaints::{About, Complaints};
use super::error::ClientError;
use super::outgoing::{Fence, Letter, Outgoing, Post};
use super::replies::{Heard, Replies};
use crate::core::protocol::filter::Filter;
use crate::core::protocol::subjects;
use crate::core::protocol::v1::{Envelope, Federation, Headers, Request, Transport, new_request_id};
use crate::core::rpc::RequestBody;

/// Node subjects in one message to a federation broker.
const FEDERATED_TARGETS: usize = 200;
/// How long the broker's word that replies can be heard is waited for. Only
/// where somebody hears all there is does the first way of asking not come back.
const CONFIRMED: Duration = Duration::from_secs(2);
const FIRST_WAY: Duration = Duration::from_millis(250);

/// Nodes that are named in what is signed. Each is sent all names, so with more the request would be
/// larger than what it says.
const NAMED: usize = 64;

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

impl Client {
    /// Opens a conversation with `agent`. Nothing is sent before the broker has
    /// said that the replies can be heard: an action that runs and whose caller
    /// is told that it was not allowed to ask would be the worst of both.
    ///
    /// # Errors
    /// [`ClientError`]; nothing was sent then.
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
        let (mut replies, sink) = Replies::new(addresses.clone());
        let nowhere = subjects::node(&collective, &request_id);
        let federations = &self.config.choria_federation_collectives;
        let mut everybody =
            vec![subjects::broadcast(&collective, agent), subjects::service(&collective, agent)];
        everybody.extend(federations.iter().map(|federation| subjects::federation(federation)));
        let complaints = Complaints::about(About {
            nodes: subjects::node(&collective, ""),
            nowhere,
            everybody,
            replies: vec![addresses.shared().to_owned(), addresses.of_nodes(), addresses.of_broker()],
        });
        for session in [&self.session].into_iter().chain(&self.receivers) {
            session.hear_complaints(complaints.listener());
        }
        // The connection that publishes is one of the group: a reply that comes
        // before the others are known still finds somebody.
        let queue = (!self.receivers.is_empty()).then(|| self.caller.clone());
        for session in [&self.session].into_iter().chain(&self.receivers) {
            for subject in [addresses.shared().to_owned(), addresses.of_nodes()] {
                replies.hear(session, subject, queue.clone(), &sink).await;
            }
        }
        // Only the connection that publishes is told that nobody listens.
        replies.hear(&self.session, addresses.of_broker(), None, &sink).await;
        let agent = agent.to_owned();
        let mut conversation = Conversation {
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
            round_trip: Duration::ZERO,
            down: BTreeSet::new(),
        };
        let asked = Instant::now();
        conversation.confirm().await?;
        conversation.round_trip = asked.elapsed();
        Ok(conversation)
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
    pub(super) client: &'a Client,
    agent: String,
    payload: String,
    pub(super) collective: String,
    filter: Filter,
    request_id: String,
    addresses: Addresses,
    /// Where replies go instead.
    elsewhere: Option<String>,
    replies: Replies,
    complaints: Arc<Complaints>,
    /// How long the broker took to say that replies will be heard.
    round_trip: Duration,
    /// Federations that nobody carries requests to.
    down: BTreeSet<String>,
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

    /// How long the broker took to answer before anybody was asked.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Says in its body that the request waits.
    pub(super) fn wait_until(&mut self, until: i64) {
        self.payload = RequestBody::waiting_until(std::mem::take(&mut self.payload), until);
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
        if let Targets::Direct(nodes) = &targets {
            self.complaints.expect(nodes.len());
        }
        let secure = self.client.signer.sign(&self.request(&targets))?.encode().into_bytes();
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
        let fence = Fence { nowhere: self.complaints.nowhere().to_owned(), denied: self.complaints.clone() };
        Ok(Outgoing::new(self.client.session.clone(), self.addresses.clone(), post, fence))
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
            messages.extend(federations.iter().map(|f| (f.clone(), message.clone())));
        }
        messages
    }

    /// The request to these targets. What is signed does not say whom it is for, but what filter
    /// it has: so that nobody who is asked can pass it on to others in time, few are named there.
    fn request(&self, targets: &Targets) -> Request {
        let config = &self.client.config;
        let mut filter = self.filter.clone();
        if let Targets::Direct(nodes) = targets
            && nodes.len() <= NAMED
        {
            filter.identity = nodes.to_vec();
        }
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
                filter,
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
        let nowhere = self.complaints.nowhere().to_owned();
        let back = self.addresses.probe(number);
        self.client.session.line().await?.publish(nowhere, Some(back), Bytes::new()).await?;
        self.client.session.flush().await;
        Ok(())
    }

    /// What is still to come, after nothing more will be sent.
    pub fn into_replies(self) -> Replies {
        self.replies
    }

    /// Waits for the broker's word that replies will be heard here.
    async fn confirm(&mut self) -> Result<(), ClientError> {
        let begun = Instant::now();
        self.probe(0).await?;
        let mut first_way = true;
        loop {
            let deadline = begun + if first_way { FIRST_WAY } else { CONFIRMED };
            match self.next(deadline).await {
                // Whoever may not ask anybody is told so when it asks.
                Some(Heard::Probed(_) | Heard::ProbeDenied | Heard::Myself) => return Ok(()),
                Some(Heard::Denied(what)) => return Err(self.denied(what)),
                Some(Heard::Complaint(text)) => return Err(ClientError::Complained(text)),
                Some(_) => {}
                None if first_way => {
                    first_way = false;
                    let myself = self.addresses.myself();
                    self.client.session.line().await?.publish(myself, None, Bytes::new()).await?;
                }
                None => {
                    tracing::debug!("the broker does not say whether replies are heard, asking all the same");
                    return Ok(());
                }
            }
        }
    }

    /// Federations that are down, by the broker's word.
    pub fn down(&self) -> &BTreeSet<String> {
        &self.down
    }

    /// What arrives next, `None` at `deadline`. Federations that are down are kept; when
    /// none is left, there is nobody at all.
    pub async fn next(&mut self, deadline: Instant) -> Option<Heard> {
        loop {
            match self.hear(deadline).await? {
                Heard::NobodyCarries(federation) => {
                    self.down.insert(federation);
                    if self.all_down() {
                        return Some(Heard::NobodyAtAll);
                    }
                }
                heard => return Some(heard),
            }
        }
    }

    /// Whether requests are carried by federations, and by none of them.
    pub(super) fn all_down(&self) -> bool {
        let federations = &self.client.config.choria_federation_collectives;
        !federations.is_empty() && federations.iter().all(|federation| self.down.contains(federation))
    }

    async fn hear(&mut self, deadline: Instant) -> Option<Heard> {
        loop {
            // nothing is set up to wait for what is there
            let there = self.complaints.next().or_else(|| self.replies.try_next());
            if there.is_some() {
                return there;
            }
            tokio::select! {
                biased;
                heard = self.replies.next(deadline) => return heard,
                () = self.complaints.came() => {}
            }
        }
    }

    /// The error of a conversation whose caller may not do `what`.
    pub fn denied(&self, what: String) -> ClientError {
        self.client.denied(what)
    }

    /// Messages dropped because too many bytes of them waited.
    pub fn overflowed(&self) -> u64 {
        self.replies.overflowed()
    }
}
