//! Agents on disk are hosted as they come, change and go (spec 02 §§2.4, 4, 5).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::NodeState;
use super::hosting::{self, Hosted};
use super::listening::Listening;
use crate::core::agents::data_library::DataLibrary;
use crate::core::agents::external::{self, DataSet, External, Surroundings};
use crate::core::agents::library::{Change, Found, Kind, Library, Look};
use crate::core::agents::ruby::{Ruby, Shim};
use crate::core::agents::{Agent, Node};
use crate::core::config::Config;
use crate::core::ddl::is_replaceable;
use crate::core::files;

/// Time between two looks, and while something is being written.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(200));
/// Programs asked at once whether they can work here.
const ASKED_AT_ONCE: usize = 8;

/// An agent on disk that could be asked, and whether it can work.
struct Asked {
    name: String,
    /// Which finding of that name it was.
    turn: u64,
    agent: Option<Arc<dyn Agent>>,
}

/// Hosts what is below `plugin.choria.agent_provider.mcorpc.libdir`, for ever. A waiting
/// node hosts none of it: nobody has said yet who may call.
pub(super) async fn keep_hosting(node: Arc<NodeState>, listening: Arc<Listening>, denied: Vec<String>) {
    let dirs = node.config().choria_agent_provider_mcorpc_libdir.clone();
    if dirs.is_empty() || node.provisioning() {
        return hosting::name_those_that_do_not_run(node).await;
    }
    // what a life before this one left of requests
    let _ = tokio::task::spawn_blocking(|| files::scratch(&std::env::temp_dir(), external::SCRATCH)).await;
    let shim = shim(node.config());
    let data = DataLibrary::new(&dirs, &Surroundings::of(node.config()));
    let library = Arc::new(Mutex::new((Library::new(&dirs, shim.is_some()), data)));
    let own = node.hosted();
    let mut keeper = Keeper { node, listening, denied, shim, own, turns: BTreeMap::new(), turn: 0 };
    let mut asking = JoinSet::new();
    let room = Arc::new(Semaphore::new(ASKED_AT_ONCE));
    let (mut next, mut looks, mut named) = (Instant::now(), 0u32, false);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                let (Look { changes, unsettled }, data) = look(&library).await;
                if let Some(data) = data {
                    let names = data.keys().map(String::as_str).collect::<Vec<_>>().join(",");
                    tracing::info!(names, "data plugins from disk");
                    keeper.node.take_data_plugins(data);
                }
                for change in changes {
                    match change {
                        Change::Come(found) => keeper.ask(*found, &mut asking, &room),
                        Change::Gone(name) => keeper.dismiss(&name).await,
                    }
                }
                looks = looks.saturating_add(1);
                next = Instant::now() + if unsettled || looks < 2 { LOOKS.1 } else { LOOKS.0 };
            }
            Some(Ok(asked)) = asking.join_next() => keeper.settle(asked).await,
        }
        if !named && looks > 1 && asking.is_empty() {
            named = true;
            hosting::name_those_that_do_not_run(keeper.node.clone()).await;
        }
    }
}

/// What has changed; nothing while a directory hangs.
async fn look(library: &Arc<Mutex<(Library, DataLibrary)>>) -> (Look, Option<DataSet>) {
    let library = library.clone();
    // A look that hangs holds the lock, and costs one thread.
    let looked = files::within_deadline(move || {
        let mut both = library.try_lock().ok()?;
        let (agents, data) = &mut *both;
        Some((agents.look(), data.look()))
    });
    looked.await.flatten().unwrap_or_default()
}

fn shim(config: &Config) -> Option<Shim> {
    let program = &config.choria_agent_provider_mcorpc_agent_shim;
    let settings = &config.choria_agent_provider_mcorpc_config;
    let set = !program.is_empty() && !settings.is_empty();
    let memory = Surroundings::of(config).memory;
    set.then(|| Shim { program: program.into(), config: settings.into(), memory })
}

struct Keeper {
    node: Arc<NodeState>,
    listening: Arc<Listening>,
    denied: Vec<String>,
    shim: Option<Shim>,
    /// What is hosted without any.
    own: Arc<Hosted>,
    /// Agents from disk by name, with the last finding of each.
    turns: BTreeMap<String, u64>,
    turn: u64,
}

