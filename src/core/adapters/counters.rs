//! What adapters count, by the original's names (spec 04 §5.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::queue::Queue;
use crate::core::metrics::{Kind, Registry};

/// What one side of an adapter has done.
#[derive(Debug, Default)]
pub(super) struct Side {
    messages: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Side {
    pub(super) fn done(&self, bytes: usize, took: Duration) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }
}

/// What one adapter has done.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) input: Side,
    pub(super) output: Side,
    /// Documents that were told again.
    pub(super) retries: AtomicU64,
    /// Documents taken in and given up.
    pub(super) lost: AtomicU64,
    /// Whether the outlet took what it was told last.
    pub(super) works: std::sync::atomic::AtomicBool,
}

impl Counters {
    pub(super) fn state(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{} in, {} refused, {} out, {} told again, {} lost",
            of(&self.input.messages),
            of(&self.input.errors),
            of(&self.output.messages),
            of(&self.retries),
            of(&self.lost)
        )
    }
}

pub(super) fn register(
    registry: &Registry,
    name: &str,
    identity: &str,
    counters: &Arc<Counters>,
    queue: &Arc<Queue>,
) {
    type Pick = fn(&Counters) -> &Side;
    let sides: [(&str, Pick); 2] = [("input", |c| &c.input), ("output", |c| &c.output)];
    type Read = fn(&Side) -> &AtomicU64;
    let counts: [(&'static str, &'static str, Read); 3] = [
        ("choria_adapter_received_msgs", "Messages handled", |s| &s.messages),
        ("choria_adapter_errors", "Messages refused, and tries to hand on that failed", |s| &s.errors),
        ("choria_adapter_bytes", "Bytes handled", |s| &s.bytes),
    ];
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    // One worker each, where the original has ten.
    let worker = format!("{name}.0");
    for (metric, help, read) in counts {
        for (role, pick) in sides {
            let (counters, labels) =
                (counters.clone(), [("name", &*worker), ("role", role), ("identity", identity)]);
            registry.add(Kind::Counter, metric, help, &labels, move || load(read(pick(&counters))));
        }
    }
    for (role, pick) in sides {
        let labels = [("name", &*worker), ("role", role), ("identity", identity)];
        let (sum, count) = (counters.clone(), counters.clone());
        let seconds = move || load(&pick(&sum).nanoseconds) / 1e9;
        let messages = move || load(&pick(&count).messages);
        registry.add_summary("choria_adapter_time", "Seconds that messages took", &labels, seconds, messages);
    }
    let labels = [("name", name), ("identity", identity)];
    let (waiting, capacity) = (queue.clone(), queue.capacity() as f64);
    let help = "Documents that wait to be handed on";
    registry.add(Kind::Gauge, "choria_adapter_queue_length", help, &labels, move || waiting.waiting() as f64);
    let help = "Documents that may wait in memory";
    registry.add(Kind::Gauge, "choria_adapter_queue_capacity", help, &labels, move || capacity);
    let (retried, lost, works) = (counters.clone(), counters.clone(), counters.clone());
    let help = "Documents told again because it was not sure that they had been taken";
    registry.add(Kind::Counter, "choria_adapter_retried_msgs", help, &labels, move || load(&retried.retries));
    let help = "Documents taken in and given up";
    registry.add(Kind::Counter, "choria_adapter_lost_msgs", help, &labels, move || load(&lost.lost));
    let help = "Whether what was handed on last was taken";
    registry.add(Kind::Gauge, "choria_adapter_up", help, &labels, move || {
        f64::from(u8::from(works.works.load(Ordering::Relaxed)))
    });
}
