//! Who gets in over TLS, and what names allow.

use std::sync::Arc;

use futures::StreamExt;
use rustls_pki_types::CertificateDer;

use super::kit::{Ca, PATIENCE, Raw, ca, tls_options, until};
use crate::core::admission::permissions::md5_hex;
use crate::core::admission::{
    ByName, CurrentCertificates, HostList, NameTest, SystemUser, X509Authenticator, X509Mode, X509Options,
};
use crate::core::broker::{Broker, Limits, Options};
use crate::core::text::Secret;

fn by_name() -> X509Options {
    X509Options {
        mode: X509Mode::ByName(ByName {
            clients: NameTest::new(|name| name.ends_with(".mcollective")),
            collectives: vec!["mcollective".to_owned()],
            ..Default::default()
        }),
        provisioning_password: Some(Secret::new("provS3cret")),
        system: Some(SystemUser { user: "system".to_owned(), password: Secret::new("systemS3cret") }),
        ..Default::default()
    }
}

fn member(broker: &Broker, name: &str, options: &str) -> Raw {
    let mut client = Raw::tls(broker.local_addr(), ca().client(Some(ca().issue(name)))).unwrap();
    client.login(options);
    client
}

fn refused(broker: &Broker, certificate: Option<&str>, options: &str) {
    let identity = certificate.map(|name| ca().issue(name));
    let mut client = Raw::tls(broker.local_addr(), ca().client(identity)).unwrap();
    client.send(format!("CONNECT {{\"verbose\":false{options}}}\r\nPING\r\n"));
    assert_eq!(client.rest(), "-ERR 'Authorization Violation'\r\n", "{certificate:?} {options}");
}

#[test]
fn refusals_say_the_same_and_are_counted_by_reason() {
    let broker = Broker::start(tls_options(by_name())).unwrap();
    refused(&broker, None, "");
    refused(&broker, None, ",\"user\":\"provisioner\",\"pass\":\"provS3cret\"");
    refused(&broker, Some("dev1"), ",\"user\":\"provisioner\",\"pass\":\"bad\"");
    refused(&broker, Some("dev1"), ",\"user\":\"system\",\"pass\":\"bad\"");
    refused(&broker, Some("dev1"), ",\"auth_token\":\"x.y.z\"");
    refused(&broker, Some("a.*.b"), "");
    until("all to be counted", || broker.stats().handshakes_failed == 6);
    let refusals = broker.stats().refusals;
    for (reason, count) in [("no certificate", 2), ("password", 2), ("token", 1), ("bad certificate", 1)] {
        assert_eq!(refusals.get(reason), Some(&count), "{reason}: {refusals:?}");
    }
    assert_eq!(broker.stats().connections, 0);
}

#[test]
fn a_peer_that_is_not_welcome_any_more_is_sent_away() {
    let broker = Broker::start(tls_options(by_name())).unwrap();
    let thief = ca().issue("dev1.example.net");
    let stolen = thief.0.first().unwrap().clone();
    let mut gone = Raw::tls(broker.local_addr(), ca().client(Some(thief))).unwrap();
    gone.login("");
    let mut stays = member(&broker, "dev2.example.net", "");
    let rules = X509Authenticator::new(by_name());
    let check = move |chain: &[CertificateDer<'static>]| match chain.first() == Some(&stolen) {
        true => Err("it has been revoked".to_owned()),
        false => Ok(()),
    };
    let rules = Arc::new(CurrentCertificates::new(rules, Arc::new(check)));
    broker.reload(Some(ca().server()), rules, Limits::default());
    assert_eq!(gone.rest(), "-ERR 'User Authentication Revoked'\r\n");
    assert_eq!(stays.sync(), "");
    until("one to be left", || broker.stats().connections == 1);
}

#[test]
fn a_certificate_of_another_authority_fails_the_handshake() {
    let broker = Broker::start(tls_options(by_name())).unwrap();
    let foreign = Ca::new().issue("dev1.example.net");
    // in TLS 1.3 the client hears of it when it reads
    if let Ok(mut client) = Raw::tls(broker.local_addr(), ca().client(Some(foreign))) {
        let _ = client.try_send("CONNECT {}\r\nPING\r\n");
        assert_eq!(client.rest(), "");
    }
    until("the failure to be counted", || broker.stats().refusals.get("tls handshake") == Some(&1));
}

