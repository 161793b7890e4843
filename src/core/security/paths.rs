//! Which name this process has and where its files are (spec 01 §9).

use std::path::{Path, PathBuf};

use super::SecurityError;
use crate::core::config::{Config, Environment, Role};
use crate::core::files::Version;

/// The files of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Certificate, intermediates may follow it.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// CA certificates.
    pub ca: PathBuf,
    /// Revocation lists; `None` when nobody configured any and none was there
    /// at the start.
    pub crl: Option<PathBuf>,
    /// Where lists are usually put: the first revocation of a network makes the
    /// first list, long after the start.
    pub(super) usual_crl: Vec<PathBuf>,
}

/// See [`Files::trust_version`]. A file that cannot be looked at has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustVersion([Option<(PathBuf, Version)>; 2]);

impl Files {
    /// The revocation lists to read now: those known, else the first of the
    /// usual ones that has come meanwhile.
    pub fn crl_now(&self) -> Option<&Path> {
        // "Cannot be looked at" counts as there: reading it then fails and says so.
        let there = |path: &&PathBuf| path.try_exists().unwrap_or(true);
        self.crl.as_ref().or_else(|| self.usual_crl.iter().find(there)).map(PathBuf::as_path)
    }

    /// What tells one state of the CA file and the revocation lists from
    /// another: a list that comes or goes, a file written again or replaced by
    /// another of its name. For whoever watches them.
    pub fn trust_version(&self) -> TrustVersion {
        let of = |path: &Path| Some((path.to_path_buf(), Version::of(path).ok()?));
        TrustVersion([of(&self.ca), self.crl_now().and_then(of)])
    }

    /// With the list found now, or the configured one, which must then exist.
    fn with_crl(mut self, configured: &str) -> Files {
        self.crl = match configured {
            "" => self.crl_now().map(Path::to_path_buf),
            path => Some(PathBuf::from(path)),
        };
        self
    }
}

/// Suffix of client names, a build setting of the original.
const CLIENT_SUFFIX: &str = "mcollective";

/// A certificate name, and what it was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    /// The variable or setting, with its value where that is not the name.
    pub(super) origin: String,
}

impl Named {
    fn new(name: impl Into<String>, origin: &str) -> Named {
        Named { name: name.into(), origin: origin.to_owned() }
    }
}

/// The name of this process.
///
/// Servers and brokers are their `identity`, whoever runs them: the original's
/// file provider takes `$USER.mcollective` for a server that does not run as
/// root. `MCOLLECTIVE_CERTNAME` and a name given on the command line
/// (`chosen`) come first; for the file provider the variable wins over the
/// command line, for puppet it is the other way round, as in the original.
pub(super) fn certname(
    config: &Config,
    role: Role,
    env: &dyn Environment,
    chosen: Option<&str>,
) -> Result<Named, SecurityError> {
    let from_env = env.var("MCOLLECTIVE_CERTNAME");
    let file = config.security_provider == "file";
    let from_env = from_env.map(|name| Named::new(name, "MCOLLECTIVE_CERTNAME"));
    let chosen = chosen.map(|name| Named::new(name, "the command line"));
    let given = if file { from_env.or(chosen) } else { chosen.or(from_env) };
    let of_identity = || Named::new(config.identity.clone(), "identity");
    if let Some(name) = given {
        return Ok(name);
    }
    if role != Role::Client {
        return Ok(of_identity());
    }
    if file && env.euid() == 0 {
        return Ok(of_identity());
    }
    match env.user() {
        Some((user, origin)) => Ok(Named {
            name: format!("{user}.{CLIENT_SUFFIX}"),
            origin: match origin {
                "USER" | "LOGNAME" => format!("{origin}={user}"),
                other => other.to_owned(),
            },
        }),
        None if file => Ok(of_identity()),
        None => Err(SecurityError::Setting {
            provider: "puppet",
            setting: "USER",
            reason: "without it, LOGNAME and a line in the user database this client has no name; set it or \
                     MCOLLECTIVE_CERTNAME"
                .into(),
        }),
    }
}

/// Whether the name of [`certname`] was said, and is no guess: by
/// `MCOLLECTIVE_CERTNAME` or on a command line.
pub(super) fn is_chosen(env: &dyn Environment, chosen: Option<&str>) -> bool {
    chosen.is_some() || env.var("MCOLLECTIVE_CERTNAME").is_some()
}

/// The files of `certname` for the configured provider.
pub(super) fn files(config: &Config, env: &dyn Environment, certname: &str) -> Result<Files, SecurityError> {
    match config.security_provider.as_str() {
        "puppet" => puppet_files(config, env, certname),
        "file" => file_files(config),
        other => Err(SecurityError::Provider(other.to_string())),
    }
}

fn puppet_files(config: &Config, env: &dyn Environment, certname: &str) -> Result<Files, SecurityError> {
    let ssldir = ssldir(config, env)?;
    let file = format!("{certname}.pem");
    let ca = ssldir.join("certs").join("ca.pem");
    let files = Files {
        certificate: ssldir.join("certs").join(&file),
        key: ssldir.join("private_keys").join(&file),
        crl: None,
        // Puppet keeps its list one directory above the CA certificate.
        usual_crl: vec![ca.with_file_name("crl.pem"), ssldir.join("crl.pem")],
        ca,
    };
    Ok(files.with_crl(&config.security_crl))
}

fn ssldir(config: &Config, env: &dyn Environment) -> Result<PathBuf, SecurityError> {
    if !config.choria_ssldir.is_empty() {
        return Ok(PathBuf::from(&config.choria_ssldir));
    }
    let missing = |reason: &str| SecurityError::Setting {
        provider: "puppet",
        setting: "plugin.choria.ssldir",
        reason: reason.into(),
    };
    if env.euid() == 0 {
        let printed = env.puppet_setting("ssldir");
        return printed
            .map(PathBuf::from)
            .ok_or_else(|| missing("it is not set and `puppet apply --configprint ssldir` gave no answer"));
    }
    let home = env.home().ok_or_else(|| missing("neither it nor HOME is set"))?;
    Ok(home.join(".puppetlabs/etc/puppet/ssl"))
}

fn file_files(config: &Config) -> Result<Files, SecurityError> {
    let need = |setting: &'static str, value: &str| match value {
        "" => Err(SecurityError::Setting { provider: "file", setting, reason: "it is not set".into() }),
        path => Ok(PathBuf::from(path)),
    };
    let ca = need("plugin.security.file.ca", &config.security_file_ca)?;
    let files = Files {
        certificate: need("plugin.security.file.certificate", &config.security_file_certificate)?,
        key: need("plugin.security.file.key", &config.security_file_key)?,
        crl: None,
        usual_crl: vec![ca.with_file_name("crl.pem")],
        ca,
    };
    Ok(files.with_crl(&config.security_crl))
}
