//! What of a consumer of a stream its maker may have (spec 06 §15.6).
//!
//! The engine publishes what it stores where a consumer delivers, with no rights of its maker's: that has to be a place
//! where the maker may hear or publish itself. And it keeps a consumer that lasts for ever, each at the cost of some
//! 70 KB and fifteen subjects: those who may not make lasting ones make such that end soon after nobody hears them, so
//! many in a time.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::pulls::Pull;
use crate::core::nats::codec::Publish;
use crate::core::nats::subject::tokens;

/// Longest request that is looked into; consumers are made by far less.
const LONGEST: usize = 16 * 1024;
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

/// Whether a message is one about streams that the engine answers.
pub fn asks(subject: &[u8], body: &[u8]) -> bool {
    let (acknowledges, flows) = (subject.starts_with(b"$JS.ACK."), subject.starts_with(b"$JS.FC."));
    // an acknowledgement may ask for more
    subject.starts_with(b"$JS.") && !flows && (!acknowledges || body.starts_with(b"+NXT"))
}

/// Bytes that a question counts for; of one for messages what may come.
pub fn price(pull: Option<&Pull>, node: bool) -> usize {
    let least = if node { ANSWER_TO_NODE } else { ANSWER };
    pull.map_or(least, |pull| pull.price().max(least))
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
    pub(super) idle: i64,
    replicas: i64,
    unacknowledged: i64,
    waiting: i64,
    /// It is to be kept in memory, and nothing says otherwise.
    in_memory: Option<bool>,
    /// It waits to be told that what it has delivered came, likewise.
    flow: Option<bool>,
    /// It is to be made and not changed, and nothing says otherwise.
    new: Option<bool>,
}

impl Asked {
    /// Why somebody who may make no lasting ones may not make this one.
    pub fn excess(&self, node: bool) -> Option<&'static str> {
        let idle = if node { NODES_IDLE } else { IDLE };
        // below zero is no limit
        let beyond = |n: i64, most: i64| !(0..=most).contains(&n);
        match () {
            () if self.new == Some(false) => Some("may be another's that it changes"),
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

/// The stream and the name of the consumer that this acknowledges for, or tells to say more: they stand behind two words, or
/// behind four where a domain and an account are among them.
pub fn acknowledged(reply: &[u8]) -> [&[u8]; 2] {
    let parts: Vec<&[u8]> = tokens(reply).collect();
    let behind = if parts.len() > 9 { 4 } else { 2 };
    [behind, behind + 1].map(|at| parts.get(at).copied().unwrap_or_default())
}

/// The subject by which a lasting one of that stream is made.
pub fn lasting_of(reply: &[u8]) -> Vec<u8> {
    let [stream, _] = acknowledged(reply);
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
    Action,
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
        "action" => Member::Action,
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
            Some(Member::Action) => return self.asked.new = Some(false),
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
            Some(Member::Action) => {
                let is_new = text.is_empty() || text == "create";
                self.asked.new = Some(is_new && self.asked.new != Some(false));
            }
            // a number by no reading of ours
            Some(_) => self.number(-1),
            None => {}
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<Cow<'_, str>>()? {
            let good = |found: &Member| match found {
                Member::Flow | Member::Memory => self.place == At::Config,
                Member::Action => self.place == At::Top,
                _ => true,
            };
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
    use super::super::pulls;
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
            ("$JS.ACK.S.c.1.2.3.4.5", r#"+NXT {"batch":1,"expires":1}"#, false),
        ] {
            let found = asks_for_too_much(subject.as_bytes(), body.as_bytes());
            assert_eq!(found.is_none(), good, "{subject} {body}");
        }
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
        let pull = pulls::read(br#"{"batch":2}"#);
        assert_eq!(price(pull.as_ref(), false), 2 * 1024 * 1024);
        assert_eq!((price(None, false), price(None, true)), (ANSWER, ANSWER_TO_NODE));
        for (reply, stream) in
            [("$JS.ACK.S.c.1.2.3.4.5", "S"), ("$JS.ACK.domain.hash.S.c.1.2.3.4.5.x", "S"), ("$JS.ACK", "")]
        {
            let place = format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.x");
            assert_eq!(lasting_of(reply.as_bytes()), place.as_bytes(), "{reply}");
        }
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
    fn one_that_is_to_be_changed_is_known() {
        for request in
            [r#"{"action":"update"}"#, r#"{"action":"create","Action":"update"}"#, r#"{"action":1}"#]
        {
            let asked = read(request.as_bytes()).unwrap();
            assert_eq!(asked.excess(false), Some("may be another's that it changes"), "{request}");
        }
        assert_eq!(read(br#"{"action":""}"#).unwrap().excess(false), None);
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
    fn fuzz_requests_of_anybody() {
        bolero::check!().with_iterations(5_000).for_each(|bytes: &[u8]| {
            let _ = read(bytes).map(|asked| asked.excess(true));
            let _ = lasting(bytes);
        });
    }
}
