//! Where Puppet keeps its state: it is asked once, and again when its configuration has
//! changed.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::{ASKED, puppet};
use crate::core::config::Config;
use crate::core::files::{Version, unless_ours_hangs};

/// Files of Puppet's agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Paths {
    /// There when it may not run.
    pub disabled: PathBuf,
    /// The process that applies a catalog.
    pub applying: PathBuf,
    /// The daemon.
    pub daemon: PathBuf,
    /// What the last run came to.
    pub summary: PathBuf,
    /// The same at length.
    pub report: PathBuf,
    /// Resources of the last catalog.
    pub resources: PathBuf,
    /// Where all this is said.
    pub config: PathBuf,
}

/// What Puppet said, and of which configuration.
#[derive(Default)]
pub(super) struct Settings {
    known: Mutex<Option<(Arc<Paths>, Option<Version>)>>,
}

impl Settings {
    /// Where its files are.
    ///
    /// # Errors
    /// There is no Puppet, or it does not say; as a sentence.
    pub async fn paths(&self, config: &Config) -> Result<Arc<Paths>, String> {
        let mut known = self.known.lock().await;
        if let Some((paths, version)) = &*known
            && version.is_some()
            && version_of(paths.config.clone()).await == *version
        {
            return Ok(paths.clone());
        }
        let file = config.option("plugin.puppet.config").map(|file| format!("--config={file}"));
        let names = ["agent_disabled_lockfile", "agent_catalog_run_lockfile", "pidfile", "lastrunfile"];
        let more = ["lastrunreport", "resourcefile", "config"];
        let arguments: Vec<&str> = ["config", "print"]
            .into_iter()
            .chain(file.as_deref())
            .chain(["--section", "agent"])
            .chain(names)
            .chain(more)
            .collect();
        let told = puppet(config, &arguments)?.ask(ASKED).await?;
        let paths = read(&told.output)
            .ok_or_else(|| format!("puppet does not say where its files are: {}", told.complaint()))?;
        let paths = Arc::new(paths);
        *known = Some((paths.clone(), version_of(paths.config.clone()).await));
        Ok(paths)
    }
}

async fn version_of(file: PathBuf) -> Option<Version> {
    unless_ours_hangs(&file.clone(), move || Version::of(&file).ok()).await.flatten()
}

/// Reads lines of `name = value`.
pub(super) fn read(said: &str) -> Option<Paths> {
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
        line.map(|value| PathBuf::from(value.trim())).filter(|path| path.is_absolute())
    };
    Some(Paths {
        disabled: value("agent_disabled_lockfile")?,
        applying: value("agent_catalog_run_lockfile")?,
        daemon: value("pidfile")?,
        summary: value("lastrunfile")?,
        report: value("lastrunreport")?,
        resources: value("resourcefile")?,
        config: value("config")?,
    })
}
