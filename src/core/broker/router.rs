//! Who gets a message: the subscriptions of each account and the wishes of its hubs, shared by all shards.
//!
//! A SUB changes the index before its shard answers anything, and every
//! publish compares the account's generation with that of the answer it has
//! cached, so a PONG is a barrier: after it, no shard routes by an older
//! state. A publish whose answer is cached takes no lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use hashbrown::{HashMap, HashSet};

use super::account::PerAccount;
use super::departures::{Departures, Whereabouts};
use super::hubs::{Attached, Hubs, Wish};
use super::index::{Index, Listed, Matched, Moment, SubKey, Target};
use super::shared::LeafId;
use super::stats::Answers;
use crate::core::admission::Account;

/// Most answers a shard keeps for an account.
const CACHED_SUBJECTS: usize = 4096;
/// Longest subject an answer is kept for.
const CACHED_LENGTH: usize = 256;
/// Most subscriptions in the answers a shard keeps for an account: 12 bytes each.
const CACHED_TARGETS: usize = 256 * 1024;

/// The subscriptions of all accounts.
#[derive(Debug, Default)]
pub struct Router {
    accounts: PerAccount<Subscriptions>,
}

#[derive(Debug, Default)]
struct Subscriptions {
    /// Changes with the index, while it is locked for writing.
    generation: AtomicU64,
    /// Subscriptions ever made.
    made: AtomicU64,
    /// Hubs the account is a leaf of.
    hubs: AtomicUsize,
    tables: RwLock<Tables>,
}

/// Who wants what in an account: links here, and hubs.
#[derive(Debug, Default)]
struct Tables {
    index: Index,
    hubs: Hubs,
    departures: Departures,
}

impl Subscriptions {
    fn len(&self) -> usize {
        self.read().index.len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the tables; every shard routes by what they say then.
    fn change<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> T {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let outcome = change(&mut tables);
        self.generation.fetch_add(1, Ordering::SeqCst);
        outcome
    }
}

impl Tables {
    /// Removes a subscription and says what nobody here wants as before.
    fn remove(&mut self, key: SubKey, by: &str, now: Moment) -> Option<Wish> {
        let wish = match self.hubs.is_empty() {
            true => None,
            false => self.index.wish_of(key),
        };
        if let Some(left) = self.index.remove(key) {
            self.departures.left(left, by, now);
        }
        wish.filter(|wish| wish.queue.is_some() || self.index.interest(wish) == 0)
    }
}

impl Router {
    /// Adds a subscription; when this returns, every shard routes to it. Hubs to be told are added to
    /// `told`.
    pub fn subscribe(
        &self,
        account: Account,
        pattern: &[u8],
        queue: Option<&[u8]>,
        target: Target,
        told: &mut Vec<LeafId>,
        now: Moment,
    ) -> SubKey {
        let subscriptions = self.of(account);
        subscriptions.made.fetch_add(1, Ordering::Relaxed);
        subscriptions.change(|tables| {
            let key = tables.index.insert(pattern, queue, target, now);
            tables.departures.came_back(pattern);
            if !tables.hubs.is_empty() {
                let wish = Wish::new(pattern, queue);
                if queue.is_some() || tables.index.interest(&wish) == 1 {
                    told.extend(tables.hubs.note(&wish));
                }
            }
            key
        })
    }

    /// Removes subscriptions of `by`; messages already handed over may still arrive at their shard. Hubs to be
    /// told are returned.
    pub fn unsubscribe(
        &self,
        account: Account,
        keys: impl IntoIterator<Item = SubKey>,
        by: &str,
        now: Moment,
    ) -> Vec<LeafId> {
        self.of(account).change(|tables| {
            let mut told = Vec::new();
            for key in keys {
                if let Some(wish) = tables.remove(key, by, now) {
                    told.extend(tables.hubs.note(&wish));
                }
            }
            told
        })
    }

    /// What is known of who listens on the subjects of nodes, in their order.
    pub fn whereabouts(&self, account: Account, subjects: &[Vec<u8>]) -> Vec<Whereabouts> {
        let tables = self.of(account).read();
        let Tables { index, hubs, departures } = &*tables;
        let of = |subject: &Vec<u8>| match index.since(subject) {
            Some(since) => Whereabouts::Here { since },
            // whoever listens to many nodes may be where they are connected
            None if index.is_wanted_by_pattern(subject) => Whereabouts::Unknown,
            None if hubs.is_empty() => Whereabouts::Gone { since: departures.of(subject) },
            None if hubs.matches(subject).is_empty() => Whereabouts::Gone { since: None },
            None => Whereabouts::Unknown,
        };
        subjects.iter().map(of).collect()
    }

