//! What a shard tells those who look on: short, bounded, and nothing changes.
//!
//! A question is a function that runs with the shard's lock, between its other
//! work. Texts are copied for what is shown and no more, and whatever can be
//! done by the one who asks is left to it.

use std::fmt;
use std::time::Duration;

use super::index::{SubKey, Target};
use super::leaf::LeafInfo;
use super::link::Link;
use super::shard::Shard;
use super::stats::{Answers, ConnectionInfo};
use super::view::Chains;
use crate::core::admission::Account;

/// A question to a shard.
pub struct Look(Box<dyn FnOnce(&Shard) + Send>);

impl Look {
    /// Asks; whoever wants an answer takes a channel along.
    pub fn new(question: impl FnOnce(&Shard) + Send + 'static) -> Self {
        Self(Box::new(question))
    }

    /// Lets it be answered.
    pub fn at(self, shard: &Shard) {
        (self.0)(shard);
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

/// What comes first in a list of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The oldest.
    #[default]
    Cid,
    /// Most subscriptions.
    Subscriptions,
    /// Most bytes waiting.
    Pending,
    /// Most messages sent to it.
    MessagesTo,
    /// Most messages received from it.
    MessagesFrom,
    /// Most bytes sent to it.
    BytesTo,
    /// Most bytes received from it.
    BytesFrom,
    /// The one heard last.
    Last,
    /// The one silent for longest.
    Idle,
    /// The longest there.
    Uptime,
    /// The slowest round trip.
    Rtt,
}

impl Order {
    /// The smallest comes first.
    pub fn key(self, of: &ConnectionInfo) -> i128 {
        match self {
            Self::Cid => i128::from(of.cid),
            Self::Subscriptions => -(of.subscriptions as i128),
            Self::Pending => -(of.pending_bytes as i128),
            Self::MessagesTo => -i128::from(of.out_msgs),
            Self::MessagesFrom => -i128::from(of.in_msgs),
            Self::BytesTo => -i128::from(of.out_bytes),
            Self::BytesFrom => -i128::from(of.in_bytes),
            Self::Last => of.idle.as_nanos() as i128,
            Self::Idle => -(of.idle.as_nanos() as i128),
            Self::Uptime => -(of.uptime.as_nanos() as i128),
            Self::Rtt => -(of.rtt.unwrap_or_default().as_nanos() as i128),
        }
    }
}

/// Which connections are wanted.
#[derive(Debug, Clone, Default)]
pub struct Select {
    /// This one.
    pub cid: Option<u64>,
    /// Those of an account.
    pub account: Option<String>,
    /// Those of a user.
    pub user: Option<String>,
    /// What comes first.
    pub order: Order,
    /// No more than these.
    pub most: usize,
}

impl Select {
    /// Whether one is wanted.
    pub fn takes(&self, cid: u64, account: &str, user: &str) -> bool {
        self.cid.is_none_or(|wanted| wanted == cid)
            && self.account.as_deref().is_none_or(|wanted| wanted == account)
            && self.user.as_deref().is_none_or(|wanted| wanted == user)
    }
}

/// A subscription where it lives.
#[derive(Debug, Clone)]
pub struct Placed {
    pub account: Account,
    pub key: Option<SubKey>,
    pub target: Target,
    pub cid: u64,
    pub sid: String,
    pub delivered: u32,
    pub max: u32,
}

impl Shard {
    /// How many links are wanted, and what is known about those that come first.
    pub(super) fn select(&self, wanted: &Select) -> (usize, Vec<ConnectionInfo>) {
        let mut found: Vec<(i128, &Link)> = self
            .links
            .iter()
            .filter(|(_, link)| link.leaf.is_none())
            .filter(|(_, link)| wanted.takes(link.cid, link.account.name(), &link.client.user))
            .map(|(_, link)| (wanted.order.key(&self.numbers(link)), link))
            .collect();
        let total = found.len();
        if found.len() > wanted.most {
            found.select_nth_unstable_by_key(wanted.most, |(key, link)| (*key, link.cid));
            found.truncate(wanted.most);
        }
        (total, found.into_iter().map(|(_, link)| self.info_of(link)).collect())
    }

