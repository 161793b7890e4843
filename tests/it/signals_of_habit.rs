//! What administrators send without looking: nothing dies of it without a word.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::network::{Network, node};
use crate::process::{Daemon, program, until};
use crate::waiting_room::WaitingRoom;

/// USR1 has it say how it is, in the log anew; USR2 and PIPE do nothing to it.
fn survives(daemon: &mut Daemon, says: &[&str]) {
    let mark = daemon.mark();
    daemon.signal(Signal::USR1);
    daemon.says_after(mark, says);
    daemon.signal(Signal::PIPE);
    daemon.signal(Signal::USR2);
    daemon.says_after(mark, &["SIGUSR2 means nothing"]);
    daemon.still_runs();
}

#[test]
fn to_a_node() {
    let network = Network::start();
    let mut nodes = network.nodes([node("n1")]);
    survives(nodes[0].daemon(), &["info", "SIGUSR1: n1.example.net is connected to "]);
    let mark = nodes[0].log().mark();
    nodes[0].log().signal(Signal::HUP);
    nodes[0].log().says_after(mark, &["read keys, CA and revocation lists again"]);
    network.answered_by(&["n1.example.net"]);
    for signal in [Signal::QUIT, Signal::INT, Signal::TERM] {
        let mark = nodes[0].log().mark();
        nodes[0].log().signal(signal);
        assert!(nodes[0].daemon().ended().success());
        nodes[0].log().says_after(mark, &["stopped"]);
        nodes[0].start();
        nodes[0].connected();
    }
}

#[test]
fn to_a_node_whose_log_is_rotated() {
    let network = Network::start();
    let log = network.path("node.log");
    let nodes = network.node(node("n1").lines(&format!("logfile = {}\n", log.display())));
    let text = |file: &std::path::Path| std::fs::read_to_string(file).unwrap_or_default();
    until("it to answer", || text(&log).contains("answering requests").then_some(()));
    std::fs::rename(&log, network.path("node.log.1")).expect("a file");
    nodes.log().signal(Signal::USR1);
    until("the new file", || text(&log).contains("SIGUSR1: n1.example.net").then_some(()));
}

/// What is installed for logrotate, about a node's own files and process.
#[test]
fn by_logrotate() {
    let network = Network::start();
    let [log, audit, state] =
        ["choria-node.log", "choria-audit.log", "logrotate.state"].map(|name| network.path(name));
    let n1 = network.node(node("n1").lines(&format!(
        "logfile = {}\nplugin.rpcaudit.logfile = {}\n",
        log.display(),
        audit.display()
    )));
    let text = |file: &std::path::Path| std::fs::read_to_string(file).unwrap_or_default();
    until("it to answer", || text(&log).contains("answering requests").then_some(()));
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
    let installed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/logrotate/choria");
    let rules = text(&installed).replace("/var/log/", &format!("{}/", network.path("").display()));
    // No systemd here: it would send this.
    let kill = format!("kill -USR1 {}", n1.log().pid());
    let rules = rules.lines().map(|line| if line.contains("systemctl kill") { kill.as_str() } else { line });
    let rules = network.file("rotate.conf", &(rules.collect::<Vec<_>>().join("\n") + "\n"));
    let mut rotate = std::process::Command::new("/usr/sbin/logrotate");
    rotate.arg("--force").arg("--state").arg(&state).arg(rules);
    let ran = rotate.output().expect("logrotate");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    until("a new log", || text(&log).contains("SIGUSR1: n1.example.net").then_some(()));
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
    assert_eq!(text(&audit).lines().count(), 1, "what came after it");
    assert!(text(&network.path("choria-audit.log.1")).contains("rpcutil"));
}

#[test]
fn to_a_broker() {
    let mut network = Network::start_with(
        "plugin.choria.network.x509_permissions = by-name\nplugin.choria.network.lame_duck_duration = 1s\n",
    );
    let _nodes = network.nodes([node("n1")]);
    let mark = network.broker().mark();
    for signal in [Signal::USR1, Signal::PIPE, Signal::HUP] {
        network.broker().signal(signal);
    }
    network.broker().says_after(mark, &["SIGUSR1: ", "connections", "subscriptions"]);
    network.broker().says_after(mark, &["read keys, CA and revocation lists again"]);
    network.answered_by(&["n1.example.net"]);
    for signal in [Signal::USR2, Signal::QUIT, Signal::TERM] {
        network.broker().signal(signal);
        assert!(network.broker().ended().success());
        network.broker().says(&["connections are closed over"]);
        network.start_broker();
    }
    // A second one ends at once.
    network.configure_broker("plugin.choria.network.lame_duck_duration = 10m\n");
    network.start_broker();
    network.answered_by(&["n1.example.net"]);
    network.broker().signal(Signal::USR2);
    network.broker().says(&["connections are closed over"]);
    network.broker().signal(Signal::TERM);
    assert!(network.broker().ended().success());
}

