//! Where filters are evaluated: on few threads of their own kind, in turn by
//! caller, for a bounded time.
//!
//! Everybody with a certificate can send a filter, and it is evaluated before
//! anybody has looked what its caller may do. So a caller has one filter
//! evaluated at a time, may use a quarter of a processor for long, and waits
//! behind every other caller once: whoever floods a node waits for himself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::data_door::{DataDoor, FilterData};
use crate::core::agents::Node;
use crate::core::protocol::filter::{Budget, Facts, Filter, MatchError, NoData, NodeView};
use crate::core::server::pipeline::stages::Fresh;
use crate::core::server::{Hosted, NodeState};

/// Filters evaluated at once in this process, however many nodes it holds. The
/// threads are the runtime's, which ends them when there is nothing to do.
static THREADS: Semaphore = Semaphore::const_new(2);

/// Requests of one caller that may wait for their filter, and bytes of them.
const WAITING: usize = 256;
const WAITING_BYTES: usize = 8 * 1024 * 1024;
/// How long a caller's filters may run at a stretch.
const STRETCH: Duration = Duration::from_secs(1);
/// And for long: one part in so many of the time.
const PART: u32 = 4;
/// Callers that are remembered before those are forgotten who used nothing of
/// late; no more than so many can have used up anything within four seconds.
const REMEMBERED: usize = 1024;

/// Why a filter was not evaluated, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Unfiltered {
    /// What is wrong with it, or that it costs too much.
    #[error("{0}")]
    Failed(#[from] MatchError),
    /// Its caller has had his part.
    #[error("the filters of this caller take more than their part of this node's time")]
    Overdrawn,
    /// Its caller has too many waiting.
    #[error("too many requests of this caller wait for their filters already")]
    Crowded,
    /// Files it needs hang, all of them.
    #[error("the files of facts and classes do not answer")]
    NoFiles,
    /// The node ends.
    #[error("this node ends")]
    Ending,
    /// It made the evaluation panic.
    #[error("its evaluation failed, which is a fault of this program: please report it")]
    Panicked,
}

impl Unfiltered {
    /// Whether it was refused for what it costs.
    pub fn is_over_budget(&self) -> bool {
        match self {
            Unfiltered::Failed(e) => matches!(e, MatchError::Exhausted(_) | MatchError::TooMany(..)),
            Unfiltered::Overdrawn | Unfiltered::Crowded => true,
            Unfiltered::NoFiles | Unfiltered::Ending | Unfiltered::Panicked => false,
        }
    }
}

/// The filters of a node's requests.
pub struct Filtering {
    limit: Duration,
    ending: Arc<AtomicBool>,
    callers: Mutex<HashMap<String, Arc<Caller>>>,
}

/// What a caller has of this node's time.
struct Caller {
    turn: Semaphore,
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    account: Mutex<Account>,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    left: Duration,
    at: Instant,
}

/// One who waits.
struct Waiting<'a> {
    caller: &'a Caller,
    bytes: usize,
}

impl Filtering {
    /// Filters of which each is evaluated for `limit` at most.
    pub fn new(limit: Duration) -> Filtering {
        Filtering { limit, ending: Arc::default(), callers: Mutex::default() }
    }

    /// Evaluates nothing any more; what is being evaluated ends soon.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether the node is meant by the filter of a request of `bytes`.
    ///
    /// # Errors
    /// Why it cannot be told; then the node is not.
    pub async fn matches(
        &self,
        request: &Arc<Fresh>,
        bytes: usize,
        node: &Arc<NodeState>,
        door: &Arc<DataDoor>,
    ) -> Result<bool, Unfiltered> {
        request.filter().check_size()?;
        let caller = self.caller(request.caller());
        let waiting = Waiting::enter(&caller, bytes)?;
        let _turn = caller.turn.acquire().await;
        if !caller.account().covers(Instant::now()) {
            return Err(Unfiltered::Overdrawn);
        }
        drop(waiting);
        if self.ending.load(Ordering::Relaxed) {
            return Err(Unfiltered::Ending);
        }
        // Fact files that have changed are read on the node's own account.
        node.with_files(|_| ()).await.ok_or(Unfiltered::NoFiles)?;
        let _thread = THREADS.acquire().await;
        let (limit, ending) = (self.limit, self.ending.clone());
        let (request, node, door) = (request.clone(), node.clone(), door.clone());
        let runtime = Handle::current();
        let evaluated = tokio::task::spawn_blocking(move || {
            let (filter, hosted) = (request.filter(), node.hosted());
            let (facts, classes) = (node.facts(), node.classes());
            if filter.needs_facts() {
                facts.prepare();
            }
            let begun = Instant::now();
            let late = move || begun.elapsed() > limit || ending.load(Ordering::Relaxed);
            let data = FilterData::new(&node, &door, &request, runtime, begun + limit);
            let view = NodeView { data: &data, ..view(&node, &hosted, &classes, &facts) };
            let matched = filter.matches_within(&view, &Budget::until(late));
            (matched, begun.elapsed())
        });
        match evaluated.await {
            Ok((matched, took)) => {
                caller.account().take(took, Instant::now());
                Ok(matched?)
            }
            Err(_) => {
                caller.account().take(self.limit, Instant::now());
                Err(Unfiltered::Panicked)
            }
        }
    }

