//! A shard's receiving side: bytes of a link to effects.

use std::time::Duration;

use super::close::Close;
use super::keepalive::{Due, LinkTimer};
use super::leaf::PAUSE;
use super::ledger::Charge;
use super::link::Link;
use super::shard::Shard;
use super::shared::LinkId;
use super::shown;
use super::wire::Received;
use crate::core::nats::codec::{self, Bounds, Event, ProtocolError, Step};
use crate::core::nats::connect::ConnectOptions;
use crate::core::nats::frame;
use crate::core::nats::leaf::read as leaf;

/// Bytes taken at least to complete what was left over: most lines are shorter.
const LINE: usize = 256;
/// Time one link may take of a turn.
const TURN: Duration = Duration::from_millis(2);

/// One thing a link said.
enum Said<'a> {
    Client(Event<'a>),
    Hub(leaf::Event<'a>),
}

/// Why there is none.
enum Unsaid {
    Need(usize),
    Client(ProtocolError),
    Hub(leaf::LeafError),
}

impl<'a> Said<'a> {
    fn of_client(bytes: &'a [u8], bounds: &Bounds) -> Result<(Self, usize), Unsaid> {
        match codec::next(bytes, bounds).map_err(Unsaid::Client)? {
            Step::Event(event, count) => Ok((Self::Client(event), count)),
            Step::Need(need) => Err(Unsaid::Need(need)),
        }
    }

    fn of_hub(bytes: &'a [u8], bounds: &Bounds) -> Result<(Self, usize), Unsaid> {
        match leaf::next(bytes, bounds).map_err(Unsaid::Hub)? {
            leaf::Step::Event(event, count) => Ok((Self::Hub(event), count)),
            leaf::Step::Need(need) => Err(Unsaid::Need(need)),
        }
    }
}

impl Shard {
    /// Reads once from a link and acts on it.
    pub(super) fn read_link(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        link.queued = false;
        if link.closing {
            return;
        }
        let throttled_until = link.throttled_until();
        if throttled_until > self.now {
            if !std::mem::replace(&mut link.throttled, true) {
                let timer = LinkTimer { link: key, cid: link.cid, due: Due::Release };
                self.wheel.insert(throttled_until, timer);
            }
            return;
        }
        if link.has_more_to_say() {
            // the socket may have more, of which nobody will tell again
            self.queue_read(key);
            self.ingest(key, &[]);
            return self.note_unfinished(key);
        }
        if link.ended {
            return self.close_later(key, Close::ClientClosed);
        }
        let mut scratch = std::mem::take(&mut self.reading);
        let received =
            scratch.receive(&mut link.stream, link.tls.as_deref_mut(), &mut link.cipher, link.hung_up);
        if !scratch.plain().is_empty() {
            link.heard = self.now;
            if link.charge.holder().shows_double(link.cid, self.now) {
                let (identity, remote) = (link.charge.holder().identity(), link.remote);
                self.shared.refusal_log.note("doubled", || {
                    tracing::warn!(
                        identity,
                        %remote,
                        "a node of this name is connected more than once, from here and elsewhere: do two machines \
                         have its certificate?"
                    );
                });
            }
            self.ingest(key, scratch.plain());
        }
        if !scratch.reply.is_empty() {
            self.queue_cipher(key, &scratch.reply);
        }
        self.reading = scratch;
        self.note_unfinished(key);
        match received {
            Ok(Received::Drained) => {
                if self.links.get(key as usize).is_some_and(Link::has_more_to_say) {
                    self.queue_read(key);
                }
            }
            Ok(Received::More) => self.queue_read(key),
            // what it said before is acted on before it goes
            Ok(Received::Closed) => {
                if let Some(link) = self.links.get_mut(key as usize) {
                    link.ended = true;
                }
                self.queue_read(key);
            }
            Err(error) if error.is_reset() => self.close_later(key, Close::Gone(error.to_string())),
            Err(error) => self.close_later(key, Close::Read(error.to_string())),
        }
    }

    /// Puts a link on the list of those to read from.
    pub(super) fn queue_read(&mut self, key: u32) {
        if let Some(link) = self.links.get_mut(key as usize)
            && !std::mem::replace(&mut link.queued, true)
        {
            self.ready.push_back(key);
        }
    }

    /// Acts on plaintext, with what was left over before; keeps what is not complete.
    ///
    /// Of what has come no more is copied behind the left over than completes it.
    pub(super) fn ingest(&mut self, key: u32, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let mut input = std::mem::take(&mut link.input);
        let (mut rest, mut anew) = (bytes, false);
        while !input.is_empty() {
            let need = self.links.get(key as usize).map_or(0, |link| link.need);
            let more = need.saturating_sub(input.len()).max(LINE).min(rest.len());
            let (taken, behind) = rest.split_at(more);
            input.extend_from_slice(taken);
            if input.len() < need {
                return self.keep(key, input, anew);
            }
            let used = self.act(key, &input);
            anew |= used > 0;
            let left = input.len() - used;
            if left <= more {
                // all that was left over has been acted on: on with what came
                rest = rest.get(more - left..).unwrap_or_default();
                break;
            }
            rest = behind;
            input.drain(..used);
            // it has had its time, or is throttled
            let stopped = self.links.get(key as usize).is_none_or(|link| link.need <= input.len());
            if stopped || rest.is_empty() {
                input.extend_from_slice(rest);
                return self.keep(key, input, anew);
            }
        }
        let used = self.act(key, rest);
        self.keep(key, rest.get(used..).unwrap_or_default().to_vec(), anew || used > 0);
    }

    /// Keeps input that is not complete; its time begins anew when something was.
    fn keep(&mut self, key: u32, input: Vec<u8>, anew: bool) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        link.input = input;
        if anew {
            link.begun = None;
        }
    }

    /// Enters what a link has begun into the account, lines and TLS records alike, and gives it its time.
    pub(super) fn note_unfinished(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        if link.input.is_empty() && link.cipher.is_empty() {
            link.begun = None;
            if link.charge.weight() > 0 {
                self.settle(key);
            }
            return;
        }
        link.begun.get_or_insert(self.now);
        if !std::mem::replace(&mut link.whole_timer, true) {
            let timer = LinkTimer { link: key, cid: link.cid, due: Due::Whole };
            self.wheel.insert(self.now + self.settings.limits.message_deadline, timer);
        }
        self.settle(key);
    }

    /// Acts on complete events and returns the bytes they took. It ends early when the link has had
    /// its time, or is throttled: then there is more to say.
    fn act(&mut self, key: u32, bytes: &[u8]) -> usize {
        let bounds = self.settings.limits.bounds();
        let (mut used, mut work, mut looked, mut began) = (0, 0_u64, 0_u64, None);
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            if work >= looked + 16 {
                looked = work;
                let now = self.shared.start.elapsed();
                // or hands others so much that they are behind
                let piled = self.is_piled();
                if piled || now >= *began.get_or_insert(now) + TURN {
                    if let Some(link) = self.links.get_mut(key as usize) {
                        link.need = 1;
                    }
                    return used;
                }
            }
            let Some(link) = self.links.get_mut(key as usize).filter(|link| !link.closing) else {
                return bytes.len();
            };
            if link.throttled_until() > self.now {
                link.need = 1;
                return used;
            }
            let said = match link.leaf.as_deref() {
                None => Said::of_client(rest, &bounds),
                Some(hub) => {
                    let payload = hub.largest_in(bounds.payload);
                    Said::of_hub(rest, &Bounds { payload, ..bounds })
                }
            };
            match said {
                Ok((said, count)) => {
                    used += count;
                    let before = self.fan_out.deliveries + self.cache.gathered();
                    match said {
                        Said::Client(event) => self.on_event(key, event),
                        Said::Hub(event) => self.on_hub_event(key, event),
                    }
                    // a message for thousands is more work than one for few
                    work += 1 + (self.fan_out.deliveries + self.cache.gathered() - before) / 64;
                    self.relieve();
                }
                Err(Unsaid::Need(need)) => {
                    link.need = need;
                    return used;
                }
                Err(Unsaid::Client(error)) => {
                    self.violation(key, error);
                    return bytes.len();
                }
                Err(Unsaid::Hub(error)) => {
                    self.close_later(key, Close::Hub { reason: error.to_string(), pause: PAUSE });
                    return bytes.len();
                }
            }
        }
        used
    }

    /// Makes an identity slower whose messages others cannot take so fast.
    pub(super) fn throttle(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(id.key as usize).filter(|link| link.cid == id.cid) {
            let said = std::mem::take(&mut link.said);
            let holder = link.charge.holder();
            holder.pace().slow_down(said, holder.kind(), self.now);
        }
    }

    fn violation(&mut self, key: u32, error: ProtocolError) {
        self.close_later(key, Close::Protocol { reason: error.to_string().into(), told: error.wire_text() });
    }

    fn on_event(&mut self, key: u32, event: Event<'_>) {
        match event {
            Event::Publish(message) => self.publish(key, &message),
            Event::Ping => self.ping(key),
            Event::Pong => self.answered(key),
            Event::Ignored => {}
            Event::Subscribe { subject, queue, sid } => self.subscribe(key, subject, queue, sid),
            Event::Unsubscribe { sid, max } => self.unsubscribe(key, sid, max),
            Event::Connect(body) => self.connect_again(key, body),
        }
    }

    /// A ping was answered.
    pub(super) fn answered(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key as usize) else { return };
        if link.pings > 0 {
            let trip = self.now.saturating_sub(link.pinged).as_micros();
            link.rtt = u32::try_from(trip).unwrap_or(u32::MAX).max(1);
        }
        link.pings = 0;
    }

    fn ping(&mut self, key: u32) {
        self.queue_line(key, frame::PONG);
        let Some(link) = self.links.get_mut(key as usize) else { return };
        if link.flags.infos && !link.introduced {
            // behind the PONG: some clients read exactly one line after their PING
            link.introduced = true;
            let link = &self.links[key as usize];
            let line = self.info_line(link, |info| {
                info.connect_info = true;
                info.remote_account = link.account.name();
                info.acc_is_sys = link.account == crate::core::admission::Account::System;
            });
            self.queue_line(key, &line);
        }
    }

    pub(super) fn acknowledge(&mut self, key: u32) {
        if self.links.get(key as usize).is_some_and(|link| link.flags.verbose) {
            self.queue_line(key, frame::OK);
        }
    }

    /// Tells a link that it may not, and the log. At debug level: a peer can cause any number of these.
    pub(super) fn forbid(&mut self, key: u32, text: &str) {
        if let Some(link) = self.links.get(key as usize) {
            tracing::debug!(cid = link.cid, remote = %link.remote, user = %link.client.user, "{text}");
        }
        self.queue_error(key, text);
    }

    /// A second CONNECT: judged anew, and all subscriptions go (spec 04 §6.3).
    fn connect_again(&mut self, key: u32, body: &[u8]) {
        let now = self.now;
        if !self.links.get_mut(key as usize).is_some_and(|link| link.connects.allow(now)) {
            let reason = "the client said CONNECT again and again".into();
            return self.close_later(key, Close::Protocol { reason, told: None });
        }
        let options = match ConnectOptions::decode(body) {
            Ok(options) => options,
            Err(error) => {
                return self
                    .close_later(key, Close::Protocol { reason: error.to_string().into(), told: None });
            }
        };
        if let Err((reason, told)) = check_options(&options) {
            return self.close_later(key, Close::Protocol { reason: reason.into(), told: Some(told) });
        }
        let Some(link) = self.links.get(key as usize) else { return };
        let place = (link.cid, link.remote.ip());
        let facts = match shown::facts(link.remote, link.tls.as_deref(), options, &link.client.nonce) {
            Ok(facts) => facts,
            Err(refusal) => return self.close_later(key, Close::Refused(refusal.reason)),
        };
        let grant = match self.settings.authenticator.authenticate_quickly(&facts) {
            Some(Ok(grant)) => grant,
            Some(Err(refusal)) => return self.close_later(key, Close::Refused(refusal.reason)),
            None => {
                let reason = "a password that takes long to check is taken from new connections only";
                return self.close_later(key, Close::Refused(reason.to_owned()));
            }
        };
        // its place may be the last one its identity has: it is given back first
        self.drop_subscriptions(key);
        if let Some(link) = self.links.get_mut(key as usize) {
            link.charge.leave();
        }
        let (holders, limits) = (&self.shared.holders, &self.settings.limits);
        let slot = match holders.enter(grant.account, &grant.peer, place, limits, self.now) {
            Ok(slot) => slot,
            Err(reason) => return self.close_later(key, Close::Refused(reason.to_owned())),
        };
        self.last.forget();
        let Some(link) = self.links.get_mut(key as usize) else { return };
        let before = link.account;
        link.charge = Charge::new(slot, &self.held);
        link.grant(grant);
        link.introduce(facts.options);
        link.settle();
        let account = link.account;
        // before the new one, or it would be its own double
        link.claim = None;
        link.claim = self.shared.claims.claim(
            link.account,
            &link.client.user,
            &link.client.name,
            &self.shared.refusal_log,
        );
        if let Some(counters) = self.counters() {
            use std::sync::atomic::Ordering::Relaxed;
            counters.accounts[before].fetch_sub(1, Relaxed);
            counters.accounts[account].fetch_add(1, Relaxed);
        }
        self.acknowledge(key);
    }
}

/// Checks of CONNECT that have their own error text: the reason and that text.
pub fn check_options(options: &ConnectOptions) -> Result<(), (&'static str, &'static str)> {
    if !(0..=1).contains(&options.protocol) {
        return Err(("the client speaks an unknown protocol level", "invalid client protocol"));
    }
    if options.no_responders && !options.headers {
        return Err(("no responders without headers", "no responders requires headers support"));
    }
    Ok(())
}
