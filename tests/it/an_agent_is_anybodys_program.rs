//! External agents: programs that come, change and go on disk.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::a_hostile_node_does_not_hurt_the_broker::field;
use crate::network::{Caller, Network, Node, node};
use crate::process::until;
use crate::shelf::{ACTIVATE, Shelf, action, ddl, left_behind, processes, text};

const N1: &str = "n1.example.net";

fn echo(version: &str) -> Value {
    let outputs = json!({"msg": {"description": "M", "display_as": "Message", "default": "nothing"},
        "version": {"description": "V", "display_as": "Version"}});
    ddl("demo", version, 10, json!([action("echo", json!({"msg": text(false)}), outputs)]))
}

fn echo_program(version: &str) -> String {
    format!(
        r#"{ACTIVATE}
        msg=$(sed 's/.*"msg":"\([^"]*\)".*/\1/' "$CHORIA_EXTERNAL_REQUEST")
        echo "{{\"data\":{{\"msg\":\"$msg\",\"version\":\"{version}\"}}}}" > "$CHORIA_EXTERNAL_REPLY""#
    )
}

fn agents(node: &Node, caller: &Caller) -> Vec<Value> {
    let words = ["rpc", "rpcutil", "agent_inventory", "-I", &node.name, "--json"];
    caller.run(&words).fine().json()["replies"][0]["data"]["agents"].as_array().expect("agents").clone()
}

#[test]
fn agents_come_change_and_go_while_the_node_runs() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let nodes = network.nodes([node("n1").lines(&shelf.lines()), node("n2")]);
    let known = Shelf::of(&network, "known");
    known.ddl(&echo("1.0.0"));
    let alice = network.caller_with("alice.mcollective", &known.libdir());
    let ask = || alice.run(&["rpc", "demo", "echo", "msg=hi", "-I", N1, "--json"]);
    let answers = |version: &str| {
        let reply = &ask().json()["replies"][0];
        (reply["data"] == json!({"msg": "hi", "version": version})).then_some(())
    };

    // A new one: first its program, then its interface, which is what makes it an agent.
    shelf.shell("demo", &echo_program("1"));
    let written = Instant::now();
    shelf.ddl(&echo("1.0.0"));
    nodes[0].log().says(&["hosting an agent from disk, new", "agent=demo", "version=1.0.0"]);
    assert!(written.elapsed() < Duration::from_secs(2), "{:?}", written.elapsed());
    until("the new agent to answer", || answers("1"));
    // Where it starts nobody else can have left a module of its language.
    let place =
        r#"; msg=$(stat -c '%a %U' .) ; test "$PWD" = "${CHORIA_EXTERNAL_REPLY%/*}" && msg="$msg own""#;
    shelf.shell("demo", &echo_program("1").replacen("\")\n", &format!("\"){place}\n"), 1));
    let user =
        String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    until("the place of the agent", || {
        (ask().json()["replies"][0]["data"]["msg"] == format!("700 {} own", user.trim())).then_some(())
    });
    // It is an agent like any other: found, described, audited.
    let found = alice.run(&["find", "-A", "demo"]).fine();
    assert_eq!(found.stdout, "n1.example.net\n");
    let of_demo = |a: &&Value| a["agent"] == "demo";
    let described = agents(&nodes[0], &alice);
    let described = described.iter().find(of_demo).expect("it is there");
    assert_eq!((&described["version"], &described["provider"]), (&json!("1.0.0"), &json!("external")));
    assert!(nodes[0].audit().iter().any(|line| line["agent"] == "demo" && line["action"] == "echo"));
    // A question to all reaches it by its own subject.
    alice.run(&["rpc", "demo", "echo", "msg=hi", "--senders"]).fine().says(&[N1]);

    // Another version, and a service now; what asks meanwhile gets one or the other.
    shelf.shell("demo", &echo_program("2"));
    let mark = nodes[0].log().mark();
    let written = Instant::now();
    shelf.ddl(&echo("2.0.0"));
    nodes[0].log().says_after(mark, &["from disk, replaced", "version=2.0.0"]);
    assert!(written.elapsed() < Duration::from_secs(2), "{:?}", written.elapsed());
    until("the changed agent to answer", || answers("2"));

    // Half an interface changes nothing.
    let whole = echo("3.0.0").to_string();
    shelf.put("demo.json", &whole[..whole.len() / 2]);
    nodes[0].log().says(&["warning", "demo.json is no agent for this node"]);
    answers("2").expect("it is still what it was");

    // Gone.
    let removed = Instant::now();
    let mark = nodes[0].log().mark();
    shelf.remove("demo.json");
    nodes[0].log().says_after(mark, &["the agent is gone from disk", "agent=demo"]);
    assert!(removed.elapsed() < Duration::from_secs(2), "{:?}", removed.elapsed());
    let ran = alice.run(&["rpc", "demo", "echo", "msg=hi", "-I", N1]).code(2);
    ran.says(&["Unknown agent demo, this node does not have it"]);
    alice.run(&["find", "-A", "demo"]).fine().silent();
    assert_eq!(left_behind(nodes[0].log().pid()), [] as [std::path::PathBuf; 0]);
}

