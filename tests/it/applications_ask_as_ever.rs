//! `mco package`, `mco service` and their kind: words in any order, layouts, exit
//! codes and questions people know, and the same by our own name.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use choria::core::agents::{Call, Outcome};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::network::{Caller, Network};
use crate::process::{Ran, run, until};
use crate::stage::{Stage, failed, interface};

const N1: &str = "n1.example.net";
const N2: &str = "n2.example.net";

struct Fleet {
    network: Network,
    stage: Stage,
    calls: Arc<Mutex<Vec<String>>>,
}

fn interfaces() -> Vec<Value> {
    let package = &["ensure", "name", "arch", "output", "outdated_packages"][..];
    let ensure = || json!([{"function": "summary", "args": ["ensure"]}]);
    let status = || json!([{"function": "summary", "args": ["status"]}]);
    vec![
        interface(
            "package",
            10,
            &[
                ("status", &["package:string"], package, ensure()),
                ("install", &["package:string", "version:string?"], package, ensure()),
                ("count", &[], package, json!([])),
                ("checkupdates", &[], package, json!([])),
            ],
        ),
        interface(
            "service",
            10,
            &[
                ("restart", &["service:string"], &["status"], status()),
                ("status", &["service:string"], &["status"], status()),
            ],
        ),
        interface(
            "filemgr",
            5,
            &[
                ("touch", &["file:string?"], &[], json!([])),
                ("status", &["file:string?"], &["output", "size"], json!([])),
            ],
        ),
        interface(
            "nettest",
            10,
            &[(
                "ping",
                &["fqdn:string"],
                &["rtt"],
                json!([{"function": "nettest_mma", "args": ["rtt", {"format": "Min: %.3fms  Max: %.3fms"}]}]),
            )],
        ),
        interface("nrpe", 10, &[("runcommand", &["command:string"], &["exitcode", "output"], json!([]))]),
        interface(
            "iptables",
            2,
            &[
                ("block", &["ipaddr:string"], &["output"], json!([])),
                ("isblocked", &["ipaddr:string"], &["blocked"], json!([])),
            ],
        ),
        interface(
            "process",
            10,
            &[(
                "list",
                &["pattern:string?", "just_zombies:boolean?", "user:string?"],
                &["pslist"],
                json!([{"function": "process_summary", "args": ["pslist"]}]),
            )],
        ),
    ]
}

fn act(node: &str, call: &Call) -> Outcome {
    let first = node == N1;
    match (call.agent.as_str(), call.action.as_str()) {
        ("package", "status") if first => {
            Outcome::ok(json!({"name": call.text("package"), "ensure": "7.1-1", "arch": "amd64"}))
        }
        ("package", "status") => Outcome::ok(json!({"name": "x", "ensure": "absent"})),
        ("package", "install") if first => Outcome::ok(json!({"ensure": call.text("version")})),
        ("package", "install") => failed(5, "Package is already installed", json!({"ensure": "7.1-1"})),
        ("package", "count") => Outcome::ok(json!({"output": if first { "512" } else { "7" }})),
        ("package", _) => Outcome::ok(json!({"outdated_packages": [{"package": "bash", "version": "5.2"}]})),
        ("service", "restart") if first => Outcome::ok(json!({"status": "running"})),
        ("service", "restart") => failed(1, "Could not restart Service[httpd]", json!({"status": "unknown"})),
        ("service", _) => Outcome::ok(json!({"status": "running"})),
        ("filemgr", "status") => Outcome::ok(json!({"output": "present", "size": 12})),
        ("nettest", _) => Outcome::ok(json!({"rtt": if first { 1.5 } else { 2.5 }})),
        ("nrpe", _) if first => Outcome::ok(json!({"exitcode": 0, "output": "load 0.1"})),
        ("nrpe", _) => failed(1, "WARNING", json!({"exitcode": 1, "output": "load 9"})),
        ("iptables", "block") => Outcome::ok(json!({"output": "192.0.2.7 was blocked"})),
        ("iptables", _) => Outcome::ok(json!({"blocked": first})),
        ("process", _) => {
            Outcome::ok(json!({"pslist": [{"pid": 1, "username": "root", "vsize": 2048, "rss": 1,
            "cmdline": "/sbin/init", "state": "S"}]}))
        }
        _ => Outcome::ok(json!({})),
    }
}

