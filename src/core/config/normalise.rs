//! What is worked out once all files are read (spec 03 §1.5), and what is refused.

use std::time::Duration;

use super::{Config, ConfigError, Environment, Origin, Role, Warning};

/// Variables of the original that switch TLS or verification off.
const INSECURE: [&str; 3] = ["INSECURE_YES_REALLY", "INSECURE_ANON_TLS", "INSECURE_DISABLE_TLS"];

const ON_A_DAEMON: &str = "with it this process would act on requests nobody has signed; \
     remove it and give the process a certificate";
const ON_A_CLIENT: &str =
    "this version speaks to networks by certificate only, so it has nothing to switch off; unset it";

/// Refuses the variables that would switch verification off.
pub(super) fn refuse_insecure_environment(role: Role, env: &dyn Environment) -> Result<(), ConfigError> {
    let reason = if role == Role::Client { ON_A_CLIENT } else { ON_A_DAEMON };
    match INSECURE.into_iter().find(|name| env.var(name).as_deref() == Some("true")) {
        Some(setting) => Err(ConfigError::Insecure { setting, reason }),
        None => Ok(()),
    }
}

pub(super) fn normalise(config: &mut Config, env: &dyn Environment) -> Result<(), ConfigError> {
    refuse_insecure_settings(config)?;
    refuse_long_limits(config)?;
    collectives(config);
    identity(config, env)?;
    if config.settings.ttl < 30 {
        let text = format!("ttl is {}, requests need at least 30 seconds", config.settings.ttl);
        warn(config, "ttl", text);
    }
    Ok(())
}

fn refuse_insecure_settings(config: &mut Config) -> Result<(), ConfigError> {
    const SERVER: &str = "plugin.security.server_anon_tls";
    const CLIENT: &str = "plugin.security.client_anon_tls";
    let daemon = config.role != Role::Client;
    if config.settings.security_server_anon_tls {
        if daemon {
            return Err(ConfigError::Insecure { setting: SERVER, reason: ON_A_DAEMON });
        }
        warn(config, SERVER, format!("{SERVER} concerns servers and has no effect here"));
    }
    if config.settings.security_client_anon_tls {
        let reason = if daemon { ON_A_DAEMON } else { ON_A_CLIENT };
        return Err(ConfigError::Insecure { setting: CLIENT, reason });
    }
    Ok(())
}

fn refuse_long_limits(config: &Config) -> Result<(), ConfigError> {
    let limits: [(&'static str, Duration, u64); 3] = [
        ("plugin.choria.network.connect_timeout", config.choria_network_connect_timeout, 120),
        ("plugin.choria.network.tls_timeout", config.choria_network_tls_timeout, 60),
        ("plugin.choria.network.auth_timeout", config.choria_network_auth_timeout, 60),
    ];
    match limits.into_iter().find(|(_, value, limit)| *value > Duration::from_secs(*limit)) {
        Some((key, value, limit)) => Err(ConfigError::TooLong { key, seconds: value.as_secs(), limit }),
        None => Ok(()),
    }
}

fn collectives(config: &mut Config) {
    config.settings.collectives.retain(|name| !name.is_empty());
    if config.settings.collectives.is_empty() {
        let name = if config.settings.security_provider == "choria" { "choria" } else { "mcollective" };
        config.settings.collectives = vec![name.to_string()];
    }
    if config.settings.main_collective.is_empty() {
        config.settings.main_collective = config.settings.collectives.first().cloned().unwrap_or_default();
    }
    if config.settings.registration_collective.is_empty() {
        config.settings.registration_collective = config.settings.main_collective.clone();
    }
    if !config.settings.collectives.contains(&config.settings.main_collective) {
        let text = format!("main_collective {} is not one of the collectives", config.main_collective);
        warn(config, "main_collective", text);
    }
}

/// `identity` as configured, else the host name when it has two dots, else the
/// name of the first IPv4 address, else facter's, else the host name.
fn identity(config: &mut Config, env: &dyn Environment) -> Result<(), ConfigError> {
    if config.settings.identity.is_empty() {
        let hostname = env.hostname().unwrap_or_default();
        let by_dns = || env.name_by_dns(&hostname).filter(|name| !name.is_empty() && name != "localhost");
        let (identity, from) = if hostname.matches('.').count() >= 2 {
            (hostname, "host name")
        } else if let Some(name) = by_dns() {
            (name, "DNS")
        } else if let Some(name) = env.facter("networking.fqdn").filter(|name| !name.is_empty()) {
            (name, "facter")
        } else {
            (hostname, "host name")
        };
        if identity.is_empty() {
            let file = config.file.as_deref().map_or("the configuration".into(), |f| f.display().to_string());
            return Err(ConfigError::NoIdentity(file));
        }
        config.raw.insert("identity".into(), (identity.clone(), Origin::Derived(from)));
        config.settings.identity = identity;
    }
    let identity = &config.identity;
    if identity.chars().any(|c| c.is_whitespace() || c.is_control() || c == '*' || c == '>')
        || identity.split('.').any(str::is_empty)
    {
        return Err(ConfigError::BadIdentity(config.identity.clone()));
    }
    Ok(())
}

fn warn(config: &mut Config, key: &str, text: String) {
    let (file, line) = match config.origin(key) {
        Origin::File { path, line } => (path, line),
        other => (other.to_string().into(), 0),
    };
    config.warnings.push(Warning { file, line, text });
}
