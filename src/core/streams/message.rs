//! A message as a stream has it. Pure.

use async_nats::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use crate::core::connection::Message;

/// Says what became of a key.
const OPERATION: &str = "KV-Operation";
/// Why a server has put a message that says that there is none.
const MARKER: &str = "Nats-Marker-Reason";
/// What such a message comes to.
const PURGE: &str = "PURGE";

/// A message as a stream has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What it was said to.
    pub subject: String,
    /// Its number.
    pub sequence: u64,
    /// When it was stored.
    pub created: Timestamp,
    /// What it says.
    pub payload: Bytes,
    /// `KV-Operation`, where it has one.
    pub operation: Option<String>,
    /// How many there are behind it that are still to be delivered.
    pub pending: u64,
}

impl Stored {
    /// Of `STREAM.MSG.GET`.
    pub(super) fn of_answer(message: &Value) -> Option<Stored> {
        let bytes = |name: &str| match message.get(name) {
            None => Some(vec![]),
            Some(text) => STANDARD.decode(text.as_str()?).ok(),
        };
        let headers = String::from_utf8(bytes("hdrs")?).ok()?;
        // the first line is a version
        let header = |name: &str| {
            headers.lines().skip(1).find_map(|line| {
                let (said, value) = line.split_once(':')?;
                (said == name).then(|| value.trim().to_owned())
            })
        };
        Some(Stored {
            subject: message["subject"].as_str()?.to_owned(),
            sequence: message["seq"].as_u64()?,
            created: message["time"].as_str()?.parse().ok()?,
            payload: bytes("data")?.into(),
            operation: header(OPERATION).or_else(|| header(MARKER).map(|_| PURGE.to_owned())),
            pending: 0,
        })
    }

    /// Of `DIRECT.GET`.
    pub(super) fn of_direct(message: &Message) -> Option<Stored> {
        let headers = message.headers.as_ref()?;
        // what the server says stands behind what whoever stored it has said
        let header = |name: &str| headers.get_all(name).last().map(|value| value.as_str());
        Some(Stored {
            subject: header("Nats-Subject")?.to_owned(),
            sequence: header("Nats-Sequence")?.parse().ok()?,
            created: header("Nats-Time-Stamp")?.parse().ok()?,
            payload: message.payload.clone(),
            operation: operation(headers),
            pending: 0,
        })
    }

    /// Of a consumer, with its number there.
    pub(super) fn of_delivery(message: &Message) -> Option<(u64, Stored)> {
        let at = Delivery::parse(message.reply.as_deref()?)?;
        let stored = Stored {
            subject: message.subject.to_string(),
            sequence: at.stream_sequence,
            created: at.created,
            payload: message.payload.clone(),
            operation: message.headers.as_ref().and_then(operation),
            pending: at.pending,
        };
        Some((at.consumer_sequence, stored))
    }
}

fn operation(headers: &HeaderMap) -> Option<String> {
    let said = headers.get(OPERATION).map(|value| value.as_str().to_owned());
    said.or_else(|| headers.get(MARKER).map(|_| PURGE.to_owned()))
}

/// What the subject of an acknowledgement says of a message.
#[derive(Debug, PartialEq, Eq)]
struct Delivery {
    stream_sequence: u64,
    consumer_sequence: u64,
    created: Timestamp,
    pending: u64,
}

impl Delivery {
    /// Of `$JS.ACK.stream.consumer.tries.sequence.consumer-sequence.time.pending`, with a domain and the hash of an
    /// account before the stream in newer releases.
    fn parse(subject: &str) -> Option<Delivery> {
        let tokens: Vec<&str> = subject.split('.').collect();
        let first = match tokens.len() {
            9 => 5,
            11.. => 7,
            _ => return None,
        };
        if !subject.starts_with("$JS.ACK.") {
            return None;
        }
        let number = |at: usize| tokens.get(first + at)?.parse::<u64>().ok();
        let nanoseconds = i128::from(number(2)?);
        Some(Delivery {
            stream_sequence: number(0)?,
            consumer_sequence: number(1)?,
            created: Timestamp::from_nanosecond(nanoseconds).ok()?,
            pending: number(3)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deliveries_of_both_forms_are_read_and_others_are_not() {
        let expected = Delivery {
            stream_sequence: 7,
            consumer_sequence: 2,
            created: Timestamp::from_nanosecond(1_700_000_000_000_000_001).unwrap(),
            pending: 3,
        };
        for subject in [
            "$JS.ACK.KV_B.c.1.7.2.1700000000000000001.3",
            "$JS.ACK._.hash.KV_B.c.1.7.2.1700000000000000001.3.random",
            "$JS.ACK._.hash.KV_B.c.1.7.2.1700000000000000001.3",
        ] {
            assert_eq!(Delivery::parse(subject).as_ref(), Some(&expected), "{subject}");
        }
        for subject in [
            "",
            "$JS.ACK",
            "x.JS.KV_B.c.1.7.2.1.3",
            "$JS.ACK.KV_B.c.1.x.2.1.3",
            "$JS.ACK.KV_B.c.1.7.2.99999999999999999999.3",
            "$JS.ACK.KV_B.c.1.-7.2.1.3",
        ] {
            assert_eq!(Delivery::parse(subject), None, "{subject}");
        }
    }

    #[test]
    fn answers_are_read_with_their_headers() {
        let answer = json!({
            "subject": "$KV.B.k", "seq": 4, "time": "2026-01-02T03:04:05.6Z",
            "hdrs": STANDARD.encode("NATS/1.0\r\nKV-Operation: DEL\r\n\r\n"),
        });
        let stored = Stored::of_answer(&answer).unwrap();
        assert_eq!((stored.sequence, stored.operation.as_deref(), stored.payload.len()), (4, Some("DEL"), 0));
        let plain = json!({"subject": "s", "seq": 1, "time": "2026-01-02T03:04:05Z", "data": "aGk="});
        assert_eq!(&Stored::of_answer(&plain).unwrap().payload[..], b"hi");
        for broken in [
            json!({}),
            json!({"subject": "s", "seq": 1, "time": "x"}),
            json!({"subject": "s", "seq": 1, "time": "2026-01-02T03:04:05Z", "data": "!"}),
        ] {
            assert_eq!(Stored::of_answer(&broken), None, "{broken}");
        }
    }

    #[test]
    fn fuzz_subjects_of_acknowledgements() {
        bolero::check!().with_type::<String>().for_each(|text| {
            let _ = Delivery::parse(text);
            let _ = Delivery::parse(&format!("$JS.ACK.{text}"));
        });
    }
}
