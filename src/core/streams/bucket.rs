//! Buckets: a stream that is a key-value store (spec 06 §15.2), laid out as all clients of NATS know it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::asking::Streams;
use super::error::StreamError;
use super::message::Stored;
use super::watching::{Heard, Start, Watching};

/// What streams of buckets are called.
const STREAM: &str = "KV_";
/// Most values of one key.
pub const MOST_HISTORY: i64 = 64;
/// How long repeated messages are known, unless values live for less.
const DUPLICATES: Duration = Duration::from_secs(120);
/// Header of what is stored when nobody else has stored anything since.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
const OPERATION: &str = "KV-Operation";

/// A name that no bucket or key can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Of a bucket.
    #[error("'{0}' is no name of a bucket: letters, digits, _ and - make one")]
    Bucket(String),
    /// Of a key.
    #[error(
        "'{0}' is no key: letters, digits and - / _ = . make one, with no dot at its ends and no two in a row"
    )]
    Key(String),
}

/// Checks the name of a bucket.
///
/// # Errors
/// [`KeyError::Bucket`].
pub fn check_bucket(name: &str) -> Result<(), KeyError> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !name.is_empty() && name.chars().all(of_name) {
        true => Ok(()),
        false => Err(KeyError::Bucket(name.to_owned())),
    }
}

/// Checks a key.
///
/// # Errors
/// [`KeyError::Key`].
pub fn check_key(key: &str) -> Result<(), KeyError> {
    let of_key = |c: char| c.is_ascii_alphanumeric() || "-/_=.".contains(c);
    let dots = key.starts_with('.') || key.ends_with('.') || key.contains("..");
    match !key.is_empty() && key.chars().all(of_key) && !dots {
        true => Ok(()),
        false => Err(KeyError::Key(key.to_owned())),
    }
}

/// How a bucket is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// Values of each key.
    pub history: i64,
    /// How long a value lives; zero for ever.
    pub ttl: Duration,
    /// Copies.
    pub replicas: i64,
    /// Largest value in bytes; -1 for any.
    pub max_value_size: i64,
    /// Bytes of all of it; -1 for any.
    pub max_bucket_size: i64,
    /// Whether any machine that has a copy answers.
    pub direct: bool,
}

impl Default for BucketConfig {
    fn default() -> Self {
        BucketConfig {
            history: 5,
            ttl: Duration::ZERO,
            replicas: 1,
            max_value_size: 10_240,
            max_bucket_size: -1,
            direct: true,
        }
    }
}

impl BucketConfig {
    /// The stream of a bucket of that name.
    pub fn stream(&self, bucket: &str) -> Value {
        let age = u64::try_from(self.ttl.as_nanos()).unwrap_or(u64::MAX / 2);
        let window = if self.ttl.is_zero() { DUPLICATES } else { self.ttl.min(DUPLICATES) };
        let unlimited = |n: i64| if n > 0 { n } else { -1 };
        json!({
            "name": format!("{STREAM}{bucket}"), "subjects": [format!("$KV.{bucket}.>")],
            "retention": "limits", "discard": "new", "storage": "file", "max_consumers": -1, "max_msgs": -1,
            "max_bytes": unlimited(self.max_bucket_size), "max_age": age,
            "max_msgs_per_subject": self.history.clamp(1, MOST_HISTORY),
            "max_msg_size": unlimited(self.max_value_size), "num_replicas": self.replicas,
            "duplicate_window": u64::try_from(window.as_nanos()).unwrap_or(u64::MAX / 2),
            "allow_direct": self.direct, "allow_rollup_hdrs": true, "deny_delete": true,
        })
    }

    /// Of the configuration of a stream.
    pub fn of(stream: &Value) -> BucketConfig {
        let number = |name: &str, none: i64| stream[name].as_i64().filter(|n| *n > 0).unwrap_or(none);
        BucketConfig {
            history: number("max_msgs_per_subject", 1),
            ttl: Duration::from_nanos(stream["max_age"].as_u64().unwrap_or(0)),
            replicas: number("num_replicas", 1),
            max_value_size: number("max_msg_size", -1),
            max_bucket_size: number("max_bytes", -1),
            direct: stream["allow_direct"].as_bool().unwrap_or(false),
        }
    }
}

/// What was done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It has a value.
    Put,
    /// It has none any more.
    Delete,
    /// Nor has it a past.
    Purge,
}

impl Operation {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Put => "PUT",
            Operation::Delete => "DEL",
            Operation::Purge => "PURGE",
        }
    }
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Key.
    pub key: String,
    /// Value.
    pub value: Bytes,
    /// Number of the change in its bucket.
    pub revision: u64,
    /// When.
    pub created: Timestamp,
    /// What.
    pub operation: Operation,
}

