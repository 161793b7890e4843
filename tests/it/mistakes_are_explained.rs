//! What a person reads who typed something wrong: one line that names it.

use std::net::TcpListener;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::network::{Network, node};
use crate::process::{program, run};

#[test]
fn words_that_cannot_be_meant_are_refused_before_anything_is_sent() {
    // Nobody listens: whoever got as far as connecting would say so.
    let network = Network::without_broker();
    let alice = network.alice();
    for (words, texts) in [
        (&["frobnicate"][..], &["unknown command 'frobnicate'", "--help"][..]),
        (&["tool", "frobnicate"], &["unknown command 'frobnicate'"]),
        (&["ping", "--frob"], &["unknown flag '--frob'", "choria ping --help"]),
        (&["ping", "-Z"], &["unknown flag '-Z'"]),
        (&["ping", "--silent=yes"], &["'--silent' is a switch"]),
        (&["rpc"], &["agent"]),
        (&["rpc", "rpcutil"], &["action"]),
        (&["rpc", "rpcutil", "explode"], &["unknown action rpcutil#explode", "get_fact"]),
        (&["rpc", "rpcutil", "ping", "nonsense"], &["'nonsense'", "key=value"]),
        (&["rpc", "rpcutil", "get_fact"], &["invalid input", "fact"]),
        (&["rpc", "rpcutil", "get_fact", "fcat=x"], &["'fcat' has not been declared, did you mean fact?"]),
        (&["rpc", "rpcutil", "get_fact", "zebra=x"], &["'zebra' has not been declared, get_fact takes fact"]),
        (&["rpc", "rpcutil"], &["name an agent and an action of it", "choria doc rpcutil lists them"]),
        (&["pingg"], &["unknown command 'pingg', did you mean ping? See 'choria --help'"]),
        (&["ping", "--timeout", "0"], &["choria: --timeout 0 is no time"]),
        (&["completion", "zhs"], &["no completion for 'zhs', did you mean zsh?"]),
        (&["completion", "zsh", "more"], &["cannot use 'zsh' here"]),
        (&["completion", "zsh", "--fish"], &["cannot use 'zsh' here"]),
        (&["rpc", "rpcutil", "get_fact", "fact="], &["invalid input", "fact"]),
        (&["ping", "-I", ""], &["-I: "]),
        (&["ping", "-C", ""], &["-C: "]),
        (&["ping", "-A", ""], &["-A: "]),
        (&["ping", "-F", ""], &["-F: "]),
        (&["ping", "-F", "country"], &["-F: ", "country"]),
        (&["ping", "-W", ""], &["-W: "]),
        (&["ping", "-I", "/[/"], &["'/[/'", "not a valid regular expression"]),
        (&["ping", "-C", "/(/"], &["'/(/'", "not a valid regular expression"]),
        (&["ping", "-F", "country=~["], &["'['", "not a valid regular expression"]),
        (&["ping", "-S", "with('apache') &&"], &["-S: "]),
        (&["ping", "-S", ""], &["-S: "]),
        (&["find", "-S", "1 + 1"], &["-S: "]),
        (&["ping", "--expect", "0"], &["--expect 0"]),
        (&["ping", "--expect", "many"], &["many"]),
        (&["rpc", "rpcutil", "ping", "--limit", "some"], &["limit 'some'", "10%"]),
        (&["rpc", "rpcutil", "ping", "--limit", "0"], &["no targets left"]),
        (&["rpc", "rpcutil", "ping", "--batch", "0"], &["--batch 0"]),
        (&["rpc", "rpcutil", "ping", "--batch-sleep", "1"], &["--batch-sleep needs --batch"]),
        (&["rpc", "rpcutil", "ping", "--display", "loud"], &["--display", "loud"]),
        (&["inventory"], &["please specify a node"]),
        (&["tool", "event", "--type", "party"], &["--type", "party", "startup"]),
        (&["tool", "config", "no.such.key"], &["no configuration key matches 'no.such.key'"]),
    ] {
        let ran = alice.run(words).code(1).silent().complains(texts);
        assert!(ran.stderr.starts_with("choria: "), "{ran:?}");
        assert!(!ran.stderr.contains("connect"), "{ran:?}");
        assert!(ran.stderr.lines().count() <= 3 && !ran.stderr.contains("panicked"), "{ran:?}");
    }
    // Somebody might know the agent, but nobody can be asked.
    let alice = network.caller_with("alice.mcollective", "plugin.choria.network.connect_limit = 1s\n");
    let ran = alice.run(&["rpc", "nosuch", "ping"]).code(1).silent();
    ran.complains(&["the interface of nosuch was asked for: ", "could not resolve nosuch DDL"]);
}

