//! One established connection: its socket, its TLS state, and what it may do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;

use super::allowed_replies::AllowedReplies;
use super::claims::Claim;
use super::copies;
use super::leaf::LeafLink;
use super::ledger::{Charge, Counter, LinkSlot};
use super::outbound::Outbound;
use super::pace::{Asked, THROTTLED, meant_to_hear};
use super::shown;
use super::subscriptions::NONE;
use super::tls::TlsSession;
use crate::core::admission::{Account, Grant, PeerKind, Permission, Responses};
use crate::core::nats::connect::ConnectOptions;

/// Bytes of a chain that nobody is charged for.
const USUAL_CHAIN: usize = 4096;

/// A connection that has been let in, on its way to a shard.
pub struct NewLink {
    /// Number of the connection.
    pub cid: u64,
    /// Socket, registered nowhere.
    pub stream: TcpStream,
    /// TLS state, past its handshake.
    pub tls: Option<Box<dyn TlsSession>>,
    /// Peer address.
    pub remote: SocketAddr,
    /// Listener it came by.
    pub listener: usize,
    /// Nonce of its INFO.
    pub nonce: Box<str>,
    /// Generation of the settings it was let in by.
    pub judged_by: u64,
    /// What CONNECT said.
    pub options: ConnectOptions,
    /// What it was given.
    pub grant: Grant,
    /// Plaintext behind CONNECT.
    pub input: Vec<u8>,
    /// Ciphertext that is no whole record yet.
    pub cipher: Vec<u8>,
    /// Bytes for the peer that the socket did not take yet: ciphertext on TLS links.
    pub unsent: Vec<u8>,
    /// Its place among the links of its identity.
    pub slot: LinkSlot,
    /// What it is beyond that, where it leads to a hub.
    pub leaf: Option<Box<LeafLink>>,
}

/// What reports show of a link and nothing else needs.
#[derive(Debug, Clone, Default)]
pub struct ClientInfo {
    /// User name from the grant.
    pub user: Box<str>,
    /// Connection name.
    pub name: Box<str>,
    /// Client library.
    pub lang: Box<str>,
    /// Its version.
    pub version: Box<str>,
    /// CONNECT, where it showed credentials: it is judged again after reloads.
    pub shown: Option<Box<ConnectOptions>>,
    /// Nonce of INFO, for a second CONNECT.
    pub nonce: Box<str>,
}

/// Options of CONNECT that matter for every line.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkFlags {
    /// `+OK` after each line.
    pub verbose: bool,
    /// Check published subjects.
    pub pedantic: bool,
    /// Hears its own messages.
    pub echo: bool,
    /// Understands HMSG.
    pub headers: bool,
    /// Wants status 503.
    pub no_responders: bool,
    /// Understands INFO at any time.
    pub infos: bool,
}

impl From<&ConnectOptions> for LinkFlags {
    fn from(options: &ConnectOptions) -> Self {
        Self {
            verbose: options.verbose,
            pedantic: options.pedantic,
            echo: options.echo,
            headers: options.headers,
            no_responders: options.no_responders,
            infos: options.protocol >= 1,
        }
    }
}

/// How often a link may say CONNECT again: each is judged as the first, on the shard's thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connects {
    count: u32,
    since: Duration,
}

impl Connects {
    /// So many in [`Self::WITHIN`].
    const MOST: u32 = 4;
    /// The time that counts.
    const WITHIN: Duration = Duration::from_secs(10);

    /// Whether one more is allowed now; counts it.
    pub fn allow(&mut self, now: Duration) -> bool {
        if now >= self.since + Self::WITHIN {
            *self = Self { count: 0, since: now };
        }
        self.count += 1;
        self.count <= Self::MOST
    }
}

/// Message counters of a link.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Messages from the client.
    pub in_msgs: u64,
    /// Their payload bytes.
    pub in_bytes: u64,
    /// Messages to the client.
    pub out_msgs: u64,
    /// Their payload bytes.
    pub out_bytes: u64,
    /// Messages it did not get, because it was too far behind.
    pub lost: u64,
}

