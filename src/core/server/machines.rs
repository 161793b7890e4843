//! Autonomous agents of a node (spec 06 §1.2): started after the events that say it is alive,
//! ended before it says goodbye. Without `plugin.choria.machine.store` there are none, and
//! nothing is held for them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::NodeState;
use crate::core::agents::Node;
use crate::core::config::{Config, parse_duration};
use crate::core::connection::Session;
use crate::core::lifecycle::{Event, EventType};
use crate::core::machine::Network;
use crate::core::machine::definition::compile;
use crate::core::machine::host::{Host, Settings, Surroundings, pages};
use crate::core::machine::plugins::manager::Managing;
use crate::core::protocol::filter::Facts;
use crate::core::protocol::subjects;
use crate::core::security::tokens::VerifyKey;
use crate::core::streams::Streams;
use crate::core::web;

/// Events that wait to be published, and their bytes; what comes beyond is dropped and counted.
const WAITING: usize = 8192;
const WAITING_BYTES: u64 = 4 * 1024 * 1024;

/// How long what machines have said may take to be published when a node ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The host of a node; none where it has no machines.
pub(super) fn host(config: &Config) -> Option<Host> {
    let path = |text: &str| Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
    let store = path(&config.choria_machine_store)?;
    let interval = u64::try_from(config.choria_status_update_interval).unwrap_or(30).max(1);
    Some(Host::new(Settings {
        identity: config.identity.clone(),
        store: Some(store),
        overrides: path(&config.scout_overrides),
        denied: config.scout_goss_denied_local_resources.as_slice().into(),
        prometheus: path(&config.choria_prometheus_textfile_directory),
        status: path(&config.choria_status_file_path).map(|file| (file, Duration::from_secs(interval))),
        signing_key: signing_key(config),
    }))
}

/// Whose manifests of plugins are believed. What is no key is nobody's, and not everybody's.
fn signing_key(config: &Config) -> Option<Result<VerifyKey, String>> {
    let (key, from) = match (&*config.choria_machine_signing_key, &*config.machines_signing_key) {
        ("", "") => return None,
        ("", key) => (key, "plugin.machines.signing_key"),
        (key, _) => (key, "plugin.choria.machine.signing_key"),
    };
    let wrong = || format!("{from} is no key, 64 hex digits of ed25519 are one: no manifest is believed");
    Some(VerifyKey::from_hex(key).ok_or_else(wrong))
}

/// Has the plugins of a bucket managed, where that is asked for.
fn manage_plugins(config: &Config, host: &Host) {
    if !config.machines_download {
        return;
    }
    if let Some(Err(problem)) = signing_key(config) {
        return tracing::error!("{problem}");
    }
    let time = |text: &str, key: &str, least: u64| match parse_duration(text) {
        Ok(time) if time >= Duration::from_secs(least) => Some(time),
        _ => {
            tracing::error!(
                "{key} is {text}, which is no length of time of {least}s or more: no plugins are managed"
            );
            None
        }
    };
    let poll = time(&config.machines_poll_interval, "plugin.machines.poll_interval", 2);
    let check = time(&config.machines_check_interval, "plugin.machines.check_interval", 10);
    let (Some(poll), Some(check)) = (poll, check) else { return };
    if signing_key(config).is_none() {
        tracing::warn!(
            "plugin.machines.download is set and plugin.machines.signing_key is not: whoever may write bucket {} runs \
             anything here",
            config.machines_bucket
        );
    }
    let managing = Managing {
        bucket: config.machines_bucket.clone(),
        key: config.machines_key.clone(),
        purge: config.machines_purge,
        poll,
        check,
    };
    match compile(&managing.text()) {
        Ok(definition) => {
            host.add(definition, PathBuf::from(&config.choria_machine_store), "{}".into());
        }
        Err(findings) => {
            let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
            tracing::error!("plugin.machines: {}", findings.join("; "));
        }
    }
}

/// Machines that run.
pub(super) struct Machines {
    stop: watch::Sender<bool>,
    host: JoinHandle<()>,
    publisher: JoinHandle<()>,
}

impl Machines {
    /// Starts them, where the node has any.
    pub fn start(node: &Arc<NodeState>, session: &Session, background: &mut JoinSet<()>) -> Option<Machines> {
        let host = node.machines()?.clone();
        let (sink, waiting) = mpsc::channel(WAITING);
        let voice = Arc::new(Voice {
            node: node.clone(),
            sink,
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            network: OnceLock::new(),
        });
        let inboxes = subjects::caller_inbox_prefix(&node.config().main_collective, node.identity_text());
        let network = Arc::new(OfNode {
            streams: Streams::new(session.clone(), &inboxes),
            collective: node.config().main_collective.clone(),
            voice: Arc::downgrade(&voice),
        });
        let _ = voice.network.set(network);
        let publisher = tokio::spawn(publish(Arc::downgrade(&voice), session.clone(), waiting));
        listen(node.config(), &host, background);
        manage_plugins(node.config(), &host);
        let (stop, stopped) = watch::channel(false);
        Some(Machines { stop, host: tokio::spawn(host.run(voice, stopped)), publisher })
    }