/// Somebody had an agent called as one of ours: theirs answers, and ours again without it.
#[test]
fn an_agent_on_disk_takes_the_place_of_one_that_manages_machines() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let nodes = network.nodes([node("n1").lines(&shelf.lines())]);
    let alice = network.caller_with("alice.mcollective", &shelf.libdir());
    let list = |words: &[&str]| alice.run(&[&["rpc", "process"], words, &["-I", N1, "--json"]].concat());
    let ours = |ran: &crate::process::Ran| ran.json()["replies"][0]["data"]["pslist"].is_array();
    assert!(ours(&list(&["list", "pattern=choria"])));
    shelf.shell(
        "process",
        &format!("{ACTIVATE}\necho '{{\"data\":{{\"msg\":\"theirs\"}}}}' > $CHORIA_EXTERNAL_REPLY"),
    );
    let outputs = json!({"msg": {"description": "M", "display_as": "Message"}});
    shelf.ddl(&ddl("process", "9.0.0", 10, json!([action("count", json!({}), outputs)])));
    nodes[0].log().says(&["hosting an agent from disk, replaced", "agent=process"]);
    assert_eq!(list(&["count"]).fine().json()["replies"][0]["data"]["msg"], "theirs");
    // other names of ours are nobody else's
    shelf.ddl(&ddl("rpcutil", "9.0.0", 10, json!([action("count", json!({}), json!({}))])));
    nodes[0].log().says(&["'rpcutil' is a name of this program's own agents"]);
    shelf.remove("process.json");
    nodes[0].log().says(&["the agent is gone from disk", "agent=process"]);
    assert!(ours(&list(&["list", "pattern=choria"])));
}

