//! `rpc --stages`: a change that breaks what it touches hits one node, and nobody is asked
//! twice, whatever becomes of the client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use choria::core::agents::{Call, Outcome};
use rustix::process::Signal;
use serde_json::json;

use crate::network::{Caller, Network};
use crate::process::until;
use crate::stage::{Act, Stage, failed, interface};

const COUNT: usize = 12;

/// A fleet whose nodes break, or do not, and count how often they were asked.
struct Fleet {
    _stage: Stage,
    _network: Network,
    alice: Caller,
    names: Vec<String>,
    list: String,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Nodes that break, those whose check fails, and the one that takes its time.
    mood: Arc<Mutex<Mood>>,
}

#[derive(Default)]
struct Mood {
    breaks: Vec<String>,
    unwell: Vec<String>,
    hangs: Option<String>,
    ponders: Option<String>,
    pondering: bool,
}

impl Fleet {
    fn new() -> Fleet {
        let network = Network::start();
        let names: Vec<String> = (1..=COUNT).map(|number| format!("n{number}.example.net")).collect();
        let (asked, mood) = (Arc::<Mutex<BTreeMap<String, usize>>>::default(), Arc::<Mutex<Mood>>::default());
        let (counts, moods) = (asked.clone(), mood.clone());
        let act: Act = Arc::new(move |node: &str, call: &Call| {
            let is = |list: &[String]| list.iter().any(|name| name == node);
            if call.action == "look" {
                while moods.lock().expect("moods").ponders.as_deref() == Some(node) {
                    moods.lock().expect("moods").pondering = true;
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                let unwell = is(&moods.lock().expect("moods").unwell);
                return if unwell {
                    failed(1, "it limps", json!({"state": "up"}))
                } else {
                    Outcome::ok(json!({"state": "up"}))
                };
            }
            *counts.lock().expect("counts").entry(node.to_owned()).or_default() += 1;
            while moods.lock().expect("moods").hangs.as_deref() == Some(node) {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let broken = is(&moods.lock().expect("moods").breaks);
            if broken { failed(1, "it broke", json!({})) } else { Outcome::ok(json!({})) }
        });
        let mut demo = interface(
            "demo",
            20,
            &[("go", &["word:string?"], &[], json!([])), ("look", &[], &["state"], json!([]))],
        );
        demo["actions"][0]["input"]["word"]["secret"] = json!(true);
        let stage = Stage::of(&network, &names.iter().map(String::as_str).collect::<Vec<_>>(), &[demo], act);
        let alice = stage.alice(&network, "");
        let list = network.file("nodes.txt", &names.join("\n")).display().to_string();
        Fleet { _stage: stage, _network: network, alice, names, list, asked, mood }
    }

    fn mood(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.mood.lock().expect("moods"));
    }

    fn go<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        [&["rpc", "demo", "go", "--nodes", &self.list, "--batch-sleep", "0", "--np"], words].concat()
    }

    /// How many were asked, each once.
    fn asked(&self) -> usize {
        let asked = self.asked.lock().expect("counts");
        assert!(asked.values().all(|times| *times == 1), "{asked:?}");
        asked.len()
    }
}

