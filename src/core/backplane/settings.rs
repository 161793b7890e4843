//! Settings of a backplane, in the original's keys (spec 05 §11): part of the service's own file.

use std::path::PathBuf;

use regex::Regex;
use serde::Deserialize;

use super::BackplaneError;
use crate::core::text::shortened;

/// Where the network is and who may do what. Keys nobody knows are ignored, as
/// by the original; `logfile` and `loglevel` are the service's business.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Name of the service, small letters and digits; its collective is `NAME_backplane`.
    pub name: String,
    /// Brokers, `host:port`; at least one.
    pub brokers: Vec<String>,
    /// Certificate, key and CA. The original does without security where this
    /// is absent; here it must be there, or given by the service.
    pub tls: Option<Tls>,
    /// Who may do what; nobody anything by default.
    pub auth: Auth,
}

/// Who may do what, by caller id such as `choria=bob.mcollective`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// Everybody may do everything.
    pub insecure: bool,
    /// Regular expressions of those who may do everything.
    pub full: Vec<String>,
    /// And of those who may ask for ping, info and health.
    pub read_only: Vec<String>,
}

/// How keys are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// As Puppet keeps them, below `ssl_dir`.
    Puppet,
    /// By the paths `cert`, `key` and `ca`.
    #[default]
    #[serde(alias = "manual")]
    File,
}

/// Where keys are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// Name in the certificate; default the host's.
    pub identity: String,
    /// How they are found; `file` and `manual` are one.
    pub scheme: Scheme,
    /// Directory of Puppet's.
    pub ssl_dir: PathBuf,
    /// CA certificates.
    pub ca: PathBuf,
    /// Certificate.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// [`Auth`], compiled.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    insecure: bool,
    full: Vec<Regex>,
    read_only: Vec<Regex>,
}

impl Rules {
    pub(super) fn new(auth: &Auth) -> Result<Rules, BackplaneError> {
        let compile = |list: &[String]| {
            let each = list.iter().map(|text| {
                // with or without the slashes people put around them
                let bare = text.strip_prefix('/').and_then(|text| text.strip_suffix('/')).unwrap_or(text);
                Regex::new(bare).map_err(|_| BackplaneError::Pattern(text.clone()))
            });
            each.collect::<Result<Vec<_>, _>>()
        };
        Ok(Rules {
            insecure: auth.insecure,
            full: compile(&auth.full)?,
            read_only: compile(&auth.read_only)?,
        })
    }

    /// Whether a caller may change something, or only look.
    pub(super) fn allow(&self, caller: &str, only_look: bool) -> bool {
        let any = |list: &[Regex]| list.iter().any(|pattern| pattern.is_match(caller));
        self.insecure || any(&self.full) || (only_look && any(&self.read_only))
    }
}

impl Settings {
    /// Collective of the service.
    pub fn collective(&self) -> String {
        format!("{}_backplane", self.name)
    }

    pub(super) fn check(&self) -> Result<(), BackplaneError> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(good) {
            return Err(BackplaneError::Name(shortened(&self.name, 64)));
        }
        if self.brokers.is_empty() {
            return Err(BackplaneError::NoBrokers);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_includes_reading() {
        let auth = Auth {
            insecure: false,
            full: vec!["^choria=ops".into(), "/=boss\\./".into()],
            read_only: vec!["^choria=.+\\.ro$".into()],
        };
        let rules = Rules::new(&auth).unwrap();
        for (caller, change, look) in [
            ("choria=ops.mcollective", true, true),
            ("choria=boss.mcollective", true, true),
            ("choria=x.ro", false, true),
            ("choria=x.rot", false, false),
            ("", false, false),
        ] {
            assert_eq!((rules.allow(caller, false), rules.allow(caller, true)), (change, look), "{caller}");
        }
        let nobody = Rules::new(&Auth::default()).unwrap();
        assert!(!nobody.allow("choria=ops.mcollective", true));
        let everybody = Rules::new(&Auth { insecure: true, ..Auth::default() }).unwrap();
        assert!(everybody.allow("anybody", false));
        let broken = Auth { full: vec!["(".into()], ..Auth::default() };
        assert!(Rules::new(&broken).unwrap_err().to_string().contains("\"(\""));
    }

    #[test]
    fn files_of_the_original_are_understood() {
        let text = r#"{"name":"prov","logfile":"x","brokers":["b1:4222"],"auth":{"full":["a"]},
            "tls":{"scheme":"manual","identity":"p1","ca":"/ca","cert":"/c","key":"/k","cache":"/x"}}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        settings.check().unwrap();
        assert_eq!(settings.collective(), "prov_backplane");
        assert_eq!(settings.tls.as_ref().unwrap().scheme, Scheme::File);
        for (name, brokers) in [("Prov", 1), ("a b", 1), ("", 1), ("a_b", 1), ("prov", 0)] {
            let settings =
                Settings { name: name.into(), brokers: vec!["b:1".into(); brokers], ..Settings::default() };
            assert!(settings.check().is_err(), "{name:?}");
        }
    }
}