#[test]
fn names_bind_nodes_and_clients() {
    let broker = Broker::start(tls_options(by_name())).unwrap();
    let mut node = member(&broker, "dev1.example.net", ",\"headers\":true,\"no_responders\":true");
    let mut client = member(&broker, "rip.mcollective", ",\"headers\":true,\"no_responders\":true");
    let denied =
        |subject: &str| format!("-ERR 'Permissions Violation for Subscription to \"{subject}\"'\r\n");
    for subject in ["*.reply.>", "mcollective.node.dev2.example.net", "mcollective.reply.>", ">"] {
        node.send(format!("SUB {subject} 9\r\n"));
        assert_eq!(node.sync(), denied(subject));
    }
    node.send("SUB mcollective.node.dev2.example.net q 9\r\n");
    assert!(node.sync().contains("using queue \"q\"'"));
    node.send("PUB mcollective.node.dev2.example.net 1\r\nx\r\n");
    assert_eq!(
        node.sync(),
        "-ERR 'Permissions Violation for Publish to \"mcollective.node.dev2.example.net\"'\r\n"
    );
    node.send("SUB mcollective.node.dev1.example.net 1\r\nSUB mcollective.broadcast.agent.rpcutil 2\r\n");
    assert_eq!(node.sync(), "");

    let inbox = format!("mcollective.reply.{}", md5_hex("choria=rip.mcollective"));
    client.send(format!("SUB {inbox}.> 1\r\n"));
    client.send(format!("PUB mcollective.node.dev1.example.net {inbox}.42 4\r\nping\r\n"));
    assert_eq!(client.sync(), "");
    assert_eq!(
        node.until("ping\r\n"),
        format!("MSG mcollective.node.dev1.example.net 1 {inbox}.42 4\r\nping\r\n")
    );
    node.send(format!("PUB {inbox}.42 4\r\npong\r\n"));
    assert_eq!(client.until("pong\r\n"), format!("MSG {inbox}.42 1 4\r\npong\r\n"));
    let other = format!("mcollective.reply.{}.>", md5_hex("choria=bob.mcollective"));
    client.send(format!("SUB {other} 2\r\n"));
    assert_eq!(client.sync(), denied(&other));
    client.send(format!("PUB $SYS.REQ.USER.INFO {inbox}.1 0\r\n\r\n"));
    client.line();
    assert!(client.line().contains("\"user\":\"choria=rip.mcollective\""));
    assert_eq!(
        broker.connections(9).iter().map(|one| one.user.clone()).collect::<Vec<_>>(),
        ["dev1.example.net", "choria=rip.mcollective"]
    );
    assert!(broker.connections(1)[0].tls.starts_with("TLSv1_3"));
}

#[test]
fn accounts_are_apart_except_for_lifecycle_events() {
    let broker = Broker::start(tls_options(X509Options {
        mode: X509Mode::Open { client_hosts: HostList::default() },
        ..by_name()
    }))
    .unwrap();
    let mut fleet = member(&broker, "rip.mcollective", "");
    let mut provisioner =
        member(&broker, "prov.example.net", ",\"user\":\"provisioner\",\"pass\":\"provS3cret\"");
    let mut system = member(&broker, "rip.mcollective", ",\"user\":\"system\",\"pass\":\"systemS3cret\"");
    for client in [&mut fleet, &mut provisioner, &mut system] {
        client.send("SUB > 1\r\n");
        client.sync();
    }
    let vectors: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/vectors/captured/broker-permissions.json"
        ))
        .unwrap(),
    )
    .unwrap();
    let mut ran = 0;
    for crossing in vectors["cross_account"].as_array().unwrap() {
        let role = |key: &str| {
            crossing[key].as_str().map(|role| match role {
                "provisioner" => Some(0),
                "org_admin (choria)" => Some(1),
                "system" => Some(2),
                _ => None,
            })
        };
        let (Some(Some(from)), Some(Some(to))) = (role("from"), role("to")) else { continue };
        let Some(subject) = crossing["published"].as_str() else { continue };
        if from == to || subject.starts_with('$') || subject.contains("streams") {
            continue;
        }
        let all = [&mut provisioner, &mut fleet, &mut system];
        all[from].send(format!("PUB {subject} 1\r\nx\r\n"));
        all[from].sync();
        let crossed = crossing["delivered"].as_array().is_some_and(|delivered| !delivered.is_empty());
        if crossed {
            assert_eq!(all[to].until("x\r\n"), format!("MSG {subject} 1 1\r\nx\r\n"), "{crossing}");
        } else {
            assert_eq!(all[to].sync(), "", "{crossing}");
        }
        for client in all {
            client.sync();
        }
        ran += 1;
    }
    assert!(ran >= 10, "only {ran} crossings were tried");
    let accounts = broker.stats().accounts;
    assert_eq!((accounts["choria"], accounts["provisioning"], accounts["system"]), (1, 1, 1));
}

