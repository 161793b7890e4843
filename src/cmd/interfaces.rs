//! Interfaces of agents that are not known here: asked of the registry, then of a node
//! that has the agent, and kept.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use choria::core::client::Client;
use choria::core::config::Config;
use choria::core::ddl::{AgentDdl, ResolveError, Resolver};
use choria::core::files::{self, PUBLIC};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, timeout, timeout_at};

use super::context::{self, block_on_briefly};
use super::fleet::{Interrupted, Selection};
use super::out::errln;
use super::render::text::clean;
use super::rpc::resolver;

/// How long what others gave is used without asking again.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// Nodes that are asked at once.
const NODES: usize = 3;
/// How long a broker is tried,
const CONNECT: Duration = Duration::from_millis(2500);
/// how long all of the search takes beside a discovery,
const BESIDES: Duration = Duration::from_millis(800);
/// and how long an answer may take.
const ANSWER: Duration = Duration::from_millis(1500);

/// Where interfaces that others gave are kept; nowhere for who has no home.
pub fn cache(config: &Config) -> Option<PathBuf> {
    let configured = &config.choria_services_registry_cache;
    if !configured.is_empty() {
        return Some(configured.into());
    }
    user_cache().map(|dir| dir.join("choria/interfaces"))
}

/// Where what was read of large inventories is kept; nowhere for who has no home.
pub fn inventories() -> Option<PathBuf> {
    user_cache().map(|dir| dir.join("choria/inventories"))
}

fn user_cache() -> Option<PathBuf> {
    let dir = |name: &str| std::env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let dir = dir("XDG_CACHE_HOME").or_else(|| dir("HOME").map(|home| home.join(".cache")))?;
    // what lies in somebody else's is not believed, and nothing is laid there
    (dir.is_absolute() && files::is_own(&dir)).then_some(dir)
}

/// The interface of an agent: of a file here, or else of others.
pub fn of(config: &Config, selection: &Selection, agent: &str) -> anyhow::Result<AgentDdl> {
    let resolver = resolver(config);
    let known = resolver.agent(agent);
    let unknown = matches!(known, Err(ResolveError::Unknown { .. }));
    let file = resolver.cache_file(agent);
    let old = !unknown && resolver.is_cached(agent) && file.as_deref().is_some_and(is_old);
    // What cannot be the name of an agent is nobody's, and nobody waits to hear of a slip.
    let is_name = Resolver::default().cached_in(Some(PathBuf::new())).cache_file(agent).is_some();
    let is_asked = is_name && unknown && resolver.slip(agent).is_none();
    if !(is_asked || old) {
        return Ok(known?);
    }
    let why = match block_on_briefly(search(config, selection, agent))? {
        Ok((ddl, node)) => {
            if let Some(file) = file {
                keep(&file, &ddl);
            }
            // It says which inputs a request gets by itself: a person is to know whose word that is.
            errln!(
                "choria: the interface of {agent} {} was given by {}",
                clean(&ddl.metadata.version, false),
                clean(&node, false)
            );
            return Ok(ddl);
        }
        Err(e) if e.is::<Interrupted>() => return Err(e),
        Err(e) => format!("the interface of {agent} was asked for: {}", clean(&format!("{e:#}"), false)),
    };
    match known {
        Err(unknown) => bail!("{unknown}; {why}"),
        Ok(old) => {
            errln!("choria: {why}");
            Ok(old)
        }
    }
}

/// The interface, and who gave it. Who has nobody to ask hears that soon.
async fn search(config: &Config, selection: &Selection, agent: &str) -> anyhow::Result<(AgentDdl, String)> {
    let discovery = u64::try_from(config.discovery_timeout).unwrap_or(2);
    let limit = BESIDES + Duration::from_secs(discovery);
    let end = Instant::now() + limit;
    let late = || anyhow!("nobody gave it within {limit:?}");
    let client = timeout_at(end, context::connect_within(config.clone(), CONNECT)).await;
    let client = client.map_err(|_| anyhow!("no broker answered within {limit:?}"))??;
    let given = match timeout_at(end, who_may_have(&client, selection, agent)).await {
        Err(_) => Err(late()),
        Ok(Ok(Source::Registry(ddl))) => Ok((*ddl, "the registry".to_owned())),
        Ok(Ok(Source::Nodes(nodes))) => {
            let end = end.max(Instant::now() + ANSWER);
            timeout_at(end, of_nodes(&client, agent, &nodes)).await.unwrap_or_else(|_| Err(late()))
        }
        Ok(Err(e)) => Err(e),
    };
    let _ = timeout(ANSWER, client.session().close()).await;
    given
}

/// Where an interface may be had.
enum Source {
    Registry(Box<AgentDdl>),
    Nodes(Vec<String>),
}

/// Asks the registry, and meanwhile for nodes that have the agent.
async fn who_may_have(client: &Client, selection: &Selection, agent: &str) -> anyhow::Result<Source> {
    let registry = async {
        match timeout(ANSWER, client.interface_of_registry(agent)).await {
            Ok(Ok(ddl)) => Some(Source::Registry(Box::new(ddl))),
            Ok(Err(e)) => {
                tracing::debug!(agent, "no interface of the registry: {e}");
                None
            }
            Err(_) => None,
        }
    };
    let discovery = selection.discover(client, Some(agent));
    tokio::pin!(registry, discovery);
    let found = tokio::select! {
        biased;
        given = &mut registry => match given {
            Some(given) => return Ok(given),
            None => discovery.await?,
        },
        found = &mut discovery => {
            let found = found?;
            if let Some(given) = registry.await {
                return Ok(given);
            }
            found
        }
    };
    match found.nodes.is_empty() {
        true => bail!("neither the registry nor a node has it"),
        false => Ok(Source::Nodes(found.nodes.into_iter().take(NODES).collect())),
    }
}

/// The interface of the first of these nodes that gives it.
async fn of_nodes(client: &Client, agent: &str, nodes: &[String]) -> anyhow::Result<(AgentDdl, String)> {
    let asked = nodes.iter().map(async |node| (node, client.interface_of_node(agent, node).await));
    let mut asked: FuturesUnordered<_> = asked.collect();
    let mut problems = vec![];
    while let Some((node, given)) = asked.next().await {
        match given {
            Ok(ddl) => return Ok((ddl, node.clone())),
            Err(e) => problems.push(format!("{node}: {e}")),
        }
    }
    bail!("{}", problems.join("; "))
}

fn is_old(file: &Path) -> bool {
    let modified = file.metadata().and_then(|about| about.modified());
    modified.map_or(true, |at| at.elapsed().map_or(true, |age| age > FRESH))
}

/// Keeps what was given; who cannot asks again next time.
fn keep(file: &Path, ddl: &AgentDdl) {
    let kept = file.parent().map_or(Ok(()), |dir| {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.and_then(|()| files::write_atomic(file, ddl.to_json().as_bytes(), PUBLIC))
    });
    if let Err(e) = kept {
        tracing::warn!("the interface of {} was not kept: {e}", ddl.metadata.name);
    }
}
