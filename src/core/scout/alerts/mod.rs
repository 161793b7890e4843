//! Who is told of what: checks that are not well, and nodes that fell silent.
//!
//! What is to be told is compared with what each receiver was told last, and the difference is
//! sent: a check that says CRITICAL a thousand times is told of once, one that nobody could be
//! told of is tried again, and a restart changes nothing, because what was told is kept. Pure:
//! time comes in, messages come out, and whoever sends them says what was received.

mod asking;
mod kept;
mod message;
mod receivers;
mod settings;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fleet::{Fleet, Track};
use super::seen::Seen;
use crate::core::lifecycle::{Event, EventType};

pub use asking::Shown;
pub use kept::{KeptError, Snapshot, load, save};
pub use message::{Alert, Message};
pub use receivers::{Receiver, Unsent, send};
pub use settings::{Elected, Settings, SettingsError, Target};
pub use shared::{Shared, SharedError};

/// Name of the alert of a node that fell silent.
pub const SILENT: &str = "NodeSilent";
/// Alerts of one message; others follow in the next.
pub const MOST_ALERTS: usize = 500;
/// Checks that have a message of their own, of what is to be told at a time.
pub const MOST_APART: usize = 50;
/// Receivers.
pub const MOST_RECEIVERS: usize = 8;
/// Seconds after which Alertmanager is told again what still is; it forgets what it hears nothing of.
const REFRESH: i64 = 60;
/// Seconds that Alertmanager believes what it is told, at least; it is told again long before.
const BELIEVED: i64 = 5 * 60;
/// Status of what is well.
const WELL: u8 = 0;
/// Status that is not forgotten because somebody says goodbye.
const CRITICAL: u8 = 2;
/// Cases; what would be more is counted as dropped. What is kept of so many fits into its file.
const MOST_CASES: usize = 200_000;
/// Nodes that are named because not all of their checks can be told.
const MOST_CROWDED: usize = 100;
/// Nodes that leave in one look, the others in the next: whoever waits for the lock does not wait long.
const MOST_LEAVING: usize = 1000;

/// Of a node and its check; the check of a node that fell silent has no name.
type Key = (Arc<str>, Arc<str>);

/// What is told together: whether it is over, and of which check.
type Group = (bool, Arc<str>);

/// What a receiver was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    status: u8,
    /// Unix seconds.
    at: i64,
}

/// Something that is, or was told to be, wrong.
#[derive(Debug, Clone)]
struct Case {
    status: u8,
    since: i64,
    output: Box<str>,
    told: [Option<Told>; MOST_RECEIVERS],
    /// Status that is on its way to a receiver, or that it may have though it did not say so.
    sent: [Option<u8>; MOST_RECEIVERS],
}

/// All that is wrong.
pub struct Alerts {
    settings: Settings,
    fleet: Fleet,
    /// Nodes that said goodbye, and when.
    gone: BTreeMap<Arc<str>, i64>,
    cases: BTreeMap<Key, Case>,
    /// Nodes that were asked for their checks, and when last.
    asked: BTreeMap<Arc<str>, i64>,
    /// Checks that their nodes once did not show.
    missing: BTreeSet<Key>,
    /// Since when the network is heard without a gap; none while it is not.
    listening: Option<i64>,
    changed: bool,
    /// Of cases beyond what there may be.
    dropped: u64,
    /// Nodes some of whose checks found no place, as far as that was told.
    crowded: BTreeSet<Arc<str>>,
}

impl Alerts {
    /// Nothing is known yet.
    pub fn new(settings: Settings) -> Alerts {
        Alerts {
            settings,
            fleet: Fleet::default(),
            gone: BTreeMap::new(),
            cases: BTreeMap::new(),
            asked: BTreeMap::new(),
            missing: BTreeSet::new(),
            listening: None,
            changed: false,
            dropped: 0,
            crowded: BTreeSet::new(),
        }
    }

    /// What is to be told, and to whom.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Nodes that are known, and cases.
    pub fn counts(&self) -> (usize, usize) {
        (self.fleet.nodes().len(), self.cases.len())
    }

