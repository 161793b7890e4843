//! Messages that end the original's process, or nearly. Here they are refused
//! with a reason, or handed on whole to the layer that refuses them.

use super::*;
use crate::core::protocol::json::{MAX_DEPTH, Problem, Scratch};
use crate::core::protocol::{DecodeError, Layer};

const DATA: &str = r#""protocol":"choria:transport:1","data":"e30=""#;

#[test]
fn headers_that_are_null_are_refused() {
    let refused = Transport::decode(format!(r#"{{{DATA},"headers":null}}"#).as_bytes());
    assert!(matches!(refused, Err(DecodeError::Json { layer: Layer::Transport, .. })), "{refused:?}");
    // Also when a second key of the name, in another case, would replace them.
    assert!(Transport::decode(format!(r#"{{{DATA},"headers":{{}},"Headers":null}}"#).as_bytes()).is_err());
}

#[test]
fn an_envelope_that_is_null_is_refused_in_requests_and_empty_in_replies() {
    assert!(Request::decode(br#"{"protocol":"choria:request:1","message":"x","envelope":null}"#).is_err());
    let mut scratch = Scratch::default();
    let reply =
        Reply::decode(br#"{"protocol":"choria:reply:1","message":"x","envelope":null}"#, &mut scratch)
            .unwrap();
    assert_eq!(reply.envelope, ReplyEnvelope::default());
}

#[test]
fn a_filter_member_that_is_null_is_refused() {
    let request = |filter: &str| {
        format!(
            r#"{{"protocol":"choria:request:1","message":"x","envelope":{{"requestid":"{}","senderid":"","callerid":"a=b","collective":"c","agent":"a","ttl":60,"time":1,"filter":{filter}}}}}"#,
            "0".repeat(32)
        )
    };
    let empty = r#"{"fact":[],"cf_class":[],"agent":[],"identity":[],"compound":[]}"#;
    assert!(Request::decode(request(empty).as_bytes()).is_ok());
    for member in ["fact", "cf_class", "agent", "identity", "compound"] {
        let filter = empty.replace(&format!("\"{member}\":[]"), &format!("\"{member}\":null"));
        assert!(Request::decode(request(&filter).as_bytes()).is_err(), "{member}");
    }
    assert!(Request::decode(request("null").as_bytes()).is_err());
}

/// A certificate that is not RSA makes the original panic when it verifies.
/// Layers here do not look into certificates: it arrives whole at
/// `core::security`, which refuses it.
#[test]
fn a_certificate_of_another_kind_arrives_whole() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/go-made-v1.json");
    let vectors: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut seen = 0;
    for case in vectors["requests"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if !matches!(name, "secure_pubcert_ec_certificate" | "secure_pubcert_ed25519_certificate") {
            continue;
        }
        let transport = Transport::decode(case["transport_json"].as_str().unwrap().as_bytes()).unwrap();
        let secure = SecureRequest::decode(&transport.data).unwrap();
        assert!(secure.pubcert.starts_with("-----BEGIN CERTIFICATE-----"));
        Request::decode(secure.message.as_bytes()).unwrap();
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn nesting_without_end_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let levels = 100_000;
        let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
        for document in [
            format!(r#"{{{DATA},"x":{deep}}}"#),
            format!(r#"{{{DATA},"headers":{{"federation":{{"x":{deep}}}}}}}"#),
        ] {
            let Err(DecodeError::Json { source, .. }) = Transport::decode(document.as_bytes()) else {
                panic!("{open} was followed");
            };
            assert_eq!(source.problem, Problem::Depth);
        }
        assert!(Reply::decode(deep.as_bytes(), &mut Scratch::default()).is_err());
    }
    let allowed = MAX_DEPTH as usize - 1;
    let deep = format!("{}{}", "[".repeat(allowed), "]".repeat(allowed));
    assert!(Transport::decode(format!(r#"{{{DATA},"x":{deep}}}"#).as_bytes()).is_ok());
}

#[test]
fn a_message_beyond_the_limit_is_refused_unread() {
    let huge = vec![b' '; MAX_TRANSPORT + 1];
    assert!(matches!(Transport::decode(&huge), Err(DecodeError::TooLarge { .. })));
    assert!(matches!(SecureRequest::decode(&huge), Err(DecodeError::TooLarge { .. })));
    assert!(matches!(Request::decode(&huge), Err(DecodeError::TooLarge { .. })));
}

#[test]
fn times_at_the_edges_of_integers_are_only_late_or_early() {
    let mut request = Request::default();
    for time in [i64::MIN, -1, 0, i64::MAX] {
        for ttl in [MIN_TTL, i64::MAX] {
            for now in [i64::MIN, 0, 1_767_225_600, i64::MAX] {
                (request.envelope.time, request.envelope.ttl) = (time, ttl);
                let _ = request.age_ok(now);
            }
        }
    }
}

#[test]
fn an_error_does_not_repeat_what_the_caller_typed() {
    let secret = "s3cret-word";
    let document = format!(r#"{{"protocol":"{secret}","message":"{secret}","data":["{secret}"]}}"#);
    for error in [
        Transport::decode(document.as_bytes()).unwrap_err().to_string(),
        SecureRequest::decode(document.as_bytes()).unwrap_err().to_string(),
        Request::decode(document.as_bytes()).unwrap_err().to_string(),
        SecureReply::decode(document.as_bytes(), &mut Scratch::default()).unwrap_err().to_string(),
    ] {
        assert!(!error.contains(secret), "{error}");
    }
}
