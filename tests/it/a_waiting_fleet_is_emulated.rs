//! `choria emulate` of nodes that wait, right ones and wrong ones.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::a_broker_shows_itself::{free_port, get};
use crate::process::{Daemon, program};
use crate::waiting_room::{Provisioner, WaitingRoom, text};

fn emulate(room: &WaitingRoom, words: &[&str]) -> Daemon {
    let token = room.token("fleet.jwt", &room.claims());
    let mut command = program(&room.network.path(""));
    command.args(["emulate", "--keys", "1", "--provisioning-token"]).arg(token).args(words);
    Daemon::start("emulator", command)
}

/// In an orderly way: the nodes' files go with it.
fn end(fleet: &mut Daemon) {
    fleet.signal(Signal::TERM);
    assert!(fleet.ended().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn they_are_provisioned_and_come_back() {
    let room = WaitingRoom::open();
    let mut fleet = emulate(&room, &["--count", "2", "--come-back"]);
    fleet.says(&["2 nodes wait after"]);
    let provisioner = room.provisioner().await;
    let names = provisioner.discover(2).await;
    assert_eq!(names, ["emulated1.example.net", "emulated2.example.net"]);
    for name in &names {
        let request = provisioner.ask(name, "gencsr", json!({"cn": name})).await.expect("a request");
        let ssl = |file: &str| format!("{}/{file}", text(&request, "ssldir"));
        let settings = json!({
            "identity": name,
            "plugin.choria.server.provision": "0",
            "plugin.choria.middleware_hosts": room.network.address().to_string(),
            "plugin.security.provider": "file",
            "plugin.security.file.certificate": ssl("certificate.pem"),
            "plugin.security.file.key": ssl("private.pem"),
            "plugin.security.file.ca": ssl("ca.pem"),
        });
        let inputs = json!({
            "config": Value::to_string(&settings),
            "certificate": room.sign(text(&request, "csr")),
            "ca": room.network.ca.certificate_pem(),
            "ssldir": text(&request, "ssldir"),
        });
        provisioner.ask(name, "configure", inputs).await.expect("a configuration");
        provisioner.ask(name, "restart", json!({"splay": 1})).await.expect("a restart");
    }
    tokio::task::block_in_place(|| {
        fleet.says(&["2 nodes are provisioned after", "0 ended"]);
        room.network.answered_by(&["emulated1.example.net", "emulated2.example.net"]);
        end(&mut fleet);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_of_one_name_are_flagged_by_the_broker() {
    let port = free_port();
    let mut room = WaitingRoom::open_with(&format!("plugin.choria.stats_port = {port}\n"));
    let doubled = "choria_broker_doubled_names_total{identity=\"broker.example.net\"}";
    room.network.broker().says(&["monitoring is listening"]);
    assert!(get(port, "/choria/prometheus").contains(&format!("{doubled} 0\n")));
    let mut fleet = emulate(&room, &["--count", "2", "--doubled", "50"]);
    fleet.says(&["2 nodes wait after"]);
    room.network.broker().says(&["warning", "two waiting nodes claim this name"]);
    let metrics = get(port, "/choria/prometheus");
    assert!(metrics.contains(&format!("{doubled} 1\n")), "{metrics}");
    end(&mut fleet);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn those_that_want_another_token_refuse() {
    let room = WaitingRoom::open();
    let mut fleet = emulate(&room, &["--count", "1", "--wrong-token", "100"]);
    fleet.says(&["1 nodes wait after"]);
    let provisioner = room.provisioner().await;
    let names = provisioner.discover(1).await;
    let refused = provisioner.ask(&names[0], "jwt", json!({})).await;
    assert!(Provisioner::refused(refused).contains("Incorrect provision token supplied"));
    end(&mut fleet);
}
