//! The federation broker: carries requests of a network of operators into one network
//! of nodes, and the answers back (spec 04 §4).
//!
//! It holds two connections and no state: instances of one cluster share the work by
//! queue groups. `transport` reads a message as spans of its text, so that what this
//! program does not know goes through as it came; `carry` decides where a message
//! goes and what its headers say then; `lane` is one direction at work, `turns` who is
//! next in it. Nothing is
//! verified or signed here: requests are judged by the nodes, answers by the clients.
//!
//! What the original lets anybody do is refused: a message reaches node, agent and
//! service subjects of the configured collectives, an answer reply subjects, and
//! nothing else.

mod carry;
mod counters;
mod lane;
mod refused;
mod transport;
mod turns;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::core::connection::{Session, SessionOptions};
use crate::core::metrics::Registry;
use crate::core::protocol::subjects;
use carry::Carrier;
use counters::Counters;
use lane::Lane;
use refused::Refused;

/// What a federation broker needs to know.
pub struct Options {
    /// Identity of the process, part of the hops it notes.
    pub identity: String,
    /// Cluster it serves, `plugin.choria.federation.cluster`.
    pub cluster: String,
    /// Collectives it carries requests into.
    pub collectives: Vec<String>,
    /// Connection to the network the operators are on.
    pub federation: SessionOptions,
    /// Connection to the network the nodes are on.
    pub collective: SessionOptions,
}

/// A running federation broker.
pub struct FederationBroker {
    sessions: [Session; 2],
    lanes: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
    counters: [Arc<Counters>; 2],
    labels: [String; 2],
    _refused: [Arc<Refused>; 2],
}

/// How long what was taken in is still carried on when it is to end.
const DRAINED: Duration = Duration::from_secs(3);

impl FederationBroker {
    /// Starts both lanes; each works whenever both networks can be reached. Call it
    /// inside a tokio runtime.
    pub fn start(options: Options) -> FederationBroker {
        let Options { identity, cluster, collectives, federation, collective } = options;
        let (federation, collective) = (Session::start(federation), Session::start(collective));
        let (asked, answered) = (subjects::federation(&cluster), subjects::federation_collective(&cluster));
        let refused = [
            Refused::listen(&federation, asked.clone(), "operators", &identity),
            Refused::listen(&collective, answered.clone(), "nodes", &identity),
        ];
        let (stop, stopping) = watch::channel(false);
        let counters = [Arc::new(Counters::default()), Arc::new(Counters::default())];
        let mut lanes = JoinSet::new();
        let requests = Lane {
            carrier: Carrier::requests(&identity, &cluster, collectives),
            subject: asked,
            queue: format!("{cluster}_federation"),
            from: federation.clone(),
            to: collective.clone(),
            counters: counters[0].clone(),
        };
        let replies = Lane {
            carrier: Carrier::replies(&identity),
            subject: answered,
            queue: format!("{cluster}_collective"),
            from: collective.clone(),
            to: federation.clone(),
            counters: counters[1].clone(),
        };
        lanes.spawn(requests.run(stopping.clone()));
        lanes.spawn(replies.run(stopping));
        FederationBroker {
            sessions: [federation, collective],
            lanes: Mutex::new(lanes),
            stop,
            counters,
            labels: [cluster, identity],
            _refused: refused,
        }
    }

    /// Takes nothing more in, carries on what is there, and ends.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let mut lanes = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = async { while lanes.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAINED, ended).await;
        for session in &self.sessions {
            session.close().await;
        }
    }

    /// Adds its counters, by the names of the original.
    pub fn register(&self, registry: &Registry) {
        let [cluster, identity] = &self.labels;
        let [federation, collective] = &self.sessions;
        counters::register(registry, &self.counters, (cluster, identity));
        for (side, session) in [("federation", federation.clone()), ("collective", collective.clone())] {
            counters::register_connection(registry, side, (cluster, identity), session);
        }
    }

    /// How it is, in a line.
    pub fn state(&self) -> String {
        let of = |side: usize| {
            let server = self.sessions[side].connected_server();
            server.unwrap_or_else(|| "not connected".to_owned())
        };
        let [requests, replies] = &self.counters;
        format!(
            "federation {}: operators by {}, nodes by {}; requests: {}; replies: {}",
            self.labels[0],
            of(0),
            of(1),
            requests.state(),
            replies.state()
        )
    }
}

#[cfg(test)]
mod tests;
