//! The permission tables (spec 04 §3.5), each written once.

use md5::{Digest, Md5};

use super::grant::{Permission, SubjectList};
use crate::core::protocol::deferred;
use crate::core::text::hex;

/// Publish and subscribe permissions of one kind of peer.
pub type Pair = (Permission, Permission);

/// P: an unprovisioned server in account `provisioning`.
pub fn unprovisioned() -> Pair {
    (
        Permission::only(["choria.lifecycle.>", "provisioning.reply.>", "provisioning.registration.>"]),
        Permission::only([
            "provisioning.node.>",
            "provisioning.broadcast.agent.discovery",
            "provisioning.broadcast.agent.rpcutil",
            "provisioning.broadcast.agent.choria_util",
            "provisioning.broadcast.agent.choria_provision",
        ]),
    )
}

/// D: a server about which nothing but a certificate is known.
pub fn default_server() -> Pair {
    (
        Permission {
            allow: Some(SubjectList::new([">"])),
            deny: SubjectList::new([
                "*.broadcast.agent.>",
                "*.broadcast.service.>",
                "*.node.>",
                "choria.federation.*.federation",
            ]),
            ..Permission::default()
        },
        Permission {
            deny: SubjectList::new(["*.reply.>", "choria.federation.>", "choria.lifecycle.>"]),
            ..Permission::default()
        },
    )
}

/// X: a server that may say and hear nothing.
pub fn denied_server() -> Pair {
    (Permission::nothing(), Permission::nothing())
}

/// M: a certificate holder in an organization that uses tokens: its own subjects only.
pub fn certificate_among_tokens() -> Pair {
    let permission = Permission {
        allow: Some(SubjectList::new([">"])),
        deny: SubjectList::new([
            "*.broadcast.>",
            "*.node.>",
            "*.reply.>",
            "choria.federation.>",
            "choria.lifecycle.>",
            "choria.machine.>",
        ]),
        ..Permission::default()
    };
    (permission.clone(), permission)
}

/// What a federation broker says and hears, on whichever side of it this network is: it
/// takes requests of operators or answers of nodes, and says what those of the other side
/// said.
pub fn federation_broker(collectives: &[String]) -> [Vec<String>; 2] {
    let below = |collective: &String| {
        ["node.>", "broadcast.agent.*", "broadcast.service.*"].map(|rest| format!("{collective}.{rest}"))
    };
    [
        ["*.reply.>".to_owned()].into_iter().chain(collectives.iter().flat_map(below)).collect(),
        ["choria.federation.*.federation", "choria.federation.*.collective"].map(str::to_owned).into(),
    ]
}

/// These, and what is said to the holder of this name alone.
pub fn service(publish: &[String], hear: &[String], name: &str) -> Pair {
    let own = [md5_hex(name), sha256_hex(name)].map(|hash| format!("*.reply.{hash}.>"));
    (Permission::only(publish), Permission::only(hear.iter().cloned().chain(own)))
}

/// What a server is known to be, by token or by the name of its certificate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Server<'a> {
    /// Identity, which node and reply subjects are bound to.
    pub identity: &'a str,
    /// Collectives it is a member of.
    pub collectives: &'a [String],
    /// Further subjects it may publish: claims, or registration targets.
    pub publish: &'a [String],
    /// Federation clusters it answers to; `None` are those named like its collectives.
    pub federations: Option<&'a str>,
    /// May submit messages.
    pub submission: bool,
    /// May answer service requests.
    pub service_host: bool,
}

/// S, publish side: depends on the network alone, so that all nodes can share it.
pub fn server_publish(server: &Server<'_>) -> Permission {
    if server.collectives.is_empty() {
        return Permission::nothing();
    }
    let mut allow: Vec<String> =
        ["choria.lifecycle.>", "choria.machine.transition", "choria.machine.watcher.>"]
            .map(str::to_owned)
            .into();
    allow.extend(server.publish.iter().cloned());
    for collective in server.collectives {
        allow.push(format!("{collective}.reply.>"));
        allow.push(format!("{collective}.broadcast.agent.registration"));
        allow.push(format!("choria.federation.{}.collective", server.federations.unwrap_or(collective)));
        if server.submission {
            allow.push(format!("{collective}.submission.in.>"));
        }
    }
    Permission::only(allow)
}

