//! Tasks of a real Puppet Server: it says which there are, nodes fetch the files from it themselves, and what it
//! refuses is said in one sentence.

use std::fs;

use serde_json::json;

use crate::network::{Network, node};
use crate::puppetserver::PuppetServer;
use crate::task_stage::{N1, known, with_tasks};

const GREET: &str = "#!/bin/sh\nread -r word <\"$PT__installdir/demo/files/words/hello\"\n\
    printf '{\"greeting\":\"%s, %s\"}' \"$word\" \"$PT_name\"\n";
const GREET_JSON: &str = r#"{"description": "Greets somebody", "files": ["demo/files/words/hello"], "parameters": {
    "name": {"type": "String[1]", "description": "Who is greeted"}}}"#;

#[test]
fn people_and_nodes_have_them_from_it() {
    let network = Network::start();
    let files = [
        ("demo/tasks/greet.sh", GREET),
        ("demo/tasks/greet.json", GREET_JSON),
        ("demo/tasks/broken.json", "{"),
        ("demo/tasks/broken.sh", "#!/bin/sh\n"),
        ("demo/files/words/hello", "Hello\n"),
    ];
    let (alice, bob) = ("alice.mcollective", "bob.mcollective");
    // bob may know what tasks there are called, and no more; the second node may have no files
    let rules: [(&str, &[&str]); 3] = [
        ("/puppet/v3/tasks/demo", &[alice]),
        ("/puppet/v3/tasks", &[alice, bob]),
        ("/puppet/v3/file_content", &[N1]),
    ];
    let server = PuppetServer::start(&network, &files, &rules);
    let _nodes = network.nodes(["n1", "n2"].map(|name| with_tasks(&network, node(name), name, server.port)));
    let alice = network.caller_with(alice, &known(server.port));
    let bob = network.caller_with(bob, &known(server.port));
    let tasks = |words: &[&str]| alice.run(&[&["tasks"], words].concat());

    tasks(&["list"]).code(0).says(&["demo::greet"]);
    bob.run(&["tasks", "list"]).code(0).says(&["demo::greet"]);
    let told = tasks(&["describe", "demo::greet"]).code(0);
    told.says(&["Greets somebody", "String[1]", "Who is greeted"]);
    let told = tasks(&["describe", "demo::greet", "--json"]).code(0).json();
    let names: Vec<&str> =
        told["files"].as_array().expect("files").iter().filter_map(|f| f["filename"].as_str()).collect();
    assert_eq!(names, ["greet.sh", "demo/files/words/hello"], "{told}");
    assert_eq!(told["files"][0]["uri"]["path"], "/puppet/v3/file_content/tasks/demo/greet.sh");

    // one that has them, by its own certificate, and one that gets nothing
    let run = ["run", "demo::greet", "--name", "Bob", "--json"];
    let ran = tasks(&[&run[..], &["-I", N1]].concat()).code(0).json();
    assert_eq!(ran["items"][0]["stdout"], json!({"greeting": "Hello, Bob"}), "{ran}");
    let hash = told["files"][1]["sha256"].as_str().expect("a hash");
    let cached = |name: &str| network.path(&format!("{name}-tasks/cache")).join(hash);
    assert!(cached("n1").exists(), "{}", cached("n1").display());
    let ran = tasks(&["run", "demo::greet", "--name", "Bob", "-I", "n2.example.net"]).code(2);
    ran.says(&["answers 403 Forbidden for /puppet/v3/file_content/tasks/demo/greet.sh"]);
    assert!(!cached("n2").exists());

    // what changed on the server is another file
    fs::write(server.file("demo/files/words/hello"), "Good day\n").expect("a file");
    let ran = tasks(&[&run[..], &["-I", N1]].concat()).code(0).json();
    assert_eq!(ran["items"][0]["stdout"], json!({"greeting": "Good day, Bob"}), "{ran}");

    let elsewhere = ["--environment", "nosuch"];
    let no_environment =
        "404 Not Found for /puppet/v3/tasks?environment=nosuch: Could not find environment 'nosuch'";
    let greet = ["run", "demo::greet", "--name", "x", "-I", N1];
    let forbidden = "403 Forbidden for /puppet/v3/tasks/demo/greet?environment=production: Forbidden request";
    for (caller, words, complaint) in [
        (&alice, ["describe", "demo::nosuch"].to_vec(), "there is no task demo::nosuch"),
        (&alice, vec!["describe", "nosuch::task"], "there is no task nosuch::task"),
        (
            &alice,
            vec!["describe", "demo::broken"],
            "answers 500 Internal Server Error for /puppet/v3/tasks/demo/broken",
        ),
        (&alice, [&["list"], &elsewhere[..]].concat(), no_environment),
        (&alice, [&greet[..], &elsewhere].concat(), "Could not find environment 'nosuch'"),
        (&alice, vec!["run", "demo::greet", "-I", N1], "expects a value for parameter 'name'"),
        (&bob, vec!["describe", "demo::greet"], forbidden),
        (&bob, greet.to_vec(), forbidden),
    ] {
        let ran = caller.run(&[&["tasks"], &words[..]].concat()).code(1).silent().complains(&[complaint]);
        assert_eq!(ran.stderr.trim().lines().count(), 1, "{ran:?}");
    }
    // a stranger's certificate is worth nothing here, and one's own nothing to a stranger
    let other = Network::start();
    let stranger = other.caller_with("alice.mcollective", &known(server.port));
    let ran = stranger.run(&["tasks", "list"]).code(1).silent();
    assert_eq!(ran.stderr.trim().lines().count(), 1, "{ran:?}");
    let port = server.port;
    drop(server);
    let ran = tasks(&["list"]).code(1).silent().complains(&[&format!("127.0.0.1:{port}")]);
    assert_eq!(ran.stderr.trim().lines().count(), 1, "{ran:?}");
}