impl Keeper {
    /// Has an agent asked whether it can work here.
    fn ask(&mut self, found: Found, asking: &mut JoinSet<Asked>, room: &Arc<Semaphore>) {
        let Found { ddl, file, kind } = found;
        let name = ddl.metadata.name.clone();
        if self.denied.contains(&name) {
            tracing::info!(agent = name, "agent is denied, not hosting it");
            return;
        }
        let replaces = kind == Kind::External && is_replaceable(&name);
        if self.own.names().contains(&name) && !replaces {
            tracing::info!(
                agent = name,
                "{} is left aside: this program has an agent of that name",
                file.display()
            );
            return;
        }
        self.turn += 1;
        self.turns.insert(name.clone(), self.turn);
        let (turn, room) = (self.turn, room.clone());
        match (kind, self.shim.clone()) {
            (Kind::Ruby, None) => {}
            (Kind::Ruby, Some(shim)) => {
                asking.spawn(async move {
                    if let Some(missing) = shim.lacks().await {
                        tracing::warn!(agent = name, "this Ruby agent answers no call: {missing}");
                    }
                    let agent: Option<Arc<dyn Agent>> = Some(Arc::new(Ruby::new(ddl, shim)));
                    Asked { name, turn, agent }
                });
            }
            (Kind::External, _) => {
                let dir = file.parent().unwrap_or(Path::new("/")).to_owned();
                let external = External::new(ddl, &dir, &Surroundings::of(self.node.config()));
                asking.spawn(async move {
                    let _place = room.acquire().await;
                    let agent = activated(external).await;
                    Asked { name, turn, agent }
                });
            }
        }
    }

    /// Hosts an agent that can work, in place of what had its name.
    async fn settle(&mut self, asked: Asked) {
        let Asked { name, turn, agent } = asked;
        // Another has been found, or it has gone, meanwhile.
        if self.turns.get(&name) != Some(&turn) {
            return;
        }
        let Some(agent) = agent else { return self.stop(&name).await };
        let metadata = agent.ddl().metadata.clone();
        let before = self.node.hosted().agent(&name);
        self.node.rehost(|hosted| hosted.with(agent));
        let service = before.as_ref().map(|agent| agent.ddl().metadata.service);
        if service != Some(metadata.service) {
            self.listening.forget(&name);
            self.listening.hear(&metadata).await;
        }
        let how = if before.is_some() { "replaced" } else { "new" };
        tracing::info!(agent = name, version = metadata.version, "hosting an agent from disk, {how}");
    }

    async fn dismiss(&mut self, name: &str) {
        if self.turns.remove(name).is_some() {
            self.stop(name).await;
        }
    }

    /// Hosts it no more; an agent of ours that it replaced is back.
    async fn stop(&self, name: &str) {
        let own = self.own.agent(name);
        let hosted = self.node.hosted().agent(name);
        let Some(hosted) = hosted.filter(|hosted| !own.as_ref().is_some_and(|own| Arc::ptr_eq(own, hosted)))
        else {
            return;
        };
        tracing::info!(agent = name, "the agent is gone from disk, or does not work here any more");
        let service = own.as_ref().map(|own| own.ddl().metadata.service);
        let heard = service == Some(hosted.ddl().metadata.service);
        if !heard {
            self.listening.forget(name);
        }
        let metadata = own.as_ref().map(|own| own.ddl().metadata.clone());
        self.node.rehost(|hosted| own.map_or_else(|| hosted.without(name), |own| hosted.with(own)));
        if let Some(metadata) = metadata.filter(|_| !heard) {
            self.listening.hear(&metadata).await;
        }
    }
}

async fn activated(external: External) -> Option<Arc<dyn Agent>> {
    let agent = external.ddl().metadata.name.clone();
    match external.activates().await {
        Ok(true) => Some(Arc::new(external)),
        Ok(false) => {
            tracing::info!(agent, "the agent does not want to work on this node");
            None
        }
        Err(problem) => {
            tracing::warn!(agent, "the agent was not activated: {problem}");
            None
        }
    }
}
