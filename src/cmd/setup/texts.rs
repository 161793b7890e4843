//! The files that packages bring, as they are before and after somebody's network is
//! written into them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use choria::core::build;
use choria::core::config::{Config, Role, System};
use choria::core::files::read_bounded;
use choria::core::provisioning::{Decision, Found as Has, JwtResolver, Setup, TargetResolver as _, decide};
use choria::core::security::{Certificate, Provider, pem};

use crate::cmd::tool::place::Place;

pub const BROKER: &str = include_str!("../../../packaging/config/broker.conf");
const SERVER: &str = include_str!("../../../packaging/config/server.conf");
/// What tells a node that was set up from one that waits to be provisioned.
const CONFIGURED: &str = "
# It was set up: a provisioning token that is found here changes nothing.
plugin.choria.server.provision = false
";
const CLIENT: &str = include_str!("../../../packaging/config/client.conf");
/// Files beside them that a node reads, with their modes.
pub const OF_NODES: [(&str, &str); 7] = [
    ("policies/rpcutil.policy", include_str!("../../../packaging/config/policies/rpcutil.policy")),
    ("policies/choria_util.policy", include_str!("../../../packaging/config/policies/choria_util.policy")),
    ("policies/package.policy", include_str!("../../../packaging/config/policies/package.policy")),
    ("policies/service.policy", include_str!("../../../packaging/config/policies/service.policy")),
    ("policies/puppet.policy", include_str!("../../../packaging/config/policies/puppet.policy")),
    ("facts.yaml", include_str!("../../../packaging/config/facts.yaml")),
    ("classes.txt", include_str!("../../../packaging/config/classes.txt")),
];

/// What stands in samples where a network's own words go.
const SAMPLE_BROKER: &str = "choria.example.net:4222";
const SAMPLE_IDENTITY: &str = "# identity = node.example.net";
const SAMPLE_TLS: &str = "/etc/choria/tls/";

/// Longest configuration that is looked at, in bytes.
const MAX: u64 = 1 << 20;

/// The configuration of a node, and of what it was made.
pub fn server(identity: &str, broker: &str, tls: &Path) -> (&'static str, String) {
    let text = SERVER
        .replace(SAMPLE_IDENTITY, &format!("identity = {identity}"))
        .replace(SAMPLE_BROKER, broker)
        .replace(SAMPLE_TLS, &format!("{}/", tls.display()));
    (SERVER, text + CONFIGURED)
}

/// The configuration of those who ask, and of what it was made.
pub fn client(broker: &str) -> (&'static str, String) {
    (CLIENT, CLIENT.replace(SAMPLE_BROKER, broker))
}

/// What is at the place of a file that is to be written.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or what a package brought: to be written.
    Free {
        /// What the package brought.
        before: Option<String>,
    },
    /// What would be written.
    Ours,
    /// What somebody has made of it.
    Changed,
}

/// Looks at the place of a file that is to be `wanted`, and came as `sample`.
pub fn look(path: &Path, sample: &str, wanted: &str) -> anyhow::Result<Found> {
    let text = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Free { before: None }),
        _ => read_bounded(path, MAX)?,
    };
    Ok(if text == wanted.as_bytes() {
        Found::Ours
    } else if text == sample.as_bytes() {
        Found::Free { before: Some(sample.to_owned()) }
    } else {
        Found::Changed
    })
}

/// That a configuration which somebody has changed says what is needed: the broker's
/// address, and this name where it is a node's.
pub fn agrees(
    role: Role,
    path: &Path,
    broker: &str,
    identity: Option<&str>,
    place: &Place,
) -> anyhow::Result<()> {
    let config = Config::load(role, Some(path), &System)?;
    let again = "or move it away, and say this again";
    if !names(&config, broker) {
        bail!(
            "{} has been changed and stays: have it say plugin.choria.middleware_hosts = {broker}, {again}",
            path.display()
        );
    }
    match identity {
        Some(identity) if config.identity != identity => bail!(
            "{} has been changed and stays: have it say identity = {identity} (it makes this machine {}), {again}",
            path.display(),
            config.identity
        ),
        _ => leads_to_keys(role, &config, path, place)?,
    }
    let Some(identity) = identity else { return Ok(()) };
    is_of(role, &config, path, place, identity)?;
    if waits(&config) {
        bail!(
            "{} has been changed and stays, and a node that finds a provisioning token throws it away: have it say \
             plugin.choria.server.provision = false, {again}",
            path.display()
        );
    }
    Ok(())
}

/// Whether a node of this configuration has itself provisioned.
fn waits(config: &Config) -> bool {
    let mut setup = Setup::of_build(&build::profile().provisioning);
    let _ = JwtResolver.configure(&mut setup);
    let said = config.has("plugin.choria.server.provision").then_some(config.choria_server_provision);
    decide(Has::Configuration(said), &setup) == Decision::Wait
}

