//! What of a consumer of a stream its maker may have (spec 06 §15.6).
//!
//! The engine publishes what it stores where a consumer delivers, with no rights of its maker's: that has to be a place
//! where the maker may hear or publish itself. And it keeps a consumer that lasts for ever, each at the cost of some
//! 70 KB and fifteen subjects: those who may not make lasting ones make such that end soon after nobody hears them, so
//! many in a time.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::core::nats::subject::tokens;

/// Longest request that is looked into; consumers are made by far less.
const LONGEST: usize = 16 * 1024;
/// In which time the consumers of an identity are counted.
const WINDOW: Duration = Duration::from_secs(600);
/// Nanoseconds a node's may live with nobody who hears it, and others': what libraries of NATS ask for.
const NODES_IDLE: i64 = 60_000_000_000;
const IDLE: i64 = 300_000_000_000;
/// Messages not acknowledged yet, and requests for more that wait.
const UNACKNOWLEDGED: i64 = 65_536;
const WAITING: i64 = 1024;

/// Bytes an answer to a client and to a node counts for, beside those of what is said to many: 4,096 and 256 questions a
/// second.
pub const ANSWER: usize = 256 * 1024;
pub const ANSWER_TO_NODE: usize = 4 * 1024 * 1024;

/// Whether a message is one about streams that the engine answers.
pub fn asks(subject: &[u8]) -> bool {
    subject.starts_with(b"$JS.") && !subject.starts_with(b"$JS.ACK.") && !subject.starts_with(b"$JS.FC.")
}

/// Whether a message makes a consumer.
pub fn makes(subject: &[u8]) -> bool {
    let after = |part: &[u8]| subject.windows(part.len()).any(|window| window == part);
    subject.starts_with(b"$JS.") && (after(b".CONSUMER.CREATE.") || after(b".CONSUMER.DURABLE.CREATE."))
}

/// The subject by which a lasting one of the same stream is made: who may publish it may make such.
pub fn lasting(subject: &[u8]) -> Vec<u8> {
    let stream = tokens(subject).skip_while(|token| *token != b"CREATE").nth(1).unwrap_or_default();
    [b"$JS.API.CONSUMER.DURABLE.CREATE.", stream, b".x"].concat()
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
            () => None,
        }
    }
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
    Walk { asked: &mut asked, within: None }.deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(asked)
}

/// Consumers one identity has made.
#[derive(Debug, Default)]
pub struct OfHolder {
    count: AtomicU32,
    since: AtomicU64,
}

impl OfHolder {
    /// Whether there were any.
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Since when they are counted, milliseconds.
    pub fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
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
}

/// Which member the engine takes this for: it looks at neither case nor at letters that are folded into
/// one another, and takes the last of several.
fn member(key: &str) -> Option<Member> {
    let folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    Some(match folded.take(64).collect::<String>().as_str() {
        "deliver_subject" => Member::Place,
        "durable_name" => Member::Durable,
        "direct" | "sourcing" => Member::Direct,
        "inactive_threshold" => Member::Idle,
        "num_replicas" => Member::Replicas,
        "max_ack_pending" => Member::Unacknowledged,
        "max_waiting" => Member::Waiting,
        "mem_storage" => Member::Memory,
        _ => return None,
    })
}

/// Goes through a document, and keeps what members of those names say.
struct Walk<'a> {
    asked: &'a mut Asked,
    within: Option<Member>,
}

impl Walk<'_> {
    fn number(&mut self, n: i64) {
        let place = match self.within {
            Some(Member::Idle) => &mut self.asked.idle,
            Some(Member::Replicas) => &mut self.asked.replicas,
            Some(Member::Unacknowledged) => &mut self.asked.unacknowledged,
            Some(Member::Waiting) => &mut self.asked.waiting,
            Some(Member::Durable | Member::Direct) => return self.asked.lasts = true,
            Some(Member::Place | Member::Memory) | None => return,
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
            let within = self.within.or_else(|| member(&key));
            members.next_value_seed(Walk { asked: self.asked, within })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk { asked: self.asked, within: self.within })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, is: bool) -> Result<(), E> {
        match self.within {
            Some(Member::Memory) => self.asked.in_memory = Some(is && self.asked.in_memory != Some(false)),
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
