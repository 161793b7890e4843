//! `disk`: how full file systems are, by space and by inodes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::limits::{Limits, Measure};
use super::{Around, Builtin, Finding, Looking, Probe};
use crate::core::files::{Look, read_bounded, within_deadline};
use crate::core::machine::observe::mounts::{self, Usage};
use crate::core::machine::properties::Properties;
use crate::core::machine::watchers::Status;

pub(super) const BUILTIN: Builtin = Builtin { name: "disk", compile };

/// File systems that are looked at.
const MOST: usize = 256;

struct Disk {
    /// Where; none are all of this machine.
    paths: Vec<Place>,
    /// Those of the last look, where all are looked at: who hangs is known by it.
    known: Mutex<Vec<Place>>,
    space: Limits,
    inodes: Limits,
}

/// A place, and whether somebody was left behind looking at it.
#[derive(Clone)]
struct Place {
    path: PathBuf,
    look: Arc<Look>,
}

impl Place {
    fn new(path: &str) -> Place {
        Place { path: path.into(), look: Arc::default() }
    }
}

fn compile(of: &mut Properties<'_, '_>) -> Box<dyn Probe> {
    let paths: Vec<Place> = of.list("path").iter().map(|path| Place::new(path)).collect();
    if let Some(wrong) = paths.iter().find(|place| !place.path.is_absolute()) {
        of.error_at("path", format_args!("has {}, which does not begin with /", wrong.path.display()));
    }
    Box::new(Disk {
        paths,
        known: Mutex::default(),
        space: Limits::new(of, Measure::Most, ["80", "90"]),
        inodes: Limits::named(of, ["inodes_warning", "inodes_critical"], Measure::Most, ["80", "90"]),
    })
}

impl Probe for Disk {
    fn look<'a>(&'a self, around: &'a Around) -> Looking<'a> {
        Box::pin(async move { self.found(around).await.unwrap_or_else(|finding| finding) })
    }
}

impl Disk {
    async fn found(&self, around: &Around) -> Result<Finding, Finding> {
        let (space, inodes) = (self.space.here(around)?, self.inodes.here(around)?);
        let all = self.paths.is_empty();
        let places = if all { self.of_this_machine()? } else { self.paths.clone() };
        let mut finding = Finding::ok();
        let mut seen = BTreeSet::new();
        for place in places {
            let shown = place.path.display().to_string();
            let Some(usage) = usage(place).await else {
                finding = finding.with(Status::Critical, format!("{shown} does not answer"));
                continue;
            };
            match usage {
                // the same one in another place
                Ok(usage) if all && !seen.insert(usage.id) => {}
                Ok(usage) => {
                    let free = gibibytes(usage.free);
                    let text = format!("{shown} is {:.0} % full, {free} GiB free", usage.percent);
                    finding = finding.judged(&shown, usage.percent, "%", space, text);
                    if let Some(percent) = usage.inodes {
                        let status = inodes.judge(percent);
                        let label = format!("{shown} inodes");
                        finding = match status {
                            Status::Ok => finding.number(label, percent, "%"),
                            _ => {
                                let text = format!("{shown} has {percent:.0} % of its inodes in use");
                                finding.judged(label, percent, "%", inodes, text)
                            }
                        };
                    }
                }
                // something is mounted over it, so nobody's files are there
                Err(e) if all && e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => finding = finding.with(Status::Critical, format!("{shown}: {e}")),
            }
        }
        Ok(finding)
    }

    fn of_this_machine(&self) -> Result<Vec<Place>, Finding> {
        let text = read_bounded(Path::new(mounts::LIST), mounts::MOST_TEXT);
        let text = text.map_err(|e| Finding::unknown(e.to_string()))?;
        let found = mounts::parse(&String::from_utf8_lossy(&text));
        let local = found.iter().filter(|mount| mount.is_local_storage()).take(MOST);
        let mut paths: Vec<&str> = local.map(|mount| mount.path.as_str()).collect();
        if paths.is_empty() {
            paths.push("/");
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |path: &&str| {
            let before = known.iter().find(|place| place.path == Path::new(path));
            before.cloned().unwrap_or_else(|| Place::new(path))
        };
        let places: Vec<Place> = paths.iter().map(place).collect();
        known.clone_from(&places);
        Ok(places)
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 30))
}

/// None when it does not answer; then nobody asks again until whoever did comes back.
async fn usage(place: Place) -> Option<std::io::Result<Usage>> {
    within_deadline(move || {
        let _looking = place.look.begin(&place.path)?;
        Some(mounts::usage(&place.path))
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::super::tests::look;

    #[tokio::test]
    async fn file_systems_are_measured_and_missing_ones_told() {
        let found = look("disk", "{warning: 100, critical: 100, inodes_critical: '100'}", "null").await;
        assert!(found.starts_with("OK: / is "), "{found}");
        assert!(found.contains("|/="), "{found}");
        let found = look("disk", "{path: [/, /nosuch], warning: '0:0', critical: '100'}", "null").await;
        assert!(found.starts_with("CRITICAL: /nosuch: No such file or directory"), "{found}");
        let found = look("disk", "{path: /}", r#"{"warning": "0.0001", "critical": "100"}"#).await;
        assert!(found.starts_with("WARNING: / is "), "{found}");
    }
}