#[test]
fn inputs_are_held_to_the_interface_before_the_program_runs() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let ran = network.path("ran");
    shelf.shell(
        "demo",
        &format!("{ACTIVATE}\necho ran >> {}\necho '{{}}' > $CHORIA_EXTERNAL_REPLY", ran.display()),
    );
    let inputs = json!({
        "word": text(false),
        "pattern": {"prompt": "P", "description": "D", "type": "string", "optional": true,
            "validation": "^[a-z]+$", "maxlength": 0},
        "named": {"prompt": "P", "description": "D", "type": "string", "optional": true,
            "validation": "service_name", "maxlength": 10},
        "number": {"prompt": "P", "description": "D", "type": "integer", "optional": true},
        "choice": {"prompt": "P", "description": "D", "type": "list", "optional": true, "list": ["a", "b"]},
    });
    let strict = ddl(
        "demo",
        "1.0.0",
        10,
        json!([action("go", inputs, json!({})), action("bare", json!({}), json!({}))]),
    );
    shelf.ddl(&strict);
    // A caller whose interface allows everything.
    let any = |kind: &str| {
        json!({"prompt": "P", "description": "D", "type": kind, "optional": true,
        "validation": "", "maxlength": 0})
    };
    let inputs = json!({"word": any("string"), "pattern": any("string"), "named": any("string"),
        "number": any("string"), "choice": any("string"), "other": any("string")});
    let lax = ddl(
        "demo",
        "1.0.0",
        10,
        json!([
            action("go", inputs.clone(), json!({})),
            action("bare", inputs, json!({})),
            action("more", json!({}), json!({}))
        ]),
    );
    let liar = Shelf::of(&network, "lax");
    liar.ddl(&lax);
    let nodes = network.nodes([node("n1").lines(&shelf.lines())]);
    nodes[0].log().says(&["hosting an agent from disk", "agent=demo"]);
    let alice = network.caller_with("alice.mcollective", &liar.libdir());
    let ask = |action: &str, words: &[&str]| {
        let ran = alice.run(&[&["rpc", "demo", action], words, &["-I", N1, "--json"]].concat());
        let reply = ran.json()["replies"][0].clone();
        (
            reply["statuscode"].as_i64().expect("a code"),
            reply["statusmsg"].as_str().expect("a text").to_owned(),
        )
    };
    for (words, problem) in [
        (&[][..], "Validation failed: input 'word' is required"),
        (&["word=a;b"], "may not contain ';'"),
        (&["word=$(reboot)"], "may not contain '$'"),
        (&["word=x", "pattern=A B"], "does not match"),
        (&["word=x", "named=12345678901"], "is longer than 10"),
        (&["word=x", "number=1"], "is not of type integer"),
        (&["word=x", "choice=c"], "should be one of a, b"),
        (&["word=x", "other=1"], "has not been declared"),
        (
            &["word=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"],
            "is longer",
        ),
    ] {
        let (code, message) = ask("go", words);
        assert!(
            code == 1 && message.starts_with("Validation failed: ") && message.contains(problem),
            "{message}"
        );
    }
    assert!(ask("bare", &["word=x"]).1.contains("has not been declared"));
    assert_eq!(ask("more", &[]), (2, "Unknown action more for agent demo".to_owned()));
    assert!(!ran.exists(), "the program ran");
    // A check only Ruby knows passes, and that is told.
    assert_eq!(ask("go", &["word=x", "named=a;b"]).0, 0);
    nodes[0].log().says(&["warning", "the validation 'service_name' is not known here"]);
    assert!(ran.exists());
}

