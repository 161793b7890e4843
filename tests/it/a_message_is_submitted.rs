//! What a program of a machine hands to its node arrives, whatever ends meanwhile.

use std::fs;

use rustix::process::Signal;

use crate::network::{Caller, Network, node};
use crate::process::{Ran, program, run, until};
use crate::raw::Raw;

/// `choria tool submit` on the machine of a node.
fn submit(network: &Network, config: &std::path::Path, words: &[&str], input: &str) -> Ran {
    let mut command = program(network.directory());
    command.args(["tool", "submit"]).args(words).arg("--config").arg(config);
    run(command, Some(input))
}

fn listener(network: &Network, alice: &Caller) -> Raw {
    let mut raw = Raw::connect(network, alice);
    raw.send("SUB mcollective.submission.in.> 1\r\n");
    raw.sync();
    raw
}

/// Answers as a stream does, or does not.
fn next(raw: &mut Raw, answer: bool) -> String {
    let head = raw.until("\r\n\r\n").expect("a message");
    let body = raw.until("\r\n").expect("a message");
    let reply = head.split_whitespace().find(|word| word.starts_with("mcollective.reply."));
    if let (true, Some(reply)) = (answer, reply) {
        let ack = r#"{"stream":"APP","seq":1}"#;
        raw.send(format!("PUB {reply} {}\r\n{ack}\r\n", ack.len()));
        raw.sync();
    }
    format!("{head}\n{body}")
}

#[test]
fn to_whoever_listens_or_until_a_stream_has_it() {
    // Certificates may say everything here: somebody has to play the stream.
    let network = Network::start_with("");
    let spool = network.path("spool");
    let lines = format!(
        "plugin.choria.submission.spool = {}\nplugin.choria.submission.max_spool_size = 5\n",
        spool.display()
    );
    let mut submitter = network.node(node("n1").lines(&lines));
    submitter.connected();
    let config = submitter.config.clone();
    let alice = network.alice();
    let mut stream = listener(&network, &alice);
    let waiting = |priority: &str| fs::read_dir(spool.join(priority)).map_or(0, Iterator::count);

    let id = submit(&network, &config, &["app.metrics", "-", "-H", "Unit=ms"], "one\n").fine().stdout;
    let told = next(&mut stream, false);
    for text in [
        "mcollective.submission.in.app.metrics",
        "Unit: ms",
        id.trim(),
        "Choria-Identity: n1.example.net",
        "one",
    ] {
        assert!(told.contains(text), "{text}: {told}");
    }
    assert!(!told.contains("Choria-Reliable"), "{told}");
    until("it to be gone", || (waiting("P4") == 0).then_some(()));

    // Nobody acknowledges: it is told again, and nothing passes it.
    submit(&network, &config, &["app.first", "-", "--reliable", "--priority", "2"], "first").fine();
    submit(&network, &config, &["app.second", "-", "--reliable", "--priority", "2"], "second").fine();
    let told = next(&mut stream, false);
    assert!(told.contains("app.first") && told.contains("Choria-Reliable: 1"), "{told}");
    let told = next(&mut stream, false);
    assert!(told.contains("app.first") && told.contains("Choria-Tries: 1"), "{told}");
    // Another priority does not wait for it; nor is anything lost with the node.
    submit(&network, &config, &["app.other", "-"], "other").fine();
    loop {
        let told = next(&mut stream, false);
        if told.contains("app.other") {
            break;
        }
        assert!(told.contains("app.first"), "{told}");
    }
    submitter.daemon().signal(Signal::KILL);
    submitter.daemon().ended();
    assert_eq!(waiting("P2"), 2);
    submitter.start();
    loop {
        let told = next(&mut stream, true);
        if told.contains("app.second") {
            break;
        }
        // what was on its way when it was killed comes again
        assert!(told.contains("app.first") || told.contains("app.other"), "{told}");
    }
    until("both to be gone", || (waiting("P2") == 0).then_some(()));

    // What is no message is thrown away, with a word.
    fs::write(spool.join("P1/1-x.msg"), "{").expect("a file");
    submitter.log().says(&["is thrown away: it cannot be read"]);
    submitter.kill();
    for number in 0..5 {
        submit(&network, &config, &["app.full", "-", "--priority", "0"], &number.to_string()).fine();
    }
    let full = submit(&network, &config, &["app.full", "-", "--priority", "0"], "6").code(1);
    assert!(full.stderr.contains("holds 5 messages of priority 0 already"), "{full:?}");
}

#[test]
fn what_cannot_be_submitted_is_told() {
    let network = Network::start();
    let spool = network.path("spool");
    let with = network
        .node_elsewhere(node("n1").lines(&format!("plugin.choria.submission.spool = {}\n", spool.display())));
    let without = network.node_elsewhere(node("n2"));
    for (config, words, input, says) in [
        (&without.config, vec!["a.b", "-"], "x", "plugin.choria.submission.spool is not set"),
        (&with.config, vec!["a..b", "-"], "x", "'a..b' is no subject"),
        (&with.config, vec!["a.b", "-"], "", "the message is empty"),
        (&with.config, vec!["a.b", "-", "--priority", "5"], "x", "The priority is 5, it is 0 (first) to 4"),
        (&with.config, vec!["a.b", "-", "--ttl", "90d"], "x", "31 days at most"),
        (&with.config, vec!["a.b", "-", "-H", "Nats-Msg-Id=1"], "x", "header 'Nats-Msg-Id' cannot be set"),
        (&with.config, vec!["a.b", "-", "-H", "x"], "x", "is no NAME=VALUE"),
        (&with.config, vec!["a.b", "/nonexistent"], "", "/nonexistent"),
    ] {
        let ran = submit(&network, config, &words, input).code(1);
        assert!(ran.stderr.to_lowercase().contains(&says.to_lowercase()), "{words:?}: {ran:?}");
    }
    let large = "x".repeat(1_100_000);
    let ran = submit(&network, &with.config, &["a.b", "-"], &large).code(1);
    assert!(ran.stderr.contains("at most 1024000 can be published"), "{ran:?}");
}
