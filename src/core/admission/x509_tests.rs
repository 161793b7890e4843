use super::*;
use crate::core::admission::PeerCertificate;

fn certificate(name: &str) -> ConnectionFacts {
    let mut facts = ConnectionFacts::new(Transport::Tls);
    facts.remote = Some(([10, 1, 1, 1], 40000).into());
    facts.certificate = Some(PeerCertificate::named(name, Vec::new()));
    facts
}

fn by_name() -> X509Authenticator {
    X509Authenticator::new(X509Options {
        mode: X509Mode::ByName(ByName {
            clients: NameTest::new(|name| name.ends_with(".mcollective")),
            privileged: NameTest::new(|name| name.ends_with(".privileged.mcollective")),
            collectives: vec!["mcollective".to_owned(), "uk".to_owned()],
            registration_targets: vec!["mcollective.inventory".to_owned()],
            ..Default::default()
        }),
        provisioning_password: Some(Secret::new("pp")),
        ..Default::default()
    })
}

#[test]
fn a_node_certificate_is_its_node_and_nothing_else() {
    let grant = by_name().authenticate(&certificate("dev1.example.net")).unwrap();
    assert_eq!((grant.account, grant.user.as_str()), (Account::Choria, "dev1.example.net"));
    for (subject, may) in [
        ("mcollective.node.dev1.example.net", true),
        ("uk.node.dev1.example.net", true),
        ("mcollective.node.dev2.example.net", false),
        ("mcollective.node.>", false),
        ("mcollective.broadcast.agent.puppet", true),
        ("mcollective.broadcast.service.acme", false),
        ("other.broadcast.agent.puppet", false),
        ("*.reply.>", false),
        ("mcollective.reply.>", false),
        ("mcollective.>", false),
        (">", false),
        ("choria.lifecycle.>", false),
        (&format!("mcollective.reply.{}.>", permissions::md5_hex("dev1.example.net")), true),
        (&format!("mcollective.reply.{}.>", permissions::md5_hex("choria=dev1.example.net")), false),
    ] {
        assert_eq!(grant.subscribe.may_subscribe(subject.as_bytes(), None), may, "SUB {subject}");
    }
    for (subject, may) in [
        ("mcollective.reply.0123.1", true),
        ("mcollective.broadcast.agent.registration", true),
        ("mcollective.inventory", true),
        ("mcollective.submission.in.x", true),
        ("choria.federation.uk.collective", true),
        ("choria.lifecycle.event.startup.server", true),
        ("choria.machine.transition", true),
        ("mcollective.broadcast.agent.puppet", false),
        ("mcollective.node.dev2.example.net", false),
        ("choria.federation.uk.federation", false),
    ] {
        assert_eq!(grant.publish.may_publish(subject.as_bytes()), may, "PUB {subject}");
    }
}

#[test]
fn a_client_certificate_may_ask_and_hears_its_own_replies() {
    for name in ["rip.mcollective", "aaa.privileged.mcollective"] {
        let grant = by_name().authenticate(&certificate(name)).unwrap();
        // It speaks for others, and has to hear what they are answered.
        let privileged = name.contains("privileged");
        let caller = format!("choria={name}");
        assert_eq!(grant.user, caller);
        let own = permissions::md5_hex(&caller);
        for (subject, may) in [
            (format!("mcollective.reply.{own}.>"), true),
            (format!("mcollective.reply.{own}.42"), true),
            (format!("mcollective.reply.{}.>", permissions::sha256_hex(&caller)), true),
            (format!("mcollective.reply.{}.>", permissions::md5_hex("choria=bob.mcollective")), privileged),
            ("*.reply.>".to_owned(), privileged),
            ("mcollective.>".to_owned(), false),
            ("choria.lifecycle.event.>".to_owned(), true),
            ("choria.machine.transition".to_owned(), true),
            ("mcollective.node.dev1.example.net".to_owned(), false),
        ] {
            assert_eq!(grant.subscribe.may_subscribe(subject.as_bytes(), None), may, "SUB {subject}");
        }
        for (subject, may) in [
            ("mcollective.broadcast.agent.puppet", true),
            ("mcollective.broadcast.service.acme", true),
            ("mcollective.node.dev1.example.net", true),
            ("choria.federation.uk.federation", true),
            ("$SYS.REQ.USER.INFO", true),
            ("mcollective.reply.0123.1", false),
            ("choria.lifecycle.event.startup.server", false),
        ] {
            assert_eq!(grant.publish.may_publish(subject.as_bytes()), may, "PUB {subject}");
        }
    }
}

