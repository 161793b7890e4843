//! What is wrong is told to who asked, by its text; nothing runs that was not asked for, and
//! memory stays bounded. All kinds of bad input in one table.

mod database;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::network::{Caller, Network, Node, node};
use crate::process::until;
use crate::shelf::{ACTIVATE, Shelf, action, ddl, left_behind, processes, text};

const N1: &str = "n1.example.net";
/// So many there are to be.
const LEAST: usize = 40;
/// Most memory a node may ever have used after all of it.
const MEMORY: u64 = 150 * 1024 * 1024;
/// Sleepers of this test are known by how long they sleep.
const SLEEP: &str = "600.375";

/// Who hears of it, and what.
enum Told {
    /// The node answers with this code and text.
    Reply(i64, String),
    /// The command ends with this code and complains so.
    Command(i32, String),
}

fn reply(code: i64, text: impl Into<String>) -> Told {
    Told::Reply(code, text.into())
}

fn command(text: &str) -> Told {
    Told::Command(1, text.to_owned())
}

/// What a person types, and what comes of it.
struct Case {
    words: Vec<String>,
    told: Told,
}

fn case(words: &[&str], told: Told) -> Case {
    Case { words: words.iter().map(|word| (*word).to_owned()).collect(), told }
}

/// An action of one of our agents, asked by a client whose interface forbids nothing.
fn asked(agent: &str, action: &str, inputs: &[&str], told: Told) -> Case {
    case(&[&["rpc", agent, action], inputs, &["-I", N1, "--json"]].concat(), told)
}

/// Inputs of our agents that an attacker would type. `marker` is a file that none may make.
fn of_agents(marker: &Path) -> Vec<Case> {
    let shell = format!("touch {}", marker.display());
    let refused = |text: &str| reply(4, format!("Validation failed: invalid value for {text}"));
    let package =
        |action: &str, name: &str, told: Told| asked("package", action, &[&format!("package={name}")], told);
    let service =
        |action: &str, name: &str, told: Told| asked("service", action, &[&format!("service={name}")], told);
    let file =
        |action: &str, name: &str, told: Told| asked("filemgr", action, &[&format!("file={name}")], told);
    vec![
        package("install", &format!("x;{shell}"), refused("'package': may not contain ';'")),
        package("install", &format!("$({shell})"), refused("'package': may not contain '$'")),
        package("status", &format!("`{shell}`"), refused("'package': may not contain '`'")),
        package("status", &format!("x | {shell}"), refused("'package': may not contain '|'")),
        package("update", &format!("x && {shell}"), refused("'package': may not contain '&&'")),
        package("purge", &format!("x > {}", marker.display()), refused("'package': may not contain '>'")),
        package(
            "status",
            "-oDPkg::Pre-Invoke::=x",
            reply(4, "package '-oDPkg::Pre-Invoke::=x' could be read as an option"),
        ),
        package("status", "--root=/x", reply(4, "package '--root=/x' could be read as an option")),
        package(
            "install",
            "../../etc/passwd",
            reply(4, "package '../../etc/passwd' has a character that no such name has"),
        ),
        package("status", "", reply(4, "package '' is empty")),
        package("status", "two words", reply(4, "package 'two words' has a character that no such name has")),
        package("status", &"x".repeat(91), refused("'package': is longer than 90")),
        asked(
            "package",
            "install",
            &["package=x", "version=1;id"],
            refused("'version': may not contain ';'"),
        ),
        asked("package", "yum_clean", &["mode=all --root=/"], refused("'mode': should be one of")),
        asked("package", "install", &[], reply(4, "Validation failed: input 'package' is required")),
        service("restart", "cron\n", refused("'service': input does not match '")),
        service("restart", "cron\nrm", refused("'service': input does not match '")),
        service("stop", &format!("cron;{shell}"), refused("'service': input does not match '")),
        service("status", "../cron", refused("'service': input does not match '")),
        service("status", "-H", reply(4, "service '-H' could be read as an option")),
        service("start", "--root=x", refused("'service': input does not match '")),
        file("remove", "/", reply(4, "file '/' is the root of all files")),
        file("remove", "//", reply(4, "file '//' is the root of all files")),
        file("remove", "/..", reply(4, "file '/..' goes upwards by ..")),
        file("touch", "../x", reply(4, "file '../x' does not begin at the root")),
        file("status", "etc/passwd", reply(4, "file 'etc/passwd' does not begin at the root")),
        file("touch", &format!("/tmp/x;{shell}"), refused("'file': may not contain ';'")),
        asked("process", "list", &["pattern=("], reply(4, "pattern '(' is no regular expression")),
        asked("process", "list", &["user=`id`"], refused("'user': may not contain '`'")),
        asked("nettest", "connect", &["fqdn=-x", "port=1"], reply(4, "fqdn '-x' could be read as an option")),
        asked("nettest", "connect", &["fqdn=localhost", "port=70000"], reply(4, "port '70000' is no port")),
        asked("nettest", "ping", &["fqdn=a b"], refused("'fqdn': input does not match '")),
        asked("puppet", "runonce", &["server=x --debug"], refused("'server': input does not match '")),
        asked("puppet", "runonce", &["tags=a;b"], refused("'tags': input does not match '")),
        asked(
            "puppet",
            "resource",
            &["type=exec --noop", "name=x"],
            refused("'type': input does not match '"),
        ),
        asked("rpcutil", "get_data", &["source=nosuch", "query=x"], reply(1, "Unknown data plugin")),
    ]
}