    /// Whether anything changed since this was asked last that would be missed after a restart.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// How often something that is wrong could not be taken since this was asked last, because
    /// too much is wrong already.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// A node of which a check found no place, so that nobody is told of it, where that was not asked before.
    pub fn take_crowded(&mut self) -> Option<Arc<str>> {
        let identity = self.fleet.take_crowded()?;
        (self.crowded.len() < MOST_CROWDED && self.crowded.insert(identity.clone())).then_some(identity)
    }

    /// Whether the network is heard; while it is not, nobody is silent.
    pub fn connected(&mut self, connected: bool, now: i64) {
        match (connected, self.listening) {
            (true, None) => self.listening = Some(now),
            (false, _) => self.listening = None,
            (true, Some(_)) => {}
        }
    }

    /// Takes an event of a machine.
    pub fn machine(&mut self, seen: &Seen, now: i64) {
        let identity = match seen {
            Seen::Moved(moved) => &moved.identity,
            Seen::Checked(checked) => &checked.identity,
            Seen::Ran(_) => return,
        };
        self.is_back(identity);
        let Some(change) = self.fleet.take(seen, now) else { return };
        let Some(track) =
            self.fleet.nodes().get(&change.identity).and_then(|node| node.tracks.get(&change.machine))
        else {
            return;
        };
        let status = if track.rests() || track.waits || self.settings.ignores(&change.machine) {
            WELL
        } else {
            self.settings.counts(track.status.unwrap_or(WELL))
        };
        let output = track.output.clone();
        self.is_now((change.identity, change.machine), status, output, now);
    }

    /// Takes an event of a node's life. Who sent it is not known: any member of the network can
    /// write any name into one, so a goodbye makes nothing well that was told to be wrong.
    pub fn life(&mut self, event: &Event, now: i64) {
        match event.kind() {
            Some(EventType::Shutdown) => {
                if let Some((known, _)) = self.fleet.nodes().get_key_value(event.identity.as_str()) {
                    let known = known.clone();
                    self.gone.entry(known).or_insert_with(|| {
                        self.changed = true;
                        now
                    });
                }
            }
            Some(EventType::Startup | EventType::Alive) => {
                if event.kind() == Some(EventType::Startup) {
                    self.fleet.begins(&event.identity, now);
                }
                self.is_back(&event.identity);
                self.fleet.alive(&event.identity, now);
            }
            _ => {}
        }
    }

    /// Something is heard of a node: it is not gone.
    fn is_back(&mut self, identity: &str) {
        if self.gone.remove(identity).is_some() {
            self.changed = true;
        }
    }

    /// Cases of one node: keys are sorted by node.
    fn cases_of(&self, identity: &Arc<str>) -> impl Iterator<Item = (&Key, &Case)> {
        let first: Key = (identity.clone(), Arc::from(""));
        self.cases.range(first..).take_while(move |(key, _)| key.0 == *identity)
    }

    fn is_now(&mut self, key: Key, status: u8, output: Box<str>, now: i64) {
        let full = self.cases.len() >= MOST_CASES;
        match self.cases.get_mut(&key) {
            Some(case) => {
                if case.status != status {
                    (case.status, case.since) = (status, now);
                    self.changed = true;
                }
                case.output = output;
            }
            None if status == WELL => {}
            None if full => self.dropped += 1,
            None => {
                self.cases.insert(key, Case::new(status, now, output));
                self.changed = true;
            }
        }
    }

