//! What a node is: configuration, facts, classes, counters, connection.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use crate::core::agents::external::DataSet;
use crate::core::agents::{Announcing, Control, Counts, Node, Traffic};
use crate::core::build;
use crate::core::config::Config;
use crate::core::connection::Session;
use crate::core::ddl::{AgentDdl, Metadata};
use crate::core::files::{self, Watched};
use crate::core::lifecycle::{Event, EventType};
use crate::core::machine::host::Host;
use crate::core::protocol::filter::{Facts, Filter, load_classes};
use crate::core::protocol::v1::{Envelope, Request};
use crate::core::provisioning::Mark;
use crate::core::security::Provider;

use tokio::sync::Semaphore;

use super::Hosted;

/// Counters of the pipeline; see [`Counts`] for their meaning.
#[derive(Debug, Default)]
#[allow(missing_docs)] // the snapshot documents each
pub struct Counters {
    pub total: AtomicU64,
    pub validated: AtomicU64,
    pub unvalidated: AtomicU64,
    pub passed: AtomicU64,
    pub filtered: AtomicU64,
    pub replies: AtomicU64,
    pub ttlexpired: AtomicU64,
    pub events: AtomicU64,
    pub replayed: AtomicU64,
    pub dropped: AtomicU64,
    pub denied: AtomicU64,
    pub timedout: AtomicU64,
    pub overbudget: AtomicU64,
    pub panicked: AtomicU64,
    pub registrations: AtomicU64,
    /// Events of autonomous agents that were published, and that were dropped.
    pub machine_events: AtomicU64,
    pub machine_dropped: AtomicU64,
    /// Unix seconds of the last message, 0 before the first.
    pub last_message: AtomicU64,
}

impl Counters {
    /// All of them as of now.
    pub fn snapshot(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            total: read(&self.total),
            validated: read(&self.validated),
            unvalidated: read(&self.unvalidated),
            passed: read(&self.passed),
            filtered: read(&self.filtered),
            replies: read(&self.replies),
            ttlexpired: read(&self.ttlexpired),
            events: read(&self.events),
            replayed: read(&self.replayed),
            dropped: read(&self.dropped),
            denied: read(&self.denied),
            timedout: read(&self.timedout),
            overbudget: read(&self.overbudget),
            panicked: read(&self.panicked),
            registrations: read(&self.registrations),
        }
    }
}

/// How long a broken fact file is given to become whole, each of three times.
const REWRITING: Duration = Duration::from_millis(10);

/// The facts of the files. A file that is just being rewritten looks broken: it
/// gets a few more moments.
fn load_facts(list: &str) -> Arc<Facts> {
    let mut tries = 1..=3;
    loop {
        let (facts, problems) = Facts::load(list);
        if facts.are_broken() && tries.next().is_some() {
            std::thread::sleep(REWRITING);
            continue;
        }
        for problem in problems.iter().filter(|_| !list.is_empty()) {
            tracing::warn!("{problem}");
        }
        return Arc::new(facts);
    }
}

/// The state of a running node.
pub struct NodeState {
    config: Config,
    provider: Option<Arc<Provider>>,
    hosted: RwLock<Arc<Hosted>>,
    started: i64,
    counters: Counters,
    facts: Watched<Facts>,
    classes: Watched<Vec<String>>,
    data: RwLock<Arc<DataSet>>,
    /// One look at files at a time.
    look: Semaphore,
    session: OnceLock<Session>,
    component: String,
    /// While it waits.
    mark: Option<Mark>,
    upgradable: bool,
    control: Control,
    said_goodbye: AtomicBool,
    machines: Option<Host>,
}

/// Unix seconds.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

impl NodeState {
    pub(super) fn new(
        config: Config,
        provider: Option<Arc<Provider>>,
        hosted: Hosted,
        component: String,
        upgradable: bool,
    ) -> NodeState {
        let fact_files = std::env::split_paths(&config.yaml).filter(|p| !p.as_os_str().is_empty()).collect();
        let classes = Some(PathBuf::from(&config.classesfile)).filter(|p| !p.as_os_str().is_empty());
        // who waits to be provisioned has none, and an embedder those of its own process
        let machines = if component == super::MEMBER { super::machines::host(&config) } else { None };
        NodeState {
            machines,
            mark: if provider.is_none() { Mark::new() } else { None },
            config,
            provider,
            hosted: RwLock::new(Arc::new(hosted)),
            started: now(),
            counters: Counters::default(),
            facts: Watched::new(fact_files),
            classes: Watched::new(classes.into_iter().collect()),
            data: RwLock::default(),
            look: Semaphore::new(1),
            session: OnceLock::new(),
            component,
            upgradable,
            control: Control::default(),
            said_goodbye: AtomicBool::new(false),
        }
    }

    /// Publishes a lifecycle event of the node; the event of its end only once.
    pub(super) async fn event(&self, kind: EventType, new_version: Option<&str>) {
        if kind == EventType::Shutdown && self.said_goodbye.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(session) = self.session.get() else { return };
        let id = uuid::Uuid::new_v4().to_string();
        let mut event = Event::new(kind, self.identity_text(), &self.component, id, now());
        if matches!(kind, EventType::Startup | EventType::Alive | EventType::Upgraded) {
            event = event.version(build::VERSION);
        }
        event.new_version = new_version.map(str::to_owned);
        let text = event.encode(self.config.choria_legacy_lifecycle_format);
        match session.publish(event.subject(), text.into()).await {
            Ok(()) => {
                self.counters.events.fetch_add(1, Ordering::Relaxed);
            }
            Err(e) => tracing::warn!(event = kind.as_str(), "lifecycle event was not published: {e}"),
        }
    }

