//! What is known, told to each receiver at its own pace, and kept.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use choria::core::client::Client;
use choria::core::scout::alerts::{self, Alerts, Receiver, Settings, Shared};
use choria::core::scout::{MOST_ALL, MOST_CHECKS, MOST_NODES};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long those that are being told have when it ends, and what is kept then.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);
/// Between two failures to reach a receiver, at first and at most; and at most between two to keep something.
const SOON: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_secs(300);
const LATEST_KEPT: Duration = Duration::from_secs(60);
/// How many times as long as keeping it took nothing is kept that happens meanwhile.
const PAUSE: u32 = 4;

/// Messages in a row that a receiver does not take before it is left alone for a while.
const REFUSALS: u32 = 3;

/// Unix seconds.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// What is told.
pub(super) struct Telling {
    all: Mutex<Alerts>,
    state: PathBuf,
    every: Duration,
    leads: AtomicBool,
    /// Until when it is believed to lead: by this clock, and by that on the wall, which goes on while a machine is
    /// suspended. None where nobody is elected.
    until: Mutex<Option<(Instant, i64)>>,
    /// Whether others do not know yet what was told.
    unshared: AtomicBool,
    /// Whether what was told last is not kept here yet.
    unkept: AtomicBool,
    keeping: Mutex<Tries>,
    sharing: Mutex<Tries>,
    /// What was kept last, by number: a later one is never replaced by one before it.
    saved: Arc<Mutex<u64>>,
    saves: AtomicU64,
    /// A message is on its way, or has arrived.
    news: Notify,
}

/// Something that is tried until it succeeds, more and more seldom.
#[derive(Default)]
struct Tries {
    failures: u32,
    next: Option<Instant>,
}

impl Tries {
    fn is_due(&self) -> bool {
        self.next.is_none_or(|next| Instant::now() >= next)
    }

    /// Takes how it went, and tells of it where that is new.
    fn went(&mut self, problem: Option<String>, told: &str) {
        match problem {
            Some(problem) => {
                if self.failures == 0 {
                    tracing::error!("{told}, it is tried again until it is: {problem}");
                }
                self.next = Some(Instant::now() + (SOON * 2_u32.pow(self.failures.min(6))).min(LATEST_KEPT));
                self.failures = self.failures.saturating_add(1);
            }
            None if self.failures > 0 => {
                tracing::info!("what was told is kept again, after {} failures", self.failures);
                *self = Tries::default();
            }
            None => *self = Tries::default(),
        }
    }
}

impl Telling {
    /// By one that leads, where nobody is elected.
    pub fn new(all: Alerts, settings: &Settings) -> Telling {
        Telling {
            all: Mutex::new(all),
            state: settings.state.clone(),
            every: Duration::from_secs(settings.group.unsigned_abs()),
            leads: AtomicBool::new(settings.elected.is_none()),
            until: Mutex::default(),
            unshared: AtomicBool::new(true),
            unkept: AtomicBool::new(false),
            keeping: Mutex::default(),
            sharing: Mutex::default(),
            saved: Arc::default(),
            saves: AtomicU64::new(0),
            news: Notify::new(),
        }
    }

    fn locked(&self) -> MutexGuard<'_, Alerts> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes something that was heard.
    pub fn heard(&self, take: impl FnOnce(&mut Alerts)) {
        take(&mut self.locked());
    }

    /// Whether this one tells.
    pub fn leads(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let believed = until.is_none_or(|(clock, wall)| Instant::now() < clock && now() <= wall);
        self.leads.load(Ordering::Acquire) && believed
    }

