//! `choria kv`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;

use super::Keeping;
use crate::a_broker_is_a_leaf::hub::RELEASES;
use crate::link::Link;
use crate::process::until;
use crate::raw::Raw;

#[test]
fn values_are_kept_changed_and_removed() {
    for release in RELEASES {
        let keeping = Keeping::of(release, "");
        let Keeping { alice, root, .. } = &keeping;
        // who may not make a bucket is told who may, at once
        let began = std::time::Instant::now();
        alice.run(&["kv", "add", "CFG"]).code(1).complains(&["STREAM.CREATE.KV_CFG", "privileged"]);
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
        alice.run(&["kv", "get", "CFG", "a"]).code(1).complains(&["no bucket CFG", "choria kv add CFG"]);
        root.run(&["kv", "add", "CFG", "--history", "3", "--ttl", "1h"]).fine().says(&["CFG", "1h"]);
        root.run(&["kv", "add", "CFG"]).code(1).complains(&["already"]);

        assert_eq!(alice.run(&["kv", "put", "CFG", "a.b", "one"]).fine().stdout, "1\n");
        alice.run_with_input(&["kv", "put", "CFG", "a.b", "-"], "two\nlines").fine();
        assert_eq!(alice.run(&["kv", "get", "CFG", "a.b", "--raw"]).fine().stdout, "two\nlines");
        alice
            .run(&["kv", "get", "CFG", "a.b"])
            .fine()
            .says(&["CFG > a.b sequence 2 created @", "two\nlines"]);
        let got = alice.run(&["kv", "get", "CFG", "a.b", "--json"]).fine().json();
        assert_eq!(
            (&got["value"], &got["revision"], &got["operation"]),
            (&json!("two\nlines"), &json!(2), &json!("PUT"))
        );

        // by revisions
        alice.run(&["kv", "create", "CFG", "a.b", "x"]).code(1).complains(&["there already"]);
        alice.run(&["kv", "update", "CFG", "a.b", "three", "1"]).code(1).complains(&["has changed"]);
        assert_eq!(alice.run(&["kv", "update", "CFG", "a.b", "three", "2"]).fine().stdout, "3\n");
        assert_eq!(alice.run(&["kv", "create", "CFG", "other", "x"]).fine().stdout, "4\n");
        assert_eq!(alice.run(&["kv", "keys", "CFG"]).fine().sorted(), ["a.b", "other"]);

        // a removed key has a past, and can be made again
        alice.run(&["kv", "del", "CFG", "a.b"]).code(1).complains(&["-f"]);
        alice.run(&["kv", "del", "CFG", "a.b", "-f"]).fine();
        alice.run(&["kv", "get", "CFG", "a.b"]).code(1).complains(&["no key a.b"]);
        alice.run(&["kv", "rm", "CFG", "a.b", "-f"]).code(1).complains(&["no key a.b"]);
        assert_eq!(alice.run(&["kv", "keys", "CFG", "--json"]).fine().json(), json!(["other"]));
        let past = alice.run(&["kv", "history", "CFG", "a.b", "--json"]).fine().json();
        let past: Vec<&str> =
            past.as_array().unwrap().iter().map(|e| e["operation"].as_str().unwrap()).collect();
        assert_eq!(past, ["PUT", "PUT", "DEL"], "three are kept");
        alice.run(&["kv", "history", "CFG", "a.b"]).fine().says(&["Operation", "DEL", "three"]);
        alice.run(&["kv", "create", "CFG", "a.b", "again"]).fine();
        alice.run(&["kv", "purge", "CFG", "a.b", "-f"]).fine();
        let past = alice.run(&["kv", "history", "CFG", "a.b", "--json"]).fine().json();
        assert_eq!(past.as_array().map(Vec::len), Some(1), "{past}");

        // what is no text is shown as what it is
        let bytes = keeping.network.path("bytes");
        fs::write(&bytes, [0_u8, 159, 146, 150]).unwrap();
        let mut put = alice.command(&["kv", "put", "CFG", "raw", "-"]);
        put.stdin(fs::File::open(&bytes).unwrap());
        assert!(put.status().unwrap().success());
        alice.run(&["kv", "get", "CFG", "raw"]).fine().says(&["AJ+Slg=="]);
        let mut got = alice.command(&["kv", "get", "CFG", "raw", "--raw"]);
        assert_eq!(got.output().unwrap().stdout, [0, 159, 146, 150]);

        alice.run(&["kv", "ls"]).fine().says(&["CFG", "CHORIA_LEADER_ELECTION"]);
        let status = alice.run(&["kv", "status", "CFG", "--json"]).fine().json();
        assert_eq!((&status["history"], &status["expire"]), (&json!(3), &json!(3600)), "{status}");

        root.run(&["kv", "backup", "CFG", &keeping.network.path("backup").display().to_string()]).fine();
        root.run(&["kv", "del", "CFG", "-f"]).fine();
        alice.run(&["kv", "get", "CFG", "other"]).code(1).complains(&["no bucket"]);
        root.run(&["kv", "restore", &keeping.network.path("backup").display().to_string()]).fine();
        assert_eq!(alice.run(&["kv", "get", "CFG", "other", "--raw"]).fine().stdout, "x");
        root.run(&["kv", "restore", &keeping.network.path("backup").display().to_string()])
            .code(1)
            .complains(&["already"]);
    }
}

