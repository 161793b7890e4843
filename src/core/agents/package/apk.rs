//! Alpine's apk.

use super::manager::Properties;
use super::update::Update;
use crate::core::agents::system::{Told, Tool};

/// Asks for a package.
pub(super) fn query(name: &str) -> Tool {
    Tool::new("apk", ["list", "--installed", name])
}

/// Reads what [`query`] is told: `NAME-VERSION-rRELEASE ARCH {ORIGIN} (LICENCE) [installed]`.
pub(super) fn properties(name: &str, told: &Told) -> Properties {
    let found = told.output.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (package, arch) = (words.next()?, words.next()?);
        let (named, version) = split(package)?;
        (named == name && line.ends_with(']')).then_some((version, arch))
    });
    let none = |ensure: &str| Properties::none(name, ensure, "apk");
    match found {
        None => none("absent"),
        Some((ensure, arch)) => {
            let (version, release) = ensure.rsplit_once("-r").map_or((ensure, None), |(v, r)| (v, Some(r)));
            Properties {
                version: Some(version.to_owned()),
                release: release.map(str::to_owned),
                arch: Some(arch.to_owned()),
                ..none(ensure)
            }
        }
    }
}

/// Name and version: the version begins at the last dash but one, `-rN` being the last.
fn split(package: &str) -> Option<(&str, &str)> {
    let (before, _) = package.rsplit_once("-r")?;
    let (name, _) = before.rsplit_once('-')?;
    Some((name, package.get(name.len() + 1..)?))
}

/// Installs a package.
pub(super) fn install(name: &str, version: Option<&str>) -> Tool {
    let wanted = version.map_or_else(|| name.to_owned(), |version| format!("{name}={version}"));
    Tool::new("apk", ["add", "--no-progress", &wanted])
}

/// Updates a package.
pub(super) fn update(name: &str) -> Tool {
    Tool::new("apk", ["add", "--no-progress", "--upgrade", name])
}

/// Removes a package.
pub(super) fn remove(name: &str) -> Tool {
    Tool::new("apk", ["del", "--no-progress", name])
}

/// Packages in what `version` says: `NAME-VERSION < VERSION`.
pub(super) fn updates(said: &str) -> Vec<Update> {
    let update = |line: &str| {
        let (package, version) = line.split_once('<')?;
        let (name, _) = split(package.trim())?;
        Some(Update::new(name, version.trim(), ""))
    };
    said.lines().filter_map(update).collect()
}