/// Filters that nobody can mean.
fn of_filters() -> Vec<Case> {
    let find = |words: &[&str], told: Told| case(&[&["find"], words].concat(), told);
    vec![
        find(&["-C", "/(/"], command("regular expression")),
        find(&["-I", "/[/"], command("regular expression")),
        find(&["-A", "/*/"], command("regular expression")),
        find(&["-F", "country=/(/"], command("regular expression")),
        find(&["-F", "country"], command("country")),
        find(&["-S", "fact('x'"], command("-S")),
        find(&["-S", "system('reboot')"], command("system is no function of the language")),
        find(&["-S", "'just a text'"], command("boolean")),
        find(&["-S", "fact('country') matches '('"], command("regular expression")),
    ]
}

/// Programs that behave badly; `how` is what the agent `demo` is told to do.
fn of_programs() -> Vec<Case> {
    let before = "Could not call external agent demo#bad: ";
    let failed = |end: &str| reply(1, format!("{before}executing demo failed: {end}"));
    let unread = |end: &str| reply(1, format!("{before}failed to read reply: {end}"));
    let decode = |end: &str| reply(1, format!("{before}failed to decode reply json: {end}"));
    let demo = |how: &str, told: Told| asked("demo", "bad", &[&format!("how={how}")], told);
    vec![
        demo("garbage", decode("")),
        demo("hang", failed("it took longer than 2s and was killed")),
        demo("fork", failed("it took longer than 2s and was killed")),
        demo("flood", failed("it took longer than 2s and was killed")),
        demo("signal", failed("signal 11")),
        demo("huge", unread("the reply is larger than 1048576 bytes")),
        demo("link", unread("the reply is a link")),
        demo("code", reply(1, format!("{before}'statuscode' is no number from 0 to 255"))),
        demo("array", reply(1, "Could not set reply defaults: reply data is in the wrong format")),
        demo("deep", decode("")),
        demo("words", failed("exit status 1; it said: no such disk")),
        asked("demo", "nosuch", &[], reply(2, "Unknown action nosuch for agent demo")),
        asked("demo", "bad", &["how=x;id"], reply(1, "Validation failed: invalid value for 'how'")),
        asked(
            "demo",
            "bad",
            &["how=x", "other=1"],
            reply(1, "Validation failed: input 'other' has not been"),
        ),
        asked("nosuch", "go", &[], reply(2, "Unknown agent nosuch, this node does not have it")),
    ]
}

fn bad_program() -> String {
    format!(
        r#"{ACTIVATE}
        reply=$CHORIA_EXTERNAL_REPLY
        how=$(sed 's/.*"how":"\([^"]*\)".*/\1/' "$CHORIA_EXTERNAL_REQUEST")
        case $how in
        garbage) head -c 100000 /dev/urandom > $reply ;;
        hang) sleep {SLEEP} ;;
        fork) while :; do sleep {SLEEP} & sleep 0.01; done ;;
        flood) yes ;;
        signal) kill -SEGV $$ ;;
        huge) truncate -s 2G $reply ;;
        link) rm $reply; ln -s /etc/passwd $reply ;;
        code) echo '{{"statuscode":70000}}' > $reply ;;
        array) echo '{{"statuscode":0,"statusmsg":"OK","data":[1,2]}}' > $reply ;;
        deep) head -c 500000 /dev/zero | tr '\0' '[' > $reply ;;
        words) echo no such disk >&2; exit 1 ;;
        esac"#
    )
}

