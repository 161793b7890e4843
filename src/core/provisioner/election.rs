//! Who of many provisioners is at work.
//!
//! An [`Election`] is a campaign that never ends and says of every turn whether
//! this provisioner leads. While it does not it notices nodes and touches none;
//! walks that are under way end at their next step unless their node is about
//! to be configured, which is finished: half a configuration helps nobody, and
//! the node's own lock keeps the next leader out for as long as that takes.
//!
//! By default nobody is elected ([`NodeLocks`]): each node is locked by whoever
//! asks it first, so provisioners share a fleet. Elections over Streams
//! ([`ByBucket`]) implement the trait, as do those of embedders by whatever they have.

mod bucket;

pub use bucket::ByBucket;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::core::metrics::{Kind, Registry};

/// A campaign that goes on until it is dropped.
pub type Campaign<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Says which provisioner is at work.
pub trait Election: Send + Sync {
    /// What is run for, as metrics name it; `provisioner` by the original.
    fn name(&self) -> &str;

    /// Whether there is anybody to lose against. Without, no campaign is made and
    /// this provisioner always leads.
    fn is_opposed(&self) -> bool {
        true
    }

    /// Takes part until dropped. It begins as a follower. A campaign that returns
    /// is lost for good, which is logged: return only when there is no way on.
    fn campaign<'a>(&'a self, poll: &'a dyn Poll) -> Campaign<'a>;
}

/// Told of what happens in a campaign.
pub trait Poll: Send + Sync {
    /// A vote was cast as leader or as candidate; the next comes after this long.
    fn voted(&self, next: Duration);

    /// This provisioner leads from now on.
    fn won(&self);

    /// It does no longer.
    fn lost(&self);
}

/// No election: a node belongs to whoever locks it first.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeLocks;

impl Election for NodeLocks {
    fn name(&self) -> &str {
        "provisioner"
    }

    fn is_opposed(&self) -> bool {
        false
    }

    fn campaign<'a>(&'a self, poll: &'a dyn Poll) -> Campaign<'a> {
        poll.won();
        Box::pin(std::future::pending())
    }
}

/// Where this provisioner stands, for walks and for metrics.
#[derive(Debug, Default)]
pub struct Leadership {
    leads: AtomicBool,
    as_leader: AtomicU64,
    as_candidate: AtomicU64,
    interval_millis: AtomicU64,
}

impl Leadership {
    /// At the start.
    pub fn new(leads: bool) -> Arc<Leadership> {
        Arc::new(Leadership { leads: leads.into(), ..Leadership::default() })
    }

    /// Whether nodes may be touched.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }

    /// Returns whether that is news.
    pub(super) fn set(&self, leads: bool) -> bool {
        self.leads.swap(leads, Ordering::AcqRel) != leads
    }

    pub(super) fn voted(&self, next: Duration) {
        let votes = if self.leads() { &self.as_leader } else { &self.as_candidate };
        votes.fetch_add(1, Ordering::Relaxed);
        self.interval_millis.store(u64::try_from(next.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Adds the original's metrics of elections.
    pub(super) fn register(self: &Arc<Self>, registry: &Registry, election: &str, identity: &str) {
        let labels = [("election", election), ("identity", identity)];
        let standing = self.clone();
        registry.add(
            Kind::Gauge,
            "choria_election_leader",
            "1 while this provisioner leads",
            &labels,
            move || f64::from(u8::from(standing.leads())),
        );
        let standing = self.clone();
        let help = "Seconds between votes; 0 where nobody is elected";
        registry.add(Kind::Gauge, "choria_election_interval_seconds", help, &labels, move || {
            standing.interval_millis.load(Ordering::Relaxed) as f64 / 1000.0
        });
        type Read = fn(&Leadership) -> &AtomicU64;
        let states: [(&str, Read); 2] =
            [("candidate", |standing| &standing.as_candidate), ("leader", |standing| &standing.as_leader)];
        for (state, read) in states {
            let standing = self.clone();
            let labels = [("election", election), ("identity", identity), ("state", state)];
            registry.add(Kind::Counter, "choria_election_campaigns", "Votes cast", &labels, move || {
                read(&standing).load(Ordering::Relaxed) as f64
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_say_who_leads() {
        let standing = Leadership::new(false);
        let registry = Registry::default();
        standing.register(&registry, "provisioner", "p1");
        standing.voted(Duration::from_millis(250));
        assert!(standing.set(true) && !standing.set(true));
        standing.voted(Duration::from_millis(500));
        standing.voted(Duration::from_millis(500));
        let text = registry.render();
        for line in [
            "choria_election_leader{election=\"provisioner\",identity=\"p1\"} 1",
            "choria_election_interval_seconds{election=\"provisioner\",identity=\"p1\"} 0.5",
            "choria_election_campaigns{election=\"provisioner\",identity=\"p1\",state=\"candidate\"} 1",
            "choria_election_campaigns{election=\"provisioner\",identity=\"p1\",state=\"leader\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
