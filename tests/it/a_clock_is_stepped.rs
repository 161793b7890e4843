//! A node's clock jumps while it runs, by libfaketime.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::network::{Network, node};
use crate::wire::{self, Wire};

/// A clock that a process looks at.
struct Clock(PathBuf);

impl Clock {
    fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", library().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // what the process waits by goes on, as when a person sets the clock
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// So far from the true time, from now on.
    fn step(&self, seconds: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{seconds}\n")).expect("a writable directory");
        fs::rename(new, &self.0).expect("a writable directory");
    }
}

/// Debian has it in a directory of the architecture, others elsewhere.
fn library() -> PathBuf {
    let roots = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(Path::new);
    let below = roots.into_iter().flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
    let directories = roots.map(Path::to_path_buf).into_iter().chain(below.map(|entry| entry.path()));
    let found = directories.map(|d| d.join("faketime/libfaketime.so.1")).find(|file| file.exists());
    found.expect("libfaketime, of the package faketime")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_clock_that_jumps_by_five_minutes_runs_nothing_twice() {
    let network = Network::start();
    let mut nodes = network.nodes([node("n1")]);
    let clock = Clock(network.path("clock"));
    clock.step("+0");
    nodes[0].start_with(&clock.environment());
    nodes[0].connected();
    tokio::task::block_in_place(|| network.answered_by(&["n1.example.net"]));

    let alice = Wire::connect(&network, &network.alice()).await;
    let subject = alice.reply_subject();
    let mut replies = alice.subscribe(&subject).await;
    let send = async |message: &str| {
        alice.publish("mcollective.node.n1.example.net", message.to_owned()).await;
    };
    let fresh = || {
        let request = alice.request("rpcutil", "ping", json!({}));
        (request.envelope.requestid.clone(), alice.signed(&request, &subject))
    };

    let (first_id, first) = fresh();
    send(&first).await;
    wire::next(&mut replies).await;
    let mut ran = vec![first_id];
    // Forth, home, back, home: at home everything is as it was.
    for (round, step, away) in [(1, "+300", "made 3"), (2, "-300", "made -")] {
        clock.step(step);
        let (id, message) = fresh();
        send(&message).await;
        let line = nodes[0].log().says(&["refused a request", &id]);
        assert!(line.contains(away) && line.contains("check the clocks of both machines"), "{line}");
        send(&first).await;
        // Whatever was sent has been judged by this clock before it is set.
        nodes[0].counts("ttlexpired", 2 * round);
        clock.step("+0");
        let (id, message) = fresh();
        send(&message).await;
        wire::next(&mut replies).await;
        ran.push(id);
        // Recordings of this and of the first run nothing.
        for recording in [&first, &message] {
            send(recording).await;
        }
        nodes[0].counts("replayed", 2 * round);
    }
    let audit: Vec<String> =
        nodes[0].audit().iter().filter_map(|line| line["request_id"].as_str().map(str::to_owned)).collect();
    assert_eq!(audit, ran);
}
