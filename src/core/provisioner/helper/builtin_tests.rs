use std::sync::Arc;

use serde_json::json;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::fixtures::{about, checked, question};
use super::*;
use crate::core::config::{Config, Role};

fn around() -> Surroundings {
    Surroundings { brokers: vec!["b1:4222".into(), "b2:4222".into()], ..Surroundings::default() }
}

fn settings(dir: &tempfile::TempDir) -> Settings {
    Settings { state_dir: dir.path().to_owned(), ..Settings::default() }
}

fn problem(settings: &Settings, around: &Surroundings) -> String {
    Builtin::new(settings, around).unwrap_err().to_string()
}

#[tokio::test]
async fn a_first_network_needs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let helper = Builtin::new(&settings(&dir), &around()).unwrap();
    let question = question("n1.example.net", &json!({"country": "mt"}));
    let mut answer = helper.ask(&question).await.unwrap();
    let (csr, _) = checked(&question);
    assert_eq!(answer.check(&about(&question, &csr)), Ok(vec![]), "nothing has to be added");
    let expected = json!({
        "classesfile": "/etc/choria/classes.txt",
        "identity": "n1.example.net",
        "plugin.choria.agent_provider.mcorpc.libdir": "/etc/choria/plugins",
        "plugin.choria.jobs_dir": "/var/lib/choria-jobs",
        "plugin.choria.middleware_hosts": "b1:4222,b2:4222",
        "plugin.choria.server.provision": "false",
        "plugin.choria.status_file_path": "/var/lib/choria-status.json",
        "plugin.choria.use_srv": "false",
        "plugin.rpcaudit.logfile": "/var/log/choria-audit.log",
        "plugin.security.file.ca": "/etc/choria/ssl/ca.pem",
        "plugin.security.file.certificate": "/etc/choria/ssl/certificate.pem",
        "plugin.security.file.key": "/etc/choria/ssl/private.pem",
        "plugin.security.provider": "file",
        "plugin.yaml": "/etc/choria/facts.yaml",
        "registerinterval": "300",
        "rpcaudit": "true",
        "rpcauthorization": "true",
        "rpcauthprovider": "action_policy",
    });
    assert_eq!(json!(answer.configuration), expected);
    let policies: Vec<&String> = answer.action_policies.keys().collect();
    assert_eq!(
        policies,
        ["choria_util.policy", "package.policy", "puppet.policy", "rpcutil.policy", "service.policy"]
    );

    let der = pem::certificates(answer.certificate.as_bytes()).unwrap().remove(0);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=n1.example.net");
    assert_eq!(certificate.raw_serial().len(), 16);
    let year = certificate.validity().not_after.timestamp() - jiff::Timestamp::now().as_second();
    assert!((year - 365 * 86_400).abs() < 600, "{year}");
    let mut seen = 0;
    for extension in certificate.extensions() {
        seen += 1;
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => assert!(!constraints.ca),
            ParsedExtension::KeyUsage(usage) => {
                assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
            }
            ParsedExtension::ExtendedKeyUsage(usage) => assert!(usage.client_auth && !usage.server_auth),
            ParsedExtension::SubjectAlternativeName(names) => {
                let names: Vec<&GeneralName<'_>> = names.general_names.iter().collect();
                assert!(matches!(names[..], [GeneralName::DNSName("n1.example.net")]), "{names:?}");
            }
            ParsedExtension::AuthorityKeyIdentifier(_) | ParsedExtension::SubjectKeyIdentifier(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(seen >= 5, "{seen}");
}

/// A node that was provisioned audits, and has facts and agents, as one from a package does.
#[tokio::test]
async fn a_node_is_configured_as_packages_do() {
    let text = include_str!("../../../../packaging/config/server.conf");
    let packaged = Config::from_text(Role::Server, text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let helper = Builtin::new(&settings(&dir), &around()).unwrap();
    let asked = |ssldir: &str| {
        let mut question = question("n1.example.net", &json!({}));
        question.csr.as_mut().unwrap().ssldir = ssldir.into();
        question
    };
    let made = helper.ask(&asked("/etc/choria/ssl")).await.unwrap().configuration;
    for (key, value) in packaged.options() {
        let own = !packaged.has(key)
            || ["logfile", "loglevel", "plugin.choria.middleware_hosts"].contains(&key)
            || key.starts_with("plugin.security.file.");
        assert!(own || made.get(key).is_some_and(|made| made == value), "{key} = {value}: {made:?}");
    }
    let made = helper.ask(&asked("/home/bob/.choria/ssl")).await.unwrap().configuration;
    assert_eq!(made["plugin.rpcaudit.logfile"], "/home/bob/.choria/ssl/../audit.log");
    assert!(!made.values().any(|value| value.starts_with("/var") || value.starts_with("/etc")), "{made:?}");
}

#[tokio::test]
async fn what_was_signed_is_known_and_can_be_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let helper = Arc::new(Builtin::new(&settings, &around()).unwrap());
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..40 {
        let helper = helper.clone();
        asked.spawn(async move {
            let question = question(&format!("n{}.example.net", number % 20), &json!({}));
            helper.ask(&question).await.unwrap()
        });
    }
    while let Some(answer) = asked.join_next().await {
        assert!(answer.unwrap().certificate.contains("BEGIN CERTIFICATE"));
    }
    // a crash cut the last line off
    let log = settings.ca_dir().join("issued.jsonl");
    let mut text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 40);
    text.push_str("{\"name\":\"n1.exam");
    std::fs::write(&log, text).unwrap();
    let again = Builtin::new(&settings, &around()).unwrap();
    let question = question("late.example.net", &json!({}));
    again.ask(&question).await.unwrap();

    let ca = Ca::load(&settings.ca_dir()).unwrap();
    assert_eq!(ca.issued().unwrap().len(), 41);
    let now = jiff::Timestamp::now().as_second();
    assert_eq!(ca.revoke("n3.example.net", now).unwrap(), 2);
    let revoked: Vec<String> =
        ca.issued().unwrap().into_iter().filter(|(_, back)| *back).map(|(entry, _)| entry.name).collect();
    assert_eq!(revoked, ["n3.example.net", "n3.example.net"]);
    assert!(ca.revoke("n3.example.net", now).is_err());
    assert_eq!(ca.revoke("late.example.net", now).unwrap(), 1);
}

