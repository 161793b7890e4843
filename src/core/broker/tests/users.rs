//! Users of an embedder: accounts, permissions with queues, answers, nkeys.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::kit::{Raw, patient_limits, plain_options, until};
use crate::core::admission::{
    Account, Credential, Permission, Responses, StaticUser, StaticUsers, SubjectList,
};
use crate::core::broker::{Broker, Limits, Options};
use crate::core::nats::nkey::UserKey;
use crate::core::text::Secret;

fn user(name: &str, account: &str) -> StaticUser {
    let credential = Credential::Password { user: name.to_owned(), password: Secret::new("pw") };
    StaticUser::new(credential, Account::named(account).unwrap())
}

fn broker(users: impl IntoIterator<Item = StaticUser>) -> Broker {
    let authenticator = Arc::new(StaticUsers::new(users).unwrap());
    Broker::start(Options { authenticator, ..plain_options() }).unwrap()
}

fn login(broker: &Broker, name: &str) -> Raw {
    let mut raw = Raw::plain(broker.local_addr());
    raw.login(&format!(",\"user\":\"{name}\",\"pass\":\"pw\""));
    raw
}

#[test]
fn accounts_of_ones_own_do_not_hear_each_other() {
    let broker = broker([user("a", "red"), user("b", "blue"), user("c", "red")]);
    let (mut a, mut b, mut c) = (login(&broker, "a"), login(&broker, "b"), login(&broker, "c"));
    a.send("SUB > 1\r\n");
    a.sync();
    b.send("SUB > 1\r\nPUB x 1\r\nb\r\n");
    assert!(b.sync().contains("MSG x 1 1\r\nb\r\n"));
    c.send("PUB y 1\r\nc\r\n");
    c.sync();
    assert_eq!(a.until("c\r\n"), "MSG y 1 1\r\nc\r\n");
    assert_eq!(b.sync(), "");
    until("links to be counted", || broker.stats().accounts.get("red") == Some(&2));
    assert_eq!(broker.stats().accounts["blue"], 1);
}

