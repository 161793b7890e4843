//! One registry of counters, rendered as Prometheus text.
//!
//! A counter is an `AtomicU64` that lives where it is raised; the registry
//! holds readers, so raising costs one addition and naming costs nothing until
//! somebody looks.

use std::fmt::Write;
use std::sync::Mutex;

pub mod process;

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Counts by size, see [`Registry::add_histogram`].
    Histogram,
    /// How often and how much together, see [`Registry::add_summary`].
    Summary,
}

type Reader = Box<dyn Fn() -> f64 + Send + Sync>;

struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    /// Ending of the name, labels, value.
    samples: Vec<(&'static str, String, Reader)>,
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
        self.add_sample((kind, name, help), "", labels, read);
    }

    /// Adds a summary without quantiles: the sum of all sizes, and how many.
    pub fn add_summary(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        sum: impl Fn() -> f64 + Send + Sync + 'static,
        count: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.add_sample((Kind::Summary, name, help), "_sum", labels, sum);
        self.add_sample((Kind::Summary, name, help), "_count", labels, count);
    }

    /// Adds a histogram: how many things were at most as large as each bound,
    /// and larger, not cumulative, and the sum of all sizes.
    pub fn add_histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        bounds: &[u64],
        counts: &[u64],
        sum: u64,
    ) {
        let family = (Kind::Histogram, name, help);
        let bounds = bounds.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
        let mut below = 0;
        for (bound, count) in bounds.zip(counts) {
            below += count;
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            let value = below as f64;
            self.add_sample(family, "_bucket", &labels, move || value);
        }
        self.add_sample(family, "_sum", labels, move || sum as f64);
        self.add_sample(family, "_count", labels, move || below as f64);
    }

    /// Adds a histogram that is read whenever somebody looks: `below` says how
    /// many things were at most as large as the bound at a place, and, at the
    /// place after the last, how many there were.
    pub fn add_live_histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        bounds: &[f64],
        below: impl Fn(usize) -> f64 + Clone + Send + Sync + 'static,
        sum: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let family = (Kind::Histogram, name, help);
        let texts = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (place, bound) in texts.enumerate() {
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            let below = below.clone();
            self.add_sample(family, "_bucket", &labels, move || below(place));
        }
        self.add_sample(family, "_sum", labels, sum);
        let all = bounds.len();
        self.add_sample(family, "_count", labels, move || below(all));
    }

    fn add_sample(
        &self,
        (kind, name, help): (Kind, &'static str, &'static str),
        ending: &'static str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let labels =
            labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect::<Vec<_>>().join(",");
        let mut families = self.families.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sample = (ending, labels, Box::new(read) as Reader);
        match families.iter_mut().find(|f| f.name == name) {
            Some(family) => family.samples.push(sample),
            None => families.push(Family { name, help, kind, samples: vec![sample] }),
        }
    }

    /// All samples as of now, in the Prometheus text format.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for family in self.families.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
                Kind::Summary => "summary",
            };
            let Family { name, help, samples, .. } = family;
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (ending, labels, read) in samples {
                let _ = match labels.is_empty() {
                    true => writeln!(out, "{name}{ending} {}", read()),
                    false => writeln!(out, "{name}{ending}{{{labels}}} {}", read()),
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

    #[test]
    fn histograms_are_cumulative() {
        let registry = Registry::default();
        registry.add_histogram("size", "Sizes", &[("a", "b")], &[1, 10], &[3, 0, 2], 99);
        assert_eq!(
            registry.render(),
            "# HELP size Sizes\n# TYPE size histogram\n\
             size_bucket{a=\"b\",le=\"1\"} 3\nsize_bucket{a=\"b\",le=\"10\"} 3\nsize_bucket{a=\"b\",le=\"+Inf\"} 5\n\
             size_sum{a=\"b\"} 99\nsize_count{a=\"b\"} 5\n"
        );
    }
}
