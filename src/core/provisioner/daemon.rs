//! The provisioner at work: notices nodes, has them taken through their walks, says how it goes.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::calls::Calls;
use super::election::{Election, Leadership, NodeLocks, Poll};
use super::flow::{self, Ended, Shared};
use super::journal::{Journal, Step};
use super::metrics::Counters;
use super::plan::{Plan, ProvisionerError};
use super::population::{End, Population, Rules, Source};
use super::stages::Stage;
use super::status::Recent;
use crate::core::connection::Session;
use crate::core::log::RefusalLog;
use crate::core::security::Signer;

mod reporting;

/// Cause of the pause of who was not elected.
const ELECTION: &str = "election";
/// Intervals between discoveries after which a node that is not heard of is forgotten.
const FORGOTTEN: u32 = 3;
/// How long walks may go on when the program is to end.
const DRAIN: Duration = Duration::from_secs(20);

/// See the module documentation.
pub struct Daemon {
    identity: String,
    pub(super) session: Session,
    pub(super) shared: Shared,
    plan: RwLock<Arc<Plan>>,
    population: Mutex<Population>,
    /// Somebody may be ready, or the pause is over.
    pub(super) wake: Notify,
    /// It is time for a discovery before its time.
    pub(super) look: Notify,
    election: Arc<dyn Election>,
    paused: Mutex<BTreeSet<&'static str>>,
    recent: Mutex<Recent>,
    /// Names are made up by the thousand: lines about them are counted by what they say.
    pub(super) log: RefusalLog,
    started: i64,
}

impl Daemon {
    /// Starts listening for answers, and takes up what the journal left open.
    /// Nobody is elected: provisioners share nodes by their locks.
    ///
    /// # Errors
    /// A journal that cannot be used.
    pub async fn new(
        session: Session,
        signer: Option<Signer>,
        identity: &str,
        caller: &str,
        plan: Plan,
    ) -> Result<Arc<Daemon>, ProvisionerError> {
        Daemon::elected(session, signer, identity, caller, plan, Arc::new(NodeLocks)).await
    }

    /// The same, at work only while `election` says that it leads.
    ///
    /// # Errors
    /// A journal that cannot be used.
    pub async fn elected(
        session: Session,
        signer: Option<Signer>,
        identity: &str,
        caller: &str,
        plan: Plan,
        election: Arc<dyn Election>,
    ) -> Result<Arc<Daemon>, ProvisionerError> {
        let journal = Journal::open(&plan.settings.state_dir)?;
        let calls = Calls::new(session.clone(), signer, identity, caller).await;
        let now = Instant::now();
        let rules = Rules { forget_after: plan.settings.interval * FORGOTTEN, ..Rules::default() };
        let mut population = Population::new(rules);
        let open = journal.nodes();
        for node in &open {
            tracing::debug!(node = &**node, "was in work when this program ended");
            population.notice(node, Source::Journal, now);
        }
        if !open.is_empty() {
            tracing::info!(
                nodes = open.len(),
                "some were in work when this program ended, they are taken up again"
            );
        }
        let counters = Arc::new(Counters::default());
        let standing = Leadership::new(!election.is_opposed());
        Ok(Arc::new(Daemon {
            identity: identity.to_owned(),
            session,
            shared: Shared { calls, journal, counters, standing },
            plan: RwLock::new(Arc::new(plan)),
            population: Mutex::new(population),
            wake: Notify::new(),
            look: Notify::new(),
            election,
            paused: Mutex::default(),
            recent: Mutex::new(Recent::new(now)),
            log: RefusalLog::default(),
            started: jiff::Timestamp::now().as_second(),
        }))
    }