#[test]
fn names_that_would_be_patterns_are_refused() {
    for name in ["*", ">", "a.*", "a.>", "a..b", "", "a b", "a\nb"] {
        let refusal = by_name().authenticate(&certificate(name)).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::BadCertificate, "{name:?}");
    }
}

#[test]
fn reasons_are_true() {
    let open = X509Authenticator::new(X509Options::default());
    let mut bare = ConnectionFacts::new(Transport::Tls);
    assert_eq!(open.authenticate(&bare).unwrap_err().kind, RefusalKind::NoCertificate);
    bare.options.auth_token = Secret::new("token");
    assert_eq!(open.authenticate(&bare).unwrap_err().kind, RefusalKind::NoCertificate);
    let mut with_token = certificate("a");
    with_token.options.auth_token = Secret::new("token");
    assert_eq!(open.authenticate(&with_token).unwrap_err().kind, RefusalKind::Token);
    assert_eq!(
        open.authenticate(&ConnectionFacts::new(Transport::Plaintext)).unwrap_err().kind,
        RefusalKind::TlsRequired
    );
    let mut account = certificate("a");
    account.options.wants_account = true;
    assert_eq!(open.authenticate(&account).unwrap_err().kind, RefusalKind::Request);

    let mut provisioner = certificate("p");
    provisioner.options.user = PROVISIONER.to_owned();
    assert_eq!(open.authenticate(&provisioner).unwrap_err().kind, RefusalKind::NotConfigured);
    assert_eq!(by_name().authenticate(&provisioner).unwrap_err().kind, RefusalKind::Password);
    provisioner.options.pass = Secret::new("pp");
    assert_eq!(by_name().authenticate(&provisioner).unwrap().account, Account::Provisioning);
    provisioner.certificate = None;
    let refusal = by_name().authenticate(&provisioner).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NoCertificate);
    assert!(!refusal.to_string().contains("pp\""));
}

#[test]
fn denied_servers_and_open_plaintext() {
    let mut options = X509Options { deny_servers: true, allow_plaintext: true, ..Default::default() };
    options.mode = X509Mode::ByName(ByName { collectives: vec!["c".to_owned()], ..Default::default() });
    let authenticator = X509Authenticator::new(options);
    let grant = authenticator.authenticate(&certificate("node")).unwrap();
    assert_eq!((&*grant.publish, &*grant.subscribe), (&Permission::nothing(), &Permission::nothing()));
    let grant = authenticator.authenticate(&ConnectionFacts::new(Transport::Plaintext)).unwrap();
    assert!(grant.publish.is_unrestricted());
}

