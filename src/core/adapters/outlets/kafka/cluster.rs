//! The brokers of a cluster: who leads which partition, and a connection to each who does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{InitProducerIdRequest, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::answers::Question;
use super::connection::{Access, Connection, Fault};
use super::lanes::Producer;
use super::verdict::said;

/// What was learned is learned again after this long: partitions may have been added.
const FRESH: Duration = Duration::from_secs(300);
/// Partitions of a topic at most, and brokers of a cluster.
const PARTITIONS: usize = 100_000;
/// Brokers that are asked where those that were configured are away.
const OTHERS: usize = 20;

/// A cluster, as far as one topic goes.
pub(super) struct Cluster {
    access: Access,
    topic: TopicName,
    /// Where it is asked.
    servers: Vec<(String, u16)>,
    /// The one that is asked first.
    next: usize,
    /// Others, which the cluster told of.
    others: Vec<(String, u16)>,
    known: Option<Known>,
    connections: HashMap<i32, Connection>,
}

/// What was learned of it.
struct Known {
    learned: Instant,
    brokers: HashMap<i32, (String, u16)>,
    /// Leaders, by partition.
    leaders: Vec<Option<i32>>,
}

impl Cluster {
    pub(super) fn new(access: Access, topic: &str, servers: Vec<(String, u16)>) -> Cluster {
        let topic = TopicName(StrBytes::from_string(topic.to_owned()));
        let next = fastrand::usize(..servers.len().max(1));
        Cluster { access, topic, servers, next, others: vec![], known: None, connections: HashMap::new() }
    }

    pub(super) fn topic(&self) -> &str {
        self.topic.as_str()
    }

    /// What was learned may be wrong.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// Learns who leads what, if that is not known. Those that were configured are asked first,
    /// then those that are known since.
    pub(super) async fn learn(&mut self) -> Result<(), Fault> {
        if self.known.as_ref().is_some_and(|known| known.learned.elapsed() < FRESH) {
            return Ok(());
        }
        let mut last = Fault::Said("there is no broker to ask".to_owned());
        let count = self.servers.len();
        let configured = (0..count).map(|at| (self.next + at) % count);
        let configured = configured.map(|at| (Some(at), self.servers[at].clone()));
        let others = self.others.iter().map(|place| (None, place.clone()));
        let places: Vec<_> = configured.chain(others).collect();
        for (at, (host, port)) in places {
            match self.ask_for_leaders(&host, port).await {
                Ok(known) => {
                    self.next = at.unwrap_or(self.next);
                    let places = known.brokers.values().filter(|place| !self.servers.contains(place));
                    self.others = places.take(OTHERS).cloned().collect();
                    let kept = |node: &i32, connection: &mut Connection| {
                        let place = known.brokers.get(node);
                        place.is_some_and(|(host, port)| connection.server() == format!("{host}:{port}"))
                    };
                    self.connections.retain(kept);
                    self.known = Some(known);
                    return Ok(());
                }
                // The cluster has answered: another broker says the same.
                Err(fault @ Fault::Said(_)) => return Err(fault),
                Err(fault) => {
                    tracing::debug!("a broker of Kafka cannot be asked: {fault}");
                    last = fault;
                }
            }
        }
        Err(last)
    }

    async fn ask_for_leaders(&self, host: &str, port: u16) -> Result<Known, Fault> {
        let mut connection = Connection::open(host, port, &self.access).await?;
        let topic = MetadataRequestTopic::default().with_name(Some(self.topic.clone()));
        let request =
            MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        let answer: MetadataResponse = connection.ask(&request).await?;
        self.known(&answer, host, port)
    }

