//! What a run of a task says of nodes that were not asked, or not waited for.

use std::fs;

use rustix::process::Signal;

use crate::process::until;
use crate::task_stage::{N1, Tasks};

const N2: &str = "n2.example.net";

/// A task that says that it has begun, and goes on until somebody makes the file it waits for.
const WAITS: &str = "#!/bin/sh\n: >\"$PT_file.begun\"\nwhile [ ! -e \"$PT_file\" ]; do [ -d \"${PT_file%/*}\" ] || exit 1; /bin/sleep 0.05; done\n";

#[test]
fn a_node_that_is_found_too_late_to_run_a_task_is_named() {
    let tasks = Tasks::start(&["n1", "n2"], "", &[("demo/tasks/waits.sh", WAITS)]);
    let file = tasks.network.path("go");
    let line = format!("file={}", file.display());
    let late = tasks.nodes[1].log();
    for form in [&["--json"][..], &[]] {
        let begun = format!("{}.begun", file.display());
        for old in [file.clone(), begun.clone().into()] {
            let _ = fs::remove_file(old);
        }
        late.signal(Signal::STOP);
        // whoever asks below knows no server of tasks
        let alice = tasks.caller("alice.mcollective");
        let mut running = alice.start(&[&["tasks", "run", "demo::waits", &line, "-y"], form].concat());
        until("the task to begin", || fs::exists(&begun).unwrap_or(false).then_some(()));
        late.signal(Signal::CONT);
        // what was asked of it before it has answered before
        tasks.network.answered_by(&[N1, N2]);
        fs::write(&file, "").expect("a file");
        assert_eq!(running.ended().code(), Some(4), "{form:?}");
        running.says(&["node n2.example.net was discovered too late to be asked, try --fixed-window"]);
        if form == ["--json"] {
            running.says(&["\"success\": false"]);
            running.says(&["late_discoveries"]);
        }
    }
}

#[test]
fn an_interrupted_run_says_where_it_goes_on() {
    let tasks = Tasks::start(&["n1"], "", &[("demo/tasks/waits.sh", WAITS)]);
    let file = tasks.network.path("go");
    let line = format!("file={}", file.display());
    for form in [&[][..], &["--json"]] {
        let begun = format!("{}.begun", file.display());
        let _ = fs::remove_file(&begun);
        let mut running =
            tasks.alice.start(&[&["tasks", "run", "demo::waits", &line, "-I", N1], form].concat());
        until("the task to begin", || fs::exists(&begun).unwrap_or(false).then_some(()));
        running.signal(Signal::INT);
        assert_eq!(running.ended().code(), Some(130));
        match form.is_empty() {
            true => drop(running.says(&["It goes on where it has begun: 'choria tasks status"])),
            false => {
                running.says(&["\"completed\": false"]);
                running.says(&["\"success\": false"]);
            }
        }
        // it was not waited for: nothing is known against the nodes
        assert_eq!(running.matching(0, &["nobody answered"]), Vec::<String>::new());
    }
    fs::write(&file, "").expect("a file");
}
