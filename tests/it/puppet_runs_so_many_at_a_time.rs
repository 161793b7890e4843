//! `mco puppet`: counting, summing up, and running a fleet a few nodes at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use choria::core::agents::{Call, Outcome};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::network::Network;
use crate::stage::{Stage, failed, interface};

const RUNS: [&str; 4] = ["n1.example.net", "n2.example.net", "n3.example.net", "n4.example.net"];
const DISABLED: &str = "off.example.net";
const STUCK: &str = "stuck.example.net";
const REFUSES: &str = "no.example.net";
/// How long a catalog is applied.
const RUN: Duration = Duration::from_millis(1200);

/// Agents of a fleet, as they would be.
#[derive(Default)]
struct Agents {
    /// Until when, and how often it ran.
    applying: BTreeMap<String, (Option<Instant>, i64)>,
    most: usize,
    inputs: Vec<Value>,
}

impl Agents {
    fn call(&mut self, node: &str, call: &Call) -> Outcome {
        let now = Instant::now();
        for (until, runs) in self.applying.values_mut() {
            if until.is_some_and(|until| until < now) {
                (*until, *runs) = (None, *runs + 1);
            }
        }
        let applying = self.applying.values().filter(|(until, _)| until.is_some()).count();
        self.most = self.most.max(applying);
        let (until, runs) = self.applying.entry(node.to_owned()).or_default();
        match call.action.as_str() {
            "status" => Outcome::ok(json!({
                "enabled": node != DISABLED, "applying": until.is_some(), "idling": false,
                "daemon_present": node == "n1.example.net", "lastrun": *runs,
                "status": "stopped", "message": "Currently stopped; last completed run 5 minutes ago",
            })),
            "last_run_summary" => Outcome::ok(json!({"total_resources": 100 + *runs, "total_time": 2.5})),
            "runonce" if node == REFUSES => failed(1, "Puppet is disabled: 'just now'", json!({})),
            "runonce" => {
                self.inputs.push(Value::Object(call.data.clone()));
                if node != STUCK {
                    *until = Some(now + RUN);
                    self.most = self.most.max(applying + 1);
                }
                Outcome::ok(json!({"summary": "Started a run", "initiated_at": 1}))
            }
            "resource" => Outcome::ok(json!({"result": call.text("ensure"), "changed": true})),
            _ => Outcome::ok(json!({"status": "Succesfully locked", "enabled": false})),
        }
    }
}

fn puppet() -> Value {
    let run: &[&str] = &[
        "force:boolean?",
        "server:string?",
        "tags:string?",
        "skip_tags:string?",
        "noop:boolean?",
        "splay:boolean?",
        "splaylimit:number?",
        "environment:string?",
        "use_cached_catalog:boolean?",
    ];
    let status: &[&str] =
        &["enabled", "applying", "idling", "daemon_present", "lastrun", "status", "message"];
    interface(
        "puppet",
        20,
        &[
            ("status", &[], status, json!([{"function": "summary", "args": ["status"]}])),
            ("last_run_summary", &["logs:boolean?"], &["total_resources", "total_time"], json!([])),
            ("runonce", run, &["summary", "initiated_at"], json!([])),
            ("disable", &["message:string?"], &["status", "enabled"], json!([])),
            ("enable", &[], &["status", "enabled"], json!([])),
            ("resource", &["type:string", "name:string"], &["result", "changed"], json!([])),
        ],
    )
}

fn fleet(names: &[&str]) -> (Network, Stage, Arc<Mutex<Agents>>) {
    let network = Network::start();
    let agents: Arc<Mutex<Agents>> = Arc::default();
    let acting = agents.clone();
    let act = move |node: &str, call: &Call| acting.lock().expect("agents").call(node, call);
    let stage = Stage::of(&network, names, &[puppet()], Arc::new(act));
    (network, stage, agents)
}

