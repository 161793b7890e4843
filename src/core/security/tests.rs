//! The vectors of the original, and what they do not cover.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::core::protocol::v1::{SecureRequest, Transport};

/// What every receiver of the vectors is configured with: the original's
/// defaults, unescaped second dot included.
const ALLOWED: [&str; 2] = [r"\.mcollective$", r"\.choria$"];
const PRIVILEGED: [&str; 2] = [r"\.privileged.mcollective$", r"\.privileged.choria$"];

pub(super) fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_string()).collect()
}

fn verifier(ca: &str) -> RequestVerifier {
    let trust = Trust::from_pem(ca.as_bytes(), None).unwrap();
    RequestVerifier::new(Arc::new(SharedTrust::new(trust)), NameList::new(ALLOWED), NameList::new(PRIVILEGED))
}

/// The layer that refuses, in the words of the vectors.
fn refused_at(
    verifier: &RequestVerifier,
    transport: &str,
    now: i64,
) -> Result<Verified<crate::core::protocol::v1::Request>, &'static str> {
    let transport = Transport::decode(transport.as_bytes()).map_err(|_| "transport")?;
    let secure = SecureRequest::decode(&transport.data).map_err(|_| "secure_request")?;
    verifier.verify(&secure, now).map_err(|refusal| match refusal {
        VerifyError::Malformed(_) => "request",
        _ => "security",
    })
}

/// Requests the original accepts and this implementation refuses, on purpose:
/// the caller id pattern is anchored at its end, and nobody but the privileged has more than one.
const STRICTER: [&str; 5] = [
    "request_callerid_other_kind",
    "go_accepts_trailing_text_in_callerid",
    "request_callerid_trailing_newline",
    "request_callerid_trailing_at",
    "request_callerid_two_equals",
];