#[test]
fn programs_stand_where_the_original_looks() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let second = Shelf::of(&network, "second");
    let script = format!("{ACTIVATE}\necho '{{}}' > $CHORIA_EXTERNAL_REPLY");
    let go = |name: &str| ddl(name, "1.0.0", 5, json!([action("go", json!({}), json!({}))])).to_string();
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    shelf.put("plain.json", &go("plain"));
    shelf.shell("plain", &script);
    shelf.put("byarch.json", &go("byarch"));
    shelf.shell(&format!("byarch/byarch-linux_{arch}"), &script);
    shelf.put("folder/folder.json", &go("folder"));
    shelf.shell("folder/folder", &script);
    second.put("second.json", &go("second"));
    second.shell("second", &script);
    // None of these is an agent.
    shelf.put("deep/er/deeper.json", &go("deeper"));
    shelf.shell("deep/er/deeper", &script);
    shelf.put("without.json", &go("without"));
    shelf.put("shy.json", &go("shy"));
    shelf.shell("shy", "echo '{\"activate\":false}' > $CHORIA_EXTERNAL_REPLY");
    shelf.put("broken.json", &go("broken"));
    shelf.shell("broken", "echo dear me >&2; exit 3");
    shelf.put("slow.json", &go("slow"));
    shelf.shell("slow", "sleep 600");
    shelf.put("garbage.json", &go("garbage"));
    shelf.shell("garbage", "echo yes > $CHORIA_EXTERNAL_REPLY");
    shelf.put("open.json", &go("open"));
    let open = shelf.shell("open", &script);
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("a mode");
    shelf.put("up.json", &go("../up"));
    shelf.put("rpcutil.json", &go("rpcutil"));
    shelf.put("off.json", &go("off"));
    shelf.shell("off", &script);
    let both = format!(
        "plugin.choria.agent_provider.mcorpc.libdir = {}:{}\nplugin.off.activate_agent = false\n",
        network.path("lib").display(),
        network.path("second").display()
    );
    let nodes = network.nodes([node("n1").lines(&both)]);
    let log = nodes[0].log();
    for (agent, words) in [
        ("without", "its executable was not found"),
        ("broken", "exit status 3; it said: dear me"),
        ("slow", "it took longer than 2s and was killed"),
        ("garbage", "invalid character 'y' looking for beginning of value"),
        ("open", "anybody may write"),
    ] {
        log.says(&["was not activated", &format!("agent={agent}"), words]);
    }
    log.says(&["does not want to work on this node", "agent=shy"]);
    log.says(&["agent is denied", "agent=off"]);
    log.says(&["up.json is no agent for this node", "may hold a-z, 0-9 and _ only"]);
    log.says(&["rpcutil.json is no agent for this node"]);
    let agents = agents(&nodes[0], &network.alice());
    let external = agents.iter().filter(|about| about["provider"] == "external");
    let names: Vec<Value> = external.map(|about| about["agent"].clone()).collect();
    assert_eq!(names, ["byarch", "folder", "plain", "second"].map(Value::from));
    let callers = format!(
        "libdir = {}\nlibdir = {}\n",
        network.path("lib").display(),
        network.path("second").display()
    );
    let alice = network.caller_with("alice.mcollective", &callers);
    for agent in ["plain", "byarch", "folder", "second"] {
        alice.run(&["rpc", agent, "go", "-I", N1]).fine();
    }
    log.says(&["these agents are in a library directory and do not run", "shy"]);
    // The one that failed is asked again when its program changes.
    shelf.shell("broken", &script);
    log.says(&["hosting an agent from disk", "agent=broken"]);
}

