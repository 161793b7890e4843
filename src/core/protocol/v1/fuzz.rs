//! Properties of the codecs, and what hostile bytes do to them: nothing.

use proptest::prelude::*;
use serde_json::Value;

use super::tests::collect_payloads;
use super::*;
use crate::core::protocol::filter::{CompoundEntry, FactFilter, FactOperator, Filter};
use crate::core::protocol::json::Scratch;
use crate::core::rpc::{ReplyBody, RequestBody};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[ -~]{0,20}", "[<>&\u{2028}\u{2029}\"\\\\\n\u{0}\u{7f}]{0,8}"]
}

fn filled() -> impl Strategy<Value = String> {
    text().prop_map(|t| if t.is_empty() { "x".into() } else { t })
}

fn operator() -> impl Strategy<Value = FactOperator> {
    prop::sample::select(vec!["==", "!=", "=~", "<", "<=", ">", ">="])
        .prop_map(|wire| FactOperator::from_wire(wire).unwrap())
}

fn filter() -> impl Strategy<Value = Filter> {
    let fact = (filled(), operator(), filled()).prop_map(|(fact, operator, value)| FactFilter {
        fact,
        operator,
        value,
    });
    let entry = prop::collection::btree_map(text(), text(), 0..3).prop_map(CompoundEntry);
    let names = || prop::collection::vec(text(), 0..4);
    (
        prop::collection::vec(fact, 0..3),
        names(),
        names(),
        names(),
        prop::collection::vec(prop::collection::vec(entry, 0..3), 0..3),
    )
        .prop_map(|(fact, cf_class, agent, identity, compound)| Filter {
            fact,
            cf_class,
            agent,
            identity,
            compound,
        })
}

fn request() -> impl Strategy<Value = Request> {
    let envelope =
        ("\\PC{32}", text(), filled(), filled(), filled(), MIN_TTL..=i64::MAX, any::<i64>(), filter())
            .prop_map(|(requestid, senderid, callerid, collective, agent, ttl, time, filter)| Envelope {
                requestid,
                senderid,
                callerid,
                collective,
                agent,
                ttl,
                time,
                filter,
            });
    (filled(), envelope).prop_map(|(message, envelope)| Request { message, envelope })
}

fn transport() -> impl Strategy<Value = Transport> {
    let federation = (text(), text(), prop::collection::vec(text(), 0..4))
        .prop_map(|(request, reply_to, targets)| Federation { request, reply_to, targets });
    let headers = (
        prop::option::of(filled()),
        text(),
        prop::collection::vec([text(), text(), text()], 0..3),
        prop::option::of(federation),
    )
        .prop_map(|(reply_to, sender, seen_by, federation)| Headers {
            reply_to,
            sender,
            seen_by,
            federation,
        });
    (any::<Vec<u8>>(), headers).prop_map(|(data, headers)| Transport { data, headers })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_transport_survives_the_wire(transport in transport()) {
        prop_assert_eq!(Transport::decode(transport.encode().as_bytes()), Ok(transport));
    }

    #[test]
    fn a_request_survives_the_wire(request in request()) {
        prop_assert_eq!(Request::decode(request.encode().as_bytes()), Ok(request));
    }

    #[test]
    fn a_secure_request_survives_the_wire(message in filled(), signature in filled(), pubcert in filled()) {
        let secure = SecureRequest { message, signature, pubcert };
        prop_assert_eq!(SecureRequest::decode(secure.encode().as_bytes()), Ok(secure));
    }

    #[test]
    fn a_sealed_reply_opens(message in text(), requestid in text(), senderid in text(), agent in text(), time: i64) {
        let (requestid, senderid, agent) = (requestid.into(), senderid.into(), agent.into());
        let reply = Reply { message: message.into(), envelope: ReplyEnvelope { requestid, senderid, agent, time } };
        let (document, mut scratch, mut inner) = (reply.encode(), Scratch::default(), Scratch::default());
        let sealed = SecureReply::of(&document).encode();
        let read = SecureReply::decode(sealed.as_bytes(), &mut scratch).unwrap();
        prop_assert_eq!(read.open(&mut inner), Ok(reply));
        let changed = format!("{document} ");
        let other = SecureReply { message: &changed, hash: read.hash };
        prop_assert!(other.open(&mut inner).is_err());
    }

    #[test]
    fn what_is_written_is_json_to_anybody(text in text()) {
        let mut out = String::new();
        crate::core::protocol::json::push_string(&mut out, &text);
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        let plain = out.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
        prop_assert!(!plain);
    }
}