/// S, subscribe side: bound to the identity.
pub fn server_subscribe(server: &Server<'_>) -> Permission {
    let mut allow = Vec::new();
    for collective in server.collectives {
        allow.push(format!("{collective}.broadcast.agent.>"));
        allow.push(format!("{collective}.node.{}", server.identity));
        allow.push(format!("{collective}.reply.{}.>", md5_hex(server.identity)));
        allow.push(format!("{collective}.reply.{}.>", sha256_hex(server.identity)));
        if server.service_host {
            allow.push(format!("{collective}.broadcast.service.>"));
        }
    }
    Permission::only(allow)
}

/// S of a node that is known by the name of its certificate: as
/// [`server_subscribe`], without the facts that other nodes register, and
/// without queue groups, by which one node would take requests from others.
/// Services share them among nodes and keep theirs.
pub fn named_server_subscribe(server: &Server<'_>) -> Permission {
    let mut permission = server_subscribe(server);
    let deny = ["*.broadcast.agent.registration", "*.broadcast.agent.> >", "*.node.> >", "*.reply.> >"];
    permission.deny = SubjectList::new(deny);
    permission
}

/// A fleet client: what `fleet_management` and `events_viewer` give a token, bound to a caller id.
pub fn client_publish() -> Permission {
    Permission::only(CLIENT)
}

const CLIENT: [&str; 5] = [
    "$SYS.REQ.USER.INFO",
    "*.broadcast.agent.>",
    "*.broadcast.service.>",
    "*.node.>",
    "choria.federation.*.federation",
];

/// What `streams_user` and `governor` add for a client of a token network, but for consumers that last: whoever may
/// publish `$JS.API.CONSUMER.DURABLE.CREATE` may have the engine keep as many as it can, for ever.
const STREAMS_USER: [&str; 21] = [
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.STREAM.MSG.DELETE.*",
    "$JS.API.DIRECT.GET.*",
    "$JS.API.DIRECT.GET.*.>",
    "$JS.API.CONSUMER.CREATE.*",
    "$JS.API.CONSUMER.CREATE.*.>",
    "$JS.API.CONSUMER.DELETE.*.*",
    "$JS.API.CONSUMER.NAMES.*",
    "$JS.API.CONSUMER.LIST.*",
    "$JS.API.CONSUMER.INFO.*.*",
    "$JS.API.CONSUMER.MSG.NEXT.*.*",
    "$JS.ACK.>",
    "$JS.FC.>",
    "$KV.>",
    "$O.>",
    "*.governor.*",
    "choria.lifecycle.event.governor.>",
];

/// The same in a network with streams, which a client reads and writes; a privileged one makes and removes
/// them, too. `more` is what he may beside that.
pub fn client_publish_with_streams(privileged: bool, more: &[String]) -> Permission {
    let all = CLIENT.into_iter().chain(STREAMS_USER);
    Permission::only(all.chain(privileged.then_some("$JS.>")).chain(more.iter().map(String::as_str)))
}

/// What lets a caller keep requests for absent nodes, of his own and no others.
pub fn deferring(caller: &str) -> String {
    deferred::of_caller(caller, None)
}

/// The same in every name.
pub fn deferring_for_all() -> String {
    format!("{}.>", deferred::SUBJECTS)
}

/// What lets a node read what is kept for it and no other, and say what became of it.
pub fn deferred_to(node: &str) -> [String; 5] {
    let (stream, own, consumer) = (deferred::STREAM, deferred::of_node(node), deferred::consumer_of(node));
    [
        format!("$JS.API.DIRECT.GET.{stream}.{own}"),
        // there is one of that name, so that none has more
        format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}.{own}"),
        format!("$JS.API.CONSUMER.DELETE.{stream}.{consumer}"),
        format!("$JS.FC.{stream}.>"),
        own,
    ]
}