    fn caller(&self, name: &str) -> Arc<Caller> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = callers.get(name) {
            return caller.clone();
        }
        if callers.len() >= REMEMBERED {
            let now = Instant::now();
            callers.retain(|_, caller| Arc::strong_count(caller) > 1 || !caller.account().is_full(now));
        }
        let caller = Arc::new(Caller {
            turn: Semaphore::new(1),
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            account: Mutex::new(Account { left: STRETCH, at: Instant::now() }),
        });
        callers.insert(name.to_owned(), caller.clone());
        caller
    }
}

/// Evaluates a plain filter here and now.
pub fn evaluate_plain(filter: &Filter, node: &NodeState) -> Result<bool, MatchError> {
    filter.matches(&view(node, &node.hosted(), &[], &Facts::default()))
}

fn view<'a>(
    node: &'a NodeState,
    hosted: &'a Hosted,
    classes: &'a [String],
    facts: &'a Facts,
) -> NodeView<'a> {
    NodeView { identity: node.identity(), agents: hosted.names(), classes, facts, data: &NoData }
}

impl Caller {
    fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Waiting<'a> {
    fn enter(caller: &'a Caller, bytes: usize) -> Result<Waiting<'a>, Unfiltered> {
        let before = caller.waiting.fetch_add(1, Ordering::AcqRel);
        let held = caller.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        let waiting = Waiting { caller, bytes };
        // One that is refused gives its place back by being dropped; the first has room
        // whatever its size.
        let full = before >= WAITING || before > 0 && held + bytes > WAITING_BYTES;
        if full { Err(Unfiltered::Crowded) } else { Ok(waiting) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.caller.waiting_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.caller.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Account {
    /// Gives what the time that went by brought.
    fn refill(&mut self, now: Instant) {
        let brought = now.saturating_duration_since(self.at) / PART;
        *self = Account { left: (self.left + brought).min(STRETCH), at: now };
    }

    fn covers(&mut self, now: Instant) -> bool {
        self.refill(now);
        !self.left.is_zero()
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left == STRETCH
    }

    fn take(&mut self, took: Duration, now: Instant) {
        self.refill(now);
        self.left = self.left.saturating_sub(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_much_waits_for_himself() {
        let start = Instant::now();
        let mut account = Account { left: STRETCH, at: start };
        for _ in 0..4 {
            assert!(account.covers(start));
            account.take(Duration::from_millis(250), start);
        }
        assert!(!account.covers(start), "a second in one go");
        assert!(account.covers(start + Duration::from_millis(4)), "a quarter of the time comes back");
        assert!(!account.is_full(start + Duration::from_secs(3)));
        assert!(account.is_full(start + Duration::from_secs(5)));
    }

    #[test]
    fn one_caller_has_so_many_waiting() {
        let filtering = Filtering::new(Duration::from_secs(1));
        let bob = filtering.caller("choria=bob.mcollective");
        let waiting: Vec<_> = (0..WAITING).map(|_| Waiting::enter(&bob, 100)).collect();
        assert!(waiting.iter().all(Result::is_ok));
        assert!(matches!(Waiting::enter(&bob, 100), Err(Unfiltered::Crowded)));
        assert!(Waiting::enter(&filtering.caller("choria=alice.mcollective"), 100).is_ok());
        drop(waiting);
        let large = Waiting::enter(&bob, WAITING_BYTES + 1);
        assert!(large.is_ok() && Waiting::enter(&bob, 1).is_err());
    }

    #[test]
    fn callers_are_forgotten() {
        let filtering = Filtering::new(Duration::from_secs(1));
        let busy = filtering.caller("busy");
        busy.account().take(STRETCH, Instant::now());
        drop(busy);
        (0..3 * REMEMBERED).for_each(|n| drop(filtering.caller(&n.to_string())));
        let callers = filtering.callers.lock().unwrap();
        assert!(callers.len() <= REMEMBERED + 1, "{}", callers.len());
        assert!(callers.contains_key("busy"), "what somebody used is not forgotten");
    }
}