/// Whatever decodes comes back the same after being written again.
fn exercise(bytes: &[u8]) {
    let mut data = Vec::new();
    let sender = Transport::decode_reply(bytes, &mut data);
    let transport = Transport::decode(bytes);
    let outer = transport.as_ref().map(|transport| transport.headers.sender.as_str());
    assert_eq!(sender.as_deref(), outer);
    if let Ok(transport) = transport {
        assert_eq!(data, transport.data);
        assert_eq!(Transport::decode(transport.encode().as_bytes()), Ok(transport.clone()));
        exercise_inner(&transport.data);
    }
    exercise_inner(bytes);
}

fn exercise_inner(bytes: &[u8]) {
    if let Ok(secure) = SecureRequest::decode(bytes) {
        assert_eq!(SecureRequest::decode(secure.encode().as_bytes()), Ok(secure.clone()));
        exercise_message(secure.message.as_bytes());
    }
    let (mut scratch, mut inner) = (Scratch::default(), Scratch::default());
    if let Ok(secure) = SecureReply::decode(bytes, &mut scratch) {
        assert_eq!(SecureReply::decode(secure.encode().as_bytes(), &mut inner), Ok(secure.clone()));
        let _ = secure.open(&mut inner);
        exercise_message(secure.message.as_bytes());
    }
    exercise_message(bytes);
}

fn exercise_message(bytes: &[u8]) {
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(Request::decode(request.encode().as_bytes()), Ok(request.clone()));
        let _ = request.age_ok(0);
        exercise_body(&request.payload());
    }
    let (mut scratch, mut again) = (Scratch::default(), Scratch::default());
    if let Ok(reply) = Reply::decode(bytes, &mut scratch) {
        assert_eq!(Reply::decode(reply.encode().as_bytes(), &mut again), Ok(reply.clone()));
        exercise_body(reply.message.as_bytes());
    }
    exercise_body(bytes);
}

fn exercise_body(bytes: &[u8]) {
    if let Ok(body) = RequestBody::decode(bytes) {
        assert_eq!(RequestBody::decode(body.encode().as_bytes()), Ok(body));
    }
    if let Ok(body) = ReplyBody::decode(bytes) {
        assert_eq!(ReplyBody::decode(body.encode().as_bytes()), Ok(body));
    }
}

#[test]
fn arbitrary_bytes_end_nothing() {
    bolero::check!().with_iterations(2000).with_type::<Vec<u8>>().for_each(|bytes| exercise(bytes));
}

/// Every layer of recorded messages, to start from.
fn seeds() -> Vec<Vec<u8>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/captured");
    let mut seeds = Vec::new();
    for name in ["ping", "filters_broadcast", "rpcutil_actions"] {
        let file = std::fs::read_to_string(format!("{dir}/{name}.json")).unwrap();
        let file: Value = serde_json::from_str(&file).unwrap();
        let mut payloads = Vec::new();
        collect_payloads(&file, &mut payloads);
        for payload in payloads.into_iter().step_by(7) {
            seeds.push(payload.as_bytes().to_vec());
            let Ok(transport) = Transport::decode(payload.as_bytes()) else { continue };
            if let Ok(secure) = SecureRequest::decode(&transport.data) {
                seeds.push(secure.message.into_bytes());
            } else if let Ok(reply) = SecureReply::decode(&transport.data, &mut Scratch::default()) {
                seeds.push(reply.message.as_bytes().to_vec());
            }
            seeds.push(transport.data);
        }
    }
    assert!(seeds.len() > 30, "{}", seeds.len());
    seeds
}

#[test]
fn damaged_recordings_end_nothing() {
    let seeds = seeds();
    type Damage = (u16, Vec<(u16, u8, u8)>);
    bolero::check!().with_iterations(4000).with_type::<Damage>().for_each(|(seed, edits)| {
        let mut bytes = seeds[usize::from(*seed) % seeds.len()].clone();
        for (place, kind, byte) in edits.iter().take(8) {
            let place = usize::from(*place) % bytes.len().max(1);
            match kind % 4 {
                0 if !bytes.is_empty() => bytes[place] = *byte,
                1 => bytes.truncate(place),
                2 => bytes.insert(place, b"\"\\{}[],:nu0-\x00\xff"[usize::from(*byte) % 14]),
                _ => {
                    let end = (place + usize::from(*byte)).min(bytes.len());
                    let part = bytes[place..end].to_vec();
                    bytes.splice(place..place, part);
                }
            }
        }
        exercise(&bytes);
    });
}