/// That other keys, where a configuration which stays leads to those, are of whom the new ones are:
/// nobody would look at these.
pub fn is_of(role: Role, config: &Config, path: &Path, place: &Place, name: &str) -> anyhow::Result<()> {
    let named = match config.security_provider.as_str() {
        "file" => PathBuf::from(&config.security_file_certificate),
        _ => Provider::new(config, role, &System)?.files().certificate.clone(),
    };
    if named == place.certificate() {
        return Ok(());
    }
    let text = read_bounded(&named, MAX)?;
    let chain = pem::certificates(&text).map_err(|e| anyhow!("{} {e}", named.display()))?;
    let found = chain.first().and_then(|leaf| Certificate::parse(leaf));
    let Some(other) = found.as_ref().map_or(Some(""), |found| found.other_name(name)) else { return Ok(()) };
    bail!(
        "{} stays as it is and leads to {}, a certificate of {other:?}, not {name}: have it say \
         plugin.security.provider = file, plugin.security.file.certificate = {}, plugin.security.file.key = {} and \
         plugin.security.file.ca = {}, or move it away, and say this again",
        path.display(),
        named.display(),
        place.certificate().display(),
        place.key().display(),
        place.ca().display()
    )
}

/// That a configuration which stays leads to keys: those that are to be installed, or others that
/// are there.
pub fn leads_to_keys(role: Role, config: &Config, path: &Path, place: &Place) -> anyhow::Result<()> {
    let [certificate, key, ca] = [place.certificate(), place.key(), place.ca()];
    let found = |named: &str, made: &Path| Path::new(named) == made || Path::new(named).exists();
    let well = match config.security_provider.as_str() {
        "file" => {
            found(&config.security_file_certificate, &certificate)
                && found(&config.security_file_key, &key)
                && found(&config.security_file_ca, &ca)
        }
        _ => Provider::new(config, role, &System).is_ok(),
    };
    if !well {
        bail!(
            "{} stays as it is and leads to no keys: have it say plugin.security.provider = file, \
             plugin.security.file.certificate = {}, plugin.security.file.key = {} and plugin.security.file.ca = {}, \
             or move it away, and say this again",
            path.display(),
            certificate.display(),
            key.display(),
            ca.display()
        );
    }
    Ok(())
}

/// Whether a configuration leads to that broker.
pub fn names(config: &Config, broker: &str) -> bool {
    let bare = |address: &str| address.rsplit_once("://").map_or(address, |(_, address)| address).to_owned();
    config.choria_middleware_hosts.iter().any(|host| bare(host) == broker)
}

/// `HOST` or `HOST:PORT`, as `HOST:PORT`.
pub fn address(text: &str) -> anyhow::Result<String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        Some(_) => {
            bail!("{text:?} is no address of a broker: write addresses of version 6 as [ADDRESS]:4222")
        }
        None => (text, "4222"),
    };
    let good = |c: char| c.is_ascii_alphanumeric() || "-._[:]".contains(c);
    if host.is_empty() || !host.chars().all(good) {
        bail!("{text:?} is no address of a broker: write HOST or HOST:PORT");
    }
    let port: u16 = port.parse().ok().filter(|port| *port > 0).with_context(|| {
        format!("{text:?} is no address of a broker: its port has to be a number from 1 to 65535")
    })?;
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_places_for_what_is_written_into_them() {
        let (sample, text) =
            server("n1.example.org", "b.example.org:4333", Path::new("/etc/choria/tls/node"));
        let lines: Vec<&str> =
            text.lines().filter(|line| !sample.lines().any(|other| other == *line)).collect();
        assert_eq!(
            lines,
            [
                "identity = n1.example.org",
                "plugin.choria.middleware_hosts = b.example.org:4333",
                "plugin.security.file.certificate = /etc/choria/tls/node/certificate.pem",
                "plugin.security.file.key = /etc/choria/tls/node/key.pem",
                "plugin.security.file.ca = /etc/choria/tls/node/ca.pem",
                "# It was set up: a provisioning token that is found here changes nothing.",
                "plugin.choria.server.provision = false",
            ]
        );
        let (sample, text) = client("b.example.org:4333");
        assert_eq!(sample.lines().count(), text.lines().count());
        assert!(text.contains("\nplugin.choria.middleware_hosts = b.example.org:4333\n"));
    }

    #[test]
    fn what_was_changed_is_told_from_what_a_package_brought() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("client.conf");
        let found = || look(&file, "sample", "wanted").unwrap();
        assert_eq!(found(), Found::Free { before: None });
        for (text, expected) in [
            ("sample", Found::Free { before: Some("sample".into()) }),
            ("wanted", Found::Ours),
            ("sample ", Found::Changed),
            ("", Found::Changed),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(found(), expected, "{text:?}");
        }
        // A link that leads nowhere is somebody's too.
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("nowhere", &file).unwrap();
        assert!(look(&file, "sample", "wanted").is_err());
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("b", Some("b:4222")),
            ("b.example.net:1", Some("b.example.net:1")),
            ("192.0.2.1", Some("192.0.2.1:4222")),
            ("[2001:db8::1]:4222", Some("[2001:db8::1]:4222")),
            ("2001:db8::1", None),
            ("", None),
            (":4222", None),
            ("b:0", None),
            ("b:70000", None),
            ("b:x", None),
            ("b c", None),
            ("b\nloglevel = debug", None),
            ("b,c", None),
            ("nats://b:4222", None),
        ] {
            assert_eq!(address(text).ok().as_deref(), expected, "{text:?}");
        }
    }
}
