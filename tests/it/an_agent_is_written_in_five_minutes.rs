//! From nothing to a reply: what `choria plugin` leaves works, and what the README says
//! of it is what is run here.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::network::{Network, Node, node};
use crate::process::{Ran, program, run};
use crate::shelf::Shelf;

const N1: &str = "n1.example.net";
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

fn choria(dir: &Path, words: &[&str]) -> Ran {
    let mut command = program(dir);
    command.env("PATH", PATH).env("USER", "alice").args(words);
    run(command, None)
}

fn answered(dir: &Path, words: &[&str], input: &str) -> Ran {
    let mut command = program(dir);
    command.env("PATH", PATH).args(words);
    run(command, Some(input))
}

/// A node whose agents find the programs of this machine.
fn node_with(network: &Network, shelf: &Shelf) -> Node {
    let mut node = network.node(node("n1").lines(&shelf.lines()));
    node.start_with(&[("PATH", PATH.to_owned())]);
    node.connected();
    network.answered_by(&[N1]);
    node
}

#[test]
fn the_readme_leads_to_a_reply() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a file");
    let section = text.split("\n## Write your own agent\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let commands: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(commands.len() >= 6, "{commands:?}");

    let network = Network::start();
    let shelf = Shelf::of(&network, "n1.example.net/plugins");
    let node = node_with(&network, &shelf);
    let alice = network.alice();
    let bin = Path::new(env!("CARGO_BIN_EXE_choria")).parent().expect("a directory").display().to_string();
    for line in commands {
        // Of this machine only what is the node's is changed, and who calls is alice.
        let line = line.replace("/etc/choria", &node.dir.display().to_string());
        let line = line.replace("sudo ", "").replace("$USER", "alice");
        let mut command = Command::new("/bin/sh");
        command.args(["-euc", &line]).env_clear().current_dir(network.path(""));
        command.env("PATH", format!("{bin}:{PATH}")).env("HOME", network.path("")).env("USER", "alice");
        command.env("MCOLLECTIVE_CERTNAME", &alice.name);
        command.env("XDG_CONFIG_HOME", network.path("xdg"));
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        if line.starts_with("choria rpc") {
            node.log().says(&["hosting an agent from disk", "agent=hello"]);
            fs::copy(&alice.config, network.path(".choriarc")).expect("a file");
        }
        let ran = run(command, None).code(0);
        if line.starts_with("choria rpc") {
            ran.says(&["Hello Ada", N1]);
        }
    }
}

/// Each language, the classic way and as a program that stays up.
#[test]
fn what_is_made_works_in_every_language() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let node = node_with(&network, &shelf);
    let alice = network.alice();
    let at = network.path("made");
    fs::create_dir(&at).expect("a directory");
    for language in ["python", "shell", "ruby", "rust"] {
        let name = format!("greeter_{language}");
        choria(&at, &["plugin", "new", &name, "--language", language]).fine().says(&["Try it:"]);
        let dir = at.join(&name);
        if language == "rust" {
            build(&dir, &name);
        }
        let ran = choria(&at, &["plugin", "test", &name]).code(0);
        ran.says(&["ok      1. greet", "3 of 3 cases are as they should be"]);
        let reply = choria(&at, &["plugin", "test", &name, "greet", "name=Ada"]).code(0).json();
        assert_eq!(reply["data"], json!({"greeting": "Hello Ada", "from": name}));
        choria(&at, &["plugin", "test", &name, "greet", "name=a;b"]).code(1).complains(&["does not match"]);
        let policy = fs::read_to_string(dir.join(format!("policies/{name}.policy"))).expect("a file");
        assert!(
            policy.contains("policy default deny\n")
                && policy.contains("allow\tchoria=alice.mcollective\tgreet\t")
        );
        let policies = node.dir.join("policies");
        fs::copy(dir.join(format!("policies/{name}.policy")), policies.join(format!("{name}.policy")))
            .expect("a file");
        let made = dir.join("mcollective/agent");
        let interface = fs::read_to_string(made.join(format!("{name}.json"))).expect("a file");
        fs::copy(made.join(&name), shelf.path(&name)).expect("a file");
        shelf.put(&format!("{name}.json"), &interface);
        node.log().says(&["hosting an agent from disk", &format!("agent={name}")]);
        let ask = || {
            let reply = alice.run(&["rpc", &name, "greet", "name=Bob", "-I", N1, "--json"]).code(0).json();
            assert_eq!(reply["replies"][0]["data"]["greeting"], "Hello Bob", "{language}");
        };
        ask();
        if language == "shell" {
            continue;
        }
        let mark = node.log().mark();
        let interface = interface
            .replace("\"provider\": \"external\"", "\"provider\": \"external\", \"persistent\": true");
        shelf.put(&format!("{name}.json"), &interface);
        node.log().says_after(mark, &["from disk, replaced", &format!("agent={name}")]);
        ask();
        ask();
    }
    choria(&at, &["plugin", "new", "greeter_ruby", "--language", "ruby"])
        .code(1)
        .complains(&["is there already"]);
    for bad in ["../up", "Up", "1st", "a-b", "", "rpcutil"] {
        choria(&at, &["plugin", "new", "--language", "shell", "--", bad]).code(1).silent();
    }
    choria(&at, &["plugin", "new", "x", "--language", "cobol"])
        .code(1)
        .complains(&["python, shell, ruby or rust"]);
    assert_eq!(fs::read_dir(&at).expect("a directory").count(), 4);
}

