//! What an identity has of what streams say: its consumers, what they deliver, and questions that wait for answers.
//!
//! All that the engine says comes by one connection, in its order, so that others wait behind what one has it say.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::consumers::{self, Asked};
use super::making::Making;
use crate::core::nats::subject::{self, tokens};

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
/// Questions that wait for their answers, which may be as large as a message; each beyond them counts so many bytes, so
/// that whoever asks them waits as well.
const UNANSWERED: usize = 64;
pub const ASKED_AT_ONCE: usize = 64 * 1024 * 1024;
/// How long an answer may take; and one that says whose a consumer is, which is looked for longer.
const ANSWERED: Duration = Duration::from_secs(5);
const MADE_WITHIN: Duration = Duration::from_secs(60);
/// Consumers of which is known whose they are: as many as are made in [`WINDOW`].
const MADE: usize = 2048;

/// Bytes of what streams deliver, with [`DELIVERY`] more for each message, that a client may have at once, who may make no
/// lasting consumers: all that the engine says comes by one connection, in its order, and others wait for theirs behind it.
/// Nodes make one consumer at a time, of what others keep for them, which is to cut nobody.
const DELIVERED: u64 = 256 * 1024 * 1024;
/// Bytes of it that are forgotten in a millisecond: an eighth in a second.
const FORGOTTEN: u64 = DELIVERED / 8 / 1000;
/// What a delivery counts beside its bytes.
const DELIVERY: usize = 256;
/// Beyond this part of it, a link that tells the engine that what it said came is not heard until so much is forgotten.
const HELD_BACK: u64 = 4;

