//! Which versions of agents a plan was written for, and whether nodes answer at all.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::core::client::{ClientError, RpcCall, RpcOptions, RpcReply};
use crate::core::playbook::options::Options;
use crate::core::playbook::world::World;
use crate::core::puppet::host::Trouble;
use crate::core::puppet::versions::{Range, Version};

/// Agents and the versions of them that will do.
pub(super) struct Uses(BTreeMap<String, Range>);

/// The option of that name.
pub(super) fn read(options: &Options<'_>) -> Result<Uses, Trouble> {
    let mut uses = BTreeMap::new();
    for (agent, range) in options.words("uses")? {
        let range =
            Range::parse(&range).map_err(|e| options.wrong(format!("the option 'uses' for {agent}: {e}")))?;
        uses.insert(agent, range);
    }
    Ok(Uses(uses))
}

/// A version, with the last number that people leave out.
fn version(text: &str) -> Option<Version> {
    Version::parse(text).or_else(|| Version::parse(&format!("{text}.0")))
}

impl Uses {
    /// Interfaces of this client, before anybody is asked.
    pub(super) fn check_here(&self, world: &World) -> Result<(), Trouble> {
        let fits = |(agent, range): &(&String, &Range)| {
            let ddl = world.resolver.agent(agent).ok();
            ddl.and_then(|ddl| version(&ddl.metadata.version)).is_some_and(|version| range.includes(&version))
        };
        let wrong: Vec<_> =
            self.0.iter().filter(|use_| !fits(use_)).map(|(agent, _)| agent.as_str()).collect();
        match wrong.is_empty() {
            true => Ok(()),
            false => {
                Err(Trouble(format!("DDLs for agent(s) {} did not match desired versions", wrong.join(", "))))
            }
        }
    }

    /// Agents of the nodes.
    pub(super) fn check_there(&self, world: &mut World, nodes: &[String]) -> Result<(), Trouble> {
        if self.0.is_empty() {
            return Ok(());
        }
        let replies = ask(world, "agent_inventory", nodes)?;
        let mut wrong = vec![];
        for node in nodes {
            let agents = replies.get(node).filter(|reply| reply.body.statuscode.is_ok());
            let agents = agents.and_then(|reply| reply.body.data.get("agents")).and_then(Json::as_array);
            let has = |agent: &str| {
                let found = agents
                    .into_iter()
                    .flatten()
                    .find(|known| known["agent"] == agent || known["name"] == agent);
                found.and_then(|known| version(known["version"].as_str()?))
            };
            for (agent, range) in &self.0 {
                if !has(agent).is_some_and(|version| range.includes(&version)) {
                    wrong.push(format!("{node} ({agent})"));
                }
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => {
                let shown = wrong.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
                Err(Trouble(format!(
                    "Network agents did not match specified SemVer specifications in the playbook: {shown}{}",
                    if wrong.len() > 10 { format!(" and {} more", wrong.len() - 10) } else { String::new() }
                )))
            }
        }
    }
}

/// All have to answer.
pub(super) fn test(world: &mut World, nodes: &[String]) -> Result<(), Trouble> {
    let replies = ask(world, "ping", nodes)?;
    let silent: Vec<_> =
        nodes.iter().filter(|node| !replies.contains_key(*node)).map(String::as_str).collect();
    match silent.len() {
        0 => Ok(()),
        n => {
            let shown = silent.iter().take(10).copied().collect::<Vec<_>>().join(", ");
            Err(Trouble(format!("Connectivity test failed on {n} node(s) of task_nodes: {shown}")))
        }
    }
}

fn ask(world: &mut World, action: &str, nodes: &[String]) -> Result<BTreeMap<String, RpcReply>, Trouble> {
    let client = world.client()?;
    let asked = async {
        let options = RpcOptions {
            agent: "rpcutil".to_owned(),
            action: action.to_owned(),
            data: Map::new(),
            collective: client.collective(None)?,
            timeout: std::time::Duration::from_secs(10),
            batch: None,
        };
        let mut call = RpcCall::direct(&client, options, nodes.to_vec()).await?;
        let mut replies = BTreeMap::new();
        while let Some(reply) = call.next().await? {
            replies.insert(reply.sender.clone(), reply);
        }
        Ok::<_, ClientError>(replies)
    };
    world.wait(asked)?.map_err(|e| Trouble(format!("the nodes could not be asked: {e}")))
}
