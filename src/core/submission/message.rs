//! One message and its file.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::spool::PRIORITIES;
use crate::core::nats::headers;
use crate::core::nats::subject::{is_literal, valid_subject};

/// Largest payload; brokers take one MiB by default, headers included.
pub const MOST_PAYLOAD: usize = 1024 * 1000;
/// What brokers take.
const MOST_MESSAGE: usize = 1024 * 1024;
/// Longest life.
const MOST_TTL: u64 = 31 * 86_400;
/// Longest text of a subject, sender or header.
const MOST_TEXT: usize = 1024;
/// Headers of a message.
const MOST_HEADERS: usize = 32;

/// Why a message cannot be submitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum SubmissionError {
    #[error("the subject '{0}' is no subject to publish to")]
    Subject(String),
    #[error("there is nothing to submit, the message is empty")]
    Empty,
    #[error("the message has {0} bytes, at most {MOST_PAYLOAD} can be published")]
    TooLarge(usize),
    #[error("the message has {0} bytes with its headers, at most {MOST_MESSAGE} can be published")]
    TooLong(usize),
    #[error("the sender is empty or longer than {MOST_TEXT} bytes")]
    Sender,
    #[error("the priority is {0}, it is 0 (first) to 4")]
    Priority(u64),
    #[error("a message lives for a second at least and 31 days at most")]
    Ttl,
    #[error("a message is tried once at least")]
    Tries,
    #[error(
        "the header '{0}' cannot be set: its name is letters, digits and dashes, does not begin with Choria or Nats, and its value is one line"
    )]
    Header(String),
    #[error("more than {MOST_HEADERS} headers")]
    Headers,
    #[error("it is to be signed with the seed of a node, which nodes with certificates do not have")]
    Signed,
    #[error("it cannot be read: {0}")]
    File(String),
    /// Nobody knows what it is: it may be read another time, or by another user.
    #[error("{0}")]
    Unread(String),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its id.
    pub id: String,
    /// Subject, below `COLLECTIVE.submission.in.`.
    pub subject: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// Whether a stream has to store it.
    pub reliable: bool,
    /// 0 is first.
    pub priority: usize,
    /// When it was made.
    pub created: Timestamp,
    /// How long it is worth telling.
    pub ttl: Duration,
    /// How often it is tried at most.
    pub max_tries: u64,
    /// How often it was.
    pub tries: u64,
    /// Not before.
    pub next_try: Option<Timestamp>,
    /// Who made it.
    pub sender: String,
    /// The node it is of.
    pub identity: String,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
}

/// As it stands in a file.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    id: String,
    subject: String,
    payload: String,
    reliable: bool,
    priority: u64,
    created: String,
    ttl: f64,
    max_tries: u64,
    tries: u64,
    next_try: String,
    sender: String,
    identity: String,
    sign: bool,
    headers: Option<BTreeMap<String, String>>,
}