    /// Does `work` with facts and classes as they are now, off the threads that
    /// serve and within a time: what hangs is passed over, and its last good
    /// content serves. Nothing when even that did not come back.
    pub(super) async fn with_files<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Fn(&NodeState) -> T + Send + Sync + 'static,
    ) -> Option<T> {
        let node = self.clone();
        let _look = self.look.acquire().await;
        files::passing_over(move || {
            node.refresh();
            work(&node)
        })
        .await
    }

    /// Reads facts and classes again where they have changed; may hang with them.
    fn refresh(&self) {
        self.facts.refresh(|| load_facts(&self.config.yaml));
        self.classes.refresh(|| Arc::new(load_classes(&self.config.classesfile)));
    }

    /// What of the node's surroundings needs attention now.
    pub(super) fn trouble(&self) -> Vec<String> {
        let of_keys = self.provider().map_or_else(Vec::new, |provider| provider.trouble(now()));
        of_keys.into_iter().chain(self.facts.trouble()).chain(self.classes.trouble()).collect()
    }

    pub(super) fn attach(&self, session: Session) {
        // Set once: the session is made once per run.
        let _ = self.session.set(session);
    }

    /// The session, once connected.
    pub fn session(&self) -> Option<&Session> {
        self.session.get()
    }

    /// Agents of the node as of now.
    pub fn hosted(&self) -> Arc<Hosted> {
        self.hosted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes which agents the node has. Calls under way go on as they began.
    pub(super) fn rehost(&self, change: impl FnOnce(&Hosted) -> Hosted) {
        let mut hosted = self.hosted.write().unwrap_or_else(PoisonError::into_inner);
        *hosted = Arc::new(change(&hosted));
    }

    /// Takes what there is now of external data plugins.
    pub(super) fn take_data_plugins(&self, set: DataSet) {
        *self.data.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// Live counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Effective configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Keys and trust; none while the node waits for them.
    pub fn provider(&self) -> Option<&Provider> {
        self.provider.as_deref()
    }

    /// Its classes; none while the file has never been read, because it hangs.
    pub(super) fn known_classes(&self) -> Option<Arc<Vec<String>>> {
        self.classes.latest()
    }

    pub(super) fn identity_text(&self) -> &str {
        &self.config.identity
    }
}

impl Node for NodeState {
    fn identity(&self) -> &str {
        &self.config.identity
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn facts(&self) -> Arc<Facts> {
        // Before the first look: what is not known may well be true of the node.
        self.facts.latest().unwrap_or_else(|| Arc::new(Facts::unknown()))
    }

    fn classes(&self) -> Arc<Vec<String>> {
        self.classes.latest().unwrap_or_default()
    }

    fn agents(&self) -> Vec<Metadata> {
        self.hosted().metadata()
    }

    fn interface(&self, agent: &str) -> Option<AgentDdl> {
        self.hosted().agent(agent).map(|agent| agent.ddl().clone())
    }

    fn signed(&self, text: &str, request_id: &str) -> Option<String> {
        let provider = self.provider()?;
        let signer = provider.signer().ok()?;
        let request = Request {
            message: text.to_owned(),
            envelope: Envelope {
                requestid: request_id.to_owned(),
                senderid: self.config.identity.clone(),
                callerid: provider.caller_id().as_str().to_owned(),
                collective: self.config.main_collective.clone(),
                agent: "choria_util".to_owned(),
                // long gone, by the least time there is: nobody could send it as a request
                ttl: 30,
                time: 0,
                filter: Filter::default(),
            },
        };
        signer.sign(&request).ok().map(|secure| secure.encode())
    }

    fn data_plugins(&self) -> Arc<DataSet> {
        self.data.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn counts(&self) -> Counts {
        self.counters.snapshot()
    }

    fn started(&self) -> i64 {
        self.started
    }

    fn now(&self) -> i64 {
        now()
    }

    fn connected_server(&self) -> Option<String> {
        self.session.get()?.connected_server()
    }

    fn max_payload(&self) -> usize {
        self.session.get().map_or(1 << 20, Session::max_payload)
    }

    fn traffic(&self) -> Traffic {
        let Some(session) = self.session.get() else { return Traffic::default() };
        let traffic = session.traffic();
        Traffic {
            in_msgs: traffic.in_msgs,
            out_msgs: traffic.out_msgs,
            in_bytes: traffic.in_bytes,
            out_bytes: traffic.out_bytes,
            reconnects: session.stats().reconnections.load(Ordering::Relaxed),
        }
    }

    fn provisioning(&self) -> bool {
        self.provider.is_none()
    }

    fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    fn upgradable(&self) -> bool {
        self.upgradable
    }

    fn machines(&self) -> Option<&Host> {
        self.machines.as_ref()
    }

    fn tls(&self) -> Option<Arc<rustls::ClientConfig>> {
        self.provider()?.client_tls().ok()
    }

    fn control(&self) -> Control {
        self.control.clone()
    }

    fn announce<'a>(&'a self, kind: EventType, new_version: Option<&'a str>) -> Announcing<'a> {
        Box::pin(self.event(kind, new_version))
    }
}
