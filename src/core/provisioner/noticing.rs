//! How nodes are noticed: by their startup events, their registration data, and by asking (spec 05 §6).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::daemon::Daemon;
use super::intakes::{MAX_EVENT, MAX_REGISTRATION, MESSAGES};
use super::population::{Noticed, Source};
use crate::core::connection::Message;
use crate::core::lifecycle::{Event, EventType};
use crate::core::nats::subject;
use crate::core::protocol::v1::{Request, SecureRequest, Transport};
use crate::core::provisioning::REGISTRATION_SUBJECTS;

/// A discovery ends this long after the last answer,
const QUIET: Duration = Duration::from_millis(300);
/// when nobody answered this long after it began,
const NOBODY: Duration = Duration::from_secs(2);
/// and in any case after this.
const LONGEST: Duration = Duration::from_secs(20);
/// Between the first discoveries after a start, or after the broker went away: nodes
/// that are about to come back do not say so, only those that start do.
const SOON: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20)];
/// How often is looked whether the broker has been away.
const LOOK: Duration = Duration::from_secs(1);
/// Longest name of a node, in bytes.
const MAX_NAME: usize = 255;
/// Subject of lifecycle events in 2018.
const EVENTS_2018: &str = "choria.lifecycle.event";

impl Daemon {
    pub(super) fn notice(&self, name: &str, source: Source) {
        if name.len() > MAX_NAME || !subject::valid_subject(name) || !subject::is_literal(name) {
            tracing::debug!(?source, "a name that cannot be a node's is ignored");
            return;
        }
        // whoever waits was shown the token, or has it from the start
        if self.plan().settings.token.is_shown_by(name) {
            self.shared.counters.turned_away.fetch_add(1, Ordering::Relaxed);
            self.log.note("name", || {
                tracing::warn!(?source, "a waiting machine's name shows the access token, it is not taken");
            });
            return;
        }
        let noticed = self.population().notice(name, source, Instant::now());
        let counters = &self.shared.counters;
        let add = |counter: &std::sync::atomic::AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match noticed {
            Noticed::Known => return,
            Noticed::New => {
                match source {
                    Source::Event => add(&counters.event_discovered),
                    Source::Registration => add(&counters.registration_discovered),
                    Source::Discovery => add(&counters.discovered),
                    Source::Journal | Source::Operator => 0,
                };
            }
            Noticed::Again => {
                add(&counters.returned);
                self.log.note("returned", || {
                    tracing::warn!(
                        node = name,
                        "was provisioned and is back in the waiting room, it is tried again"
                    );
                });
            }
            Noticed::Quarantined => {
                add(&counters.quarantined);
                self.log.note("quarantined", || {
                    tracing::error!(
                        node = name,
                        "keeps coming back after it was provisioned, it is left alone for ten minutes; look at its log"
                    );
                });
            }
            Noticed::Full => {
                add(&counters.turned_away);
                self.log.note("too many names", || {
                    tracing::warn!(node = name, "too many nodes are known, it is not taken");
                });
            }
        }
        self.wake.notify_one();
    }

    pub(super) async fn hear_events(self: Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let component = self.plan().settings.lifecycle_component.clone();
        let budget = self.shared.calls.intakes().events.clone();
        let (sink, mut events) = mpsc::channel::<Message>(MESSAGES);
        for subject in [
            format!("choria.lifecycle.event.startup.{component}"),
            format!("choria.lifecycle.event.shutdown.{component}"),
            EVENTS_2018.to_owned(),
        ] {
            self.session.subscribe_within(subject, None, sink.clone(), budget.clone()).await;
        }
        async move {
            while let Some(message) = events.recv().await {
                budget.give_back(&message);
                if message.payload.len() > MAX_EVENT {
                    budget.drop_one();
                    continue;
                }
                match Event::decode(&message.payload) {
                    Ok(event) if event.component != component => {}
                    Ok(event) => match event.kind() {
                        Some(EventType::Startup) => self.notice(&event.identity, Source::Event),
                        Some(EventType::Shutdown) => self.restarted(&event.identity).await,
                        _ => {}
                    },
                    Err(error) => tracing::debug!("an event that cannot be read: {error}"),
                }
            }
        }
    }

    /// A node that ended waits no longer; one that took its configuration and then ended has restarted, whether or not it could say so.
    async fn restarted(&self, node: &str) {
        let open = self.shared.journal.of(node).map(|open| open.configured);
        if open.is_none() {
            self.population().left(node);
        }
        // also while it is in work: its answer to the request to restart may have been lost
        if open == Some(true) {
            self.close([node]).await;
        }
    }

    pub(super) async fn hear_registration(self: Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let budget = self.shared.calls.intakes().registration.clone();
        let (sink, mut messages) = mpsc::channel::<Message>(MESSAGES);
        for subject in REGISTRATION_SUBJECTS {
            self.session.subscribe_within(subject, None, sink.clone(), budget.clone()).await;
        }
        async move {
            while let Some(message) = messages.recv().await {
                budget.give_back(&message);
                if message.payload.len() > MAX_REGISTRATION {
                    budget.drop_one();
                    continue;
                }
                let sender = Transport::decode(&message.payload)
                    .and_then(|transport| SecureRequest::decode(&transport.data))
                    .and_then(|secure| Request::decode(secure.message.as_bytes()))
                    .map(|request| request.envelope.senderid);
                match sender {
                    Ok(sender) => self.notice(&sender, Source::Registration),
                    Err(error) => tracing::debug!("registration data that cannot be read: {error}"),
                }
            }
        }
    }

    pub(super) async fn discover_for_ever(self: Arc<Self>) {
        let connections = || self.session.stats().reconnections.load(Ordering::Relaxed);
        let (mut known, mut soon) = (connections(), SOON.iter());
        loop {
            // brokers may come later than provisioners
            self.session.connected().await;
            if !self.is_paused() {
                self.discover().await;
            }
            let interval = self.plan().settings.interval;
            let next = Instant::now() + soon.next().copied().unwrap_or(interval).min(interval);
            // the next one comes in its time, when this provisioner is elected, or when the broker is back
            while Instant::now() < next && connections() == known {
                if tokio::time::timeout(LOOK, self.look.notified()).await.is_ok() {
                    break;
                }
            }
            if connections() != known {
                (known, soon) = (connections(), SOON.iter());
            }
        }
    }

    /// Asks everybody in the waiting room once.
    pub async fn discover(&self) {
        let counters = &self.shared.counters;
        counters.discover_cycles.fetch_add(1, Ordering::Relaxed);
        let mut names = match self.shared.calls.discover().await {
            Ok(names) => names,
            Err(error) => {
                counters.discovery_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("nodes could not be discovered: {error}");
                return;
            }
        };
        let begun = Instant::now();
        let mut deadline = begun + NOBODY;
        let mut found = 0_usize;
        while let Ok(Some(name)) = tokio::time::timeout_at(deadline.into(), names.recv()).await {
            found += 1;
            self.notice(&name, Source::Discovery);
            deadline = (Instant::now() + QUIET).min(begun + LONGEST);
        }
        tracing::debug!(found, "discovery ended");
    }
}