/// By the packages that built this program.
fn build(dir: &Path, name: &str) {
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"), dir.join("Cargo.lock")).expect("a file");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--offline", "--target-dir"]).arg(dir.join("target")).current_dir(dir);
    let output = cargo.output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::copy(dir.join("target/debug").join(name), dir.join("mcollective/agent").join(name)).expect("a file");
}

#[test]
fn a_case_that_fails_is_told() {
    let network = Network::without_broker();
    let at = network.path("");
    choria(&at, &["plugin", "new", "hello", "--language", "shell"]).fine();
    let cases = json!([
        {"action": "greet", "input": {"name": "Ada"}, "expect": {"data": {"greeting": "Good morning Ada"}}},
        {"action": "greet", "input": {}, "expect": {"statuscode": 0}},
        {"action": "leave", "expect": {"statuscode": 2}},
    ]);
    let file = network.file("cases.json", &cases.to_string()).display().to_string();
    let ran = choria(&at, &["plugin", "test", "hello", "--cases", &file]).code(2);
    ran.says(&[
        "FAILED  1. greet {\"name\":\"Ada\"}: data.greeting is \"Hello Ada\", not \"Good morning Ada\"",
        "ok      3. leave",
        "2 of 3 cases are as they should be",
    ]);
    network.file("cases.json", "[{\"acton\": 1}]");
    choria(&at, &["plugin", "test", "hello", "--cases", &file]).code(1).complains(&["unknown field `acton`"]);
    choria(&at, &["plugin", "test", "hello", "gret"]).code(1).complains(&["did you mean greet?"]);
    // What a node would not run does not run here.
    fs::write(network.path("hello/mcollective/agent/hello"), "#!/bin/sh\necho no such disk >&2\nexit 5\n")
        .expect("a file");
    choria(&at, &["plugin", "test", "hello", "greet"])
        .code(1)
        .complains(&["exit status 5; it said: no such disk"]);
    fs::remove_file(network.path("hello/mcollective/agent/hello")).expect("a file");
    choria(&at, &["plugin", "test", "hello", "greet"])
        .code(1)
        .complains(&["the program of the agent is missing"]);
}