fn number(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The stream and the name of a consumer in a subject behind this word, as a number.
fn name_of(subject: &[u8], behind: &[u8]) -> u64 {
    number(tokens(subject).skip_while(|token| *token != behind).skip(1).take(2).collect::<Vec<_>>())
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
    /// Where questions are to be answered, as numbers, until when that is looked for, and whether they make a consumer;
    /// and how many they are.
    asked: Mutex<VecDeque<Question>>,
    unanswered: AtomicU32,
    /// Consumers that the engine said it has made for it.
    made: Mutex<Made>,
}

/// Consumers of an identity.
#[derive(Debug, Default)]
struct Made {
    /// As numbers, with when each was used last, in uses of all of them.
    used: HashMap<u64, u64>,
    count: u64,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Question {
    until: Duration,
    place: u64,
    makes: Option<Making>,
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
        drop(live);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = name {
            made.used.remove(&name);
        }
    }

    /// A message of a stream is delivered; false if there was more than an identity may have.
    pub fn deliver(&self, bytes: usize, now: Duration) -> bool {
        let now = now.as_millis() as u64;
        // shards look at the clock one after another
        let before = self.delivered_at.fetch_max(now, Ordering::Relaxed);
        let forgotten = FORGOTTEN * now.saturating_sub(before);
        let (bytes, mut fits) = ((bytes + DELIVERY) as u64, false);
        let _ = self.delivered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| {
            let owed = owed.saturating_sub(forgotten);
            fits = owed + bytes <= DELIVERED;
            Some(if fits { owed + bytes } else { owed })
        });
        fits
    }

    /// For how long whoever has the engine say more is to wait.
    pub fn held_back(&self, now: Duration) -> Duration {
        let before = self.delivered_at.load(Ordering::Relaxed);
        let forgotten = FORGOTTEN * (now.as_millis() as u64).saturating_sub(before);
        let owed = self.delivered.load(Ordering::Relaxed).saturating_sub(forgotten);
        let beyond = owed.saturating_sub(DELIVERED / HELD_BACK);
        Duration::from_millis(beyond / FORGOTTEN)
    }

    /// Something is asked that is to be answered there; false if too much has no answer yet. What `makes` a consumer is
    /// its maker's once the engine says so.
    pub fn asks(&self, place: &[u8], makes: Option<Making>, now: Duration) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|question| now < question.until);
        let fits = asked.len() < UNANSWERED;
        if !fits {
            asked.pop_front();
        }
        let until = now + if makes.is_some() { MADE_WITHIN } else { ANSWERED };
        asked.push_back(Question { until, place: number(place), makes });
        self.unanswered.store(asked.len() as u32, Ordering::Relaxed);
        fits
    }

    /// Whether a message that comes there by the engine is an answer to what was asked. It may be somebody else's word:
    /// that the engine has made a consumer says only what was told to the engine alone.
    pub fn is_answer(&self, place: &[u8], said: &[u8]) -> bool {
        if self.unanswered.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let place = number(place);
        let Some(mut found) = asked.iter().position(|question| question.place == place) else { return false };
        // several may be answered at one place
        let there = || asked.iter().filter(|question| question.place == place);
        let said = there().any(|question| question.makes.is_some()).then(|| Making::said(said)).flatten();
        let is_made =
            |question: &Question| question.place == place && said.is_some() && question.makes == said;
        let made = asked.iter().position(is_made);
        found = made.unwrap_or(found);
        asked.remove(found);
        self.unanswered.store(asked.len() as u32, Ordering::Relaxed);
        drop(asked);
        if let (Some(_), Some(Making { stream, name, .. })) = (made, said) {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            if made.used.len() >= MADE
                && let Some(oldest) = made.used.iter().min_by_key(|(_, used)| **used).map(|(name, _)| *name)
            {
                made.used.remove(&oldest);
            }
            made.count += 1;
            let count = made.count;
            made.used.insert(number(vec![stream.as_bytes(), name.as_bytes()]), count);
        }
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

    /// Whether the consumer that this subject removes, asks for messages or acknowledges for is its own.
    pub fn has_made(&self, subject: &[u8]) -> bool {
        let name = match () {
            () if subject.starts_with(b"$JS.ACK.") => number(consumers::acknowledged(subject).to_vec()),
            () if consumers::is_removal(subject) => name_of(subject, b"DELETE"),
            () => name_of(subject, b"NEXT"),
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.count += 1;
        let count = made.count;
        made.used.get_mut(&name).map(|used| *used = count).is_some()
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

#[cfg(test)]
mod tests {
    use super::super::consumers::read;
    use super::super::making::marked;
    use super::*;

    fn delivers_to(place: &str) -> Asked {
        read(format!("{{\"config\":{{\"deliver_subject\":\"{place}\"}}}}").as_bytes()).unwrap()
    }

    #[test]
    fn so_many_deliver_at_a_time_as_are_heard() {
        let (of, at) = (OfHolder::default(), Duration::from_secs);
        let asked = delivers_to;
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
        // what was tried is nobody's yet
        assert!(!of.has_made(b"$JS.API.CONSUMER.DELETE.S.c1004"));
    }

    #[test]
    fn a_consumer_is_its_makers_once_the_engine_says_so() {
        let (of, at) = (OfHolder::default(), Duration::from_secs);
        let places = |name: &str| {
            [
                format!("$JS.API.CONSUMER.DELETE.S.{name}"),
                format!("$JS.API.CONSUMER.MSG.NEXT.S.{name}"),
                format!("$JS.ACK.S.{name}.1.2.3.4.5"),
                format!("$JS.ACK.domain.hash.S.{name}.1.2.3.4.5.x"),
            ]
        };
        let owns = |name: &str| places(name).map(|place| of.has_made(place.as_bytes()));
        let answer = |place: &str, said: &str| of.is_answer(place.as_bytes(), said.as_bytes());
        let made_of = |name: &str| {
            let subject = format!("$JS.API.CONSUMER.CREATE.S.{name}");
            marked(subject.as_bytes(), b"", |_, name| format!("mark of {name}")).unwrap()
        };
        let making = |name: &str| Some(made_of(name).0);
        for (place, makes) in [
            ("i.1", making("k7xQ")),
            ("i.2", making("keep")),
            ("i.3", None),
            ("i.4", making("other")),
            ("i.6", making("more")),
        ] {
            assert!(of.asks(place.as_bytes(), makes, at(1)));
        }
        let said = |name: &str, mark: &str| {
            format!(
                r#"{{"stream_name":"S","name":"{name}","config":{{"metadata":{{"io.choria.maker":"mark of {mark}"}}}}}}"#
            )
        };
        assert!(answer("i.1", &said("k7xQ", "k7xQ")) && !answer("i.1", &said("again", "again")));
        assert!(answer("i.2", r#"{"error":{"err_code":10148},"stream_name":"S","name":"keep"}"#));
        assert!(answer("i.3", &said("other", "other")) && answer("i.4", "{"));
        // what another one of his shows makes nothing else his
        assert!(answer("i.6", &said("more", "k7xQ")) && !answer("i.5", &said("more", "more")));
        // several may be answered at one place, in any order
        assert!(of.asks(b"i.9", making("x"), at(1)) && of.asks(b"i.9", making("y"), at(1)));
        assert!(answer("i.9", &said("y", "y")) && answer("i.9", &said("x", "x")));
        assert_eq!((owns("x"), owns("y")), ([true; 4], [true; 4]));
        assert_eq!(owns("k7xQ"), [true; 4]);
        for name in ["keep", "again", "other", "more"] {
            assert_eq!(owns(name), [false; 4], "{name}");
        }
        assert!(!of.has_made(b"$JS.API.CONSUMER.DELETE.T.k7xQ"));
        of.ends(b"$JS.API.CONSUMER.DELETE.S.k7xQ");
        assert_eq!(owns("k7xQ"), [false; 4]);
    }

    #[test]
    fn who_hears_again_between_two_looks_has_heard_all_the_time() {
        let (of, at) = (OfHolder::default(), Duration::from_secs);
        let begins = |n: usize, now: u64| {
            let asked = delivers_to(&format!("p.{n}"));
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
        assert!(second.abs_diff(FORGOTTEN * 1000 / each) < 10, "{second}");
    }

    #[test]
    fn answers_are_told_from_what_others_say() {
        let (of, at) = (OfHolder::default(), Duration::from_secs);
        assert!(!of.is_answer(b"i.1", b""));
        assert!((0..UNANSWERED).all(|n| of.asks(format!("i.{n}").as_bytes(), None, at(1))));
        assert!(!of.asks(b"i.more", None, at(2)), "too much has no answer yet");
        assert!(of.is_answer(b"i.7", b"") && !of.is_answer(b"i.7", b"") && !of.is_answer(b"other", b""));
        assert!(of.asks(b"i.7", None, at(2)) && !of.asks(b"i.8", None, at(3)));
        // what is never answered is not waited for
        assert!(of.asks(b"i.8", None, at(9)));
    }

    #[test]
    fn an_identity_makes_so_many_in_a_time() {
        let (holder, at) = (OfHolder::default(), Duration::from_secs);
        assert!((0..5).all(|_| holder.take(5, at(1000))) && !holder.take(5, at(1599)));
        assert!(holder.take(5, at(1600)));
    }
}