#[test]
fn inputs_of_another_type_are_refused_before_anything_is_sent() {
    let network = Network::without_broker();
    let input = |kind: &str| {
        json!({"prompt": "it", "description": "it", "type": kind, "optional": true,
            "validation": ".", "maxlength": 5, "list": ["on", "off"]})
    };
    let inputs: serde_json::Map<_, _> = ["integer", "float", "number", "boolean", "string", "list"]
        .map(|kind| (kind.to_owned(), input(kind)))
        .into_iter()
        .collect();
    let ddl = json!({
        "metadata": {"name": "typed", "description": "it", "author": "it", "license": "it", "version": "1.0.0",
            "url": "https://example.net", "timeout": 2},
        "actions": [{"action": "go", "description": "it", "display": "always", "input": inputs, "output": {}}],
    });
    network.file("lib/mcollective/agent/typed.json", &ddl.to_string());
    let lines = format!("libdir = {}\n", network.path("lib").display());
    let alice = network.caller_with("alice.mcollective", &lines);
    for (input, kind) in [
        ("integer=many", "integer"),
        ("integer=1.5", "integer"),
        ("float=a", "float"),
        ("number=a", "number"),
        ("boolean=maybe", "boolean"),
        ("string=much too long", "5"),
        ("list=none", "on"),
    ] {
        let name = input.split('=').next().expect("a name");
        let ran = alice.run(&["rpc", "typed", "go", input]).code(1).silent();
        let ran = ran.complains(&["choria: invalid input", name, kind]);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn choices_the_network_does_not_have_are_refused() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1")]);
    let alice = network.alice();
    for (words, texts) in [
        (&["ping", "-T", "mars"][..], &["'mars'", "mcollective"][..]),
        (&["find", "--dm", "guess"], &["unsupported discovery method 'guess'"]),
        (&["find", "--dm", "flatfile"], &["--nodes FILE"]),
        (&["find", "--dm", "inventory"], &["inventory"]),
        (&["find", "--discovery-timeout", "0"], &["--discovery-timeout 0"]),
        (&["rpc", "rpcutil", "ping", "-o", "/no/such/dir/x"], &["cannot write /no/such/dir/x"]),
    ] {
        let ran = alice.run(words).code(1).silent().complains(texts);
        assert!(!ran.stderr.contains(".choria-"), "nobody knows a temporary file: {ran:?}");
    }
    let careful = network.caller_with("careful.mcollective", "plugin.choria.require_client_filter = 1\n");
    careful.run(&["ping"]).code(1).silent().complains(&["require_client_filter", "-F"]);
    assert_eq!(careful.run(&["ping", "--names", "-I", "/n1/"]).fine().sorted(), ["n1.example.net"]);
    let hasty = network.caller_with("hasty.mcollective", "ttl = 5\n");
    hasty.run(&["rpc", "rpcutil", "ping"]).code(1).silent().complains(&["ttl is 5 seconds", "30"]);
}

#[test]
fn an_unreachable_broker_is_named() {
    let network = Network::without_broker();
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let lines = format!(
        "plugin.choria.middleware_hosts = {address}\nplugin.choria.network.connect_limit = 1s\nlogfile = discard\n"
    );
    let ran = network.caller_with("alice.mcollective", &lines).run(&["ping"]).code(1).silent();
    let ran = ran.complains(&["cannot connect to a broker", &format!("nats://{address}"), "refused"]);
    // At once, and at the end of the configured time.
    let ran = ran.complains(&["cannot connect yet, trying for 1s: nats://", "is it running there"]);
    assert_eq!(ran.stderr.lines().count(), 2, "{ran:?}");

    let bad = network.caller_with("bob.mcollective", "plugin.choria.middleware_hosts = broker1\n");
    bad.run(&["ping"]).code(1).silent().complains(&["'broker1' has no port", "host:port"]);
}

#[test]
fn a_name_that_is_no_command_is_named() {
    let network = Network::without_broker();
    let renamed = network.path("choria-0.2");
    symlink(env!("CARGO_BIN_EXE_choria"), &renamed).expect("a link");
    let ran = run(network.alice().command_by(&renamed, &["ping"]), None).code(1).silent();
    ran.complains(&["this program is called 'choria-0.2'", "no command '0.2'", "call it choria"]);
}

#[test]
fn files_that_are_missing_are_named() {
    let network = Network::without_broker();
    let home = network.path("");
    let choria = |words: &[&str]| {
        let mut command = program(&home);
        command.args(words).env("USER", "tester");
        run(command, None)
    };
    choria(&["ping"]).code(1).silent().complains(&["choria: ", ".choriarc", "/etc/choria/client.conf"]);
    choria(&["ping", "--config", "/no/such.conf"]).code(1).silent().complains(&["/no/such.conf"]);
    choria(&["server", "run"])
        .code(1)
        .silent()
        .complains(&["/etc/choria/server.conf", "--config FILE names another"]);
    choria(&["broker", "run"])
        .code(1)
        .silent()
        .complains(&["/etc/choria/broker.conf", "--config FILE names another"]);
    choria(&["tool", "status", "--status-file", "/no/such.json"]).code(1).says(&["/no/such.json"]);

    let alice = network.alice();
    std::fs::remove_file(network.path("ssl/alice.mcollective-key.pem")).expect("a key");
    let ran = alice.run(&["ping"]).code(1).silent();
    let line = fs_line(&alice.config, "plugin.security.file.key");
    ran.complains(&[
        "there is no private key ",
        "alice.mcollective-key.pem, as plugin.security.file.key says (",
        &format!("alice.mcollective.conf:{line}): 'choria setup operator' makes one"),
    ]);
    // As somebody whose file hides the one that was set up.
    let own = network.file("own.conf", "libdir = /somewhere\nplugin.choria.ssldir = /no/such/ssl\n");
    choria(&["ping", "--config", &own.display().to_string()]).code(1).silent().complains(&[
        "/no/such/ssl/certs/tester.mcollective.pem",
        "own.conf:2",
        "choria setup operator",
    ]);
    let config =
        network.file("b/server.conf", &format!("identity = n9.example.net\n{}", network.security("n9")));
    choria(&["server", "run", "--config", &config.display().to_string()]).code(1).complains(&[
        "there is no certificate",
        "server.conf:4",
        "'sudo choria setup node' makes one",
    ]);
    // A call that can never come.
    let call = ["policy", "check", "--caller", "bob", "--agent", "rpcutil", "--action", "pign", "--config"];
    choria(&[&call[..], &[&config.display().to_string()]].concat()).complains(&[
        "no node takes a request of bob",
        "did you mean bob.mcollective?",
        "rpcutil has no action pign, did you mean ping?",
    ]);
}

/// The number of the line that sets a key.
fn fs_line(file: &std::path::Path, key: &str) -> usize {
    let text = std::fs::read_to_string(file).expect("a file");
    1 + text.lines().position(|line| line.starts_with(key)).expect("a line")
}

#[test]
fn a_completion_script_is_of_the_shell_that_is_named() {
    let network = Network::without_broker();
    let alice = network.alice();
    for shell in ["zsh", "bash", "fish"] {
        let script = alice.run(&["completion", shell]).fine().stdout;
        assert_eq!(script, alice.run(&["completion", &format!("--{shell}")]).fine().stdout);
        assert!(script.contains(shell), "{script}");
    }
}

/// No node has it: that is what is said, and how to see it.
#[test]
fn an_agent_that_no_node_has_is_the_first_thing_to_think_of() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1")]);
    let alice = network.alice();
    alice.run(&["shell", "run", "id", "-F", "country=mt"]).code(1).silent().complains(&[
        "did not discover any nodes: no node that is meant has the agent shell",
        "plugin.shell.activate_agent = true",
        "choria find -A shell",
    ]);
}
