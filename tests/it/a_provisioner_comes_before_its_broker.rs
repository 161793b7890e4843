//! A machine where all starts at once: the provisioner is there before its broker.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use rustix::process::Signal;

use crate::process::{Daemon, PATIENCE, program, read_page, run, until};
use crate::provisioning::provision;
use crate::waiting_room::WaitingRoom;

#[test]
fn it_is_ready_says_what_it_lacks_and_begins_when_it_can() {
    let mut room = WaitingRoom::open();
    room.network.kill_broker();
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let socket = room.network.path("notify");
    let notified = UnixDatagram::bind(&socket).expect("a socket");
    notified.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut command = provision(&room, &format!("monitor_port: {port}\n"));
    command.env("NOTIFY_SOCKET", &socket);
    let mut daemon = Daemon::start("provisioner", command);
    let mut word = [0; 64];
    let length = notified.recv(&mut word).expect("a word for systemd");
    assert_eq!(word[..length].trim_ascii(), b"READY=1");

    let address = format!("127.0.0.1:{port}");
    let health = read_page(&address, "/healthz");
    assert!(health.starts_with("HTTP/1.1 200") && health.contains("not connected to a broker"), "{health}");
    assert!(read_page(&address, "/readyz").starts_with("HTTP/1.1 503"));
    let status = || {
        let mut command: Command = program(&room.network.path(""));
        command
            .args(["provision", "status", "--config"])
            .arg(room.network.path("provisioner/provisioner.yaml"));
        run(command, None)
    };
    until("the status", || (status().code == 0).then_some(()));
    status().fine().says(&["Broker: not connected"]);
    let mark = daemon.mark();
    daemon.signal(Signal::HUP);
    daemon.says_after(mark, &["read the settings again"]);
    daemon.still_runs();

    room.network.start_broker();
    daemon.says_after(mark, &["connected", "broker="]);
    until("health", || read_page(&address, "/healthz").ends_with("ok\n").then_some(()));
    let mut node = room.node("n1.example.net");
    node.start();
    node.waits(0);
    daemon.says_after(mark, &["n1.example.net", "provisioned"]);

    // Without a broker it ends as soon as with one.
    room.network.kill_broker();
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().success());
}
