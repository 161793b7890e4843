//! Daemons whose certificate is not for what or who they are.

use choria::core::pki::Kind;
use choria::core::protocol::v1::{
    Headers, Reply, ReplyEnvelope, Request, SecureReply, SecureRequest, Transport,
};

use crate::network::{Network, node};
use crate::process::{program, run};
use crate::provisioning::provision;
use crate::waiting_room::WaitingRoom;
use crate::wire::{self, Wire};

/// In another case, as Debian's short host name would be another name.
const MISNAMED: &str = "this node is N1.example.net because identity is, ";

#[test]
fn a_node_whose_name_the_broker_does_not_give_it_says_so_and_ends() {
    let network = Network::start();
    let mut n1 = network.node(node("n1").lines("identity = N1.example.net\n"));
    assert!(!n1.daemon().ended().success());
    let told = n1.log().says(&["choria: ", "the broker does not give this node its name", MISNAMED]);
    assert!(told.contains("server.conf:") && told.contains("is for n1.example.net"), "{told}");
    assert!(told.contains("set identity = n1.example.net"), "{told}");
    assert_eq!(n1.log().matching(0, &["warning", MISNAMED]).len(), 1);
    // What nodes send is no request.
    assert!(n1.log().matching(0, &["requests of"]).is_empty());
}

#[test]
fn an_open_broker_does_and_the_node_warns_once() {
    let network = Network::start_with("plugin.choria.network.x509_permissions = open\n");
    let mut n1 = network.node(node("n1").lines("identity = N1.example.net\n"));
    n1.connected();
    network.answered_by(&["N1.example.net"]);
    network.alice().run(&["rpc", "rpcutil", "ping", "-I", "N1.example.net"]).fine();
    n1.daemon().still_runs();
    assert_eq!(n1.log().matching(0, &["warning", MISNAMED]).len(), 1);
}

#[test]
fn the_environment_of_a_daemon_is_named() {
    let network = Network::start();
    let mut n1 = network.node(node("n1"));
    n1.start_with(&[("MCOLLECTIVE_CERTNAME", "alice.mcollective".to_owned())]);
    n1.log().says(&[
        "warning",
        "the environment has MCOLLECTIVE_CERTNAME",
        "n1.example.net",
        "alice.mcollective",
    ]);
}

#[test]
fn a_broker_with_the_certificate_of_a_node_does_not_start() {
    let network = Network::without_broker();
    network.certify(Kind::Node, "n1.example.net");
    let text = format!(
        "identity = n1.example.net\nplugin.choria.broker_network = true\n\
         plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = 0\n{}",
        network.security("n1.example.net")
    );
    let mut command = program(&network.path(""));
    command.args(["broker", "run", "--config"]).arg(network.file("broker.conf", &text));
    let ran = run(command, None).code(1);
    assert!(ran.stderr.contains("cannot be that of a broker"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("will be refused"), "{ran:?}");
}

#[test]
fn a_provisioner_is_whom_its_certificate_names() {
    let room = WaitingRoom::open();
    // As docs/provisioning.md has it: nothing in the environment says who it is.
    let check = |name: Option<&str>| {
        let mut command = provision(&room, "");
        command.env_remove("MCOLLECTIVE_CERTNAME").env("USER", "choria").arg("--check-config");
        command.envs(name.map(|name| ("MCOLLECTIVE_CERTNAME", name)));
        run(command, None)
    };
    check(None).code(0).says(&["is good"]);
    let ran = check(Some("bob.mcollective")).code(1).silent();
    ran.complains(&[
        "is for provisioner.mcollective, and this process is bob.mcollective because of MCOLLECTIVE_CERTNAME",
        "set MCOLLECTIVE_CERTNAME = provisioner.mcollective",
    ]);
    let mut command = provision(&room, "");
    command.env_remove("MCOLLECTIVE_CERTNAME").env("USER", "choria");
    let daemon = crate::process::Daemon::start("provisioner", command);
    let mut waiting = room.node("n1.example.net");
    waiting.start();
    daemon.says(&["n1.example.net", "provisioned"]);
}

#[test]
fn a_token_is_all_a_node_needs_to_wait() {
    let room = WaitingRoom::open();
    let node = room.node("n1.example.net");
    if std::path::Path::new("/etc/choria/server.conf").exists() {
        return; // this machine is a node, and would start as that
    }
    let mut command = program(&room.network.path(""));
    command.args(["server", "run", "--provisioning-token"]).arg(&node.token);
    let mut daemon = crate::process::Daemon::start("a bare machine", command);
    daemon.says(&["answering requests", "choria_provision"]);
    daemon.still_runs();

    for (text, why) in [
        (None, "there is no such file"),
        (Some(""), "it is empty"),
        (Some("junk"), "the token cannot be read"),
    ] {
        let token = room.network.path("n1.example.net/other.jwt");
        let _ = std::fs::remove_file(&token);
        if let Some(text) = text {
            std::fs::write(&token, text).expect("a file");
        }
        let mut command = program(&room.network.path(""));
        command.args(["server", "run", "--provisioning-token"]).arg(&token);
        run(command, None).code(1).complains(&["the provisioning token", "other.jwt cannot be used", why]);
    }
}

/// A node of another make goes on under a name that is not its own: it hears what all hear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_such_a_node_is_told() {
    let network = Network::start();
    network.certify(Kind::Node, "n1.example.net");
    let wire = Wire::connect(&network, &network.caller("n1.example.net")).await;
    let mut ears = wire.subscribe("mcollective.broadcast.agent.discovery").await;
    let alice = network.alice();
    let asking = tokio::task::spawn_blocking(move || alice.run(&["rpc", "rpcutil", "ping"]));
    let asked = Transport::decode(&wire::next(&mut ears).await.payload).expect("a transport");
    let request = SecureRequest::decode(&asked.data).expect("a request");
    let request = Request::decode(request.message.as_bytes()).expect("a request");
    let reply = Reply {
        message: "pong".into(),
        envelope: ReplyEnvelope {
            requestid: request.envelope.requestid.as_str().into(),
            senderid: "N1.example.net".into(),
            agent: "discovery".into(),
            time: crate::network::now(),
        },
    };
    let data = SecureReply::of(&reply.encode()).encode().into_bytes();
    let headers = Headers { sender: "N1.example.net".into(), ..Headers::default() };
    let to = asked.headers.reply_to.expect("a reply subject");
    wire.publish(&to, Transport { data, headers }.encode()).await;
    asking.await.expect("no panic").code(3).complains(&[
        "nobody listens as node N1.example.net in collective mcollective: it has just answered",
        "is its identity another name than its certificate's?",
    ]);
}
