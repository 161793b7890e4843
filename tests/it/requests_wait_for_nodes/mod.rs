//! `choria rpc --until` and `choria requests`: what was asked while a node was away runs there once when it comes.

mod adversaries;
mod bounds;
mod fleets;
mod refusals;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::a_broker_is_a_leaf::hub::Release;
use crate::network::{Caller, Network, Node, NodeSetup, node};
use crate::process::until;
use crate::streams_are_used::Keeping;

/// A network that keeps requests.
fn keeping() -> Keeping {
    keeping_of(Release::Newest)
}

/// The same by another release of nats-server.
fn keeping_of(release: Release) -> Keeping {
    Keeping::of(release, "plugin.choria.network.stream.requests = true\n")
}

/// A node that takes them, and runs what its shell is told.
fn taking(name: &str) -> NodeSetup {
    node(name).lines(
        "plugin.choria.requests.enabled = true\nplugin.choria.requests.interval = 1s\n\
         plugin.shell.activate_agent = true\n",
    )
}

/// A file that a command writes a line to, each time it runs.
struct Marks(PathBuf);

impl Marks {
    fn of(network: &Network, name: &str) -> Marks {
        Marks(network.path(name))
    }

    fn count(&self) -> usize {
        fs::read_to_string(&self.0).unwrap_or_default().lines().count()
    }

    /// The input of an action that makes one.
    fn command(&self, more: &str) -> String {
        format!("command=echo ran >> {}{more}", self.0.display())
    }
}

/// Asks for a node that does not answer; the id of what is kept for it.
#[track_caller]
fn keep(caller: &Caller, node: &str, words: &[&str]) -> String {
    let ran = caller.run(&[&["rpc"], words, &["-I", node, "--timeout", "1"]].concat());
    ran.stderr.split("choria requests show ").nth(1).unwrap_or_else(|| panic!("{ran:?}")).trim().to_owned()
}

fn shown(caller: &Caller, id: &str) -> Value {
    caller.run(&["requests", "show", id, "--json"]).fine().json()
}

/// Waits until the node of a request has come to this state.
#[track_caller]
fn comes_to(caller: &Caller, id: &str, state: &str) -> Value {
    until(&format!("request {id} to be {state}"), || {
        let node = shown(caller, id)["nodes"][0].clone();
        (node["state"] == state).then_some(node)
    })
}

fn audited(node: &Node, id: &str) -> usize {
    node.audit().iter().filter(|line| line["request_id"] == id).count()
}

#[test]
fn a_node_runs_once_what_was_asked_while_it_was_away() {
    let Keeping { network, alice, .. } = &keeping_of(Release::Oldest);
    let mut node = network.node_elsewhere(taking("n1"));
    let marks = Marks::of(network, "marks");
    let id = keep(alice, "n1.example.net", &["shell", "run", &marks.command(""), "--until", "1h"]);
    alice.run(&["requests", "list"]).fine().says(&[&id[..8], "shell run command=echo ran"]);
    let waiting = shown(alice, &id);
    assert_eq!(
        (&waiting["nodes"][0]["state"], &waiting["states"]["waiting"]),
        (&"waiting".into(), &1.into())
    );
    node.start();
    let answer = comes_to(alice, "last", "answered");
    assert_eq!(
        (answer["statuscode"].as_i64(), answer["data"]["exitcode"].as_i64()),
        (Some(0), Some(0)),
        "{answer}"
    );
    alice.run(&["requests", "show", &id[..6]]).fine().says(&["n1.example.net", "answered", "OK"]);
    assert_eq!((marks.count(), audited(&node, &id)), (1, 1));

    // nor after a restart, nor where what it remembers was lost
    node.start();
    node.connected();
    fs::remove_file(node.dir.join("status.json.requests")).unwrap();
    let other = keep(alice, "n9.example.net", &["rpcutil", "ping", "--until", "1h"]);
    node.start();
    let next = keep_while_stopped(&mut node, alice);
    comes_to(alice, &next, "answered");
    assert_eq!(marks.count(), 1);
    assert_eq!(shown(alice, &other)["nodes"][0]["state"], "waiting");
}

/// Something is kept for a node that is stopped meanwhile: when it is answered, all before it has been looked at.
fn keep_while_stopped(node: &mut Node, caller: &Caller) -> String {
    node.kill();
    let id = until("the node to be gone", || {
        let ran =
            caller.run(&["rpc", "rpcutil", "ping", "-I", &node.name, "--timeout", "1", "--until", "1h"]);
        let kept = ran.stderr.split("choria requests show ").nth(1);
        kept.filter(|_| ran.stderr.contains("nobody listens")).map(|id| id.trim().to_owned())
    });
    node.start();
    id
}

#[test]
fn what_was_begun_is_not_begun_again() {
    let Keeping { network, alice, .. } = &keeping();
    let mut node = network.node_elsewhere(taking("n1"));
    let (marks, gate) = (Marks::of(network, "marks"), network.file("gate", ""));
    let waits = marks.command(&format!("; while [ -e {} ]; do sleep 0.1; done", gate.display()));
    let id = keep(alice, "n1.example.net", &["shell", "run", &waits, "--until", "1h"]);
    node.start();
    comes_to(alice, &id, "begun");
    until("it to run", || (marks.count() == 1).then_some(()));
    // what is begun is not cancelled
    alice.run(&["requests", "cancel", &id, "-f"]).fine().says(&["0 cancelled, 1 had begun"]);
    node.kill();
    node.start();
    let answer = comes_to(alice, &id, "answered");
    assert!(answer["reason"].as_str().unwrap().contains("ended before its end was known"), "{answer}");
    let next = keep_while_stopped(&mut node, alice);
    comes_to(alice, &next, "answered");
    assert_eq!((marks.count(), audited(&node, &id)), (1, 1));
    fs::remove_file(gate).unwrap();
}

