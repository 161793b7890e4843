//! Tasks of plans on nodes that deny, hang, are gone or break: each node is in exactly one class, and a change in
//! stages hits no more of them than it may.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use choria::core::agents::{Call, Outcome};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::network::{Caller, Network, node};
use crate::process::{Ran, until};
use crate::stage::{Act, Stage, failed, interface};

const PLAN: &str = "plan demo::ask (Choria::Nodes $nodes, Boolean $fail_ok = false) {
  $all = choria::task(action => 'rpcutil.ping', nodes => $nodes, fail_ok => $fail_ok, timeout => 2, silent => true)
  $all.map |$one| {
    $error = $one.error
    [$one.host, $error ? { undef => 'ok', default => $error.details['class'] },
      $error ? { undef => 'fine', default => $error.message }]
  }
}
";

fn report(network: &Network) -> Value {
    let text = fs::read_to_string(network.path("report.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

#[track_caller]
fn run(network: &Network, alice: &Caller, words: &[&str]) -> Ran {
    let modules = network.path("modules").display().to_string();
    let report = network.path("report.json").display().to_string();
    alice.run(&[&["playbook", "run"], words, &["--modulepath", &modules, "--report", &report]].concat())
}

#[test]
fn who_denies_hangs_or_is_gone_is_told_apart() {
    let network = Network::start();
    let mut nodes = network.nodes([
        node("n1"),
        node("denying").policy("rpcutil", "policy default deny\n"),
        node("hung"),
        node("stopped"),
    ]);
    let alice = network.alice();
    network.file("modules/demo/plans/ask.pp", PLAN);
    nodes[3].log().signal(Signal::TERM);
    nodes[3].daemon().ended();
    nodes[2].log().signal(Signal::STOP);
    let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    let list: Vec<&str> = names.iter().map(String::as_str).chain(["n9.example.net"]).collect();
    let given: Vec<&str> = list.iter().flat_map(|name| ["--nodes", name]).collect();
    let ran = run(&network, &alice, &[&["demo::ask", "--fail_ok"], &given[..]].concat()).code(0);
    let lines = ran.json();
    let line = |at: usize| {
        let text = |part: usize| lines[at][part].as_str().expect("a text").to_owned();
        (text(0), text(1), text(2))
    };
    let expected =
        |at: usize, class: &str, words: &str| (list[at].to_owned(), class.to_owned(), words.to_owned());
    assert_eq!(line(0), expected(0, "ok", "fine"));
    assert_eq!(line(1), expected(1, "denied", "You are not authorized to call this agent or action"));
    assert_eq!(line(2), expected(2, "no_answer", "No response from node hung.example.net"));
    let (name, class, words) = line(3);
    assert_eq!((name.as_str(), class.as_str()), (list[3], "not_connected"));
    let since = words.strip_prefix("No response from node stopped.example.net: it is not connected since ");
    since.expect(&words).parse::<jiff::Timestamp>().expect("a time");
    let (name, class, words) = line(4);
    assert_eq!((name.as_str(), class.as_str()), (list[4], "not_connected"));
    assert_eq!(words, "No response from node n9.example.net: it is not connected");
    ran.complains(&["on 4 failed node(s) (1 ok, 1 denied, 2 not connected, 1 no answer)\n"]);
    let told = &report(&network)["tasks"][0];
    let accounting = json!({
        "ok": 1, "failed": 0, "aborted": 0, "denied": 1, "invalid": 0, "unknown_action": 0, "late": 0,
        "denied_by_broker": 0, "not_connected": 2, "no_answer": 1, "not_asked": 0,
    });
    assert_eq!((&told["accounting"], &told["hosts"]), (&accounting, &json!({"ok": 1, "failed": 4})));

    // as the same request by hand
    let file = network.file("nodes.txt", &list.join("\n")).display().to_string();
    let by_hand =
        alice.run(&["rpc", "rpcutil", "ping", "--nodes", &file, "--timeout", "2", "--json"]).code(2);
    assert_eq!(by_hand.json()["request_stats"]["accounting"], accounting);

    // a person who has waited enough
    let modules = network.path("modules").display().to_string();
    let file = network.path("report.json").display().to_string();
    let words =
        ["playbook", "run", "demo::ask", "--nodes", list[2], "--nodes", list[0], "--modulepath", &modules];
    let before = nodes[0].counter("replies");
    let mut running = alice.start(&[&words[..], &["--report", &file]].concat());
    nodes[0].counts("replies", before + 1);
    std::thread::sleep(Duration::from_millis(300));
    running.signal(Signal::INT);
    assert_eq!(running.ended().code(), Some(130));
    running.says(&["mcollective task: interrupted (1 ok, 1 no answer)"]);
    let told = &report(&network)["tasks"][0];
    assert_eq!((&told["accounting"]["ok"], &told["accounting"]["no_answer"]), (&json!(1), &json!(1)));
    nodes[2].log().signal(Signal::CONT);

    // nothing that can be sent to is no node
    let ran = run(&network, &alice, &["demo::ask", "--nodes", "n1.example.net", "--nodes", "a b"]).code(1);
    ran.silent().complains(&["the option 'nodes': \"a b\" is no name of a node"]);
}

/// Nodes that do what a test says, and count how often they were asked.
struct Fleet {
    network: Network,
    _stage: Stage,
    alice: Caller,
    names: Vec<String>,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    /// What nodes do that do not do well: a status code, or `unwell`, `odd`, `hangs`, `slow`.
    mood: Arc<Mutex<BTreeMap<String, &'static str>>>,
}

const STAGED: &str = "plan demo::staged (Choria::Nodes $nodes, Hash $more = {}) {
  choria::task({ action => 'demo.go', nodes => $nodes, silent => true, batch_sleep_time => 0, stages => '1,25%,100%' } + $more).map |$one| {
    [$one.host, $one.error ? { undef => $one['data']['said'], default => $one.error.details['class'] }]
  }
}
";

const PLAIN: &str = "plan demo::plain (Choria::Nodes $nodes) {
  choria::task(action => 'demo.go', nodes => $nodes, fail_ok => true, batch_size => 1, batch_sleep_time => 0, timeout => 1).map |$one| {
    [$one.host, $one.error ? { undef => 'fine', default => $one.error.details['class'] }]
  }
}
";

impl Fleet {
    fn new(count: usize) -> Fleet {
        let network = Network::start();
        let names: Vec<String> = (1..=count).map(|number| format!("n{number}.example.net")).collect();
        let asked = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let mood = Arc::<Mutex<BTreeMap<String, &'static str>>>::default();
        let (counts, moods) = (asked.clone(), mood.clone());
        let act: Act = Arc::new(move |node: &str, call: &Call| {
            let mood = || moods.lock().expect("moods").get(node).copied();
            if call.action == "look" {
                let unwell = mood() == Some("unwell");
                return if unwell {
                    failed(1, "it limps", json!({}))
                } else {
                    Outcome::ok(json!({"state": "up"}))
                };
            }
            *counts.lock().expect("counts").entry(node.to_owned()).or_default() += 1;
            while mood() == Some("hangs") {
                std::thread::sleep(Duration::from_millis(10));
            }
            match mood() {
                Some("slow") => std::thread::sleep(Duration::from_millis(3500)),
                Some("slower") => std::thread::sleep(Duration::from_millis(2000)),
                Some("odd") => return Outcome::ok(json!({"said": "nothing"})),
                Some(code) if let Ok(code) = code.parse() => return failed(code, "it broke", json!({})),
                _ => {}
            }
            Outcome::ok(json!({"said": "done"}))
        });
        let demo =
            interface("demo", 20, &[("go", &[], &["said"], json!([])), ("look", &[], &["state"], json!([]))]);
        let stage = Stage::of(&network, &names.iter().map(String::as_str).collect::<Vec<_>>(), &[demo], act);
        let alice = stage.alice(&network, "");
        network.file("modules/demo/plans/staged.pp", STAGED);
        network.file("modules/demo/plans/plain.pp", PLAIN);
        Fleet { network, _stage: stage, alice, names, asked, mood }
    }

    fn mood(&self, moods: &[(usize, &'static str)]) {
        let moods = moods.iter().map(|(number, mood)| (format!("n{number}.example.net"), *mood));
        *self.mood.lock().expect("moods") = moods.collect();
    }

    /// How often the nodes were asked, those of one to this number in their order.
    fn asked(&self, count: usize) -> Vec<usize> {
        let asked = self.asked.lock().expect("counts");
        assert!(asked.len() <= count, "{asked:?}");
        self.names[..count].iter().map(|name| asked.get(name).copied().unwrap_or(0)).collect()
    }

    #[track_caller]
    fn run(&self, plan: &str, words: &[&str]) -> Ran {
        run(&self.network, &self.alice, &[&[plan], words].concat())
    }

    #[track_caller]
    fn staged(&self, more: &Value) -> Ran {
        let input = json!({"nodes": self.names, "more": more}).to_string();
        self.run("demo::staged", &["--input", &input])
    }

    #[track_caller]
    fn resume(&self) -> Ran {
        let report = self.network.path("report.json").display().to_string();
        self.run("demo::staged", &["--resume", &report])
    }

    fn told(&self) -> Value {
        report(&self.network)["tasks"][0].clone()
    }
}

#[test]
fn every_answer_is_in_its_class() {
    let fleet = Fleet::new(7);
    // the first answers when the others are already asked
    let moods = [(1, "slow"), (2, "1"), (3, "2"), (4, "3"), (5, "4"), (6, "5"), (7, "slower")];
    fleet.mood(&moods);
    let nodes: Vec<&str> = fleet.names.iter().flat_map(|name| ["--nodes", name.as_str()]).collect();
    let ran = fleet.run("demo::plain", &nodes).code(0);
    let classes = ["fine", "aborted", "unknown_action", "invalid", "invalid", "failed", "fine"];
    let expected: Vec<Value> =
        fleet.names.iter().zip(classes).map(|(name, class)| json!([name, class])).collect();
    assert_eq!(ran.json(), json!(expected));
    let counts = "1 ok, 1 failed, 1 aborted, 2 invalid input, 1 without such an action, 1 answered too late";
    ran.complains(&[&format!("on 5 failed node(s) ({counts})\n")]);
}

#[test]
fn what_breaks_every_node_hits_the_first_and_goes_on_when_it_is_told() {
    let fleet = Fleet::new(12);
    let all: Vec<(usize, &str)> = (1..=12).map(|number| (number, "5")).collect();
    fleet.mood(&all);
    let ran = fleet.staged(&json!({})).code(1).silent();
    let stopped =
        "stopped in stage 1 of 3: 1 of the 1 nodes that were asked did badly, and 0 may; 11 were not asked";
    ran.complains(&["demo#go: stage 1 of 3: 1 node\n", stopped, "(1 failed, 11 not asked)", "FAILED"]);
    assert_eq!(fleet.asked(12)[..2], [1, 0]);
    let told = fleet.told();
    assert_eq!((&told["accounting"]["failed"], &told["accounting"]["not_asked"]), (&json!(1), &json!(11)));

    // It was seen to, and what it failed by is tried again: the first once more, the third breaks.
    fleet.mood(&[(3, "5")]);
    let ran = fleet.resume().code(1).silent();
    let said = ["stage 1 of 3: 1 node", "stage 2 of 3: 2 nodes", "stopped in stage 2 of 3: 1 of the 3 nodes"];
    ran.complains(&said).complains(&["(2 ok, 1 failed, 9 not asked)"]);
    assert_eq!(fleet.asked(12)[..4], [2, 1, 1, 0]);
    // Who did well is not asked again.
    fleet.mood(&[]);
    let ran = fleet.resume().code(0).complains(&["stage 2 of 3: 1 node", "stage 3 of 3: 9 nodes", "(12 ok)"]);
    let expected: Vec<Value> = fleet.names.iter().map(|name| json!([name, "done"])).collect();
    assert_eq!(ran.json(), json!(expected), "results of all, in their order");
    let told = fleet.told();
    assert_eq!((&told["accounting"]["ok"], &told["hosts"]), (&json!(12), &json!({"ok": 12, "failed": 0})));
    assert_eq!(fleet.asked(12), [vec![2, 1, 2], vec![1; 9]].concat());
    // It is done: nothing is to be gone on with.
    fleet.resume().code(0).complains(&["1 steps were done before", "done before: "]);
    assert_eq!(fleet.asked(12), [vec![2, 1, 2], vec![1; 9]].concat());
}

#[test]
fn stages_look_at_nodes_and_let_so_many_do_badly() {
    let fleet = Fleet::new(12);
    fleet.mood(&[(2, "unwell"), (3, "odd")]);
    let more = json!({"check": "demo.look if data('state') == 'up'", "assert": "said=done", "fail_ok": true});
    let said = ["the check says of n2.example.net: it limps", "stopped in stage 2 of 3: 2 of the 3 nodes"];
    let ran = fleet.staged(&more).code(0).complains(&said);
    // by its answer it did well, and yet there is something wrong with it
    assert_eq!(ran.json()[1], json!(["n2.example.net", "ok"]));
    assert_eq!(ran.json()[2], json!(["n3.example.net", "nothing"]));
    assert_eq!(ran.json()[3], json!(["n4.example.net", "not_asked"]));
    assert_eq!(fleet.asked(12)[..4], [1, 1, 1, 0]);
    // a further try asks those that did not do well, and goes on
    fleet.mood(&[(2, "5"), (9, "2")]);
    let ran = fleet.staged(&json!({"abort": 2, "tries": 2, "try_sleep": 0, "fail_ok": true})).code(0);
    ran.complains(&["on 2 failed node(s) (10 ok, 1 failed, 1 without such an action); try 1 of 2"]);
    assert_eq!(fleet.asked(12), vec![2, 3, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1]);
    assert_eq!(fleet.told()["accounting"]["ok"], 10);
}

#[test]
fn who_interrupts_stages_goes_on_by_the_report() {
    let fleet = Fleet::new(4);
    fleet.mood(&[(2, "hangs")]);
    let modules = fleet.network.path("modules").display().to_string();
    let report = fleet.network.path("report.json").display().to_string();
    let input = json!({"nodes": fleet.names, "more": {"stages": "1,2,100%"}}).to_string();
    let words =
        ["playbook", "run", "demo::staged", "--input", &input, "--modulepath", &modules, "--report", &report];
    let mut running = fleet.alice.start(&words);
    until("the second node to be asked", || (fleet.asked(4)[1] == 1).then_some(()));
    running.signal(Signal::INT);
    assert_eq!(running.ended().code(), Some(130));
    running.says(&["interrupted (1 ok, 1 no answer, 2 not asked)"]);
    fleet.mood(&[]);
    fleet.resume().code(0).complains(&["stage 2 of 3: 1 node", "stage 3 of 3: 2 nodes", "(4 ok)"]);
    assert_eq!(fleet.asked(4), [1, 2, 1, 1]);
}

#[test]
fn stages_that_cannot_be_are_refused_before_anything_is_sent() {
    let fleet = Fleet::new(2);
    for (more, complaint) in [
        (json!({"stages": "1,10"}), "the option 'stages': they end with 10 and not with 100%"),
        (json!({"stages": "1,x,100%"}), "the option 'stages': 'x' is neither a number of nodes nor a share"),
        (json!({"stages": 5}), "the option 'stages' has to be a String"),
        (json!({"abort": "100%"}), "the option 'abort': '100%' is neither a number of nodes nor a share"),
        (json!({"abort": -1}), "the option 'abort': '-1' is neither a number"),
        (json!({"check": "demo"}), "the option 'check': demo: write AGENT.ACTION"),
        (json!({"check": "demo.lok"}), "unknown action demo#lok, did you mean look?"),
        (json!({"check": "nosuch.look"}), "the option 'check': "),
        (json!({"check": "demo.look word=1"}), "the option 'check': demo.look word=1: "),
        (json!({"check": "demo.look word"}), "cannot use 'word' as an input, write key=value"),
        (json!({"check": "demo.look if ((("}), "the option 'check': … if (((: "),
        (json!({"check": "demo.look 'x"}), "has a quote that is not closed"),
        (json!({"stages": null, "abort": "1"}), "the option 'abort' is for tasks in stages"),
        (json!({"stages": null, "check": "demo.look"}), "the option 'check' is for tasks in stages"),
    ] {
        let ran = fleet.staged(&more).code(1).silent().complains(&[complaint]);
        assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("choria: ")).count(), 1, "{ran:?}");
    }
    assert_eq!(fleet.asked(2), [0, 0]);
}
