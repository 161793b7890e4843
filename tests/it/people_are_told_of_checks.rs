//! Checks that are not well are told to Alertmanager itself, a web hook and a program, once each,
//! and over a restart.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;
use serde_json::Value;

use crate::a_broker_shows_itself::{free_port, get};
use crate::a_node_mends_itself::{machine, with_machines};
use crate::network::{Caller, Network};
use crate::process::{Daemon, until};

/// Bodies of what is posted; the first is refused, as by a server that is not well.
pub fn hook() -> (u16, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (give, take) = channel();
    std::thread::spawn(move || {
        let mut count = 0;
        'connections: for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            let body = loop {
                let read = stream.read(&mut buffer).unwrap_or(0);
                if read == 0 {
                    // opened ahead, and not used
                    continue 'connections;
                }
                text.extend_from_slice(&buffer[..read]);
                let whole = String::from_utf8_lossy(&text).into_owned();
                let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
                let length = head
                    .to_lowercase()
                    .split("content-length: ")
                    .nth(1)
                    .and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
                if body.len() >= length.expect("a length") {
                    break body.to_owned();
                }
            };
            let status = if count == 0 { "503 Service Unavailable" } else { "200 OK" };
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").expect("an answer");
            if count > 0 && give.send(serde_json::from_str(&body).expect("JSON")).is_err() {
                return;
            }
            count += 1;
        }
    });
    (port, take)
}

