//! Plans that keep values in a bucket, and lock by one.

use super::Keeping;
use crate::process::until;

#[test]
fn a_plan_keeps_values_and_locks_in_a_bucket() {
    let keeping = Keeping::start("");
    let Keeping { network, alice, root } = &keeping;
    let modules = network.path("modules").display().to_string();
    let plan = |name: &str, text: &str| drop(network.file(&format!("modules/demo/plans/{name}.pp"), text));
    plan(
        "counted",
        "plan demo::counted () {\n  $store = { type => 'kv', bucket => 'PLANS', prefix => 'demo.' }\n  \
         choria::data('runs', 'two words', $store)\n  choria::data('runs', $store)\n}\n",
    );
    plan(
        "locked",
        "plan demo::locked (Integer $seconds, Integer $timeout) {\n  $store = { type => 'kv', bucket => 'LOCKS', timeout \
         => $timeout }\n  choria::lock('deploy', $store) || {\n    notice('inside')\n    choria::sleep($seconds)\n  }\n}\n",
    );
    plan(
        "forever",
        "plan demo::forever () {\n  choria::lock('deploy', { type => 'kv', bucket => 'PLANS' }) || { notice('x') }\n}\n",
    );
    let run =
        |words: &[&str]| alice.run(&[&["playbook", "run"], words, &["--modulepath", &modules]].concat());
    run(&["demo::counted"]).code(1).complains(&["no bucket PLANS"]);
    root.run(&["kv", "add", "PLANS"]).fine();
    root.run(&["kv", "add", "LOCKS", "--ttl", "3s"]).fine();
    run(&["demo::counted"]).code(0).says(&["two words"]);
    assert_eq!(alice.run(&["kv", "get", "PLANS", "demo.runs", "--raw"]).fine().stdout, "two words");
    run(&["demo::forever"]).code(1).complains(&["values expire"]);

    // it is held for longer than values live, and given back
    let slow =
        ["playbook", "run", "demo::locked", "--seconds", "5", "--timeout", "1", "--modulepath", &modules];
    let mut holder = alice.start(&slow);
    holder.says(&["inside"]);
    run(&["demo::locked", "--seconds", "0", "--timeout", "4"])
        .code(1)
        .complains(&["somebody else held it for 4 s"]);
    assert!(holder.ended().success());
    run(&["demo::locked", "--seconds", "0", "--timeout", "1"]).code(0);

    // whoever dies holds it no longer than values live
    let mut holder = alice.start(&slow);
    holder.says(&["inside"]);
    holder.signal(rustix::process::Signal::KILL);
    let _ = holder.ended();
    until("the lock to be free", || {
        let got = alice.run(&["kv", "get", "LOCKS", "deploy"]);
        (got.code == 1).then_some(())
    });
    run(&["demo::locked", "--seconds", "0", "--timeout", "1"]).code(0);
}

/// Who loses a lock does nothing more that it was for.
#[test]
fn what_a_lock_is_for_is_not_done_without_it() {
    let keeping = Keeping::start("");
    let Keeping { network, alice, root } = &keeping;
    let modules = network.path("modules").display().to_string();
    let report = network.path("report.json").display().to_string();
    network.file(
        "modules/demo/plans/held.pp",
        "plan demo::held () {\n  $r = choria::run_playbook('demo::holder', '_catch_errors' => true)\n  [$r.ok, $r.message]\n}\n",
    );
    network.file(
        "modules/demo/plans/holder.pp",
        "plan demo::holder () {\n  choria::lock('deploy', { type => 'kv', bucket => \
         'LOCKS' }) || {\n    notice('inside')\n    choria::sleep(4)\n    choria::data('new', 'x', { type => \
         'kv', bucket => 'DATA' })\n    'finished'\n  }\n}\n",
    );
    root.run(&["kv", "add", "LOCKS", "--ttl", "3s"]).fine();
    root.run(&["kv", "add", "DATA"]).fine();
    let words = ["playbook", "run", "demo::holder", "--modulepath", &modules, "--report", &report];
    let steal = |words: &[&str]| {
        let running = alice.start(words);
        running.says(&["inside"]);
        alice.run(&["kv", "put", "LOCKS", "deploy", "somebody else"]).code(0);
        running
    };
    let mut running = steal(&words);
    running.says(&["the lock plan_store/deploy is lost, what comes next is not done without it"]);
    assert_eq!(running.ended().code(), Some(1));
    alice.run(&["kv", "get", "DATA", "new"]).code(1);
    let text = std::fs::read_to_string(&report).expect("a report");
    let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(told["report"]["success"], false);

    let mut running = steal(&["playbook", "run", "demo::held", "--modulepath", &modules]);
    running.says(&["the lock plan_store/deploy is lost"]);
    assert_eq!(running.ended().code(), Some(0));
}
