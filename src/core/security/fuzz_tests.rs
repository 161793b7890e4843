//! What strangers send: text that is no PEM, certificates with bytes changed,
//! names of every kind.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::core::pki::{Ca, Kind, Options};
use crate::core::protocol::v1::SecureRequest;

const NOW: i64 = 1_800_000_000;

#[test]
fn no_text_makes_a_reader_fail() {
    bolero::check!().with_iterations(2000).with_type::<Vec<u8>>().for_each(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        for text in [
            text.to_string(),
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"),
            pem::encode("CERTIFICATE", bytes),
            pem::encode("X509 CRL", bytes),
            pem::encode("RSA PRIVATE KEY", bytes),
        ] {
            let _ = pem::certificates(text.as_bytes());
            let _ = pem::leaf_first(text.as_bytes());
            let _ = pem::private_key(text.as_bytes());
            assert!(crl::RevocationLists::from_pem(text.as_bytes()).is_err());
            assert!(Trust::from_pem(text.as_bytes(), None).is_err());
        }
        let _ = Certificate::parse(bytes);
        let list = NameList::new([text.as_ref(), r"\.mcollective$"]);
        list.matches(&text);
        assert!(list.matches("bob.mcollective"));
    });
}

#[test]
fn a_changed_certificate_is_never_believed() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(dir.path(), "Test CA", NOW).unwrap();
    let trust = Trust::read(&ca.certificate_file(), Some(&ca.crl_file())).unwrap();
    let issued = ca.issue(Kind::Client, "bob", &Options::default(), NOW).unwrap();
    let leaf = pem::certificates(issued.certificate_pem.as_bytes()).unwrap().remove(0);
    trust.verify(&leaf, &[], NOW, Usage::Client).unwrap();
    let verifier = RequestVerifier::new(
        Arc::new(SharedTrust::new(trust)),
        NameList::new([r"\.mcollective$"]),
        NameList::default(),
    );
    bolero::check!().with_iterations(2000).with_type::<Vec<(u16, u8)>>().for_each(|changes| {
        let mut der = leaf.to_vec();
        for (at, value) in changes {
            let index = usize::from(*at) % der.len();
            der[index] = *value;
        }
        if der == leaf.as_ref() {
            return;
        }
        let request = SecureRequest {
            message: REQUEST.into(),
            signature: "AAAA".into(),
            pubcert: pem::encode("CERTIFICATE", &der),
        };
        let refusal = verifier.verify(&request, NOW).unwrap_err();
        assert_ne!(refusal.kind(), "signature", "the chain of a changed certificate was believed");
    });
    assert_eq!(verifier.remembered_signers(), 0);
}

#[test]
fn a_changed_request_is_never_believed() {
    let vectors = super::tests::vectors("go-made-v1.json");
    let trust = Trust::from_pem(vectors["pki"]["ca_pem"].as_str().unwrap().as_bytes(), None).unwrap();
    let verifier = RequestVerifier::new(
        Arc::new(SharedTrust::new(trust)),
        NameList::new([r"\.mcollective$"]),
        NameList::default(),
    );
    let now = vectors["time"].as_i64().unwrap();
    let case = &vectors["requests"][0];
    let good = SecureRequest::decode(case["secure_request_json"].as_str().unwrap().as_bytes()).unwrap();
    verifier.verify(&good, now).unwrap();
    bolero::check!().with_iterations(2000).with_type::<(u8, u16, u8)>().for_each(|(part, at, value)| {
        let mut changed = good.clone();
        let text = match part % 3 {
            0 => &mut changed.message,
            1 => &mut changed.signature,
            _ => &mut changed.pubcert,
        };
        let mut bytes = std::mem::take(text).into_bytes();
        let index = usize::from(*at) % bytes.len();
        bytes[index] = *value;
        *text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(request) = verifier.verify(&changed, now) {
            // White space in PEM, line ends in base64: the same bytes said otherwise.
            assert_eq!(changed.message, good.message);
            assert_eq!(request.caller().as_str(), "choria=bob.mcollective");
        }
    });
}

const REQUEST: &str = concat!(
    r#"{"protocol":"choria:request:1","message":"x","envelope":{"requestid":"#,
    r#""0123456789abcdef0123456789abcdef","senderid":"c","callerid":"choria=bob.mcollective","#,
    r#""collective":"mcollective","agent":"rpcutil","ttl":60,"time":1800000000,"#,
    r#""filter":{"fact":[],"cf_class":[],"agent":[],"identity":[],"compound":[]}}}"#
);

proptest! {
    #[test]
    fn caller_ids_are_exactly_their_pattern(text in "\\PC{0,40}") {
        let pattern = regex::Regex::new(r"^[a-z]+=[A-Za-z0-9_.-]+\z").unwrap();
        prop_assert_eq!(CallerId::parse(&text).is_some(), pattern.is_match(&text));
    }

    #[test]
    fn a_caller_id_is_its_parts(kind in "[a-z]{1,8}", name in "[A-Za-z0-9_.-]{1,40}") {
        let text = format!("{kind}={name}");
        let caller = CallerId::parse(&text).unwrap();
        prop_assert_eq!((caller.kind(), caller.name(), caller.as_str()), (&*kind, &*name, &*text));
    }

    #[test]
    fn slashes_around_an_entry_change_nothing(name in "[a-z]{1,10}", left in 1usize..4, right in 1usize..4) {
        let entry = format!("{}{name}{}", "/".repeat(left), "/".repeat(right));
        let matches = NameList::new([entry]).matches(&format!("x{name}x"));
        prop_assert!(matches);
    }

    #[test]
    fn warnings_grow_more_urgent(left in -400i64..400) {
        let text = expiry_warning(NOW + left * 86_400, NOW);
        let days = format!("in {left} days");
        match left {
            ..0 => prop_assert!(text.unwrap().starts_with("expired")),
            0 => prop_assert!(text.unwrap().ends_with("now")),
            1..7 => prop_assert!(text.unwrap().ends_with("this week")),
            7..30 => prop_assert!(text.unwrap().contains(&days)),
            _ => prop_assert_eq!(text, None),
        }
    }
}