/// A bucket that is there.
#[derive(Clone)]
pub struct Bucket {
    streams: Streams,
    name: String,
    config: BucketConfig,
    info: Value,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).field("config", &self.config).finish()
    }
}

/// What a bucket says.
pub enum Change {
    /// A key has changed.
    Entry(Entry),
    /// All that was there has been said.
    UpToDate,
}

/// Hears changes of a bucket until it is dropped.
pub struct Changes {
    watching: Watching,
    prefix: String,
}

impl Changes {
    /// The next one.
    ///
    /// # Errors
    /// The bucket is gone, or may not be heard any more.
    pub async fn next(&mut self) -> Result<Change, StreamError> {
        loop {
            match self.watching.next().await? {
                Heard::UpToDate => return Ok(Change::UpToDate),
                Heard::Stored(stored) => {
                    if let Some(entry) = entry(&self.prefix, stored) {
                        return Ok(Change::Entry(entry));
                    }
                }
            }
        }
    }
}

fn entry(prefix: &str, stored: Stored) -> Option<Entry> {
    let operation = match stored.operation.as_deref() {
        Some("DEL") => Operation::Delete,
        Some("PURGE") => Operation::Purge,
        _ => Operation::Put,
    };
    Some(Entry {
        key: stored.subject.strip_prefix(prefix)?.to_owned(),
        value: stored.payload,
        revision: stored.sequence,
        created: stored.created,
        operation,
    })
}

impl Bucket {
    /// Names of all buckets.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn names(streams: &Streams) -> Result<Vec<String>, StreamError> {
        let names = streams.names(Some("$KV.*.>")).await?;
        let mut names: Vec<String> =
            names.iter().filter_map(|name| name.strip_prefix(STREAM).map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The bucket of that name, which has to be one.
    ///
    /// # Errors
    /// [`StreamError`]; nothing where there is none.
    pub async fn find(streams: &Streams, name: &str) -> Result<Option<Bucket>, StreamError> {
        let Some(info) = streams.info(&format!("{STREAM}{name}")).await? else { return Ok(None) };
        let config = BucketConfig::of(&info["config"]);
        Ok(Some(Bucket { streams: streams.clone(), name: name.to_owned(), config, info }))
    }

    /// One that was found before, of which nothing is known but whether any copy answers.
    pub fn known(streams: &Streams, name: &str, direct: bool) -> Bucket {
        let config = BucketConfig { direct, ..BucketConfig::default() };
        Bucket { streams: streams.clone(), name: name.to_owned(), config, info: Value::Null }
    }

    /// Makes one; where there is one of that name it has to be the same.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn create(streams: &Streams, name: &str, config: &BucketConfig) -> Result<(), StreamError> {
        streams.create(&format!("{STREAM}{name}"), &config.stream(name)).await.map(drop)
    }

    /// Removes one; whether there was one.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn remove(streams: &Streams, name: &str) -> Result<bool, StreamError> {
        streams.delete(&format!("{STREAM}{name}")).await
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whom it is asked of.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// How it is kept, when it was found.
    pub fn config(&self) -> &BucketConfig {
        &self.config
    }

    /// What there was to know about its stream when it was found.
    pub fn info(&self) -> &Value {
        &self.info
    }

    /// Its stream.
    pub fn stream(&self) -> String {
        format!("{STREAM}{}", self.name)
    }