#[test]
fn what_breaks_every_node_hits_the_first_and_goes_on_when_it_is_told() {
    let fleet = Fleet::new();
    fleet.mood(|mood| mood.breaks = fleet.names.clone());
    let stages = ["--stages", "1,25%,100%"];
    let ran = fleet.alice.run(&fleet.go(&stages)).code(2).says(&["it broke", "11 not asked"]);
    ran.complains(&[
        "stage 1 of 3: 1 node\n",
        "stopped in stage 1 of 3: 1 of the 1 nodes that were asked did badly, and 0 may; 11 were not asked",
        "choria rpc --resume",
    ]);
    assert_eq!(fleet.asked(), 1);

    // Going on judges first: nobody is asked.
    let resume = ["rpc", "--resume", "last", "--np"];
    fleet.alice.run(&resume).code(2).complains(&["stopped in stage 1 of 3"]);
    assert_eq!(fleet.asked(), 1);
    // One more may do badly, and one more does: the second stage is asked to its end.
    fleet.mood(|mood| mood.breaks = fleet.names[..2].to_vec());
    fleet
        .alice
        .run(&[&resume[..], &["--batch-sleep", "-1"]].concat())
        .code(1)
        .complains(&["no time to wait"]);
    let ran = fleet.alice.run(&[&resume[..], &["--abort", "1", "--batch-sleep", "0"]].concat()).code(2);
    ran.complains(&["stage 2 of 3: 2 nodes", "stopped in stage 2 of 3: 2 of the 3 nodes"]);
    assert_eq!(fleet.asked(), 3);
    let ran = fleet.alice.run(&[&resume[..], &["--abort", "20%"]].concat()).code(2);
    ran.complains(&["2 of the 3 nodes that were asked did badly, and 0 may"]);
    let ran = fleet.alice.run(&[&resume[..], &["--abort", "2"]].concat()).code(0);
    assert!(ran.stderr.contains("stage 3 of 3: 9 nodes") && !ran.stderr.contains("--resume"), "{ran:?}");
    assert_eq!(fleet.asked(), COUNT);
    fleet.alice.run(&resume).code(1).complains(&["no change is kept"]);

    for (words, text) in [
        (fleet.go(&["--stages", "1,10"]), "they end with 10 and not with 100%"),
        (fleet.go(&["--stages", "1,x,100%"]), "'x' is neither a number of nodes nor a share"),
        (fleet.go(&["--stages", "1,100%", "--abort", "100%"]), "--abort '100%' is neither"),
        (fleet.go(&["--stages", "1,100%", "--check", "demo"]), "write AGENT.ACTION"),
        (fleet.go(&["--stages", "1,100%", "--check", "demo.lok"]), "did you mean look?"),
        (fleet.go(&["--stages", "1,100%", "--nr"]), "--stages judges by replies"),
        (vec!["rpc", "demo", "go", "--abort", "1"], "--abort is for requests in stages"),
        (
            vec!["rpc", "--resume", "last", "-I", "n5.example.net"],
            "--resume asks those that were not asked yet",
        ),
        (
            vec!["rpc", "--resume", "last", "--nodes", &fleet.list],
            "--resume asks those that were not asked yet",
        ),
        (vec!["rpc", "--resume", "last", "--limit", "1"], "--limit and --resume exclude each other"),
        (vec!["rpc", "--resume", "last", "--retry", "ok", "last"], "--retry and --resume exclude each other"),
    ] {
        let ran = fleet.alice.run(&words).code(1).silent().complains(&[text]);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    assert_eq!(fleet.asked(), COUNT, "nobody was asked by a mistake");
}

#[test]
fn a_client_that_is_killed_goes_on_where_it_was() {
    let fleet = Fleet::new();
    let third = fleet.names[2].clone();
    fleet.mood(|mood| mood.hangs = Some(third.clone()));
    let words = fleet.go(&["--stages", "1,25%,100%", "--check", "demo.look", "word=hunter2"]);
    let mut client = fleet.alice.start(&words);
    until("the third node to be asked", || fleet.asked.lock().unwrap().contains_key(&third).then_some(()));
    let id = "last";
    fleet
        .alice
        .run(&["rpc", "--resume", id, "word=hunter2"])
        .code(1)
        .complains(&["is being made by another command"]);
    client.signal(Signal::KILL);
    client.ended();
    fleet.mood(|mood| mood.hangs = None);
    let dir = fleet._network.path(".local/state/choria/stages");
    for file in std::fs::read_dir(dir).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
    }
    fleet.alice.run(&["rpc", "--resume", id]).code(1).complains(&["the input word", "was not kept"]);
    fleet
        .alice
        .run(&["rpc", "--resume", id, "other=1", "word=hunter2"])
        .code(1)
        .complains(&["--resume goes on with what was asked: cannot use 'other'"]);
    // The stage that was under way is looked at, those too that had answered well.
    fleet.mood(|mood| mood.unwell = vec![fleet.names[1].clone()]);
    let ran = fleet.alice.run(&["rpc", "--resume", id, "word=hunter2", "--np"]).code(2);
    ran.complains(&[
        "the check says of n2.example.net: it limps",
        "stopped in stage 2 of 3: 1 of the 3 nodes",
    ]);
    fleet.mood(|mood| mood.unwell.clear());
    // Whose answer was lost is looked at, and is well.
    let ran = fleet.alice.run(&["rpc", "--resume", id, "word=hunter2", "--np", "--json"]).code(0);
    assert_eq!(ran.json()["request_stats"]["discovered"], 9, "{ran:?}");
    assert_eq!(fleet.asked(), COUNT);
}

