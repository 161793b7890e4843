//! `plugin.rpcaudit.chain` and `choria audit verify`.

use std::fs;

use rustix::process::Signal;

use crate::network::{Network, node};
use crate::process::{program, run};

#[test]
fn who_edits_the_log_of_a_node_is_found_out() {
    let network = Network::start();
    let chain = network.path("audit.chain");
    let mut nodes =
        network.nodes([node("n1").lines(&format!("plugin.rpcaudit.chain = {}\n", chain.display()))]);
    let alice = network.alice();
    for _ in 0..5 {
        alice.run(&["rpc", "rpcutil", "ping"]).fine();
    }
    // killed in the middle of its life, and ended in order
    nodes[0].kill();
    let log = nodes[0].dir.join("audit.log");
    let torn = fs::read_to_string(&log).expect("a log") + "{\"timestamp\":\"2026-01-01T00:00";
    fs::write(&log, torn).expect("written");
    nodes[0].start();
    nodes[0].connected();
    network.answered_by(&["n1.example.net"]);
    alice.run(&["rpc", "rpcutil", "ping"]).fine();
    nodes[0].log().signal(Signal::TERM);
    nodes[0].daemon().ended();

    let config = nodes[0].config.display().to_string();
    let verify = |words: &[&str]| {
        let mut command = program(&network.path(""));
        command.args(["audit", "verify"]).args(words).args(["--config", &config]);
        run(command, None)
    };
    verify(&[]).fine().says(&[
        "7 lines of logs are as they were written, by a chain of 6 records: signed until ",
        "5 records signed only when the node started after it was killed",
        "1 line not in the chain that the node found at the end of the log when it started",
    ]);
    let text = fs::read_to_string(&log).expect("a log");
    fs::write(&log, text.replacen("choria=alice", "choria=mallo", 1)).expect("written");
    verify(&[]).code(2).says(&["line 1 was edited: it is not record 1", "1 NOT as written"]);
    let shorter: String = text.lines().skip(2).map(|line| format!("{line}\n")).collect();
    fs::write(&log, &shorter).expect("written");
    let found = verify(&["--json"]).code(0).json();
    assert_eq!(
        (&found["before"], &found["good"]),
        (&2.into(), &true.into()),
        "what was rotated away: {found}"
    );
    fs::write(&log, shorter.lines().take(3).map(|line| format!("{line}\n")).collect::<String>())
        .expect("written");
    verify(&[]).code(2).says(&["record 6 is missing"]);
    // Nobody else may add such a line.
    fs::write(&log, text.replace("2026-01-01T00:00", "2026-01-01T00:01")).expect("written");
    verify(&[]).code(2).says(&["line 6 is not in the chain: it was added, or "]);
    fs::write(&log, &text).expect("written");
    let other = network.path("ca/ca.pem").display().to_string();
    verify(&["--certificate", &other]).code(2).says(&["is not signed by the key of a certificate"]);
    // Who leaves the signatures out shows nothing.
    let signed = fs::read_to_string(&chain).expect("a chain");
    let unsigned: String =
        signed.lines().filter(|line| !line.starts_with("s ")).map(|line| format!("{line}\n")).collect();
    let forged = network.file("forged", &unsigned).display().to_string();
    verify(&["--chain", &forged]).code(2).says(&["nothing is signed yet"]);
    let junk = network.file("junk", "x\n").display().to_string();
    verify(&["--chain", &junk]).code(1).complains(&["this is no audit chain"]);
    verify(&["--chain", "/nonexistent"]).code(1).complains(&["/nonexistent cannot be read"]);

    // Who is told to write one and cannot does not start.
    fs::write(&chain, "not a chain\n").expect("written");
    nodes[0].start();
    assert!(!nodes[0].daemon().ended().success());
    nodes[0].log().says(&["plugin.rpcaudit.chain", "this is no audit chain that can be gone on with"]);
}