    /// Ends them; commands that run are gone when this is done, and what machines have said is published.
    pub async fn end(mut self) {
        self.stop.send_replace(true);
        if let Err(e) = self.host.await {
            tracing::error!("autonomous agents did not end as they should: {e}");
        }
        // with whoever had something to say its way out has ended, once it is empty
        if tokio::time::timeout(LAST_WORDS, &mut self.publisher).await.is_err() {
            self.publisher.abort();
        }
    }
}

/// Serves switches and metrics where a port is set.
fn listen(config: &Config, host: &Host, background: &mut JoinSet<()>) {
    let Some(port) = u16::try_from(config.choria_machine_http_port).ok().filter(|port| *port > 0) else {
        return;
    };
    let addresses = match web::listen_addresses(&config.choria_machine_http_listen) {
        Ok(addresses) => addresses,
        Err(e) => {
            return tracing::error!("plugin.choria.machine.http_listen: {e}; switches cannot be pressed");
        }
    };
    for address in addresses {
        let address = SocketAddr::new(address, port);
        let router = pages(host.clone());
        background.spawn(async move {
            match tokio::net::TcpListener::bind(address).await {
                Ok(listener) => {
                    tracing::info!(%address, "switches of autonomous agents are served over HTTP");
                    web::serve(listener, router).await;
                }
                Err(e) => tracing::error!(
                    "plugin.choria.machine.http_port: {address} cannot be listened on: {e}; switches cannot be pressed"
                ),
            }
        });
    }
}

type Waiting = (String, String, Vec<(&'static str, String)>);

/// What machines say, on its way out.
struct Voice {
    node: Arc<NodeState>,
    sink: mpsc::Sender<Waiting>,
    bytes: AtomicU64,
    dropped: AtomicU64,
    network: OnceLock<Arc<OfNode>>,
}

/// The network of a node, for machines.
struct OfNode {
    streams: Streams,
    collective: String,
    voice: Weak<Voice>,
}

impl Network for OfNode {
    fn streams(&self) -> Streams {
        self.streams.clone()
    }

    fn collective(&self) -> &str {
        &self.collective
    }

    fn governed(&self, machine: &str, governor: &str, slot: u64, what: &str) {
        let Some(voice) = self.voice.upgrade() else { return };
        let (node, id) = (&voice.node, uuid::Uuid::new_v4().to_string());
        let now = jiff::Timestamp::now().as_second();
        let mut event = Event::new(EventType::Governor, node.identity_text(), machine, id, now);
        event.governor = Some(governor.to_owned());
        event.sequence = Some(slot);
        event.event_type = Some(what.to_owned());
        let text = event.encode(node.config().choria_legacy_lifecycle_format);
        voice.publish(event.subject(), text, vec![]);
    }
}

impl Voice {
    fn drop_one(&self) {
        if self.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "events of autonomous agents are dropped: there is no broker, or it takes them slower than they come"
            );
        }
        self.node.counters().machine_dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Says how much was lost, once it is over.
    fn heard(&self) {
        self.node.counters().machine_events.fetch_add(1, Ordering::Relaxed);
        let lost = self.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "events of autonomous agents are published again");
        }
    }
}

impl Surroundings for Voice {
    fn network(&self) -> Option<Arc<dyn Network>> {
        let network: Arc<dyn Network> = self.network.get()?.clone();
        Some(network)
    }

    fn facts(&self) -> Pin<Box<dyn Future<Output = Arc<Facts>> + Send + '_>> {
        Box::pin(async {
            match self.node.with_files(|node| node.facts()).await {
                Some(facts) => facts,
                None => self.node.facts(),
            }
        })
    }

    fn publish(&self, subject: String, payload: String, headers: Vec<(&'static str, String)>) {
        let size = payload.len() as u64;
        let room = self.bytes.load(Ordering::Relaxed) + size <= WAITING_BYTES;
        if !room || self.node.connected_server().is_none() {
            return self.drop_one();
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        if self.sink.try_send((subject, payload, headers)).is_err() {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            self.drop_one();
        }
    }
}

/// Publishes what machines say, until nobody is left who could say anything.
async fn publish(voice: Weak<Voice>, session: Session, mut waiting: mpsc::Receiver<Waiting>) {
    let drop_one = || voice.upgrade().iter().for_each(|voice| voice.drop_one());
    while let Some((subject, payload, headers)) = waiting.recv().await {
        if let Some(voice) = voice.upgrade() {
            voice.bytes.fetch_sub(payload.len() as u64, Ordering::Relaxed);
        }
        if session.connected_server().is_none() {
            drop_one();
            continue;
        }
        let done = async {
            let line = session.line().await?;
            match headers.is_empty() {
                true => line.publish(subject, None, payload.into()).await,
                false => {
                    let headers: Vec<(String, String)> =
                        headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    line.publish_with(subject, None, &headers, payload.into()).await
                }
            }
        };
        match done.await {
            Ok(()) => voice.upgrade().iter().for_each(|voice| voice.heard()),
            Err(e) => {
                tracing::debug!("an event of an autonomous agent was not published: {e}");
                drop_one();
            }
        }
    }
}