#[test]
fn an_overlapping_subscription_is_filtered_message_by_message() {
    let broker = Broker::start(tls_options(X509Options {
        mode: X509Mode::Open { client_hosts: HostList::new(["127.0.0.1"]) },
        ..Default::default()
    }))
    .unwrap();
    let limited = Broker::start(tls_options(X509Options {
        mode: X509Mode::Open { client_hosts: HostList::new(["10.9.9.9"]) },
        ..Default::default()
    }))
    .unwrap();
    member(&broker, "anyone", "").send("SUB *.reply.> 1\r\n");
    let vectors: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/vectors/captured/broker-permissions.json"
        ))
        .unwrap(),
    )
    .unwrap();
    let filter = &vectors["delivery_filter"][0];
    assert!(filter["receiver"].as_str().unwrap().starts_with("ACL D"));
    let mut server = member(&limited, "dev1.example.net", "");
    let mut checked = 0;
    for (pattern, outcome) in filter["by_subscription"].as_object().unwrap() {
        server.send(format!("SUB {pattern} 1\r\n"));
        if !server.sync().is_empty() {
            continue;
        }
        for (key, arrives) in [("delivered", true), ("not_delivered", false)] {
            for subject in outcome[key].as_array().unwrap() {
                let subject = subject.as_str().unwrap();
                server.send(format!("PUB {subject} 1\r\nx\r\n"));
                let got = server.sync();
                // what D may not publish itself cannot be tried by itself
                if !got.contains("Permissions Violation for Publish") && !subject.starts_with('$') {
                    assert_eq!(got.contains("MSG "), arrives, "{pattern} {subject}: {got}");
                    checked += 1;
                }
            }
        }
        server.send("UNSUB 1\r\n");
        server.sync();
    }
    assert!(checked > 50, "only {checked} deliveries were tried");
}

#[test]
fn both_tls_implementations_carry_large_messages_both_ways() {
    for buffered_tls in [false, true] {
        let broker = Broker::start(Options { buffered_tls, ..tls_options(Default::default()) }).unwrap();
        let mut reader = member(&broker, "a", "");
        let mut writer = member(&broker, "b", "");
        reader.send("SUB big 1\r\n");
        reader.sync();
        let payload: String = (0..1024 * 1024).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        for _ in 0..3 {
            writer.send(format!("PUB big {}\r\n{payload}\r\n", payload.len()));
            assert_eq!(reader.line(), format!("MSG big 1 {}\r\n", payload.len()));
            assert_eq!(reader.line().trim_end(), payload);
        }
    }
}

#[test]
fn a_client_library_with_a_certificate() {
    let broker = Broker::start(tls_options(by_name())).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let url = format!("tls://localhost:{}", broker.local_addr().port());
    let options = |name: &str| {
        let config = std::sync::Arc::unwrap_or_clone(ca().client(Some(ca().issue(name))));
        let (sender, events) = std::sync::mpsc::channel();
        let options = async_nats::ConnectOptions::new()
            .tls_client_config(config)
            .require_tls(true)
            .event_callback(move |event| {
                let sender = sender.clone();
                async move {
                    let _ = sender.send(event.to_string());
                }
            });
        (options, events)
    };
    runtime.block_on(async {
        let body = async {
            let (node_options, node_events) = options("dev1.example.net");
            let node = node_options.connect(&url).await.unwrap();
            let caller = md5_hex("choria=rip.mcollective");
            let (client_options, _events) = options("rip.mcollective");
            let client = client_options
                .custom_inbox_prefix(format!("mcollective.reply.{caller}"))
                .connect(&url)
                .await
                .unwrap();
            let mut requests = node.subscribe("mcollective.node.dev1.example.net").await.unwrap();
            let stolen = node.subscribe("mcollective.reply.>").await.unwrap();
            // this library's flush does not wait for the broker
            node.flush().await.unwrap();
            until("the node's subscription", || broker.stats().subscriptions == 1);
            let answering = tokio::spawn(async move {
                let request = requests.next().await.unwrap();
                node.publish(request.reply.unwrap(), "pong".into()).await.unwrap();
                node.flush().await.unwrap();
                (node, stolen)
            });
            let answer = client.request("mcollective.node.dev1.example.net", "ping".into()).await.unwrap();
            assert_eq!(&answer.payload[..], b"pong");
            let _kept = answering.await.unwrap();
            loop {
                let event = node_events.recv_timeout(PATIENCE).unwrap().to_lowercase();
                if event.contains("permissions violation") {
                    assert!(event.contains("mcollective.reply.>"), "{event}");
                    break;
                }
            }
            let nobody = client.request("mcollective.node.nobody", "x".into()).await.unwrap_err();
            assert_eq!(nobody.kind(), async_nats::RequestErrorKind::NoResponders);
        };
        tokio::time::timeout(PATIENCE, body).await.expect("in time");
    });
}
