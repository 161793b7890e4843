//! What an adapter is to do: `plugin.choria.adapter.NAME.*` (spec 04 §5.2).

mod kafka;
mod kinesis;

use std::path::PathBuf;

use crate::core::config::{Config, parse_bool};
use crate::core::connection::HostError;
use crate::core::nats::subject::{is_literal, valid_pattern, valid_subject};
use crate::core::security::SecurityError;
use crate::core::security::web_service::{WebError, is_here};
use crate::core::text;

use super::spool::SpoolError;
pub use kafka::Kafka;
#[cfg(feature = "kafka")]
pub use kafka::{Login, Mechanism, Tls};
pub use kinesis::Kinesis;

const PREFIX: &str = "plugin.choria.adapter.";
/// Settings of an adapter behind `plugin.choria.adapter.NAME.`, their defaults, and what each is.
pub const KEYS: [(&str, &str, &str); 28] = [
    ("type", "required", "`jetstream`, `choria_streams`, `nats`, `http`, `kafka`, `kinesis`"),
    ("ingest.topic", "required", "subject that is heard; adapters of one name share it"),
    (
        "ingest.protocol",
        "`reply`",
        "`request` for registration data, `reply` for answers sent there by `choria rpc --reply-to`",
    ),
    ("ingest.verify", "`false`", "signatures have to be good"),
    ("ingest.workers", "", "connections of the original; one is enough here"),
    ("stream.topic", "NAME", "subject that is published to"),
    ("stream.servers", "the usual ones", "brokers of it"),
    ("stream.workers", "", "connections of the original; one is enough here"),
    ("http.url", "required", "address of the web service"),
    ("http.ca", "the system's", "whose certificates are good"),
    ("http.token_file", "none", "file of a token that is shown to it"),
    ("kafka.servers", "required", "`HOST:PORT,…` of brokers"),
    ("kafka.topic", "`stream.topic`, else NAME", "topic that is written to"),
    ("kafka.tls", "by need", "whether TLS is spoken"),
    ("kafka.ca", "the system's", "whose certificates are good"),
    ("kafka.certificate", "none", "certificate that is shown to brokers"),
    ("kafka.key", "none", "its key"),
    ("kafka.sasl.mechanism", "none", "`SCRAM-SHA-512`, `SCRAM-SHA-256` or `PLAIN`"),
    ("kafka.sasl.username", "none", "who logs in"),
    ("kafka.sasl.password_file", "none", "file of the password"),
    ("kinesis.stream", "`stream.topic`, else NAME", "stream that is written to"),
    ("kinesis.region", "required", "where it is"),
    ("kinesis.endpoint", "the region's", "another address of the service"),
    ("kinesis.credentials_file", "the environment", "file of keys"),
    ("format", "`choria`", "or `cloudevents`"),
    ("queue_len", "`1000`", "documents in memory"),
    ("spool", "none", "directory of a spool"),
    ("spool_size", "`512M`", "bytes of it on disk"),
];
/// Documents in memory, unless set.
const QUEUE: usize = 1000;
/// Bytes of a spool, unless set.
const SPOOL: u64 = 512 * 1024 * 1024;

fn key_names() -> [&'static str; KEYS.len()] {
    KEYS.map(|(name, ..)| name)
}

/// What keeps adapters from starting.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum AdapterError {
    #[error("adapter {name}: {PREFIX}{name}.{key} {problem}")]
    Setting { name: String, key: &'static str, problem: String },
    #[error("{key} is no setting of an adapter{meant}; they are {}", key_names().join(", "))]
    Unknown { key: String, meant: String },
    #[error("plugin.choria.adapters names '{0}', which can be no part of a key: letters, digits, _ and -")]
    Name(String),
    #[error("adapter {0}: {PREFIX}{0}.type is kafka, which this program was built without: feature kafka")]
    NotBuilt(String),
    #[error("adapter {name}: {source}")]
    Spool { name: String, source: SpoolError },
    #[error("plugin.choria.adapter.NAME.stream.servers: {0}")]
    Hosts(#[from] HostError),
    #[error("adapter {name}: {PREFIX}{name}.{key}: {source}")]
    Web { name: String, key: &'static str, source: WebError },
    #[error(
        "{PREFIX}{name}.{key} is neither https nor on this machine: whoever is on the way could read what nodes tell of themselves"
    )]
    Exposed { name: String, key: &'static str },
    #[error("adapter {name}: {PREFIX}{name}.kafka: {reason}")]
    Kafka { name: String, reason: String },
    #[error(transparent)]
    Security(#[from] SecurityError),
}

/// What is handed on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A stream, which acknowledges: `jetstream`, or `choria_streams`, its older name.
    Stream,
    /// A subject, where whoever listens at that moment hears it: `nats`.
    Subject,
    /// A web service that takes lines of JSON: `http`.
    Http(Web),
    /// A topic of Kafka, which acknowledges: `kafka`.
    Kafka(Kafka),
    /// A stream of AWS Kinesis, which acknowledges: `kinesis`.
    Kinesis(Kinesis),
}

/// A web service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Where it is.
    pub url: String,
    /// CA that its certificate is of; the system's where unset.
    pub ca: Option<PathBuf>,
    /// File with the bearer token it wants.
    pub token: Option<PathBuf>,
}