    /// Provisions until `stop` is true; then lets walks end for up to 20 seconds.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut background = JoinSet::new();
        background.spawn(self.clone().hear_events().await);
        background.spawn(self.clone().hear_registration().await);
        background.spawn(self.clone().discover_for_ever());
        background.spawn(self.clone().keep_gauges());
        if self.election.is_opposed() {
            background.spawn(self.clone().stand());
        }
        background.spawn(self.clone().announce());
        let mut walks = JoinSet::new();
        while !*stop.borrow() {
            let silent = self.population().advance(Instant::now());
            self.forget(&silent).await;
            self.set_out(&mut walks);
            let turn =
                self.population().next_turn().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                Some(_) = walks.join_next() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(turn.into()) => {}
                _ = stop.changed() => {}
            }
        }
        background.shutdown().await;
        let left = walks.len();
        if left > 0 {
            tracing::info!(nodes = left, "ending, nodes in work are finished first");
        }
        let drained = tokio::time::timeout(DRAIN, async { while walks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(
                nodes = walks.len(),
                "ending although nodes are in work; they are taken up again at the next start"
            );
        }
        self.plan().helper.close().await;
    }

    /// Takes one node through its walk, as an operator asks.
    pub async fn once(&self, node: &str) -> Ended {
        flow::walk(&self.shared, &self.plan(), &node.into()).await
    }

    /// What would be done with a node, without doing it.
    ///
    /// # Errors
    /// Where its walk would have ended.
    pub async fn rehearse(
        &self,
        node: &str,
    ) -> Result<(super::question::Question, super::answer::Answer), Ended> {
        flow::rehearse(&self.shared, &self.plan(), &node.into()).await
    }

    /// Works by other settings from the next node on. Connection, journal, monitor and the
    /// component whose events are heard are those of the start.
    pub fn reload(&self, plan: Plan) {
        let before = self.plan();
        {
            let mut population = self.population();
            population.forget_after(plan.settings.interval * FORGOTTEN);
            let changed = |name: &&String| before.machines.get(*name) != plan.machines.get(*name);
            // whoever says which machine has a name wants to see it happen
            for name in plan.machines.keys().filter(changed) {
                self.shared.calls.forget_doubled_within(name);
                population.retry(name, Instant::now());
            }
        }
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
        self.wake.notify_one();
    }

    /// Stops taking nodes on for this cause; others have their own.
    pub fn pause(&self, cause: &'static str) {
        lock(&self.paused).insert(cause);
        tracing::warn!(cause, "paused");
    }

    /// Ends the pause for this cause.
    pub fn resume(&self, cause: &'static str) {
        if lock(&self.paused).remove(cause) {
            tracing::info!(cause, "resumed");
            self.wake.notify_one();
        }
    }

    /// Whether no nodes are taken on.
    pub fn is_paused(&self) -> bool {
        !self.shared.standing.leads() || !lock(&self.paused).is_empty()
    }

    /// Why no nodes are taken on; empty when they are.
    fn pauses(&self) -> Vec<&'static str> {
        let election = (!self.shared.standing.leads()).then_some(ELECTION);
        election.into_iter().chain(lock(&self.paused).iter().copied()).collect()
    }

    /// Takes part in the election for as long as the program runs.
    async fn stand(self: Arc<Self>) {
        tracing::info!(election = self.election.name(), "following until elected");
        let election = self.election.clone();
        election.campaign(&*self).await;
        self.lost();
        tracing::error!(
            election = election.name(),
            "the election ended, no more nodes are taken on; start this provisioner again"
        );
    }

    /// Whether it is paused for this cause.
    pub fn is_paused_by(&self, cause: &'static str) -> bool {
        lock(&self.paused).contains(cause)
    }

    /// What the backplane offers of it.
    pub fn backplane_service(self: &Arc<Self>) -> crate::core::backplane::Service {
        super::management::service(self)
    }

    /// Settings in force.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts walks while there is room and somebody is ready.
    fn set_out(self: &Arc<Self>, walks: &mut JoinSet<()>) {
        let plan = self.plan();
        while walks.len() < plan.settings.max_inflight && !self.is_paused() {
            let (node, queued) = {
                let mut population = self.population();
                let Some(node) = population.take(plan.settings.max_inflight) else { return };
                let queued = population.queued(&node, Instant::now());
                (node, queued)
            };
            self.shared.counters.stage(Stage::Queue).add(queued);
            let (daemon, plan) = (self.clone(), plan.clone());
            walks.spawn(async move {
                let begun = Instant::now();
                let ended = flow::walk(&daemon.shared, &plan, &node).await;
                daemon.ended(&node, &ended, begun.elapsed());
                daemon.shed().await;
            });
        }
    }

    fn ended(&self, node: &str, ended: &Ended, took: Duration) {
        let Shared { counters, .. } = &self.shared;
        let now = Instant::now();
        counters.walk_time.add(took);
        match ended.end {
            End::Provisioned => {
                counters.provisioned.fetch_add(1, Ordering::Relaxed);
                tracing::info!(node, millis = took.as_millis(), "provisioned");
            }
            End::Shutdown => tracing::info!(node, "told to end itself"),
            End::Upgraded => tracing::info!(node, "told to upgrade itself"),
            // it keeps its place and is no end that people look for
            End::Stopped => {
                tracing::debug!(node, "put back, this provisioner does not go on with it");
                return self.population().ended(node, ended.end, None, now);
            }
            // made-up names cost nothing but a number: anybody can make up any number of them
            End::Absent => {
                counters.absent.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(node, "nobody listens by this name");
                return self.population().ended(node, ended.end, None, now);
            }
            End::Deferred | End::Locked | End::Doubled | End::Silent | End::Failed => {
                self.failed(node, ended);
            }
        }
        self.population().ended(node, ended.end, ended.pause, now);
        lock(&self.recent).add(node, ended, took, now, jiff::Timestamp::now().as_second());
    }

    /// Nobody has heard of these nodes for long.
    async fn forget(&self, nodes: &[Arc<str>]) {
        for node in nodes {
            self.log.note("forgotten", || {
                tracing::info!(node = &**node, "was not heard of for long, forgotten");
            });
        }
        self.close(nodes.iter().map(|node| &**node)).await;
    }

    /// Gives up what is open about nodes that left, where it is more than is kept.
    async fn shed(&self) {
        let surplus = {
            let population = self.population();
            self.shared.journal.surplus(|node| population.is_working(node))
        };
        for node in &surplus {
            self.log.note("given up", || {
                tracing::warn!(
                    node = &**node,
                    "was configured and did not come back, as too many others; what it was given is forgotten"
                );
            });
        }
        self.close(surplus.iter().map(|node| &**node)).await;
    }

    /// Nothing is open about these nodes any more.
    pub(super) async fn close<'a>(&self, nodes: impl IntoIterator<Item = &'a str>) {
        let journal = &self.shared.journal;
        let open = nodes.into_iter().filter(|node| journal.of(node).is_some());
        let closed = open.map(|node| journal.write(node, Step::Closed));
        for error in join_all(closed).await.into_iter().filter_map(Result::err) {
            self.log.note("journal", || tracing::warn!("the journal was not written: {error}"));
        }
    }

    pub(super) fn population(&self) -> MutexGuard<'_, Population> {
        lock(&self.population)
    }
}

// === impl Poll ===

impl Poll for Daemon {
    fn voted(&self, next: Duration) {
        self.shared.standing.voted(next);
    }

    fn won(&self) {
        if !self.shared.standing.set(true) {
            return;
        }
        tracing::info!(election = self.election.name(), "elected, nodes are taken on");
        // others were at work meanwhile; whoever still waits answers the discovery
        let open: BTreeSet<Arc<str>> = self.shared.journal.nodes().into_iter().collect();
        let gone = self.population().forget_unheard(Instant::now(), |node| open.contains(node));
        if gone > 0 {
            tracing::debug!(nodes = gone, "were not heard of for long, they are looked for anew");
        }
        self.look.notify_one();
        self.wake.notify_one();
    }

    fn lost(&self) {
        if self.shared.standing.set(false) {
            tracing::warn!(
                election = self.election.name(),
                "no longer elected; nodes that are not about to be configured are put back"
            );
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
