//! One registry of counters, rendered as Prometheus text.
//!
//! A counter is an `AtomicU64` that lives where it is raised; the registry
//! holds readers, so raising costs one addition and naming costs nothing until
//! somebody looks.

pub mod process;

use std::fmt::Write;
use std::sync::Mutex;

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes both ways.
    Gauge,
}

type Reader = Box<dyn Fn() -> f64 + Send + Sync>;

struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: Vec<(String, Reader)>,
}

/// Named readers of counters, in the order they were added.
#[derive(Default)]
pub struct Registry {
    families: Mutex<Vec<Family>>,
}

impl Registry {
    /// Adds a sample of family `name`; labels are `(name, value)` pairs.
    pub fn add(
        &self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let labels =
            labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect::<Vec<_>>().join(",");
        let mut families = self.families.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sample = (labels, Box::new(read) as Reader);
        match families.iter_mut().find(|f| f.name == name) {
            Some(family) => family.samples.push(sample),
            None => families.push(Family { name, help, kind, samples: vec![sample] }),
        }
    }

    /// All samples as of now, in the Prometheus text format.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for family in self.families.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            let kind = if family.kind == Kind::Counter { "counter" } else { "gauge" };
            let Family { name, help, samples, .. } = family;
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, read) in samples {
                let _ = match labels.is_empty() {
                    true => writeln!(out, "{name} {}", read()),
                    false => writeln!(out, "{name}{{{labels}}} {}", read()),
                };
            }
        }
        out
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_headed_once_and_labels_escaped() {
        let registry = Registry::default();
        registry.add(Kind::Counter, "choria_server_total", "Requests", &[("identity", "a\"b")], || 3.0);
        registry.add(Kind::Counter, "choria_server_total", "Requests", &[("identity", "c")], || 0.5);
        registry.add(Kind::Gauge, "up", "Up", &[], || 1.0);
        assert_eq!(
            registry.render(),
            "# HELP choria_server_total Requests\n# TYPE choria_server_total counter\n\
             choria_server_total{identity=\"a\\\"b\"} 3\nchoria_server_total{identity=\"c\"} 0.5\n\
             # HELP up Up\n# TYPE up gauge\nup 1\n"
        );
    }
}
