//! Judging connections again after a reload, a few each turn.
//!
//! The same facts go to the authenticator in force. Whoever is refused now is
//! told so and cut; whoever would get something else is cut without a word,
//! comes back and gets it: subscriptions made under the old rules do not
//! survive them. For fifty thousand links this is some seconds of work, so it
//! is done in pieces between which everybody else is served.

use super::close::Close;
use super::link::Link;
use super::shard::Shard;
use crate::core::admission::{ConnectionFacts, LinkKind, PeerCertificate, Refusal, Transport};

/// Links judged in one turn: a few milliseconds, with chains to verify.
const AT_ONCE: usize = 32;

impl Shard {
    /// Puts all links there are on the list.
    pub(super) fn judge_all_again(&mut self) {
        self.on_trial = self.links.iter().map(|(key, link)| (key as u32, link.cid)).collect();
    }

    /// Judges some of the list.
    pub(super) fn judge_some(&mut self) {
        for _ in 0..AT_ONCE {
            let Some((key, cid)) = self.on_trial.pop() else { return };
            self.judge_again(key, cid);
        }
    }

    fn judge_again(&mut self, key: u32, cid: u64) {
        let Some(link) = self.links.get_mut(key as usize).filter(|link| link.cid == cid && !link.doomed)
        else {
            return;
        };
        match certificate(link)
            .and_then(|certificate| self.settings.authenticator.authenticate(&facts(link, certificate)))
        {
            Err(refusal) => {
                self.shared.refused("no longer allowed");
                self.doom(key, Close::Revoked(refusal.reason));
            }
            Ok(grant) => {
                let same = grant.account == link.account
                    && *grant.user == *link.about.user
                    && grant.publish == link.publish
                    && grant.subscribe == link.subscribe
                    && grant.responses == link.responses()
                    && grant.limits.max_subscriptions == link.max_subscriptions;
                if same {
                    // the new authenticator's are shared by all links, the old one's can go
                    link.publish = grant.publish;
                    link.subscribe = grant.subscribe;
                } else {
                    self.doom(key, Close::Changed);
                }
            }
        }
    }
}

fn certificate(link: &Link) -> Result<Option<PeerCertificate>, Refusal> {
    match link.tls.as_ref().and_then(|tls| tls.peer_certificates()) {
        None | Some([]) => Ok(None),
        Some(chain) => PeerCertificate::parse(chain.to_vec()).map(Some).map_err(|error| {
            Refusal::new(crate::core::admission::RefusalKind::BadCertificate, error.to_string())
        }),
    }
}

/// What the link was let in by.
fn facts(link: &Link, certificate: Option<PeerCertificate>) -> ConnectionFacts {
    ConnectionFacts {
        remote: Some(link.remote),
        kind: LinkKind::Client,
        transport: if link.tls.is_some() { Transport::Tls } else { Transport::Plaintext },
        certificate,
        options: link.about.shown.as_deref().cloned().unwrap_or_default(),
        nonce: link.about.nonce.to_string(),
    }
}
