//! Words, names and lists that cannot be meant are told before anything is
//! sent; those that are only written otherwise are read.

use serde_json::json;

use crate::network::{Network, node};
use crate::process::{program, run};

#[test]
fn names_that_are_none_are_refused_by_flag_and_value() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let alice = network.alice();
    for (identity, texts) in [
        ("pql:nodes { }", &["-I pql:nodes { }", "not found by pql"][..]),
        ("group:web", &["group of an inventory file", "--dm inventory"]),
        (
            "n1.example.net,n2.example.net",
            &["-I n1.example.net,n2.example.net", "-I once for each", "--nodes"],
        ),
        ("n*", &["-I n* is not a pattern", "-I '/^n.*$/'"]),
        ("n1\nidentity = n2", &["-I n1", "no node is called so"]),
        ("", &["-I"]),
    ] {
        for command in [&["rpc", "rpcutil", "ping"][..], &["ping"], &["find"], &["facts", "x"]] {
            if identity.starts_with("group:") && command == ["ping"] {
                continue;
            }
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
fn what_may_have_been_meant_is_said() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1").policy("rpcutil", "policy default allow\n")]);
    let alice = network.alice();
    let asked =
        alice.run(&["rpc", "rpcutil", "get_fact", "fact=x", "--filter-replies", "data('vlaue.y') == 1"]);
    asked.complains(&["--filter-replies: rpcutil#get_fact declares no output vlaue, did you mean value?"]);
    let staged = ["--stages", "1,100%", "--check", "rpcutil.ping if data('pongg') > 1"];
    let asked = alice.run(&[&["rpc", "rpcutil", "ping"][..], &staged].concat());
    asked.complains(&["--check: rpcutil#ping declares no output pongg, did you mean pong?"]);
    alice.run(&["rpc", "choria_registry", "names"]).complains(&[
        "nobody answers for the service choria_registry",
        "plugin.choria.services.registry.store",
    ]);
    for (words, meant) in [
        (&["ping", "n1.example.net"][..], "a node is -I n1.example.net"),
        (&["find", "apache"], "a node is -I apache, the nodes with a class -C apache"),
        (&["facts", "x", "os=Debian"], "the nodes with a fact are -F 'os=Debian'"),
        (&["find", "-S", "fact('x') = 4"], "unexpected =, what is equal is compared by =="),
    ] {
        alice.run(words).code(1).silent().complains(&[meant]);
    }
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
    // The name is in the certificate, whatever the variables of cron or of sudo say.
    for (name, value) in [("LOGNAME", "alice"), ("USER", "mallory")] {
        let mut command = network.alice().command(&["rpc", "rpcutil", "ping", "--senders"]);
        command.env_remove("MCOLLECTIVE_CERTNAME").env_remove("USER").env(name, value);
        assert_eq!(run(command, None).fine().stdout, "n1.example.net\n");
    }
    let mut command = network.alice().command(&["rpc", "rpcutil", "ping"]);
    command.env("MCOLLECTIVE_CERTNAME", "mallory.mcollective");
    run(command, None).code(1).complains(&["mallory.mcollective", "MCOLLECTIVE_CERTNAME"]);
}

#[test]
fn an_agent_a_node_does_not_have_is_said_at_once() {
    let network = Network::start();
    let ddl = r#"{"metadata":{"name":"demo","description":"d","author":"a","license":"l","version":"1.0.0",
        "url":"u","timeout":300},"actions":[{"action":"go","display":"always","description":"d","input":{},
        "output":{}}]}"#;
    network.file("lib/mcollective/agent/demo.json", ddl);
    let lib = format!("libdir = {}\n", network.path("lib").display());
    let nodes = network.nodes([node("n1").lines(&lib), node("n2")]);
    // What is there and cannot run is named.
    nodes[0].log().says(&["warning", "in a library directory and do not run", "agents=demo"]);
    let alice = network.caller_with("alice.mcollective", &lib);
    let ran = alice.run(&["rpc", "demo", "go", "-I", "n1.example.net", "-I", "n2.example.net"]).code(2);
    ran.says(&["Unknown agent demo, this node does not have it", "Finished processing 2 / 2 hosts"]);
    nodes[1].log().says(&["not run: Unknown agent demo", "caller=choria=alice.mcollective"]);
    // A question to all is for those that have it.
    alice.run(&["rpc", "demo", "go"]).code(1).complains(&["did not discover any nodes"]);
}

