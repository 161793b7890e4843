//! Checks that are built in: a node looks by itself, without a plugin and without a child
//! process. Each is one file, with one line in `ALL`.
//!
//! A check reads its properties once, and looks whenever it is asked. Its limits are ranges
//! of Nagios, and what the overrides of this node say of a property of the same name counts
//! instead (`plugin.scout.overrides`).

mod certificate;
mod disk;
mod finding;
mod http;
mod limits;
mod load;
mod memory;
mod ntp;
mod puppet;
mod systemd;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::core::files::read_bounded;
use crate::core::machine::overrides;
use crate::core::machine::properties::Properties;
use crate::core::machine::turn::{Answer, Said, Setting};
pub(super) use finding::Finding;

/// The checks there are.
const ALL: [Builtin; 9] = [
    certificate::BUILTIN,
    disk::BUILTIN,
    http::BUILTIN,
    load::BUILTIN,
    memory::BUILTIN,
    memory::SWAP,
    ntp::BUILTIN,
    puppet::BUILTIN,
    systemd::BUILTIN,
];

/// What a look may take that says nothing else.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a file of the kernel.
const MOST: u64 = 1 << 20;

/// A check that is built in.
pub(super) struct Builtin {
    /// Its name.
    pub name: &'static str,
    compile: fn(&mut Properties<'_, '_>) -> Box<dyn Probe>,
}

/// What looks.
pub(super) trait Probe: Send + Sync {
    /// Looks, with limits as they count for this node.
    fn look<'a>(&'a self, around: &'a Around) -> Looking<'a>;
}

/// A look under way.
type Looking<'a> = Pin<Box<dyn Future<Output = Finding> + Send + 'a>>;

/// What a look is done with.
pub(super) struct Around {
    /// What this node has otherwise, of this machine.
    own: Value,
    limit: Duration,
}

/// A check with its properties.
pub(super) struct Native {
    name: &'static str,
    probe: Box<dyn Probe>,
    limit: Duration,
}

impl Native {
    /// Of that name; none where there is none.
    pub fn compile(name: &str, of: &mut Properties<'_, '_>) -> Option<Native> {
        let builtin = ALL.iter().find(|builtin| builtin.name == name)?;
        let limit = of.positive("timeout").filter(|limit| !limit.is_zero()).unwrap_or(TIMEOUT);
        Some(Native { name: builtin.name, probe: (builtin.compile)(of), limit })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Looks, within its time.
    pub async fn look(self: Arc<Native>, setting: Setting) -> Answer {
        let began = Instant::now();
        let machine = setting.machine.clone();
        let own = match setting.overrides.clone() {
            None => Arc::default(),
            Some(file) => overrides::read_in_time(file).await,
        };
        let own = own.get(&machine).cloned().unwrap_or_default();
        let around = Around { own, limit: self.limit };
        let looked = tokio::time::timeout(self.limit, self.probe.look(&around)).await;
        let finding = looked
            .unwrap_or_else(|_| Finding::unknown(format!("no answer within {} s", self.limit.as_secs_f64())));
        Answer::Said(Said {
            outcome: finding.status.as_str(),
            detail: finding.to_string().into(),
            problem: String::new(),
            took: began.elapsed(),
        })
    }
}

/// Names of all, for who mistypes one.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|builtin| builtin.name)
}

/// A file of the kernel, which does not hang.
fn kernel(path: &str) -> Result<String, Finding> {
    let read = read_bounded(Path::new(path), MOST).map_err(|e| Finding::unknown(e.to_string()))?;
    Ok(String::from_utf8_lossy(&read).into_owned())
}

#[cfg(test)]
mod tests;