/// What comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingest {
    /// Requests, which registration data is sent as.
    Requests,
    /// Replies, of `choria rpc --reply-to`.
    Replies,
}

/// The form of what goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The original's document.
    Choria,
    /// A CloudEvent around the same.
    CloudEvents,
}

/// One adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Where documents go.
    pub kind: Kind,
    /// Subject that is heard.
    pub topic: String,
    /// What comes there.
    pub ingest: Ingest,
    /// Whether requests have to be signed by the node they are of.
    pub verify: bool,
    /// Subject documents go to; `%s` stands for the sender.
    pub target: String,
    /// Brokers of the target, where they are others.
    pub servers: Vec<String>,
    /// Documents in memory.
    pub queue: usize,
    /// Form of the documents.
    pub format: Format,
    /// Where documents wait on disk, and how many bytes of them.
    pub spool: Option<(PathBuf, u64)>,
}

impl Settings {
    /// All that the configuration names.
    ///
    /// # Errors
    /// [`AdapterError`]: an adapter that is told half of what it needs would lose data in silence.
    pub fn all(config: &Config) -> Result<Vec<Settings>, AdapterError> {
        let names = &config.choria_adapters;
        if let Some(name) = names.iter().find(|name| !is_name(name)) {
            return Err(AdapterError::Name(name.clone()));
        }
        for (key, _) in config.options() {
            let Some(rest) = key.strip_prefix(PREFIX) else { continue };
            let known = rest.split_once('.').is_some_and(|(_, rest)| key_names().contains(&rest));
            if !known {
                let part = rest.split_once('.').map_or(rest, |(_, rest)| rest);
                let meant = text::nearest(part, key_names());
                let meant = meant.map(|key| format!(", did you mean {key}?")).unwrap_or_default();
                return Err(AdapterError::Unknown { key: key.to_owned(), meant });
            }
        }
        names.iter().map(|name| Settings::one(config, name)).collect()
    }