    /// What an answer says.
    fn known(&self, answer: &MetadataResponse, host: &str, port: u16) -> Result<Known, Fault> {
        let odd =
            |what: &str| Fault::Said(format!("{host}:{port} says of the cluster what cannot be: {what}"));
        let name = self.topic.as_str();
        let topic = answer.topics.iter().find(|topic| topic.name.as_ref() == Some(&self.topic));
        let topic = topic.ok_or_else(|| odd("nothing of the topic"))?;
        match ResponseError::try_from_code(topic.error_code) {
            None => {}
            Some(ResponseError::UnknownTopicOrPartition) => {
                return Err(Fault::Said(format!(
                    "Kafka has no topic {name}: make it, as by kafka-topics.sh --bootstrap-server {host}:{port} \
                     --create --topic {name} --partitions 6 --replication-factor 3"
                )));
            }
            Some(error) => return Err(Fault::Said(said(error, name))),
        }
        if topic.partitions.is_empty() || topic.partitions.len().max(answer.brokers.len()) > PARTITIONS {
            return Err(odd("the number of partitions"));
        }
        let mut leaders = vec![None; topic.partitions.len()];
        for partition in &topic.partitions {
            let leader = usize::try_from(partition.partition_index).ok().and_then(|at| leaders.get_mut(at));
            let leader = leader.ok_or_else(|| odd("the numbers of partitions"))?;
            *leader = Some(partition.leader_id.0).filter(|leader| *leader >= 0);
        }
        let brokers = answer.brokers.iter().filter_map(|broker| {
            let port = u16::try_from(broker.port).ok().filter(|port| *port > 0)?;
            let host = broker.host.as_str();
            let is_name = matches!(host.len(), 1..256) && host.bytes().all(|byte| byte.is_ascii_graphic());
            is_name.then(|| (broker.node_id.0, (host.to_owned(), port)))
        });
        Ok(Known { learned: Instant::now(), brokers: brokers.collect(), leaders })
    }

    /// Partitions of the topic.
    pub(super) fn partitions(&self) -> i32 {
        self.known.as_ref().and_then(|known| i32::try_from(known.leaders.len()).ok()).unwrap_or(0)
    }

    /// Who leads a partition.
    pub(super) fn leader(&self, partition: i32) -> Option<i32> {
        let leaders = &self.known.as_ref()?.leaders;
        *leaders.get(usize::try_from(partition).ok()?)?
    }

    /// What it takes to tell a broker something; a connection that works is kept by [`Cluster::keep`].
    pub(super) fn lend(&mut self, node: i32) -> Lent {
        let kept = self.connections.remove(&node);
        let place = self.known.as_ref().and_then(|known| known.brokers.get(&node)).cloned();
        Lent { kept, place }
    }

    pub(super) fn keep(&mut self, node: i32, connection: Option<Connection>) {
        self.connections.extend(connection.map(|connection| (node, connection)));
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// A name to number records by, of the leader of any partition.
    pub(super) async fn producer(&mut self) -> Result<Producer, Fault> {
        let leaders = self.known.as_ref().map(|known| known.leaders.iter().flatten());
        let leader = leaders.and_then(|mut leaders| leaders.next().copied());
        let leader = leader.ok_or_else(|| Fault::Said("no partition has a leader".to_owned()))?;
        let lent = self.lend(leader);
        // No transaction, so none that can time out.
        let request =
            InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
        let (connection, answer) = lent.ask(&self.access, &request).await;
        self.keep(leader, connection);
        let answer = answer?;
        match ResponseError::try_from_code(answer.error_code) {
            None => Ok(Producer { id: answer.producer_id.0, epoch: answer.producer_epoch }),
            Some(error) => Err(Fault::Said(said(error, self.topic.as_str()))),
        }
    }
}

/// A broker, for one question.
pub(super) struct Lent {
    kept: Option<Connection>,
    place: Option<(String, u16)>,
}

impl Lent {
    /// Asks it, by a connection of before or a new one. One of before may have been closed while
    /// nobody looked, so it is asked once more then: all that is asked may be asked twice.
    pub(super) async fn ask<Q: Question>(
        self,
        access: &Access,
        request: &Q,
    ) -> (Option<Connection>, Result<Q::Answer, Fault>) {
        if let Some(mut connection) = self.kept {
            match connection.ask(request).await {
                Ok(answer) => return (Some(connection), Ok(answer)),
                Err(Fault::Closed { .. } | Fault::Unreachable { .. }) => {}
                Err(fault) => return (None, Err(fault)),
            }
        }
        let Some((host, port)) = self.place else {
            return (None, Err(Fault::Said("a leader is no broker of the cluster".to_owned())));
        };
        let mut connection = match Connection::open(&host, port, access).await {
            Ok(connection) => connection,
            Err(fault) => return (None, Err(fault)),
        };
        match connection.ask(request).await {
            Ok(answer) => (Some(connection), Ok(answer)),
            Err(fault) => (None, Err(fault)),
        }
    }
}
