//! Batches on their way, a lane a partition, each with one batch at the front. Brokers
//! tell what they have twice from what is new by a number: the first of a batch, counted
//! in each partition. So a batch that nobody knows the fate of is told again as it was,
//! with the number it had, before anything behind it: that keeps the order, and nothing
//! is written twice. Pure.

use std::collections::{BTreeMap, VecDeque};

/// Bytes of one batch, where it is more than one document: brokers refuse more than a MiB
/// unless told otherwise.
const BATCH: usize = 900 * 1024;

/// Who we are to brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Producer {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<i32, Lane>,
    producer: Option<Producer>,
    /// Documents below this number were put on a lane.
    placed: u64,
}

#[derive(Debug, Default)]
struct Lane {
    batches: VecDeque<Batch>,
    /// Number of the next record.
    next: i32,
}

#[derive(Debug)]
struct Batch {
    documents: Vec<u64>,
    bytes: usize,
    /// It was told as it is: nothing joins it any more.
    told: bool,
}

/// The batch at the front of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) partition: i32,
    pub(super) sequence: i32,
    pub(super) documents: Vec<u64>,
    pub(super) bytes: usize,
}

impl Lanes {
    pub(super) fn producer(&self) -> Option<Producer> {
        self.producer
    }

    /// From now on we are this one, and count from the beginning.
    pub(super) fn renew(&mut self, producer: Producer) {
        self.producer = Some(producer);
        for lane in self.lanes.values_mut() {
            lane.next = 0;
        }
    }

    /// We are nobody until renewed.
    pub(super) fn resign(&mut self) {
        self.producer = None;
    }

    /// What was put on lanes is on none any more. What was told of it may be there or not, so
    /// numbers cannot go on.
    pub(super) fn clear(&mut self) {
        *self = Lanes::default();
    }

    /// Whether a document has its lane.
    pub(super) fn has(&self, document: u64) -> bool {
        document < self.placed
    }

    /// Puts the next document behind those of its partition.
    pub(super) fn place(&mut self, document: u64, partition: i32, bytes: usize) {
        self.placed = document + 1;
        let batches = &mut self.lanes.entry(partition).or_default().batches;
        match batches.back_mut() {
            Some(last) if !last.told && last.bytes + bytes <= BATCH => {
                last.documents.push(document);
                last.bytes += bytes;
            }
            _ => batches.push_back(Batch { documents: vec![document], bytes, told: false }),
        }
    }

    /// Partitions that something waits for.
    pub(super) fn waiting(&self) -> impl Iterator<Item = i32> {
        self.lanes.iter().filter(|(_, lane)| !lane.batches.is_empty()).map(|(partition, _)| *partition)
    }

    /// The front of a lane, which is told now.
    pub(super) fn due(&mut self, partition: i32) -> Option<Due> {
        let lane = self.lanes.get_mut(&partition)?;
        let front = lane.batches.front_mut()?;
        front.told = true;
        Some(Due { partition, sequence: lane.next, documents: front.documents.clone(), bytes: front.bytes })
    }

    /// The front of a lane is written: its documents.
    pub(super) fn taken(&mut self, partition: i32) -> Vec<u64> {
        let Some(lane) = self.lanes.get_mut(&partition) else { return vec![] };
        let Some(front) = lane.batches.pop_front() else { return vec![] };
        lane.next = after(lane.next, front.documents.len());
        front.documents
    }

    /// The front of a lane is not wanted as it is: one document is given back, and is on no lane
    /// any more; several are told one by one.
    pub(super) fn refused(&mut self, partition: i32) -> Option<u64> {
        let batches = &mut self.lanes.get_mut(&partition)?.batches;
        let front = batches.pop_front()?;
        if let [document] = front.documents[..] {
            return Some(document);
        }
        let each = front.bytes / front.documents.len().max(1);
        for document in front.documents.into_iter().rev() {
            batches.push_front(Batch { documents: vec![document], bytes: each, told: true });
        }
        None
    }
}

