//! `alertd.yaml`: what is told, and to whom.

use std::path::{Path, PathBuf};

use hyper::Uri;
use serde::Deserialize;

use super::MOST_RECEIVERS;
use crate::core::config::parse_duration;
use crate::core::files::read_bounded;
use crate::core::machine::observe::web;
use crate::core::streams::bucket::{check_bucket, check_key};
use crate::core::text::meant;

/// Bytes of the file.
const MOST: u64 = 1 << 20;
/// Names of statuses, by number.
const STATUSES: [&str; 4] = ["ok", "warning", "critical", "unknown"];

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// It is no such file.
    #[error("{file}: {why}")]
    Invalid {
        /// Which.
        file: String,
        /// What is wrong, and what to do.
        why: String,
    },
}

/// Who is told, and by which name.
#[derive(Debug, Clone)]
pub struct Named {
    /// By which what was told is kept.
    pub name: String,
    /// Who.
    pub target: Target,
}

/// Who is told.
#[derive(Debug, Clone)]
pub enum Target {
    /// Alertmanager at an address.
    Alertmanager(Web),
    /// A web hook.
    Webhook(Web),
    /// A program that reads a document.
    Program(Vec<String>),
}

/// A web server.
#[derive(Debug, Clone)]
pub struct Web {
    /// Where.
    pub url: Uri,
    /// CAs it is known by; without, those of the system.
    pub ca: Option<PathBuf>,
    /// A file with a token that is shown to it.
    pub token_file: Option<PathBuf>,
}

/// What the file says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where what was told is kept.
    pub state: PathBuf,
    /// Seconds without a word after which a node is silent.
    pub silence_after: i64,
    /// Seconds without a word after which a node is taken to be gone for good.
    pub forget_after: i64,
    /// Seconds a status has to last before it is told.
    pub confirm: i64,
    /// Seconds between looks, in which what happens to many is gathered.
    pub group: i64,
    /// Seconds after which it is told again; none tells once.
    pub repeat: Option<i64>,
    /// Checks that nobody is told of.
    pub ignore: Vec<String>,
    /// Statuses that are told.
    pub statuses: Vec<u8>,
    /// Who is told.
    pub receivers: Vec<Named>,
    /// Of which several only one tells.
    pub elected: Option<Elected>,
}