#[test]
fn a_node_that_is_killed_again_and_again_runs_each_once() {
    let Keeping { network, alice, .. } = &keeping();
    let mut node = network.node_elsewhere(taking("n1"));
    let marks = network.path("marks");
    let ids: Vec<String> = (0..12)
        .map(|n| {
            let command = format!("command=echo {n} >> {}; sleep 0.{n:02}", marks.display());
            keep(alice, "n1.example.net", &["shell", "run", &command, "--until", "1h"])
        })
        .collect();
    let ran = || fs::read_to_string(&marks).unwrap_or_default();
    let some_wait = || {
        let listed = alice.run(&["requests", "list", "--json"]).json();
        listed.as_array().expect("a list").iter().any(|request| request["states"]["waiting"] == 1)
    };
    // each time just behind something that began, be its end remembered or not
    while some_wait() {
        let before = ran().len();
        node.start();
        until("another to run", || (ran().len() > before || !some_wait()).then_some(()));
        node.kill();
    }
    node.start();
    let mut runs = 0;
    for (n, id) in ids.iter().enumerate() {
        let answer = until(&format!("request {id} to be over"), || {
            let node = shown(alice, id)["nodes"][0].clone();
            ["answered", "refused"].contains(&node["state"].as_str()?).then_some(node)
        });
        let marks = ran().lines().filter(|line| *line == n.to_string()).count();
        // of one whose end is not known it is not known either whether its command had begun
        let known = answer["statuscode"].is_number();
        assert!(marks == 1 && answer["state"] == "answered" || marks == 0 && !known, "{n}: {marks} {answer}");
        assert!(audited(&node, id) <= 1, "{n}");
        runs += marks;
    }
    // of one killed between its beginning and its run, it did not run
    assert!(runs >= 8, "{runs}");
}

#[test]
fn a_node_that_is_told_to_end_waits_for_what_it_runs() {
    let Keeping { network, alice, .. } = &keeping();
    let mut node = network.node_elsewhere(taking("n1").lines("soft_shutdown_timeout = 30\n"));
    let (marks, gate) = (Marks::of(network, "marks"), network.file("gate", ""));
    let waits = marks.command(&format!("; while [ -e {} ]; do sleep 0.1; done; echo done", gate.display()));
    let id = keep(alice, "n1.example.net", &["shell", "run", &waits, "--until", "1h"]);
    node.start();
    until("it to run", || (marks.count() == 1).then_some(()));
    node.daemon().signal(rustix::process::Signal::TERM);
    fs::remove_file(gate).unwrap();
    assert!(node.daemon().ended().success());
    node.start();
    let answer = comes_to(alice, &id, "answered");
    // what an agent has to say of its end is known
    assert!(answer["statusmsg"].as_str().unwrap().contains("it goes on"), "{answer}");
    assert_eq!((marks.count(), audited(&node, &id)), (1, 1));
}

#[test]
fn who_answers_too_late_has_run_it() {
    let Keeping { network, alice, .. } = &keeping();
    let node = network.nodes([taking("n1")]).remove(0);
    let marks = Marks::of(network, "marks");
    let id = keep(alice, "n1.example.net", &["shell", "run", &marks.command("; sleep 3"), "--until", "1h"]);
    let answer = comes_to(alice, &id, "refused");
    assert!(answer["reason"].as_str().unwrap().contains("when it was first asked"), "{answer}");
    assert_eq!((marks.count(), audited(&node, &id)), (1, 1));
}

/// What docs/streams.md shows, as it stands there.
#[test]
fn the_example_of_the_page_runs() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/streams.md")).expect("a page");
    let section = page.split("\n## Requests for absent nodes\n").nth(1).expect("the section");
    let block =
        section.split("```sh run\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let settings = |at: usize| -> String {
        let block = section.split("```ini\n").nth(at).and_then(|rest| rest.split("```").next());
        block.expect("settings").to_owned()
    };
    let Keeping { network, alice, .. } = &Keeping::start(&settings(1));
    let _here = network.nodes([node("n1").lines(&settings(2))]);
    let list = network.file("nodes.txt", "n1.example.net\nn2.example.net\n").display().to_string();
    let ran: Vec<_> = block
        .lines()
        .map(|line| {
            let line = line.split("  #").next().unwrap_or(line).replace("nodes.txt", &list);
            let words = shlex::split(&line).expect("words");
            alice.run(&words.iter().skip(1).map(String::as_str).collect::<Vec<_>>())
        })
        .collect();
    let [asked, listed, shown, document, cancelled] = <[_; 5]>::try_from(ran).expect("five commands");
    asked.says(&["n1.example.net"]).complains(&["kept for 1 node", "choria requests show"]);
    listed.fine().says(&["rpcutil ping"]);
    shown.fine().says(&["n2.example.net", "waiting"]);
    assert_eq!(document.fine().json()["states"]["waiting"], 1);
    cancelled.fine().says(&["1 cancelled"]);
}
