//! FreeBSD's pkg.

use std::collections::BTreeMap;
use std::time::Duration;

use super::manager::Properties;
use super::update::Update;
use crate::core::agents::system::{Told, Tool};

/// What the original asks of all packages, here and in repositories.
const COLUMNS: &str = "%n\t%v\t%R";

/// Asks for a package.
pub(super) fn query(name: &str) -> Tool {
    Tool::new("pkg", ["query", "%n\t%v\t%q\t%o", name])
}

/// Reads what [`query`] is told.
pub(super) fn properties(name: &str, told: &Told) -> Properties {
    let none = |ensure: &str| Properties::none(name, ensure, "pkg");
    let found = told.output.lines().find_map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [package, version, arch, origin] = fields.as_slice() else { return None };
        (*package == name || *origin == name).then_some((*version, *arch))
    });
    match found {
        None => none("absent"),
        Some((version, arch)) => {
            Properties { version: Some(version.to_owned()), arch: Some(arch.to_owned()), ..none(version) }
        }
    }
}

/// Installs a package.
pub(super) fn install(name: &str, version: Option<&str>) -> Tool {
    match version {
        Some(version) => change("install", &format!("{name}-{version}")),
        None => change("install", name),
    }
}

/// Changes a package.
pub(super) fn change(verb: &str, name: &str) -> Tool {
    Tool::new("pkg", [verb, "-y", name]).env("ASSUME_ALWAYS_YES", "yes")
}

/// Packages whose version in a repository is another.
pub(super) async fn updates(limit: Duration) -> Result<(Told, Vec<Update>), String> {
    let installed = asked(Tool::new("pkg", ["query", "--all", COLUMNS]), limit).await?;
    let available = asked(Tool::new("pkg", ["rquery", "--all", "--no-repo-update", COLUMNS]), limit).await?;
    Ok(compared(&installed.output, &available.output))
}

async fn asked(tool: Tool, limit: Duration) -> Result<Told, String> {
    let told = tool.ask(limit).await?;
    if told.well() {
        return Ok(told);
    }
    Err(format!("{} failed, exit code was {}: {}", tool.shown(), told.code, told.complaint()))
}

/// As the original compares, with its words for people; a repository of another name is no update.
pub(super) fn compared(installed: &str, available: &str) -> (Told, Vec<Update>) {
    let read = |text: &str| -> BTreeMap<String, (String, String)> {
        let line = |line: &str| {
            let mut fields = line.split('\t').map(str::to_owned);
            Some((fields.next()?, (fields.next()?, fields.next()?)))
        };
        text.lines().filter_map(line).collect()
    };
    let (installed, available) = (read(installed), read(available));
    let mut told = Told::default();
    let mut updates = Vec::new();
    for (name, here) in &installed {
        let Some(there) = available.get(name).filter(|there| there.0 != here.0) else { continue };
        let package = format!("{name}-{}", here.0);
        told.output += &format!("{package:<34} <   needs updating (remote has {})\n", there.0);
        updates.push(Update::new(name, &there.0, &there.1));
    }
    (told, updates)
}
