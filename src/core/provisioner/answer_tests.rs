//! Answers that would leave a dead node behind.

use super::*;
use crate::core::pki::{Ca, Kind, Options};
use crate::core::provisioner::csr;

struct World {
    _dir: tempfile::TempDir,
    ca: Ca,
    key: rcgen::KeyPair,
    csr: CheckedCsr,
    request: CertificateRequest,
    now: i64,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now().as_second();
        let ca = Ca::create(&dir.path().join("ca"), "Test CA", now).unwrap();
        let key =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "n1");
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let csr = csr::check(&pem, "n1", &csr::Denied::default()).unwrap();
        let request = CertificateRequest { csr: pem, public_key: String::new(), ssldir: "/ssl".into() };
        World { _dir: dir, ca, key, csr, request, now }
    }

    fn certificate(&self, name: &str, key: &str) -> String {
        self.ca.issue_for_key(Kind::Node, name, &Options::default(), key, self.now).unwrap().certificate_pem
    }

    fn good(&self) -> Answer {
        Answer {
            certificate: self.certificate("n1", &self.key.serialize_pem()),
            ca: self.ca.certificate_pem().to_owned(),
            configuration: [(PROVISION, "false"), ("identity", "n1"), ("loglevel", "info")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            action_policies: [("rpcutil.policy".to_owned(), "policy default allow\n".to_owned())].into(),
            ..Answer::default()
        }
    }

    fn about(&self) -> AnswerContext<'_> {
        AnswerContext {
            identity: "n1",
            request: Some((&self.csr, &self.request)),
            denied: &csr::NOBODY,
            takes_key: false,
            inject_disabled: true,
            now: self.now,
        }
    }

    fn verdict(&self, change: impl FnOnce(&mut Answer)) -> String {
        let mut answer = self.good();
        change(&mut answer);
        answer.check(&self.about()).unwrap_err().to_string()
    }
}

#[test]
fn a_good_answer_is_completed() {
    let world = World::new();
    let mut answer = world.good();
    assert_eq!(answer.check(&world.about()), Ok(vec![]));
    assert_eq!(answer.ssldir, "/ssl");
    answer.configuration.remove(PROVISION);
    let told = answer.clone().check(&world.about()).unwrap();
    assert!(told[0].contains("it was added"), "{told:?}");
    let strict = AnswerContext { inject_disabled: false, ..world.about() };
    assert_eq!(answer.check(&strict), Err(AnswerError::NotDisabled));
}

