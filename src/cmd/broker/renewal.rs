//! What a running broker reads again, and what signals do to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use choria::core::adapters::Adapters;
use choria::core::broker::Broker as Middleware;
use choria::core::config::{Config, Role};
use choria::core::engine::Engine;
use choria::core::federation::FederationBroker;
use choria::core::security::{Following, Provider};

use super::check_features;
use super::network::{authenticator, limits};
use crate::cmd::context;
use crate::cmd::signals::Reactions;

/// What ending may take once connections are closed, whatever hangs.
const ENDING: Duration = Duration::from_secs(12);
/// Settings that count from a start on, and not from a SIGHUP.
const AT_START: [&str; 38] = [
    "identity",
    "logfile",
    "loglevel",
    "plugin.choria.adapters",
    "plugin.choria.broker_federation",
    "plugin.choria.broker_network",
    "plugin.choria.federation.cluster",
    "plugin.choria.federation_middleware_hosts",
    "plugin.choria.middleware_hosts",
    "plugin.choria.network.listen_address",
    "plugin.choria.network.client_port",
    "plugin.choria.network.gateway_name",
    "plugin.choria.network.leafnode_remotes",
    "plugin.choria.network.nats_server",
    "plugin.choria.network.peer_port",
    "plugin.choria.network.peer_tls",
    "plugin.choria.network.peers",
    "plugin.choria.network.public_url",
    "plugin.choria.network.stream.advisory_replicas",
    "plugin.choria.network.stream.advisory_retention",
    "plugin.choria.network.stream.event_payload",
    "plugin.choria.network.stream.event_replicas",
    "plugin.choria.network.stream.event_retention",
    "plugin.choria.network.stream.event_size",
    "plugin.choria.network.stream.executor_replicas",
    "plugin.choria.network.stream.executor_retention",
    "plugin.choria.network.stream.leader_election_replicas",
    "plugin.choria.network.stream.leader_election_ttl",
    "plugin.choria.network.stream.machine_replicas",
    "plugin.choria.network.stream.machine_retention",
    "plugin.choria.network.stream.manage_streams",
    "plugin.choria.network.stream.max_consumers",
    "plugin.choria.network.stream.request_replicas",
    "plugin.choria.network.stream.request_retention",
    "plugin.choria.network.stream.requests",
    "plugin.choria.network.stream.store",
    "plugin.choria.stats_address",
    "plugin.choria.stats_port",
];

/// What a running broker reads again: files that may change, and may hang.
pub(super) struct Renewal {
    pub(super) broker: Option<Arc<Middleware>>,
    /// What joins it to others.
    pub(super) engine: Option<Arc<Engine>>,
    pub(super) federation: Option<Arc<FederationBroker>>,
    pub(super) adapters: Option<Arc<Adapters>>,
    pub(super) provider: Arc<Provider>,
    pub(super) plaintext: bool,
    /// Names of the brokers that this one is one with.
    pub(super) peers: Vec<String>,
    /// Time connections are closed over.
    pub(super) spread: Mutex<Duration>,
    /// What is in force.
    pub(super) config: Mutex<Config>,
    pub(super) following: Arc<Following>,
}

impl Renewal {
    pub(super) fn reactions(self: Arc<Self>, file: PathBuf) -> Reactions {
        let (of, ending) = (self.clone(), self.clone());
        Reactions {
            reread: Box::new(move || self.reconfigure(&file)),
            state: Box::new(move || of.state()),
            usr2_ends: true,
            ends_within: Box::new(move || *lock(&ending.spread) + ENDING),
        }
    }

    /// Reads all of it again.
    fn reconfigure(&self, file: &Path) {
        match context::reload_config(file, Role::Broker).and_then(|new| check_features(&new).map(|()| new)) {
            Ok(new) => {
                let mut config = lock(&self.config);
                // The network broker takes them at once.
                let also = self.federation.as_ref().map(|_| "collectives");
                for key in AT_START
                    .iter()
                    .copied()
                    .chain(also)
                    .filter(|key| new.typed_text(key) != config.typed_text(key))
                {
                    tracing::warn!("{key} has changed, which counts from the next start on");
                }
                *lock(&self.spread) = new.choria_network_lame_duck_duration;
                *config = new;
            }
            Err(e) => tracing::error!("keeping the previous configuration: {e:#}"),
        }
        self.following.renew(|| self.renew());
    }

    /// How all of it is, in a line.
    fn state(&self) -> String {
        let network = self.broker.as_deref().map(state);
        let federation = self.federation.as_deref().map(FederationBroker::state);
        let engine = self.engine.as_deref().map(Engine::state);
        let adapters = self.adapters.as_deref().map(Adapters::state);
        let parts = network.into_iter().chain(engine).chain(federation).chain(adapters);
        parts.collect::<Vec<_>>().join("; ")
    }

    /// Puts keys, trust, rules and limits in force as they are on disk now.
    pub(super) fn renew(&self) {
        let config = lock(&self.config).clone();
        let renewed = || -> anyhow::Result<()> {
            let Some(broker) = &self.broker else { return Ok(self.provider.reload()?) };
            let rules = authenticator(&config, &self.provider, self.plaintext, &self.peers)?;
            self.provider.reload()?;
            broker.reload(Some(self.provider.server_tls()?), rules, limits(&config)?);
            if let Some(engine) = self.engine.clone() {
                let broker = broker.clone();
                // it takes its time
                let rereads = move || {
                    if engine.reload() {
                        broker.redial_engine();
                    }
                };
                std::thread::Builder::new().name("engine-reload".to_owned()).spawn(rereads)?;
            }
            Ok(())
        };
        match renewed() {
            Ok(()) => tracing::info!("read keys, CA and revocation lists again"),
            Err(e) => tracing::error!("keeping the previous keys and trust: {e:#}"),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a broker is, in a line.
fn state(broker: &Middleware) -> String {
    let stats = broker.stats();
    format!(
        "{} connections, {} logging in, {} subscriptions, {} messages in, {} out, {} bytes waiting, {} slow consumers, up {} s",
        stats.connections,
        stats.handshaking,
        stats.subscriptions,
        stats.in_msgs,
        stats.out_msgs,
        stats.pending_bytes,
        stats.slow_consumers,
        stats.uptime.as_secs()
    )
}
