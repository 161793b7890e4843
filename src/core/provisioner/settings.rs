//! The provisioner's own file: YAML, JSON or TOML, with the original's keys and ours (spec 05 §5, 15).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

pub use super::keys::KEYS;
use super::keys::unknown_keys;
use super::machines::{Row, machines};

use crate::core::backplane;
use crate::core::config::parse_duration;
use crate::core::connection::parse_hosts;
use crate::core::files::read_bounded;
use crate::core::nats::connect::Secret;

/// Most bytes of the file.
const MAX_FILE: u64 = 1024 * 1024;
/// Names that certificates are never given, unless told otherwise: those of callers.
const DENIED: [&str; 4] =
    [r"\.privileged.mcollective$", r"\.privileged.choria$", r"\.mcollective$", r"\.choria$"];
/// The original looks for nodes no more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(60);

/// The file is not usable.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// It is not YAML, JSON or TOML, or a value has the wrong type.
    #[error("{}: {reason}", .file.display())]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A value that cannot be.
    #[error("{}: {key} {problem}", .file.display())]
    Value {
        /// Which file.
        file: PathBuf,
        /// Which key.
        key: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// Parts of the walk that can be switched.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Features {
    /// Fetch a certificate request; by default only without a `helper`.
    pub pki: Option<bool>,
    /// Fetch the provisioning token and verify it.
    pub jwt: bool,
    /// Issue server tokens; includes `jwt` and excludes `pki`.
    pub ed25519: bool,
    /// Heed `upgrade` of a helper.
    pub upgrades: bool,
}

/// How helpers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HelperMode {
    /// One process a node.
    Oneshot,
    /// Processes that stay, JSON lines.
    Stream,
    /// A web service.
    Http,
    /// Our own CA and a template.
    Builtin,
}