#[test]
fn whatever_a_program_does_its_caller_is_told() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let outputs = json!({"x": {"description": "X", "display_as": "X"}});
    let how = json!({"how": text(false)});
    shelf.ddl(&ddl("demo", "1.0.0", 2, json!([action("bad", how, outputs)])));
    let marker = network.path("marker-of-this-test").display().to_string();
    shelf.shell(
        "demo",
        &format!(
            r#"{ACTIVATE}
            reply=$CHORIA_EXTERNAL_REPLY
            how=$(sed 's/.*"how":"\([^"]*\)".*/\1/' "$CHORIA_EXTERNAL_REQUEST")
            case $how in
            exit) exit 3 ;;
            words) echo first >&2; echo 'no such disk' >&2; exit 1 ;;
            json) echo '{{not json' > $reply ;;
            empty) ;;
            array) echo '{{"statuscode":0,"statusmsg":"OK","data":[1,2]}}' > $reply ;;
            noise) echo talk; echo '{{"data":{{"x":1}}}}' > $reply ;;
            code) echo '{{"statuscode":70000}}' > $reply ;;
            garbage) head -c 100000 /dev/urandom > $reply ;;
            signal) kill -SEGV $$ ;;
            hang) sleep 600.125 ;;
            children) sh -c 'exec sleep 600.125' {marker} & (trap '' TERM HUP; sleep 600.125) & sleep 600.125 ;;
            fork) while :; do sleep 600.125 & sleep 0.01; done ;;
            stdout) yes | head -c 200000000; echo '{{"data":{{"x":2}}}}' > $reply ;;
            stderr) yes | head -c 200000000 >&2; exit 4 ;;
            forever) yes ;;
            huge) truncate -s 2G $reply ;;
            fifo) rm $reply; mkfifo $reply ;;
            link) rm $reply; ln -s /etc/passwd $reply ;;
            device) rm $reply; ln -s /dev/zero $reply ;;
            directory) rm $reply; mkdir $reply ;;
            gone) rm $reply ;;
            deep) head -c 500000 /dev/zero | tr '\0' '[' > $reply ;;
            wide) {{ printf '{{"data":{{"x":[0'; yes ,0 | tr -d '\n' | head -c 900000; printf ']}}}}'; }} > $reply ;;
            terminal) printf '\033[2Jdanger\007' >&2; exit 1 ;;
            request) rm $CHORIA_EXTERNAL_REQUEST; echo x > $CHORIA_EXTERNAL_FACTS; echo '{{}}' > $reply ;;
            esac"#
        ),
    );
    let nodes = network.nodes([node("n1").lines(&shelf.lines())]);
    nodes[0].log().says(&["hosting an agent from disk", "agent=demo"]);
    let alice = network.caller_with("alice.mcollective", &shelf.libdir());
    let before = "Could not call external agent demo#bad: ";
    let failed = |end: &str| (1, format!("{before}executing demo failed: {end}"));
    let decode = |end: &str| (1, format!("{before}failed to decode reply json: {end}"));
    let read = |end: &str| (1, format!("{before}failed to read reply: {end}"));
    let cases = [
        ("exit", failed("exit status 3")),
        ("words", failed("exit status 1; it said: first / no such disk")),
        ("json", decode("invalid character 'n' looking for beginning of object key string")),
        ("empty", decode("unexpected end of JSON input")),
        ("array", (1, "Could not set reply defaults: reply data is in the wrong format".to_owned())),
        ("noise", (0, "OK".to_owned())),
        ("code", (1, format!("{before}'statuscode' is no number from 0 to 255"))),
        ("garbage", decode("")),
        ("signal", failed("signal 11")),
        ("hang", failed("it took longer than 2s and was killed")),
        ("children", failed("it took longer than 2s and was killed")),
        ("fork", failed("it took longer than 2s and was killed")),
        ("stdout", (0, "OK".to_owned())),
        ("stderr", failed("exit status 4; it said: y / y / y")),
        ("forever", failed("it took longer than 2s and was killed")),
        ("huge", read("the reply is larger than 1048576 bytes")),
        ("fifo", read("the reply is no regular file")),
        ("link", read("the reply is a link")),
        ("device", read("the reply is a link")),
        ("directory", read("the reply is no regular file")),
        ("gone", read("No such file or directory")),
        ("deep", decode("")),
        ("wide", (5, "the reply of ".to_owned())),
        ("terminal", failed("exit status 1; it said:  [2Jdanger")),
        ("request", (0, "OK".to_owned())),
    ];
    for (how, (code, text)) in cases {
        let ran = alice.run(&["rpc", "demo", "bad", &format!("how={how}"), "-I", N1, "--json"]);
        let document = ran.json();
        let reply = &document["replies"][0];
        assert_eq!(reply["statuscode"], code, "{how}: {reply}");
        let message = reply["statusmsg"].as_str().expect("a text");
        assert!(message.starts_with(&text), "{how}: {message:?} is not {text:?}");
        assert!(message.len() < 1000 && reply["data"].is_object(), "{how}: {reply}");
    }
    until("everything a program started to be gone", || {
        (processes("600.125").is_empty() && processes("marker-of-this-test").is_empty()).then_some(())
    });
    assert_eq!(left_behind(nodes[0].log().pid()), [] as [std::path::PathBuf; 0]);
    assert!(nodes[0].log().lines().len() < 20_000, "what floods is not logged whole");
    // without the pages of the program's own file, of which a development build has many
    let program = field(nodes[0].log().pid(), "RssFile:");
    let peak = nodes[0].peak_memory().saturating_sub(program);
    assert!(peak < 64 * 1024 * 1024, "{peak}, and {program} of the program");
}
