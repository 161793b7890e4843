//! What of a consumer of a stream its maker may have (spec 06 §15.6).
//!
//! The engine publishes what it stores where a consumer delivers, with no rights of its maker's: that has to be a place
//! where the maker may hear or publish itself. And it keeps a consumer that lasts for ever, each at the cost of some
//! 70 KB and fifteen subjects: those who may not make lasting ones make such that end soon after nobody hears them, so
//! many in a time.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::pulls;
use crate::core::nats::codec::Publish;
use crate::core::nats::subject::{self, tokens};

/// Longest request that is looked into; consumers are made by far less.
const LONGEST: usize = 16 * 1024;
/// In which time the consumers of an identity are counted.
const WINDOW: Duration = Duration::from_secs(600);
/// Consumers of an identity that deliver by themselves, are not removed, and are heard, or were a moment ago: the engine
/// has two MiB of each on their way, and up to 32 later, before it waits to be told that they came.
const LIVE: usize = 32;
const LIVE_OF_NODE: usize = 16;
/// Those that are asked, likewise: libraries leave some behind, which live for five minutes.
const LIVE_PULLED: usize = 256;
/// How long the engine keeps one that nobody hears where nothing else was asked for.
const USUALLY_IDLE: i64 = 5_000_000_000;
/// What it counts to tell the engine that what it said came: it says as much again, and more.
pub const FLOWS: usize = 4 * 1024 * 1024;
/// Nanoseconds a node's may live with nobody who hears it, and others': what libraries of NATS ask for.
const NODES_IDLE: i64 = 60_000_000_000;
const IDLE: i64 = 300_000_000_000;
/// Messages not acknowledged yet, and requests for more that wait.
const UNACKNOWLEDGED: i64 = 65_536;
const WAITING: i64 = 1024;

/// Bytes an answer to a client and to a node counts for, beside those of what is said to many: 4,096 and 256 questions a
/// second.
pub const ANSWER: usize = 256 * 1024;
const ANSWER_TO_NODE: usize = 4 * 1024 * 1024;

/// Questions that wait for their answers, which may be as large as a message; each beyond them counts so many bytes, so
/// that whoever asks them waits as well.
const UNANSWERED: usize = 64;
pub const ASKED_AT_ONCE: usize = 64 * 1024 * 1024;
/// How long an answer may take.
const ANSWERED: Duration = Duration::from_secs(5);

/// Bytes of what streams deliver, with [`DELIVERY`] more for each message, that a client may have at once, who may make no
/// lasting consumers: all that the engine says comes by one connection, in its order, and others wait for theirs behind it.
/// Nodes make one consumer at a time, of what others keep for them, which is to cut nobody.
const DELIVERED: u64 = 256 * 1024 * 1024;
/// Part of it that is forgotten in a second.
const FORGOTTEN: u64 = 8;
/// What a delivery counts beside its bytes.
const DELIVERY: usize = 256;
/// Beyond this part of it, a link that tells the engine that what it said came is not heard until so much is forgotten.
const HELD_BACK: u64 = 4;

/// Whether a message is one about streams that the engine answers.
pub fn asks(subject: &[u8], body: &[u8]) -> bool {
    let (acknowledges, flows) = (subject.starts_with(b"$JS.ACK."), subject.starts_with(b"$JS.FC."));
    // an acknowledgement may ask for more
    subject.starts_with(b"$JS.") && !flows && (!acknowledges || body.starts_with(b"+NXT"))
}

/// Bytes that a question counts for.
pub fn price(subject: &[u8], body: &[u8], node: bool) -> usize {
    let least = if node { ANSWER_TO_NODE } else { ANSWER };
    let pull = pulls::read(body).filter(|_| pulls::is_one(subject));
    pull.map_or(least, |pull| pull.price().max(least))
}