/// What the file says. `Debug` shows no secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// One-shot helpers that run at once; 0: as many as there are processors.
    pub workers: usize,
    /// Time between discoveries.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// Log file, or `stdout`, `stderr`, `discard`.
    pub logfile: String,
    /// `debug`, `info`, `warn`, `error`.
    pub loglevel: String,
    /// Command line of the helper, quoted as for a shell.
    pub helper: String,
    /// How it is asked; by default `oneshot` with `helper`, `http` with `helper_url`, else `builtin`.
    pub helper_mode: Option<HelperMode>,
    /// How long it may take for one node.
    #[serde(deserialize_with = "duration")]
    pub helper_timeout: Duration,
    /// Processes of a `stream` helper.
    pub helper_processes: usize,
    /// Address of an `http` helper.
    pub helper_url: String,
    /// File with a bearer token for it.
    pub helper_token_file: PathBuf,
    /// CA certificates of its web service; by default those of the system.
    pub helper_ca: PathBuf,
    /// Leave the access token out of what helpers are told.
    pub helper_redact_token: bool,
    /// Brokers nodes are told of, `host:port`; by default those of the client configuration.
    pub brokers: Vec<String>,
    /// Template of the `builtin` helper.
    pub template: PathBuf,
    /// Directory of the `builtin` helper's CA; made when missing. Default `ca` in `state_dir`.
    pub ca_dir: PathBuf,
    /// How long its certificates are valid.
    #[serde(deserialize_with = "duration")]
    pub cert_validity: Duration,
    /// Journal and status socket.
    pub state_dir: PathBuf,
    /// Nodes in work at once.
    pub max_inflight: usize,
    /// Shown to every agent.
    #[serde(deserialize_with = "secret")]
    pub token: Secret,
    /// Component in startup events of waiting nodes.
    pub lifecycle_component: String,
    /// A network without message security: requests are not signed.
    pub choria_insecure: bool,
    /// Label of every metric.
    pub site: String,
    /// Port of metrics and status page; 0: none.
    pub monitor_port: u16,
    /// Address of it.
    pub monitor_address: std::net::IpAddr,
    /// Names of this machine by which its programs may ask for names of nodes.
    pub monitor_hosts: Vec<String>,
    /// Whether they see names of nodes at all.
    pub monitor_names: bool,
    /// Password of broker user `provisioner`.
    #[serde(deserialize_with = "secret")]
    pub broker_provisioning_password: Secret,
    /// Names that are never signed, regular expressions.
    pub cert_deny_list: Vec<String>,
    /// Names that may be provisioned, regular expressions; none: all.
    pub identity_allow: Vec<String>,
    /// Which machine has a name, by name; others of that name are left alone.
    pub machines: Vec<Row>,
    /// Key of provisioning tokens: file or hex.
    pub jwt_verify_cert: String,
    /// Key that signs server tokens.
    pub jwt_signing_key: PathBuf,
    /// Token of whoever signs.
    pub jwt_signing_token: PathBuf,
    /// How long server tokens are valid.
    #[serde(deserialize_with = "duration")]
    pub server_jwt_validity: Duration,
    /// Elect one of many provisioners; needs Streams.
    pub leader_election: bool,
    /// Where releases are.
    pub upgrades_repository: String,
    /// Provision although an upgrade failed.
    pub upgrades_optional: bool,
    /// Write `plugin.choria.server.provision=false` where an answer forgets it; else refuse.
    pub inject_provision_disabled: bool,
    /// The backplane: looked at, paused and resumed from afar; none without.
    pub management: Option<backplane::Settings>,
    /// Parts of the walk.
    pub features: Features,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 0,
            interval: LEAST_INTERVAL,
            logfile: "stdout".into(),
            loglevel: "info".into(),
            helper: String::new(),
            helper_mode: None,
            helper_timeout: Duration::from_secs(10),
            helper_processes: 1,
            helper_url: String::new(),
            helper_token_file: PathBuf::new(),
            helper_ca: PathBuf::new(),
            helper_redact_token: false,
            brokers: vec![],
            template: PathBuf::new(),
            ca_dir: PathBuf::new(),
            cert_validity: Duration::from_secs(365 * 86_400),
            state_dir: "/var/lib/choria-provisioner".into(),
            max_inflight: 512,
            token: Secret::default(),
            lifecycle_component: crate::core::provisioning::COMPONENT.into(),
            choria_insecure: false,
            site: String::new(),
            monitor_port: 0,
            monitor_address: std::net::Ipv4Addr::LOCALHOST.into(),
            monitor_hosts: vec![],
            monitor_names: true,
            broker_provisioning_password: Secret::default(),
            cert_deny_list: DENIED.map(str::to_owned).into(),
            identity_allow: vec![],
            machines: vec![],
            jwt_verify_cert: String::new(),
            jwt_signing_key: PathBuf::new(),
            jwt_signing_token: PathBuf::new(),
            server_jwt_validity: Duration::from_secs(365 * 86_400),
            leader_election: false,
            upgrades_repository: String::new(),
            upgrades_optional: false,
            inject_provision_disabled: true,
            management: None,
            features: Features::default(),
        }
    }
}

impl Settings {
    /// Reads a file; also returns what its author should know.
    ///
    /// # Errors
    /// [`SettingsError`]. Unknown keys are told, not refused, as the original ignores them.
    pub fn load(file: &Path) -> Result<(Settings, Vec<String>), SettingsError> {
        let text = read_bounded(file, MAX_FILE)?;
        let text = String::from_utf8_lossy(&text);
        let malformed = |reason: String| SettingsError::Malformed { file: file.to_owned(), reason };
        let value: Value = if file.extension().is_some_and(|e| e == "toml") {
            toml::from_str(&text).map_err(|e| malformed(e.to_string()))?
        } else if text.trim().is_empty() {
            Value::Null
        } else {
            serde_saphyr::from_str(&text).map_err(|e| malformed(e.to_string()))?
        };
        let value = match value {
            Value::Null => Value::Object(Default::default()),
            Value::Object(_) => lower_keys(value),
            _ => return Err(malformed("it holds no keys, write key: value lines".into())),
        };
        let told = unknown_keys(&value);
        let told = told.into_iter().map(|text| format!("{}: {text}", file.display())).collect();
        let settings: Settings = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        settings.check(file)?;
        Ok((settings, told))
    }