#[test]
fn wrong_credentials_stay_out_and_are_counted() {
    let broker =
        broker([user("a", "red"), StaticUser::new(Credential::Token(Secret::new("tok")), Account::Choria)]);
    for (options, counted) in [
        ("{}", "password"),
        (r#"{"user":"a","pass":"x"}"#, "password"),
        (r#"{"user":"z","pass":"pw"}"#, "password"),
        (r#"{"auth_token":"x"}"#, "token"),
        (r#"{"nkey":"U"}"#, "signature"),
        (r#"{"user":"a","pass":"pw","account":"blue"}"#, "account request"),
    ] {
        let before = broker.stats().refusals.get(counted).copied().unwrap_or(0);
        let mut raw = Raw::plain(broker.local_addr());
        raw.send(format!("CONNECT {options}\r\n"));
        assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n", "{options}");
        until(counted, || broker.stats().refusals.get(counted) == Some(&(before + 1)));
    }
    let mut raw = Raw::plain(broker.local_addr());
    raw.login(",\"auth_token\":\"tok\"");
}

#[test]
fn nkeys_sign_the_nonce_of_their_own_info() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = UserKey::new(pair.public_key().as_ref().try_into().unwrap());
    let broker = broker([StaticUser::new(Credential::Nkey(key), Account::Choria)]);
    let nonce = |raw: &Raw| {
        let info: serde_json::Value = serde_json::from_str(raw.info.strip_prefix("INFO ").unwrap()).unwrap();
        info["nonce"].as_str().unwrap().to_owned()
    };
    let mut good = Raw::plain(broker.local_addr());
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(nonce(&good).as_bytes()).as_ref());
    good.login(&format!(",\"nkey\":\"{key}\",\"sig\":\"{signature}\""));
    // the same signature again, for another connection
    let mut replayed = Raw::plain(broker.local_addr());
    replayed.send(format!("CONNECT {{\"nkey\":\"{key}\",\"sig\":\"{signature}\"}}\r\n"));
    assert_eq!(replayed.rest(), "-ERR 'Authorization Violation'\r\n");
}

#[test]
fn a_reload_cuts_those_who_are_no_longer_allowed_and_nobody_else() {
    let broker = broker([user("a", "re-red"), user("b", "re-red"), user("c", "re-red"), user("d", "re-red")]);
    let [mut a, mut b, mut c, mut d] = ["a", "b", "c", "d"].map(|name| login(&broker, name));
    a.send("SUB x 1\r\n");
    a.sync();
    let moved = user("c", "re-blue");
    let limited = StaticUser { publish: Permission::only(["y"]), ..user("d", "re-red") };
    let users = StaticUsers::new([user("a", "re-red"), moved, limited, user("e", "re-red")]).unwrap();
    broker.reload(None, Arc::new(users), Default::default());
    assert_eq!(b.rest(), "-ERR 'User Authentication Revoked'\r\n");
    assert_eq!((c.rest().as_str(), d.rest().as_str()), ("", ""));
    assert_eq!(broker.stats().refusals["no longer allowed"], 1);
    login(&broker, "e").send("PUB x 1\r\n!\r\nPUB x 1\r\n?\r\n");
    a.until("MSG x 1 1\r\n!\r\n");
    // the same rules again change nothing
    broker.judge_again();
    a.send("PUB x 1\r\n+\r\n");
    a.until("MSG x 1 1\r\n+\r\n");
}

#[test]
fn queues_in_permissions() {
    let limited = StaticUser {
        subscribe: Permission {
            deny: SubjectList::new(["jobs.secret"]),
            ..Permission::only(["jobs.> workers"])
        },
        publish: Permission::only(["out.*"]),
        ..user("a", "queues")
    };
    let broker = broker([limited]);
    let mut a = login(&broker, "a");
    a.send("SUB jobs.x 1\r\nSUB jobs.x other 2\r\nSUB jobs.x workers 3\r\nSUB jobs.secret workers 4\r\nPUB in 0\r\n\r\n");
    let complaints = a.sync();
    assert_eq!(
        complaints.lines().collect::<Vec<_>>(),
        [
            "-ERR 'Permissions Violation for Subscription to \"jobs.x\"'",
            "-ERR 'Permissions Violation for Subscription to \"jobs.x\" using queue \"other\"'",
            "-ERR 'Permissions Violation for Subscription to \"jobs.secret\" using queue \"workers\"'",
            "-ERR 'Permissions Violation for Publish to \"in\"'",
        ]
    );
}

/// Whoever answers, as an engine of streams does, may publish what the asking link may not.
#[test]
fn an_answer_is_asked_for_where_it_may_be_heard() {
    let node = StaticUser {
        subscribe: Permission::only(["_INBOX.n.>", "c.broadcast.>", "c.governor.>"]),
        publish: Permission::only(["event.>", "c.node.>", "d.broadcast.>"]),
        ..user("node", "ask")
    };
    let broker = broker([node, user("engine", "ask")]);
    let (mut node, mut engine) = (login(&broker, "node"), login(&broker, "engine"));
    engine.send("SUB event.> 1\r\n");
    engine.sync();
    for elsewhere in [
        "$KV.a.b",
        "$JS.API.STREAM.PURGE.X",
        "c.governor.q",
        "c.broadcast.agent.x",
        "c.node.n2",
        "d.broadcast.agent.x",
        "_INBOX.other.1",
    ] {
        node.send(format!("PUB event.x {elsewhere} 1\r\n!\r\n"));
        let told = format!("Permissions Violation for Publish with Reply of \"{elsewhere}\"");
        assert!(node.sync().contains(&told), "{elsewhere}");
    }
    node.send("PUB event.x _INBOX.n.1 1\r\n+\r\nPUB event.x event.y 1\r\n+\r\n");
    let heard = engine.until("MSG event.x 1 event.y 1\r\n+\r\n");
    assert_eq!(heard, "MSG event.x 1 _INBOX.n.1 1\r\n+\r\nMSG event.x 1 event.y 1\r\n+\r\n");
    assert_eq!(node.sync(), "");
}

/// The engine of streams publishes what it stores to wherever a consumer says.
#[test]
fn streams_are_delivered_where_their_listener_may_hear() {
    let caller = StaticUser {
        subscribe: Permission::only(["_INBOX.n.>"]),
        publish: Permission::only(["$JS.API.>", "c.node.>"]),
        ..user("caller", "ask")
    };
    let broker = broker([caller, user("engine", "ask")]);
    let (mut caller, mut engine) = (login(&broker, "caller"), login(&broker, "engine"));
    engine.send("SUB $JS.API.> 1\r\n");
    engine.sync();
    let makes = |subject: &str, request: &str| format!("PUB {subject} {}\r\n{request}\r\n", request.len());
    let create = "$JS.API.CONSUMER.CREATE.S";
    for (subject, request, told) in [
        (create, r#"{"config":{"deliver_subject":"event.x"}}"#, "delivers to \"event.x\""),
        (create, r#"{"config":{"deliver_subject":"_INBOX.n.1","Deliver_Subject":"a"}}"#, "delivers to \"a\""),
        ("$JS.API.CONSUMER.DURABLE.CREATE.S.d", r#"{"config":{"deliver_subject":"$KV.a.b"}}"#, "delivers to"),
        (create, r#"{"config":{"#, "cannot be read"),
        // where it may speak itself others would hear what nobody counts
        (create, r#"{"config":{"deliver_subject":"c.node.n1"}}"#, "delivers to \"c.node.n1\""),
        ("$JS.API.CONSUMER.MSG.NEXT.S.c c.node.n1", r#"{"batch":100000}"#, "with Reply of \"c.node.n1\""),
    ] {
        caller.send(makes(subject, request));
        let said = caller.sync();
        assert!(said.contains("Permissions Violation for Publish ") && said.contains(told), "{said}");
    }
    for request in
        ["", r#"{"config":{"deliver_subject":"_INBOX.n.1"}}"#, r#"{"config":{"durable_name":"pulls"}}"#]
    {
        caller.send(makes(create, request));
        engine.until(&format!("MSG {create} 1 {}\r\n{request}\r\n", request.len()));
    }
    // none is let through because the one before it was
    caller.send(makes(create, r#"{"config":{"deliver_subject":"event.x"}}"#));
    assert!(caller.sync().contains("delivers to"));
    assert_eq!(caller.sync(), "");
}

#[test]
fn answers_are_allowed_as_often_as_said() {
    let responses = Some(Responses { max: Some(2), expires: Duration::from_secs(60) });
    let broker = broker([StaticUser { responses, ..user("service", "answers") }, user("caller", "answers")]);
    let mut service = login(&broker, "service");
    service.send("SUB ask 1\r\nPUB reply.1 1\r\nx\r\n");
    assert!(service.sync().contains("Permissions Violation for Publish to \"reply.1\""));
    let mut caller = login(&broker, "caller");
    caller.send("SUB reply.* 1\r\nPUB ask reply.1 1\r\n?\r\n");
    caller.sync();
    service.until("MSG ask 1 reply.1 1\r\n?\r\n");
    service.send("PUB reply.1 1\r\na\r\nPUB reply.1 1\r\nb\r\nPUB reply.1 1\r\nc\r\nPUB reply.2 1\r\nd\r\n");
    let complaints = service.sync();
    assert_eq!(complaints.matches("Permissions Violation").count(), 2, "{complaints}");
    caller.until("MSG reply.1 1 1\r\na\r\nMSG reply.1 1 1\r\nb\r\n");
    assert_eq!(caller.sync(), "");
}

fn hashed(hash: &str) -> StaticUser {
    let credential = Credential::Password { user: "hashed".to_owned(), password: Secret::new(hash) };
    StaticUser::new(credential, Account::named("red").unwrap())
}

#[test]
fn a_slow_hash_holds_up_nobody_else() {
    let hash = bcrypt::hash("a password for this test", 6).unwrap();
    let authenticator = Arc::new(StaticUsers::new([hashed(&hash), user("a", "red")]).unwrap());
    // nobody is sent away for others of the one address all come from
    let limits = Limits { max_handshakes: 8192, max_handshakes_per_address: 8192, ..patient_limits() };
    let options = Options { shards: 1, handshake_threads: 1, limits, ..plain_options() };
    let broker = Broker::start(Options { authenticator, ..options }).unwrap();
    let try_password = |password: &str| {
        let mut raw = Raw::plain(broker.local_addr());
        raw.send(format!(
            "CONNECT {{\"verbose\":false,\"user\":\"hashed\",\"pass\":\"{password}\"}}\r\nPING\r\n"
        ));
        raw
    };
    let mut inside = login(&broker, "a");
    // one thread decides, and the queue is short
    let mut wrong = Vec::new();
    while !broker.stats().refusals.contains_key("passwords waiting") {
        wrong.push(try_password("wrong"));
        assert!(wrong.len() < 5000, "nobody was ever turned away");
    }
    inside.sync();
    login(&broker, "a").sync();
    let decided = broker.stats().refusals.get("password").copied().unwrap_or(0) as usize;
    assert!(decided + 1 < wrong.len(), "who shows another password has waited for all these");
    for raw in &mut wrong {
        assert_eq!(raw.rest(), "-ERR 'Authorization Violation'\r\n");
    }
    until("all to be counted", || {
        let refusals = broker.stats().refusals;
        let count = |reason: &str| refusals.get(reason).copied().unwrap_or(0);
        count("password") + count("passwords waiting") == wrong.len() as u64
    });
    // what comes behind CONNECT waits with it
    let mut right = try_password("a password for this test");
    assert_eq!(right.until("PONG\r\n"), "PONG\r\n");
    // judged again, and known: no hash is computed on the way
    let users = |hash: &str| Arc::new(StaticUsers::new([hashed(hash), user("a", "red")]).unwrap());
    broker.reload(None, users(&hash), patient_limits());
    login(&broker, "a").sync();
    right.sync();
    // another hash would take long to check: it has to log in again
    let other = bcrypt::hash("another password", 5).unwrap();
    broker.reload(None, users(&other), patient_limits());
    assert_eq!(right.rest(), "");
    let mut changed = try_password("a password for this test");
    assert_eq!(changed.rest(), "-ERR 'Authorization Violation'\r\n");
    // a second CONNECT is judged where nobody may wait
    let mut second = login(&broker, "a");
    second.send("CONNECT {\"verbose\":false,\"user\":\"hashed\",\"pass\":\"another password\"}\r\n");
    assert_eq!(second.rest(), "-ERR 'Authorization Violation'\r\n");
    inside.sync();
}

#[test]
fn info_says_whether_something_must_be_shown() {
    let open = Broker::start(plain_options()).unwrap();
    assert!(!Raw::plain(open.local_addr()).info.contains("auth_required"));
    let guests = StaticUser::new(Credential::Anybody, Account::named("red").unwrap());
    for (users, required) in
        [(vec![user("a", "red")], true), (vec![user("a", "red"), guests], false), (vec![], true)]
    {
        let broker = broker(users);
        let info = Raw::plain(broker.local_addr()).info;
        assert_eq!(info.contains("\"auth_required\":true"), required, "{info}");
    }
}

/// Who is connected is told to those who may ask services, of a collective, and to nobody else.
#[test]
fn who_is_connected_is_told_to_who_may_ask() {
    let asker = StaticUser {
        publish: Permission::only(["*.broadcast.service.>"]),
        subscribe: Permission::only(["_INBOX.a.>"]),
        ..user("asker", "choria")
    };
    let other = StaticUser { publish: Permission::only(["*.node.>"]), ..user("other", "choria") };
    let broker = broker([asker, other, user("node", "choria"), user("elsewhere", "red")]);
    let [mut asker, mut other, mut node, mut elsewhere] =
        ["asker", "other", "node", "elsewhere"].map(|name| login(&broker, name));
    node.send(
        "SUB c.node.n1 1\r\nSUB c.node.n2 2\r\nSUB c.node.n3 3\r\nSUB c.node.n3 4\r\nUNSUB 2\r\nUNSUB 3\r\n",
    );
    node.sync();
    elsewhere.send("SUB c.node.n9 1\r\n");
    elsewhere.sync();
    asker.send("SUB _INBOX.a.1 1\r\n");
    let ask = |raw: &mut Raw, subject: &str, question: &str| {
        raw.send(format!("PUB {subject} _INBOX.a.1 {}\r\n{question}\r\n", question.len()));
        raw.sync()
    };
    let service = "c.broadcast.service.choria_presence";
    let answer = |text: &str| -> serde_json::Value {
        let body = text.split("\r\n").nth(1).unwrap_or_else(|| panic!("no answer: {text}"));
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {text}"))
    };
    let before = jiff::Timestamp::now().as_second();
    let told = answer(&ask(&mut asker, service, r#"{"nodes":["n1","n2","n3","n4","n9","*",">"]}"#));
    let is = |name: &str| (told["nodes"][name]["connected"].as_bool(), told["nodes"][name]["since"].as_str());
    assert!(matches!(is("n1"), (Some(true), Some(_))) && matches!(is("n3"), (Some(true), Some(_))), "{told}");
    let (n2, since) = is("n2");
    let since: jiff::Timestamp = since.unwrap().parse().unwrap();
    assert!(n2 == Some(false) && (before - since.as_second()).abs() <= 2, "{told}");
    for name in ["n4", "n9", "*", ">"] {
        assert_eq!(is(name), (Some(false), None), "{name} was never here");
    }
    // of another collective, too much, and junk
    assert_eq!(
        answer(&ask(&mut asker, "d.broadcast.service.choria_presence", r#"{"nodes":["n1"]}"#))["nodes"]["n1"]
            ["connected"],
        false
    );
    let many = format!("{{\"nodes\":[{}]}}", vec!["\"n\""; 1001].join(","));
    for (question, problem) in [(many.as_str(), "more than 1000 nodes"), ("{", "cannot be read")] {
        let told = answer(&ask(&mut asker, service, question));
        assert!(told["error"].as_str().is_some_and(|error| error.contains(problem)), "{told}");
    }
    // whoever hears all nodes may be where they are
    node.send("SUB c.node.> 5\r\n");
    node.sync();
    assert_eq!(answer(&ask(&mut asker, service, r#"{"nodes":["n4"]}"#)), serde_json::json!({"nodes": {}}));
    // who may not ask
    other.send("SUB _INBOX.a.1 1\r\n");
    let refused = ask(&mut other, service, r#"{"nodes":["n1"]}"#);
    assert!(
        refused.contains("Permissions Violation for Publish") && !refused.contains("connected"),
        "{refused}"
    );
    assert_eq!(asker.sync(), "", "an answer is for nobody but who asks");
}
