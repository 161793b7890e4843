//! Files that never answer, as on a network file system that hangs: a FIFO
//! nobody writes to stands for them.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use serde_json::json;

use crate::network::{Network, node};

/// Well above what a request waits for a file, and well below for ever.
const SOON: Duration = Duration::from_secs(20);

fn hang(file: &Path) {
    let _ = fs::remove_file(file);
    mknodat(CWD, file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    assert!(fs::metadata(file).expect("it").file_type().is_fifo());
}

#[test]
fn the_last_content_serves_and_the_end_comes_in_time() {
    let network = Network::start();
    let mut nodes = network.nodes([node("n1").facts(json!({"country": "mt"})).classes(&["apache"])]);
    let alice = network.alice();
    let finds = |filter: &[&str]| alice.run(&[&["find"], filter].concat()).fine().sorted().len();
    assert_eq!((finds(&["-F", "country=mt"]), finds(&["-C", "apache"])), (1, 1));
    alice.run(&["rpc", "rpcutil", "ping"]).fine();

    let dir = nodes[0].dir.clone();
    for file in ["facts.json", "classes.txt", "policies/default.policy"] {
        let mark = nodes[0].log().mark();
        hang(&dir.join(file));
        let begun = Instant::now();
        // Whoever comes first waits for the file; all others do not.
        for _ in 0..6 {
            alice.run(&["find", "-F", "country=mt", "-C", "apache"]);
            alice.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).code(0);
        }
        assert_eq!(finds(&["-F", "country=mt", "-C", "apache"]), 1, "{file}");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        nodes[0].log().says_after(mark, &["warning", file, "does not answer", "read of it last serves"]);
        assert_eq!(nodes[0].log().matching(mark, &["does not answer"]).len(), 1);
    }
    crate::process::until("the status file to tell", || {
        let warnings = nodes[0].status()?["warnings"].to_string();
        (warnings.contains("facts.json does not answer") && warnings.contains("classes.txt")).then_some(())
    });

    // A file that comes back is read by the next who asks.
    let mark = nodes[0].log().mark();
    let classes = dir.join("classes.txt");
    fs::write(dir.join("new"), "nginx\n").expect("a file");
    drop(fs::OpenOptions::new().write(true).open(&classes).expect("the reader waits"));
    nodes[0].log().says_after(mark, &["classes.txt answers again"]);
    fs::rename(dir.join("new"), &classes).expect("a file");
    assert_eq!((finds(&["-C", "nginx"]), finds(&["-C", "apache"])), (1, 0));

    // The audit log hangs: told, and the action runs all the same.
    let mark = nodes[0].log().mark();
    hang(&dir.join("audit.log"));
    for _ in 0..2 {
        alice.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).fine();
    }
    nodes[0].log().says_after(mark, &["the audit record was not written", "audit.log does not answer"]);

    // And so do the keys while they are read again.
    hang(&network.path("ssl/n1.example.net.pem"));
    nodes[0].log().signal(Signal::HUP);
    alice.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).fine();
    nodes[0].log().signal(Signal::TERM);
    let begun = Instant::now();
    assert!(nodes[0].daemon().ended().success());
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_node_starts_all_the_same() {
    let network = Network::start();
    let mut n1 = network.node(node("n1").facts(json!({"country": "mt"})));
    n1.kill();
    hang(&n1.dir.join("facts.json"));
    n1.start();
    n1.log().says(&["warning", "facts.json does not answer"]);
    n1.connected();
    network.answered_by(&["n1.example.net"]);
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
    // A deny rule by facts that nobody knows denies.
    network.file(
        "n1.example.net/policies/rpcutil.policy",
        "policy default allow\ndeny\t*\tcollective_info\tcountry=de\t*\n",
    );
    network.alice().run(&["rpc", "rpcutil", "collective_info"]).code(2).says(&["not authorized"]);
}

#[test]
fn a_broker_goes_on_without_its_ca_file() {
    let mut network = Network::start();
    let _nodes = network.nodes([node("n1")]);
    let alice = network.alice();
    let mark = network.broker().mark();
    let file = network.ca.certificate_file().to_owned();
    let kept = fs::read(&file).expect("a CA");
    hang(&file);
    network.broker().says_after(mark, &["does not answer"]);
    network.broker().signal(Signal::HUP);
    // For the callers of this test.
    fs::write(network.path("ca2.pem"), kept).expect("a CA");
    let text = fs::read_to_string(&alice.config).expect("a configuration");
    let text = text.replace(&file.display().to_string(), &network.path("ca2.pem").display().to_string());
    fs::write(&alice.config, text).expect("a configuration");
    alice.run(&["rpc", "rpcutil", "ping"]).fine();
    network.broker().signal(Signal::TERM);
    let begun = Instant::now();
    assert!(network.broker().ended().success());
    // Ten seconds of closing gently are its own.
    assert!(begun.elapsed() < SOON + Duration::from_secs(10), "{:?}", begun.elapsed());
}