#[test]
fn interfaces_are_made_of_flags_and_of_answers() {
    let network = Network::without_broker();
    let at = network.path("");
    let flags = [
        "plugin",
        "generate",
        "ddl",
        "demo.json",
        "--name",
        "demo",
        "--description",
        "A demo",
        "--timeout",
        "5",
        "--action",
        "go:Goes somewhere",
        "--action",
        "stop",
        "--input",
        "go.where:string:required:20:^[a-z:]+$",
        "--input",
        "go.how:list:optional:fast,slow",
        "--input",
        "go.often:integer:optional",
        "--output",
        "go.arrived:boolean:Whether it did",
    ];
    choria(&at, &flags).fine().says(&["demo.json"]);
    let read = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(network.path(name)).expect("a file")).expect("JSON")
    };
    let made = read("demo.json");
    assert_eq!(made["$schema"], "https://choria.io/schemas/mcorpc/ddl/v1/agent.json");
    let go = &made["actions"][0];
    assert_eq!(
        (&go["input"]["where"]["validation"], &go["input"]["where"]["maxlength"]),
        (&json!("^[a-z:]+$"), &json!(20))
    );
    assert_eq!(go["input"]["how"]["list"], json!(["fast", "slow"]));
    assert_eq!(go["output"]["arrived"]["description"], "Whether it did");
    choria(&at, &flags).code(1).complains(&["is there already"]);
    for (words, problem) in [
        (&["--name", "Demo"][..], "is no name"),
        (&["--name", "d", "--timeout", "1"], "too short"),
        (&["--name", "d", "--agent-version", "one"], "is no version"),
        (&["--name", "d", "--input", "go.x:string"], "there is no --action go"),
        (&["--name", "d", "--action", "go", "--input", "go.x:text"], "is no kind"),
        (&["--name", "d", "--action", "go", "--input", "go.x:list"], "needs its choices"),
        (&["--name", "d", "--provider", "perl"], "is no provider"),
    ] {
        choria(&at, &[&["plugin", "generate", "ddl"], words].concat()).code(1).silent().complains(&[problem]);
    }
    // The same by answers, some of them bad at first.
    let answers = "Demo\ndemo\nA demo\n\n\none\n1.2.3\n\n1\n5\n\ngo\nGoes somewhere\n\nwhere\n\nstring\nno\n20\n^[a-z:]+$\n\
                   how\n\nlist\nyes\nfast,slow\n\narrived\nWhether it did\nboolean\n\n\n";
    let ran = answered(&at, &["plugin", "generate", "ddl", "asked.json"], answers).code(0);
    ran.complains(&["Name of the agent:", "'Demo' is no name", "'one' is no version"]);
    let asked = read("asked.json");
    assert_eq!(asked["metadata"]["version"], "1.2.3");
    let mut expected = go.clone();
    expected["input"].as_object_mut().expect("inputs").remove("often");
    assert_eq!(asked["actions"], json!([expected]));
    answered(&at, &["plugin", "generate", "ddl", "more.json"], "demo\n")
        .code(1)
        .complains(&["not answered to the end"]);
    // For Ruby clients, and read by Ruby.
    let ruby = choria(&at, &["plugin", "generate", "ddl", "--convert", "demo.json", "demo.ddl"]).fine();
    ruby.says(&["demo.ddl"]);
    let check = "require 'mcollective'; ddl = MCollective::DDL::AgentDDL.new('demo', :agent, false); \
                 ddl.instance_eval(File.read('demo.ddl')); i = ddl.action_interface('go')[:input]; \
                 puts i[:where][:validation], i[:how][:list].inspect, ddl.meta[:timeout]";
    let output = Command::new("ruby").args(["-e", check]).current_dir(&at).output().expect("ruby");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "^[a-z:]+$\n[\"fast\", \"slow\"]\n5\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn clients_are_made_of_interfaces() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let _node = node_with(&network, &shelf);
    let at = network.path("");
    let alice = network.alice();
    // In Python: made, imported and run.
    choria(
        &at,
        &["plugin", "generate", "client", "rpcutil", "--language", "python", "-o", "rpcutil_client.py"],
    )
    .fine();
    let script = format!(
        "from rpcutil_client import Rpcutil, RequestFailed\n\
         client = Rpcutil(select=['-I', '{N1}'], program='{}', config='{}')\n\
         replies = client.get_fact(fact='country')\n\
         print(replies[0].sender, replies[0].ok, replies[0].data['fact'], client.silent)\n\
         try:\n    Rpcutil(program='{}', config='/nonexistent').ping()\nexcept RequestFailed as e:\n    print('failed')\n",
        env!("CARGO_BIN_EXE_choria"),
        alice.config.display(),
        env!("CARGO_BIN_EXE_choria"),
    );
    let mut python = Command::new("python3");
    python.args(["-c", &script]).current_dir(&at).env("MCOLLECTIVE_CERTNAME", &alice.name);
    let output = python.output().expect("python3");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        text,
        format!("{N1} True country []\nfailed\n"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // In Rust: a module of this library's users, which is compiled with it.
    let ran = choria(&at, &["plugin", "generate", "client", "rpcutil", "--language", "rust"]).fine();
    let checked_in = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/rpcutil_client/rpcutil.rs");
    let example = fs::read_to_string(checked_in).expect("a file");
    assert_eq!(squeezed(&example), squeezed(&ran.stdout), "make examples/rpcutil_client/rpcutil.rs again");
    // Words that are none are not written.
    let bad = json!({"metadata": {"name": "demo", "timeout": 5}, "actions": [{"action": "a; import os"}]});
    network.file("bad.json", &bad.to_string());
    let ran = choria(&at, &["plugin", "generate", "client", "./bad.json", "--language", "python"]).code(1);
    ran.silent().complains(&["cannot be a word of a program"]);
}

/// Without what formatting changes.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != ',').collect()
}
