//! The machine that has plugins managed, which every node has where that is asked for (spec 06 §10.3).

use std::time::Duration;

use crate::core::build;
use crate::core::machine::duration;

/// Its name.
pub const NAME: &str = "plugins_manager";

/// What is configured about it, below `plugin.machines`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managing {
    /// Bucket of the manifest.
    pub bucket: String,
    /// Its key there.
    pub key: String,
    /// Whether what is no longer on the list goes.
    pub purge: bool,
    /// How often the manifest is looked up.
    pub poll: Duration,
    /// How often each plugin is looked at.
    pub check: Duration,
}

impl Managing {
    /// Its text.
    pub fn text(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let time =
            |time: Duration| quoted(&duration::show(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)));
        let (bucket, key, poll, check) =
            (quoted(&self.bucket), quoted(&self.key), time(self.poll), time(self.check));
        let kv = |name: &str, state: &str, more: &str| {
            format!(
                "  - name: {name}\n    type: kv\n    interval: {poll}\n    state_match: [{state}]\n{more}    properties: \
                 {{bucket: {bucket}, key: {key}, mode: poll, bucket_prefix: false, on_successful_get: {get}}}\n",
                get = state == "INITIAL"
            )
        };
        format!(
            "name: {NAME}\nversion: {version}\ninitial_state: INITIAL\ntransitions:\n  - {{name: manage_plugins, from: \
             [INITIAL], destination: MANAGE}}\n  - {{name: maintenance, from: [MANAGE, INITIAL], destination: \
             MAINTENANCE}}\n  - {{name: resume, from: [MAINTENANCE], destination: INITIAL}}\nwatchers:\n{initial}{again}  \
             - name: manage_machines\n    type: plugins\n    interval: {poll}\n    state_match: [MANAGE]\n    properties: \
             {{data_item: {key}, purge_unknown: {purge}, plugin_manage_interval: {check}, manager_machine_prefix: mm}}\n",
            version = build::VERSION,
            initial = kv("initial_specification", "INITIAL", "    success_transition: manage_plugins\n"),
            again = kv("specification", "MANAGE", ""),
            purge = self.purge,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::machine::definition::compile;

    #[test]
    fn it_is_a_machine() {
        let managing = Managing {
            bucket: "CHORIA_PLUGINS".to_owned(),
            key: "plugins".to_owned(),
            purge: true,
            poll: Duration::from_secs(60),
            check: Duration::from_secs(30),
        };
        let compiled = compile(&managing.text())
            .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(&*compiled.expect("a machine").name, NAME);
    }
}
