//! Judging connections again after a reload, a few each turn.
//!
//! The same facts go to the authenticator in force. Whoever is refused now is
//! told so and cut; whoever would get something else is cut without a word,
//! comes back and gets it: subscriptions made under the old rules do not
//! survive them. For fifty thousand links this is some seconds of work, so it
//! is done in pieces between which everybody else is served. To have the
//! revoked off within those seconds, all are looked at quickly first, and those
//! the authenticator suspects are judged at once; the rest waits its turn.

use std::time::Duration;

use super::close::Close;
use super::shard::Shard;
use super::shown;

/// Least and most time of one turn spent on judging. The least is what an idle
/// shard does at a time, and what a busy one does at any rate.
const LEAST: Duration = Duration::from_millis(2);
const MOST: Duration = Duration::from_millis(20);

/// Links to judge again, with their connection numbers.
#[derive(Debug, Default)]
pub struct Reauthentication {
    /// Nobody has looked at them since the reload.
    unseen: Vec<(u32, u64)>,
    /// They look innocent.
    waiting: Vec<(u32, u64)>,
}

impl Reauthentication {
    /// Whether nobody is to be judged.
    pub fn is_over(&self) -> bool {
        self.unseen.is_empty() && self.waiting.is_empty()
    }

    /// Puts one more on the list.
    pub fn add(&mut self, key: u32, cid: u64) {
        self.unseen.push((key, cid));
    }
}

impl Shard {
    /// Puts all links there are on the list.
    pub(super) fn reauthenticate_all(&mut self) {
        let clients = self.links.iter().filter(|(_, link)| link.leaf.is_none());
        self.reauthentication.unseen = clients.map(|(key, link)| (key as u32, link.cid)).collect();
        self.reauthentication.waiting.clear();
    }

    /// Judges some of the list: for a third of the time the turn has taken for
    /// everything else, so that judging takes a quarter of a busy shard.
    pub(super) fn reauthenticate_some(&mut self) {
        if self.reauthentication.is_over() {
            return;
        }
        let begin = self.shared.start.elapsed();
        let until = begin + (begin.saturating_sub(self.now) / 3).clamp(LEAST, MOST);
        while self.shared.start.elapsed() < until {
            if let Some((key, cid)) = self.reauthentication.unseen.pop() {
                if self.is_suspect(key, cid) {
                    self.reauthenticate(key, cid);
                } else {
                    self.reauthentication.waiting.push((key, cid));
                }
            } else if let Some((key, cid)) = self.reauthentication.waiting.pop() {
                self.reauthenticate(key, cid);
            } else {
                // the lists have held all links once
                self.reauthentication = Reauthentication::default();
                return;
            }
        }
    }

    fn is_suspect(&self, key: u32, cid: u64) -> bool {
        let link = self.links.get(key as usize).filter(|link| link.cid == cid);
        let chain = link.and_then(|link| link.tls.as_ref()?.peer_certificates());
        chain.is_some_and(|chain| self.settings.authenticator.suspects(chain))
    }

    fn reauthenticate(&mut self, key: u32, cid: u64) {
        let Some(link) = self.links.get_mut(key as usize).filter(|link| link.cid == cid && !link.closing)
        else {
            return;
        };
        // what the link was let in by
        let options = link.client.shown.as_deref().cloned().unwrap_or_default();
        let verdict = match shown::facts(link.remote, link.tls.as_deref(), options, &link.client.nonce) {
            Ok(facts) => self.settings.authenticator.authenticate_quickly(&facts),
            Err(refusal) => Some(Err(refusal)),
        };
        match verdict {
            // to be judged it has to log in again, where somebody may wait
            None => self.close_later(key, Close::Changed),
            Some(Err(refusal)) => {
                self.shared.refused("no longer allowed");
                self.close_later(key, Close::Revoked(refusal.reason));
            }
            Some(Ok(grant)) => {
                let same = grant.account == link.account
                    && *grant.user == *link.client.user
                    && grant.publish == link.publish
                    && grant.subscribe == link.subscribe
                    && grant.responses == link.responses()
                    && grant.limits.max_subscriptions == link.max_subscriptions;
                if same {
                    // the new authenticator's are shared by all links, the old one's can go
                    link.publish = grant.publish;
                    link.subscribe = grant.subscribe;
                } else {
                    self.close_later(key, Close::Changed);
                }
            }
        }
    }
}