fn number(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The stream and the name of a consumer in a subject behind this word, as a number.
fn name_of(subject: &[u8], behind: &[u8]) -> u64 {
    number(tokens(subject).skip_while(|token| *token != behind).skip(1).take(2).collect::<Vec<_>>())
}

/// Whether it is asked that a consumer be removed.
pub fn is_removal(subject: &[u8]) -> bool {
    subject.starts_with(b"$JS.") && subject.windows(17).any(|window| window == b".CONSUMER.DELETE.")
}

/// Whether a message removes a consumer: the engine takes no words with it, and headers may keep it from that.
pub fn removes(message: &Publish<'_>) -> bool {
    message.headers.is_none()
        && message.body.is_empty()
        && message.subject.starts_with(b"$JS.API.CONSUMER.DELETE.")
        && tokens(message.subject).count() == 6
}

/// Whether a message makes a consumer.
pub fn makes(subject: &[u8]) -> bool {
    let after = |part: &[u8]| subject.windows(part.len()).any(|window| window == part);
    subject.starts_with(b"$JS.") && (after(b".CONSUMER.CREATE.") || after(b".CONSUMER.DURABLE.CREATE."))
}

/// The subject by which a lasting one of the same stream is made: who may publish it may make such.
pub fn lasting(subject: &[u8]) -> Vec<u8> {
    let of_request =
        |token: &&[u8]| ![&b"CREATE"[..], b"GET", b"INFO", b"DELETE", b"NEXT", b"ACK"].contains(token);
    let stream = tokens(subject).skip_while(of_request).nth(1).unwrap_or_default();
    [b"$JS.API.CONSUMER.DURABLE.CREATE.", stream, b".x"].concat()
}

/// Why somebody who may keep no lasting consumers may not ask this: by a few bytes the engine is asked for all that it
/// has, at once and however far the one who asks is behind.
pub fn asks_for_too_much(subject: &[u8], body: &[u8]) -> Option<&'static str> {
    let about = |part: &[u8]| subject.windows(part.len()).any(|window| window == part);
    let only = |members: &[&str]| {
        body.is_empty()
            || serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body)
                .is_ok_and(|asked| asked.keys().all(|key| members.contains(&key.as_str())))
    };
    match () {
        () if pulls::is_one(subject) => match pulls::read(body) {
            Some(pull) => pull.excess(),
            None => Some("it asks for messages in a way that cannot be read"),
        },
        () if subject.starts_with(b"$JS.ACK.") => {
            Some("it acknowledges a message and asks for others at once")
        }
        () if about(b".STREAM.MSG.DELETE.") && !about(b".STREAM.MSG.DELETE.GOVERNOR_") => {
            Some("it removes from a stream what others have said")
        }
        () if about(b".DIRECT.GET.") || about(b".STREAM.MSG.GET.") => {
            (!only(&["seq", "last_by_subj", "next_by_subj", "start_time"]))
                .then_some("it asks for more than one message")
        }
        () if about(b".STREAM.INFO.") => {
            (!only(&["offset"])).then_some("it asks for all subjects or messages of a stream")
        }
        () => None,
    }
}

/// Whether a message that a hub passes on is one of a stream, delivered by a consumer.
pub fn is_delivered(reply: &[u8]) -> bool {
    reply.starts_with(b"$JS.ACK.")
}

/// What a request asks for, by whatever reading of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Subjects it would deliver to.
    pub places: Vec<String>,
    /// It lasts: it has a durable name, or is one that limits do not count.
    lasts: bool,
    /// The longest time it is to live unheard, copies of it, what is not acknowledged, and requests that wait.
    idle: i64,
    replicas: i64,
    unacknowledged: i64,
    waiting: i64,
    /// It is to be kept in memory, and nothing says otherwise.
    in_memory: Option<bool>,
    /// It waits to be told that what it has delivered came, likewise.
    flow: Option<bool>,
}

impl Asked {
    /// Why somebody who may make no lasting ones may not make this one.
    pub fn excess(&self, node: bool) -> Option<&'static str> {
        let idle = if node { NODES_IDLE } else { IDLE };
        // below zero is no limit
        let beyond = |n: i64, most: i64| !(0..=most).contains(&n);
        match () {
            () if self.lasts => Some("lasts"),
            () if beyond(self.idle, idle) => Some("lives too long with nobody who hears it"),
            () if beyond(self.replicas, 1) => Some("has copies"),
            () if beyond(self.unacknowledged, UNACKNOWLEDGED) => Some("waits for too many acknowledgements"),
            () if beyond(self.waiting, WAITING) => Some("takes too many requests at a time"),
            () if node && self.in_memory != Some(true) => Some("is not in memory"),
            () if !self.places.is_empty() && self.flow != Some(true) => Some("delivers without flow_control"),
            () => None,
        }
    }
}