    /// It was elected, or elected again, in an election whose votes are forgotten after that time: others lead then,
    /// and whoever was stopped meanwhile does not.
    pub fn believe(&self, ttl: Duration) {
        // the vote was cast a moment ago
        let rest = ttl.mul_f64(0.9);
        let wall = now().saturating_add(i64::try_from(rest.as_secs()).unwrap_or(i64::MAX)).saturating_add(1);
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now() + rest, wall));
    }

    /// Has this one tell from now on, or no longer.
    pub fn lead(&self, leads: bool) {
        self.unshared.store(true, Ordering::Release);
        self.leads.store(leads, Ordering::Release);
    }

    /// Looks who fell silent, and keeps what was told.
    pub async fn looks(&self, client: &Client, shared: Option<&tokio::sync::Mutex<Shared>>) {
        let mut overflowed = false;
        loop {
            let (dropped, crowded) = {
                let connected = client.session().connected_server().is_some();
                let mut all = self.locked();
                all.connected(connected, now());
                all.look(now());
                all.tidy();
                (all.take_dropped(), all.take_crowded())
            };
            if let Some(node) = crowded {
                tracing::error!(
                    "nobody is told of some checks of {node}: of no more than {MOST_NODES} nodes, {MOST_CHECKS} machines of \
                     one and {MOST_ALL} of all is known how they are"
                );
            }
            if dropped > 0 && !overflowed {
                tracing::error!("more is wrong than can be told: what came last is not");
            }
            overflowed = dropped > 0;
            self.keep(shared).await;
            self.keep_news(self.every.min(SOON), shared).await;
        }
    }

    /// Keeps for so long what becomes of messages, at once: it is told once then, whatever happens to this one. A great
    /// deal takes its time.
    async fn keep_news(&self, long: Duration, shared: Option<&tokio::sync::Mutex<Shared>>) {
        let over = tokio::time::sleep(long);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                () = self.news.notified() => {}
            }
            let began = Instant::now();
            self.keep(shared).await;
            tokio::time::sleep(began.elapsed() * PAUSE).await;
        }
    }

    /// Takes what becomes of a message, and has it kept.
    fn went(&self, take: impl FnOnce(&mut Alerts)) {
        take(&mut self.locked());
        self.news.notify_one();
    }

    /// The same for the last time, however short ago it failed.
    pub async fn keep_at_last(&self, shared: Option<&tokio::sync::Mutex<Shared>>) {
        for tries in [&self.keeping, &self.sharing] {
            tries.lock().unwrap_or_else(PoisonError::into_inner).next = None;
        }
        self.keep(shared).await;
    }

    /// Keeps what was told, also for the others where this one leads.
    pub async fn keep(&self, shared: Option<&tokio::sync::Mutex<Shared>>) {
        let due = |tries: &Mutex<Tries>| tries.lock().unwrap_or_else(PoisonError::into_inner).is_due();
        let went = |tries: &Mutex<Tries>, problem, told| {
            tries.lock().unwrap_or_else(PoisonError::into_inner).went(problem, told);
        };
        let snapshot = {
            let mut all = self.locked();
            if all.take_changed() {
                self.unkept.store(true, Ordering::Release);
                self.unshared.store(true, Ordering::Release);
            }
            let wanted = due(&self.keeping) && self.unkept.swap(false, Ordering::AcqRel);
            wanted.then(|| (all.snapshot(), self.saves.fetch_add(1, Ordering::AcqRel) + 1))
        };
        if let Some((kept, number)) = snapshot {
            let (state, saved) = (self.state.clone(), self.saved.clone());
            let saved = tokio::task::spawn_blocking(move || {
                let mut last = saved.lock().unwrap_or_else(PoisonError::into_inner);
                if number > *last {
                    alerts::save(&kept, &state)?;
                    *last = number;
                }
                Ok::<_, alerts::KeptError>(())
            });
            let problem = match saved.await {
                Ok(Ok(())) => None,
                Ok(Err(e)) => Some(e.to_string()),
                Err(e) => Some(e.to_string()),
            };
            if problem.is_some() {
                self.unkept.store(true, Ordering::Release);
            }
            went(&self.keeping, problem, "what was told is not kept yet and a restart may tell it again");
        }
        let Some(shared) = shared.filter(|_| self.leads()) else { return };
        if due(&self.sharing) && self.unshared.swap(false, Ordering::AcqRel) {
            let kept = self.locked().snapshot();
            let text = tokio::task::spawn_blocking(move || kept.text()).await.unwrap_or_default();
            let problem = shared.lock().await.write(text).await.err().map(|e| e.to_string());
            if problem.is_some() {
                self.unshared.store(true, Ordering::Release);
            }
            let told = "what was told is not shared yet and whoever leads next may tell it again";
            went(&self.sharing, problem, told);
        }
    }

    /// Tells one receiver what it does not know, at its own pace: one that is away keeps nobody waiting.
    pub async fn tell(&self, place: usize, receiver: &Receiver, ending: &CancellationToken) {
        let mut wait = self.every;
        let (mut failing, mut failures) = (false, 0_u32);
        loop {
            tokio::select! {
                () = ending.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = self.every;
            if !self.leads() {
                continue;
            }
            let (due, looked, mut refused) = (self.locked().due(place, now()), Instant::now(), 0);
            for message in due {
                if ending.is_cancelled() {
                    return;
                }
                // what is due is looked at again meanwhile, the most urgent first
                if looked.elapsed() >= self.every {
                    wait = Duration::ZERO;
                    break;
                }
                if !self.leads() {
                    break;
                }
                self.went(|all| all.sends(&message));
                match alerts::send(receiver, &message).await {
                    Ok(()) => {
                        failures = 0;
                        if std::mem::take(&mut failing) {
                            tracing::info!("{} is told again", receiver.name);
                        }
                        self.went(|all| all.told(&message));
                    }
                    Err(e) => {
                        if !e.perhaps {
                            self.went(|all| all.not_told(&message));
                        }
                        if !std::mem::replace(&mut failing, true) {
                            tracing::error!(
                                "{} was not told, it is tried again until it is: {e}",
                                receiver.name
                            );
                        }
                        // one that is not taken keeps none behind it from being told
                        refused += 1;
                        if refused >= REFUSALS {
                            failures = (failures + 1).min(6);
                            wait = (self.every.max(SOON) * 2_u32.pow(failures)).min(LATEST);
                            break;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use choria::core::scout::{Checked, Seen};

    use super::*;

    fn telling(state: PathBuf) -> Telling {
        let text = "receivers: [{program: [/bin/page]}]\nelection: alertd\nbucket: ALERTS\n";
        let settings = Settings::parse(&format!("state: {}\n{text}", state.display())).unwrap();
        Telling::new(Alerts::new(settings.clone()), &settings)
    }

    /// Whoever was stopped for longer than votes last does not lead when it goes on.
    #[test]
    fn a_lead_ends_with_its_time() {
        let telling = telling("/nowhere/state.json".into());
        telling.lead(true);
        telling.believe(Duration::from_millis(200));
        assert!(telling.leads());
        std::thread::sleep(Duration::from_millis(200));
        assert!(!telling.leads(), "nobody has said so since");
        telling.believe(Duration::from_secs(60));
        assert!(telling.leads());
        telling.lead(false);
        assert!(!telling.leads());
    }

    fn is_critical(all: &mut Alerts) {
        let found = Checked {
            identity: "n1".into(),
            machine: "disk".into(),
            version: "1".into(),
            status: 2,
            output: "full".into(),
            at: 0,
            looked: 0,
            every: 0,
            life: 0,
        };
        all.machine(&Seen::Checked(found), 1);
    }

    /// Whoever ends it by force does not have it told again.
    #[tokio::test]
    async fn what_was_told_is_kept_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state.json");
        let telling = telling(file.clone());
        telling.heard(is_critical);
        let message = telling.locked().due(0, 1).remove(0);
        let kept = |part: &'static str| {
            let file = file.clone();
            async move {
                while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains(part)) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let long = Duration::from_secs(3600);
        let telling = &telling;
        let telling_it = async {
            telling.went(|all| all.sends(&message));
            kept("\"sent\":[2]").await;
            telling.went(|all| all.told(&message));
            kept("\"told\":[[2,").await;
        };
        tokio::select! {
            () = telling.keep_news(long, None) => panic!("an hour has passed"),
            done = tokio::time::timeout(Duration::from_secs(60), telling_it) => done.unwrap(),
        }
    }

    #[tokio::test]
    async fn what_could_not_be_kept_is_kept_later() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("later");
        let telling = telling(place.join("state.json"));
        telling.heard(is_critical);
        telling.keep(None).await;
        assert!(!place.exists());
        std::fs::create_dir(&place).unwrap();
        // nothing is new meanwhile, and what failed is not tried with each look
        telling.unshared.store(false, Ordering::Release);
        telling.keep(None).await;
        assert!(!place.join("state.json").exists() && !telling.unshared.load(Ordering::Acquire));
        assert_eq!(telling.keeping.lock().unwrap().failures, 1);
        telling.keep_at_last(None).await;
        assert_eq!(telling.keeping.lock().unwrap().failures, 0);
        let kept = std::fs::read_to_string(place.join("state.json")).unwrap();
        assert!(kept.contains("disk"), "{kept}");
    }
}
