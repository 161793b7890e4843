//! `memory` and `swap`: how much of them is in use.

use super::limits::{Bounds, Limits, Measure};
use super::{Around, Builtin, Finding, Looking, Probe, kernel};
use crate::core::machine::properties::Properties;
use crate::core::machine::watchers::Status;

pub(super) const BUILTIN: Builtin =
    Builtin { name: "memory", compile: |of| compile(of, &MEMORY, ["90", "95"]) };
pub(super) const SWAP: Builtin = Builtin { name: "swap", compile: |of| compile(of, &PAGED, ["50", "80"]) };

/// What is counted: all of it, and what is left.
struct Kind {
    label: &'static str,
    size: &'static str,
    left: &'static str,
}

/// What the kernel could give to a process that asks, caches and all.
const MEMORY: Kind = Kind { label: "memory", size: "MemTotal:", left: "MemAvailable:" };
const PAGED: Kind = Kind { label: "swap", size: "SwapTotal:", left: "SwapFree:" };

struct InUse {
    kind: &'static Kind,
    limits: Limits,
}

fn compile(of: &mut Properties<'_, '_>, kind: &'static Kind, defaults: [&str; 2]) -> Box<dyn Probe> {
    Box::new(InUse { kind, limits: Limits::new(of, Measure::Most, defaults) })
}

impl Probe for InUse {
    fn look<'a>(&'a self, around: &'a Around) -> Looking<'a> {
        let found = || Ok(judged(&kernel("/proc/meminfo")?, self.kind, self.limits.here(around)?));
        Box::pin(std::future::ready(found().unwrap_or_else(|finding: Finding| finding)))
    }
}

fn judged(text: &str, kind: &Kind, bounds: Bounds) -> Finding {
    let number = |name: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let label = kind.label;
    let (Some(size), Some(left)) = (number(kind.size), number(kind.left)) else {
        return Finding::unknown(format!("/proc/meminfo does not tell of {label}"));
    };
    if size <= 0.0 {
        return Finding::ok().with(Status::Ok, format!("there is no {label}"));
    }
    let percent = ((size - left) / size * 100.0).clamp(0.0, 100.0);
    let mebibytes = |kibibytes: f64| kibibytes / 1024.0;
    let said = format!("{percent:.0} % of {:.0} MiB of {label} are in use", mebibytes(size));
    Finding::ok().judged(label, percent, "%", bounds, said).number("left", mebibytes(left).round(), "MB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_given_is_not_in_use() {
        let text = "MemTotal:        8000000 kB\nMemFree:          100000 kB\nMemAvailable:    2000000 kB\n\
                    SwapTotal:             0 kB\nSwapFree:              0 kB\n";
        let bounds = Bounds::of("70", "90");
        let said = judged(text, &MEMORY, bounds).to_string();
        assert_eq!(said, "WARNING: 75 % of 7812 MiB of memory are in use|memory=75%;70;90 left=1953MB");
        assert_eq!(judged(text, &PAGED, bounds).to_string(), "OK: there is no swap");
        assert!(judged("MemTotal: 1 kB", &MEMORY, bounds).to_string().starts_with("UNKNOWN"));
    }

    #[tokio::test]
    async fn the_kernel_says() {
        for name in ["memory", "swap"] {
            let found = super::super::tests::look(name, "{critical: 100, warning: 100}", "null").await;
            assert!(found.starts_with("OK: "), "{found}");
        }
    }
}
