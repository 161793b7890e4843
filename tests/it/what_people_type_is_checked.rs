//! Words, names and lists that cannot be meant are told before anything is
//! sent; those that are only written otherwise are read.

use crate::network::{Network, node};
use crate::process::{program, run};

#[test]
fn names_that_are_none_are_refused_by_flag_and_value() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let alice = network.alice();
    for (identity, texts) in [
        ("pql:nodes { }", &["-I pql:nodes { }", "not found by pql"][..]),
        (
            "n1.example.net,n2.example.net",
            &["-I n1.example.net,n2.example.net", "-I once for each", "--nodes"],
        ),
        ("n*", &["-I n* is not a pattern", "-I '/^n.*$/'"]),
        ("n1\nidentity = n2", &["-I n1", "no node is called so"]),
        ("", &["-I"]),
    ] {
        for command in [&["rpc", "rpcutil", "ping"][..], &["ping"], &["find"], &["facts", "x"]] {
            let ran = alice.run(&[command, &["-I", identity]].concat()).code(1).silent();
            ran.complains(texts);
        }
    }
    alice.run(&["ping", "-I", "/^n.*$/", "--names"]).fine().says(&["n1.example.net"]);
    for name in ["", "n1\nplugin.choria.server.provision = false", "a b", "*"] {
        let mut command = program(&network.path(""));
        command.args(["server", "run", "--config", "/nonexistent/server.conf", "--provisioning-token", "/x"]);
        command.args(["--identity", name]);
        let ran = run(command, None).code(1).silent();
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    assert!(nodes[0].audit().is_empty());
}

#[test]
fn expressions_with_names_nobody_knows_are_told() {
    let network = Network::start();
    let _nodes =
        network.nodes([node("n1").classes(&["base"]).facts(serde_json::json!({"os": {"name": "x"}}))]);
    let lib = network.path("lib");
    network.file("lib/mcollective/data/ours.json", "{}");
    let alice = network.caller_with("alice.mcollective", &format!("libdir = {}\n", lib.display()));
    for command in [&["rpc", "rpcutil", "ping"][..], &["ping"], &["find"], &["facts", "x"]] {
        for (expression, texts) in [
            (
                "with(base)",
                &["-S: base in with(base)", "write with('base')", "the shell takes the quotes"][..],
            ),
            ("os.name == \"Debian\"", &["-S: os.name is no name of the language", "fact(\"os.name\")"]),
            ("theirs('x').y == 1", &["-S: theirs is no function", "mcollective/data/NAME.json"]),
        ] {
            alice.run(&[command, &["-S", expression]].concat()).code(1).silent().complains(texts);
        }
    }
    alice.run(&["find", "-S", "with('base') && fact('os.name') == 'x'"]).fine().says(&["n1.example.net"]);
    // Of a data plugin whose interface is known here.
    alice.run(&["find", "-S", "ours('x').y == 1"]).fine().silent();
}

#[test]
fn lists_of_other_systems_are_read() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1"), node("n2")]);
    let alice = network.alice();
    let words = ["rpc", "rpcutil", "ping", "--senders", "--sort"];
    let both = "n1.example.net\nn2.example.net\n";
    let list = network.file("list.txt", "\u{feff}n1.example.net\r\n\r\nn2.example.net\r\n\r\n");
    let named = [&words[..], &["--nodes", list.to_str().expect("text")]].concat();
    assert_eq!(alice.run(&named).fine().stdout, both);
    let piped = [&words[..], &["--nodes", "-"]].concat();
    let input = "\u{feff}\r\nn1.example.net\r\n\r\nn2.example.net\r\n";
    assert_eq!(alice.run_with_input(&piped, input).fine().stdout, both);

    // One command's lines are the next one's nodes.
    let lines = alice.run(&["rpc", "rpcutil", "ping", "--jsonl", "-I", "n2.example.net"]).fine().stdout;
    assert_eq!(alice.run_with_input(&words, &lines).fine().stdout, "n2.example.net\n");
    assert_eq!(alice.run_with_input(&piped, &lines).fine().stdout, "n2.example.net\n");
    let cut = lines.lines().next().expect("a line");
    alice.run_with_input(&words, cut).code(1).silent().complains(&["did the command in front of it fail?"]);
    let failed = alice.run(&["rpc", "rpcutil", "ping", "--jsonl", "-F", "country=atlantis"]).code(1).stdout;
    alice.run_with_input(&words, &failed).code(1).silent().complains(&["the command in front of it failed"]);
}

#[test]
fn under_cron_a_caller_is_who_it_is() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1")]);
    if rustix::process::geteuid().is_root() {
        // The original calls root by its identity; what is said of names is to be had all the same.
        let mut command = network.alice().command(&["rpc", "rpcutil", "ping"]);
        command.env_remove("MCOLLECTIVE_CERTNAME").env_remove("USER").env("LOGNAME", "alice");
        run(command, None).code(1).complains(&["console.example.net", "from identity"]);
        return;
    }
    let mut command = network.alice().command(&["rpc", "rpcutil", "ping", "--senders"]);
    command.env_remove("MCOLLECTIVE_CERTNAME").env_remove("USER").env("LOGNAME", "alice");
    assert_eq!(run(command, None).fine().stdout, "n1.example.net\n");
    let mut command = network.alice().command(&["rpc", "rpcutil", "ping"]);
    command.env_remove("MCOLLECTIVE_CERTNAME").env("USER", "mallory").env("LOGNAME", "alice");
    run(command, None).code(1).complains(&["mallory.mcollective", "USER=mallory"]);
}
