//! What would keep a provisioner, or the nodes it makes, from working: found before it starts.

use std::io;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use choria::core::config::System;
use choria::core::provisioner::settings::{HelperMode, Settings};
use choria::core::security::Provider;
use rustix::fs::{Access, access};

/// Where `choria setup broker` has its CA.
const BROKERS_CA: &str = "/etc/choria/ca";

/// That there can be a journal: in its directory, or in one that can be made.
pub fn state_dir(dir: &Path) -> anyhow::Result<()> {
    let nearest = dir.ancestors().find(|dir| dir.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    let nearest = if nearest.as_os_str().is_empty() { Path::new(".") } else { nearest };
    let may = match nearest.is_dir() {
        true => access(nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from),
        false => Err(io::Error::from(io::ErrorKind::NotADirectory)),
    };
    may.map_err(|e| {
        anyhow!(
            "state_dir {} cannot be written ({}: {e}): name a directory of yours, or run this as the user it is of",
            dir.display(),
            nearest.display()
        )
    })
}

/// That brokers will know who signs for nodes. What is there was compared when it was read.
pub fn ca(settings: &Settings, provider: Option<&Provider>) {
    let dir = settings.ca_dir();
    if settings.mode() != HelperMode::Builtin || dir.join("ca.pem").exists() {
        return;
    }
    let trusted = provider.map(|provider| provider.files().ca.display().to_string()).unwrap_or_default();
    let there = match Path::new(BROKERS_CA).join("ca.pem").exists() {
        true => format!("the one in {BROKERS_CA}"),
        false => "the broker's".to_owned(),
    };
    tracing::warn!(
        ca_dir = %dir.display(), trusted,
        "there is no CA in ca_dir, and the one that a start makes is none that brokers know: nodes would be turned \
         away; have it be {there}, docs/provisioning.md says how"
    );
}

/// That the backplane has its keys.
pub fn backplane(settings: &Settings, provider: Option<&Provider>) -> anyhow::Result<()> {
    let Some(management) = &settings.management else { return Ok(()) };
    let own = provider.map(super::own_keys);
    choria::core::backplane::check(management, own.as_ref(), &System).context("management")
}