fn alertmanager(directory: &Path, port: u16) -> Daemon {
    let file = directory.join("alertmanager.yml");
    fs::write(&file, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").expect("a file");
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.path={}", directory.join("alertmanager").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Daemon::start("alertmanager", command)
}

/// Alerts that Alertmanager has.
fn firing(port: u16) -> Vec<(String, String, String)> {
    let text = std::panic::catch_unwind(|| get(port, "/api/v2/alerts")).unwrap_or_default();
    let Some((_, body)) = text.split_once("\r\n\r\n") else { return vec![] };
    let (Some(begin), Some(end)) = (body.find('['), body.rfind(']')) else { return vec![] };
    let all: Value = serde_json::from_str(&body[begin..=end]).unwrap_or_default();
    let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
    let all = all.as_array().cloned().unwrap_or_default();
    all.iter().map(|a| (label(a, "alertname"), label(a, "instance"), label(a, "severity"))).collect()
}

fn start(alice: &Caller, settings: &Path) -> Daemon {
    alice.start(&["scout", "alertd", "--settings", &settings.to_string_lossy()])
}

#[test]
fn whoever_is_named_is_told_once() {
    let network = Network::start();
    let directory = network.path("alerts");
    fs::create_dir(&directory).expect("a directory");
    let port = free_port();
    let _alertmanager = alertmanager(&directory, port);
    until("alertmanager", || {
        let text = std::panic::catch_unwind(|| get(port, "/-/ready")).ok()?;
        text.contains("200 OK").then_some(())
    });
    let (hook_port, told) = hook();
    let (program, heard) = (directory.join("page"), directory.join("heard"));
    fs::write(&program, format!("#!/bin/sh\n/bin/cat >> {}\n", heard.display())).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let settings = network.file(
        "alertd.yaml",
        &format!(
            "state: {}\ngroup: 1s\nsilence_after: 20s\nreceivers:\n  - alertmanager: http://127.0.0.1:{port}\n  - webhook: \
             http://127.0.0.1:{hook_port}/x\n  - program: [{}]\n",
            directory.join("state.json").display(),
            program.display()
        ),
    );
    let alice = network.alice();
    alice
        .run(&["scout", "alertd", "--check", "--settings", &settings.to_string_lossy()])
        .code(0)
        .says(&["is right: 3 told"]);
    let mut alertd = start(&alice, &settings);
    alertd.says(&["Telling alertmanager, webhook, program of checks; 0 nodes and 0 alerts were kept"]);
    let (setup, store) = with_machines(&network, "n1");
    let path: PathBuf = machine(&store, "whole", &checks(), &[("check", CHECK)]);
    fs::write(path.join("broken"), "").expect("a file");
    let mut nodes = network.nodes([setup]);
    let wanted = || (("whole".to_owned(), "n1.example.net".to_owned(), "critical".to_owned()), firing(port));
    until("alertmanager to know", || wanted().1.contains(&wanted().0).then_some(()));
    let first = told.recv_timeout(std::time::Duration::from_secs(60)).expect("it is told");
    assert_eq!(
        (&first["status"], &first["check"], &first["count"]),
        (&"firing".into(), &"whole".into(), &1.into())
    );
    assert_eq!(first["alerts"][0]["output"], "CRITICAL: broken");
    let lines =
        || fs::read_to_string(&heard).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    until("the program to have run", || (lines().len() == 1).then_some(()));
    // it is told of once, whatever the check says since, and after a restart
    alertd.signal(Signal::TERM);
    assert!(alertd.ended().success());
    let mode = fs::metadata(directory.join("state.json")).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let again = start(&alice, &settings);
    again.says(&["1 node", "1 alert"]);
    until("some checks more", || {
        (nodes[0].log().matching(0, &["whole#check CRITICAL"]).len() >= 6).then_some(())
    });
    assert!(told.try_recv().is_err() && lines().len() == 1, "{:?}", lines());
    fs::remove_file(path.join("broken")).expect("a file");
    let second = told.recv_timeout(std::time::Duration::from_secs(60)).expect("it is told");
    assert_eq!((&second["status"], &second["alerts"][0]["before"]), (&"resolved".into(), &"CRITICAL".into()));
    until("alertmanager to forget", || (!wanted().1.contains(&wanted().0)).then_some(()));
    // a node that is gone without a word is missed
    nodes[0].daemon().signal(Signal::KILL);
    let third = told.recv_timeout(std::time::Duration::from_secs(90)).expect("it is missed");
    assert_eq!(
        (&third["check"], &third["alerts"][0]["node"]),
        (&"NodeSilent".into(), &"n1.example.net".into())
    );
    let silent = ("NodeSilent".to_owned(), "n1.example.net".to_owned(), "critical".to_owned());
    until("alertmanager to miss it", || firing(port).contains(&silent).then_some(()));
}

pub const CHECK: &str =
    "#!/bin/sh\n[ -e ./broken ] && { echo 'CRITICAL: broken|broken=1'; exit 2; }\necho 'OK: whole'\n";

/// A check that nobody remedies.
pub fn checks() -> String {
    let all = crate::a_node_mends_itself::check("whole", "1s");
    all.split("  - name: remedy").next().expect("a check").to_owned()
}

/// What was published while nobody listened is asked for.
#[test]
fn what_rests_or_is_gone_is_over_also_where_nobody_heard_of_it() {
    let network = Network::start();
    let directory = network.path("alerts");
    fs::create_dir(&directory).expect("a directory");
    let (port, told) = hook();
    let settings = network.file(
        "alertd.yaml",
        &format!(
            "state: {}\ngroup: 1s\nreceivers:\n  - webhook: http://127.0.0.1:{port}/x\n",
            directory.join("state.json").display()
        ),
    );
    let alice = network.alice();
    let mut alertd = start(&alice, &settings);
    alertd.says(&["Telling webhook of checks"]);
    let (setup, store) = with_machines(&network, "n1");
    for name in ["gone", "quiet"] {
        let text = checks().replace("name: whole", &format!("name: {name}"));
        let path = machine(&store, name, &text, &[("check", CHECK)]);
        fs::write(path.join("broken"), "").expect("a file");
    }
    let nodes = network.nodes([setup]);
    let two = |status: &str| {
        let mut names: Vec<String> = (0..2)
            .map(|_| told.recv_timeout(std::time::Duration::from_secs(90)).expect("it is told"))
            .inspect(|message| assert_eq!(message["status"], status, "{message}"))
            .map(|message| message["check"].as_str().unwrap_or_default().to_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["gone", "quiet"]);
    };
    two("firing");
    alertd.signal(Signal::TERM);
    assert!(alertd.ended().success());
    alice.run(&["scout", "maintenance", "-y", "--check", "quiet"]).code(0);
    let mark = nodes[0].log().mark();
    fs::remove_dir_all(store.join("gone")).expect("a directory");
    nodes[0].log().says_after(mark, &["gone is gone"]);
    let again = start(&alice, &settings);
    again.says(&["2 alerts were kept"]);
    two("resolved");
}

/// Whoever is told takes time, and the check recovers meanwhile.
#[test]
fn what_recovers_while_it_is_told_is_told_to_be_over() {
    let network = Network::start();
    let directory = network.path("alerts");
    fs::create_dir(&directory).expect("a directory");
    let (program, heard, held) = (directory.join("page"), directory.join("heard"), directory.join("held"));
    let script = format!(
        "#!/bin/sh\n/bin/cat >> {}\nwhile [ -e {} ]; do /bin/sleep 0.1; done\n",
        heard.display(),
        held.display()
    );
    fs::write(&program, script).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::write(&held, "").expect("a file");
    let state = directory.join("state.json");
    let text =
        format!("state: {}\ngroup: 1s\nreceivers: [{{program: [{}]}}]\n", state.display(), program.display());
    let settings = network.file("alertd.yaml", &text);
    let alice = network.alice();
    let alertd = start(&alice, &settings);
    alertd.says(&["Telling program of checks"]);
    let (setup, store) = with_machines(&network, "n1");
    let path = machine(&store, "whole", &checks(), &[("check", CHECK)]);
    fs::write(path.join("broken"), "").expect("a file");
    let _nodes = network.nodes([setup]);
    let told = || -> Vec<Value> {
        let text = fs::read_to_string(&heard).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    until("the program to run", || (told().len() == 1).then_some(()));
    fs::remove_file(path.join("broken")).expect("a file");
    until("alertd to know that it is over", || {
        let kept: Value = serde_json::from_str(&fs::read_to_string(&state).ok()?).ok()?;
        kept["cases"].as_array()?.iter().all(|case| case["status"] == 0).then_some(())
    });
    fs::remove_file(&held).expect("a file");
    until("the program to be told", || (told().len() == 2).then_some(()));
    let told = told();
    assert_eq!((&told[0]["status"], &told[1]["status"]), (&"firing".into(), &"resolved".into()));
    assert_eq!(told[1]["alerts"][0]["before"], "CRITICAL");
}

#[test]
fn mistakes_are_said_before_anything_is_told() {
    let network = Network::start();
    let alice = network.alice();
    let wrong = network.file("wrong.yaml", "receivers: [{webhook: here}]\n");
    alice.run(&["scout", "alertd", "--settings", &wrong.to_string_lossy()]).code(1).complains(&[
        "wrong.yaml: receiver number 1: here is no address such as https://host.example.net/page",
    ]);
    let elsewhere =
        network.file("elsewhere.yaml", "state: /nosuch/state.json\nreceivers: [{program: [/bin/true]}]\n");
    alice
        .run(&["scout", "alertd", "--settings", &elsewhere.to_string_lossy()])
        .code(1)
        .complains(&["elsewhere.yaml: state: its directory /nosuch: No such file or directory"]);
    let directory = network.path("alerts");
    fs::create_dir(&directory).expect("a directory");
    let missing = directory.join("nosuch");
    for (receiver, told) in [
        (
            format!("{{webhook: 'http://127.0.0.1:1/', token_file: {}}}", missing.display()),
            "receiver webhook",
        ),
        (format!("{{program: [{}]}}", missing.display()), "receiver program"),
    ] {
        let file =
            network.file("missing.yaml", &format!("state: {}\nreceivers: [{receiver}]\n", missing.display()));
        alice
            .run(&["scout", "alertd", "--check", "--settings", &file.to_string_lossy()])
            .code(1)
            .complains(&["missing.yaml", told, "nosuch", "No such file or directory"]);
    }
    for (state, receiver, told) in [
        ("state.json", "{program: [/tmp]}", "receiver program: /tmp is no program"),
        ("state.json", "{webhook: 'http://127.0.0.1:1/', token_file: /tmp}", "/tmp is a directory"),
        (".", "{program: [/bin/true]}", "is no file"),
    ] {
        let text = format!("state: {}\nreceivers: [{receiver}]\n", directory.join(state).display());
        let file = network.file("odd.yaml", &text);
        alice
            .run(&["scout", "alertd", "--check", "--settings", &file.to_string_lossy()])
            .code(1)
            .complains(&["odd.yaml", told]);
    }
    for (more, told) in [
        ("election: alertd", "election needs a bucket"),
        ("bucket: ALERTS", "bucket is for several of which one is elected"),
        ("election: alertd\nbucket: A.B", "bucket: "),
    ] {
        let file = network.file("several.yaml", &format!("{more}\nreceivers: [{{program: [/bin/true]}}]\n"));
        alice
            .run(&["scout", "alertd", "--check", "--settings", &file.to_string_lossy()])
            .code(1)
            .complains(&["several.yaml", told]);
    }
    // two that would undo each other's state
    let state = directory.join("state.json");
    let text = format!("state: {}\nreceivers: [{{program: [/bin/true]}}]\n", state.display());
    let file = network.file("one.yaml", &text);
    let one = start(&alice, &file);
    one.says(&["Telling program of checks"]);
    alice
        .run(&["scout", "alertd", "--settings", &file.to_string_lossy()])
        .code(1)
        .complains(&["state.json", "another alertd does"]);
    // without streams nobody can be elected
    let file = network.file(
        "several.yaml",
        &format!(
            "state: {}\nelection: a\nbucket: A\nreceivers: [{{program: [/bin/true]}}]\n",
            missing.display()
        ),
    );
    alice
        .run(&["scout", "alertd", "--settings", &file.to_string_lossy()])
        .code(1)
        .complains(&["bucket: the broker does not let this caller publish to $JS.API.STREAM.INFO.KV_A"]);
}