/// The subject by which a lasting one of the stream is made that this acknowledges, or tells to say more: its stream stands
/// behind two words, or behind four where a domain and an account are among them.
pub fn lasting_of(reply: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = tokens(reply).collect();
    let stream = parts.get(if parts.len() > 9 { 4 } else { 2 }).copied().unwrap_or_default();
    [b"$JS.API.CONSUMER.DURABLE.CREATE.", stream, b".x"].concat()
}

/// Reads the request that makes one; none where it cannot be read.
pub fn read(request: &[u8]) -> Option<Asked> {
    if request.len() > LONGEST {
        return None;
    }
    let mut asked = Asked::default();
    if request.is_empty() {
        return Some(asked);
    }
    let mut json = serde_json::Deserializer::from_slice(request);
    Walk { asked: &mut asked, within: None, place: At::Top }.deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(asked)
}

/// One that the engine keeps.
#[derive(Debug)]
struct Live {
    /// Its stream and name as a number; none where the engine has named it.
    name: Option<u64>,
    /// Where it delivers by itself; none where it is asked.
    place: Option<Box<str>>,
    /// How long it is kept with nobody who hears it, and since when that is so, as far as was looked; of one that is
    /// asked, as of when nobody asks any more.
    idle: Duration,
    unheard: Option<Duration>,
}

/// Consumers one identity has made, and what was delivered to it.
#[derive(Debug, Default)]
pub struct OfHolder {
    count: AtomicU32,
    since: AtomicU64,
    /// Those that the engine keeps, as far as is known.
    live: Mutex<Vec<Live>>,
    /// Bytes that are not forgotten yet, and as of when in milliseconds.
    delivered: AtomicU64,
    delivered_at: AtomicU64,
    /// Where questions are to be answered, as numbers, and since when; and how many they are.
    asked: Mutex<VecDeque<(Duration, u64)>>,
    unanswered: AtomicU32,
}