    /// Looks who fell silent, and who is gone for good.
    pub fn look(&mut self, now: i64) {
        let (limit, forget) = (self.settings.silence_after, self.settings.forget_after);
        let Some(listening) = self.listening else { return };
        let mut silent = Vec::new();
        let mut heard = Vec::new();
        let mut left = Vec::new();
        for (identity, node) in self.fleet.nodes() {
            let quiet = now.saturating_sub(node.seen.max(listening));
            let goodbye = self.gone.get(identity).copied();
            let any = |is: fn(u8) -> bool| self.cases_of(identity).any(|(_, case)| is(case.status));
            // nobody takes every machine away in an orderly way; who did, is not missed, but
            // what was wrong there is not well because somebody says so
            let leaves = quiet > forget
                || goodbye
                    .is_some_and(|since| now.saturating_sub(since) > limit && !any(|status| status != WELL));
            if leaves {
                if left.len() < MOST_LEAVING {
                    left.push(identity.clone());
                }
            } else if quiet <= limit {
                heard.push((identity.clone(), node.seen));
            } else if goodbye.is_none() || any(|status| status == CRITICAL) {
                silent.push((identity.clone(), now.saturating_sub(node.seen) / 60, goodbye.is_some()));
            }
        }
        // what was not heard before we listened may have been there all the time
        if now.saturating_sub(listening) > forget {
            for key in self.fleet.forget_silent(now, forget) {
                self.is_now(key, WELL, "nothing is heard of it any more".into(), now);
            }
        }
        let name: Arc<str> = "".into();
        for (identity, minutes, goodbye) in silent {
            let how = if goodbye { ", it said goodbye while something was critical" } else { "" };
            let text = format!("nothing was heard of it for {minutes} minutes{how}");
            self.is_now((identity, name.clone()), CRITICAL, text.into(), now);
        }
        for (identity, seen) in heard {
            let key = (identity, name.clone());
            // who we could not hear ourselves meanwhile is not heard again
            if self.cases.get(&key).is_some_and(|case| seen >= case.since) {
                self.is_now(key, WELL, "it is heard again".into(), now);
            }
        }
        for identity in left {
            self.gone.remove(&identity);
            self.fleet.forget(&identity);
            self.changed = true;
            let keys: Vec<Key> = self.cases_of(&identity).map(|(key, _)| key.clone()).collect();
            for key in keys {
                self.is_now(key, WELL, "the node left".into(), now);
            }
        }
    }

    /// Messages for a receiver, each of one check and of those to whom the same happened; of many checks,
    /// where there are many.
    pub fn due(&self, receiver: usize, now: i64) -> Vec<Message> {
        let Some(target) = self.settings.receivers.get(receiver) else { return vec![] };
        let refreshes = matches!(target.target, Target::Alertmanager(_));
        let repeat = if refreshes { Some(REFRESH) } else { self.settings.repeat };
        let mut groups: BTreeMap<Group, Vec<(Key, Alert)>> = BTreeMap::new();
        for (key, case) in &self.cases {
            let told = case.told.get(receiver).copied().flatten();
            let sent = case.sent.get(receiver).copied().flatten();
            let settled = now.saturating_sub(case.since) >= self.settings.confirm;
            let again = |told: Told| {
                repeat.is_some_and(|repeat| now.saturating_sub(told.at) >= repeat) && case.status != WELL
            };
            let wanted = match told {
                // whoever may have heard that it is wrong hears that it is over
                _ if sent.is_some_and(|sent| sent != WELL) && case.status == WELL => true,
                _ if sent.is_some() => settled || case.status == WELL,
                None => case.status != WELL && settled,
                Some(told) if told.status != case.status => settled || case.status == WELL,
                Some(told) => told.status != WELL && again(told),
            };
            if !wanted {
                continue;
            }
            // what it may have heard counts where it is another thing than is told now
            let wrong = |sent: &u8| *sent != WELL && *sent != case.status;
            let alert = Alert {
                identity: key.0.to_string(),
                check: if key.1.is_empty() { SILENT.to_owned() } else { key.1.to_string() },
                status: case.status,
                before: sent.filter(wrong).or(told.map(|told| told.status)).filter(|status| *status != WELL),
                since: case.since,
                output: case.output.to_string(),
            };
            groups.entry((case.status == WELL, key.1.clone())).or_default().push((key.clone(), alert));
        }
        // it is looked at each `group`, and told again then at the earliest
        let believed = BELIEVED.max(self.settings.group.saturating_mul(3));
        messages(receiver, groups, now, believed)
    }

