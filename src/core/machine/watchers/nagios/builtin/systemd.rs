//! `systemd`: whether units run; without names, whether any has failed.

use super::{Around, Builtin, Finding, Looking, Probe};
use crate::core::machine::observe::systemd::{self, Unit};
use crate::core::machine::properties::Properties;
use crate::core::machine::watchers::Status;

pub(super) const BUILTIN: Builtin = Builtin { name: "systemd", compile };

/// Units that are named in a text.
const SHOWN: usize = 10;

struct Units {
    names: Vec<String>,
    /// Units that may have failed.
    passes_over: Box<[Box<str>]>,
}

fn compile(of: &mut Properties<'_, '_>) -> Box<dyn Probe> {
    let names = of.list("units").iter().map(|name| whole(name)).collect();
    Box::new(Units { names, passes_over: of.list("ignore") })
}

/// A name without a type is one of a service.
fn whole(name: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("{name}.service") }
}

impl Probe for Units {
    fn look<'a>(&'a self, _: &'a Around) -> Looking<'a> {
        Box::pin(async move {
            let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
            let all = names.is_empty();
            match systemd::units((!all).then_some(&names[..])).await {
                Err(e) if !systemd::is_here() => Finding::unknown(format!("systemd does not run here: {e}")),
                Err(e) => Finding::unknown(format!("systemd does not say: {e}")),
                Ok(units) if all => failed(&units, &self.passes_over),
                Ok(units) => running(&units, &names),
            }
        })
    }
}

fn failed(units: &[Unit], passes_over: &[Box<str>]) -> Finding {
    let left_out = |unit: &Unit| passes_over.iter().any(|name| whole(name) == unit.name);
    let failed: Vec<&str> = units
        .iter()
        .filter(|unit| unit.active == "failed" && !left_out(unit))
        .map(|unit| unit.name.as_str())
        .collect();
    let finding = match failed.len() {
        0 => Finding::ok().with(Status::Ok, "no unit has failed"),
        count => {
            let shown = failed.get(..count.min(SHOWN)).unwrap_or_default().join(", ");
            let more = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
            Finding::critical(format!("failed: {shown}{more}"))
        }
    };
    finding.number("failed", failed.len() as f64, "")
}

fn running(units: &[Unit], names: &[&str]) -> Finding {
    let mut finding = Finding::ok();
    let mut active = 0;
    for name in names {
        let unit = units.iter().find(|unit| unit.asked == *name);
        match unit.map(|unit| (unit.load.as_str(), unit.active.as_str(), unit.sub.as_str())) {
            None | Some(("not-found", _, _)) => {
                finding = finding.with(Status::Critical, format!("there is no {name}"));
            }
            Some((_, "active" | "reloading", _)) => active += 1,
            Some((_, "activating" | "deactivating", sub)) => {
                finding = finding.with(Status::Warning, format!("{name} is in {sub}"));
            }
            Some((_, state, sub)) => {
                finding = finding.with(Status::Critical, format!("{name} is {state} ({sub})"));
            }
        }
    }
    let finding = finding.with(Status::Ok, format!("{active} of {} units run", names.len()));
    finding.number("running", f64::from(active), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str, load: &str, active: &str, sub: &str) -> Unit {
        Unit {
            asked: name.into(),
            name: name.into(),
            load: load.into(),
            active: active.into(),
            sub: sub.into(),
        }
    }

    #[test]
    fn units_that_do_not_run_are_named() {
        let units = [
            unit("a.service", "loaded", "active", "running"),
            unit("b.service", "loaded", "failed", "failed"),
            unit("c.service", "not-found", "inactive", "dead"),
            unit("d.timer", "loaded", "activating", "auto-restart"),
        ];
        let said = |names: &[&str]| running(&units, names).to_string();
        let alias =
            Unit { asked: "sshd.service".into(), ..unit("ssh.service", "loaded", "active", "running") };
        assert_eq!(running(&[alias], &["sshd.service"]).to_string(), "OK: 1 of 1 units run|running=1");
        assert_eq!(said(&["a.service"]), "OK: 1 of 1 units run|running=1");
        assert_eq!(
            said(&["a.service", "d.timer", "b.service", "c.service", "e.service"]),
            "CRITICAL: b.service is failed (failed), d.timer is in auto-restart, there is no c.service, there is no \
             e.service, 1 of 5 units run|running=1"
        );
        assert_eq!(failed(&units, &[]).to_string(), "CRITICAL: failed: b.service|failed=1");
        assert_eq!(failed(&units, &["b".into()]).to_string(), "OK: no unit has failed|failed=0");
        let many: Vec<Unit> =
            (0..12).map(|n| unit(&format!("u{n}.service"), "loaded", "failed", "failed")).collect();
        assert!(failed(&many, &[]).to_string().contains("u9.service and 2 more|failed=12"));
    }

    #[tokio::test]
    async fn who_has_no_systemd_is_told_so() {
        if systemd::is_here() {
            return;
        }
        let found = super::super::tests::look("systemd", "{units: sshd}", "null").await;
        assert!(found.starts_with("UNKNOWN: systemd does not run here: "), "{found}");
    }
}