impl OfHolder {
    /// Whether there were any, or was anything delivered.
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0 || self.delivered.load(Ordering::Relaxed) > 0
    }

    /// Since when they are counted, milliseconds.
    pub fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed).max(self.delivered_at.load(Ordering::Relaxed))
    }

    /// One more, made by this subject; false if there are too many that somebody hears or asks, or may have a moment ago.
    pub fn begins(
        &self,
        subject: &[u8],
        asked: &Asked,
        node: bool,
        now: Duration,
        mut is_heard: impl FnMut(&str) -> bool,
    ) -> bool {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain_mut(|of| {
            if let Some(place) = &of.place {
                of.unheard = match is_heard(place) {
                    true => None,
                    false => Some(of.unheard.unwrap_or(now)),
                };
            }
            of.unheard.is_none_or(|since| now < since + of.idle)
        });
        let idle = if asked.idle > 0 { asked.idle } else { USUALLY_IDLE };
        let idle = Duration::from_nanos(u64::try_from(idle).unwrap_or_default());
        let named = tokens(subject).skip_while(|token| *token != b"CREATE").nth(2).is_some();
        let name = named.then(|| name_of(subject, b"CREATE"));
        let places: Vec<Option<Box<str>>> = match asked.places.is_empty() {
            true => vec![None],
            false => asked.places.iter().map(|place| Some(place.as_str().into())).collect(),
        };
        for place in places {
            // the same again is the same one, where it has a name
            if named {
                live.retain(|of| of.name != name || of.place != place);
            }
            let of_kind = live.iter().filter(|of| of.place.is_some() == place.is_some()).count();
            let most = match (node, &place) {
                (true, _) => LIVE_OF_NODE,
                (false, Some(_)) => LIVE,
                (false, None) => LIVE_PULLED,
            };
            if of_kind >= most {
                return false;
            }
            let unheard = place.is_none().then_some(now);
            live.push(Live { name, place, idle, unheard });
        }
        true
    }

    /// Messages of one are asked for by this subject, for so long at most: it is kept as long.
    pub fn asked(&self, subject: &[u8], lasts: Duration, now: Duration) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let name = Some(name_of(subject, b"NEXT"));
        // the name is one that the engine gave, or of somebody else
        let known = live.iter().any(|of| of.name == name);
        for of in live.iter_mut().filter(|of| if known { of.name == name } else { of.name.is_none() }) {
            of.unheard = of.unheard.map(|since| since.max(now + lasts));
        }
    }

    /// One is removed by this subject.
    pub fn ends(&self, subject: &[u8]) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let name = Some(name_of(subject, b"DELETE"));
        live.retain(|of| of.name != name);
    }

    /// A message of a stream is delivered; false if there was more than an identity may have.
    pub fn deliver(&self, bytes: usize, now: Duration) -> bool {
        let (most, now) = (DELIVERED, now.as_millis() as u64);
        // shards look at the clock one after another
        let before = self.delivered_at.fetch_max(now, Ordering::Relaxed);
        let forgotten = most / FORGOTTEN / 1000 * now.saturating_sub(before);
        let (bytes, mut fits) = ((bytes + DELIVERY) as u64, false);
        let _ = self.delivered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| {
            let owed = owed.saturating_sub(forgotten);
            fits = owed + bytes <= most;
            Some(if fits { owed + bytes } else { owed })
        });
        fits
    }

    /// For how long whoever has the engine say more is to wait.
    pub fn held_back(&self, now: Duration) -> Duration {
        let before = self.delivered_at.load(Ordering::Relaxed);
        let forgotten = DELIVERED / FORGOTTEN / 1000 * (now.as_millis() as u64).saturating_sub(before);
        let owed = self.delivered.load(Ordering::Relaxed).saturating_sub(forgotten);
        let beyond = owed.saturating_sub(DELIVERED / HELD_BACK);
        Duration::from_millis(beyond / (DELIVERED / FORGOTTEN / 1000))
    }

    /// Something is asked that is to be answered there; false if too much has no answer yet.
    pub fn asks(&self, place: &[u8], now: Duration) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|(since, _)| now < *since + ANSWERED);
        let fits = asked.len() < UNANSWERED;
        if !fits {
            asked.pop_front();
        }
        asked.push_back((now, number(place)));
        self.unanswered.store(asked.len() as u32, Ordering::Relaxed);
        fits
    }

    /// Whether a message that comes there is an answer to what was asked.
    pub fn is_answer(&self, place: &[u8]) -> bool {
        if self.unanswered.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let place = number(place);
        let Some(found) = asked.iter().position(|(_, of)| *of == place) else { return false };
        asked.remove(found);
        self.unanswered.store(asked.len() as u32, Ordering::Relaxed);
        true
    }

    /// Somebody subscribes by this pattern, who may be one that was not heard when it was looked last.
    pub fn hears(&self, pattern: &[u8]) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let places = live.iter_mut().filter_map(|of| Some((of.place.as_ref()?, &mut of.unheard)));
        for (place, unheard) in places {
            if subject::matches(pattern, place.as_bytes()) {
                *unheard = None;
            }
        }
    }

    /// Whether the one that this subject removes was made by it, as far as is known.
    pub fn has_made(&self, subject: &[u8]) -> bool {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let name = Some(name_of(subject, b"DELETE"));
        live.iter().any(|of| of.name == name)
    }

    /// One more; false if there were `most` in ten minutes.
    pub fn take(&self, most: usize, now: Duration) -> bool {
        let (most, now) = (u32::try_from(most).unwrap_or(u32::MAX), now.as_millis() as u64);
        if now >= self.since.load(Ordering::Relaxed) + WINDOW.as_millis() as u64 {
            self.since.store(now, Ordering::Relaxed);
            self.count.store(0, Ordering::Relaxed);
        }
        // the number of those refused comes round to nothing
        let take = |count: u32| (count < most).then(|| count + 1);
        self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// Members that are looked at.
#[derive(Debug, Clone, Copy)]
enum Member {
    Place,
    Durable,
    Direct,
    Idle,
    Replicas,
    Unacknowledged,
    Waiting,
    Memory,
    Flow,
}

/// A key as the engine compares it, as far as it can be that of a member.
pub(super) fn folded(key: &str) -> String {
    let folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    folded.take(64).collect()
}

/// Which member the engine takes this for: it looks at neither case nor at letters that are folded into
/// one another, and takes the last of several.
fn member(key: &str) -> Option<Member> {
    Some(match folded(key).as_str() {
        "deliver_subject" => Member::Place,
        "durable_name" => Member::Durable,
        "direct" | "sourcing" => Member::Direct,
        "inactive_threshold" => Member::Idle,
        "num_replicas" => Member::Replicas,
        "max_ack_pending" => Member::Unacknowledged,
        "max_waiting" => Member::Waiting,
        "mem_storage" => Member::Memory,
        "flow_control" => Member::Flow,
        _ => return None,
    })
}

/// Goes through a document, and keeps what members of those names say.
struct Walk<'a> {
    asked: &'a mut Asked,
    within: Option<Member>,
    place: At,
}