    /// Has it kept as wanted; its number of copies stays as it is.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn change(&self, wanted: &BucketConfig) -> Result<(), StreamError> {
        let mut stream = self.info["config"].clone();
        let to =
            BucketConfig { replicas: self.config.replicas, direct: self.config.direct, ..wanted.clone() };
        for (key, value) in to.stream(&self.name).as_object().into_iter().flatten() {
            stream[key] = value.clone();
        }
        self.streams.update(&self.stream(), &stream).await.map(drop)
    }

    fn prefix(&self) -> String {
        format!("$KV.{}.", self.name)
    }

    fn subject(&self, key: &str) -> String {
        format!("{}{key}", self.prefix())
    }

    /// The value of a key; nothing where it has none.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, StreamError> {
        Ok(self.last(key).await?.filter(|entry| entry.operation == Operation::Put))
    }

    /// What happened to a key last, be it that it was removed.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn last(&self, key: &str) -> Result<Option<Entry>, StreamError> {
        let (stream, subject) = (self.stream(), self.subject(key));
        let stored = match self.config.direct {
            true => self.streams.direct(&stream, &subject).await?,
            false => self.streams.last(&stream, &subject).await?,
        };
        Ok(stored.and_then(|stored| entry(&self.prefix(), stored)))
    }

    async fn store(&self, key: &str, headers: &[(&str, String)], value: Bytes) -> Result<u64, StreamError> {
        let subject = self.streams.published_as(&self.subject(key));
        self.streams.store(&subject, headers, value).await
    }

    /// Sets a value; the revision it has.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn put(&self, key: &str, value: Bytes) -> Result<u64, StreamError> {
        self.store(key, &[], value).await
    }

    /// Sets a value if the last one is of that revision.
    ///
    /// # Errors
    /// [`StreamError`], a conflict among them.
    pub async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, StreamError> {
        self.store(key, &[(EXPECTED, revision.to_string())], value).await
    }

    /// Sets a value where there is none, or none any more.
    ///
    /// # Errors
    /// [`StreamError`], a conflict among them.
    pub async fn create_key(&self, key: &str, value: Bytes) -> Result<u64, StreamError> {
        match self.update(key, value.clone(), 0).await {
            Err(conflict) if conflict.is_conflict() => match self.last(key).await? {
                Some(entry) if entry.operation != Operation::Put => {
                    self.update(key, value, entry.revision).await
                }
                _ => Err(conflict),
            },
            done => done,
        }
    }

    /// Removes the value of a key; what was there before stays to be seen.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn delete(&self, key: &str) -> Result<u64, StreamError> {
        self.store(key, &[(OPERATION, "DEL".to_owned())], Bytes::new()).await
    }

    /// Removes the value of a key if it is of that revision.
    ///
    /// # Errors
    /// [`StreamError`], a conflict among them.
    pub async fn delete_at(&self, key: &str, revision: u64) -> Result<u64, StreamError> {
        let headers = [(OPERATION, "DEL".to_owned()), (EXPECTED, revision.to_string())];
        self.store(key, &headers, Bytes::new()).await
    }

    /// Removes the value of a key and all that was there before.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn purge(&self, key: &str) -> Result<u64, StreamError> {
        let headers = [(OPERATION, "PURGE".to_owned()), ("Nats-Rollup", "sub".to_owned())];
        self.store(key, &headers, Bytes::new()).await
    }

    /// Changes of keys below a pattern, of all keys by `>`.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn changes(
        &self,
        pattern: &str,
        start: Start,
        headers_only: bool,
    ) -> Result<Changes, StreamError> {
        let (stream, filter) = (self.stream(), self.subject(pattern));
        let watching = Watching::begin(&self.streams, &stream, &filter, start, headers_only).await?;
        Ok(Changes { watching, prefix: self.prefix() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_original() {
        for good in ["B", "a-b_C1"] {
            assert_eq!(check_bucket(good), Ok(()), "{good}");
        }
        for bad in ["", "a.b", "a b", "ž", "*", ">"] {
            assert!(check_bucket(bad).is_err(), "{bad}");
        }
        for good in ["k", "a.b", "a/b=c_d-e.F9", "-"] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in ["", ".", ".a", "a.", "a..b", "a b", "*", "a.>", "ž", "a\n"] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bucket_is_the_stream_that_the_original_made() {
        let text = include_str!("../../../tests/vectors/captured/machine-streams.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let requests = vectors["requests"].as_array().unwrap();
        let create = requests.iter().find(|r| r["subject"] == "$JS.API.STREAM.CREATE.KV_CFG").unwrap();
        let theirs: Value = serde_json::from_str(create["payload"].as_str().unwrap()).unwrap();
        let ours = BucketConfig { max_value_size: -1, ..BucketConfig::default() }.stream("CFG");
        for (key, value) in ours.as_object().unwrap() {
            match key.as_str() {
                // written as nothing, which means the same
                "max_bytes" => assert_eq!((value, &theirs[key]), (&json!(-1), &json!(0))),
                "duplicate_window" => assert_eq!(value, 120_000_000_000_u64),
                _ => assert_eq!(Some(value), theirs.get(key), "{key}"),
            }
        }
        assert_eq!(BucketConfig::of(&ours), BucketConfig { max_value_size: -1, ..BucketConfig::default() });
    }

    #[test]
    fn a_past_has_one_value_at_least() {
        for (history, expected) in [(0, 1), (-3, 1), (64, 64), (100, 64)] {
            let config = BucketConfig { history, ..BucketConfig::default() };
            assert_eq!(config.stream("B")["max_msgs_per_subject"], expected);
        }
        let short = BucketConfig { ttl: Duration::from_secs(5), ..BucketConfig::default() }.stream("B");
        assert_eq!(
            (&short["max_age"], &short["duplicate_window"]),
            (&json!(5_000_000_000_u64), &json!(5_000_000_000_u64))
        );
    }
}
