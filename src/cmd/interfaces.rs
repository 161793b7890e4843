//! Interfaces of agents that are not known here: asked of the registry, then of a node
//! that has the agent, and kept.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use choria::core::client::Client;
use choria::core::config::Config;
use choria::core::ddl::{AgentDdl, ResolveError, Resolver};
use choria::core::files::{self, PUBLIC};

use super::context::{self, block_on};
use super::fleet::{Interrupted, Selection};
use super::out::errln;
use super::render::text::clean;
use super::rpc::resolver;

/// How long what others gave is used without asking again.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// Nodes that are asked, one after the other.
const NODES: usize = 3;

/// Where interfaces that others gave are kept; nowhere for who has no home.
pub fn cache(config: &Config) -> Option<PathBuf> {
    let configured = &config.choria_services_registry_cache;
    if !configured.is_empty() {
        return Some(configured.into());
    }
    let dir = |name: &str| std::env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let dir = dir("XDG_CACHE_HOME").or_else(|| dir("HOME").map(|home| home.join(".cache")))?;
    dir.is_absolute().then(|| dir.join("choria/interfaces"))
}

/// The interface of an agent: of a file here, or else of others.
pub fn of(config: &Config, selection: &Selection, agent: &str) -> anyhow::Result<AgentDdl> {
    let resolver = resolver(config);
    let known = resolver.agent(agent);
    let unknown = matches!(known, Err(ResolveError::Unknown { .. }));
    let file = resolver.cache_file(agent);
    let old = !unknown && resolver.is_cached(agent) && file.as_deref().is_some_and(is_old);
    // What cannot be the name of an agent is nobody's.
    let is_name = Resolver::default().cached_in(Some(PathBuf::new())).cache_file(agent).is_some();
    if !(unknown && is_name || old) {
        return Ok(known?);
    }
    let asked = block_on(async {
        let client = context::connect(config.clone()).await?;
        let asked = ask(&client, selection, agent).await;
        client.session().close().await;
        asked
    })?;
    let given = match asked {
        Err(e) if e.is::<Interrupted>() => return Err(e),
        Err(e) => {
            // That nobody knows it is what a person has to hear.
            errln!("choria: the interface of {agent} was asked for: {}", clean(&format!("{e:#}"), false));
            None
        }
        Ok(given) => given,
    };
    match (given, known) {
        (Some((ddl, node)), _) => {
            if let Some(file) = file {
                keep(&file, &ddl);
            }
            // It says which inputs a request gets by itself: a person is to know whose word that is.
            errln!(
                "choria: the interface of {agent} {} was given by {}",
                clean(&ddl.metadata.version, false),
                clean(&node, false)
            );
            Ok(ddl)
        }
        (None, known) => Ok(known?),
    }
}

/// The interface, and who gave it.
async fn ask(
    client: &Client,
    selection: &Selection,
    agent: &str,
) -> anyhow::Result<Option<(AgentDdl, String)>> {
    match client.interface_of_registry(agent).await {
        Ok(ddl) => return Ok(Some((ddl, "the registry".to_owned()))),
        Err(e) => tracing::debug!(agent, "no interface of the registry: {e}"),
    }
    let found = selection.discover(client, Some(agent)).await?;
    let mut problems = vec![];
    for node in found.nodes.iter().take(NODES) {
        match client.interface_of_node(agent, node).await {
            Ok(ddl) => return Ok(Some((ddl, node.clone()))),
            Err(e) => problems.push(format!("{node}: {e}")),
        }
    }
    for problem in problems {
        errln!("choria: the interface of {agent} was asked for: {}", clean(&problem, false));
    }
    Ok(None)
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
