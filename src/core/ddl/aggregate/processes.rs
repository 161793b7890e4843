//! `process_summary`: how many nodes have how many processes of which size.

use serde_json::{Value, json};

use super::{Lines, Options, Spelling, Sum};
use crate::core::text::byte_size;

/// Bytes in the unit of `rss`.
const RSS_UNIT: f64 = 1024.0;

pub(super) fn summary(_: Options) -> Box<dyn Sum> {
    Box::new(Processes::default())
}

/// Of lists of processes, one a node.
#[derive(Debug, Default)]
struct Processes {
    hosts: u64,
    processes: u64,
    /// Bytes.
    rss: f64,
    vsize: f64,
}

impl Sum for Processes {
    fn add(&mut self, value: &Value) {
        let Some(list) = value.as_array().filter(|list| !list.is_empty()) else { return };
        let of = |process: &Value, key: &str| {
            process.get(key).and_then(Value::as_f64).filter(|size| *size > 0.0).unwrap_or(0.0)
        };
        self.hosts += 1;
        self.processes += list.len() as u64;
        for process in list {
            self.rss += of(process, "rss") * RSS_UNIT;
            self.vsize += of(process, "vsize");
        }
    }

    fn lines(&self, _: Spelling) -> Lines<'_> {
        let (rss, vsize) = (byte_size(self.rss), byte_size(self.vsize));
        let lines = [
            format!("    Matched hosts: {}", self.hosts),
            format!("Matched Processes: {}", self.processes),
            format!("    Resident Size: {rss}"),
            format!("     Virtual Size: {vsize}"),
        ];
        Box::new(lines.into_iter())
    }

    fn json(&self) -> Option<Value> {
        let finite = self.rss.is_finite() && self.vsize.is_finite();
        finite.then(|| {
            json!({ "hosts": self.hosts, "processes": self.processes, "rss": self.rss, "vsize": self.vsize })
        })
    }
}