/// Interfaces that lie, in the library of the node: none of them is an agent there.
fn lying_interfaces(shelf: &Shelf) -> Vec<(&'static str, &'static str)> {
    let good = |name: &str| ddl(name, "1.0.0", 2, json!([action("go", json!({}), json!({}))]));
    shelf.shell("quiet", "exit 0");
    shelf.put("quiet.json", &good("quiet").to_string());
    shelf.put("half.json", &good("half").to_string()[..60]);
    shelf.put("up.json", &good("../up").to_string());
    shelf.put("discovery.json", &good("discovery").to_string());
    let mut never = good("never");
    never["metadata"]["timeout"] = json!(0);
    shelf.put("never.json", &never.to_string());
    shelf.put("deep.json", &"[".repeat(100_000));
    let open = shelf.put("open.json", &good("open").to_string());
    fs::set_permissions(open, fs::Permissions::from_mode(0o666)).expect("a mode");
    vec![
        ("quiet", "was not activated"),
        ("half.json", "is no agent for this node"),
        ("up.json", "may hold a-z, 0-9 and _ only"),
        ("discovery.json", "is a name of this program's own agents"),
        ("never.json", "metadata.timeout is below one second"),
        ("deep.json", "is no agent for this node"),
        ("open.json", "anybody may write"),
    ]
}

/// An agent, its actions, and the inputs that each of them takes with their types.
type Lax = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

/// Interfaces for a client that let everything through: the node has to judge.
fn lax(shelf: &Shelf) {
    let any = |kind: &str| json!({"prompt": "P", "description": "D", "type": kind, "optional": true, "validation": "", "maxlength": 0});
    let of = |inputs: &[(&str, &str)]| -> Value {
        inputs
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), any(kind)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let agents: [Lax; 9] = [
        (
            "package",
            &["install", "status", "update", "purge", "yum_clean"],
            &[("package", "string"), ("version", "string"), ("mode", "string")],
        ),
        ("service", &["restart", "stop", "status", "start"], &[("service", "string")]),
        ("filemgr", &["remove", "touch", "status"], &[("file", "string")]),
        ("process", &["list"], &[("pattern", "string"), ("user", "string")]),
        ("nettest", &["connect", "ping"], &[("fqdn", "string"), ("port", "integer")]),
        (
            "puppet",
            &["runonce", "resource"],
            &[("server", "string"), ("tags", "string"), ("type", "string"), ("name", "string")],
        ),
        ("demo", &["bad", "nosuch"], &[("how", "string"), ("other", "string")]),
        ("nosuch", &["go"], &[]),
        ("unused", &["go"], &[]),
    ];
    for (agent, actions, inputs) in agents {
        let actions = actions.iter().map(|name| action(name, of(inputs), json!({}))).collect();
        shelf.ddl(&ddl(agent, "1.0.0", 10, Value::Array(actions)));
    }
}

/// What came of it, where that is not what should have.
fn wrong(case: &Case, caller: &Caller) -> Option<String> {
    let words: Vec<&str> = case.words.iter().map(String::as_str).collect();
    let ran = caller.run(&words);
    match &case.told {
        Told::Reply(code, text) => {
            let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
            let reply = &document["replies"][0];
            let said = reply["statusmsg"].as_str().unwrap_or_default();
            let is_told =
                reply["statuscode"] == *code && said.starts_with(text.as_str()) && said.len() < 1500;
            (!is_told).then(|| format!("{words:?} was not told {code} {text:?}: {reply} {}", ran.stderr))
        }
        Told::Command(code, text) => {
            let said = ran.stderr.to_lowercase().contains(&text.to_lowercase()) && ran.stdout.is_empty();
            let clean = !ran.stderr.contains(['\u{7}', '\u{1b}']) && ran.stderr.len() < 2000;
            let is_told = ran.code == *code && said && clean && !ran.stderr.contains("panicked");
            (!is_told).then(|| format!("{words:?} was not told {text:?}: {ran:?}"))
        }
    }
}