#[test]
fn a_federation_broker_carries_and_does_nothing_else() {
    let rules = X509Authenticator::new(X509Options {
        mode: X509Mode::ByName(ByName {
            clients: NameTest::new(|name| name.ends_with(".mcollective")),
            services: {
                let [publish, hear] = permissions::federation_broker(&["mcollective".to_owned()]);
                vec![Service {
                    names: NameTest::new(|name| name == "fed1.example.net"),
                    by_carrier: false,
                    publish,
                    hear,
                }]
            },
            collectives: vec!["mcollective".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    });
    let grant = rules.authenticate(&certificate("fed1.example.net")).unwrap();
    assert_eq!((grant.peer.kind, grant.user.as_str()), (PeerKind::Service, "fed1.example.net"));
    for (subject, may) in [
        ("choria.federation.london.federation", true),
        ("choria.federation.london.collective", true),
        ("choria.federation.>", false),
        ("mcollective.reply.>", false),
        ("mcollective.broadcast.agent.rpcutil", false),
        ("choria.lifecycle.event.>", false),
        (">", false),
    ] {
        let may_it = grant.subscribe.may_subscribe(subject.as_bytes(), Some(b"london_federation"));
        assert_eq!(may_it, may, "SUB {subject}");
    }
    for (subject, may) in [
        ("uk.reply.0123.1", true),
        ("mcollective.node.n1.example.net", true),
        ("mcollective.broadcast.agent.rpcutil", true),
        ("mcollective.broadcast.service.choria_registry", true),
        ("other.node.n1.example.net", false),
        ("choria.federation.london.federation", false),
        ("choria.federation.london.collective", false),
        ("choria.lifecycle.event.startup.server", false),
        ("mcollective.inventory", false),
    ] {
        assert_eq!(grant.publish.may_publish(subject.as_bytes()), may, "PUB {subject}");
    }
    let node = rules.authenticate(&certificate("n1.example.net")).unwrap();
    assert!(node.publish.may_publish(b"choria.federation.london.collective"));
    assert!(!node.publish.may_publish(b"choria.federation.london.federation"));
    assert!(!node.subscribe.may_subscribe(b"choria.federation.london.collective", None));
}

#[test]
fn nodes_use_the_buckets_and_governors_that_are_named_and_no_others() {
    let rules = |streams| {
        X509Authenticator::new(X509Options {
            mode: X509Mode::ByName(ByName {
                collectives: vec!["c".to_owned()],
                streams,
                node_buckets: vec!["CFG".to_owned()],
                node_governors: vec!["G".to_owned()],
                ..Default::default()
            }),
            ..Default::default()
        })
    };
    let allowed = [
        "$JS.API.STREAM.INFO.KV_CFG",
        "$JS.API.DIRECT.GET.KV_CFG.$KV.CFG.a.b",
        "$JS.API.STREAM.MSG.GET.KV_CFG",
        "$JS.API.STREAM.MSG.DELETE.GOVERNOR_G",
        "$JS.API.STREAM.MSG.GET.GOVERNOR_G",
        "$JS.API.STREAM.INFO.GOVERNOR_G",
        "c.governor.G",
    ];
    let refused = [
        "$KV.CFG.a.b",
        "$JS.API.STREAM.INFO.KV_OTHER",
        "$JS.API.DIRECT.GET.KV_OTHER.$KV.OTHER.a",
        "$JS.API.DIRECT.GET.KV_CFG.$KV.OTHER.a",
        "$JS.API.STREAM.MSG.DELETE.KV_CFG",
        "$JS.API.STREAM.MSG.DELETE.GOVERNOR_H",
        "$JS.API.STREAM.MSG.GET.GOVERNOR_H",
        "$JS.API.CONSUMER.CREATE.KV_CFG.x",
        "$JS.API.STREAM.PURGE.GOVERNOR_G",
        "c.governor.H",
        "d.governor.G",
    ];
    let node = rules(true).authenticate(&certificate("n1.example.net")).unwrap();
    for subject in allowed {
        assert!(node.publish.may_publish(subject.as_bytes()), "{subject}");
    }
    for subject in refused {
        assert!(!node.publish.may_publish(subject.as_bytes()), "{subject}");
    }
    let without = rules(false).authenticate(&certificate("n1.example.net")).unwrap();
    assert!(allowed.iter().all(|subject| !without.publish.may_publish(subject.as_bytes())));
}

#[test]
fn clients_use_streams_where_there_are_some_and_nodes_do_not() {
    let named = |pattern: &'static str| NameTest::new(move |name| name.ends_with(pattern));
    let rules = |streams| {
        X509Authenticator::new(X509Options {
            mode: X509Mode::ByName(ByName {
                clients: named(".mcollective"),
                privileged: named(".privileged.mcollective"),
                collectives: vec!["c".to_owned()],
                streams,
                ..Default::default()
            }),
            ..Default::default()
        })
    };
    let create = "$JS.API.STREAM.CREATE.KV_X";
    for (name, streams, allowed, refused) in [
        (
            "alice.mcollective",
            true,
            &["$KV.X.k", "$JS.API.STREAM.INFO.KV_X", "c.governor.G"][..],
            &[create][..],
        ),
        ("alice.privileged.mcollective", true, &["$KV.X.k", create], &["choria.lifecycle.event.startup.x"]),
        ("alice.privileged.mcollective", false, &["c.node.x"], &[create, "$KV.X.k"]),
        (
            "n1.example.net",
            true,
            &["c.reply.x"],
            &[create, "$KV.X.k", "$JS.API.STREAM.MSG.DELETE.S", "c.governor.G"],
        ),
    ] {
        let grant = rules(streams).authenticate(&certificate(name)).unwrap();
        for subject in allowed {
            assert!(grant.publish.may_publish(subject.as_bytes()), "{name} {subject}");
        }
        for subject in refused {
            assert!(!grant.publish.may_publish(subject.as_bytes()), "{name} {subject}");
        }
    }
    // Libraries of others make inboxes by chance; what names or guesses another's is none.
    let nuid = "0Zq3kPz8TfGm1HcXw92BdQ";
    let md5 = permissions::md5_hex("choria=bob.mcollective");
    for (pattern, may) in [
        (format!("c.reply.{nuid}.*"), true),
        (format!("c.reply.{nuid}.>"), true),
        (format!("c.reply.{nuid}.1.2"), true),
        (format!("c.reply.{nuid}"), true),
        (format!("c.reply.{nuid}x.*"), false),
        ("c.reply.*.*".to_owned(), false),
        ("c.reply.>".to_owned(), false),
        (format!("c.reply.*{}.>", &nuid[1..]), false),
        (format!("*.reply.{nuid}.>"), false),
        (format!("$JS.reply.{nuid}.>"), false),
        (format!("c.node.{nuid}.>"), false),
        (format!("c.reply.{md5}.>"), false),
    ] {
        for name in ["alice.mcollective", "n1.example.net"] {
            let may_hear = |streams| {
                let grant = rules(streams).authenticate(&certificate(name)).unwrap();
                grant.subscribe.may_subscribe(pattern.as_bytes(), None)
            };
            assert_eq!((may_hear(true), may_hear(false)), (may, false), "{name} {pattern}");
        }
    }
}

#[test]
fn nobody_waits_by_a_name_that_has_rights() {
    let named = |wanted: &'static str| NameTest::new(move |name| name == wanted);
    let rules = |mode| {
        X509Authenticator::new(X509Options {
            mode,
            brokers: vec!["b1.example.net".to_owned()],
            ..Default::default()
        })
    };
    let by_name = rules(X509Mode::ByName(ByName {
        clients: NameTest::new(|name| name.ends_with(".mcollective")),
        privileged: named("root"),
        service_hosts: named("registry.example.net"),
        services: vec![Service {
            names: named("carrier.example.net"),
            by_carrier: false,
            publish: vec![],
            hear: vec![],
        }],
        ..Default::default()
    }));
    for (name, whose) in [
        ("b1.example.net", Some("a broker")),
        ("B1.Example.net", Some("a broker")),
        ("Alice.MCollective", Some("clients")),
        ("root", Some("clients")),
        ("CARRIER.example.net", Some("a federation broker or adapter")),
        ("registry.example.net", Some("nodes that answer for services")),
        ("n1.example.net", None),
    ] {
        assert_eq!(by_name.gives_rights_to(name), whose, "{name}");
    }
    let open = rules(X509Mode::Open { client_hosts: HostList::default() });
    assert_eq!(open.gives_rights_to("b1.EXAMPLE.net"), Some("a broker"));
    assert_eq!(open.gives_rights_to("alice.mcollective"), None);
}

/// Puppet gives a machine one certificate: its broker's and its node's.
#[test]
fn a_node_beside_a_carrier_of_its_name_is_a_node() {
    let rules = X509Authenticator::new(X509Options {
        mode: X509Mode::ByName(ByName {
            services: vec![Service {
                names: NameTest::new(|name| name == "b1.example.net"),
                by_carrier: true,
                publish: vec![],
                hear: vec![],
            }],
            ..Default::default()
        }),
        ..Default::default()
    });
    let mut facts = certificate("b1.example.net");
    for (name, kind) in [
        (carrier("choria adapter reg"), PeerKind::Service),
        ("b1.example.net".to_owned(), PeerKind::Node),
        (String::new(), PeerKind::Node),
    ] {
        facts.options.name = name;
        assert_eq!(rules.authenticate(&facts).unwrap().peer.kind, kind, "{}", facts.options.name);
    }
}
