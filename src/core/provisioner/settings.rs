//! The provisioner's own file: YAML, JSON or TOML, with the original's keys and ours (spec 05 §5, 15).

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub use super::keys::KEYS;
use super::machines::Row;
use crate::core::backplane;
use crate::core::config::parse_duration;
use crate::core::text::Secret;

mod reading;

pub use reading::{SettingsError, denials, patterns};

/// Names that certificates are never given, unless told otherwise: those of callers.
const DENIED: [&str; 4] =
    [r"\.privileged.mcollective$", r"\.privileged.choria$", r"\.mcollective$", r"\.choria$"];
/// The original looks for nodes no more often.
const LEAST_INTERVAL: Duration = Duration::from_secs(60);

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
    /// Address of it, or a name with one.
    pub monitor_address: String,
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
            monitor_address: "127.0.0.1".into(),
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

    /// Settings that differ from those a running provisioner was started with, and
    /// count only from a start on.
    pub fn waits_for_a_start(&self, running: &Settings) -> Vec<&'static str> {
        let differs = [
            ("logfile", self.logfile != running.logfile),
            ("loglevel", self.loglevel != running.loglevel),
            ("state_dir", self.state_dir != running.state_dir),
            ("monitor_port", self.monitor_port != running.monitor_port),
            ("monitor_address", self.monitor_address != running.monitor_address),
            ("monitor_hosts", self.monitor_hosts != running.monitor_hosts),
            ("monitor_names", self.monitor_names != running.monitor_names),
            (
                "broker_provisioning_password",
                self.broker_provisioning_password.expose() != running.broker_provisioning_password.expose(),
            ),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// A text of others with what nobody may read taken out: whoever is shown the token may
    /// say it again, and logs and pages have their words.
    pub fn without_secrets(&self, text: &str) -> String {
        let secrets = [&self.token, &self.broker_provisioning_password];
        secrets.into_iter().fold(text.to_owned(), |text, secret| secret.taken_out_of(&text))
    }

    /// One-shot helpers at once.
    pub fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}