/// What lets a node read these buckets, and see, take and give back slots of these governors. Names are single tokens.
///
/// Whose slot is given back is not in a subject: a node that may take slots may free those of others.
pub fn node_streams(buckets: &[String], governors: &[String], collectives: &[String]) -> Vec<String> {
    let mut subjects = vec![];
    for bucket in buckets {
        subjects.push(format!("$JS.API.STREAM.INFO.KV_{bucket}"));
        subjects.push(format!("$JS.API.STREAM.MSG.GET.KV_{bucket}"));
        subjects.push(format!("$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.>"));
    }
    for governor in governors {
        subjects.push(format!("$JS.API.STREAM.INFO.GOVERNOR_{governor}"));
        subjects.push(format!("$JS.API.STREAM.MSG.GET.GOVERNOR_{governor}"));
        subjects.push(format!("$JS.API.STREAM.MSG.DELETE.GOVERNOR_{governor}"));
        subjects.extend(collectives.iter().map(|collective| format!("{collective}.governor.{governor}")));
    }
    subjects
}

/// What fleet clients hear beside replies.
const EVENTS: [&str; 3] =
    ["choria.lifecycle.event.>", "choria.machine.watcher.>", "choria.machine.transition"];

/// Own replies and the event streams.
pub fn client_subscribe(caller_id: &str) -> Permission {
    let own = [md5_hex(caller_id), sha256_hex(caller_id)].map(|hash| format!("*.reply.{hash}.>"));
    Permission::only(own.into_iter().chain(EVENTS.map(str::to_owned)))
}

/// The replies to whomever it speaks for, which may be anybody, and the event
/// streams.
pub fn privileged_subscribe() -> Permission {
    Permission::only(["*.reply.>"].into_iter().chain(EVENTS))
}

/// Lower-case hex MD5: names reply subjects, protects nothing.
pub fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

