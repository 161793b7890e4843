//! From a machine with nothing but a token to a member of the network, and back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use choria::core::agents::Ending;
use choria::core::agents::provision::keys::{self, CsrSubject, KeySource, OwnKeys};
use choria::core::config::System;
use choria::core::protocol::v1::{Request, SecureRequest, Transport};
use choria::core::provisioning::{JwtResolver, Setup};
use choria::core::server::{Server, ServerOptions};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::process::{PATIENCE, named_program, until};
use crate::waiting_room::{ACCESS, Provisioner, Waiting, WaitingRoom, text};

const ALLOW: &str = "policy default deny\nallow\tchoria=alice.mcollective\t*\t*\t*\n";

/// Inputs of `configure`.
fn configuration(node: &Waiting, room: &WaitingRoom, csr: &str) -> Value {
    json!({
        "config": Value::Object(node.settings(room)).to_string(),
        "certificate": room.sign(csr),
        "ca": room.network.ca.certificate_pem(),
        "ssldir": node.dir.join("ssl").display().to_string(),
        "key": "", "ecdh_public": "", "server_jwt": "", "opa_policies": {},
        "action_policies": {"rpcutil.policy": ALLOW, "choria_provision.policy": ALLOW},
    })
}

fn mode(node: &Waiting, file: &str) -> u32 {
    fs::metadata(node.dir.join(file)).unwrap_or_else(|e| panic!("{file}: {e}")).permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_becomes_a_member_by_itself() {
    let room = WaitingRoom::open();
    let mut node = room.node("n1.example.net");
    // by its bare name, as service files and people start it
    let here = std::path::Path::new(env!("CARGO_BIN_EXE_choria"));
    let mut command = named_program("choria".as_ref(), &room.network.path(""));
    command.env("PATH", here.parent().expect("a directory"));
    node.words(&mut command);
    node.start_by(command);
    node.waits(0);
    let pid = node.log().pid();
    let provisioner = room.provisioner().await;
    let mut events = provisioner.session.subscribe("choria.lifecycle.event.>", 100).await;
    assert_eq!(provisioner.discover(1).await, ["n1.example.net"]);
    let name = "n1.example.net";

    let inventory =
        provisioner.ask_agent(name, "rpcutil", "inventory", json!({})).await.expect("an inventory");
    assert_eq!(inventory["agents"], json!(["choria_provision", "choria_util", "discovery", "rpcutil"]));
    assert_eq!(inventory["collectives"], json!(["provisioning"]));
    assert_eq!(inventory["data_plugins"], json!([]));
    assert_eq!(inventory["upgradable"], json!(false));

    let reply = provisioner.ask(name, "jwt", json!({})).await.expect("its token");
    assert_eq!(text(&reply, "jwt"), fs::read_to_string(&node.token).expect("a token"));
    assert_eq!(text(&reply, "ecdh_public").len(), 64);

    let request = provisioner.ask(name, "gencsr", json!({"cn": name})).await.expect("a request");
    let again = provisioner.ask(name, "gencsr", json!({"cn": name})).await.expect("a request");
    assert_eq!(request, again, "one flow, one key");
    assert_eq!((mode(&node, "ssl/private.pem"), mode(&node, "ssl/csr.pem")), (0o600, 0o644));

    let refused = provisioner.ask(name, "restart", json!({"splay": 1})).await;
    assert!(Provisioner::refused(refused).contains("could not be parsed, restart cannot continue: open "));

    let inputs = configuration(&node, &room, text(&request, "csr"));
    let reply = provisioner.ask(name, "configure", inputs.clone()).await.expect("a configuration");
    assert_eq!(text(&reply, "message"), format!("Wrote 10 lines to {}", node.config().display()));
    assert_eq!(provisioner.ask(name, "configure", inputs).await.expect("the same answer"), reply);
    for (file, expected) in [
        ("server.conf", 0o600),
        ("ssl/certificate.pem", 0o644),
        ("ssl/ca.pem", 0o644),
        ("ssl/private.pem", 0o600),
        ("policies", 0o700),
        ("policies/rpcutil.policy", 0o400),
    ] {
        assert_eq!(mode(&node, file), expected, "{file}");
    }
    let refused = Provisioner::refused(provisioner.ask(name, "gencsr", json!({"cn": name})).await);
    assert!(refused.contains("was configured by request"), "{refused}");
    let refused = provisioner.ask(name, "configure", json!({"config": "{\"a\":\"b\"}"})).await;
    assert!(Provisioner::refused(refused).contains("was configured by request"));

    let mark = node.log().mark();
    let reply = provisioner.ask(name, "restart", json!({"splay": 1})).await.expect("a restart");
    assert_eq!(text(&reply, "message"), "Restarting Choria Server after 2s");
    let reply = provisioner.ask(name, "restart", json!({"splay": 1})).await.expect("the same answer");
    assert_eq!(text(&reply, "message"), "Restarting Choria Server after 2s");
    let mut seen = vec![];
    while seen.last().map(String::as_str) != Some("choria.lifecycle.event.shutdown.provision_mode_server") {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("in time").expect("an event");
        seen.push(event.subject.to_string());
    }
    assert_eq!(
        seen,
        [
            "choria.lifecycle.event.provisioned.provision_mode_server",
            "choria.lifecycle.event.shutdown.provision_mode_server",
        ]
    );
    tokio::task::block_in_place(|| {
        node.log().says_after(mark, &["starting again"]);
        node.log().says_after(mark, &["answering requests"]);
        assert_eq!(node.log().pid(), pid);
        room.network.answered_by(&["n1.example.net"]);
        room.network.alice().run(&["rpc", "rpcutil", "ping"]).fine().says(&["n1.example.net"]);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_member_can_be_made_to_wait_again() {
    let room = WaitingRoom::open();
    let mut node = room.node("n1.example.net");
    node.start();
    node.waits(0);
    let provisioner = room.provisioner().await;
    provisioner.discover(1).await;
    let name = "n1.example.net";
    let request = provisioner.ask(name, "gencsr", json!({"cn": name})).await.expect("a request");
    let inputs = configuration(&node, &room, text(&request, "csr"));
    provisioner.ask(name, "configure", inputs).await.expect("a configuration");
    let mark = node.log().mark();
    provisioner.ask(name, "restart", json!({"splay": 1})).await.expect("a restart");
    let alice = room.network.alice();
    tokio::task::block_in_place(|| {
        node.log().says_after(mark, &["answering requests"]);
        room.network.answered_by(&[name]);
        let words = ["rpc", "choria_provision", "reprovision"];
        alice
            .run(&[&words[..], &["token=wrong"]].concat())
            .code(2)
            .says(&["Incorrect provision token supplied"]);
        // what only waiting nodes do
        let told = alice.run(&["rpc", "choria_provision", "gencsr", &format!("token={ACCESS}")]).code(2);
        told.says(&["Cannot reconfigure a server that is not in provisioning mode"]);
        let mark = node.log().mark();
        alice.run(&[&words[..], &[&format!("token={ACCESS}")]].concat()).fine();
        node.waits(mark);
        let file = fs::read_to_string(node.config()).expect("a configuration");
        assert!(file.contains("plugin.choria.server.provision=1\nloglevel=debug\n"), "{file}");
    });
    assert_eq!(provisioner.discover(1).await, [name]);
    let log = node.log().lines().join("\n");
    assert!(!log.contains(ACCESS), "the token is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_fails_half_way_leaves_nothing() {
    let room = WaitingRoom::open();
    let mut node = room.node("n1.example.net");
    node.start();
    node.waits(0);
    let provisioner = room.provisioner().await;
    provisioner.discover(1).await;
    let name = "n1.example.net";
    let request = provisioner.ask(name, "gencsr", json!({"cn": name})).await.expect("a request");
    let before = node.files();
    let good = configuration(&node, &room, text(&request, "csr"));
    // another input, or another setting
    let set = |key: &str, value: Value| {
        let mut inputs = good.clone();
        inputs[key] = value;
        inputs
    };
    let setting = |key: &str, value: &str| {
        let mut settings = node.settings(&room);
        settings.insert(key.to_owned(), json!(value));
        set("config", json!(Value::Object(settings).to_string()))
    };
    let stranger = {
        let key = OwnKeys::default().key().expect("a key");
        room.sign(&keys::request(&key, &CsrSubject { name, ..CsrSubject::default() }).expect("a request"))
    };
    let elsewhere =
        provisioner.ask(name, "gencsr", json!({"cn": "n2.example.net"})).await.expect("a request");
    provisioner.ask(name, "gencsr", json!({"cn": name})).await.expect("a request");
    let elsewhere = room.sign(text(&elsewhere, "csr"));
    let cases: [(Value, &str); 12] = [
        (set("certificate", json!(stranger)), "of another key than this node's private.pem"),
        (set("certificate", json!(elsewhere)), "the certificate is for n2.example.net"),
        (set("certificate", json!("c")), "the certificate is not in PEM"),
        (set("ca", json!(stranger_ca())), "not of the CA"),
        (set("opa_policies", json!({"x": "package x"})), "expected \"x\" to have .rego extension"),
        (set("opa_policies", json!({"../x.rego": "package x"})), "cannot be the name of a policy file"),
        (set("action_policies", json!({"a/b.policy": "x"})), "cannot be the name of a policy file"),
        (setting("identity", "n2.example.net"), "it makes this server \"n2.example.net\""),
        (setting("plugin.choria.server.provision", "1"), "would wait to be provisioned again"),
        (setting("plugin.security.file.ca", "/nonexistent/ca.pem"), "cannot serve by it"),
        (setting("loglevel", "info\nmain_collective=evil"), "line end or another control"),
        (setting("a b", "x"), "cannot be the name of a setting"),
    ];
    for (inputs, why) in cases {
        let refused = Provisioner::refused(provisioner.ask(name, "configure", inputs).await);
        assert!(refused.contains(why), "{why}: {refused}");
        assert_eq!(node.files(), before, "after {why}");
    }
    provisioner.ask(name, "configure", good).await.expect("a configuration");
}

fn stranger_ca() -> String {
    let dir = tempfile::TempDir::new().expect("a directory");
    let ca = choria::core::pki::Ca::create(dir.path(), "Other CA", crate::network::now()).expect("a CA");
    ca.certificate_pem().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_broker_of_another_ca_is_never_told_the_token() {
    let mut room = WaitingRoom::open();
    let mut node = room.node("n1.example.net");
    let mut claims = room.claims();
    claims.set_trust(&choria::core::security::tokens::BrokerTrust { ca: stranger_ca(), pin: String::new() });
    room.token("n1.example.net/provisioning.jwt", &claims);
    node.start();
    tokio::task::block_in_place(|| {
        until("two tries", || (node.log().matching(0, &["127.0.0.1:"]).len() >= 2).then_some(()));
    });
    node.daemon().still_runs();
    let joined = room.network.broker().matching(0, &["n1.example.net"]);
    assert!(joined.is_empty(), "{joined:?}");
    assert!(node.log().matching(0, &["answering requests"]).is_empty());
}

/// By a program that embeds a node: the file is a matter of the build, and the stock one names none.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_writes_its_status_where_its_build_says() {
    let room = WaitingRoom::open();
    let file = room.network.path("n1/status.json");
    let token = room.token("n1/provisioning.jwt", &room.claims());
    let status_file = file.display().to_string();
    let mut setup = Setup { token_file: token, status_file, ..Setup::default() };
    assert_eq!(setup.read_token(), [""; 0]);
    let setup = Arc::new(setup);
    let config = setup
        .config(&room.network.path("n1/server.conf"), Some("n1.example.net"), &System)
        .expect("settings");
    let options = ServerOptions::waiting(config, &setup, &JwtResolver).expect("options");
    let (stop, stopping) = watch::channel(false);
    let node = tokio::spawn(Server::new(options).expect("a node").run(stopping));
    let status = tokio::task::block_in_place(|| {
        until("a connected node in the status file", || {
            let status: Value = serde_json::from_slice(&fs::read(&file).ok()?).expect("a whole file, always");
            (status["connected_server"] != "").then_some(status)
        })
    });
    assert_eq!(status["identity"], "n1.example.net");
    assert_eq!(status["provisioning_mode"], true);
    let mode = fs::metadata(&file).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o644);
    let shown = serde_json::to_string(&status).expect("JSON");
    assert!(!shown.contains(ACCESS), "{shown}");
    stop.send_replace(true);
    assert!(matches!(node.await.expect("an end"), Ok(Ending::Stopped)));
}

/// On the subject of today and on that of 2018, by provisioners of either time.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_says_what_it_is_where_provisioners_listen() {
    let room = WaitingRoom::open();
    let mut node = room.node("n1.example.net");
    let mut claims = room.claims();
    let data = room.network.file("metadata.json", "{\"site\":\"test\"}\n");
    claims.registration_data = data.display().to_string();
    room.token("n1.example.net/provisioning.jwt", &claims);
    let provisioner = room.provisioner().await;
    let mut today = provisioner.session.subscribe("provisioning.registration.data", 10).await;
    let mut before = provisioner.session.subscribe("choria.provisioning_data", 10).await;
    provisioner.session.flush().await;
    node.start();
    for subject in [&mut today, &mut before] {
        let message = tokio::time::timeout(PATIENCE, subject.recv()).await.expect("in time").expect("data");
        let transport = Transport::decode(&message.payload).expect("a transport message");
        let secure = SecureRequest::decode(&transport.data).expect("a secure request");
        let request = Request::decode(secure.message.as_bytes()).expect("a request");
        assert_eq!(request.envelope.senderid, "n1.example.net");
        assert_eq!(request.envelope.agent, "registration");
        assert!(String::from_utf8_lossy(&request.payload()).contains("choria:registration:filecontent:1"));
    }
}
