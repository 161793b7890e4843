//! Which agents a node hosts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::agents::{Agent, discovery};
use crate::core::config::{Config, parse_bool};
use crate::core::ddl::{Metadata, Resolver};
use crate::core::protocol::subjects;
use crate::core::server::NodeState;

/// The agents of a node, by name, as of one moment: those on disk come and go.
#[derive(Clone)]
pub struct Hosted {
    agents: BTreeMap<String, Arc<dyn Agent>>,
    names: Vec<String>,
}

/// An agent that cannot be hosted.
#[derive(Debug, thiserror::Error)]
#[error("agent '{name}' cannot be hosted: {problem}")]
pub struct HostingError {
    name: String,
    problem: &'static str,
}

/// Checks names and timeouts and leaves out what is denied.
pub(super) fn host(agents: Vec<Arc<dyn Agent>>, denied: &[String]) -> Result<Hosted, HostingError> {
    let mut hosted = BTreeMap::new();
    for agent in agents {
        let metadata = &agent.ddl().metadata;
        let error = |problem| HostingError { name: metadata.name.clone(), problem };
        if denied.contains(&metadata.name) {
            tracing::info!(agent = metadata.name, "agent is denied, not hosting it");
            continue;
        }
        if !subjects::is_token(&metadata.name) {
            return Err(error("its name is no single word"));
        }
        if metadata.timeout < 1 {
            return Err(error("its timeout is below one second"));
        }
        if metadata.name == discovery::NAME || hosted.insert(metadata.name.clone(), agent.clone()).is_some() {
            return Err(error("an agent of that name exists"));
        }
    }
    Ok(Hosted::of(hosted))
}

/// Says once which agents are in library directories and do not run here.
pub(super) async fn name_those_that_do_not_run(node: Arc<NodeState>) {
    let config = node.config();
    let dirs: Vec<String> =
        config.libdir.iter().chain(&config.choria_agent_provider_mcorpc_libdir).cloned().collect();
    // Directories of others, read where nobody waits.
    let found = tokio::task::spawn_blocking(move || Resolver::new(dirs).files()).await.unwrap_or_default();
    let hosted = node.hosted();
    let without: Vec<String> = found.into_iter().filter(|name| !hosted.names().contains(name)).collect();
    if !without.is_empty() {
        tracing::warn!(
            agents = without.join(","),
            "these agents are in a library directory and do not run; where nothing was told of one, external agents do below \
             plugin.choria.agent_provider.mcorpc.libdir, Ruby agents there with \
             plugin.choria.agent_provider.mcorpc.agent_shim and .config; who asks for one is told that there is none"
        );
    }
}

/// Agents that `plugin.NAME.activate_agent` switches off. What is no boolean does, too: it
/// was to keep an agent away.
pub(super) fn switched_off(config: &Config) -> Vec<String> {
    let named = |(key, value): (&str, &str)| {
        let name = key.strip_prefix("plugin.")?.strip_suffix(".activate_agent")?;
        let on = parse_bool(value).unwrap_or(false);
        (!on).then(|| name.to_owned())
    };
    config.options().filter_map(named).collect()
}

impl Hosted {
    fn of(agents: BTreeMap<String, Arc<dyn Agent>>) -> Hosted {
        let mut names: Vec<String> = agents.keys().cloned().collect();
        names.push(discovery::NAME.to_owned());
        names.sort();
        Hosted { agents, names }
    }

    /// No agents.
    pub(super) fn none() -> Hosted {
        Hosted::of(BTreeMap::new())
    }

    /// With this agent, in place of one of its name.
    pub(super) fn with(&self, agent: Arc<dyn Agent>) -> Hosted {
        let mut agents = self.agents.clone();
        agents.insert(agent.ddl().metadata.name.clone(), agent);
        Hosted::of(agents)
    }

    /// Without the agent of that name.
    pub(super) fn without(&self, name: &str) -> Hosted {
        let mut agents = self.agents.clone();
        agents.remove(name);
        Hosted::of(agents)
    }

    /// Names, sorted, `discovery` among them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The RPC agent of that name.
    pub fn agent(&self, name: &str) -> Option<Arc<dyn Agent>> {
        self.agents.get(name).cloned()
    }

    /// Metadata of all, sorted by name.
    pub fn metadata(&self) -> Vec<Metadata> {
        let of = |name: &String| match self.agents.get(name) {
            Some(agent) => agent.ddl().metadata.clone(),
            None => discovery::metadata(),
        };
        self.names.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::agents;

    #[test]
    fn a_denied_agent_is_not_hosted() {
        let hosted = host(agents::built_in(), &["rpcutil".to_owned()]).unwrap();
        assert_eq!(hosted.names(), ["choria_util", "discovery"]);
        assert!(hosted.agent("rpcutil").is_none());
        let again = hosted.with(Arc::new(agents::RpcUtil));
        assert_eq!(again.names(), ["choria_util", "discovery", "rpcutil"]);
        assert_eq!(again.without("choria_util").names(), ["discovery", "rpcutil"]);
    }

    #[test]
    fn the_configuration_switches_agents_off() {
        let text =
            "identity = n1\nplugin.rpcutil.activate_agent = false\nplugin.choria_util.activate_agent = yes\n";
        let config = Config::from_text(crate::core::config::Role::Server, text).unwrap();
        assert_eq!(config.warnings(), []);
        assert_eq!(switched_off(&config), ["rpcutil"]);
    }

    #[test]
    fn two_agents_of_one_name_are_refused() {
        let twice = [agents::built_in(), agents::built_in()].concat();
        assert!(host(twice, &[]).is_err());
    }
}