    /// Links to hubs.
    pub(super) fn hubs(&self) -> Vec<LeafInfo> {
        let of = |(_, link): (usize, &Link)| {
            let leaf = link.leaf.as_deref()?;
            let ConnectionInfo { cid, account, rtt, in_msgs, in_bytes, out_msgs, out_bytes, .. } =
                self.numbers(link);
            Some(LeafInfo {
                remote: leaf.name().to_owned(),
                hub: leaf.hub().to_owned(),
                address: Some(link.remote),
                subscriptions: leaf.wishes(),
                cid,
                account,
                rtt,
                in_msgs,
                in_bytes,
                out_msgs,
                out_bytes,
            })
        };
        self.links.iter().filter_map(of).collect()
    }

    /// The chains of some links, `cids` in ascending order.
    pub(super) fn certificates(&self, cids: &[u64]) -> Chains {
        self.links
            .iter()
            .filter(|(_, link)| cids.binary_search(&link.cid).is_ok())
            .filter_map(|(_, link)| Some((link.cid, link.tls.as_ref()?.peer_certificates()?.to_vec())))
            .collect()
    }

    /// `most` subscriptions of some links, `cids` in ascending order.
    pub(super) fn subscriptions_of(&self, cids: &[u64], most: usize) -> Vec<Placed> {
        self.links
            .iter()
            .filter(|(_, link)| cids.binary_search(&link.cid).is_ok())
            .flat_map(|(_, link)| {
                self.subscriptions.chain(link.subscriptions).map(move |(slot, serial, subscription)| Placed {
                    account: link.account,
                    key: subscription.key,
                    target: Target { shard: self.id, slot, serial },
                    cid: link.cid,
                    sid: String::from_utf8_lossy(subscription.sid.as_bytes()).into_owned(),
                    delivered: subscription.delivered,
                    max: subscription.max,
                })
            })
            .take(most)
            .collect()
    }

    /// Those of some places that are this shard's and still there.
    pub(super) fn placed(&self, targets: &[Target]) -> Vec<Placed> {
        targets
            .iter()
            .filter(|target| target.shard == self.id)
            .filter_map(|target| {
                let subscription = self.subscriptions.look(target.slot, target.serial)?;
                let link = self.links.get(subscription.link as usize)?;
                Some(Placed {
                    account: link.account,
                    key: subscription.key,
                    target: *target,
                    cid: link.cid,
                    sid: String::from_utf8_lossy(subscription.sid.as_bytes()).into_owned(),
                    delivered: subscription.delivered,
                    max: subscription.max,
                })
            })
            .collect()
    }

    /// Answers kept, of one account or of all.
    pub(super) fn answers(&self, account: Option<Account>) -> Answers {
        match account {
            Some(account) => self.cache.answers(account),
            None => Account::all()
                .into_iter()
                .map(|account| self.cache.answers(account))
                .fold(Answers::default(), Answers::and),
        }
    }

    /// All that is known about a link.
    pub(super) fn info_of(&self, link: &Link) -> ConnectionInfo {
        ConnectionInfo {
            user: link.client.user.to_string(),
            name: link.client.name.to_string(),
            lang: link.client.lang.to_string(),
            version: link.client.version.to_string(),
            tls: link.tls.as_ref().map(|tls| tls.summary()).unwrap_or_default(),
            ..self.numbers(link)
        }
    }

    /// What can be sorted by, without a text.
    fn numbers(&self, link: &Link) -> ConnectionInfo {
        ConnectionInfo {
            cid: link.cid,
            remote: Some(link.remote),
            at: self.now,
            uptime: self.now.saturating_sub(link.since),
            idle: self.now.saturating_sub(link.heard),
            rtt: (link.rtt > 0).then(|| Duration::from_micros(link.rtt.into())),
            account: link.account.name(),
            pending_bytes: link.pending(),
            in_msgs: link.traffic.in_msgs,
            in_bytes: link.traffic.in_bytes,
            out_msgs: link.traffic.out_msgs,
            out_bytes: link.traffic.out_bytes,
            subscriptions: link.subscription_count as usize,
            ..ConnectionInfo::default()
        }
    }
}