/// See the module documentation. Times are on the shard's clock.
pub struct Link {
    /// Number of the connection.
    pub cid: u64,
    /// Socket.
    pub stream: TcpStream,
    /// TLS state.
    pub tls: Option<Box<dyn TlsSession>>,
    /// Account it is in.
    pub account: Account,
    /// What it may publish.
    pub publish: Arc<Permission>,
    /// What it may subscribe.
    pub subscribe: Arc<Permission>,
    /// Where it may answer beside that.
    pub replies: Option<Box<AllowedReplies>>,
    /// Most subscriptions, if limited for this one.
    pub max_subscriptions: Option<usize>,
    /// What it holds, in the broker's account.
    pub charge: Charge,
    /// Bytes of its subscriptions in tables and index.
    pub subscribed: usize,
    /// The peer has said goodbye: when what it said before has been acted on, it goes.
    pub ended: bool,
    /// When its unfinished input began, where there is any.
    pub begun: Option<Duration>,
    /// A timer looks after it; there is never more than one.
    pub whole_timer: bool,
    /// Bytes published lately that its identity has not been told of yet, and since when.
    pub said: usize,
    /// See `said`.
    pub said_since: Duration,
    /// What it heard lately, see [`meant_to_hear`](super::pace::meant_to_hear), and since when.
    pub heard_lately: u32,
    /// See `heard_lately`.
    pub heard_since: Duration,
    /// What it may answer, where it is a waiting machine.
    pub asked: Asked,
    /// A timer ends the time its identity is throttled, or itself.
    pub throttled: bool,
    /// Until when nothing more of it is acted on: streams have delivered much to it.
    pub held_until: Duration,
    /// CONNECTs it may still say, and since when.
    pub connects: Connects,
    /// How it wants to be treated.
    pub flags: LinkFlags,
    /// Plaintext that is no whole line or message yet; owns nothing when empty.
    pub input: Vec<u8>,
    /// No progress before `input` holds this many bytes.
    pub need: usize,
    /// Ciphertext that is no whole record yet; owns nothing when empty.
    pub cipher: Vec<u8>,
    /// What waits to be sent.
    pub outbound: Option<Box<Outbound>>,
    /// First of its subscriptions.
    pub subscriptions: u32,
    /// Number of its subscriptions.
    pub subscription_count: u32,
    /// Counters.
    pub traffic: Traffic,
    /// When it was admitted.
    pub since: Duration,
    /// When anything was received last.
    pub heard: Duration,
    /// Pings not answered yet.
    pub pings: u32,
    /// When the last of them was sent.
    pub pinged: Duration,
    /// Time from the last ping to its answer in microseconds, 0 before there was one.
    pub rtt: u32,
    /// Peer address.
    pub remote: SocketAddr,
    /// Listener it came by.
    pub listener: u16,
    /// It is so far behind that it loses messages.
    pub loses: bool,
    /// How often it has got the message at hand.
    pub copies: copies::OfLink,
    /// A timer looks after blocked writes; there is never more than one.
    pub write_timer: bool,
    /// The second INFO was sent.
    pub introduced: bool,
    /// The socket takes data, as far as known.
    pub writable: bool,
    /// On the list of links to flush.
    pub dirty: bool,
    /// On the list of links to read from.
    pub queued: bool,
    /// The system has seen the end of the peer's stream.
    pub hung_up: bool,
    /// On the list of links to close: takes and sends nothing more.
    pub closing: bool,
    /// Bytes of the certificates it showed, beyond what a connection costs anyway.
    pub certificates: u32,
    /// Until when they are valid, unix time.
    pub valid_until: Option<i64>,
    /// It leads to a hub.
    pub leaf: Option<Box<LeafLink>>,
    /// The name it claims, where it is a waiting node.
    pub claim: Option<Box<Claim>>,
    /// For reports.
    pub client: Box<ClientInfo>,
}

impl Link {
    /// Whether a message of it may ask for an answer at that subject. Whoever answers may
    /// publish more than it does, the engine of streams everything: so it has to be a place
    /// where this link itself hears answers, or may publish; where others are asked that is not enough, for what answers
    /// say there nobody pays for.
    pub fn may_be_answered_at(&self, reply: &[u8]) -> bool {
        if self.publish.is_unrestricted() {
            return true;
        }
        let mut tokens = reply.split(|byte| *byte == b'.');
        let first = tokens.next().unwrap_or_default();
        let asks = matches!(tokens.next(), Some(b"broadcast" | b"node" | b"service" | b"governor"));
        let hears = !asks && !first.starts_with(b"$") && self.subscribe.may_subscribe(reply, None);
        let is_service = self.charge.holder().kind() == PeerKind::Service;
        hears || (!asks || is_service) && self.publish.may_publish(reply)
    }

    /// Until when nothing more of it is acted on; in the past, most of the time.
    pub fn throttled_until(&self) -> Duration {
        self.charge.holder().pace().throttled_until().max(self.held_until)
    }

    /// The same of what streams are asked: nobody counts what the engine then says, so it is a place where answers to
    /// this link alone are heard, and none where others are asked or told.
    pub fn hears_answers_at(&self, place: &[u8]) -> bool {
        let mut tokens = place.split(|byte| *byte == b'.');
        let (first, second) = (tokens.next().unwrap_or_default(), tokens.next().unwrap_or_default());
        let is_inbox = second == b"reply" || first.starts_with(b"_INBOX");
        self.publish.is_unrestricted() || is_inbox && self.subscribe.may_subscribe(place, None)
    }

