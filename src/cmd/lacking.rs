//! What a person hears whose machine is not set up yet: what is missing, who says that it
//! should be there, and the command that makes it.

use std::io::ErrorKind;

use anyhow::anyhow;
use choria::core::config::{Config, ConfigError, Origin, Role};
use choria::core::security::SecurityError;

/// The command that makes configuration and certificate.
pub fn maker(role: Role) -> &'static str {
    match role {
        Role::Client => "'choria setup operator'",
        Role::Server => "'sudo choria setup node'",
        Role::Broker => "'sudo choria setup broker'",
    }
}

/// Keys that cannot be had, with the setting their path is from.
pub fn keys(error: SecurityError, config: &Config, role: Role) -> anyhow::Error {
    let SecurityError::File { what, path, .. } = &error else { return error.into() };
    if !matches!(path.try_exists(), Ok(false)) {
        return error.into();
    }
    let says = |key: &str| match config.origin(key) {
        Origin::Default => None,
        origin => Some(format!("{key} says ({origin})")),
    };
    let file = config.file().map_or("the configuration".to_owned(), |file| file.display().to_string());
    let by = match config.security_provider.as_str() {
        "file" => says(match *what {
            "certificate" => "plugin.security.file.certificate",
            "private key" => "plugin.security.file.key",
            _ => "plugin.security.file.ca",
        }),
        _ => says("plugin.choria.ssldir").or_else(|| says("plugin.security.provider")),
    };
    let by = by.map_or_else(
        || format!("where keys of Puppet are, as {file} does not set plugin.security.provider"),
        |by| format!("as {by}"),
    );
    anyhow!("there is no {what} {}, {by}: {} makes one", path.display(), maker(role))
}

/// A configuration that this user may not read.
pub fn rights(error: ConfigError, role: Role) -> anyhow::Error {
    let denied = matches!(&error, ConfigError::Unreadable { source, .. }
        if source.kind() == ErrorKind::PermissionDenied);
    match role {
        Role::Broker if denied => anyhow!(
            "{error}: a broker runs as the user choria, by systemctl start choria-broker or sudo -u choria"
        ),
        Role::Server if denied => {
            anyhow!("{error}: a node runs as root, by systemctl start choria-server or sudo")
        }
        _ => error.into(),
    }
}