    fn check(&self, file: &Path) -> Result<(), SettingsError> {
        let problem = |key, problem: &str| {
            Err(SettingsError::Value { file: file.to_owned(), key, problem: problem.to_owned() })
        };
        if self.interval < LEAST_INTERVAL {
            return problem("interval", "is below 1m");
        }
        if self.token.expose().len() > 128 {
            return problem("token", "is longer than 128 characters");
        }
        if self.lifecycle_component.is_empty() || self.lifecycle_component.contains(['.', '*', '>', ' ']) {
            return problem("lifecycle_component", "must be one word without . * and >");
        }
        if self.max_inflight == 0 || self.max_inflight > 10_000 {
            return problem("max_inflight", "must be between 1 and 10000");
        }
        if !(1..=64).contains(&self.helper_processes) {
            return problem("helper_processes", "must be between 1 and 64");
        }
        if self.helper_timeout.is_zero() {
            return problem("helper_timeout", "must be longer than 0");
        }
        if let Err(error) = parse_hosts(&self.brokers) {
            return problem("brokers", &format!("has a mistake: {error}"));
        }
        for (key, list) in
            [("cert_deny_list", &self.cert_deny_list), ("identity_allow", &self.identity_allow)]
        {
            if let Err(text) = patterns(list) {
                return problem(key, &text);
            }
        }
        if let Err(text) = machines(&self.machines, self.wants_jwt()) {
            return problem("machines", &text);
        }
        if self.features.ed25519 && self.features.pki == Some(true) {
            return problem("features", "cannot have both pki and ed25519");
        }
        if self.features.ed25519 && self.jwt_signing_key.as_os_str().is_empty() {
            return problem("jwt_signing_key", "is needed for features.ed25519");
        }
        if self.wants_jwt() && self.jwt_verify_cert.is_empty() {
            return problem("jwt_verify_cert", "is needed for features.jwt and features.ed25519");
        }
        if self.features.upgrades && self.upgrades_repository.is_empty() && !self.upgrades_optional {
            return problem("upgrades_repository", "is needed for features.upgrades");
        }
        if self.leader_election {
            return problem(
                "leader_election",
                "needs Streams, which this version does not have; provisioners share a fleet without it",
            );
        }
        match self.mode() {
            HelperMode::Oneshot | HelperMode::Stream if self.helper.trim().is_empty() => {
                problem("helper", "is needed for this helper_mode")
            }
            HelperMode::Http if self.helper_url.is_empty() => {
                problem("helper_url", "is needed for helper_mode http")
            }
            HelperMode::Builtin if self.features.ed25519 => {
                problem("features.ed25519", "needs a helper, the built-in one makes certificates")
            }
            _ => Ok(()),
        }
    }

    /// How the helper is asked.
    pub fn mode(&self) -> HelperMode {
        self.helper_mode.unwrap_or(if !self.helper.trim().is_empty() {
            HelperMode::Oneshot
        } else if !self.helper_url.is_empty() {
            HelperMode::Http
        } else {
            HelperMode::Builtin
        })
    }

    /// Whether certificate requests are fetched.
    pub fn wants_pki(&self) -> bool {
        self.features.pki.unwrap_or(self.mode() == HelperMode::Builtin)
    }

    /// Whether provisioning tokens are fetched.
    pub fn wants_jwt(&self) -> bool {
        self.features.jwt || self.features.ed25519
    }

    /// Where the built-in CA is.
    pub fn ca_dir(&self) -> PathBuf {
        match self.ca_dir.as_os_str().is_empty() {
            true => self.state_dir.join("ca"),
            false => self.ca_dir.clone(),
        }
    }

