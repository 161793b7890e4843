//! Governors: so many at a time may do something (spec 06 §15.3).
//!
//! One is a stream that takes no more messages than there are slots. A slot is a message, held until
//! it is removed or too old: whoever dies gives it back by and by.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::asking::Streams;
use super::error::{FULL, StreamError};
use super::watching::{Heard, Start, Watching};

const STREAM: &str = "GOVERNOR_";
/// How long the answer to a request for a slot is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often such a request is told again when nobody answers: it is known by its id, so it never takes two.
const REPEATS: usize = 3;
/// How long is waited between tries to learn whether a request whose asker is gone has taken a slot.
const SETTLING: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// Makes that a request that is told twice takes one slot.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// How a governor is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GovernorConfig {
    /// Slots.
    pub capacity: u64,
    /// After so long a slot is free in any case; zero for never.
    pub expire: Duration,
    /// Copies.
    pub replicas: i64,
    /// Where slots are asked for.
    pub subject: String,
}

impl GovernorConfig {
    /// The stream of a governor of that name.
    pub fn stream(&self, name: &str) -> Value {
        json!({
            "name": format!("{STREAM}{name}"), "description": format!("Concurrency Governor {name}"),
            "subjects": [self.subject], "retention": "limits", "discard": "new", "storage": "file",
            "max_msgs": self.capacity, "max_age": u64::try_from(self.expire.as_nanos()).unwrap_or(u64::MAX / 2),
            "num_replicas": self.replicas, "max_consumers": -1, "max_msgs_per_subject": -1, "max_bytes": -1,
            "max_msg_size": -1,
        })
    }

    /// Of the configuration of a stream.
    pub fn of(stream: &Value) -> GovernorConfig {
        GovernorConfig {
            capacity: stream["max_msgs"].as_u64().unwrap_or(0),
            expire: Duration::from_nanos(stream["max_age"].as_u64().unwrap_or(0)),
            replicas: stream["num_replicas"].as_i64().unwrap_or(1),
            subject: stream["subjects"][0].as_str().unwrap_or_default().to_owned(),
        }
    }
}

/// A name that no governor can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no name of a governor: letters, digits, _ and - make one")]
pub struct NameError(String);

/// Who holds a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Number of the slot.
    pub slot: u64,
    /// Whoever asked for it says so.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
}

/// A governor, be it there or not.
#[derive(Clone)]
pub struct Governor {
    streams: Streams,
    name: String,
    subject: String,
}

impl fmt::Debug for Governor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Governor").field("name", &self.name).field("subject", &self.subject).finish()
    }
}

/// Where slots of a governor are asked for.
pub fn subject(collective: &str, name: &str) -> String {
    format!("{collective}.governor.{name}")
}

/// Checks the name of a governor.
///
/// # Errors
/// [`NameError`].
pub fn check_name(name: &str) -> Result<(), NameError> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !name.is_empty() && name.chars().all(of_name) {
        true => Ok(()),
        false => Err(NameError(name.to_owned())),
    }
}