#[test]
fn a_ping_asks_who_is_named_or_says_that_it_does_not() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1"), node("n2")]);
    let alice = network.alice();
    let list = network.file("list.txt", "n2.example.net\ngone.example.net\n");
    let named = ["ping", "--names", "--nodes", list.to_str().expect("text")];
    let ran = alice.run(&named).code(4).complains(&["choria: no answer of gone.example.net"]);
    assert_eq!(ran.stdout, "n2.example.net\n");
    let ran = alice.run_with_input(&["ping", "--names", "--nodes", "-"], "n1.example.net\n").fine();
    assert_eq!(ran.stdout, "n1.example.net\n");
    alice.run(&["ping", "--dm", "flatfile"]).code(1).silent().complains(&["--dm flatfile", "--nodes"]);
}

#[test]
fn standard_input_is_the_loops_where_nodes_are_named() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1"), node("n2")]);
    let alice = network.alice();
    // As in `while read`: what is left of the list stands there.
    let words = ["rpc", "rpcutil", "ping", "--senders", "-I", "n1.example.net"];
    assert_eq!(alice.run_with_input(&words, "n2.example.net\n").fine().stdout, "n1.example.net\n");
    // A pipe that somebody holds open and writes nothing to.
    let mut command = alice.command(&words);
    command.stdin(std::process::Stdio::piped());
    let mut child = command.spawn().expect("the program");
    let held = child.stdin.take();
    let output = child.wait_with_output().expect("an end");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n1.example.net\n");
    drop(held);
}

const SCHEMA: &str = "https://choria.io/schemas/mcorpc/ddl/v1/agent.json";