/// Where in a request: what is good of a consumer is so only where the engine looks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Top,
    Config,
    Elsewhere,
}

impl Walk<'_> {
    fn number(&mut self, n: i64) {
        let place = match self.within {
            Some(Member::Idle) => &mut self.asked.idle,
            Some(Member::Replicas) => &mut self.asked.replicas,
            Some(Member::Unacknowledged) => &mut self.asked.unacknowledged,
            Some(Member::Waiting) => &mut self.asked.waiting,
            Some(Member::Durable | Member::Direct) => return self.asked.lasts = true,
            Some(Member::Place | Member::Memory | Member::Flow) | None => return,
        };
        // what is less than nothing stays so
        *place = if *place < 0 || n < 0 { -1 } else { n.max(*place) };
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, of: D) -> Result<(), D::Error> {
        of.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        match self.within {
            Some(Member::Place) => self.asked.places.push(text.to_owned()),
            Some(Member::Durable) => self.asked.lasts |= !text.is_empty(),
            // a number by no reading of ours
            Some(_) => self.number(-1),
            None => {}
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<Cow<'_, str>>()? {
            let good =
                |found: &Member| self.place == At::Config || !matches!(found, Member::Flow | Member::Memory);
            let within = self.within.or_else(|| member(&key).filter(good));
            let place = match self.place {
                At::Top if folded(&key) == "config" => At::Config,
                _ => At::Elsewhere,
            };
            members.next_value_seed(Walk { asked: self.asked, within, place })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items
            .next_element_seed(Walk { asked: self.asked, within: self.within, place: At::Elsewhere })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_bool<E>(self, is: bool) -> Result<(), E> {
        match self.within {
            Some(Member::Memory) => self.asked.in_memory = Some(is && self.asked.in_memory != Some(false)),
            Some(Member::Flow) => self.asked.flow = Some(is && self.asked.flow != Some(false)),
            Some(Member::Direct | Member::Durable) => self.asked.lasts |= is,
            _ => {}
        }
        Ok(())
    }

    fn visit_i64<E>(mut self, n: i64) -> Result<(), E> {
        self.number(n);
        Ok(())
    }

    fn visit_u64<E>(mut self, n: u64) -> Result<(), E> {
        self.number(i64::try_from(n).unwrap_or(i64::MAX));
        Ok(())
    }

    fn visit_f64<E>(mut self, n: f64) -> Result<(), E> {
        self.number(if n == 0.0 { 0 } else { -1 });
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_are_answered_by_all_there_is_are_known() {
        let (kv, get) = ("$JS.API.DIRECT.GET.KV_b", "$JS.API.STREAM.MSG.GET.KV_b");
        let (of_key, info) = ("$JS.API.DIRECT.GET.KV_b.$KV.b.k", "$JS.API.STREAM.INFO.KV_b");
        for (subject, body, good) in [
            (kv, "", true),
            (of_key, "", true),
            (kv, r#"{"last_by_subj":"$KV.b.k"}"#, true),
            (get, r#"{"seq":7}"#, true),
            (get, r#"{"seq":7,"batch":100}"#, false),
            (kv, r#"{"seq":1,"batch":1000000}"#, false),
            (kv, r#"{"seq":1,"Batch":10}"#, false),
            (of_key, r#"{"multi_last":[">"]}"#, false),
            (kv, "[", false),
            (info, "", true),
            (info, "{}", true),
            (info, r#"{"offset":1}"#, true),
            (info, r#"{"subjects_filter":">"}"#, false),
            (info, r#"{"Deleted_Details":true}"#, false),
            ("$JS.hub.API.STREAM.INFO.KV_b", r#"{"subjects_filter":">"}"#, false),
            ("$JS.API.STREAM.NAMES", r#"{"subject":"x"}"#, true),
            ("$JS.API.STREAM.MSG.DELETE.GOVERNOR_G", r#"{"seq":1}"#, true),
            ("$JS.API.STREAM.MSG.DELETE.CHORIA_EVENTS", r#"{"seq":1}"#, false),
            ("$JS.API.CONSUMER.MSG.NEXT.S.c", r#"{"batch":500,"expires":1}"#, true),
            ("$JS.API.CONSUMER.MSG.NEXT.S.c", r#"{"batch":5000,"expires":1}"#, false),
            ("$JS.API.CONSUMER.MSG.NEXT.S.c", "many", false),
            ("$JS.ACK.S.c.1.2.3.4.5", r#"+NXT {"batch":1,"expires":1}"#, false),
        ] {
            let found = asks_for_too_much(subject.as_bytes(), body.as_bytes());
            assert_eq!(found.is_none(), good, "{subject} {body}");
        }
    }

    #[test]
    fn so_many_deliver_at_a_time_as_are_heard() {
        let (of, at) = (OfHolder::default(), Duration::from_secs);
        let asked = |place: &str| Asked { places: vec![place.to_owned()], ..Asked::default() };
        let begins = |n: usize, now: u64, heard: bool| {
            let subject = format!("$JS.API.CONSUMER.CREATE.S.c{n}");
            of.begins(subject.as_bytes(), &asked(&format!("p{n}")), false, at(now), |_| heard)
        };
        // the same again and again is one
        assert!((0..1000).all(|_| begins(0, 0, true)));
        assert_eq!((1..1000).filter(|n| begins(*n, 0, true)).count(), LIVE - 1);
        // those that are heard stay, however long
        assert!(!begins(1000, 100_000, true));
        of.ends(b"$JS.API.CONSUMER.DELETE.S.c0");
        assert!(begins(1001, 100_000, true) && !begins(1002, 100_000, true));
        // one without a name is another one each time
        let nameless = OfHolder::default();
        let made = (0..100)
            .filter(|_| nameless.begins(b"$JS.API.CONSUMER.CREATE.S", &asked("p"), false, at(0), |_| true));
        assert_eq!(made.count(), LIVE);
        // others are gone a moment after nobody hears them
        assert!(!begins(1003, 100_001, false) && begins(1004, 100_007, false));
        assert!(of.has_made(b"$JS.API.CONSUMER.DELETE.S.c1004"));
        assert!(
            !of.has_made(b"$JS.API.CONSUMER.DELETE.S.c1") && !of.has_made(b"$JS.API.CONSUMER.DELETE.T.c1004")
        );
    }

    #[test]
    fn who_hears_again_between_two_looks_has_heard_all_the_time() {
        let (of, at) = (OfHolder::default(), Duration::from_secs);
        let begins = |n: usize, now: u64| {
            let asked = Asked { places: vec![format!("p.{n}")], ..Asked::default() };
            let subject = format!("$JS.API.CONSUMER.CREATE.S.c{n}");
            of.begins(subject.as_bytes(), &asked, false, at(now), |_| false)
        };
        assert!((0..LIVE).all(|n| begins(n, 0)));
        // deaf at each look, and not between them
        assert!(!begins(1000, 1));
        of.hears(b"p.*");
        assert!(!begins(1001, 100));
        of.hears(b"q.>");
        assert!(begins(1002, 106));
    }

    #[test]
    fn so_many_are_asked_at_a_time() {
        let (of, at) = (OfHolder::default(), Duration::from_secs);
        let begins = |n: usize, now: u64| {
            let subject = format!("$JS.API.CONSUMER.CREATE.S.c{n}");
            of.begins(subject.as_bytes(), &Asked::default(), false, at(now), |_| false)
        };
        assert_eq!((0..1000).filter(|n| begins(*n, 0)).count(), LIVE_PULLED);
        // what nobody asks is gone a moment later, what somebody asks stays as long as that waits
        of.asked(b"$JS.API.CONSUMER.MSG.NEXT.S.c7", at(60), at(0));
        assert_eq!((1000..2000).filter(|n| begins(*n, 6)).count(), LIVE_PULLED - 1);
        assert_eq!((2000..3000).filter(|n| begins(*n, 66)).count(), LIVE_PULLED);
        // one that the engine has named may be any
        let nameless = OfHolder::default();
        let create =
            || nameless.begins(b"$JS.API.CONSUMER.CREATE.S", &Asked::default(), false, at(0), |_| false);
        assert!(create() && create());
        nameless.asked(b"$JS.API.CONSUMER.MSG.NEXT.S.x7k", at(60), at(0));
        assert!(nameless.begins(b"$JS.API.CONSUMER.CREATE.S.n", &Asked::default(), false, at(30), |_| false));
        assert_eq!(nameless.live.lock().unwrap().len(), 3);
    }

    #[test]
    fn a_removal_is_one_that_the_engine_takes() {
        let message = |subject: &'static str, headers, body: &'static [u8]| Publish {
            subject: subject.as_bytes(),
            reply: None,
            headers,
            size_text: b"0",
            body,
        };
        for (subject, headers, body, does) in [
            ("$JS.API.CONSUMER.DELETE.S.c", None, &b""[..], true),
            ("$JS.API.CONSUMER.DELETE.S.c", None, b"x", false),
            ("$JS.API.CONSUMER.DELETE.S.c", Some((12, &[][..])), b"NATS/1.0\r\n\r\n", false),
            ("$JS.API.CONSUMER.DELETE.S.c.x", None, b"", false),
            ("$JS.API.CONSUMER.DELETE.S", None, b"", false),
            ("$JS.other.API.CONSUMER.DELETE.S.c", None, b"", false),
        ] {
            assert_eq!(removes(&message(subject, headers, body)), does, "{subject}");
        }
    }

    #[test]
    fn questions_cost_what_may_come() {
        let next = b"$JS.API.CONSUMER.MSG.NEXT.S.c";
        assert_eq!(price(next, br#"{"batch":2}"#, false), 2 * 1024 * 1024);
        assert_eq!(price(b"$JS.API.STREAM.INFO.S", b"", false), ANSWER);
        assert_eq!(price(b"$JS.API.STREAM.INFO.S", b"", true), ANSWER_TO_NODE);
        for (reply, stream) in
            [("$JS.ACK.S.c.1.2.3.4.5", "S"), ("$JS.ACK.domain.hash.S.c.1.2.3.4.5.x", "S"), ("$JS.ACK", "")]
        {
            let place = format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.x");
            assert_eq!(lasting_of(reply.as_bytes()), place.as_bytes(), "{reply}");
        }
    }

    #[test]
    fn so_much_is_delivered_at_once_and_then_in_a_second() {
        let of = OfHolder::default();
        let times =
            |at: u64| (0..1_000_000).take_while(|_| of.deliver(100, Duration::from_secs(at))).count() as u64;
        let each = 100 + DELIVERY as u64;
        let held_back = |at: u64| of.held_back(Duration::from_secs(at)).as_secs();
        assert_eq!(held_back(100), 0);
        assert_eq!(times(100), DELIVERED / each);
        assert_eq!(held_back(100), 6, "three quarters of it, at what is forgotten in a second");
        assert_eq!((held_back(103), held_back(107)), (3, 0), "what was read long ago holds nobody back");
        assert_eq!(times(100), 0);
        let second = times(101);
        assert!(second.abs_diff(DELIVERED / FORGOTTEN / each) < 10, "{second}");
    }

    #[test]
    fn answers_are_told_from_what_others_say() {
        let (of, at) = (OfHolder::default(), Duration::from_secs);
        assert!(!of.is_answer(b"i.1"));
        assert!((0..UNANSWERED).all(|n| of.asks(format!("i.{n}").as_bytes(), at(1))));
        assert!(!of.asks(b"i.more", at(2)), "too much has no answer yet");
        assert!(of.is_answer(b"i.7") && !of.is_answer(b"i.7") && !of.is_answer(b"other"));
        assert!(of.asks(b"i.7", at(2)) && !of.asks(b"i.8", at(3)));
        // what is never answered is not waited for
        assert!(of.asks(b"i.8", at(9)));
    }

    #[test]
    fn consumers_are_made_by_these() {
        for (subject, does) in [
            ("$JS.API.CONSUMER.CREATE.S", true),
            ("$JS.API.CONSUMER.CREATE.S.name.filter.x", true),
            ("$JS.API.CONSUMER.DURABLE.CREATE.S.name", true),
            ("$JS.hub.API.CONSUMER.CREATE.S", true),
            ("$JS.API.CONSUMER.MSG.NEXT.S.name", false),
            ("$JS.API.CONSUMER.INFO.S.CREATE", false),
            ("x.CONSUMER.CREATE.S", false),
        ] {
            assert_eq!(makes(subject.as_bytes()), does, "{subject}");
            if does {
                assert_eq!(lasting(subject.as_bytes()), b"$JS.API.CONSUMER.DURABLE.CREATE.S.x", "{subject}");
            }
        }
    }

    #[test]
    fn places_are_found_whatever_they_are_called() {
        for (request, expected) in [
            ("{}", Some(vec![])),
            (
                r#"{"stream_name":"S","config":{"deliver_subject":"a.b","deliver_policy":"all"}}"#,
                Some(vec!["a.b"]),
            ),
            (
                r#"{"config":{"Deliver_Subject":"a","deliver_subject":"b"},"config":{"DELIVER_SUBJECT":"c"}}"#,
                Some(vec!["a", "b", "c"]),
            ),
            ("{\"deliver_\u{17f}ubject\":\"a\"}", Some(vec!["a"])),
            (r#"{"deliver\u005fsubject":"a"}"#, Some(vec!["a"])),
            (r#"{"config":[{"deliver_subject":["a",{"x":"b"}]}]}"#, Some(vec!["a", "b"])),
            (r#"{"description":"deliver_subject","n":[1,-1,1.5,true,null]}"#, Some(vec![])),
            (r#"{"config":{"#, None),
            (r#"{} {"deliver_subject":"a"}"#, None),
            ("", Some(vec![])),
        ] {
            let found = read(request.as_bytes()).map(|asked| asked.places);
            let expected = expected.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found, expected, "{request}");
        }
        assert_eq!(read(&vec![b' '; LONGEST + 1]), None);
        assert_eq!(read("[".repeat(10_000).as_bytes()), None);
    }

    #[test]
    fn only_such_as_end_by_themselves_are_made_by_everybody() {
        let of = |config: &str, node| {
            let request = format!("{{\"stream_name\":\"S\",\"config\":{{{config}}}}}");
            read(request.as_bytes()).unwrap().excess(node)
        };
        for good in [
            "",
            r#""durable_name":"","inactive_threshold":300000000000,"num_replicas":1"#,
            r#""mem_storage":true,"direct":false,"max_waiting":512,"max_ack_pending":65536"#,
            r#""metadata":{"x":"y"},"filter_subjects":["durable_name"]"#,
        ] {
            assert_eq!(of(good, false), None, "{good}");
        }
        for bad in [
            r#""durable_name":"d""#,
            r#""Durable_Name":"d","durable_name":"""#,
            r#""durable_name":"","durable_name":"d""#,
            r#""direct":true"#,
            r#""sourcing":true"#,
            r#""inactive_threshold":300000000001"#,
            r#""inactive_threshold":18446744073709551615"#,
            r#""inactive_threshold":-1"#,
            r#""inactive_threshold":-1,"inactive_threshold":5"#,
            r#""inactive_threshold":6e20"#,
            r#""num_replicas":3"#,
            r#""max_ack_pending":-1"#,
            r#""max_ack_pending":1000000"#,
            r#""max_waiting":100000"#,
        ] {
            assert!(of(bad, false).is_some() && of(bad, true).is_some(), "{bad}");
        }
        let own = r#""name":"n","ack_policy":"none","mem_storage":true,"inactive_threshold":60000000000"#;
        assert_eq!(of(own, true), None);
        for bad in [r#""mem_storage":false"#, r#""mem_storage":false,"mem_storage":true"#, ""] {
            assert_eq!(of(bad, true), Some("is not in memory"), "{bad}");
        }
        assert!(of(r#""mem_storage":true,"inactive_threshold":60000000001"#, true).is_some());
    }

    #[test]
    fn an_identity_makes_so_many_in_a_time() {
        let (holder, at) = (OfHolder::default(), Duration::from_secs);
        assert!((0..5).all(|_| holder.take(5, at(1000))) && !holder.take(5, at(1599)));
        assert!(holder.take(5, at(1600)));
    }

    #[test]
    fn fuzz_requests_of_anybody() {
        bolero::check!().with_iterations(5_000).for_each(|bytes: &[u8]| {
            let _ = read(bytes).map(|asked| asked.excess(true));
            let _ = lasting(bytes);
        });
    }
}
