//! A manifest as people write it: what is in it that nobody reads, or that no node could fetch, is refused before
//! it is signed. Nodes pass over the one and leave the other to its own machine.

use serde_json::{Map, Value};

use super::manifest::{Manifest, ManifestError, Plugin};
use crate::core::machine::template::is_template;
use crate::core::machine::watchers::archive_address;
use crate::core::streams::governor::check_name;
use crate::core::text::meant;

/// What is read of a plugin, and `verify`, which is in manifests of the original.
const KNOWN: [&str; 10] = [
    "name",
    "source",
    "username",
    "password",
    "verify_checksum",
    "checksum",
    "match",
    "governor",
    "verify",
    "packed",
];
/// How machines are called that fetch plugins.
const OURS: &str = "mm_";
/// Names that the same have elsewhere.
const ELSEWHERE: [(&str, &str); 2] = [("matcher", "match"), ("matches", "match")];

impl Plugin {
    /// What is wrong with it, or would be on nodes.
    ///
    /// # Errors
    /// [`ManifestError::Plugin`].
    pub fn check_written(&self) -> Result<(), ManifestError> {
        self.check()?;
        let wrong = |text: String| Err(ManifestError::Plugin(self.name.clone(), text));
        if self.name.starts_with(OURS) {
            return wrong(format!(
                "has a name that begins with {OURS}, as those of machines that fetch plugins do"
            ));
        }
        if !is_template(&self.source) && archive_address(&self.source).is_err() {
            return wrong("has a source that is no http or https URL of a host".to_owned());
        }
        match check_name(&self.governor) {
            Err(e) if !self.governor.is_empty() => wrong(format!("has a governor that is none: {e}")),
            _ => Ok(()),
        }
    }
}

impl Manifest {
    /// Reads a list that somebody wrote.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn written(text: &[u8]) -> Result<Manifest, ManifestError> {
        let manifest = Manifest::parse(text)?;
        let members: Vec<Map<String, Value>> =
            serde_json::from_slice(text).map_err(|e| ManifestError::Document(e.to_string()))?;
        for (plugin, members) in manifest.plugins.iter().zip(&members) {
            if let Some(odd) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
                let lower = odd.to_lowercase();
                let hint = match ELSEWHERE.iter().find(|(other, _)| *other == lower) {
                    Some((_, name)) => format!(", did you mean {name}?"),
                    None => meant(&lower, KNOWN),
                };
                let text = format!("has {odd}, which nobody reads{hint}");
                return Err(ManifestError::Plugin(plugin.name.clone(), text));
            }
            plugin.check_written()?;
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_not_called_as_a_machine_of_another() {
        let plugin = |name: &str| Plugin {
            name: name.to_owned(),
            source: "http://h/t.tgz".to_owned(),
            checksum: "ab".repeat(32),
            verify_checksum: "ab".repeat(32),
            ..Plugin::default()
        };
        assert!(plugin("mm").check_written().is_ok() && plugin("mma").check_written().is_ok());
        assert!(plugin("mm_a").check_written().is_err_and(|e| e.to_string().contains("begins with mm_")));
    }

    #[test]
    fn what_nobody_reads_and_no_node_takes_is_not_signed() {
        let sum = "ab".repeat(32);
        let one = |source: &str, more: &str| {
            format!(
                "[{{\"name\":\"tool\",\"source\":\"{source}\",\"checksum\":\"{sum}\",\"verify_checksum\":\"{sum}\"{more}}}]"
            )
        };
        let good = "http://h/t.tgz";
        for (source, more) in [
            (good, ""),
            (good, ",\"verify\":\"x\",\"match\":\"true\",\"governor\":\"TOOLS\",\"packed\":7"),
            ("https://{{ lookup \\\"facts.h\\\" \\\"h\\\" }}/t.tgz", ""),
        ] {
            assert!(Manifest::written(one(source, more).as_bytes()).is_ok(), "{source} {more}");
        }
        for (source, more, why) in [
            (
                good,
                ",\"matcher\":\"false\"",
                "plugin 'tool' has matcher, which nobody reads, did you mean match?",
            ),
            (good, ",\"Match\":\"false\"", "did you mean match?"),
            (good, ",\"govenor\":\"G\"", "has govenor, which nobody reads, did you mean governor?"),
            (good, ",\"governor\":\"bad name!\"", "has a governor that is none: "),
            ("http://", "", "no http or https URL of a host"),
            ("http://h h/x", "", "no http or https URL of a host"),
        ] {
            let text = one(source, more);
            let told = Manifest::written(text.as_bytes()).unwrap_err().to_string();
            assert!(told.contains(why), "{text}: {told}");
            // a node goes on with the rest of the list
            assert!(Manifest::parse(text.as_bytes()).is_ok(), "{text}");
        }
    }
}
