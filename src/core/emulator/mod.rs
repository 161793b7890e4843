//! Thousands of real servers in one process.
//!
//! Each emulated node is a whole [`Server`]: the same connection, pipeline,
//! verification, policies and agents, under its own certificate. What it saves is
//! what thousands on one machine would share anyway: the key, the CA, the
//! runtime. Networks are sized with it before they are built.

mod behaviour;
mod faults;
mod fleet;
mod population;
mod requests;
mod waiting;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use behaviour::{Behaviour, BehaviourMix};
pub use faults::{Fault, Faults};
pub use fleet::{Fleet, metrics};
pub use population::{Certificates, Population, PopulationError, name_of};
pub use waiting::{Progress, WaitingCounts, WaitingFleet, WaitingOptions};

use crate::core::agents::{self, Node as _};
use crate::core::config::ConfigError;
use crate::core::server::pipeline::Pool;
use crate::core::server::{Server, ServerError, ServerOptions};

/// What an emulator runs.
pub struct EmulatorOptions {
    /// Names, certificates, facts and policies of the nodes.
    pub population: Population,
    /// Connections started a second; default 200.
    pub rate: usize,
    /// Spread connections over 127.0.0.0/8 so that ports do not run out.
    pub spread_addresses: bool,
    /// How many misbehave, and how.
    pub behaviours: BehaviourMix,
}

/// Nodes that are up.
pub struct Emulator {
    fleet: Arc<Fleet>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// Handshakes that may be under way at once, whatever the rate, and when all
/// come back after their broker did.
const CONNECTING: usize = 64;

impl Emulator {
    /// Makes the nodes and starts to connect them; returns when all are made,
    /// not when all are connected.
    pub fn start(options: EmulatorOptions) -> Result<Emulator, EmulatorError> {
        let EmulatorOptions { population, rate, spread_addresses, behaviours } = options;
        let (stop, stopping) = watch::channel(false);
        let turns = Arc::new(Semaphore::new(CONNECTING));
        let mut tasks = JoinSet::new();
        let fleet = Arc::new(Fleet::default());
        let gap = Duration::from_secs(1) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX);
        for index in 0..population.count() {
            let behaviour = behaviours.of(index, population.count());
            let make = {
                let (population, turns) = (population.clone(), turns.clone());
                let address = spread_addresses.then(|| loopback(index));
                move || server(&population, index, behaviour, address, &turns)
            };
            let first = make()?;
            fleet.join(first.node().clone());
            let begin = gap * u32::try_from(index).unwrap_or(u32::MAX);
            let life = Life { index, behaviour, begin, fleet: fleet.clone() };
            tasks.spawn(life.live(first, make, stopping.clone()));
        }
        Ok(Emulator { fleet, tasks, stop })
    }

    /// The nodes, for counting them while they run.
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// Disconnects all nodes in an orderly way.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The nodes could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// Names, certificates or files.
    #[error(transparent)]
    Population(#[from] PopulationError),
    /// A server that does not start.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A configuration that cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No place for the files of nodes.
    #[error("cannot write the nodes' files: {0}")]
    Files(std::io::Error),
    /// No keys for them.
    #[error("cannot make keys: {0}")]
    Key(String),
}

/// One of 16 million loopback addresses.
fn loopback(index: usize) -> IpAddr {
    // Away from 127.0.0.1, which brokers listen on.
    let [_, b, c, d] = u32::try_from(index % 0x00f0_0000 + 0x0001_0000).unwrap_or(0).to_be_bytes();
    Ipv4Addr::new(127, b, c, d.max(1)).into()
}

fn server(
    population: &Population,
    index: usize,
    behaviour: Behaviour,
    address: Option<IpAddr>,
    turns: &Arc<Semaphore>,
) -> Result<Server, EmulatorError> {
    let (config, provider) = population.node(index, behaviour)?;
    let tasks = population.runs_tasks().then(|| agents::tasks(&config));
    let mut options = ServerOptions::new(config, Arc::new(provider)).map_err(ServerError::from)?;
    let agents = options.agents.into_iter().chain(tasks).collect();
    options.local_address = address;
    options.turns = Some(turns.clone());
    options.agents = behaviour::agents(agents, behaviour);
    if behaviour == Behaviour::Silent {
        // Subscribed, and never with room for a request.
        options.pool = Pool { requests: 0, ..Pool::default() };
    }
    Ok(Server::new(options)?)
}

struct Life {
    index: usize,
    behaviour: Behaviour,
    begin: Duration,
    fleet: Arc<Fleet>,
}

/// How long a flapping node stays, and stays away, on average.
const FLAP: Duration = Duration::from_secs(10);

/// Half to one and a half of [`FLAP`]: nodes that come and go in step would be
/// a storm, and real ones do not.
fn flap() -> Duration {
    FLAP.mul_f64(0.5 + fastrand::f64())
}

impl Life {
    async fn live(
        self,
        first: Server,
        make: impl Fn() -> Result<Server, EmulatorError>,
        mut stopping: watch::Receiver<bool>,
    ) {
        tokio::select! {
            () = tokio::time::sleep(self.begin) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        let mut server = first;
        loop {
            self.once(server, &mut stopping).await;
            if self.behaviour != Behaviour::Flapping || *stopping.borrow() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(flap()) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            server = match make() {
                Ok(server) => {
                    self.fleet.replace(self.index, server.node().clone());
                    server
                }
                Err(e) => {
                    tracing::error!("an emulated node did not come back: {e}");
                    return;
                }
            };
        }
    }

    async fn once(&self, server: Server, stopping: &mut watch::Receiver<bool>) {
        let node = server.node().clone();
        let (stop, own) = watch::channel(false);
        let running = server.run(own);
        tokio::pin!(running);
        let mut counted = false;
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let mut until = tokio::time::Instant::now();
        loop {
            let flaps = self.behaviour == Behaviour::Flapping && counted;
            tokio::select! {
                outcome = &mut running => {
                    if let Err(e) = outcome {
                        tracing::debug!("an emulated node ended: {e}");
                    }
                    break;
                }
                _ = look.tick(), if !counted => {
                    if node.connected_server().is_some() {
                        counted = true;
                        until = tokio::time::Instant::now() + flap();
                        self.fleet.connected.fetch_add(1, Ordering::Relaxed);
                    }
                }
                _ = stopping.wait_for(|stop| *stop), if !*stop.borrow() => {
                    let _ = stop.send(true);
                }
                () = tokio::time::sleep_until(until), if flaps && !*stop.borrow() => {
                    let _ = stop.send(true);
                }
            }
        }
        if counted {
            self.fleet.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_loopback_address_of_its_own() {
        let addresses: std::collections::HashSet<IpAddr> = (0..60_000).map(loopback).collect();
        assert!(addresses.len() > 59_000, "{}", addresses.len());
        assert!(addresses.iter().all(|a| a.is_loopback() && *a != IpAddr::from([127, 0, 0, 1])));
    }
}