impl Governor {
    /// That of a name in a collective.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn new(streams: &Streams, collective: &str, name: &str) -> Result<Governor, NameError> {
        check_name(name)?;
        let streams = streams.clone();
        Ok(Governor { streams, name: name.to_owned(), subject: subject(collective, name) })
    }

    /// Names of all.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn names(streams: &Streams) -> Result<Vec<String>, StreamError> {
        let names = streams.names(None).await?;
        let mut names: Vec<String> =
            names.iter().filter_map(|name| name.strip_prefix(STREAM).map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its slots are asked for.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    fn stream(&self) -> String {
        format!("{STREAM}{}", self.name)
    }

    /// How it is kept, and its stream's state; nothing where it is not there.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn info(&self) -> Result<Option<(GovernorConfig, Value)>, StreamError> {
        let info = self.streams.info(&self.stream()).await?;
        Ok(info.map(|info| (GovernorConfig::of(&info["config"]), info)))
    }

    /// Makes it.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn create(&self, config: &GovernorConfig) -> Result<(), StreamError> {
        self.streams.create(&self.stream(), &config.stream(&self.name)).await.map(drop)
    }

    /// Has it kept as wanted, from how it is; its number of copies stays.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn change(&self, info: &Value, wanted: &GovernorConfig) -> Result<(), StreamError> {
        let mut stream = info["config"].clone();
        let wanted = wanted.stream(&self.name);
        for key in ["max_msgs", "max_age", "subjects"] {
            stream[key] = wanted[key].clone();
        }
        // which may be no longer than the messages themselves
        let age = wanted["max_age"].as_u64().filter(|age| *age > 0).unwrap_or(u64::MAX);
        if stream["duplicate_window"].as_u64().is_some_and(|window| window > age) {
            stream["duplicate_window"] = age.into();
        }
        self.streams.update(&self.stream(), &stream).await.map(drop)
    }

    /// Removes it; whether it was there.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn delete(&self) -> Result<bool, StreamError> {
        self.streams.delete(&self.stream()).await
    }

    /// Frees all slots; how many there were.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn reset(&self) -> Result<u64, StreamError> {
        self.streams.purge(&self.stream(), None).await
    }

    /// Who holds its slots, the oldest first.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn holders(&self) -> Result<Vec<Holder>, StreamError> {
        let mut holders = vec![];
        let mut watching =
            Watching::begin(&self.streams, &self.stream(), &self.subject, Start::Oldest, false).await?;
        while let Heard::Stored(stored) = watching.next().await? {
            holders.push(Holder {
                slot: stored.sequence,
                name: String::from_utf8_lossy(&stored.payload).into_owned(),
                since: stored.created,
            });
        }
        Ok(holders)
    }

    /// Takes a slot, if there is one.
    ///
    /// # Errors
    /// [`StreamError`]; of a governor that is not there it is [`StreamError::Nobody`].
    pub async fn enter(&self, holder: &str) -> Result<Option<u64>, StreamError> {
        Entry::new(self, holder).ask().await
    }

    /// Asks for a slot by an id, and asks again by it while nobody answers.
    async fn ask(&self, id: &str, holder: &Bytes) -> Result<Option<u64>, StreamError> {
        let id = [(MESSAGE_ID, id.to_owned())];
        let streams = self.streams.within(PATIENCE);
        let mut told = 0;
        loop {
            told += 1;
            match streams.store(&self.subject, &id, holder.clone()).await {
                Ok(slot) => return Ok(Some(slot)),
                Err(error) if error.code() == Some(FULL) => return Ok(None),
                Err(error) if error.may_be_done() && told < REPEATS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives back what was taken by an id, whose answer nobody waits for any more.
    async fn settle(self, id: String, holder: Bytes) {
        for pause in SETTLING {
            match self.ask(&id, &holder).await {
                Ok(Some(slot)) => return self.give_back(slot).await,
                Err(error) if is_open(&error) => tokio::time::sleep(pause).await,
                Ok(None) | Err(_) => return,
            }
        }
    }

    async fn give_back(self, slot: u64) {
        if let Err(e) = self.leave(slot).await {
            tracing::warn!(governor = self.name, "slot {slot} is not given back: {e}");
        }
    }

    /// Gives a slot back without waiting for it; [`Streams::settled`] does.
    pub fn drop_slot(&self, slot: u64) {
        self.streams.go_on(self.clone().give_back(slot));
    }

    /// Takes a slot as soon as there is one, or as soon as somebody answers; nothing when there was none within `limit`. `pause` says how long to wait
    /// after the nth try.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn wait(
        &self,
        holder: &str,
        limit: Duration,
        mut pause: impl FnMut(u32) -> Duration,
    ) -> Result<Option<u64>, StreamError> {
        let until = Instant::now() + limit;
        let mut entry = Entry::new(self, holder);
        let mut tried = 0;
        loop {
            let so_far = match entry.ask().await {
                Ok(Some(slot)) => return Ok(Some(slot)),
                Ok(None) => Ok(None),
                // a broker that is away for a while is no reason to give up
                Err(error) if error.may_be_done() => Err(error),
                Err(error) => return Err(error),
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return so_far;
            }
            tokio::time::sleep(pause(tried).min(left)).await;
            tried = tried.saturating_add(1);
        }
    }

    /// Whether a slot is held still.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn holds(&self, slot: u64) -> Result<bool, StreamError> {
        Ok(self.streams.message(&self.stream(), slot).await?.is_some())
    }

    /// Gives a slot back; whether it was held.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn leave(&self, slot: u64) -> Result<bool, StreamError> {
        self.streams.remove(&self.stream(), slot).await
    }
}

/// Whether a slot may have been taken all the same, by this request or by one before it of the same id.
fn is_open(error: &StreamError) -> bool {
    error.may_be_done() || matches!(error, StreamError::Publish(..))
}

/// Asks for a slot. What it may have taken when it goes before it is answered is given back.
struct Entry<'a> {
    governor: &'a Governor,
    holder: Bytes,
    /// Of what is not answered yet.
    id: Option<String>,
}