#[test]
fn no_more_than_two_apply_and_all_have_their_turn() {
    let names = [&RUNS[..], &[DISABLED]].concat();
    let (network, stage, agents) = fleet(&names);
    let alice = stage.alice(&network, "");
    let ran = alice.run(&["puppet", "runall", "2", "-y", "--tags", "web", "--tag", "db", "--noop"]).fine();
    let ran = ran.says(&["running 4 nodes, 2 at a time", "4 nodes ran, 0 were given up"]);
    let agents = agents.lock().expect("agents");
    assert_eq!(agents.most, 2, "{ran:?}");
    for node in RUNS {
        assert!(ran.stdout.contains(&format!("{node} has run")), "{ran:?}");
    }
    assert!(!ran.stdout.contains(DISABLED), "{ran:?}");
    assert_eq!(agents.inputs.len(), 4);
    assert!(
        agents.inputs.iter().all(|inputs| *inputs == json!({"force": true, "noop": true, "tags": "web,db"}))
    );
}

#[test]
fn who_does_not_run_is_given_up() {
    let (network, stage, _agents) = fleet(&["n1.example.net", STUCK, REFUSES]);
    let alice = stage.alice(&network, "");
    let ran = alice.run(&["puppet", "runall", "3", "-y"]).code(2);
    ran.says(&[
        "n1.example.net has run",
        "no.example.net is given up: Puppet is disabled: 'just now'",
        "stuck.example.net is given up: it was told to run and did not begin to",
        "1 nodes ran, 2 were given up",
    ]);
    // An interrupt tells where it stands.
    let mut running = alice.start(&["puppet", "runall", "1", "-I", STUCK, "--rerun", "60"]);
    running.says(&["starting stuck.example.net"]);
    running.signal(Signal::INT);
    assert_eq!(running.ended().code(), Some(130));
    running.says(&["interrupted: 1 nodes are applying and go on, 0 were not told to"]);
}

#[test]
fn agents_are_counted_and_summed_up() {
    let names = [&RUNS[..2], &[DISABLED]].concat();
    let (network, stage, agents) = fleet(&names);
    let alice = stage.alice(&network, "");
    let count = alice.run(&["puppet", "count"]).fine();
    assert_eq!(
        count.stdout,
        "Total Puppet nodes: 3\n\n          Nodes currently enabled: 2\n         Nodes currently disabled: 1\n\n\
         Nodes currently doing puppet runs: 0\n          Nodes currently stopped: 3\n\n       \
         Nodes with daemons started: 1\n    Nodes without daemons started: 2\n       Daemons started but idling: 0\n\n"
    );
    let summary = alice.run(&["puppet", "summary"]).fine();
    summary.says(&[
        "Summary statistics for 3 nodes:",
        "                  Total resources: ",
        "min: 100.0  avg: 100.0  max: 100.0",
    ]);
    alice.run(&["puppet", "status", "-I", RUNS[0]]).fine().says(&[
        "   n1.example.net: Currently stopped; last completed run 5 minutes ago\n\nSummary of Status:\n\n   stopped: 1\n",
    ]);
    alice.run(&["puppet", "disable", "no runs today", "-I", RUNS[0]]).fine().says(&["1 / 1 hosts"]);
    let words =
        ["puppet", "resource", "service", "httpd", "ensure=running", "-I", RUNS[0], "--display", "all"];
    alice.run(&words).fine().says(&["Result: running", "Changed: true"]);
    let runonce =
        ["puppet", "runonce", "--no-noop", "-E", "test", "--splay", "--splaylimit", "10", "-I", RUNS[1]];
    alice.run(&runonce).fine().says(&["1 / 1 hosts"]);
    let inputs = agents.lock().expect("agents").inputs.clone();
    assert_eq!(inputs, [json!({"environment": "test", "noop": false, "splay": true, "splaylimit": 10})]);

    for (words, texts) in [
        (&["puppet"][..], &["say what to do: count, disable"][..]),
        (&["puppet", "runall"], &["how many nodes may run at a time"]),
        (&["puppet", "runall", "0"], &["1 or more"]),
        (&["puppet", "runall", "2", "--json"], &["no other form"]),
        (&["puppet", "runonce", "--force", "--splay"], &["--force runs at once"]),
        (&["puppet", "runonce", "--noop", "--no-noop"], &["exclude each other"]),
        (&["puppet", "runonce", "--rerun", "5"], &["--rerun is for runall"]),
        (&["puppet", "resource", "service"], &["needs a type and a name"]),
        (&["puppet", "resource", "service", "x", "y"], &["write key=value"]),
        (&["puppet", "stats"], &["did you mean status?"]),
        (&["puppet", "status", "x"], &["cannot use 'x'"]),
    ] {
        alice.run(words).code(1).silent().complains(texts);
    }
}