fn fleet() -> Fleet {
    let network = Network::start();
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = calls.clone();
    let stage = Stage::of(
        &network,
        &[N1, N2],
        &interfaces(),
        Arc::new(move |node, call| {
            let data = Value::Object(call.data.clone());
            kept.lock().expect("calls").push(format!("{node} {}#{} {data}", call.agent, call.action));
            act(node, call)
        }),
    );
    Fleet { network, stage, calls }
}

impl Fleet {
    fn alice(&self) -> Caller {
        self.stage.alice(&self.network, "")
    }

    fn mco(&self) -> PathBuf {
        let link = self.network.path("mco");
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_choria"), &link).expect("a link");
        }
        link
    }

    /// As `mco`, both nodes by name.
    fn ask(&self, words: &[&str]) -> Ran {
        run(self.alice().command_by(&self.mco(), &[words, &["-I", N1, "-I", N2, "--sort"]].concat()), None)
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().expect("calls"))
    }
}

/// Without what differs from run to run.
fn steady(text: &str) -> String {
    let line = |line: &str| match line.split_once(" hosts in ") {
        Some((counts, _)) => format!("{counts} hosts\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn layouts_are_those_people_know() {
    let fleet = fleet();
    for (words, code, shown) in [
        (
            &["package", "status", "puppet"][..],
            0,
            "   n1.example.net: puppet-7.1-1.amd64\n   n2.example.net: absent\n\nSummary of Ensure:\n\n    \
             7.1-1 = 1\n   absent = 1\n\nFinished processing 2 / 2 hosts\n",
        ),
        (
            &["package", "puppet", "install", "--version", "8"],
            2,
            "   n2.example.net: Package is already installed\n\nSummary of Ensure:\n\n   7.1-1 = 1\n       8 = 1\n\n\
             Finished processing 2 / 2 hosts\n",
        ),
        (
            &["package", "count"],
            0,
            "   n1.example.net: 512\n   n2.example.net: 7\n\nFinished processing 2 / 2 hosts\n",
        ),
        (
            &["package", "checkupdates"],
            0,
            "   n1.example.net: bash\n   n2.example.net: bash\n\nFinished processing 2 / 2 hosts\n",
        ),
        (
            &["service", "httpd", "restart"],
            2,
            "   n2.example.net: Could not restart Service[httpd]\n\nSummary of Status:\n\n   running = 1\n   \
             unknown = 1\n\nFinished processing 2 / 2 hosts\n",
        ),
        (
            &["filemgr", "-f", "/etc/motd", "status"],
            0,
            "n1.example.net                          : present\nn2.example.net                          : present\n\n\
             Finished processing 2 / 2 hosts\n",
        ),
        (&["filemgr", "-f", "/etc/motd"], 0, "Finished processing 2 / 2 hosts\n"),
        (
            &["nettest", "ping", "gateway.example.net"],
            0,
            "n1.example.net                           time = 1.5\nn2.example.net                           time = 2.5\n\n\
             Summary of Rtt:\n\n   Min: 1.500ms  Max: 2.500ms\n\nFinished processing 2 / 2 hosts\n",
        ),
        (&["nrpe", "check_load"], 2, "   n2.example.net: WARNING\n\nFinished processing 2 / 2 hosts\n"),
        (
            &["iptables", "192.0.2.7", "isblocked"],
            0,
            "   n1.example.net: blocked = true\n   n2.example.net: blocked = false\n\n\
             Finished processing 2 / 2 hosts\n",
        ),
        (
            &["iptables", "block", "192.0.2.7"],
            0,
            "   n1.example.net: 192.0.2.7 was blocked\n   n2.example.net: 192.0.2.7 was blocked\n\n\
             Finished processing 2 / 2 hosts\n",
        ),
        (
            &["process", "list", "init", "--fields", "pid,command", "-u", "root"],
            0,
            "   n1.example.net\n\n     PID     COMMAND\n     1       /sbin/init\n\n   n2.example.net\n\n     PID     \
             COMMAND\n     1       /sbin/init\n\nSummary of Pslist:\n\n       Matched hosts: 2\n   Matched Processes: 2\n       \
             Resident Size: 2.000 KB\n        Virtual Size: 4.000 KB\n\nFinished processing 2 / 2 hosts\n",
        ),
    ] {
        let ran = fleet.ask(words).code(code);
        assert_eq!(steady(&ran.stdout), shown, "{words:?}: {ran:?}");
        assert_eq!(ran.stderr, "", "{ran:?}");
    }
    let calls = fleet.calls();
    for call in [
        r#"n1.example.net package#status {"package":"puppet"}"#,
        r#"n2.example.net package#install {"package":"puppet","version":"8"}"#,
        r#"n1.example.net filemgr#touch {"file":"/etc/motd"}"#,
        r#"n1.example.net process#list {"pattern":"init","just_zombies":false,"user":"root"}"#,
    ] {
        assert!(calls.iter().any(|made| made == call), "{call}: {calls:#?}");
    }

    // Asked, and not waited for.
    fleet.ask(&["iptables", "block", "192.0.2.8", "-s"]).code(0).says(&["Request sent with id: "]);
    let blocked = |call: &String| call.starts_with(r#"n2.example.net iptables#block {"ipaddr":"192.0.2.8""#);
    until("the request to arrive", || fleet.calls().iter().any(blocked).then_some(()));

    // By our own name: our layouts and exit codes, and every form of output.
    let alice = fleet.alice();
    let both = ["-I", N1, "-I", N2, "--sort"];
    let ours = |words: &[&str]| alice.run(&[words, &both].concat());
    let ran = ours(&["service", "restart", "httpd"]).code(2);
    ran.says(&["   n2.example.net: Could not restart", "   running: 1\n", "1 ok, 1 failed, 0 silent"]);
    let document = ours(&["package", "status", "puppet", "--json"]).fine().json();
    assert_eq!(document["replies"][0]["data"]["ensure"], "7.1-1");
    let list = fleet.ask(&["package", "status", "puppet", "-j"]).fine().json();
    assert_eq!(list[1]["sender"], N2);
    assert_eq!(list[1]["agent"], "package");
    assert_eq!(ours(&["service", "status", "x", "--senders"]).fine().stdout, format!("{N1}\n{N2}\n"));
    let kept = ["package", "status", "x", "--filter-replies", "data('ensure') == 'absent'"];
    let ran = ours(&kept).fine().says(&["n2.example.net: absent", "2 / 2 hosts"]);
    assert!(!ran.stdout.contains(N1), "{ran:?}");
    ours(&["service", "httpd", "restart", "--compat-exit"]).code(0);
}

#[test]
fn a_whole_fleet_is_not_meant_by_oversight() {
    let fleet = fleet();
    let alice = fleet.alice();
    for words in [
        &["package", "install", "x"][..],
        &["package", "checkupdates"],
        &["service", "restart", "httpd"],
        &["nettest", "ping", "gateway"],
        &["iptables", "block", "192.0.2.7"],
        &["filemgr", "-f", "/etc/motd", "touch"],
        &["filemgr", "-f", "/etc/motd", "remove"],
        &["puppet", "disable", "for a while"],
        &["puppet", "enable"],
        &["puppet", "runonce"],
        &["puppet", "runall", "2"],
        &["puppet", "resource", "service", "httpd", "ensure=stopped"],
        &["shell", "run", "reboot"],
        &["shell", "run", "--tail", "reboot"],
        &["shell", "start", "reboot"],
    ] {
        let ran = alice.run(words).code(1).silent().complains(&["every node", "-y"]);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        // Somebody who answers before being asked is nobody who reads.
        alice.run_with_input(words, "y\ny\n").code(1).silent().complains(&["-y"]);
        run(alice.command_by(&fleet.mco(), words), None).code(1).silent();
    }
    assert_eq!(fleet.calls(), [] as [&str; 0]);
    alice.run(&["service", "status", "httpd"]).fine().says(&["2 / 2 hosts"]);
    alice.run(&["package", "checkupdates", "-y"]).fine().says(&["2 / 2 hosts"]);
    alice.run(&["filemgr", "-f", "/etc/motd", "status"]).fine().says(&["2 / 2 hosts"]);
    alice.run(&["filemgr", "-f", "/etc/motd", "touch", "-y"]).fine().says(&["2 / 2 hosts"]);
    alice.run(&["package", "checkupdates", "-F", "country=mt"]).fine().says(&["2 / 2 hosts"]);
    // Nodes that a command in front has chosen are a filter.
    let one = alice.run(&["rpc", "rpcutil", "ping", "-I", N1, "--json"]).fine().stdout;
    alice.run_with_input(&["package", "checkupdates"], &one).fine().says(&["1 / 1 hosts"]);
}

#[test]
fn words_that_fit_nothing_are_told() {
    let fleet = fleet();
    let alice = fleet.alice();
    for (words, texts) in [
        (&["package"][..], &["say what to do, such as choria package status PACKAGE: status, install"][..]),
        (&["package", "stauts", "x"], &["'stauts' is nothing", "did you mean status?"]),
        (&["package", "status"], &["status needs a name"]),
        (&["package", "count", "x"], &["cannot use 'x'"]),
        (&["service", "httpd", "reload"], &["'reload' is nothing", "start, stop, restart"]),
        (&["service", "restart"], &["restart needs a name"]),
        (&["package", "install", ""], &["the name after choria package install is empty"]),
        (&["filemgr", "-f", "", "touch"], &["-f names no file"]),
        (&["filemgr", "-f", "/etc/motd"], &["say what to do", "touch, remove, status"]),
        (&["filemgr", "touhc"], &["did you mean touch?"]),
        (&["nettest", "connect", "x"], &["connect HOST PORT"]),
        (&["nettest", "trace", "x"], &["'trace'"]),
        (&["process", "lsit"], &["did you mean list?"]),
        (&["process", "list", "--fields", "pidd"], &["did you mean pid?"]),
        (&["servce", "restart", "x"], &["did you mean service?"]),
        (&["package", "status", "x", "--yess"], &["unknown flag", "did you mean --yes?"]),
    ] {
        let ran = alice.run(words).code(1).silent().complains(texts);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    assert_eq!(fleet.calls(), [] as [&str; 0]);
}

#[test]
fn mco_ends_with_its_own_codes() {
    let fleet = fleet();
    let mco = |words: &[&str]| run(fleet.alice().command_by(&fleet.mco(), words), None);
    mco(&["service", "status", "httpd"]).code(0);
    mco(&["service", "restart", "httpd", "-I", N2]).code(2);
    mco(&["service", "status", "httpd", "-F", "country=atlantis"]).code(1);
    // Nobody had to be found, and nobody answered.
    mco(&["service", "status", "httpd", "-I", "gone.example.net"]).code(4);
    let ran = mco(&["service", "status", "httpd", "-I", N1, "-I", "gone.example.net"]).code(0);
    ran.says(&["No response from:\n\n   gone.example.net\n"]);
    fleet.alice().run(&["service", "status", "httpd", "-I", N1, "-I", "gone.example.net"]).code(4);
    fleet.alice().run(&["service", "status", "httpd", "-I", "gone.example.net"]).code(3);
}

/// What a person at a terminal is asked and gives for an answer: exit code, and what was
/// written to standard error.
fn asked(caller: &Caller, words: &[&str], answer: &str) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
    let name = ptsname(&ours, Vec::new()).expect("a name");
    let theirs =
        File::options().read(true).write(true).open(name.to_str().expect("a name")).expect("a terminal");
    let mut command = caller.command(words);
    command.stdin(theirs).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program");
    let mut terminal = File::from(ours);
    writeln!(terminal, "{answer}").expect("a terminal");
    let mut told = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut told).expect("text");
    (child.wait().expect("a child").code().unwrap_or(-1), told)
}

#[test]
fn a_person_is_asked_whether_all_are_meant() {
    let fleet = fleet();
    let alice = fleet.alice();
    let words = ["package", "install", "x", "--version", "1"];
    for (answer, code, calls) in [("n", 1, 0), ("", 1, 0), ("yes", 2, 2), ("Y", 2, 2)] {
        let (ended, told) = asked(&alice, &words, answer);
        assert!(told.starts_with("Do you really want to operate on packages unfiltered? (y/n): "), "{told}");
        assert_eq!((ended, fleet.calls().len()), (code, calls), "{answer}: {told}");
        assert_eq!(told.contains("nothing was asked of any node"), calls == 0, "{told}");
    }
    let (_, told) = asked(&alice, &[&words[..], &["-I", N1]].concat(), "");
    assert_eq!(told, "");
}
