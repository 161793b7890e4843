//! The node a backplane is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::agent::{self, BackplaneAgent};
use super::service::Service;
use super::settings::{Rules, Scheme, Settings};
use crate::core::config::{Config, ConfigError, Environment, Role};
use crate::core::files::{SECRET, scratch, write_atomic};
use crate::core::security::{Provider, SecurityError, follow_trust};
use crate::core::server::{Server, ServerError, ServerOptions};

/// A backplane was not started.
#[derive(Debug, thiserror::Error)]
pub enum BackplaneError {
    /// The name of the service.
    #[error("{0:?} cannot be the name of a backplane, use small letters and digits")]
    Name(String),
    /// No broker.
    #[error("the backplane has no brokers, name at least one as host:port")]
    NoBrokers,
    /// Who may do what.
    #[error("{0:?} in the backplane's auth is no regular expression")]
    Pattern(String),
    /// Neither keys of its own nor of the service.
    #[error("the backplane has no certificate, say where it is in its tls settings")]
    NoSecurity,
    /// Its configuration.
    #[error("the backplane's configuration: {0}")]
    Config(#[from] ConfigError),
    /// Certificate, key or CA.
    #[error("the backplane's keys: {0}")]
    Security(#[from] SecurityError),
    /// The node.
    #[error("the backplane: {0}")]
    Server(#[from] ServerError),
    /// The file its facts are in.
    #[error("the backplane's facts: {0}")]
    Facts(#[from] std::io::Error),
}

/// A running backplane. Dropping it ends it without a word; [`Backplane::stop`] says goodbye.
pub struct Backplane {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    provider: Arc<Provider>,
}

impl Backplane {
    /// Its keys, to be read again when the service is told to.
    pub fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// Ends it, within two seconds or so.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for Backplane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Joins the network in the background: the service does not wait for brokers.
/// `own` are files of certificate, key and CA to use where the settings have none.
/// Call it inside a tokio runtime.
///
/// # Errors
/// [`BackplaneError`]: everything that can be found wrong without a network.
pub fn start(
    settings: &Settings,
    service: Service,
    own: Option<&crate::core::backplane::Tls>,
    env: &dyn Environment,
) -> Result<Backplane, BackplaneError> {
    settings.check()?;
    let rules = Rules::new(&settings.auth)?;
    let dir = scratch(&std::env::temp_dir(), "choria-backplane-")?;
    let facts = dir.path().join("facts.json");
    write_facts(&facts, &service, &settings.name)?;
    let config = configuration(settings, own, &facts, env)?;
    let provider = Arc::new(Provider::named(&config, Role::Server, env, Some(&config.identity))?);
    let (stopping, mut shutdowns) = mpsc::unbounded_channel();
    let mut options = ServerOptions::new(config, provider.clone())?;
    options.agents = vec![Arc::new(BackplaneAgent::new(service.clone(), rules, stopping))];
    options.component = "backplane".to_owned();
    let server = Server::new(options)?;
    let (stop, stopped) = watch::channel(false);
    let name = settings.name.clone();
    let following = follow_trust(provider.clone());
    let task = tokio::spawn(async move {
        // the directory goes with this task
        let _dir = dir;
        let mut ticks = tokio::time::interval(service.facts_interval.max(Duration::from_secs(1)));
        let running = server.run(stopped);
        tokio::pin!(running, following);
        loop {
            tokio::select! {
                ended = &mut running => {
                    if let Err(error) = ended
                        && !matches!(error, ServerError::Stopped)
                    {
                        tracing::error!("the backplane ended: {error}");
                    }
                    return;
                }
                () = &mut following => {}
                _ = ticks.tick() => {
                    if let Err(error) = write_facts(&facts, &service, &name) {
                        tracing::warn!("the backplane's facts were not written: {error}");
                    }
                }
                Some(delay) = shutdowns.recv() => {
                    let Some(stopable) = service.stopable.clone() else { continue };
                    tracing::warn!(seconds = delay.as_secs(), "shutting down, as the backplane was asked to");
                    tokio::spawn(async move {
                        tokio::time::sleep(delay).await;
                        stopable.shutdown();
                    });
                }
            }
        }
    });
    Ok(Backplane { stop, task, provider })
}

/// Tries all of [`start`] that takes neither network nor runtime.
///
/// # Errors
/// As [`start`].
pub fn check(
    settings: &Settings,
    own: Option<&crate::core::backplane::Tls>,
    env: &dyn Environment,
) -> Result<(), BackplaneError> {
    settings.check()?;
    Rules::new(&settings.auth)?;
    let config = configuration(settings, own, Path::new("facts.json"), env)?;
    Provider::named(&config, Role::Server, env, Some(&config.identity))?;
    Ok(())
}

fn write_facts(file: &Path, service: &Service, name: &str) -> std::io::Result<()> {
    let facts = serde_json::to_vec(&agent::facts(service, name))?;
    write_atomic(file, &facts, SECRET)
}

fn configuration(
    settings: &Settings,
    own: Option<&crate::core::backplane::Tls>,
    facts: &std::path::Path,
    env: &dyn Environment,
) -> Result<Config, BackplaneError> {
    let tls = settings.tls.as_ref().or(own).ok_or(BackplaneError::NoSecurity)?;
    let collective = settings.collective();
    let brokers = settings.brokers.join(",");
    let shown = |path: &std::path::Path| path.display().to_string();
    let mut set = vec![
        ("collectives", collective.clone()),
        ("main_collective", collective),
        ("plugin.choria.middleware_hosts", brokers),
        ("plugin.choria.use_srv", "false".to_owned()),
        ("plugin.yaml", shown(facts)),
        // rights are the agent's own, see Rules
        ("rpcauthorization", "false".to_owned()),
    ];
    if !tls.identity.is_empty() {
        set.push(("identity", tls.identity.clone()));
    }
    match tls.scheme {
        Scheme::Puppet => {
            set.push(("plugin.security.provider", "puppet".to_owned()));
            if !tls.ssl_dir.as_os_str().is_empty() {
                set.push(("plugin.choria.ssldir", shown(&tls.ssl_dir)));
            }
        }
        Scheme::File => set.extend([
            ("plugin.security.provider", "file".to_owned()),
            ("plugin.security.file.ca", shown(&tls.ca)),
            ("plugin.security.file.certificate", shown(&tls.cert)),
            ("plugin.security.file.key", shown(&tls.key)),
        ]),
    }
    let text: String = set.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    Ok(Config::from_text_in(Role::Server, &text, env)?)
}
