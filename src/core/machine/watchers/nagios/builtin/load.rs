//! `load`: how much there is to run, a processor.

use super::limits::{Bounds, Limits, Measure};
use super::{Around, Builtin, Finding, Looking, Probe, kernel};
use crate::core::machine::properties::Properties;
use crate::core::machine::watchers::Status;

pub(super) const BUILTIN: Builtin = Builtin { name: "load", compile };

/// Of a minute, of five and of fifteen.
struct Load {
    minutes: [(&'static str, Limits); 3],
    total: bool,
}

fn compile(of: &mut Properties<'_, '_>) -> Box<dyn Probe> {
    let mut limits = |names, defaults| Limits::named(of, names, Measure::Most, defaults);
    let minutes = [
        ("load1", limits(["load1_warning", "load1_critical"], ["", ""])),
        ("load5", limits(["warning", "critical"], ["2", "4"])),
        ("load15", limits(["load15_warning", "load15_critical"], ["", ""])),
    ];
    Box::new(Load { minutes, total: of.flag("total") })
}

impl Probe for Load {
    fn look<'a>(&'a self, around: &'a Around) -> Looking<'a> {
        Box::pin(std::future::ready(self.found(around).unwrap_or_else(|finding| finding)))
    }
}

impl Load {
    fn found(&self, around: &Around) -> Result<Finding, Finding> {
        let text = kernel("/proc/loadavg")?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut bounds = Vec::new();
        for (name, limits) in &self.minutes {
            bounds.push((*name, limits.here(around)?));
        }
        Ok(judged(&text, processors, self.total, &bounds))
    }
}

fn judged(text: &str, processors: usize, total: bool, bounds: &[(&str, Bounds)]) -> Finding {
    let loads: Vec<f64> = text.split_whitespace().take(3).filter_map(|word| word.parse().ok()).collect();
    let [one, five, fifteen] = loads[..] else {
        return Finding::unknown("/proc/loadavg has no three numbers");
    };
    let said = format!("load {one:.2} {five:.2} {fifteen:.2} on {processors} processors");
    let mut finding = Finding::ok().with(Status::Ok, said);
    let per = if total { 1.0 } else { processors as f64 };
    for ((name, bounds), load) in bounds.iter().zip([one, five, fifteen]) {
        let load = load / per;
        match bounds.judge(load) {
            Status::Ok => finding = finding.judged(*name, load, "", *bounds, ""),
            _ => {
                let of = if total { "" } else { " a processor" };
                finding = finding.judged(*name, load, "", *bounds, format!("{name} is {load:.2}{of}"));
            }
        }
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_one_of_each_processor() {
        let bounds =
            [("load1", Bounds::of("", "")), ("load5", Bounds::of("2", "4")), ("load15", Bounds::of("", ""))];
        let said = |text: &str, processors, total| judged(text, processors, total, &bounds).to_string();
        assert_eq!(
            said("1.00 2.00 3.00 1/2 3", 4, false),
            "OK: load 1.00 2.00 3.00 on 4 processors|load1=0.25;; load5=0.5;2;4 load15=0.75;;"
        );
        let busy = said("1.00 9.00 3.00 1/2 3", 4, false);
        assert!(busy.starts_with("WARNING: load5 is 2.25 a processor, load 1.00"), "{busy}");
        assert!(said("1.00 9.00 3.00 1/2 3", 4, true).starts_with("CRITICAL: load5 is 9.00,"));
        assert!(said("what", 4, true).starts_with("UNKNOWN"));
    }

    #[tokio::test]
    async fn the_kernel_says() {
        let found = super::super::tests::look("load", "{critical: 10000, warning: 10000}", "null").await;
        assert!(found.starts_with("OK: load "), "{found}");
    }
}
