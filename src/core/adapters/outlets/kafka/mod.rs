//! A topic of Kafka. Records have their sender as key, so all of one node are in one
//! partition and in order; brokers number them, so what is told twice is written once.
//!
//! `cluster` knows who leads which partition, `connection` is one conversation, `answers`
//! reads what comes back, `scram` shows a password without saying it, `partition` and
//! `lanes` say what goes where and in which order, `verdict` what an answer means.

mod answers;
mod cluster;
mod connection;
mod lanes;
mod partition;
mod scram;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::window::{Told, Window};
use super::{Outlet, Sending, Sent};
use crate::core::adapters::document::Document;
use crate::core::adapters::settings::{AdapterError, Kafka as Settings};
use cluster::Cluster;
use connection::{Access, Fault};
use lanes::{Due, Lanes, Producer};
use verdict::Verdict;

/// Time that brokers have to copy what they are told.
const COPIED: i32 = 20_000;
/// Bytes of what a broker is told in one go, about.
const AT_ONCE: usize = 8 * 1024 * 1024;
/// Longest pause that is made because a cluster asks for it.
const THROTTLED: Duration = Duration::from_secs(10);

pub(super) struct Kafka {
    cluster: Cluster,
    window: Window,
    lanes: Lanes,
    /// What the cluster asks us to wait.
    pause: Duration,
}

/// Why something is not written.
struct Wait {
    reason: String,
    /// Whether it may be at once, after another look at the cluster.
    at_once: bool,
}

impl From<Fault> for Wait {
    fn from(fault: Fault) -> Wait {
        // Broken connections tell of brokers that are others now; what was said stays said.
        let at_once =
            matches!(fault, Fault::Unreachable { .. } | Fault::Closed { .. } | Fault::Silent { .. });
        Wait { reason: fault.to_string(), at_once }
    }
}

impl Kafka {
    pub(super) fn new(name: &str, settings: &Settings) -> Result<Kafka, AdapterError> {
        let Settings { servers, topic, tls, login } = settings.clone();
        let access = Access::new(format!("choria-adapter-{name}"), tls, login);
        access.check().map_err(|reason| AdapterError::Kafka { name: name.to_owned(), reason })?;
        let cluster = Cluster::new(access, &topic, servers);
        Ok(Kafka { cluster, window: Window::default(), lanes: Lanes::default(), pause: Duration::ZERO })
    }

    async fn send_all(&mut self, documents: &[Document]) -> Sent {
        if self.window.tell(documents) == Told::Else {
            self.lanes.clear();
        }
        tokio::time::sleep(std::mem::take(&mut self.pause)).await;
        let mut wait = self.attempt().await.err();
        if wait.as_ref().is_some_and(|wait| wait.at_once) {
            self.cluster.forget();
            wait = self.attempt().await.err();
        }
        if wait.is_some() {
            self.cluster.forget();
        }
        self.window.sent(wait.map(|wait| (wait.reason, None)))
    }

    /// Tells all that waits; what had trouble is told of when the rest is through.
    async fn attempt(&mut self) -> Result<(), Wait> {
        self.cluster.learn().await?;
        let partitions = self.cluster.partitions();
        // Somebody has made the topic anew, with fewer.
        if self.lanes.waiting().any(|partition| partition >= partitions) {
            self.lanes.clear();
        }
        if self.lanes.producer().is_none() {
            let producer = self.cluster.producer().await?;
            self.lanes.renew(producer);
        }
        for (number, document) in self.window.open() {
            if !self.lanes.has(number) {
                let partition = partition::partition(document.sender.as_bytes(), partitions);
                self.lanes.place(number, partition, document.sender.len() + document.text.len() + 32);
            }
        }
        let mut troubles: BTreeMap<i32, Wait> = BTreeMap::new();
        while let Some(producer) = self.lanes.producer() {
            let due = self.due(&mut troubles);
            if due.is_empty() {
                break;
            }
            let mut lent = vec![];
            for (leader, dues) in due {
                let request = self.request(producer, &dues)?;
                lent.push((leader, dues, self.cluster.lend(leader), request));
            }
            let access = self.cluster.access();
            let asked = lent.into_iter().map(|(leader, dues, lent, request)| async move {
                let (connection, answer) = lent.ask(access, &request).await;
                (leader, dues, connection, answer)
            });
            for (leader, dues, connection, answer) in join_all(asked).await {
                self.cluster.keep(leader, connection);
                match answer {
                    Ok(answer) => self.judge(&dues, &answer, &mut troubles),
                    Err(fault) => {
                        let Wait { reason, at_once } = fault.into();
                        let wait = |due: &Due| (due.partition, Wait { reason: reason.clone(), at_once });
                        troubles.extend(dues.iter().map(wait));
                    }
                }
            }
        }
        // Another look helps all if it helps one.
        let at_once = troubles.values().any(|wait| wait.at_once);
        match troubles.into_values().next() {
            None => Ok(()),
            Some(wait) => Err(Wait { at_once, ..wait }),
        }
    }