#[test]
fn names_and_numbers_are_checked_before_anything_is_asked() {
    let network = crate::network::Network::without_broker();
    let alice = network.alice();
    for (words, text) in [
        (&["kv", "get", "a.b", "k"][..], "no name of a bucket"),
        (&["kv", "get", "B", "a..b"], "no key"),
        (&["kv", "add", "B", "--history", "65"], "--history 65"),
        (&["kv", "add", "B", "--replicas", "9"], "--replicas 9"),
        (&["governor", "add", "a.b", "1", "1m"], "no name of a governor"),
        (&["governor", "add", "G", "0", "1m"], "lets nobody in"),
        (&["governor", "run", "G"], "no command"),
        (&["governor", "run", "--interval", "1ms", "G", "ls -l"], "--interval"),
    ] {
        alice.run(words).code(1).complains(&[text]);
    }
    // programs read JSON, whatever happens
    let ran = alice.run(&["kv", "api", "--ensure"]).code(1);
    assert!(ran.json()["error"].as_str().is_some_and(|e| !e.is_empty()), "{ran:?}");
    assert_eq!(alice.run(&["kv", "api", "--check"]).fine().stdout, "{\"api\":\"ok\"}\n");
    assert_eq!(alice.run(&["governor", "api", "--check"]).fine().stdout, "{\"api\":\"ok\"}\n");
}

#[test]
fn puppet_looks_after_buckets() {
    let keeping = Keeping::start("");
    let root = &keeping.root;
    let ensure = |more: &[&str]| {
        let words = ["kv", "api", "--ensure", "--name", "P", "--history", "2", "--expire", "60"];
        root.run(&[&words[..], more].concat())
    };
    let made = ensure(&["--max-value-size", "100"]).fine();
    let expected = "{\"name\":\"P\",\"history\":2,\"expire\":60,\"replicas\":1,\"max_value_size\":100,\"max_bucket_size\":-1}\n";
    assert_eq!(made.stdout, expected);
    assert_eq!(ensure(&["--max-value-size", "100"]).fine().stdout, expected, "and again");
    assert_eq!(ensure(&["--max-value-size", "9"]).fine().json()["max_value_size"], 9);
    root.run(&["kv", "put", "P", "k", "more than nine"]).code(1).complains(&["10054"]);
    let copies = ensure(&["--replicas", "3"]).code(1);
    assert!(copies.json()["error"].as_str().unwrap().contains("--force"), "{copies:?}");
    let all = root.run(&["kv", "api", "--list"]).fine().json();
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    root.run(&["kv", "api", "--delete", "--name", "P"]).fine();
    root.run(&["kv", "api", "--delete", "--name", "P"]).fine();
    let all = root.run(&["kv", "api", "--list"]).fine().json();
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
}