    /// Takes a hub in, and returns all that is wanted here, with the number of those who do.
    pub fn attach(&self, account: Account, hub: Attached) -> Vec<(Wish, u32)> {
        let subscriptions = self.of(account);
        subscriptions.change(|tables| {
            tables.hubs.attach(hub);
            subscriptions.hubs.fetch_add(1, Ordering::SeqCst);
            tables.index.wishes()
        })
    }

    /// Lets a hub go with what it wanted.
    pub fn detach(&self, account: Account, leaf: LeafId, wishes: impl IntoIterator<Item = SubKey>) {
        let subscriptions = self.of(account);
        subscriptions.change(|tables| {
            wishes.into_iter().for_each(|wish| tables.hubs.withdraw(wish));
            tables.hubs.detach(leaf);
            subscriptions.hubs.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Whether an account is a leaf of a hub now.
    pub fn has_hub(&self, account: Account) -> bool {
        self.of(account).hubs.load(Ordering::SeqCst) > 0
    }

    /// A hub wants something.
    pub fn want(&self, account: Account, leaf: LeafId, wish: &Wish) -> SubKey {
        self.of(account).change(|tables| tables.hubs.want(leaf, wish))
    }

    /// It does not any more.
    pub fn withdraw(&self, account: Account, wish: SubKey) {
        self.of(account).change(|tables| tables.hubs.withdraw(wish));
    }

    /// What a hub has not been told, with the number of those who want it now.
    pub fn take_unknown(&self, account: Account, leaf: LeafId) -> Vec<(Wish, u32)> {
        let mut tables = self.of(account).tables.write().unwrap_or_else(PoisonError::into_inner);
        let unknown: HashSet<Wish> = tables.hubs.take_unknown(leaf);
        unknown.into_iter().map(|wish| (tables.index.interest(&wish), wish)).map(|(n, w)| (w, n)).collect()
    }

    /// Number of subscriptions in all accounts.
    pub fn len(&self) -> usize {
        self.accounts.iter().map(Subscriptions::len).sum()
    }

    /// Subscriptions ever made.
    pub fn made(&self) -> u64 {
        self.accounts.iter().map(|account| account.made.load(Ordering::Relaxed)).sum()
    }

    /// The same of one account: now, and ever made.
    pub fn len_of(&self, account: Account) -> (usize, u64) {
        let subscriptions = self.of(account);
        (subscriptions.len(), subscriptions.made.load(Ordering::Relaxed))
    }

    /// See [`Index::list`].
    pub fn list(
        &self,
        account: Account,
        test: Option<&[u8]>,
        skip: usize,
        most: usize,
    ) -> (usize, Vec<Listed>) {
        self.of(account).read().index.list(test, skip, most)
    }

    /// See [`Index::describe`]; those that have ended are left out.
    pub fn describe(&self, account: Account, keys: &[(SubKey, Target)]) -> Vec<Listed> {
        let tables = self.of(account).read();
        keys.iter().filter_map(|(key, target)| tables.index.describe(*key, *target)).collect()
    }

    /// The first of these plain subscriptions that wants a subject.
    pub fn first_that_wants(
        &self,
        account: Account,
        subject: &[u8],
        mut of: impl Iterator<Item = (SubKey, Target)>,
    ) -> Option<Target> {
        let tables = self.of(account).read();
        of.find(|(key, target)| tables.index.wants(*key, *target, subject)).map(|(_, target)| target)
    }

    fn of(&self, account: Account) -> &Subscriptions {
        &self.accounts[account]
    }

    /// Changes with each subscription made or ended.
    pub fn generation(&self, account: Account) -> u64 {
        self.of(account).generation.load(Ordering::SeqCst)
    }

    /// Everybody who wants a subject, and the generation this answer is of.
    fn matches(&self, account: Account, subject: &[u8]) -> (u64, Matched) {
        let subscriptions = self.of(account);
        let tables = subscriptions.read();
        // read under the lock: it cannot change meanwhile
        let generation = subscriptions.generation.load(Ordering::SeqCst);
        let mut matched = tables.index.matches(subject);
        if !tables.hubs.is_empty() {
            matched.hubs = tables.hubs.matches(subject);
        }
        (generation, matched)
    }
}

/// Answers of the router, kept by one shard.
#[derive(Debug, Default)]
pub struct MatchCache {
    accounts: PerAccount<Cached>,
    /// Times somebody asked, and times the answer was there.
    lookups: [u64; 2],
    /// Subscriptions gathered for answers that were not there.
    gathered: u64,
}

#[derive(Debug, Default)]
struct Cached {
    /// All are of one generation: whatever subscribes or leaves makes them all
    /// void, and subjects of requests long answered go with them.
    generation: u64,
    answers: HashMap<Box<[u8]>, Arc<Matched>>,
    targets: usize,
    lookups: u64,
    hits: u64,
}

impl MatchCache {
    /// Everybody who wants a subject now.
    pub fn matches(&mut self, router: &Router, account: Account, subject: &[u8]) -> Arc<Matched> {
        let generation = router.generation(account);
        let [lookups, hits] = &mut self.lookups;
        let cached = &mut self.accounts[account];
        *lookups += 1;
        cached.lookups += 1;
        if cached.generation == generation
            && let Some(matched) = cached.answers.get(subject)
        {
            *hits += 1;
            cached.hits += 1;
            return matched.clone();
        }
        let (generation, matched) = router.matches(account, subject);
        let matched = Arc::new(matched);
        let size = matched.len();
        self.gathered += size as u64;
        if cached.generation != generation
            || cached.answers.len() >= CACHED_SUBJECTS
            || cached.targets + size > CACHED_TARGETS
        {
            cached.answers.clear();
            cached.targets = 0;
            cached.generation = generation;
        }
        if size <= CACHED_TARGETS && subject.len() <= CACHED_LENGTH {
            cached.answers.insert(subject.into(), matched.clone());
            cached.targets += size;
        }
        matched
    }

    /// Somebody knew the answer from last time.
    pub fn count_hit(&mut self, account: Account) {
        self.lookups[0] += 1;
        self.lookups[1] += 1;
        let cached = &mut self.accounts[account];
        cached.lookups += 1;
        cached.hits += 1;
    }

    /// Subscriptions gathered so far for answers that were not there: work, as deliveries are.
    pub fn gathered(&self) -> u64 {
        self.gathered
    }

    /// Times somebody asked, and times the answer was there.
    pub fn lookups(&self) -> [u64; 2] {
        self.lookups
    }

    /// What is kept for one account.
    pub fn answers(&self, account: Account) -> Answers {
        let cached = &self.accounts[account];
        Answers {
            subjects: cached.answers.len(),
            largest: cached.answers.values().map(|matched| matched.len()).max().unwrap_or(0),
            targets: cached.targets,
            lookups: cached.lookups,
            hits: cached.hits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(slot: u32) -> Target {
        Target { shard: 0, slot, serial: 0 }
    }

    #[test]
    fn accounts_do_not_hear_each_other() {
        let router = Router::default();
        let mut cache = MatchCache::default();
        router.subscribe(Account::Choria, b">", None, target(1), &mut Vec::new(), 0);
        assert_eq!(cache.matches(&router, Account::Choria, b"a").len(), 1);
        assert!(cache.matches(&router, Account::Provisioning, b"a").is_empty());
        assert!(cache.matches(&router, Account::System, b"a").is_empty());
    }

    #[test]
    fn a_cached_answer_never_outlives_a_change() {
        let router = Router::default();
        let mut cache = MatchCache::default();
        assert!(cache.matches(&router, Account::Choria, b"a").is_empty());
        let key = router.subscribe(Account::Choria, b"a", None, target(1), &mut Vec::new(), 0);
        let first = cache.matches(&router, Account::Choria, b"a");
        assert_eq!(first.plain(0), [target(1)]);
        assert!(Arc::ptr_eq(&first, &cache.matches(&router, Account::Choria, b"a")));
        router.unsubscribe(Account::Choria, [key], "n", 0);
        assert!(cache.matches(&router, Account::Choria, b"a").is_empty());
        assert_eq!(router.len(), 0);
    }

    #[test]
    fn the_cache_is_bounded() {
        let router = Router::default();
        let mut cache = MatchCache::default();
        for slot in 0..10 {
            router.subscribe(Account::Choria, b"s.>", None, target(slot), &mut Vec::new(), 0);
        }
        for number in 0..3 * CACHED_SUBJECTS {
            cache.matches(&router, Account::Choria, format!("s.{number}").as_bytes());
        }
        let cached = &cache.accounts[Account::Choria];
        assert!(cached.answers.len() <= CACHED_SUBJECTS);
        assert_eq!(cached.targets, cached.answers.len() * 10);
    }

    #[test]
    fn subjects_of_answered_requests_go_with_the_next_change() {
        let router = Router::default();
        let mut cache = MatchCache::default();
        for number in 0..100 {
            cache.matches(&router, Account::Choria, format!("reply.{number}").as_bytes());
        }
        assert_eq!(cache.answers(Account::Choria).subjects, 100);
        router.subscribe(Account::Choria, b"reply.new", None, target(1), &mut Vec::new(), 0);
        assert_eq!(cache.matches(&router, Account::Choria, b"reply.new").len(), 1);
        let kept = cache.answers(Account::Choria);
        assert_eq!((kept.subjects, kept.targets), (1, 1));
    }
}
