//! Reading the file, and what cannot be in it.

use std::path::{Path, PathBuf};

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{HelperMode, LEAST_INTERVAL, Settings};
use crate::core::connection::parse_hosts;
use crate::core::files::read_bounded;
use crate::core::provisioner::keys::unknown_keys;
use crate::core::provisioner::machines::machines;
use crate::core::text::documents;

/// Levels of the log.
const LEVELS: [&str; 5] = ["debug", "info", "warn", "error", "fatal"];
/// Most bytes of the file.
const MAX_FILE: u64 = 1024 * 1024;

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
            documents::toml(&text).map_err(malformed)?
        } else if text.trim().is_empty() {
            Value::Null
        } else {
            documents::yaml(&text).map_err(malformed)?
        };
        let value = match value {
            Value::Null => Value::Object(Default::default()),
            Value::Object(_) => lower_keys(value),
            _ => return Err(malformed("it holds no keys, write key: value lines".into())),
        };
        let mut told = unknown_keys(&value);
        let mut settings: Settings = serde_json::from_value(value.clone())
            .map_err(|e| malformed(format!("{}{}", culprit(&value), in_words(&e.to_string()))))?;
        if !LEVELS.contains(&settings.loglevel.as_str()) {
            told.push(format!(
                "loglevel: {:?} is not one of {}, it is info",
                settings.loglevel,
                LEVELS.join(", ")
            ));
            "info".clone_into(&mut settings.loglevel);
        }
        settings.check(file)?;
        if !settings.wants_jwt() && !settings.jwt_verify_cert.is_empty() {
            told.push("no token is verified by jwt_verify_cert, features has no jwt: true".to_owned());
        }
        let told = told.into_iter().map(|text| format!("{}: {text}", file.display())).collect();
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
}

/// Which key has the value that cannot be, as the beginning of a sentence: each is tried by
/// itself, for all of them have a default.
fn culprit(value: &Value) -> String {
    let alone = |(key, value): (&String, &Value)| {
        let only = Value::Object([(key.clone(), value.clone())].into_iter().collect());
        serde_json::from_value::<Settings>(only).is_err().then(|| format!("{key}: "))
    };
    value.as_object().and_then(|map| map.iter().find_map(alone)).unwrap_or_default()
}

/// What a reader of files says of a value, without names of this program's own types.
fn in_words(problem: &str) -> String {
    let numbers = ["usize", "u16", "u32", "u64", "i64"];
    let plain = numbers.iter().find_map(|kind| problem.strip_suffix(&format!("expected {kind}")));
    plain.map_or_else(|| problem.to_owned(), |before| format!("{before}expected a number"))
}

/// Compiles name lists: unanchored, slashes around one taken off.
///
/// # Errors
/// Which entry is no regular expression; the original lets such an entry match nothing.
pub fn patterns(list: &[String]) -> Result<Vec<Regex>, String> {
    compiled(list, false)
}

/// The same of names that are denied, in whatever case: some compare those of certificates
/// without.
pub fn denials(list: &[String]) -> Result<Vec<Regex>, String> {
    compiled(list, true)
}

fn compiled(list: &[String], any_case: bool) -> Result<Vec<Regex>, String> {
    let compile = |entry: &String| {
        let text = entry.strip_prefix('/').and_then(|text| text.strip_suffix('/')).unwrap_or(entry);
        let built = RegexBuilder::new(text).case_insensitive(any_case).build();
        built.map_err(|_| format!("has {entry:?}, which is no regular expression"))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let (_, told) = load("p.yaml", "jwt_verify_cert: /x\n").unwrap();
        assert!(
            told[0].ends_with("p.yaml: no token is verified by jwt_verify_cert, features has no jwt: true")
        );
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
            ("workers: many", "workers: invalid type: string \"many\", expected a number"),
            ("workers: -1", "workers: invalid value: integer `-1`, expected a number"),
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
        let (settings, told) = load("p.yaml", "loglevel: loud\n").unwrap();
        assert_eq!(settings.loglevel, "info");
        assert_eq!(
            told,
            ["DIR/p.yaml: loglevel: \"loud\" is not one of debug, info, warn, error, fatal, it is info"]
        );
        let (_, told) = load("p.yaml", "worker: 4\nrego_policy: x\nfeatures: {kpi: true}\n").unwrap();
        assert_eq!(
            told,
            [
                "DIR/p.yaml: there is no key worker, it is ignored, did you mean workers?",
                "DIR/p.yaml: rego_policy has no effect",
                "DIR/p.yaml: there is no key features.kpi, it is ignored"
            ]
        );
    }
}