#[test]
fn requests_made_by_the_original_get_its_verdict() {
    let vectors = vectors("go-made-v1.json");
    let verifier = verifier(vectors["pki"]["ca_pem"].as_str().unwrap());
    let now = vectors["time"].as_i64().unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for case in vectors["requests"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let expect = &case["expect"];
        let result = match case["transport_json"].as_str() {
            Some(transport) => refused_at(&verifier, transport, now),
            // "creation": there is nothing to receive.
            None => Err("creation"),
        };
        seen += 1;
        let verdict = match (&result, expect["refused_at"].as_str()) {
            (Ok(request), None) => {
                request.envelope.callerid == expect["callerid"].as_str().unwrap()
                    && String::from_utf8_lossy(&request.payload()) == expect["payload"].as_str().unwrap()
            }
            // The collective is judged by the server, after this.
            (Ok(_), Some("message")) => name == "collective_not_member",
            (Err(ours), None) => *ours == "security" && STRICTER.contains(&name),
            // A transport of version 2 is refused one layer earlier here, and
            // one without headers before the original stops on it.
            (Err(ours), Some(theirs)) => {
                ours == &theirs || ["transport_protocol_v2", "transport_headers_null"].contains(&name)
            }
            (Ok(_), _) => false,
        };
        if !verdict {
            wrong.push(format!("{name}: {:?}, expected {expect}", result.map(|_| "accepted")));
        }
    }
    assert_eq!(seen, 193);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn requests_of_the_specification_get_its_verdict() {
    let vectors = vectors("protocol.json");
    let verifier = verifier(vectors["v1"]["pki"]["ca_pem"].as_str().unwrap());
    let now = vectors["time"].as_i64().unwrap();
    let mut wrong = Vec::new();
    for case in vectors["v1"]["requests"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let expect = &case["expect"];
        let result = refused_at(&verifier, case["transport_json"].as_str().unwrap(), now);
        let valid = expect["valid"].as_bool().unwrap() && !STRICTER.contains(&name);
        let right = match &result {
            Ok(request) => {
                valid
                    && request.privileged() == expect["privileged"].as_bool().unwrap()
                    && request.caller().as_str() == expect["callerid"].as_str().unwrap()
            }
            Err(_) => !valid,
        };
        if !right {
            wrong.push(format!("{name}: {:?}, expected {expect}", result.map(|_| "accepted")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Certificate verdicts that differ from the original, on purpose.
fn deliberately_different(case: &Value) -> Option<&'static str> {
    let name = case["caller_name"].as_str().unwrap();
    if CallerId::of_certname(name).is_none() {
        return Some("a caller id cannot carry this name, so it is never asked");
    }
    if case["ca_pem"].as_str().is_some_and(|ca| !ca.contains("BEGIN CERTIFICATE")) {
        return Some("a CA file without certificates ends the start instead of believing everybody");
    }
    if case["cert_pem"].as_str().is_some_and(|pem| !pem.contains("BEGIN")) {
        return Some("text that is not PEM is refused here, not only at the signature");
    }
    None
}

#[test]
fn certificates_get_the_verdict_of_the_original() {
    let vectors = vectors("go-made-authz.json");
    let now = vectors["time"].as_i64().unwrap();
    let certificates = &vectors["certificates"];
    let (mut matched, mut different, mut wrong) = (0, 0, Vec::new());
    for case in certificates["cases"].as_array().unwrap() {
        let ca = match case["ca"].as_str() {
            Some(name) => certificates[name].as_str().unwrap(),
            None => case["ca_pem"].as_str().unwrap(),
        };
        let pem = match case["certificate"].as_str() {
            Some(identity) => certificates["identities"][identity]["cert_pem"].as_str().unwrap(),
            None => case["cert_pem"].as_str().unwrap(),
        };
        let lists = &certificates["lists"][case["lists"].as_str().unwrap_or("default")];
        let (allow, privileged) =
            (NameList::new(texts(&lists["allow"])), NameList::new(texts(&lists["privileged"])));
        let name = case["caller_name"].as_str().unwrap();

        let chain = Trust::from_pem(ca.as_bytes(), None).ok().and_then(|trust| {
            let certificates = pem::leaf_first(pem.as_bytes())?;
            let (leaf, others) = certificates.split_first()?;
            trust.verify(leaf, others, now, Usage::Client).ok()?;
            Certificate::parse(leaf)
        });
        let named = chain.as_ref().is_some_and(|c| c.names().any(|n| n == name));
        let is_privileged = chain.as_ref().is_some_and(|c| c.names().any(|n| privileged.matches(n)));
        let allowed = is_privileged || (named && allow.matches(name));

        let expected = case["allowed"].as_bool().unwrap();
        let chain_agrees = case["chain_valid"].as_bool().is_none_or(|valid| valid == chain.is_some());
        let named_agrees = case["chain_and_name_valid"].as_bool().is_none_or(|valid| valid == named);
        if allowed == expected && chain_agrees && named_agrees {
            matched += 1;
        } else if deliberately_different(case).is_some() {
            different += 1;
        } else {
            wrong.push(format!(
                "{} as {name:?} ({}): chain {} name {named} allowed {allowed}, expected {} {} {expected}",
                case["certificate"],
                case["name"],
                chain.is_some(),
                case["chain_valid"],
                case["chain_and_name_valid"],
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\n{} wrong, {matched} right", wrong.join("\n"), wrong.len());
    eprintln!("certificates: {matched} agree, {different} stricter on purpose");
    assert_eq!(matched + different, 253);
}

#[test]
fn caller_names_are_the_originals_or_refused_for_what_follows_them() {
    let vectors = vectors("go-made-authz.json");
    let mut stricter = Vec::new();
    let cases = vectors["names"]["caller_identity"].as_array().unwrap();
    for case in cases {
        let text = case["callerid"].as_str().unwrap();
        let ours = CallerId::parse(text);
        match (case["name"].as_str(), &ours) {
            (Some(theirs), Some(ours)) => assert_eq!(theirs, ours.name()),
            (None, None) => {}
            (Some(theirs), None) => {
                assert!(!text.ends_with(theirs) || text.matches('=').count() > 1, "{text:?}");
                stricter.push(text);
            }
            (None, Some(_)) => panic!("{text:?} is accepted here only"),
        }
    }
    // Every one has text after what the original takes for the name.
    assert_eq!(
        stricter,
        [
            "choria=bob@x.com",
            "choria=bob mcollective",
            "choria=bob!x",
            "choria=bob=alice",
            "choria=bob\nup=alice",
            "choria=bob\n",
            "choria=bobž",
            "x=y=z"
        ]
    );
}

#[test]
fn name_lists_match_as_the_original() {
    let vectors = vectors("go-made-authz.json");
    for case in vectors["names"]["regex_lists"].as_array().unwrap() {
        let list = NameList::new(texts(&case["list"]));
        assert_eq!(list.matches(case["name"].as_str().unwrap()), case["match"].as_bool().unwrap(), "{case}");
    }
}

/// Texts of all transports anywhere in a captured file.
fn transports(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("{\"protocol\":\"choria:transport:1\"") => {
            found.push(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| transports(value, found)),
        Value::Object(values) => values.values().for_each(|value| transports(value, found)),
        _ => {}
    }
}

#[test]
fn captured_requests_verify_unless_their_caller_was_refused() {
    let verifier = verifier(vectors("captured/pki.json")["ca"].as_str().unwrap());
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/captured");
    let (mut accepted, mut refused) = (0, Vec::new());
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let Ok(content) = serde_json::from_slice(&std::fs::read(&path).unwrap()) else { continue };
        let mut texts = Vec::new();
        transports(&content, &mut texts);
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        // Recorded on other days, with CAs of their own.
        if file.starts_with("adapter-") || file.starts_with("federation-") {
            continue;
        }
        for text in texts {
            let transport = Transport::decode(text.as_bytes()).unwrap();
            let Ok(secure) = SecureRequest::decode(&transport.data) else { continue };
            let made = crate::core::protocol::v1::Request::decode(secure.message.as_bytes()).unwrap();
            match verifier.verify(&secure, made.envelope.time) {
                Ok(request) => {
                    assert!(!request.privileged());
                    accepted += 1;
                }
                Err(refusal) => refused.push((file.clone(), refusal)),
            }
        }
    }
    eprintln!("captured requests: {accepted} verify, {} do not", refused.len());
    assert!(accepted > 100, "{accepted}");
    for (file, refusal) in &refused {
        // Nodes publish registration data as requests, which brokers' adapters
        // read and no server would run.
        let node = file == "registration" && matches!(refusal, VerifyError::NotListed { .. });
        let caller = matches!(refusal, VerifyError::NotListed { .. } | VerifyError::Name { .. });
        assert!(node || (file == "refused_callers" && caller), "{file}: {refusal}");
    }
}

/// PKCS#1 v1.5 signatures have no randomness: what we sign is what the
/// original signed.
#[test]
fn requests_are_signed_byte_for_byte_as_by_the_original() {
    let vectors = vectors("go-made-v1.json");
    let dir = tempfile::tempdir().unwrap();
    let crypto = tls::crypto(&[], &[], &mut Vec::new()).unwrap();
    let mut signers = Vec::new();
    for (name, identity) in vectors["pki"]["identities"].as_object().unwrap() {
        let path = |end: &str| dir.path().join(format!("{name}{end}"));
        let files = Files {
            certificate: path(".pem"),
            key: path(".key"),
            ca: path(".ca"),
            crl: None,
            usual_crl: vec![],
        };
        std::fs::write(&files.certificate, identity["cert_pem"].as_str().unwrap()).unwrap();
        std::fs::write(&files.key, identity["key_pem"].as_str().unwrap()).unwrap();
        // TLS takes no RSA key below 2048 bits.
        match Credentials::read(&files, &crypto) {
            Err(e) => {
                assert_eq!(name, "bob_rsa1024", "{e}");
                assert!(e.to_string().contains("RSA of 1024 bits"), "{e}");
            }
            Ok(credentials) => {
                let other = ["bob_p256", "bob_p384_pkcs8", "bob_ed25519"].contains(&name.as_str());
                assert_eq!(credentials.rsa.is_none(), other, "{name}");
                let shared = Arc::new(credentials::SharedCredentials::new(credentials));
                signers.push((identity["cert_pem"].as_str().unwrap(), Signer::new(shared, files.key)));
            }
        }
    }
    let mut signed = 0;
    for case in vectors["requests"].as_array().unwrap().iter().filter(|c| c["expect"]["valid"] == true) {
        let transport = Transport::decode(case["transport_json"].as_str().unwrap().as_bytes()).unwrap();
        let theirs = SecureRequest::decode(&transport.data).unwrap();
        let request = crate::core::protocol::v1::Request::decode(theirs.message.as_bytes()).unwrap();
        let Some((_, signer)) = signers.iter().find(|(cert, _)| *cert == theirs.pubcert) else { continue };
        // Some vectors are valid requests in a form no program would choose.
        let (true, Ok(ours)) = (request.encode() == theirs.message, signer.sign(&request)) else { continue };
        if theirs.signature.len() == ours.signature.len() {
            assert_eq!(ours, theirs, "{}", case["name"]);
            signed += 1;
        }
    }
    eprintln!("signed as by the original: {signed}");
    assert!(signed > 50, "{signed}");
}
