//! Keys of the provisioner's file: for its documentation, and to tell of those that do not exist.

use serde_json::Value;

use crate::core::text::meant;

/// Every key of the file, in the order of the documentation.
pub const KEYS: [(&str, &str); 47] = [
    ("workers", "one-shot helpers that run at once; default 0: one a processor"),
    ("interval", "time between discoveries, at least and by default 1m"),
    ("logfile", "log file, or stdout, stderr, discard; default stdout"),
    ("loglevel", "debug, info, warn or error; default info"),
    ("helper", "command line of the helper, quoted as for a shell; default none"),
    ("helper_mode", "oneshot, stream, http or builtin; by default what the other keys suggest"),
    ("helper_timeout", "how long the helper may take for one node; default 10s"),
    ("helper_processes", "processes of a stream helper; default 1"),
    ("helper_url", "address of an http helper; default none"),
    ("helper_token_file", "file with a bearer token for it; default none"),
    ("helper_ca", "CA certificates of an https helper; default those of the system"),
    ("helper_redact_token", "leave the access token out of what helpers are told; default false"),
    ("brokers", "brokers the builtin helper tells nodes of; default those of the client configuration"),
    ("template", "template of the builtin helper; default none: every node gets the same"),
    ("ca_dir", "CA of the builtin helper, made when missing; default ca in state_dir"),
    ("cert_validity", "how long its certificates are valid; default 365d"),
    ("state_dir", "journal and status socket, of one provisioner; default /var/lib/choria-provisioner"),
    ("max_inflight", "nodes in work at once; default 512"),
    ("token", "access token, shown to every agent; default none"),
    ("lifecycle_component", "component in startup events of waiting nodes; default provision_mode_server"),
    ("choria_insecure", "a network without message security: requests are not signed; default false"),
    ("site", "label of every metric; default empty"),
    ("monitor_port", "port of metrics and status page; default 0: none"),
    ("monitor_address", "address of it; default 127.0.0.1"),
    (
        "monitor_hosts",
        "names of this machine by which programs on it may ask for names of nodes, beside localhost and addresses; default none",
    ),
    (
        "monitor_names",
        "whether they see names of nodes at all, default true; false where a proxy on this machine asks for others and does not say so",
    ),
    ("broker_provisioning_password", "password of broker user provisioner; default none"),
    (
        "cert_deny_list",
        "names that are never signed, regular expressions; default those of operators, which end in .mcollective or .choria",
    ),
    ("identity_allow", "names that may be provisioned, regular expressions; default none: all"),
    (
        "machines",
        "which machine has a name: rows of identity, facts (a list of NAME=VALUE), token_id; default none",
    ),
    ("jwt_verify_cert", "key of provisioning tokens: a file, or 64 hex digits; default none"),
    ("jwt_signing_key", "key that signs server tokens; default none"),
    ("jwt_signing_token", "token of whoever signs them; default none"),
    ("server_jwt_validity", "how long server tokens are valid; default 365d"),
    ("leader_election", "elect one of many provisioners, which needs a broker with streams; default false"),
    ("upgrades_repository", "address of the repository of releases; default none"),
    ("upgrades_optional", "provision although an upgrade failed; default false"),
    (
        "inject_provision_disabled",
        "write plugin.choria.server.provision=false where an answer forgets it; default true",
    ),
    ("management.name", "backplane: its collective is NAME_backplane; default no backplane"),
    ("management.brokers", "backplane: brokers, host:port; the collective is on these; default none"),
    ("management.auth.full", "backplane: callers who may do everything, regular expressions; default nobody"),
    ("management.auth.read_only", "backplane: callers who may look; default nobody"),
    (
        "management.tls",
        "backplane: identity, scheme, ca, cert, key, ssl_dir; default those of the client configuration",
    ),
    ("features.pki", "fetch certificate requests; default without helper"),
    ("features.jwt", "fetch provisioning tokens and verify them; default false"),
    ("features.ed25519", "issue server tokens; includes jwt, excludes pki; default false"),
    ("features.upgrades", "heed upgrade of a helper; default false"),
];
/// Keys of the original that do nothing, there or here.
const IDLE: [&str; 2] = ["broker_port", "rego_policy"];

/// Keys that have no effect, or are not there.
pub(super) fn unknown_keys(value: &Value) -> Vec<String> {
    let mut told = vec![];
    let Some(map) = value.as_object() else { return told };
    for key in map.keys() {
        let known = |name: &str| name == key || name.split_once('.').is_some_and(|(table, _)| table == key);
        if IDLE.contains(&key.as_str()) {
            told.push(format!("{key} has no effect"));
        } else if !KEYS.iter().any(|(name, _)| known(name)) {
            let known = KEYS.iter().map(|(name, _)| name.split_once('.').map_or(*name, |(table, _)| table));
            told.push(format!("there is no key {key}, it is ignored{}", meant(key, known)));
        }
    }
    if let Some(Value::Object(features)) = map.get("features") {
        for key in
            features.keys().filter(|key| !KEYS.iter().any(|(name, _)| *name == format!("features.{key}")))
        {
            told.push(format!("there is no key features.{key}, it is ignored"));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::KEYS;

    #[test]
    fn every_key_tells_its_default() {
        for (name, text) in KEYS {
            assert!(text.contains("default"), "{name}: {text}");
        }
    }
}