    /// One-shot helpers at once.
    pub fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

/// Compiles name lists: unanchored, slashes around one taken off.
///
/// # Errors
/// Which entry is no regular expression; the original lets such an entry match nothing.
pub fn patterns(list: &[String]) -> Result<Vec<regex::Regex>, String> {
    let compile = |entry: &String| {
        let text = entry.strip_prefix('/').and_then(|text| text.strip_suffix('/')).unwrap_or(entry);
        regex::Regex::new(text).map_err(|_| format!("has {entry:?}, which is no regular expression"))
    };
    list.iter().map(compile).collect()
}

fn lower_keys(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key.to_lowercase(), lower_keys(value))).collect()
        }
        other => other,
    }
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, text: &str) -> Result<(Settings, Vec<String>), String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let shortened = |text: String| text.replace(&dir.path().display().to_string(), "DIR");
        Settings::load(&file)
            .map(|(settings, told)| (settings, told.into_iter().map(shortened).collect()))
            .map_err(|e| shortened(e.to_string()))
    }

    #[test]
    fn a_file_of_the_original_is_understood() {
        let text = "workers: 4\ninterval: 2m\nhelper: /usr/bin/helper --site 'a b'\nTOKEN: toomanysecrets\n\
                    site: testsite\nmonitor_port: 9999\nlifecycle_component: provision_mode_server\n\
                    cert_deny_list: ['\\.mcollective$']\njwt_verify_cert: /x\nfeatures:\n  PKI: true\n  jwt: true\n";
        let (settings, told) = load("p.yaml", text).unwrap();
        assert_eq!(told, Vec::<String>::new());
        assert_eq!((settings.workers(), settings.interval), (4, Duration::from_secs(120)));
        assert_eq!((settings.token.expose(), settings.mode()), ("toomanysecrets", HelperMode::Oneshot));
        assert!(settings.wants_pki() && settings.wants_jwt() && !settings.features.ed25519);
        assert!(!format!("{settings:?}").contains("toomanysecrets"));
        let json = r#"{"workers":4,"features":{"pki":true}}"#;
        assert_eq!(load("p.json", json).unwrap().0.workers, 4);
        let toml = "interval = \"90s\"\n[features]\njwt = false\n";
        assert_eq!(load("p.toml", toml).unwrap().0.interval, Duration::from_secs(90));
        let (nothing, _) = load("p.yaml", "").unwrap();
        assert_eq!((nothing.mode(), nothing.wants_pki()), (HelperMode::Builtin, true));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, problem) in [
            ("interval: 10s", "DIR/p.yaml: interval is below 1m"),
            ("interval: 60", "expected a string"),
            ("workers: many", "expected usize"),
            ("cert_deny_list: ['(']", "cert_deny_list has \"(\", which is no regular expression"),
            ("cert_deny_list:", "invalid type: null, expected a sequence"),
            ("cert_deny_list: none", "expected a sequence"),
            ("cert_deny_list: {a: b}", "expected a sequence"),
            ("features: {jwt: on please}", "expected a boolean"),
            ("monitor_names: maybe", "expected a boolean"),
            ("choria_insecure: nope", "expected a boolean"),
            ("features: {ed25519: true}", "jwt_signing_key is needed"),
            ("features: {jwt: true}", "jwt_verify_cert is needed"),
            ("features: {pki: true, ed25519: true}", "cannot have both pki and ed25519"),
            ("leader_election: true", "needs Streams"),
            ("machines: [{identity: n1}]", "machines has a row for \"n1\" that says neither facts nor"),
            ("lifecycle_component: a.b", "must be one word"),
            ("helper_mode: magic", "unknown variant `magic`"),
            ("helper_mode: stream", "helper is needed for this helper_mode"),
            ("- a\n- b", "it holds no keys"),
            ("a: [", "p.yaml"),
        ] {
            let error = load("p.yaml", text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
        let (_, told) = load("p.yaml", "worker: 4\nrego_policy: x\nfeatures: {kpi: true}\n").unwrap();
        assert_eq!(
            told,
            [
                "DIR/p.yaml: there is no key worker, it is ignored",
                "DIR/p.yaml: rego_policy has no effect",
                "DIR/p.yaml: there is no key features.kpi, it is ignored"
            ]
        );
    }
}