    fn one(config: &Config, name: &str) -> Result<Settings, AdapterError> {
        let lines = Lines { config, name };
        let option = |key: &str| lines.given(key);
        let wrong = |key, problem: &str| lines.wrong(key, problem);
        let needed = |key| lines.needed(key);
        let kind = match needed("type")? {
            "choria_streams" | "jetstream" => Kind::Stream,
            "nats" => Kind::Subject,
            "http" => {
                let path = |key| lines.some(key).map(PathBuf::from);
                let url = needed("http.url")?.to_owned();
                Kind::Http(Web { url, ca: path("http.ca"), token: path("http.token_file") })
            }
            "kafka" => Kind::Kafka(kafka::of(&lines)?),
            "kinesis" => Kind::Kinesis(kinesis::of(&lines)?),
            "nats_stream" | "natsstream" => {
                return Err(wrong(
                    "type",
                    "is nats_stream, NATS Streaming Server, which is gone since 2021; use jetstream",
                ));
            }
            other => {
                let problem = format!(
                    "is '{other}'; there are jetstream (choria_streams), nats, http, kafka and kinesis"
                );
                return Err(wrong("type", &problem));
            }
        };
        let ingest = match option("ingest.protocol").unwrap_or("reply") {
            "request" => Ingest::Requests,
            "reply" | "" => Ingest::Replies,
            other => return Err(wrong("ingest.protocol", &format!("is '{other}', it is request or reply"))),
        };
        let verify = match option("ingest.verify") {
            None => false,
            Some(value) => parse_bool(value)
                .map_err(|_| wrong("ingest.verify", &format!("is '{value}', it is true or false")))?,
        };
        if verify && ingest == Ingest::Replies {
            return Err(wrong(
                "ingest.verify",
                "is true, and replies carry no signature; only ingest.protocol = request can be verified",
            ));
        }
        let topic = needed("ingest.topic")?.to_owned();
        if !valid_pattern(&topic) {
            return Err(wrong("ingest.topic", &format!("is '{topic}', which is no subject")));
        }
        let target = lines.some("stream.topic").unwrap_or(name).to_owned();
        let sample = target.replace("%s", "n1.example.net");
        // Topics and streams of others have names of their own, which were looked at.
        let others = matches!(kind, Kind::Kafka(_) | Kind::Kinesis(_));
        if !(others || valid_subject(&sample) && is_literal(&sample)) {
            return Err(wrong(
                "stream.topic",
                &format!("is '{target}', which is no subject to publish to; %s stands for the sender"),
            ));
        }
        let number = |key, default: u64| match option(key) {
            None => Ok(default),
            Some(value) => value
                .parse()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| wrong(key, &format!("is '{value}', it is a number above 0"))),
        };
        let queue = usize::try_from(number("queue_len", QUEUE as u64)?).unwrap_or(usize::MAX);
        if queue > 1_000_000 {
            return Err(wrong("queue_len", "is more than a million documents in memory; use a spool"));
        }
        let size = match option("spool_size") {
            None => SPOOL,
            Some(value) => bytes(value).ok_or_else(|| {
                wrong("spool_size", &format!("is '{value}', it is a number of bytes above a million; K, M and G may stand behind it"))
            })?,
        };
        let spool = option("spool").filter(|path| !path.is_empty()).map(|path| (PathBuf::from(path), size));
        if spool.as_ref().is_some_and(|(path, _)| !path.is_absolute()) {
            return Err(wrong("spool", "is no path from the root"));
        }
        let format = match option("format").unwrap_or("choria") {
            "choria" | "" => Format::Choria,
            "cloudevents" => Format::CloudEvents,
            other => return Err(wrong("format", &format!("is '{other}', it is choria or cloudevents"))),
        };
        let servers = option("stream.servers").unwrap_or_default().split(',').map(str::trim);
        let servers = servers.filter(|server| !server.is_empty()).map(str::to_owned).collect();
        Ok(Settings {
            name: name.to_owned(),
            kind,
            topic,
            ingest,
            verify,
            target,
            servers,
            queue,
            format,
            spool,
        })
    }

    /// What it publishes to, as a pattern; `None` where it publishes nothing.
    pub fn publishes(&self) -> Option<String> {
        match &self.kind {
            Kind::Http(_) | Kind::Kafka(_) | Kind::Kinesis(_) => None,
            Kind::Stream | Kind::Subject => Some(match self.target.split_once("%s") {
                None => self.target.clone(),
                // Names have dots: any number of tokens stands there.
                Some((before, _)) => {
                    format!("{}.>", before.rsplit_once('.').map_or("", |(before, _)| before))
                        .trim_start_matches('.')
                        .to_owned()
                }
            }),
        }
    }
}

/// The lines of one adapter.
struct Lines<'a> {
    config: &'a Config,
    name: &'a str,
}

impl<'a> Lines<'a> {
    fn given(&self, key: &str) -> Option<&'a str> {
        self.config.option(&format!("{PREFIX}{}.{key}", self.name)).map(str::trim)
    }

    /// What a line says, where it says something.
    fn some(&self, key: &str) -> Option<&'a str> {
        self.given(key).filter(|value| !value.is_empty())
    }

    fn needed(&self, key: &'static str) -> Result<&'a str, AdapterError> {
        self.some(key).ok_or_else(|| self.wrong(key, "is required"))
    }

    fn wrong(&self, key: &'static str, problem: &str) -> AdapterError {
        AdapterError::Setting { name: self.name.to_owned(), key, problem: problem.to_owned() }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// A number of bytes, a million at least.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 1024),
        (at, 'm' | 'M') => (&text[..at], 1024 * 1024),
        (at, 'g' | 'G') => (&text[..at], 1024 * 1024 * 1024),
        _ => (text, 1),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes >= 1_000_000)
}
