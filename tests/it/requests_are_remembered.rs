//! `choria history`, `rpc --retry` and `--only`: what was asked, what came of it, and
//! asking again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use choria::core::agents::{Call, Outcome};
use serde_json::{Value, json};

use crate::network::{Network, node};
use crate::process::run;
use crate::stage::{Stage, failed, interface};

const N1: &str = "n1.example.net";
const N2: &str = "n2.example.net";

#[test]
fn who_did_not_answer_is_asked_again() {
    let network = Network::start();
    let country = |name: &str| node(name).facts(json!({"country": "mt"}));
    let _first = network.nodes([country("n1")]);
    let alice = network.alice();
    let list = || alice.run(&["history", "--json"]).fine().json();
    assert_eq!(list(), json!([]));
    alice.run(&["history"]).code(0).silent().complains(&["no request is kept yet"]);
    alice.run(&["history", "show", "last"]).code(1).silent().complains(&["no request is kept in"]);

    let words = ["rpc", "rpcutil", "get_fact", "fact=country", "-I", N1, "-I", N2, "--json"];
    let document = alice.run(&words).code(4).json();
    let kept = &list()[0];
    assert_eq!(kept["id"], document["request_stats"]["requestid"]);
    assert_eq!(kept["inputs"], json!(["fact=country"]));
    assert_eq!(json!([kept["nodes"], kept["ok"], kept["missed"]]), json!([2, 1, 1]));
    // The same again, in any form.
    let again = alice.run(&["history", "show", "last", "--json"]).code(0).json();
    for part in ["agent", "action", "replies", "request_stats", "summaries"] {
        assert_eq!(again[part], document[part], "{part}");
    }
    let id = kept["id"].as_str().expect("an id");
    let shown = alice.run(&["history", "show", &id[..6]]).code(0);
    shown.says(&[
        "Request ",
        id,
        "rpcutil get_fact fact=country",
        "Value: mt",
        "Finished processing 1 / 2",
        N2,
    ]);
    assert_eq!(alice.run(&["history", "show", id, "--senders"]).code(0).stdout, format!("{N1}\n"));
    alice.run(&["history"]).fine().says(&[&id[..8], "rpcutil get_fact fact=country", "Missed"]);
    // Nobody else reads it.
    let dir = network.path(".local/state/choria/history");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    fs::read_dir(&dir)
        .expect("a directory")
        .for_each(|file| assert_eq!(mode(&file.expect("a file").path()), 0o600));

    let _second = network.nodes([country("n2")]);
    alice.run(&["rpc", "rpcutil", "ping", "--only", "ok", id, "--senders"]).fine().says(&[N1]);
    alice.run(&["history", "show", "last"]).fine().says(&["rpcutil ping"]);
    let retried = alice.run(&["rpc", "--retry", "missed", id, "--json"]).fine().json();
    assert_eq!(retried["replies"].as_array().map(Vec::len), Some(1), "{retried}");
    assert_eq!(retried["replies"][0]["sender"], N2);
    assert_eq!(retried["replies"][0]["data"]["value"], "mt");
    // With another input, and narrowed down.
    alice.run(&["rpc", "--retry", "missed", id, "fact=nosuch"]).fine().says(&["(none)"]);
    alice.run(&["rpc", "--retry", "missed", id, "-I", N1]).code(1).complains(&["did not discover any nodes"]);
    alice
        .run(&["rpc", "--retry", "missed", "last"])
        .code(1)
        .silent()
        .complains(&["no node of request", "is missed"]);

    for (words, texts) in [
        (&["rpc", "--retry", "missed"][..], &["--retry needs the id of a request"][..]),
        (
            &["rpc", "--retry", "mised", "last"],
            &["--retry takes which nodes", "mised is none of", "did you mean missed?"],
        ),
        (&["rpc", "--retry", "missed", "zzzz"], &["no request that is kept has the id 'zzzz'"]),
        (&["rpc", "--retry", "missed", id, "rpcutil", "ping"], &["only inputs can be given"]),
        (&["rpc", "--retry", "ok", id, "--only", "ok", id], &["exclude each other"]),
        (&["rpc", "rpcutil", "ping", "--only", "ok", id, "--nodes", "x"], &["another list"]),
        (&["rpc", "rpcutil", "ping", "--only", "ok", id, "-C", "x"], &["a list of nodes cannot be filtered"]),
        (&["rpc", "rpcutil"], &["name an agent and an action"]),
        (&["history", "show", "zzzz"], &["choria history has them all"]),
        (&["history", "shwo", "last"], &["did you mean show?"]),
    ] {
        let ran = alice.run(words).code(1).silent().complains(texts);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn who_failed_or_denied_is_asked_again_and_secrets_stay_out() {
    let network = Network::start();
    let mut demo = interface(
        "demo",
        10,
        &[(
            "go",
            &["word:string", "code:string?"],
            &["value"],
            json!([{"function": "guess", "args": ["value"]}]),
        )],
    );
    demo["actions"][0]["input"]["word"]["secret"] = json!(true);
    let act = |node: &str, call: &Call| match node {
        N2 if call.text("word") != "right" => failed(1, "hunter2 is wrong", json!({"value": "hunter2"})),
        _ => Outcome::ok(json!({"value": "hunter2"})),
    };
    let stage = Stage::of(&network, &[N1, N2], &[demo], Arc::new(act));
    let alice = stage.alice(&network, "");
    let go = ["rpc", "demo", "go", "word=hunter2", "code=1", "-I", N1, "-I", N2];
    let ran = alice.run(&go).code(2).says(&["hunter2 is wrong"]);
    ran.complains(&["sums up by guess, which is not known here and left out"]);
    let dir = network.path(".local/state/choria/history");
    let files = || -> Vec<String> {
        let files = fs::read_dir(&dir).into_iter().flatten().flatten();
        files.map(|file| fs::read_to_string(file.path()).expect("text")).collect()
    };
    assert!(files().iter().all(|text| !text.contains("hunter2")), "{:?}", files());
    let shown = alice.run(&["history", "show", "last"]).code(0).says(&["code=1", "word=*****"]);
    shown.complains(&["not all outputs of this request were kept"]);
    alice
        .run(&["rpc", "--retry", "failed", "last"])
        .code(1)
        .complains(&["the input word", "give it again, word=VALUE"]);
    let retried = alice.run(&["rpc", "--retry", "failed", "last", "word=right", "--senders"]).fine();
    assert_eq!(retried.stdout, format!("{N2}\n"));

    // A denial is remembered as one.
    let bob = network
        .caller_with("bob.mcollective", &format!("libdir = {}\n", network.path("interfaces").display()));
    bob.run(&["rpc", "demo", "go", "word=right", "-I", N1, "-I", N2]).code(2);
    bob.run(&["rpc", "--retry", "failed", "last", "word=right"]).code(1).complains(&["is failed"]);
    let retried =
        alice.run(&["rpc", "--retry", "denied", "last", "word=right", "--senders", "--sort"]).fine();
    assert_eq!(retried.stdout, format!("{N1}\n{N2}\n"));

    // Applications have --only, too, and nothing is kept where that is off, or beyond the bound.
    let count = files().len();
    let off = stage.alice(&network, "plugin.choria.history.enabled = false\n");
    off.run(&["rpc", "rpcutil", "ping", "-I", N1]).fine();
    off.run(&["history"]).code(0);
    assert_eq!(files().len(), count);
    let few = stage.alice(&network, "plugin.choria.history.count = 2\n");
    few.run(&["rpc", "rpcutil", "ping", "-I", N1]).fine();
    assert_eq!(files().len(), 2);
    let broken = stage.alice(&network, "plugin.choria.history.enabled = maybe\n");
    broken.run(&["rpc", "rpcutil", "ping", "-I", N1]).code(1).complains(&["plugin.choria.history.enabled"]);
    let elsewhere = stage.alice(&network, "");
    let mut command = elsewhere.command(&["rpc", "rpcutil", "ping", "-I", N1]);
    command.env("XDG_STATE_HOME", network.path("state"));
    run(command, None).fine();
    assert_eq!(fs::read_dir(network.path("state/choria/history")).expect("a directory").count(), 1);
    // A home that is nobody's keeps no request from being made.
    for home in ["/dev/null", "/proc"] {
        let mut command = elsewhere.command(&["rpc", "rpcutil", "ping", "-I", N1, "--senders"]);
        command.env("HOME", home);
        assert_eq!(run(command, None).code(0).stdout, format!("{N1}\n"));
    }
    assert_eq!(Value::from(files().len()), 2);
}
