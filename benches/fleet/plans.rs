//! What a plan costs whoever runs it.
//! The original's figure is of Puppet 7.23 that evaluates `1`, which is what it begins with.

use std::time::Instant;

use crate::common::{milliseconds, rounds, show};
use crate::emulated;
use crate::network::{Caller, Network};
use crate::process::run;

/// Times that a plan goes through something.
const TURNS: usize = 10_000;

pub fn run_and_asked(count: usize) {
    let network = Network::start();
    let alice = network.caller_with("alice.mcollective", "discovery_timeout = 60\n");
    for (name, text) in [
        ("nothing", "plan demo::nothing() { 1 }".to_owned()),
        (
            "merges",
            format!(
                "plan demo::merges() {{\n  $all = range(1, {TURNS}).reduce({{}}) |$known, $n| {{ $known + {{ last => $n }} }}\n  \
                 $all['last']\n}}"
            ),
        ),
        (
            "ping",
            "plan demo::ping() {\n  $nodes = choria::discover(agents => ['rpcutil'])\n  choria::task(action => 'rpcutil.ping', \
             nodes => $nodes, silent => true).count\n}"
                .to_owned(),
        ),
    ] {
        network.file(&format!("modules/demo/plans/{name}.pp"), &text);
    }
    let modules = network.path("modules").display().to_string();
    let plan = |name: &str| {
        let begun = Instant::now();
        let name = format!("demo::{name}");
        let ran = run(alice.command(&["playbook", "run", &name, "--modulepath", &modules]), None).code(0);
        (milliseconds(begun.elapsed()), ran.stdout)
    };
    let nothing = rounds(|| plan("nothing").0);
    let mut sorted = nothing.clone();
    sorted.sort_by(f64::total_cmp);
    let start = sorted[sorted.len() / 2];
    show("a plan that does nothing", "ms", nothing, "2500", "at most 30");
    let merges = rounds(|| {
        let (took, said) = plan("merges");
        assert_eq!(said, format!("{TURNS}\n"));
        took - start
    });
    show(&format!("{TURNS} merges of hashes in a plan"), "ms", merges, "", "at most 100");
    let _emulator = emulated(&network, &alice, count, &[]);
    let (mut asked, mut ratio) = (vec![], vec![]);
    for _ in 0..5 {
        let plain = pinged(&alice);
        let (took, said) = plan("ping");
        assert_eq!(said, format!("{count}\n"));
        asked.push(took);
        ratio.push(took / plain);
    }
    show(&format!("a task of a plan on {count} nodes, discovery included"), "ms", asked, "", "");
    show("  the same by choria rpc is one", "", ratio, "", "at most 1.1");
}

fn pinged(alice: &Caller) -> f64 {
    let begun = Instant::now();
    run(alice.command(&["rpc", "rpcutil", "ping", "--np", "--display", "none"]), None).code(0);
    milliseconds(begun.elapsed())
}
