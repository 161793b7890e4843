//! The database of rpm, that yum, dnf and zypper share.

use super::manager::Properties;
use crate::core::agents::system::{Told, Tool};

/// Asks for a package, a line an installed one.
pub(super) fn query(name: &str) -> Tool {
    let format = "%{NAME}\\t%|EPOCH?{%{EPOCH}}:{0}|\\t%{VERSION}\\t%{RELEASE}\\t%{ARCH}\\n";
    Tool::new("rpm", ["-q", "--qf", format, name])
}

/// Reads what [`query`] is told; `missing` says what a package is that is not there. Of
/// several versions the last counts, which is the newest.
pub(super) fn properties(
    name: &str,
    told: &Told,
    missing: &str,
    provider: &'static str,
) -> Result<Properties, String> {
    let found = told.output.lines().rev().find_map(|line| {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let [package, epoch, version, release, arch] = fields.as_slice() else { return None };
        let named = *package == name || format!("{package}.{arch}") == name;
        let before = if *epoch == "0" { String::new() } else { format!("{epoch}:") };
        named.then(|| Properties {
            ensure: format!("{before}{version}-{release}"),
            version: Some((*version).to_owned()),
            release: Some((*release).to_owned()),
            epoch: Some((*epoch).to_owned()),
            arch: Some((*arch).to_owned()),
            ..Properties::none(name, "", provider)
        })
    });
    match found {
        Some(found) => Ok(found),
        None if told.well() || told.all().contains("is not installed") => {
            Ok(Properties::none(name, missing, provider))
        }
        None => Err(format!("rpm: {}", told.complaint())),
    }
}