/// Lower-case hex SHA-256, the FIPS form of the same.
pub fn sha256_hex(text: &str) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_the_original() {
        assert_eq!(md5_hex("up=ginkgo"), "e33bf0376d4accbb4a8fd24b2f840b2e");
        assert_eq!(
            sha256_hex("up=ginkgo"),
            "f76b6d2a7755caf66ca1908e16dd59f01a466a1615e5273df535df56f471386d"
        );
    }

    #[test]
    fn a_node_is_bound_to_its_name() {
        let collectives = ["c1".to_owned()];
        let node = Server {
            identity: "ginkgo.example.net",
            collectives: &collectives,
            submission: true,
            ..Default::default()
        };
        let (publish, subscribe) = (server_publish(&node), server_subscribe(&node));
        for (subject, may) in [
            ("c1.node.ginkgo.example.net", true),
            ("c1.node.other.node", false),
            ("other.node.ginkgo.example.net", false),
            ("c1.node.ginkgo.example.net.x", false),
            ("c1.node.>", false),
            ("*.reply.>", false),
            (">", false),
            ("c1.broadcast.agent.rpcutil", true),
            ("c1.broadcast.agent.*", true),
            ("c1.broadcast.service.acme", false),
            ("*.broadcast.agent.rpcutil", false),
        ] {
            assert_eq!(subscribe.may_subscribe(subject.as_bytes(), None), may, "{subject}");
        }
        for (subject, may) in [
            ("c1.reply.whoever.1", true),
            ("c1.broadcast.agent.registration", true),
            ("c1.broadcast.agent.rpcutil", false),
            ("c1.node.other", false),
            ("c1.submission.in.x", true),
            ("choria.lifecycle.event.startup.server", true),
            ("choria.machine.watcher.exec.state", true),
            ("$SYS.REQ.USER.INFO", false),
        ] {
            assert_eq!(publish.may_publish(subject.as_bytes()), may, "{subject}");
        }
    }

    #[test]
    fn a_named_node_hears_no_registrations_and_shares_no_requests() {
        let collectives = ["c1".to_owned()];
        let node =
            Server { identity: "n1.x", collectives: &collectives, service_host: true, ..Default::default() };
        let subscribe = named_server_subscribe(&node);
        for (subject, queue, may) in [
            ("c1.broadcast.agent.rpcutil", None, true),
            ("c1.broadcast.agent.>", None, true),
            ("c1.broadcast.agent.registration", None, false),
            ("c1.broadcast.agent.registration", Some("q"), false),
            ("c1.broadcast.agent.rpcutil", Some("q"), false),
            ("c1.broadcast.agent.rpcutil", Some("a.b"), false),
            ("c1.broadcast.agent.>", Some("*"), false),
            ("c1.node.n1.x", None, true),
            ("c1.node.n1.x", Some("q"), false),
            ("c1.broadcast.service.acme", Some("acme"), true),
        ] {
            let may_it = subscribe.may_subscribe(subject.as_bytes(), queue.map(str::as_bytes));
            assert_eq!(may_it, may, "{subject} {queue:?}");
        }
        // Of all agents that it hears, this one is kept from it.
        assert!(subscribe.must_filter(b"c1.broadcast.agent.>"));
        assert!(!subscribe.must_filter(b"c1.broadcast.agent.rpcutil"));
        assert!(subscribe.denies(b"c1.broadcast.agent.registration"));
        assert!(!subscribe.denies(b"c1.node.n1.x"));
    }

    #[test]
    fn requests_that_wait_are_their_nodes_and_their_callers() {
        let node = Permission::only(deferred_to("n1.example.net"));
        let alice = client_publish_with_streams(false, &[deferring("choria=alice")]);
        let root = client_publish_with_streams(true, &[deferring_for_all()]);
        let id = "0123456789abcdef0123456789abcdef";
        let at = |caller: &str, node: &str| deferred::subject(caller, id, node);
        for (subject, by_node, by_alice) in [
            (at("choria=alice", "n1.example.net"), true, true),
            (at("choria=bob", "n1.example.net"), true, false),
            (at("choria=alice", "n2.example.net"), false, true),
            (at("choria=bob", "n2.example.net"), false, false),
            (deferred::head("choria=alice", id), false, true),
            (deferred::head("choria=bob", id), false, false),
            ("choria.requests.>".to_owned(), false, false),
            ("choria.requests.*.*.*".to_owned(), false, false),
        ] {
            assert_eq!(node.may_publish(subject.as_bytes()), by_node, "a node, {subject}");
            assert_eq!(alice.may_publish(subject.as_bytes()), by_alice, "a caller, {subject}");
            assert!(root.may_publish(subject.as_bytes()), "{subject}");
        }
        let own = deferred::of_node("n1.example.net");
        let consumer = deferred::consumer_of("n1.example.net");
        for (privileged, may) in [(false, false), (true, true)] {
            let client = client_publish_with_streams(privileged, &[]);
            assert_eq!(client.may_publish(b"$JS.API.CONSUMER.DURABLE.CREATE.S.x"), may);
        }
        for (call, may) in [
            (format!("DIRECT.GET.CHORIA_REQUESTS.{own}"), true),
            (format!("DIRECT.GET.CHORIA_REQUESTS.{}", at("choria=alice", "n1.example.net")), true),
            (format!("CONSUMER.CREATE.CHORIA_REQUESTS.{consumer}.{own}"), true),
            (format!("CONSUMER.DELETE.CHORIA_REQUESTS.{consumer}"), true),
            (format!("CONSUMER.CREATE.CHORIA_REQUESTS.x.{own}"), false),
            (format!("CONSUMER.DURABLE.CREATE.CHORIA_REQUESTS.{consumer}"), false),
            ("CONSUMER.DELETE.CHORIA_REQUESTS.x".to_owned(), false),
            ("DIRECT.GET.CHORIA_REQUESTS".to_owned(), false),
            (format!("DIRECT.GET.CHORIA_REQUESTS.{}", deferred::of_node("n2.example.net")), false),
            ("DIRECT.GET.CHORIA_REQUESTS.choria.requests.*.*.*".to_owned(), false),
            ("DIRECT.GET.CHORIA_REQUESTS.>".to_owned(), false),
            ("CONSUMER.CREATE.CHORIA_REQUESTS.x".to_owned(), false),
            ("CONSUMER.CREATE.CHORIA_REQUESTS.x.choria.requests.>".to_owned(), false),
            ("CONSUMER.CREATE.CHORIA_REQUESTS".to_owned(), false),
            (format!("CONSUMER.CREATE.CHORIA_EVENTS.x.{own}"), false),
            ("CONSUMER.NAMES.CHORIA_REQUESTS".to_owned(), false),
            ("STREAM.MSG.GET.CHORIA_REQUESTS".to_owned(), false),
        ] {
            assert_eq!(node.may_publish(format!("$JS.API.{call}").as_bytes()), may, "{call}");
        }
    }

    #[test]
    fn no_collective_no_right() {
        let node = Server { identity: "x", ..Default::default() };
        assert_eq!(server_publish(&node), Permission::nothing());
        assert_eq!(server_subscribe(&node), Permission::nothing());
    }
}