/// The time that is none.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Submission {
    /// Whether it can be submitted.
    ///
    /// # Errors
    /// The first [`SubmissionError`].
    pub fn check(&self) -> Result<(), SubmissionError> {
        let subject = &self.subject;
        if !valid_subject(subject) || !is_literal(subject) || subject.len() > MOST_TEXT {
            return Err(SubmissionError::Subject(subject.chars().take(100).collect()));
        }
        if self.payload.is_empty() {
            return Err(SubmissionError::Empty);
        }
        if self.payload.len() > MOST_PAYLOAD {
            return Err(SubmissionError::TooLarge(self.payload.len()));
        }
        if !is_line(&self.sender) || self.sender.is_empty() || !is_line(&self.identity) || !is_line(&self.id)
        {
            return Err(SubmissionError::Sender);
        }
        if self.priority >= PRIORITIES {
            return Err(SubmissionError::Priority(self.priority as u64));
        }
        if !(1..=MOST_TTL).contains(&self.ttl.as_secs()) {
            return Err(SubmissionError::Ttl);
        }
        if self.max_tries == 0 {
            return Err(SubmissionError::Tries);
        }
        if self.headers.len() > MOST_HEADERS {
            return Err(SubmissionError::Headers);
        }
        let wrong = self.headers.iter().find(|(name, value)| !is_header(name) || !is_line(value));
        if let Some((name, _)) = wrong {
            return Err(SubmissionError::Header(name.chars().take(100).collect()));
        }
        // one that says how often it was tried is the longest
        let headers = self.headers_after(u64::MAX);
        let length = headers::length(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        match length + self.payload.len() {
            size if size > MOST_MESSAGE => Err(SubmissionError::TooLong(size)),
            _ => Ok(()),
        }
    }

    /// Whether it is too late for it, or was tried often enough.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let until = self.created.checked_add(self.ttl).unwrap_or(Timestamp::MAX);
        now > until || self.tries >= self.max_tries
    }

    /// The headers it is published with (spec 06 §13).
    pub fn published_headers(&self) -> Vec<(String, String)> {
        self.headers_after(self.tries)
    }

    fn headers_after(&self, tries: u64) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = self.headers.clone().into_iter().collect();
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        add("Nats-Msg-Id", self.id.clone());
        add("Choria-Priority", self.priority.to_string());
        add("Choria-Created", self.created.as_nanosecond().to_string());
        add("Choria-Sender", self.sender.clone());
        add("Choria-Identity", self.identity.clone());
        if self.reliable {
            add("Choria-Reliable", "1".to_owned());
        }
        if tries > 0 {
            add("Choria-Tries", tries.to_string());
        }
        headers
    }

    /// The text of its file.
    pub fn encode(&self) -> String {
        let file = OnDisk {
            id: self.id.clone(),
            subject: self.subject.clone(),
            payload: STANDARD.encode(&self.payload),
            reliable: self.reliable,
            priority: self.priority as u64,
            created: self.created.to_string(),
            ttl: self.ttl.as_secs_f64(),
            max_tries: self.max_tries,
            tries: self.tries,
            next_try: self.next_try.map_or(NEVER.to_owned(), |time| time.to_string()),
            sender: self.sender.clone(),
            identity: self.identity.clone(),
            sign: false,
            headers: Some(self.headers.clone()).filter(|headers| !headers.is_empty()),
        };
        // Numbers and texts: nothing of it can fail. Go reads whole seconds without a point.
        let text = serde_json::to_string(&file).unwrap_or_default();
        text.replacen(&format!("\"ttl\":{:?}", file.ttl), &format!("\"ttl\":{}", file.ttl), 1)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`SubmissionError`]: it is none, or none that can be published.
    pub fn decode(text: &[u8]) -> Result<Submission, SubmissionError> {
        let wrong = |e: &dyn std::fmt::Display| SubmissionError::File(e.to_string());
        let file: OnDisk = serde_json::from_slice(text).map_err(|e| wrong(&e))?;
        if file.sign {
            return Err(SubmissionError::Signed);
        }
        let time = |text: &str| text.parse::<Timestamp>().map_err(|e| wrong(&e));
        let submission = Submission {
            id: file.id,
            subject: file.subject,
            payload: STANDARD.decode(&file.payload).map_err(|e| wrong(&e))?,
            reliable: file.reliable,
            priority: usize::try_from(file.priority).unwrap_or(usize::MAX),
            created: time(&file.created)?,
            ttl: Duration::try_from_secs_f64(file.ttl).map_err(|_| SubmissionError::Ttl)?,
            max_tries: file.max_tries,
            tries: file.tries,
            // The time that is none may be written in several ways.
            next_try: Some(time(&file.next_try)?).filter(|next| Ok(*next) != time(NEVER)),
            sender: file.sender,
            identity: file.identity,
            headers: file.headers.unwrap_or_default(),
        };
        submission.check()?;
        Ok(submission)
    }
}

fn is_line(text: &str) -> bool {
    text.len() <= MOST_TEXT && !text.chars().any(char::is_control)
}

fn is_header(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let reserved = |start: &str| name.get(..start.len()).is_some_and(|s| s.eq_ignore_ascii_case(start));
    !name.is_empty()
        && name.len() <= MOST_TEXT
        && name.chars().all(plain)
        && !reserved("choria")
        && !reserved("nats")
}
