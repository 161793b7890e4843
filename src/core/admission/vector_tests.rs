//! Decisions of the original broker, case by case.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::core::security::tokens::VerifyKey;
use crate::core::text::Secret;

fn load(file: &str) -> Value {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn strings(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn has_entries(value: &Value) -> bool {
    value.as_object().is_some_and(|map| !map.is_empty())
        || value.as_array().is_some_and(|list| !list.is_empty())
}

fn same(permission: &Permission, expected: &Value, what: &str) {
    let ours = |list: &SubjectList| list.iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(
        permission.allow.as_ref().map(ours),
        expected.get("allow").map(strings).filter(|list| !list.is_empty()),
        "allow of {what}"
    );
    assert_eq!(ours(&permission.deny), strings(&expected["deny"]), "deny of {what}");
}

/// Rows with tokens that need a signer or an issuer come with the token rules.
fn needs_token_rules(config: &Value, case: &Value) -> bool {
    let signs = ["issuers", "client_signers", "server_signers"];
    has_entries(&config["issuers"])
        || (case.get("token").is_some()
            && signs.iter().any(|key| has_entries(&config[*key]) || config[*key].is_string()))
}

#[test]
fn connections_judged_by_the_original() {
    let vectors = load("go-made-broker.json");
    let (mut ran, mut later, mut listed, mut bound) = (0, 0, 0, 0);
    for (number, case) in vectors["cases"].as_array().unwrap().iter().enumerate() {
        let config = &vectors["configs"][text(case, "config")];
        if needs_token_rules(config, case) {
            later += 1;
            continue;
        }
        let hosts = HostList::new(strings(&config["client_hosts"]));
        let authenticator = X509Authenticator::new(X509Options {
            mode: X509Mode::Open { client_hosts: hosts.clone() },
            deny_servers: config["deny_server_connections"] == true,
            provisioning_password: config["provisioning_password"].as_str().map(Secret::new),
            waiting: config["provisioning_signer"].as_str().map(|key| {
                let time = vectors["time"].as_i64().unwrap();
                WaitingNodes::new(VerifyKey::from_hex(key).unwrap(), move || time)
            }),
            system: config["system_user"].as_str().map(|user| SystemUser {
                user: user.to_owned(),
                password: Secret::new(text(config, "system_password")),
            }),
            brokers: Vec::new(),
            allow_plaintext: false,
        });
        let address = text(case, "address");
        let mut facts = ConnectionFacts::new(match (address, text(case, "tls")) {
            ("pipe", _) => Transport::InProcess,
            (_, "none") => Transport::Plaintext,
            _ => Transport::Tls,
        });
        facts.remote = address.parse().ok().map(|ip: std::net::IpAddr| (ip, 40000).into());
        facts.certificate =
            (text(case, "tls") == "verified").then(|| PeerCertificate::named("dev1.example.net", Vec::new()));
        facts.options.user = text(case, "user").to_owned();
        facts.options.pass = Secret::new(text(case, "password"));
        facts.options.name = NODE.into();
        if let Some(token) = case["token"].as_str() {
            // names of tokens, or texts that are none
            facts.options.auth_token = Secret::new(vectors["tokens"][token]["jwt"].as_str().unwrap_or(token));
        }
        ran += 1;
        let what = format!("case {number}: {case}");
        let decision = authenticator.authenticate(&facts);
        assert_eq!(decision.is_ok(), case["accepted"] == true, "{what}: {decision:?}");
        let Ok(grant) = decision else { continue };
        assert_eq!(grant.account.name(), text(case, "account"), "{what}");
        assert_eq!(grant.user, text(case, "username"), "{what}");
        if facts.remote.is_some_and(|remote| hosts.contains(remote.ip())) {
            // deviation: a listed address is a client, as the manual says (spec 04 §3.3)
            listed += 1;
            assert!(grant.publish.is_unrestricted() && grant.subscribe.is_unrestricted(), "{what}");
        } else if case["unrestricted"] == true {
            assert!(grant.publish.is_unrestricted() && grant.subscribe.is_unrestricted(), "{what}");
        } else if grant.account == Account::Provisioning {
            // deviations: bound to its own name, and 2018's registration subject
            bound += 1;
            let mut expected = case.clone();
            expected["publish"]["allow"].as_array_mut().unwrap().push("choria.provisioning_data".into());
            for entry in expected["subscribe"]["allow"].as_array_mut().unwrap() {
                if entry == "provisioning.node.>" {
                    *entry = format!("provisioning.node.{NODE}").into();
                }
            }
            same(&grant.publish, &expected["publish"], &what);
            same(&grant.subscribe, &expected["subscribe"], &what);
        } else {
            same(&grant.publish, &case["publish"], &what);
            same(&grant.subscribe, &case["subscribe"], &what);
        }
    }
    assert_eq!(bound, 3);
    println!("{ran} decisions compared, {later} wait for token rules, {listed} differ by decision");
    assert_eq!(ran + later, 948);
    assert_eq!((ran, listed), (RAN, LISTED));
}

/// How many rows the predicate lets through, so that it cannot quietly let none.
const RAN: usize = 341;
const NODE: &str = "n1.example.net";
const LISTED: usize = 4;

#[test]
fn kinds_of_connection_tried_on_the_original() {
    let vectors = load("captured/broker-permissions.json");
    let probes = vectors["probes"].as_array().unwrap();
    let (mut kinds, mut checks, mut listed) = (0, 0, 0);
    for kind in vectors["kinds"].as_array().unwrap() {
        let config = &vectors["configs"][text(kind, "config")];
        let foreign = text(kind, "client_certificate") == "foreign";
        let x509 =
            text(config, "plugin.security.provider") == "file" && kind.get("auth_token_claims").is_none();
        if !x509 || foreign {
            continue;
        }
        let network = |key: &str| config.get(format!("plugin.choria.network.{key}")).and_then(Value::as_str);
        let hosts = HostList::new(network("client_hosts").unwrap_or_default().split(','));
        let authenticator = X509Authenticator::new(X509Options {
            mode: X509Mode::Open { client_hosts: hosts.clone() },
            deny_servers: network("deny_server_connections") == Some("true"),
            provisioning_password: network("provisioning.client_password").map(Secret::new),
            waiting: None,
            system: network("system.user").map(|user| SystemUser {
                user: user.to_owned(),
                password: Secret::new(network("system.password").unwrap_or_default()),
            }),
            brokers: Vec::new(),
            allow_plaintext: false,
        });
        let from: std::net::IpAddr = kind["from_address"].as_str().unwrap_or("127.0.0.1").parse().unwrap();
        let mut facts = ConnectionFacts::new(Transport::Tls);
        facts.remote = Some((from, 40000).into());
        facts.certificate =
            kind["client_certificate"].as_str().map(|name| PeerCertificate::named(name, Vec::new()));
        facts.options.user = text(kind, "user").to_owned();
        facts.options.pass = Secret::new(text(kind, "pass"));
        facts.options.auth_token = Secret::new(text(kind, "auth_token"));
        kinds += 1;
        let decision = authenticator.authenticate(&facts);
        assert_eq!(decision.is_ok(), text(kind, "result") == "connected", "{kind}: {decision:?}");
        let Ok(grant) = decision else { continue };
        assert_eq!(grant.account.name(), text(kind, "account"), "{kind}");
        assert_eq!(grant.user, text(kind, "connz_authorized_user"), "{kind}");
        if hosts.contains(from) {
            listed += 1;
            assert!(grant.publish.is_unrestricted() && grant.subscribe.is_unrestricted());
            continue;
        }
        let allowed = |key: &str, subject: &str| {
            kind[key] == "all" || kind[key].as_array().unwrap().iter().any(|found| found == subject)
        };
        for probe in probes {
            let (subscribed, published) = (text(probe, "sub"), text(probe, "pub"));
            assert_eq!(
                grant.subscribe.may_subscribe(subscribed.as_bytes(), None),
                allowed("sub_allowed", subscribed),
                "SUB {subscribed} by {kind}"
            );
            assert_eq!(
                grant.publish.may_publish(published.as_bytes()),
                allowed("pub_allowed", published),
                "PUB {published} by {kind}"
            );
            checks += 2;
        }
    }
    println!("{kinds} kinds, {checks} permission checks, {listed} differ by decision");
    assert_eq!((kinds, checks, listed), (KINDS, CHECKS, DIFFERENT));
}

const KINDS: usize = 21;
const CHECKS: usize = 1512;
const DIFFERENT: usize = 3;

#[test]
fn permission_tables_as_recorded() {
    let vectors = load("captured/broker-permissions.json");
    let tables = [
        ("unprovisioned:", permissions::unprovisioned()),
        ("x509 peer, verified TLS, no token", permissions::certificate_among_tokens()),
        ("x509 node from unlisted address", permissions::default_server()),
    ];
    for (name, (publish, subscribe)) in tables {
        let mut seen = 0;
        for kind in vectors["kinds"].as_array().unwrap() {
            let Some(recorded) = kind.get("user_info_permissions") else { continue };
            if text(kind, "kind").starts_with(name) && has_entries(&recorded["publish"]) {
                same(&publish, &recorded["publish"], name);
                same(&subscribe, &recorded["subscribe"], name);
                seen += 1;
            }
        }
        // servers in provisioning cannot ask for their permissions: probes tell
        let by_probe = vectors["kinds"].as_array().unwrap().iter().filter(|kind| {
            text(kind, "kind").starts_with(name)
                && text(kind, "config") != "x509hostsdeny"
                && kind.get("sub_allowed").is_some_and(Value::is_array)
        });
        for kind in by_probe {
            for probe in vectors["probes"].as_array().unwrap() {
                let (subscribed, published) = (text(probe, "sub"), text(probe, "pub"));
                let listed = |key: &str, subject: &str| strings(&kind[key]).contains(subject);
                assert_eq!(
                    subscribe.may_subscribe(subscribed.as_bytes(), None),
                    listed("sub_allowed", subscribed),
                    "{name} {subscribed} {kind}"
                );
                assert_eq!(
                    publish.may_publish(published.as_bytes()),
                    listed("pub_allowed", published),
                    "{name} {published}"
                );
            }
            seen += 1;
        }
        assert!(seen > 0, "{name} is not in the vectors");
    }
}

/// Row S serves nodes of by-name networks too; the original proves it on server tokens.
#[test]
fn servers_may_what_servers_of_the_original_may() {
    let vectors = load("captured/broker-permissions.json");
    let (mut kinds, mut others) = (0, 0);
    for kind in vectors["kinds"].as_array().unwrap() {
        let claims = &kind["auth_token_claims"];
        let permits = |name: &str| claims["permissions"][name] == true;
        let applies = text(claims, "purpose") == "choria_server"
            && text(kind, "result") == "connected"
            && vectors["configs"][text(kind, "config")]
                .get("plugin.choria.network.deny_server_connections")
                .is_none()
            && !permits("streams");
        if !applies {
            continue;
        }
        let collectives: Vec<String> = strings(&claims["collectives"]).into_iter().collect();
        let extra: Vec<String> = strings(&claims["pub_subjects"]).into_iter().collect();
        let server = permissions::Server {
            identity: text(claims, "identity"),
            collectives: &collectives,
            publish: &extra,
            submission: permits("submission"),
            service_host: permits("service_host"),
            federations: None,
        };
        let (publish, subscribe) =
            (permissions::server_publish(&server), permissions::server_subscribe(&server));
        for probe in vectors["probes"].as_array().unwrap() {
            let (subscribed, published) = (text(probe, "sub"), text(probe, "pub"));
            let listed = |key: &str, subject: &str| strings(&kind[key]).contains(subject);
            assert_eq!(
                subscribe.may_subscribe(subscribed.as_bytes(), None),
                listed("sub_allowed", subscribed),
                "SUB {subscribed} by {kind}"
            );
            assert_eq!(
                publish.may_publish(published.as_bytes()),
                listed("pub_allowed", published),
                "PUB {published} by {kind}"
            );
        }
        kinds += 1;
        for other in vectors["other"].as_array().unwrap() {
            let words: Vec<&str> = text(other, "sent").split(' ').collect();
            if text(other, "kind") == text(kind, "kind") && words[0] == "SUB" {
                let allowed = other["received"].as_array().unwrap().is_empty();
                let queue = (words.len() == 4).then(|| words[2].as_bytes());
                assert_eq!(subscribe.may_subscribe(words[1].as_bytes(), queue), allowed, "{other}");
                others += 1;
            }
        }
    }
    assert!(kinds >= 5 && others >= 9, "only {kinds} kinds and {others} further lines");
}