#[test]
fn what_is_wrong_is_told_and_nothing_else_happens() {
    let network = Network::start();
    let marker = network.path("made-by-an-attacker");
    let shelf = Shelf::of(&network, "lib");
    shelf.shell("demo", &bad_program());
    let how = json!({"how": text(false)});
    let outputs = json!({"x": {"description": "X", "display_as": "X"}});
    shelf.ddl(&ddl("demo", "1.0.0", 2, json!([action("bad", how, outputs)])));
    let lies = lying_interfaces(&shelf);
    let mut nodes = network.nodes([node("n1").lines(&shelf.lines())]);
    nodes[0].log().says(&["hosting an agent from disk", "agent=demo"]);
    let open = Shelf::of(&network, "lax");
    lax(&open);
    let alice = network.caller_with("alice.mcollective", &open.libdir());
    let cases: Vec<Case> = of_agents(&marker).into_iter().chain(of_filters()).chain(of_programs()).collect();
    let wrong: Vec<String> = cases.iter().filter_map(|case| wrong(case, &alice)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (file, text) in &lies {
        nodes[0].log().says(&[file, text]);
    }
    let policies = bad_policies(&alice, &nodes[0]);
    let finders = bad_finders(&network);
    let total = cases.len() + lies.len() + policies + finders;
    println!("{total} kinds of bad input");
    assert!(total >= LEAST, "{total}");

    assert!(!marker.exists(), "what was typed was run");
    until("everything a program started to be gone", || processes(SLEEP).is_empty().then_some(()));
    assert_eq!(left_behind(nodes[0].log().pid()), [] as [std::path::PathBuf; 0]);
    nodes[0].daemon().still_runs();
    let peak = nodes[0].peak_memory();
    assert!(peak < MEMORY, "{peak} bytes");
    assert!(nodes[0].log().lines().len() < 5000, "what floods is not logged whole");
}

/// Policies with a bad line, in turn: nobody is let in by it. How many there are.
fn bad_policies(alice: &Caller, node: &Node) -> usize {
    let file = node.dir.join("policies/rpcutil.policy");
    let lines = [
        ("allow choria=alice.mcollective * * *", "has no tabs between columns"),
        ("permit\tchoria=alice.mcollective\t*\t*\t*", "neither allow, deny nor policy default"),
        ("allow\t/[/\t*\t*\t*", "\"/[/\" is no regular expression"),
        ("allow\tadmins\t*\t*\t*", "\"admins\" is neither"),
        ("\u{0}\u{1b}[2J\tx\ty\tz\t*", "rpcutil.policy:2: "),
    ];
    for (line, text) in lines {
        let mark = node.log().mark();
        fs::write(&file, format!("policy default deny\n{line}\n")).expect("a policy");
        alice.run(&["rpc", "rpcutil", "ping", "-I", N1]).code(2).says(&["You are not authorized"]);
        node.log().says_after(mark, &["error", "rpcutil.policy:2: ", text]);
    }
    fs::remove_file(&file).expect("a policy");
    lines.len()
}

/// Those who are asked for nodes and answer something else. How many there are.
fn bad_finders(network: &Network) -> usize {
    let server = database::start(network);
    let lines = format!("plugin.choria.puppetdb_host = 127.0.0.1\nplugin.choria.puppetdb_port = {server}\n");
    let alice = network.caller_with("alice.mcollective", &lines);
    let of_database = database::ANSWERS.map(|(name, text)| {
        // it answers by what it is asked for
        case(&["find", "--dm", "puppetdb", "-F", &format!("answer={name}")], command(text))
    });
    let inventory = network.file("fleet.json", "{\"nodes\": 7}");
    let list = network.file("list.txt", "n1.example.net\n\u{7}; rm -rf /\n");
    let file = |path: &Path| format!("file={}", path.display());
    let program = |line: &str| format!("command=/bin/sh -c '{line}' x");
    let others = [
        case(&["find", "--dm", "inventory", "--do", &file(&inventory)], command("fleet.json")),
        case(&["find", "--dm", "flatfile", "--do", &file(&list)], command("list.txt")),
        case(
            &["find", "--dm", "external", "--do", &program("echo \"<html>\" >$2")],
            command("cannot be read"),
        ),
        case(&["find", "--dm", "external", "--do", &program("exit 9")], command("exit status 9")),
        case(&["find", "--dm", "external", "--do", &program("kill -9 $$")], command("signal 9")),
        case(&["find", "--dm", "nosuch"], command("unsupported discovery method")),
    ];
    let cases: Vec<Case> = of_database.into_iter().chain(others).collect();
    let wrong: Vec<String> = cases.iter().filter_map(|case| wrong(case, &alice)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    cases.len()
}
