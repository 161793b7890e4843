//! `mco shell`: output at the end, output as it comes, and what an interrupt does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use choria::core::agents::{Call, Outcome};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::network::{Network, node};
use crate::stage::{Stage, failed, interface};

const N1: &str = "n1.example.net";
const N2: &str = "n2.example.net";

/// Commands that run on until they are killed, or have written three lines.
#[derive(Default)]
struct Jobs {
    /// Looks so far, and whether it was killed.
    jobs: BTreeMap<String, (usize, bool)>,
    /// Nobody may end them.
    endless: bool,
}

impl Jobs {
    fn call(&mut self, node: &str, call: &Call) -> Outcome {
        let first = node == N1;
        let handle = format!("job-{}", &node[..2]);
        match call.action.as_str() {
            "run" if first => Outcome::ok(
                json!({"stdout": format!("ran {}\n", call.text("command")), "stderr": "", "exitcode": 0,
                    "success": true}),
            ),
            "run" => {
                Outcome::ok(json!({"stdout": "", "stderr": "not here\n", "exitcode": 127, "success": true}))
            }
            "start" => {
                self.endless = call.text("command") == "endless";
                self.jobs.insert(handle.clone(), (0, false));
                Outcome::ok(json!({"handle": handle}))
            }
            "list" => {
                let jobs = self.jobs.keys().filter(|job| **job == handle);
                let jobs: BTreeMap<&String, Value> =
                    jobs.map(|job| (job, json!({"command": "count", "status": "running"}))).collect();
                Outcome::ok(json!({"jobs": jobs}))
            }
            "kill" | "status" if call.text("handle") != handle => failed(1, "no such handle", json!({})),
            "kill" if self.endless => failed(5, "nobody may end it", json!({})),
            "kill" => {
                self.jobs.entry(handle).or_default().1 = true;
                Outcome::ok(json!({}))
            }
            _ => self.status(&handle, call),
        }
    }

    fn status(&mut self, handle: &str, call: &Call) -> Outcome {
        let Some((looks, killed)) = self.jobs.get_mut(handle) else {
            return failed(1, "no such handle", json!({}));
        };
        *looks += 1;
        // A line and a half at each look.
        let written = "line one\nline two\nline three\n";
        let seen = (*looks * 13).min(written.len());
        let offset = call.data.get("stdout_offset").and_then(Value::as_u64).unwrap_or(0) as usize;
        let endless = handle == "job-n2";
        let over = *killed || seen == written.len() && !endless;
        let code = if *killed { json!(143) } else { json!(0) };
        Outcome::ok(json!({
            "status": if over { "stopped" } else { "running" },
            "stdout": &written[offset.min(seen)..seen], "stderr": "",
            "exitcode": if over { code } else { Value::Null },
        }))
    }
}

fn fleet() -> (Network, Stage) {
    let network = Network::start();
    let jobs: Arc<Mutex<Jobs>> = Arc::default();
    let act = move |node: &str, call: &Call| jobs.lock().expect("jobs").call(node, call);
    let shell = interface(
        "shell",
        20,
        &[
            (
                "run",
                &["command:string", "user:string?", "timeout:float?"],
                &["stdout", "stderr", "exitcode"],
                json!([]),
            ),
            ("start", &["command:string", "user:string?"], &["handle"], json!([])),
            (
                "status",
                &["handle:string", "stdout_offset:integer?", "stderr_offset:integer?"],
                &["status", "stdout", "stderr", "exitcode"],
                json!([]),
            ),
            ("kill", &["handle:string"], &[], json!([])),
            ("list", &[], &["jobs"], json!([])),
        ],
    );
    let stage = Stage::of(&network, &[N1, N2], &[shell], Arc::new(act));
    (network, stage)
}