#[test]
fn a_check_looks_at_what_seemed_to_do_well() {
    let fleet = Fleet::new();
    fleet.mood(|mood| mood.unwell = vec![fleet.names[1].clone()]);
    let ran =
        fleet.alice.run(&fleet.go(&["--stages", "1,3,100%", "--check", "demo.look", "--batch", "1"])).code(2);
    ran.complains(&[
        "the check says of n2.example.net: it limps",
        "stopped in stage 2 of 3: 1 of the 3 nodes",
    ]);
    assert_eq!(fleet.asked(), 3);
    let failed = fleet.alice.run(&["rpc", "demo", "look", "--only", "failed", "last", "--json"]).json();
    assert_eq!(failed["request_stats"]["discovered"], 1, "the one that limps: {failed:#}");
    // It was seen to: the change goes on, in groups of one as before, and stops in the middle of a stage.
    fleet.mood(|mood| *mood = Mood { breaks: vec![fleet.names[5].clone()], ..Mood::default() });
    let ran = fleet.alice.run(&["rpc", "--resume", "last", "--np"]).code(2);
    ran.complains(&["stopped in stage 3 of 3: 1 of the 6 nodes", "6 were not asked"]);
    assert_eq!(fleet.asked(), 6);
    // As many as may, and yet not all is well.
    fleet.mood(|mood| mood.breaks.clear());
    fleet.mood(|mood| mood.unwell = vec![fleet.names[9].clone()]);
    let ran = fleet.alice.run(&["rpc", "--resume", "last", "--np", "--abort", "1"]).code(2);
    assert!(!ran.stderr.contains("stopped"), "{ran:?}");
    ran.complains(&["the check says of n10.example.net: it limps"]);
    assert_eq!(fleet.asked(), COUNT);
    // What is answered counts, too.
    let look = ["rpc", "demo", "look", "--nodes", &fleet.list, "--np", "--stages", "1,100%", "--check"];
    let ran = fleet.alice.run(&[&look[..], &["demo.look if data('state') == 'down'"]].concat()).code(2);
    ran.complains(&["it is not so that data('state') == 'down'", "stopped in stage 1 of 2"]);
}

#[test]
fn the_check_of_the_last_stage_comes_to_its_end_later() {
    [true, false].into_iter().for_each(the_last_check_ends);
}

fn the_last_check_ends(well: bool) {
    let fleet = Fleet::new();
    fleet.mood(|mood| mood.ponders = Some(fleet.names[7].clone()));
    let mut killed = fleet.alice.start(&fleet.go(&["--stages", "1,100%", "--check", "demo.look"]));
    until("the check to look", || fleet.mood.lock().expect("moods").pondering.then_some(()));
    assert_eq!(fleet.asked(), COUNT);
    killed.signal(rustix::process::Signal::KILL);
    killed.ended();
    let unwell = if well { vec![] } else { vec![fleet.names[8].clone()] };
    fleet.mood(|mood| *mood = Mood { unwell, ..Mood::default() });
    let ran = fleet.alice.run(&["rpc", "--resume", "last", "--np"]).code(if well { 0 } else { 2 });
    if well {
        assert_eq!(fleet.asked(), COUNT);
        return;
    }
    ran.complains(&["the check says of n9.example.net: it limps"]);
    assert_eq!(fleet.asked(), COUNT);
    // it was looked at
    fleet
        .alice
        .run(&["rpc", "--resume", "last", "--np"])
        .code(1)
        .complains(&["all nodes of that request were asked"]);
}
