//! What a running broker reads again, and what signals do to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use choria::core::broker::Broker as Middleware;
use choria::core::config::{Config, Role};
use choria::core::security::{Following, Provider};

use super::{authenticator, check_features, limits};
use crate::cmd::context;
use crate::cmd::signals::Reactions;

/// What ending may take once connections are closed, whatever hangs.
const ENDING: Duration = Duration::from_secs(5);
/// Settings that count from a start on, and not from a SIGHUP.
const AT_START: [&str; 8] = [
    "identity",
    "logfile",
    "loglevel",
    "plugin.choria.network.listen_address",
    "plugin.choria.network.client_port",
    "plugin.choria.network.public_url",
    "plugin.choria.stats_address",
    "plugin.choria.stats_port",
];

/// What a running broker reads again: files that may change, and may hang.
pub(super) struct Renewal {
    pub(super) broker: Arc<Middleware>,
    pub(super) provider: Arc<Provider>,
    pub(super) plaintext: bool,
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
            state: Box::new(move || state(&of.broker)),
            usr2_ends: true,
            ends_within: Box::new(move || *lock(&ending.spread) + ENDING),
        }
    }

    /// Reads all of it again.
    fn reconfigure(&self, file: &Path) {
        match context::reload_config(file, Role::Broker).and_then(|new| check_features(&new).map(|()| new)) {
            Ok(new) => {
                let mut config = lock(&self.config);
                for key in AT_START.iter().filter(|key| new.typed_text(key) != config.typed_text(key)) {
                    tracing::warn!("{key} has changed, which counts from the next start on");
                }
                *lock(&self.spread) = new.choria_network_lame_duck_duration;
                *config = new;
            }
            Err(e) => tracing::error!("keeping the previous configuration: {e:#}"),
        }
        self.following.renew(|| self.renew());
    }

    /// Puts keys, trust, rules and limits in force as they are on disk now.
    pub(super) fn renew(&self) {
        let config = lock(&self.config).clone();
        let renewed = || -> anyhow::Result<()> {
            let rules = authenticator(&config, &self.provider, self.plaintext)?;
            self.provider.reload()?;
            self.broker.reload(Some(self.provider.server_tls()?), rules, limits(&config)?);
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