#[test]
fn a_changed_port_is_told_at_sighup() {
    let mut network = Network::start();
    let config = network.path("broker.conf");
    let text = std::fs::read_to_string(&config).expect("a configuration");
    std::fs::write(&config, text.replace("client_port = 0", "client_port = 4233")).expect("a configuration");
    let mark = network.broker().mark();
    network.broker().signal(Signal::HUP);
    network.broker().says_after(
        mark,
        &["warning", "plugin.choria.network.client_port has changed", "from the next start on"],
    );
    assert!(network.broker().matching(mark, &["listen_address has changed"]).is_empty());
}

#[test]
fn to_a_provisioner() {
    let room = WaitingRoom::open();
    let mut daemon = Daemon::start("provisioner", crate::provisioning::provision(&room, ""));
    daemon.says(&["watching for nodes"]);
    daemon.says(&["connected", "broker="]);
    survives(&mut daemon, &["SIGUSR1: ", "is at work"]);
    let mark = daemon.mark();
    daemon.signal(Signal::HUP);
    daemon.says_after(mark, &["read the settings again"]);
    daemon.signal(Signal::QUIT);
    assert!(daemon.ended().success());
}

#[test]
fn to_an_emulated_fleet() {
    let network = Network::start();
    let mut command = program(&network.path(""));
    command.args(["emulate", "--count", "1", "--ca"]).arg(network.path("ca"));
    command.args(["--broker", &network.address().to_string()]);
    let mut daemon = Daemon::start("emulator", command);
    daemon.says(&["1 nodes are connected"]);
    let mark = daemon.mark();
    daemon.signal(Signal::USR2);
    daemon.signal(Signal::USR1);
    daemon.says_after(mark, &["1 of 1 connected"]);
    daemon.signal(Signal::HUP);
    assert!(daemon.ended().success());
}

#[test]
fn to_services() {
    let network = Network::start();
    let modules = network.path("modules");
    std::fs::create_dir(&modules).expect("a directory");
    let modules = modules.display().to_string();
    let tasks = ["tasks", "serve", "--listen", "127.0.0.1", "--port", "0", modules.as_str()];
    let mut served = program(&network.path(""));
    served.args(tasks).arg("--config").arg(network.path("broker.conf"));
    let alice = network.alice();
    let services = [
        (Daemon::start("tasks", served), "the server of tasks is listening"),
        (alice.start(&["tool", "tally", "--port", "0"]), ""),
    ];
    for (mut service, ready) in services {
        match ready {
            "" => until("it to listen to signals", || {
                let text = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).ok()?;
                let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
                (u64::from_str_radix(caught.trim(), 16).ok()? & 1 == 1).then_some(())
            }),
            ready => drop(service.says(&[ready])),
        }
        let mark = service.mark();
        service.signal(Signal::HUP);
        service.says_after(mark, &["SIGHUP means nothing"]);
        service.signal(Signal::USR1);
        service.says_after(mark, &["SIGUSR1 means nothing"]);
        service.signal(Signal::TERM);
        assert!(service.ended().success());
    }
}

#[test]
fn to_a_command_that_waits() {
    let network = Network::start();
    for (signal, raw) in [(Signal::USR1, 10), (Signal::USR2, 12), (Signal::HUP, 1), (Signal::TERM, 15)] {
        // Whoever runs the tests by nohup has all of them ignore it.
        if is_ignored(raw) {
            continue;
        }
        let mut waits = network.alice().start(&["tool", "event"]);
        // Whoever listens for events has connected once it takes Ctrl-C for itself.
        until("it to run", || {
            let text = std::fs::read_to_string(format!("/proc/{}/status", waits.pid())).ok()?;
            text.lines()
                .any(|line| line.starts_with("SigCgt:") && !line.ends_with("0000000000000000"))
                .then_some(())
        });
        waits.signal(signal);
        assert_eq!(waits.ended().signal(), Some(raw), "as of every program");
    }
}

fn is_ignored(signal: i32) -> bool {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("the line");
    u64::from_str_radix(line.trim(), 16).expect("a mask") >> (signal - 1) & 1 == 1
}

#[test]
fn the_manual_has_the_table() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/man/choria.1")).expect("a page");
    let (_, table) = text.split_once(".SH SIGNALS").expect("a section");
    for signal in ["TERM, INT", "QUIT", "HUP", "USR1", "USR2", "PIPE", "KILL"] {
        assert!(table.contains(&format!(".B {signal}\n")), "{signal}");
    }
}