    /// What each broker is told next, a batch a partition. Partitions with trouble have to wait.
    fn due(&mut self, troubles: &mut BTreeMap<i32, Wait>) -> BTreeMap<i32, Vec<Due>> {
        let partitions: Vec<i32> =
            self.lanes.waiting().filter(|partition| !troubles.contains_key(partition)).collect();
        let mut told: BTreeMap<i32, (Vec<Due>, usize)> = BTreeMap::new();
        for partition in partitions {
            let Some(leader) = self.cluster.leader(partition) else {
                let reason = format!("partition {partition} of topic {} has no leader", self.cluster.topic());
                troubles.insert(partition, Wait { reason, at_once: true });
                continue;
            };
            let (dues, bytes) = told.entry(leader).or_default();
            if *bytes < AT_ONCE
                && let Some(due) = self.lanes.due(partition)
            {
                *bytes += due.bytes;
                dues.push(due);
            }
        }
        told.into_iter().map(|(leader, (dues, _))| (leader, dues)).collect()
    }

    /// What became of batches.
    fn judge(&mut self, dues: &[Due], answer: &ProduceResponse, troubles: &mut BTreeMap<i32, Wait>) {
        let throttle = u64::try_from(answer.throttle_time_ms).unwrap_or(0);
        self.pause = self.pause.max(Duration::from_millis(throttle).min(THROTTLED));
        let topic = self.cluster.topic().to_owned();
        let said = answer.responses.iter().filter(|said| said.name.as_str() == topic);
        let codes: Vec<(i32, i16)> = said
            .flat_map(|said| &said.partition_responses)
            .map(|partition| (partition.index, partition.error_code))
            .collect();
        for due in dues {
            let partition = due.partition;
            let Some((_, code)) = codes.iter().find(|(index, _)| *index == partition) else {
                let reason = format!("Kafka does not say what became of partition {partition}");
                troubles.insert(partition, Wait { reason, at_once: false });
                continue;
            };
            match verdict::verdict(*code, &topic) {
                Verdict::Taken => {
                    for document in self.lanes.taken(partition) {
                        self.window.take(document);
                    }
                }
                Verdict::TooLarge(reason) | Verdict::Refused(reason) => {
                    if let Some(document) = self.lanes.refused(partition) {
                        self.window.refuse(document, reason);
                    }
                }
                Verdict::Renumber(reason) => {
                    tracing::debug!("numbers of topic {topic} begin anew: {reason}");
                    self.lanes.resign();
                    troubles.insert(partition, Wait { reason, at_once: true });
                }
                Verdict::Elsewhere(reason) => {
                    troubles.insert(partition, Wait { reason, at_once: true });
                }
                Verdict::Later(reason) => {
                    troubles.insert(partition, Wait { reason, at_once: false });
                }
            }
        }
    }

    fn request(&self, producer: Producer, dues: &[Due]) -> Result<ProduceRequest, Wait> {
        let now = jiff::Timestamp::now().as_millisecond();
        let mut partitions = vec![];
        for due in dues {
            let numbered = due.documents.iter().zip(0_i32..);
            let records = numbered.filter_map(|(document, offset)| {
                Some(record(self.window.get(*document)?, producer, due.sequence, offset, now))
            });
            let records: Vec<Record> = records.collect();
            let mut batch = BytesMut::with_capacity(due.bytes);
            let options = RecordEncodeOptions { version: 2, compression: Compression::None };
            RecordBatchEncoder::encode(&mut batch, &records, &options)
                .map_err(|e| Wait { reason: format!("documents are no records: {e}"), at_once: false })?;
            let data = PartitionProduceData::default().with_index(due.partition);
            partitions.push(data.with_records(Some(batch.freeze())));
        }
        let name = TopicName(StrBytes::from_string(self.cluster.topic().to_owned()));
        let topic = TopicProduceData::default().with_name(name).with_partition_data(partitions);
        // -1: all that are in sync have it before we are told so.
        let request = ProduceRequest::default().with_transactional_id(None).with_acks(-1);
        Ok(request.with_timeout_ms(COPIED).with_topic_data(vec![topic]))
    }
}

/// A document as a record, the one with number `offset` of a batch.
fn record(document: &Document, producer: Producer, sequence: i32, offset: i32, now: i64) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(offset),
        sequence: sequence.wrapping_add(offset),
        timestamp: now,
        key: Some(Bytes::copy_from_slice(document.sender.as_bytes())),
        value: Some(Bytes::copy_from_slice(document.text.as_bytes())),
        headers: IndexMap::new(),
    }
}

impl Outlet for Kafka {
    fn send<'a>(&'a mut self, documents: &'a [Document]) -> Sending<'a> {
        Box::pin(self.send_all(documents))
    }
}

#[cfg(test)]
mod tests;
