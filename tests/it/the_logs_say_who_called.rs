//! `choria tool audit`: what nodes have written, matched to callers.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::network::{Network, node};
use crate::process::{program, run, until};

/// Lines of standard output as JSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn requests_are_matched_to_their_callers() {
    let network = Network::start();
    let log = network.path("n1.log");
    let lines_of_node = format!("logfile = {}\nloglevel = info\n", log.display());
    let mut node = network.node(
        node("n1")
            .lines(&lines_of_node)
            .policy("rpcutil", "policy default deny\nallow\tchoria=alice.mcollective\tping get_fact\t*\t*\n"),
    );
    network.answered_by(&["n1.example.net"]);
    let (alice, bob) = (network.alice(), network.caller("bob.mcollective"));
    let one = ["-I", "n1.example.net"];
    alice.run(&[&["rpc", "rpcutil", "ping"], &one[..]].concat()).fine();
    alice.run(&[&["rpc", "rpcutil", "get_fact", "fact=country"], &one[..]].concat()).fine();
    bob.run(&[&["rpc", "rpcutil", "ping"], &one[..]].concat()).code(2);
    alice.run(&[&["rpc", "rpcutil", "daemon_stats"], &one[..]].concat()).code(2);
    let written = || std::fs::read_to_string(&log).unwrap_or_default();
    until("both denials", || (written().matches("\"denied: ").count() == 2).then_some(()));

    let config = node.config.display().to_string();
    let audit = |words: &[&str]| {
        let mut command = program(&network.path(""));
        command.args(["tool", "audit", "--json", "--config", &config]).args(words);
        run(command, None).code(0)
    };
    let of = |words: &[&str]| -> Vec<(String, String, String)> {
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let all = lines(&audit(words).stdout);
        let mut all: Vec<_> =
            all.iter().map(|e| (text(e, "verdict"), text(e, "caller"), text(e, "action"))).collect();
        all.sort();
        all
    };
    let entry = |verdict: &str, who: &str, action: &str| {
        (verdict.to_owned(), format!("choria={who}.mcollective"), action.to_owned())
    };
    let all = [
        entry("denied", "alice", "daemon_stats"),
        entry("denied", "bob", "ping"),
        entry("ran", "alice", "get_fact"),
        entry("ran", "alice", "ping"),
    ];
    assert_eq!(of(&[]), all);
    assert_eq!(of(&["--caller", "bob.mcollective"]), all[1..2]);
    assert_eq!(of(&["--caller", "/alice/", "--failed"]), all[..1]);
    assert_eq!(of(&["--action", "ping", "--since", "1h"]), [all[1].clone(), all[3].clone()]);
    assert_eq!(of(&["--agent", "package"]), []);
    assert_eq!(of(&["--until", "2020-01-01"]), []);
    let summary = audit(&["--summary"]).json();
    assert_eq!(summary.as_array().map(Vec::len), Some(4), "{summary}");
    let denied = lines(&audit(&["--caller", "bob.mcollective"]).stdout);
    assert!(denied[0]["reason"].as_str().is_some_and(|r| r.contains("rpcutil.policy")), "{denied:?}");

    // A rotated and compressed file counts too, and what is broken is named.
    let record = node.audit()[0].to_string().replace("alice", "carol");
    let mut gzip = GzEncoder::new(vec![], Compression::default());
    writeln!(gzip, "{record}\nnonsense\n{record}").expect("memory");
    let rotated = node.dir.join("audit.log.1.gz");
    std::fs::write(&rotated, gzip.finish().expect("memory")).expect("a file");
    let ran = audit(&["--caller", "carol.mcollective"]);
    assert_eq!(lines(&ran.stdout).len(), 2);
    let ran = ran.complains(&["audit.log.1.gz: 1 lines are neither", "the first is line 2"]);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");

    // For people.
    let files = [rotated.display().to_string(), node.dir.join("audit.log").display().to_string()];
    let ran = alice.run(&["tool", "audit", &files[0], &files[1], "/no/such.log"]).code(1);
    let ran = ran.says(&["TIME", "choria=carol.mcollective", "rpcutil#get_fact", "ran"]);
    ran.complains(&["/no/such.log was not read to its end", "4 requests in"]);
    alice.run(&["tool", "audit", "--summary", &files[1]]).code(0).says(&["Outcome", "rpcutil", "│ 1 "]);
    node.kill();
}

/// A denial stands between what ran before and after it, whichever file each is in.
#[test]
fn several_logs_are_told_as_one() {
    let network = Network::without_broker();
    let record = |second: u64, caller: &str| {
        format!(
            "{{\"timestamp\":\"2026-01-07T07:13:{second:02}.000000+0000\",\"request_id\":\"r{second}\",\
             \"request_time\":1767770000,\"caller\":\"choria={caller}.mcollective\",\"sender\":\"c\",\
             \"agent\":\"rpcutil\",\"action\":\"ping\",\"data\":{{}}}}\n"
        )
    };
    let one: String = [1, 3, 5].map(|second| record(second, "alice")).concat();
    let two: String = [2, 4, 6].map(|second| record(second, "bob")).concat();
    let (one, two) = (network.file("one.log", &one), network.file("two.log", &two));
    let alice = network.alice();
    let files = [one, two].map(|file| file.display().to_string());
    let told = alice.run(&["tool", "audit", &files[0], &files[1]]).code(0);
    let who: Vec<bool> = told.stdout.lines().skip(1).map(|line| line.contains("alice")).collect();
    assert_eq!(who, [true, false, true, false, true, false], "{told:?}");
    told.complains(&["6 requests in 6 lines of 2 files"]);

    // Denials are not in the audit log: where they are is said.
    let config = network.file(
        "server.conf",
        &format!(
            "identity = n1\nrpcaudit = true\nplugin.rpcaudit.logfile = {}\nlogfile = stdout\n",
            files[0]
        ),
    );
    let mut command = program(&network.path(""));
    command.args(["tool", "audit", "--json", "--config"]).arg(config);
    let told = run(command, None).code(0);
    told.complains(&["who was denied is not in a file here", "journalctl -u choria-server"]);
}

#[test]
fn questions_that_cannot_be_answered_are_refused() {
    let network = Network::without_broker();
    let log = network.file("audit.log", "").display().to_string();
    let alice = network.alice();
    for (words, texts) in [
        (&["--since", "yesterday", &log][..], &["--since 'yesterday' is no time", "7d"][..]),
        (&["--caller", "", &log], &["--caller", "is empty"]),
        (&["--agent", "/(/", &log], &["--agent", "no regular expression"]),
    ] {
        alice.run(&[&["tool", "audit"], words].concat()).code(1).silent().complains(texts);
    }
    let mut command = program(&network.path(""));
    command.args(["tool", "audit"]);
    run(command, None).code(1).silent().complains(&["which logs?", "--config FILE"]);
    assert_eq!(json!(alice.run(&["tool", "audit", "--json", &log]).fine().stdout), json!(""));
}