#[test]
fn changes_are_seen_and_none_is_missed_when_the_broker_goes_away() {
    let mut keeping = Keeping::start("");
    keeping.root.run(&["kv", "add", "W"]).fine();
    keeping.alice.run(&["kv", "put", "W", "a", "first"]).fine();
    keeping.alice.run(&["kv", "watch", "W", "a", "--once"]).fine().says(&["PUT W.a: first"]);
    keeping
        .alice
        .run(&["kv", "watch", "W", "nothing", "--once", "--timeout", "300ms"])
        .code(1)
        .complains(&["within 300ms"]);
    let watch = keeping.alice.start(&["kv", "watch", "W"]);
    watch.says(&["PUT W.a: first"]);
    keeping.alice.run(&["kv", "put", "W", "b", "second"]).fine();
    watch.says(&["PUT W.b: second"]);
    keeping.network.broker().signal(rustix::process::Signal::TERM);
    assert!(keeping.network.broker().ended().success());
    keeping.network.start_broker();
    until("streams to be there again", || {
        let put = keeping.alice.run(&["kv", "put", "W", "c", "third"]);
        (put.code == 0).then_some(())
    });
    watch.says(&["PUT W.c: third"]);
    assert_eq!(watch.matching(0, &["second"]).len(), 1, "nothing is told twice");
}

/// What the broker says last before a connection breaks is said to the next one, whether more comes or not.
#[test]
fn the_last_change_before_a_connection_breaks_is_heard() {
    let keeping = Keeping::start("");
    keeping.root.run(&["kv", "add", "W"]).fine();
    let link = Link::to(keeping.network.address());
    let over = format!("plugin.choria.middleware_hosts = {}\n", link.address);
    let bob = keeping.network.caller_with("bob.mcollective", &over);
    let watch = bob.start(&["kv", "watch", "W"]);
    keeping.alice.run(&["kv", "put", "W", "a", "first"]).fine();
    watch.says(&["PUT W.a: first"]);
    link.swallow(true);
    keeping.alice.run(&["kv", "put", "W", "b", "second"]).fine();
    // the broker has handed it on by the time that it answers somebody else
    keeping.alice.run(&["kv", "get", "W", "b", "--raw"]).fine().says(&["second"]);
    assert!(link.cut() > 0);
    link.swallow(false);
    watch.says(&["PUT W.b: second"]);
    assert_eq!(watch.matching(0, &["first"]).len(), 1, "nothing is told twice");
}

/// Whoever reads much is held back, and not cut.
#[test]
fn much_is_read_whole() {
    const VALUES: usize = 450;
    let mut keeping = Keeping::start("");
    keeping.root.run(&["kv", "add", "BIG", "--max-value-size", "1000000"]).fine();
    let mut raw = Raw::connect(&keeping.network, &keeping.alice);
    let value = "x".repeat(1_000_000);
    for number in 0..VALUES {
        raw.send(format!("PUB $KV.BIG.f{number} {}\r\n{value}\r\n", value.len()));
    }
    raw.sync();
    until("the values", || {
        let told = keeping.root.run(&["kv", "status", "BIG", "--json"]).fine().json();
        (told["values"].as_u64() >= Some(VALUES as u64)).then_some(())
    });
    let mut watch = keeping.alice.command(&["kv", "watch", "BIG"]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().expect("a command");
    let lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
    let read = lines.map(|line| line.expect("text")).filter(|line| line.contains("PUT BIG.f"));
    assert_eq!(read.take(VALUES).count(), VALUES);
    let _ = (watch.kill(), watch.wait());
    assert!(keeping.network.broker().matching(0, &["streams deliver more"]).is_empty());
}
