//! `plugin.choria.adapter.NAME.kafka.*`: where Kafka is, and how it is spoken to.

use std::path::PathBuf;

use hyper::http::uri::Authority;

use super::{AdapterError, Lines, is_here};
use crate::core::config::parse_bool;

/// Longest name of a topic.
const TOPIC: usize = 249;

/// A Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// Hosts and ports that are asked where its leaders are.
    pub servers: Vec<(String, u16)>,
    /// Topic that documents go to.
    pub topic: String,
    /// How connections are kept from others.
    pub tls: Tls,
    /// Who we say we are.
    pub login: Option<Login>,
}

/// Whether whoever is on the way can read what brokers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// They cannot.
    Yes {
        /// CA that certificates of brokers are of; the system's where unset.
        ca: Option<PathBuf>,
        /// Certificate and key that are shown.
        certificate: Option<(PathBuf, PathBuf)>,
    },
    /// They can, and somebody said so.
    No,
    /// Nothing was said: only what does not leave this machine is told without TLS.
    Here,
}

/// A name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// How the password is shown.
    pub mechanism: Mechanism,
    /// The name.
    pub username: String,
    /// File of the password, read anew for each connection.
    pub password: PathBuf,
}

/// A mechanism of SASL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself is told.
    Plain,
    /// A proof of it, by SHA-256.
    Scram256,
    /// A proof of it, by SHA-512.
    Scram512,
}

impl Mechanism {
    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram256 => "SCRAM-SHA-256",
            Mechanism::Scram512 => "SCRAM-SHA-512",
        }
    }
}

pub(super) fn of(lines: &Lines<'_>) -> Result<Kafka, AdapterError> {
    if cfg!(not(feature = "kafka")) {
        return Err(AdapterError::NotBuilt(lines.name.to_owned()));
    }
    let servers =
        lines.needed("kafka.servers")?.split(',').map(str::trim).filter(|server| !server.is_empty());
    let servers = servers.map(|server| {
        host_and_port(server)
            .ok_or_else(|| lines.wrong("kafka.servers", &format!("holds '{server}', which is no HOST:PORT")))
    });
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    let topic = ["kafka.topic", "stream.topic"].into_iter().find_map(|key| Some((key, lines.some(key)?)));
    let (key, topic) = topic.unwrap_or(("kafka.topic", lines.name));
    if !is_topic(topic) {
        let problem = format!(
            "is '{topic}', which is no topic of Kafka: letters, digits, '.', '_' and '-', {TOPIC} at most; \
             records have the sender as their key"
        );
        return Err(lines.wrong(key, &problem));
    }
    let tls = tls(lines, &servers)?;
    let login = login(lines)?;
    let shown = login.as_ref().is_some_and(|login| login.mechanism == Mechanism::Plain);
    if shown && tls == Tls::No && servers.iter().any(|(host, _)| !is_here(host)) {
        return Err(lines.wrong(
            "kafka.sasl.mechanism",
            "is PLAIN, which shows the password to whoever is on the way without kafka.tls; use SCRAM-SHA-512",
        ));
    }
    Ok(Kafka { servers, topic: topic.to_owned(), tls, login })
}

fn tls(lines: &Lines<'_>, servers: &[(String, u16)]) -> Result<Tls, AdapterError> {
    let path = |key| lines.some(key).map(PathBuf::from);
    let ca = path("kafka.ca");
    let certificate = match (path("kafka.certificate"), path("kafka.key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(lines.wrong("kafka.key", "is required with kafka.certificate")),
        (None, Some(_)) => return Err(lines.wrong("kafka.certificate", "is required with kafka.key")),
    };
    let wanted = match lines.some("kafka.tls") {
        None => (ca.is_some() || certificate.is_some()).then_some(true),
        Some(value) => Some(
            parse_bool(value)
                .map_err(|_| lines.wrong("kafka.tls", &format!("is '{value}', it is true or false")))?,
        ),
    };
    match wanted {
        Some(true) => Ok(Tls::Yes { ca, certificate }),
        Some(false) if ca.is_some() || certificate.is_some() => {
            Err(lines.wrong("kafka.tls", "is false, and there is a CA or a certificate for it"))
        }
        Some(false) => Ok(Tls::No),
        None => match servers.iter().find(|(host, _)| !is_here(host)) {
            None => Ok(Tls::Here),
            Some((host, _)) => {
                let problem = format!(
                    "is not set, and {host} is not on this machine: whoever is on the way could read what nodes \
                     tell of themselves; it is true, or false where that is no matter"
                );
                Err(lines.wrong("kafka.tls", &problem))
            }
        },
    }
}

fn login(lines: &Lines<'_>) -> Result<Option<Login>, AdapterError> {
    let keys = ["kafka.sasl.username", "kafka.sasl.password_file"];
    let mechanism =
        match lines.some("kafka.sasl.mechanism") {
            None => {
                return match keys.into_iter().find(|key| lines.some(key).is_some()) {
                    None => Ok(None),
                    Some(key) => Err(lines
                        .wrong("kafka.sasl.mechanism", &format!("is required with {key}: SCRAM-SHA-512"))),
                };
            }
            Some(value) => match value.to_ascii_uppercase().as_str() {
                "PLAIN" => Mechanism::Plain,
                "SCRAM-SHA-256" => Mechanism::Scram256,
                "SCRAM-SHA-512" => Mechanism::Scram512,
                _ => {
                    let problem = format!("is '{value}', it is SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN");
                    return Err(lines.wrong("kafka.sasl.mechanism", &problem));
                }
            },
        };
    let [username, password] = keys;
    let username = lines.needed(username)?.to_owned();
    let password = PathBuf::from(lines.needed(password)?);
    Ok(Some(Login { mechanism, username, password }))
}

/// Host and port of `HOST:PORT`; an address of IPv6 stands in brackets.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let authority: Authority = text.parse().ok()?;
    let port = authority.port_u16().filter(|port| *port > 0)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty() && !text.contains('@')).then(|| (host.to_owned(), port))
}

fn is_topic(name: &str) -> bool {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    letters && !matches!(name, "" | "." | "..") && name.len() <= TOPIC
}