#[test]
fn commands_run_start_and_are_looked_after() {
    let (network, stage) = fleet();
    let alice = stage.alice(&network, "");
    let ran = alice.run(&["shell", "run", "uptime", "now", "--sort", "-y"]).fine();
    ran.says(&[
        "n1.example.net:\nran uptime now\n\n",
        "n2.example.net:\n    STDERR:\nnot here\nexitcode: 127\n\n",
        "2 / 2 hosts",
    ]);
    let tail = alice.run(&["shell", "run", "--tail", "count", "-I", N1]).fine();
    assert_eq!(
        tail.stdout,
        "n1.example.net stdout: line one\nn1.example.net stdout: line two\nn1.example.net stdout: line three\n"
    );
    alice.run(&["shell", "start", "count", "-I", N1]).fine().says(&["n1.example.net: job-n1\n"]);
    alice.run(&["shell", "list"]).fine().says(&["n1.example.net:\n    job-n1\n\n"]);
    let listed = alice.run(&["shell", "list", "-v", "-I", N1]).fine();
    listed.says(&["    job-n1 running  count\n"]);
    let watched = alice.run(&["shell", "watch", "job-n1"]).fine();
    assert_eq!(watched.stdout.matches("n1.example.net stdout: line").count(), 3, "{watched:?}");
    alice
        .run(&["shell", "watch", "nosuch"])
        .code(1)
        .complains(&["none of 2 nodes has a command of that handle"]);
    alice.run(&["shell", "kill", "job-n1", "-I", N1]).fine().says(&["1 / 1 hosts"]);
    alice.run(&["shell", "kill", "job-n1", "-I", N2]).code(2).says(&["n2.example.net: no such handle"]);
    for (words, texts) in [
        (&["shell"][..], &["say what to do"][..]),
        (&["shell", "run"], &["run needs a command"]),
        (&["shell", "run", ""], &["run needs a command"]),
        (&["shell", "kill"], &["kill needs the handle"]),
        (&["shell", "lits"], &["did you mean list?"]),
        (&["shell", "list", "x"], &["cannot use 'x'"]),
        (&["shell", "start", "--tail", "x"], &["--tail is for run only"]),
        (&["shell", "run", "--tail", "x", "--json"], &["no other form"]),
    ] {
        alice.run(words).code(1).silent().complains(texts);
    }
}

#[test]
fn an_interrupt_ends_the_commands() {
    let (network, stage) = fleet();
    let alice = stage.alice(&network, "");
    let mut tail = alice.start(&["shell", "run", "--tail", "count", "-I", N2]);
    tail.says(&["n2.example.net stdout: line one"]);
    tail.signal(Signal::INT);
    tail.says(&["ending the commands; another interrupt leaves them to themselves"]);
    assert_eq!(tail.ended().code(), Some(130));
    tail.says(&["n2.example.net exitcode: 143"]);
}

#[test]
fn an_interrupt_that_ends_nothing_says_so() {
    let (network, stage) = fleet();
    let alice = stage.alice(&network, "");
    let mut tail = alice.start(&["shell", "run", "--tail", "endless", "-I", N2]);
    tail.says(&["n2.example.net stdout: line one"]);
    tail.signal(Signal::INT);
    tail.says(&["n2.example.net: nobody may end it"]);
    tail.signal(Signal::INT);
    assert_eq!(tail.ended().code(), Some(130));
}

/// By the agent that nodes have: all of it, once, in order, whatever it is.
#[test]
fn all_that_a_command_writes_is_shown() {
    let network = Network::start();
    let _node = network.nodes([node("n1").lines("plugin.shell.activate_agent = true\n")]);
    let alice = network.alice();
    // a megabyte between two looks, a byte that is no text, a character of which half comes
    // later, and much again just before the end
    let script = "sleep 1.5; seq 100000 249999; sleep 1.5; printf 'a\\377b \\342\\202'; sleep 1.5; \
                  printf '\\254\\n'; seq 300000 360000; printf 'no end'; seq 1 3 >&2";
    let ran = alice.run(&["shell", "run", "--tail", script, "-I", N1]).fine();
    let of = |output: &str| -> Vec<String> {
        let begin = format!("{N1} {output}: ");
        ran.stdout.lines().filter_map(|line| line.strip_prefix(&begin)).map(str::to_owned).collect()
    };
    let numbers = |from: u32, to: u32| (from..=to).map(|number| number.to_string());
    let wanted: Vec<String> = numbers(100_000, 249_999)
        .chain(["a?b \u{20ac}".to_owned()])
        .chain(numbers(300_000, 360_000))
        .chain(["no end".to_owned()])
        .collect();
    let shown = of("stdout");
    let differs = shown.iter().zip(&wanted).position(|(shown, wanted)| shown != wanted);
    assert_eq!((differs, shown.len()), (None, wanted.len()));
    assert_eq!(of("stderr"), ["1", "2", "3"]);

    // more than is kept: what is missing is told, and the end is there
    let ran = alice.run(&["shell", "run", "--tail", "seq 1000000 9999999; echo end", "-I", N1]).fine();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines.iter().any(|line| line.ends_with("bytes that were written here are not kept)")));
    assert_eq!(lines.last(), Some(&"n1.example.net stdout: end"));
    let numbers: Vec<u32> = lines.iter().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    let whole: Vec<&u32> = numbers.iter().filter(|number| **number >= 1_000_000).collect();
    assert!(whole.len() > 100_000 && whole.is_sorted_by(|a, b| a < b), "{}", whole.len());
}