#[tokio::test]
async fn nothing_is_signed_unchecked() {
    let dir = tempfile::tempdir().unwrap();
    let helper = Builtin::new(&settings(&dir), &around()).unwrap();
    let mut liar = question("n1.example.net", &json!({}));
    liar.identity = "n2.example.net".into();
    let error = helper.ask(&liar).await.unwrap_err().to_string();
    assert!(error.contains("is for \"n1.example.net\", not \"n2.example.net\""), "{error}");
    let error = helper.ask(&question("rip.mcollective", &json!({}))).await.unwrap_err().to_string();
    assert!(error.contains("cert_deny_list"), "{error}");
    assert_eq!(Ca::load(&dir.path().join("ca")).unwrap().issued().unwrap(), []);
}

#[tokio::test]
async fn what_cannot_work_is_found_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let base = settings(&dir);
    let nowhere = Surroundings::default();
    assert!(problem(&base, &nowhere).contains("set brokers: [HOST:4222]"));
    let dns = Surroundings { srv_domain: Some("example.net".into()), ..Surroundings::default() };
    let helper = Builtin::new(&base, &dns).unwrap();
    let answer = helper.ask(&question("n1", &json!({}))).await.unwrap();
    assert_eq!(answer.configuration["plugin.choria.srv_domain"], "example.net");
    let own = Settings { brokers: vec!["own:4222".into()], ..base.clone() };
    let answer = Builtin::new(&own, &around()).unwrap().ask(&question("n1", &json!({}))).await.unwrap();
    assert_eq!(answer.configuration["plugin.choria.middleware_hosts"], "own:4222");
    let missing = Settings { template: dir.path().join("none.yaml"), ..base.clone() };
    assert!(problem(&missing, &around()).contains("template"));
    let off = crate::core::provisioner::settings::Features { pki: Some(false), ..Default::default() };
    assert!(problem(&Settings { features: off, ..base.clone() }, &around()).contains("features.pki"));
    std::fs::write(base.ca_dir().join("ca-key.pem"), "nonsense").unwrap();
    assert!(problem(&base, &around()).contains("ca-key.pem"));
}

#[tokio::test]
async fn a_rehearsal_makes_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let around = Surroundings { rehearsal: true, ..around() };
    let helper = Builtin::new(&settings(&dir), &around).unwrap();
    let mut question = question("n1", &json!({}));
    question.csr = None;
    let answer = helper.ask(&question).await.unwrap();
    assert_eq!(answer.configuration["plugin.security.file.key"], "SSLDIR/private.pem");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A certificate of a broker's name is taken for the broker's by those who join it, whatever it is good for.
#[tokio::test]
async fn nobody_is_given_the_name_of_a_broker() {
    let dir = tempfile::tempdir().unwrap();
    let helper = Builtin::new(&settings(&dir), &around()).unwrap();
    assert!(helper.ask(&question("b1.example.net", &json!({}))).await.is_ok());
    // made while it runs
    let now = jiff::Timestamp::now().as_second();
    let ca = helper.issuer.as_ref().unwrap().ca();
    ca.issue(crate::core::pki::Kind::Broker, "b2.example.net", &Default::default(), now).unwrap();
    assert_eq!(ca.servers().unwrap(), ["b2.example.net"]);
    let refused = helper.ask(&question("b2.example.net", &json!({}))).await.unwrap_err().to_string();
    assert!(refused.contains("which is a broker's"), "{refused}");
}