/// How it is settled who of several tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elected {
    /// Name of the election.
    pub election: String,
    /// Bucket where they share what was told.
    pub bucket: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    state: Option<PathBuf>,
    silence_after: Option<String>,
    forget_after: Option<String>,
    confirm: Option<String>,
    group: Option<String>,
    repeat: Option<String>,
    #[serde(default)]
    ignore: Vec<String>,
    statuses: Option<Vec<String>>,
    election: Option<String>,
    bucket: Option<String>,
    #[serde(default)]
    receivers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    alertmanager: Option<String>,
    webhook: Option<String>,
    program: Option<Vec<String>>,
    ca: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong.
    pub fn load(file: &Path) -> Result<Settings, SettingsError> {
        let text = read_bounded(file, MOST)?;
        Settings::parse(&String::from_utf8_lossy(&text))
            .map_err(|why| SettingsError::Invalid { file: file.display().to_string(), why })
    }

    /// Reads its text.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn parse(text: &str) -> Result<Settings, String> {
        let file: File = serde_saphyr::from_str(text).map_err(|e| {
            let told = e.to_string();
            told.lines().next().unwrap_or_default().to_owned()
        })?;
        let time = |name: &str, given: &Option<String>, default: i64, least: i64| -> Result<i64, String> {
            let Some(text) = given else { return Ok(default) };
            let read = parse_duration(text)
                .map_err(|_| format!("{name} is {text}, which is no length of time such as 5m"))?;
            let seconds = i64::try_from(read.as_secs()).unwrap_or(i64::MAX);
            if seconds < least {
                Err(format!("{name} is {text}, the least is {least}s"))
            } else {
                Ok(seconds)
            }
        };
        let mut statuses = Vec::new();
        for text in
            file.statuses.as_deref().unwrap_or(&["warning".into(), "critical".into(), "unknown".into()])
        {
            let lower = text.to_lowercase();
            match STATUSES.iter().position(|known| **known == lower) {
                Some(status @ 1..) => statuses.push(status as u8),
                _ => {
                    let known = STATUSES.into_iter().skip(1);
                    return Err(format!(
                        "statuses has {text}, which is none of warning, critical and unknown{}",
                        meant(&lower, known)
                    ));
                }
            }
        }
        let mut receivers: Vec<Named> = Vec::new();
        for (place, entry) in file.receivers.into_iter().enumerate() {
            let named = receiver(place + 1, entry)?;
            if receivers.iter().any(|other| other.name == named.name) {
                return Err(format!("two receivers are called {}: give each a name of its own", named.name));
            }
            receivers.push(named);
        }
        if receivers.is_empty() {
            return Err("receivers names nobody to tell: - alertmanager: http://127.0.0.1:9093".to_owned());
        }
        if receivers.len() > MOST_RECEIVERS {
            return Err(format!("there are more than {MOST_RECEIVERS} receivers"));
        }
        let elected = match (file.election, file.bucket) {
            (None, None) => None,
            (Some(election), Some(bucket)) => {
                check_key(&election).map_err(|e| format!("election: {e}"))?;
                check_bucket(&bucket).map_err(|e| format!("bucket: {e}"))?;
                Some(Elected { election, bucket })
            }
            (Some(_), None) => {
                return Err(
                    "election needs a bucket where what was told is shared: bucket: ALERTS".to_owned()
                );
            }
            (None, Some(_)) => {
                return Err("bucket is for several of which one is elected: election: alertd".to_owned());
            }
        };
        let silence_after = time("silence_after", &file.silence_after, 80 * 60, 1)?;
        let forget_after = time("forget_after", &file.forget_after, 7 * 86_400, 60)?;
        if forget_after <= silence_after {
            let given = |given: Option<String>, default: &str| given.unwrap_or_else(|| default.to_owned());
            return Err(format!(
                "forget_after is {} and has to be longer than silence_after, {}, or a node is forgotten before it is missed",
                given(file.forget_after, "7d"),
                given(file.silence_after, "80m")
            ));
        }
        Ok(Settings {
            elected,
            state: file.state.unwrap_or_else(|| "/var/lib/choria-alertd/state.json".into()),
            silence_after,
            forget_after,
            confirm: time("confirm", &file.confirm, 0, 0)?,
            group: time("group", &file.group, 10, 1)?,
            repeat: match file.repeat {
                None => None,
                given => Some(time("repeat", &given, 0, 60)?),
            },
            ignore: file.ignore,
            statuses,
            receivers,
        })
    }

    /// Whether nobody is told of a check.
    pub fn ignores(&self, check: &str) -> bool {
        self.ignore.iter().any(|name| name == check)
    }

    /// A status as it is told: what is not told is well.
    pub fn counts(&self, status: u8) -> u8 {
        if self.statuses.contains(&status) { status } else { 0 }
    }
}

fn receiver(place: usize, entry: Entry) -> Result<Named, String> {
    let shown = entry.name.clone().unwrap_or_else(|| format!("number {place}"));
    let (ca, token_file) = (entry.ca, entry.token_file);
    let web = |text: &str, path: &str| -> Result<Web, String> {
        let full = format!("{}{path}", text.trim_end_matches('/'));
        let url = web::address(if path.is_empty() { text } else { &full });
        let url = url.map_err(|e| format!("receiver {shown}: {text} {e}"))?;
        if web::names_user(&url) {
            return Err(format!(
                "receiver {shown}: its address has a user, who is not told to the server: token_file is the way"
            ));
        }
        Ok(Web { url, ca: ca.clone(), token_file: token_file.clone() })
    };
    let (kind, target) = match (entry.alertmanager, entry.webhook, entry.program) {
        (Some(url), None, None) => {
            ("alertmanager".to_owned(), Target::Alertmanager(web(&url, "/api/v2/alerts")?))
        }
        (None, Some(url), None) => ("webhook".to_owned(), Target::Webhook(web(&url, "")?)),
        (None, None, Some(_)) if ca.is_some() || token_file.is_some() => {
            return Err(format!("receiver {shown}: ca and token_file are of a server, and it is a program"));
        }
        (None, None, Some(words)) => match words.first() {
            Some(program) if program.starts_with('/') => ("program".to_owned(), Target::Program(words)),
            _ => {
                return Err(format!(
                    "receiver {shown}: program is a list, its path first: [/usr/local/bin/page, on-call]"
                ));
            }
        },
        _ => return Err(format!("receiver {shown} needs one of alertmanager, webhook and program")),
    };
    Ok(Named { name: entry.name.unwrap_or(kind), target })
}