impl<'a> Entry<'a> {
    fn new(governor: &'a Governor, holder: &str) -> Entry<'a> {
        Entry { governor, holder: Bytes::copy_from_slice(holder.as_bytes()), id: None }
    }

    async fn ask(&mut self) -> Result<Option<u64>, StreamError> {
        let id = self.id.get_or_insert_with(|| uuid::Uuid::new_v4().to_string());
        let answer = self.governor.ask(id, &self.holder).await;
        if !answer.as_ref().is_err_and(is_open) {
            self.id = None;
        }
        answer
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let governor = self.governor.clone();
            self.governor.streams.go_on(governor.settle(id, self.holder.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::core::connection::Session;
    use crate::core::connection::misbehaving::{accept, options};

    /// Hears a client up to a request for `subject`, and says where it wants to be answered: subject and subscription.
    async fn asked(broker: &mut TcpStream, heard: &mut String, subject: &str) -> (String, String) {
        loop {
            let lines: Vec<Vec<&str>> = heard.split("\r\n").map(|line| line.split(' ').collect()).collect();
            let ask = lines.iter().rposition(|line| line.len() > 3 && line[1] == subject);
            if let Some(at) = ask.filter(|at| lines.len() > at + 2) {
                let reply = lines[at][2].to_owned();
                let sub = lines.iter().find(|line| line[0] == "SUB" && line[1] == reply).unwrap();
                return (reply, sub[2].to_owned());
            }
            let mut bytes = vec![0; 4096];
            let read = broker.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "the client went");
            heard.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
    }

    async fn answer(broker: &mut TcpStream, (reply, sid): (String, String), text: &str) {
        let text = format!("MSG {reply} {sid} {}\r\n{text}\r\n", text.len());
        broker.write_all(text.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn whoever_goes_before_he_is_answered_holds_no_slot() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (session, mut broker) = tokio::join!(Session::connect(options(&listener)), accept(&listener));
        let session = session.unwrap();
        let streams = Streams::new(session.clone(), "mcollective.reply.x");
        let governor = Governor::new(&streams, "mcollective", "T").unwrap();
        let waits = tokio::spawn(async move { governor.wait("me", PATIENCE * 60, |_| PATIENCE).await });
        let mut heard = String::new();
        asked(&mut broker, &mut heard, "mcollective.governor.T").await;
        waits.abort();
        assert!(waits.await.unwrap_err().is_cancelled());
        // what it asked for had been given, as it turns out when it is asked by the same id
        let id = |heard: &str| {
            let at = heard.find(MESSAGE_ID).map(|at| at + MESSAGE_ID.len() + 2).unwrap();
            heard[at..at + 36].to_owned()
        };
        let first = id(&heard);
        heard.clear();
        let to = asked(&mut broker, &mut heard, "mcollective.governor.T").await;
        assert_eq!(id(&heard), first);
        answer(&mut broker, to, r#"{"stream":"GOVERNOR_T","seq":7,"duplicate":true}"#).await;
        let delete = "$JS.API.STREAM.MSG.DELETE.GOVERNOR_T";
        let to = asked(&mut broker, &mut heard, delete).await;
        assert!(heard.contains(r#""seq":7"#), "{heard}");
        let done = tokio::spawn(async move { streams.settled(PATIENCE * 60).await });
        answer(&mut broker, to, r#"{"success":true}"#).await;
        assert!(done.await.unwrap(), "something goes on still");
        session.close().await;
    }

    #[test]
    fn a_governor_is_the_stream_of_the_original() {
        let text = include_str!("../../../tests/vectors/captured/machine-streams.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let requests = vectors["requests"].as_array().unwrap();
        let create =
            requests.iter().find(|r| r["subject"] == "$JS.API.STREAM.CREATE.GOVERNOR_mt_gov").unwrap();
        let theirs: Value = serde_json::from_str(create["payload"].as_str().unwrap()).unwrap();
        let config = GovernorConfig {
            capacity: 1,
            expire: Duration::from_secs(60),
            replicas: 1,
            subject: subject("mcollective", "mt_gov"),
        };
        let ours = config.stream("mt_gov");
        for (key, value) in ours.as_object().unwrap() {
            assert_eq!(Some(value), theirs.get(key), "{key}");
        }
        assert_eq!(GovernorConfig::of(&theirs), config);
    }

    #[test]
    fn names_are_one_word() {
        assert_eq!(check_name("PUPPET_1-a"), Ok(()));
        for bad in ["", "a.b", "a b", "*", ">"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
