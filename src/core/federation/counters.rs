//! What a federation broker counts, by the original's names (spec 04 §4.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::core::connection::{ByteBudget, Session};
use crate::core::metrics::{Kind, Registry};

/// What one stage has done.
#[derive(Debug, Default)]
pub(super) struct Stage {
    received: AtomicU64,
    published: AtomicU64,
    errors: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Stage {
    pub(super) fn receive(&self, took: Duration) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn publish(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }
}

/// What one lane has done.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) ingest: Stage,
    pub(super) transformer: Stage,
    pub(super) egest: Stage,
    /// What has come and was not read yet, and what found no room.
    pub(super) waiting: Arc<ByteBudget>,
    /// Messages to targets that were given up because others came before them for too long.
    pub(super) given_up: AtomicU64,
}

/// Bytes of messages that may wait to be read in one lane; what comes beyond is dropped and counted.
const WAITING: usize = 16 * 1024 * 1024;

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            ingest: Stage::default(),
            transformer: Stage::default(),
            egest: Stage::default(),
            waiting: Arc::new(ByteBudget::new(WAITING)),
            given_up: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// Messages that found no room, or waited too long.
    fn dropped(&self) -> u64 {
        self.waiting.dropped() + self.given_up.load(Ordering::Relaxed)
    }

    /// For a line about it.
    pub(super) fn state(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let errors = [&self.ingest, &self.transformer, &self.egest].map(|stage| of(&stage.errors));
        format!(
            "{} in, {} out, {} refused or lost, {} dropped",
            of(&self.ingest.received),
            of(&self.egest.published),
            errors.iter().sum::<u64>(),
            self.dropped()
        )
    }
}

/// Adds the counters of both lanes.
pub(super) fn register(registry: &Registry, lanes: &[Arc<Counters>; 2], (cluster, identity): (&str, &str)) {
    type Pick = fn(&Counters) -> &Stage;
    let [ingest, transformer, egest]: [Pick; 3] = [|c| &c.ingest, |c| &c.transformer, |c| &c.egest];
    let series: [(usize, Pick, &str, &str); 6] = [
        (0, ingest, "nats_ingest", "federation"),
        (0, transformer, "choria_request_transformer", "unconnected"),
        (0, egest, "nats_egest", "collective"),
        (1, ingest, "nats_ingest", "collective"),
        (1, transformer, "choria_reply_transformer", "unconnected"),
        (1, egest, "nats_egest", "federation"),
    ];
    type Read = fn(&Stage) -> &AtomicU64;
    let counts: [(&'static str, &'static str, Read); 3] = [
        ("choria_federation_received_msgs", "Messages received", |s| &s.received),
        ("choria_federation_published_msgs", "Messages published", |s| &s.published),
        ("choria_federation_errors", "Messages refused or lost", |s| &s.errors),
    ];
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let labels = |name, side| {
        [
            ("name", name),
            ("worker", "0"),
            ("connected_to", side),
            ("cluster", cluster),
            ("identity", identity),
        ]
    };
    for (metric, help, read) in counts {
        for (lane, pick, name, side) in series {
            let lane = lanes[lane].clone();
            registry.add(Kind::Counter, metric, help, &labels(name, side), move || load(read(pick(&lane))));
        }
    }
    for (lane, pick, name, side) in series {
        let (metric, help) = ("choria_federation_time", "Seconds that messages took");
        let (sum, count) = (lanes[lane].clone(), lanes[lane].clone());
        let seconds = move || load(&pick(&sum).nanoseconds) / 1e9;
        registry
            .add_summary(metric, help, &labels(name, side), seconds, move || load(&pick(&count).received));
    }
    for (lane, side) in [(0, "federation"), (1, "collective")] {
        let of = [("connected_to", side), ("cluster", cluster), ("identity", identity)];
        let help = "Messages dropped because too much waited to be carried on";
        let counters = lanes[lane].clone();
        registry.add(Kind::Counter, "choria_federation_dropped_msgs", help, &of, move || {
            counters.dropped() as f64
        });
    }
}

/// Says whether a side is connected.
pub(super) fn register_connection(
    registry: &Registry,
    side: &str,
    (cluster, identity): (&str, &str),
    session: Session,
) {
    let of = [("connected_to", side), ("cluster", cluster), ("identity", identity)];
    let help = "Whether the federation broker is connected to that network";
    registry.add(Kind::Gauge, "choria_federation_connected", help, &of, move || {
        f64::from(u8::from(session.connected_server().is_some()))
    });
}