#[test]
fn what_would_harm_the_node_is_refused() {
    let world = World::new();
    let set = |key: &str, value: &str| {
        let (key, value) = (key.to_owned(), value.to_owned());
        world.verdict(move |answer| {
            answer.configuration.insert(key, value);
        })
    };
    let other = World::new();
    for (refused, why) in [
        (world.verdict(|answer| answer.configuration.clear()), "it has no configuration"),
        (set("libdir", "/x\nrpcauthorization = 0"), "the value of libdir has a line end"),
        (set("a\nb", "x"), "cannot be the name of a setting"),
        (set("a=b", "x"), "cannot be the name of a setting"),
        (set("#a", "x"), "cannot be the name of a setting"),
        (set(PROVISION, "true"), "would come back for ever"),
        (set(PROVISION, "maybe"), "would come back for ever"),
        (set("identity", "n2"), "it makes the node \"n2\""),
        (world.verdict(|answer| answer.certificate.clear()), "it has no certificate"),
        (world.verdict(|answer| answer.certificate = "not a certificate".into()), "no certificate in PEM"),
        (world.verdict(|answer| answer.ca.clear()), "it has a certificate and no CA"),
        (world.verdict(|answer| answer.ca = "junk".into()), "the CA holds no certificate"),
        (world.verdict(|answer| answer.ca = other.ca.certificate_pem().into()), "is not of its CA"),
        (
            world.verdict(|answer| answer.certificate = world.certificate("n1", &other.key.serialize_pem())),
            "of another key than the node's",
        ),
        (
            world.verdict(|answer| answer.certificate = world.certificate("n2", &world.key.serialize_pem())),
            "its certificate is for n2",
        ),
        (world.verdict(|answer| answer.key = "x".into()), "only be sent with features.jwt"),
    ] {
        assert!(refused.contains(why), "{why}: {refused}");
    }
    // a further name, which nodes would know a caller or others a broker by
    let options = Options { alt_names: vec!["b.example.net".to_owned()], ..Options::default() };
    let issued = world.ca.issue_for_key(Kind::Node, "n1", &options, &world.key.serialize_pem(), world.now);
    let broker = csr::Denied { brokers: vec!["b.example.net".to_owned()], ..csr::Denied::default() };
    let mut answer = Answer { certificate: issued.unwrap().certificate_pem, ..world.good() };
    assert_eq!(answer.check(&world.about()).map(|_| ()), Ok(()));
    let refused = answer.check(&AnswerContext { denied: &broker, ..world.about() }).unwrap_err().to_string();
    assert!(refused.contains("has the name \"b.example.net\", too"), "{refused}");
    for name in ["rpcutil", ".policy", "../x.policy", "a/b.policy", "x.rego", "a\\b.policy"] {
        let refused = world.verdict(|answer| {
            answer.action_policies.insert(name.to_owned(), String::new());
        });
        assert!(refused.contains("cannot be the name of a policy file"), "{name}: {refused}");
    }
    let late = AnswerContext { now: world.now + 6 * 365 * 86_400, ..world.about() };
    let error = world.good().check(&late).unwrap_err().to_string();
    assert!(error.contains("not usable"), "{error}");
}

#[test]
fn a_key_must_be_one_that_can_be_sent_and_the_certificates_own() {
    let world = World::new();
    let about = AnswerContext { takes_key: true, request: None, ..world.about() };
    let pkcs8 = world.key.serialize_pem();
    let rustls_pki_types::PrivateKeyDer::Pkcs8(der) = pem::private_key(pkcs8.as_bytes()).unwrap() else {
        panic!("PKCS#8")
    };
    // version, algorithm, then the PKCS#1 key in an octet string
    let der = der.secret_pkcs8_der();
    let place = der.windows(4).skip(4).position(|w| w[0] == 0x30 && w[1] == 0x82).unwrap() + 4;
    let pkcs1 = pem::encode("RSA PRIVATE KEY", &der[place..]);
    let with = |key: &str| Answer { key: key.into(), ssldir: "/ssl".into(), ..world.good() };
    assert_eq!(with(&pkcs1).check(&about), Ok(vec![]));
    assert_eq!(with(&pkcs8).check(&about), Err(AnswerError::BadKey));
    assert_eq!(with("junk").check(&about), Err(AnswerError::BadKey));
    let other = World::new();
    let mut foreign = with(&pkcs1);
    foreign.certificate = world.certificate("n1", &other.key.serialize_pem());
    assert_eq!(foreign.check(&about), Err(AnswerError::OtherKey));
}

#[test]
fn answers_are_read_as_by_the_original() {
    let read = |text: &str| Answer::decode(text.as_bytes());
    assert!(read(r#"{"defer":true,"msg":"not yet","unknown":[1]}"#).unwrap().defer);
    assert_eq!(read(r#"{"configuration":null,"certificate":null}"#).unwrap(), Answer::default());
    for text in
        ["", "hello", "[]", "{} {}", r#"{"configuration":{"registerinterval":300}}"#, r#"{"defer":"yes"}"#]
    {
        assert!(read(text).is_err(), "{text}");
    }
    let secret = Answer { key: "SECRET".into(), ..Answer::default() };
    assert!(!format!("{secret:?}").contains("SECRET"));
    bolero::check!().with_iterations(2000).for_each(|input: &[u8]| {
        let _ = Answer::decode(input);
    });
}
