//! Which brokers a process connects to, asked anew for every try.

use super::{HostError, ServerUrl, SrvError, SrvResolver, parse_hosts};
use crate::core::config::{Config, Environment};

/// Why a connection is made; decides where addresses come from (spec 01 §17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Nodes and operators talk to the fleet's brokers.
    Fleet,
    /// Operators of a federation talk to its brokers.
    Federation,
}

/// The configured answer, or how to ask DNS.
#[derive(Clone)]
pub struct ServerList {
    configured: Vec<ServerUrl>,
    srv: Option<(SrvResolver, Vec<String>)>,
    fallback: Option<ServerUrl>,
    /// The setting that names brokers without DNS.
    setting: &'static str,
}

const FLEET: &str = "plugin.choria.middleware_hosts";

impl ServerList {
    /// A fixed list.
    pub fn fixed(servers: Vec<ServerUrl>) -> ServerList {
        ServerList { configured: servers, srv: None, fallback: None, setting: FLEET }
    }

    /// SRV records under `names`, the first that exists; no fallback.
    pub fn srv(resolver: SrvResolver, names: Vec<String>) -> ServerList {
        ServerList { configured: vec![], srv: Some((resolver, names)), fallback: None, setting: FLEET }
    }

    /// What the configuration says. Configured brokers win; else SRV when
    /// `plugin.choria.use_srv` allows it and the domain is known; else
    /// `puppet:4222` for the fleet and nothing for a federation.
    pub fn from_config(
        config: &Config,
        purpose: Purpose,
        env: &dyn Environment,
    ) -> Result<ServerList, HostError> {
        let (configured, names, fallback, setting) = match purpose {
            Purpose::Fleet => (
                &config.choria_middleware_hosts,
                ["_mcollective-server._tcp", "_x-puppet-mcollective._tcp"],
                Some(ServerUrl::nats("puppet", 4222)),
                FLEET,
            ),
            Purpose::Federation => (
                &config.choria_federation_middleware_hosts,
                ["_mcollective-federation_server._tcp", "_x-puppet-mcollective_federation._tcp"],
                None,
                "plugin.choria.federation_middleware_hosts",
            ),
        };
        let configured = parse_hosts(configured)?;
        let ask = configured.is_empty() && config.choria_use_srv;
        let srv = ask.then(|| srv_domain(config, env)).flatten().and_then(|domain| {
            let names = names.iter().map(|name| format!("{name}.{domain}")).collect();
            match SrvResolver::system() {
                Ok(resolver) => Some((resolver, names)),
                Err(e) => {
                    tracing::warn!("brokers cannot be found by SRV records: {e}");
                    None
                }
            }
        });
        Ok(ServerList { configured, srv, fallback, setting })
    }

    /// The setting that names brokers without DNS, for people.
    pub fn setting(&self) -> &'static str {
        self.setting
    }

    /// What is looked up in DNS to know the brokers, for whoever waits for it;
    /// empty where they are configured.
    pub fn looked_up(&self) -> &[String] {
        self.srv.as_ref().map_or(&[], |(_, names)| names)
    }

    /// The brokers as of now, to be tried in this order. Configured ones are
    /// shuffled so that a fleet spreads over them.
    pub async fn resolve(&self) -> Result<Vec<ServerUrl>, SrvError> {
        if !self.configured.is_empty() {
            let mut servers = self.configured.clone();
            fastrand::shuffle(&mut servers);
            return Ok(servers);
        }
        if let Some((resolver, names)) = &self.srv {
            let found = resolver.first(names).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(self.fallback.iter().cloned().collect())
    }
}

/// The domain that SRV records are looked up in: `CHORIA_SRV_DOMAIN`, the
/// configuration, else what facter says.
pub fn srv_domain(config: &Config, env: &dyn Environment) -> Option<String> {
    let configured = Some(config.choria_srv_domain.clone()).filter(|d| !d.is_empty());
    env.var("CHORIA_SRV_DOMAIN").or(configured).or_else(|| env.facter("networking.domain"))
}
