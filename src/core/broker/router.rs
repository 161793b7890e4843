//! Who gets a message: the subscription index of each account, shared by all shards.
//!
//! A SUB changes the index before its shard answers anything, and every
//! publish compares the account's generation with that of the answer it has
//! cached, so a PONG is a barrier: after it, no shard routes by an older
//! state. A publish whose answer is cached takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;

use super::account::PerAccount;
use super::index::{Index, Listed, Matched, SubKey, Target};
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
    index: RwLock<Index>,
}

impl Subscriptions {
    fn len(&self) -> usize {
        self.index.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Router {
    /// Adds a subscription; when this returns, every shard routes to it.
    pub fn subscribe(
        &self,
        account: Account,
        pattern: &[u8],
        queue: Option<&[u8]>,
        target: Target,
    ) -> SubKey {
        let subscriptions = self.of(account);
        let mut index = subscriptions.index.write().unwrap_or_else(PoisonError::into_inner);
        let key = index.insert(pattern, queue, target);
        subscriptions.made.fetch_add(1, Ordering::Relaxed);
        subscriptions.generation.fetch_add(1, Ordering::SeqCst);
        key
    }

    /// Removes subscriptions; messages already handed over may still arrive at their shard.
    pub fn unsubscribe(&self, account: Account, keys: impl IntoIterator<Item = SubKey>) {
        let subscriptions = self.of(account);
        let mut index = subscriptions.index.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            index.remove(key);
        }
        subscriptions.generation.fetch_add(1, Ordering::SeqCst);
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
        let index = self.of(account).index.read().unwrap_or_else(PoisonError::into_inner);
        index.list(test, skip, most)
    }

    /// See [`Index::describe`]; those that have ended are left out.
    pub fn describe(&self, account: Account, keys: &[(SubKey, Target)]) -> Vec<Listed> {
        let index = self.of(account).index.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().filter_map(|(key, target)| index.describe(*key, *target)).collect()
    }

    /// The first of these plain subscriptions that wants a subject.
    pub fn first_that_wants(
        &self,
        account: Account,
        subject: &[u8],
        mut of: impl Iterator<Item = (SubKey, Target)>,
    ) -> Option<Target> {
        let index = self.of(account).index.read().unwrap_or_else(PoisonError::into_inner);
        of.find(|(key, target)| index.wants(*key, *target, subject)).map(|(_, target)| target)
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
        let index = subscriptions.index.read().unwrap_or_else(PoisonError::into_inner);
        // read under the lock: it cannot change meanwhile
        let generation = subscriptions.generation.load(Ordering::SeqCst);
        (generation, index.matches(subject))
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
        router.subscribe(Account::Choria, b">", None, target(1));
        assert_eq!(cache.matches(&router, Account::Choria, b"a").len(), 1);
        assert!(cache.matches(&router, Account::Provisioning, b"a").is_empty());
        assert!(cache.matches(&router, Account::System, b"a").is_empty());
    }

    #[test]
    fn a_cached_answer_never_outlives_a_change() {
        let router = Router::default();
        let mut cache = MatchCache::default();
        assert!(cache.matches(&router, Account::Choria, b"a").is_empty());
        let key = router.subscribe(Account::Choria, b"a", None, target(1));
        let first = cache.matches(&router, Account::Choria, b"a");
        assert_eq!(first.plain(0), [target(1)]);
        assert!(Arc::ptr_eq(&first, &cache.matches(&router, Account::Choria, b"a")));
        router.unsubscribe(Account::Choria, [key]);
        assert!(cache.matches(&router, Account::Choria, b"a").is_empty());
        assert_eq!(router.len(), 0);
    }

    #[test]
    fn the_cache_is_bounded() {
        let router = Router::default();
        let mut cache = MatchCache::default();
        for slot in 0..10 {
            router.subscribe(Account::Choria, b"s.>", None, target(slot));
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
        router.subscribe(Account::Choria, b"reply.new", None, target(1));
        assert_eq!(cache.matches(&router, Account::Choria, b"reply.new").len(), 1);
        let kept = cache.answers(Account::Choria);
        assert_eq!((kept.subjects, kept.targets), (1, 1));
    }
}
