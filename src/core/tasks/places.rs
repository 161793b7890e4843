//! Where a node keeps files of tasks and what became of runs: where tools of today look.

use std::path::{Path, PathBuf};

use crate::core::config::{Config, Environment};

/// Directory of root's; that of others is below their home.
const SYSTEM: &str = "/opt/puppetlabs/mcollective";
const OWN: &str = ".puppetlabs/mcollective";

/// See the module documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Files by their hash.
    pub cache: PathBuf,
    /// A directory for every run.
    pub spool: PathBuf,
}

impl Places {
    /// As configured, or as ever.
    pub fn new(config: &Config, env: &dyn Environment) -> Places {
        let base = match env.home().filter(|_| env.euid() != 0) {
            Some(home) => home.join(OWN),
            None => Path::new(SYSTEM).to_owned(),
        };
        let at = |configured: &str, usual: &str| match configured {
            "" => base.join(usual),
            configured => PathBuf::from(configured),
        };
        Places {
            cache: at(&config.choria_tasks_cache_dir, "tasks-cache"),
            spool: at(&config.choria_tasks_spool_dir, "tasks-spool"),
        }
    }
}
