//! Settings this version knows and does not act on: whoever sets one is told.
//!
//! A node that leaves out half of what its file says looks like one that does it
//! all. So the start names what is set to something else than what is so anyway,
//! a line for each file, of the keys of its role.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::table::KEYS;
use super::{Config, Key, Origin, Role, Warning, known};

/// Keys of brokers that the original's servers act on, too.
const OF_SERVERS_THERE: [&str; 2] = ["plugin.choria.stats_address", "plugin.choria.stats_port"];

/// Whether somebody of `role` who sets `key` to `value` gets nothing for it.
fn is_unused(config: &Config, key: &str, value: &str) -> bool {
    match KEYS.iter().find(|row| row.name == key) {
        Some(row) if !has_effect(config, row) => false,
        Some(row) if row.concerns(config.role) => !row.is_used(),
        Some(row) => config.role == Role::Server && OF_SERVERS_THERE.contains(&row.name),
        None => known::is_unused(key, value, config.role),
    }
}

/// Whether its value is another than that which counts where nobody sets it.
fn has_effect(config: &Config, row: &Key) -> bool {
    // What they switch off is not there.
    if ["plugin.scout.agent_disabled", "plugin.choria.network.pprof_port"].contains(&row.name) {
        return false;
    }
    config.typed_text(row.name).is_some_and(|value| !value.eq_ignore_ascii_case(row.default))
}

/// What is told, a warning for each file.
pub(super) fn warnings(config: &Config) -> Vec<Warning> {
    let mut files: BTreeMap<PathBuf, Vec<(usize, String)>> = BTreeMap::new();
    for (key, (value, origin)) in &config.raw {
        let (file, line) = match origin {
            Origin::File { path, line } => (path.clone(), *line),
            Origin::Environment(name) => (PathBuf::from(*name), 0),
            Origin::Default | Origin::Derived(_) | Origin::Program => continue,
        };
        if is_unused(config, key, value) {
            let told = if line > 0 { format!("{key} (line {line})") } else { key.clone() };
            files.entry(file).or_default().push((line, told));
        }
    }
    let warning = |(file, mut keys): (PathBuf, Vec<(usize, String)>)| {
        keys.sort();
        let keys: Vec<String> = keys.into_iter().map(|(_, key)| key).collect();
        Warning { file, line: 0, text: format!("this version does not act on {}", keys.join(", ")) }
    };
    files.into_iter().map(warning).collect()
}

impl Config {
    /// Keys that are set and that this version does not act on.
    pub fn unused(&self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(|row| {
            row.concerns(self.role) && !row.is_used() && self.has(row.name) && has_effect(self, row)
        })
    }
}