    /// Takes a new link over; returns it with the bytes that came behind CONNECT.
    pub fn new(new: NewLink, now: Duration, counter: &Counter) -> (Self, Vec<u8>, Vec<u8>) {
        let mut link = Self {
            cid: new.cid,
            stream: new.stream,
            tls: new.tls,
            account: new.grant.account,
            publish: new.grant.publish.clone(),
            subscribe: new.grant.subscribe.clone(),
            replies: None,
            max_subscriptions: None,
            charge: Charge::new(new.slot, counter),
            subscribed: 0,
            ended: false,
            begun: None,
            whole_timer: false,
            said: 0,
            said_since: now,
            heard_lately: 0,
            heard_since: now,
            asked: Asked::default(),
            throttled: false,
            held_until: Duration::ZERO,
            connects: Connects::default(),
            flags: LinkFlags::default(),
            input: Vec::new(),
            need: 0,
            cipher: new.cipher,
            outbound: None,
            subscriptions: NONE,
            subscription_count: 0,
            traffic: Traffic::default(),
            since: now,
            heard: now,
            pings: 0,
            pinged: now,
            rtt: 0,
            remote: new.remote,
            listener: new.listener as u16,
            loses: false,
            copies: copies::OfLink::default(),
            write_timer: false,
            introduced: false,
            writable: true,
            dirty: false,
            queued: false,
            hung_up: false,
            closing: false,
            leaf: new.leaf,
            claim: None,
            certificates: 0,
            valid_until: None,
            client: Box::new(ClientInfo { nonce: new.nonce, ..ClientInfo::default() }),
        };
        link.certificates = shown::size(link.tls.as_deref()).saturating_sub(USUAL_CHAIN) as u32;
        link.valid_until = shown::valid_until(link.tls.as_deref());
        link.grant(new.grant);
        link.introduce(new.options);
        (link, new.input, new.unsent)
    }

    /// Gives it what it may do.
    pub fn grant(&mut self, grant: Grant) {
        self.account = grant.account;
        self.publish = grant.publish;
        self.subscribe = grant.subscribe;
        self.replies = grant.responses.map(|rule| Box::new(AllowedReplies::new(rule)));
        self.max_subscriptions = grant.limits.max_subscriptions;
        self.client.user = grant.user.into();
    }

    /// Takes what it said of itself in CONNECT.
    pub fn introduce(&mut self, options: ConnectOptions) {
        self.flags = LinkFlags::from(&options);
        self.client.shown = options.shows_credentials().then(|| Box::new(options.clone()));
        self.client.name = options.name.into();
        self.client.lang = options.lang.into();
        self.client.version = options.version.into();
    }

    /// Memory that what waits for it may need, messages shared with others counted in full.
    pub fn weight(&self) -> usize {
        self.outbound.as_ref().map_or(0, |outbound| outbound.weight())
    }

    /// Counts a message of so many bytes to it; whether it hears more than it is meant to.
    pub fn hears(&mut self, length: usize, now: Duration) -> bool {
        let Some(most) = meant_to_hear(self.charge.holder().kind()) else { return false };
        if now >= self.heard_since + THROTTLED {
            (self.heard_lately, self.heard_since) = (0, now);
        }
        self.heard_lately = self.heard_lately.saturating_add(1 + (length / 4096) as u32);
        self.heard_lately > most
    }

    /// Whether whole lines or messages wait in its input.
    pub fn has_more_to_say(&self) -> bool {
        !self.input.is_empty() && self.input.len() >= self.need
    }

    /// Enters what it holds now into the account.
    pub fn settle(&mut self) {
        let shown = self.client.shown.as_ref().map_or(0, |shown| shown.size());
        let texts = self.client.user.len() + self.client.name.len() + self.client.lang.len();
        let kept = self.input.capacity()
            + shown
            + 4 * texts
            + self.certificates as usize
            + self.cipher.capacity()
            + self.subscribed
            + self.replies.as_ref().map_or(0, |replies| replies.bytes())
            + self.leaf.as_ref().map_or(0, |leaf| leaf.bytes());
        let (own, weight) =
            self.outbound.as_ref().map_or((0, 0), |outbound| (outbound.own(), outbound.weight()));
        self.charge.set(kept + own, self.subscribed, kept + weight);
    }

    /// What it was granted about answers.
    pub fn responses(&self) -> Option<Responses> {
        self.replies.as_ref().map(|replies| replies.rule())
    }

    /// Bytes waiting to be sent.
    pub fn pending(&self) -> usize {
        self.outbound.as_ref().map_or(0, |outbound| outbound.pending())
    }
}