#[test]
fn what_there_is_can_be_found_by_asking() {
    let network = Network::start();
    let nodes = network.nodes([node("n1"), node("n2"), node("n3")]);
    let alice = network.alice();
    for words in [&["doc"][..], &["plugin", "doc"]] {
        alice.run(words).fine().says(&["  rpcutil ", "choria_util"]);
    }
    for words in [&["doc", "rpcutil"][..], &["plugin", "doc", "rpcutil"], &["rpc", "rpcutil", "--help"]] {
        alice.run(words).fine().says(&["Actions, see choria doc rpcutil ACTION", "  get_fact "]);
    }
    for words in [
        &["doc", "rpcutil", "get_fact"][..],
        &["rpc", "rpcutil", "get_fact", "--help"],
        &["req", "rpcutil", "get_fact", "fact=x", "-h"],
    ] {
        alice.run(words).fine().says(&[
            "choria rpc rpcutil get_fact fact=STRING",
            "Inputs:",
            "required",
            "Outputs:",
        ]);
    }
    let interface = alice.run(&["plugin", "doc", "rpcutil", "--json"]).fine().json();
    assert_eq!((&interface["metadata"]["name"], &interface["$schema"]), (&json!("rpcutil"), &json!(SCHEMA)));
    let action = alice.run(&["doc", "rpcutil", "get_fact", "-j"]).fine().json();
    assert_eq!(action["action"], "get_fact");
    let all = alice.run(&["doc", "--json"]).fine().json();
    let kinds = |kind: &str| all.as_array().unwrap().iter().filter(|one| one["kind"] == kind).count();
    assert!(kinds("agent") > 8 && kinds("data") == 5, "{all}");
    alice.run(&["doc", "rpcutil", "--markdown"]).fine().says(&[
        "# rpcutil agent\n",
        "\n### get\\_fact\n",
        "    choria rpc rpcutil get_fact fact=STRING\n",
        "| `value` |",
    ]);
    alice.run(&["doc", "scout"]).fine().says(&["Actions, see"]);
    alice.run(&["doc", "data/scout"]).fine().says(&["-S \"scout('CHECK').OUTPUT", "  history "]);
    alice.run(&["doc", "config_item", "-m"]).fine().says(&["# config\\_item data plugin"]);
    assert_eq!(alice.run(&["doc", "data/choria", "-j"]).fine().json()["query"], json!(null));
    for (words, text) in [
        (&["doc", "data/socut"][..], "did you mean scout?"),
        (&["doc", "data/scout", "go"], "is a data plugin and has no action go"),
        (&["doc", "-m"], "--markdown makes a page of one agent"),
        (&["doc", "rpcutil", "-m", "-j"], "cannot be used together"),
    ] {
        alice.run(words).code(1).silent().complains(&[text]);
    }
    alice.run(&["rpc", "--help"]).fine().says(&["--batch"]);
    assert_eq!(alice.run(&["version"]).fine().stdout, alice.run(&["--version"]).fine().stdout);
    for (words, text) in [
        (&["pnig"][..], "did you mean ping?"),
        (&["rpc", "rpcutli", "ping"], "did you mean rpcutil?"),
        (&["rpc", "rpcutil", "pign"], "did you mean ping?"),
        (&["ping", "--tiemout", "1"], "did you mean --timeout?"),
        (&["doc", "rpcutil", "get_fcat"], "did you mean get_fact?"),
        (&["find", "-S", "wtih('x')"], "did you mean with,"),
    ] {
        alice.run(words).code(1).silent().complains(&[text]);
    }
    assert_eq!(alice.run(&["find", "--limit", "2"]).fine().stdout.lines().count(), 2);
    assert_eq!(alice.run(&["find", "--limit", "34%"]).fine().stdout.lines().count(), 2);
    assert_eq!(alice.run(&["find", "--limit", "1%"]).fine().stdout.lines().count(), 1);
    alice.run(&["find", "--limit", "x"]).code(1).silent().complains(&["limit 'x'"]);
    alice.run(&["rpc", "rpcutil", "ping", "--timeout", "0"]).code(1).silent().complains(&["--timeout 0"]);
    let begun = std::time::Instant::now();
    nodes[0].log().signal(rustix::process::Signal::STOP);
    let slow = network.caller_with("alice.mcollective", "discovery_timeout = 600\n");
    slow.run(&["rpc", "rpcutil", "ping", "--timeout", "0.5", "-I", "n1.example.net"]).code(3);
    assert!(begun.elapsed() < crate::process::PATIENCE / 2, "{:?}", begun.elapsed());
    nodes[0].log().signal(rustix::process::Signal::CONT);
}

#[test]
fn a_token_can_be_looked_at() {
    let network = Network::without_broker();
    let home = network.path("");
    let file = |name: &str| network.path(name).to_str().expect("text").to_owned();
    let seed = network.file("seed", &"5a".repeat(32));
    let token = file("token");
    let mut command = program(&home);
    command.args(["jwt", "provisioning", &token, seed.to_str().expect("text"), "--token", "s3cret"]);
    command.args(["--urls", "broker.example.net:4222", "--password", "pa55"]);
    run(command, None).code(0);
    let mut command = program(&home);
    command.args(["jwt", "view", &token]);
    let ran = run(command, None).code(0).says(&["broker.example.net:4222", "*****"]);
    let ran = ran.complains(&["it is valid until 20", "its signature was not checked"]);
    assert!(!ran.stdout.contains("s3cret") && !ran.stdout.contains("pa55"), "{ran:?}");
    let list = network.file("none", "nothing");
    let mut command = program(&home);
    command.args(["jwt", "view", list.to_str().expect("text")]);
    run(command, None).code(1).silent().complains(&["is no token"]);
}