/// The number that follows `count` records from `sequence` on, as brokers count.
fn after(sequence: i32, count: usize) -> i32 {
    let next = (i64::from(sequence) + count as i64) % (i64::from(i32::MAX) + 1);
    i32::try_from(next).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_go_on_as_brokers_count() {
        assert_eq!((after(0, 5), after(i32::MAX, 1), after(i32::MAX - 1, 4)), (5, 0, 2));
    }

    #[test]
    fn a_batch_that_was_told_stays_as_it_is() {
        let mut lanes = Lanes::default();
        for document in 0..3 {
            lanes.place(document, 7, 100);
        }
        let due = lanes.due(7).unwrap();
        assert_eq!((due.sequence, &due.documents[..], due.bytes), (0, &[0, 1, 2][..], 300));
        lanes.place(3, 7, 100);
        assert_eq!(lanes.due(7).unwrap(), due);
        assert_eq!(lanes.taken(7), [0, 1, 2]);
        let next = lanes.due(7).unwrap();
        assert_eq!((next.sequence, &next.documents[..]), (3, &[3][..]));
        assert!(lanes.has(3) && !lanes.has(4));
        // What is large goes alone.
        lanes.place(4, 7, BATCH);
        lanes.place(5, 7, 1);
        assert_eq!(lanes.refused(7), Some(3));
        assert_eq!(lanes.due(7).unwrap().documents, [4]);
        assert_eq!(lanes.taken(7), [4]);
        assert_eq!(lanes.due(7).unwrap().sequence, 4);
        assert_eq!(lanes.waiting().collect::<Vec<_>>(), [7]);
        lanes.clear();
        assert_eq!((lanes.waiting().count(), lanes.producer()), (0, None));
    }

    /// A broker as far as numbers go.
    #[derive(Default)]
    struct Broker {
        written: HashMap<i32, Vec<u64>>,
        seen: HashMap<(i64, i32), (i32, i32)>,
        producers: i64,
    }

    enum Said {
        Yes,
        OutOfOrder,
    }

    impl Broker {
        fn tell(&mut self, producer: Producer, due: &Due) -> Said {
            let last = due.sequence + due.documents.len() as i32 - 1;
            match self.seen.get(&(producer.id, due.partition)) {
                Some(seen) if *seen == (due.sequence, last) => return Said::Yes,
                Some((_, before)) if due.sequence != before + 1 => return Said::OutOfOrder,
                _ => {}
            }
            self.seen.insert((producer.id, due.partition), (due.sequence, last));
            self.written.entry(due.partition).or_default().extend(&due.documents);
            Said::Yes
        }
    }

    proptest! {
        /// However often answers and requests are lost, each document is written once and in order.
        #[test]
        fn nothing_is_written_twice_or_out_of_order(
            arrivals in prop::collection::vec(1..20_usize, 1..30),
            lost in prop::collection::vec(0..4_u8, 100),
        ) {
            let (mut lanes, mut broker) = (Lanes::default(), Broker::default());
            let (mut luck, mut document) = (lost.into_iter().chain(std::iter::repeat(0)), 0);
            lanes.renew(Producer { id: 0, epoch: 0 });
            for more in arrivals.into_iter().chain(std::iter::repeat_n(0, 200)) {
                for _ in 0..more {
                    lanes.place(document, (document % 3) as i32, 400 * 1024);
                    document += 1;
                }
                let partitions: Vec<i32> = lanes.waiting().collect();
                for partition in partitions {
                    let due = lanes.due(partition).unwrap();
                    match luck.next().unwrap() {
                        // The request is lost.
                        1 => {}
                        // The answer is.
                        2 => { broker.tell(lanes.producer().unwrap(), &due); }
                        _ => match broker.tell(lanes.producer().unwrap(), &due) {
                            Said::Yes => { lanes.taken(partition); }
                            Said::OutOfOrder => {
                                broker.producers += 1;
                                lanes.renew(Producer { id: broker.producers, epoch: 0 });
                            }
                        },
                    }
                }
            }
            prop_assert_eq!(broker.producers, 0);
            for partition in 0..3 {
                let wanted: Vec<u64> = (0..document).filter(|d| (*d % 3) as i32 == partition).collect();
                prop_assert_eq!(broker.written.get(&partition).cloned().unwrap_or_default(), wanted);
            }
        }
    }
}