    /// A message is on its way: what recovers before it has arrived is not forgotten.
    pub fn sends(&mut self, message: &Message) {
        self.changed = true;
        for (key, alert) in message.keys.iter().zip(&message.alerts) {
            let slot = self.cases.get_mut(key).and_then(|case| case.sent.get_mut(message.receiver));
            if let Some(slot) = slot {
                *slot = Some(alert.status);
            }
        }
    }

    /// It did not arrive.
    pub fn not_told(&mut self, message: &Message) {
        self.ends(message, None);
    }

    /// A receiver has a message.
    pub fn told(&mut self, message: &Message) {
        self.ends(message, Some(message.at));
    }

    fn ends(&mut self, message: &Message, arrived: Option<i64>) {
        self.changed = true;
        let receivers = self.settings.receivers.len();
        for (key, alert) in message.keys.iter().zip(&message.alerts) {
            let Some(case) = self.cases.get_mut(key) else { continue };
            if let Some(slot) = case.sent.get_mut(message.receiver) {
                *slot = None;
            }
            if let (Some(at), Some(slot)) = (arrived, case.told.get_mut(message.receiver)) {
                *slot = Some(Told { status: alert.status, at });
            }
            if case.is_over(receivers) {
                self.cases.remove(key);
            }
        }
    }

    /// Forgets cases that were over before anybody was told.
    pub fn tidy(&mut self) {
        let receivers = self.settings.receivers.len();
        self.cases.retain(|_, case| !case.is_over(receivers));
    }

    fn restore_node(&mut self, identity: &str, machine: &str, track: Track, now: i64) {
        self.fleet.restore(identity, now, machine, track);
    }
}

impl Case {
    /// One that nobody was told of.
    fn new(status: u8, since: i64, output: Box<str>) -> Case {
        Case { status, since, output, told: [None; MOST_RECEIVERS], sent: [None; MOST_RECEIVERS] }
    }

    /// Whether it is well, and all know it, or never heard of it.
    fn is_over(&self, receivers: usize) -> bool {
        self.status == WELL
            && self.told.iter().take(receivers).all(|told| told.is_none_or(|told| told.status == WELL))
            && self.sent.iter().take(receivers).all(Option::is_none)
    }
}

/// What is told together, in messages: those first that are of a node which has least to tell, so that who
/// makes names up keeps nobody else's waiting. What would be a great many messages is told in few, of
/// several checks each.
fn messages(
    receiver: usize,
    groups: BTreeMap<Group, Vec<(Key, Alert)>>,
    now: i64,
    believed: i64,
) -> Vec<Message> {
    let mut of_node: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for (key, _) in groups.values().flatten() {
        *of_node.entry(key.0.clone()).or_default() += 1;
    }
    let least = |members: &[(Key, Alert)]| {
        members.iter().filter_map(|(key, _)| of_node.get(&key.0)).min().copied().unwrap_or_default()
    };
    let mut ordered: Vec<_> =
        groups.into_iter().map(|((resolved, _), members)| (least(&members), resolved, members)).collect();
    // what is said again comes behind what is new
    let said = |members: &[(Key, Alert)]| members.iter().all(|(_, alert)| alert.before == Some(alert.status));
    ordered.sort_by_key(|(least, resolved, members)| (said(members), *least, *resolved));
    let rest = ordered.split_off(ordered.len().min(MOST_APART));
    let (over, begun): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, resolved, _)| *resolved);
    let together = [(false, begun), (true, over)].into_iter().map(|(resolved, groups)| {
        (resolved, groups.into_iter().flat_map(|(_, _, members)| members).collect::<Vec<_>>())
    });
    let apart = ordered.into_iter().map(|(_, resolved, members)| (resolved, members));
    let mut messages = Vec::new();
    for (resolved, members) in apart.chain(together) {
        for part in members.chunks(MOST_ALERTS) {
            let (keys, alerts) = part.iter().cloned().unzip();
            messages.push(Message { receiver, resolved, alerts, keys, at: now, believed });
        }
    }
    messages
}
