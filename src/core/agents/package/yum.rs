//! yum and dnf, whose words are the same.

use super::manager::Manager;
use super::update::Update;
use crate::core::agents::system::Tool;

/// Installs a package.
pub(super) fn install(manager: Manager, name: &str, version: Option<&str>) -> Tool {
    let wanted = version.map_or_else(|| name.to_owned(), |version| format!("{name}-{version}"));
    change(manager, "install", &wanted)
}

/// Changes a package.
pub(super) fn change(manager: Manager, verb: &str, name: &str) -> Tool {
    Tool::new(manager.name(), ["-y", "-q", verb, name])
}

/// Throws away what it keeps.
pub(super) fn clean(manager: Manager, mode: &str) -> Result<Tool, String> {
    let modes = ["all", "headers", "packages", "metadata", "dbcache", "plugins", "expire-cache"];
    if !modes.contains(&mode) {
        return Err(format!("Unsupported yum clean mode: {mode}"));
    }
    Ok(Tool::new(manager.name(), ["clean", mode]))
}

/// Packages in what check-update says, up to those that replace others.
pub(super) fn updates(said: &str) -> Vec<Update> {
    let lines = said.trim().lines();
    let lines = lines.take_while(|line| !line.to_ascii_lowercase().starts_with("obsoleting packages"));
    let update = |line: &str| {
        let mut words = line.split_whitespace();
        let (package, version, repo) = (words.next()?, words.next()?, words.next()?);
        Some(Update::new(package, version, repo))
    };
    lines.filter_map(update).collect()
}

/// Names in what `list` says: lines of name and architecture, version, repository.
pub(super) fn names(said: &str) -> Vec<String> {
    let name = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [package, _, _] = words.as_slice() else { return None };
        Some(package.rsplit_once('.')?.0.to_owned())
    };
    said.lines().filter_map(name).collect()
}
