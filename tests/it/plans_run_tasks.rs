//! Plans that run Puppet Tasks: secrets that they hand on, nodes that they wait for.

use std::fs;

use serde_json::{Value, json};

use crate::process::Ran;
use crate::task_stage::{N1, Tasks};

const LOGIN: &str = "#!/bin/sh\n[ \"$PT_password\" = 'play \"b00k\" secret' ] || exit 7\nprintf '{\"user\":\"%s\"}' \"$PT_user\"\n";
const LOGIN_JSON: &str = r#"{"input_method": "environment", "parameters": {
    "user": {"type": "String[1]"},
    "password": {"type": "Sensitive[String[1]]"}}}"#;
/// It has no word for what is secret.
const OPEN_JSON: &str = r#"{"input_method": "environment", "parameters": {
    "user": {"type": "String[1]"}, "password": {"type": "String[1]"}}}"#;

const SECRET: &str = "plan demo::secret (Sensitive[String] $pw, String $task = 'demo::login', Boolean $bare = false, String $key = '/') {
  $password = $bare ? { true => $pw.unwrap, default => $pw }
  $nodes = ['n1.example.net']
  $results = choria::run_playbook('choria::tasks::run', nodes => $nodes, task => $task, inputs => { 'user' => 'bob', 'password' => $password })
  choria::task('shell', command => \"/bin/sh -c '[ -e ${key} ]'\")
  parsejson($results.first['data']['stdout'])
}
";

fn run(tasks: &Tasks, words: &[&str]) -> Ran {
    let modules = tasks.network.path("modules").display().to_string();
    tasks.alice.run(&[&["playbook", "run"], words, &["--modulepath", &modules]].concat())
}

#[test]
fn a_secret_of_a_plan_comes_to_the_task_as_it_is() {
    let tasks = Tasks::start(
        &["n1"],
        "",
        &[
            ("demo/plans/secret.pp", SECRET),
            ("demo/tasks/login.sh", LOGIN),
            ("demo/tasks/login.json", LOGIN_JSON),
            ("demo/tasks/open.sh", LOGIN),
            ("demo/tasks/open.json", OPEN_JSON),
        ],
    );
    let password = "play \"b00k\" secret";
    let report = tasks.network.path("report.json").display().to_string();
    let unseen = |what: &str, text: &str| assert!(!text.contains("b00k"), "{what}: {text}");
    for words in [&[][..], &["--bare"], &["--task", "demo::open"]] {
        let words = [&["demo::secret", "--pw", password, "--report", &report], words].concat();
        let ran = run(&tasks, &words).code(0);
        assert_eq!(ran.json(), json!({"user": "bob"}), "{words:?}");
        unseen("messages", &ran.stderr);
        unseen("the report", &fs::read_to_string(&report).expect("a report"));
        unseen("the audit log", &format!("{:?}", tasks.nodes[0].audit()));
    }
    run(&tasks, &["demo::secret", "--pw", "", "--bare"]).code(1).complains(&[
        "parameter 'password' expects a value of type Sensitive[String[1]]",
        "which is not shown",
    ]);

    // who goes on gives it again, and what was done with it is not done again
    let key = tasks.network.path("key").display().to_string();
    run(&tasks, &["demo::secret", "--pw", password, "--key", &key, "--report", &report]).code(1);
    fs::write(&key, "").expect("a file");
    let ran = run(&tasks, &["demo::secret", "--resume", &report, "--pw", password]).code(0);
    assert_eq!(ran.complains(&["2 steps were done before"]).json(), json!({"user": "bob"}));
}

const BEGUN: &str = "plan demo::begun (Integer $code) {
  $r = choria::run_playbook('choria::tasks::run', nodes => ['n1.example.net'], task => 'demo', inputs => { code => $code }, background => true)
  $r.first['data']['task_id']
}
";

/// Who does not answer may be at it still.
#[test]
fn who_does_not_answer_has_not_ended_a_task() {
    let tasks = Tasks::start(
        &["n1"],
        "",
        &[("demo/plans/begun.pp", BEGUN), ("demo/tasks/init.sh", "#!/bin/sh\nexit $PT_code\n")],
    );
    let begin = |code: &str| -> String {
        let id = run(&tasks, &["demo::begun", "--code", code]).code(0).stdout.trim().to_owned();
        tasks.ended(&id);
        id
    };
    let wait = |id: &str, nodes: &[&str], fail_ok: bool| {
        let input = json!({"task_id": id, "nodes": nodes, "tries": 2, "sleep": 0, "fail_ok": fail_ok});
        run(&tasks, &["choria::tasks::wait", "--input", &input.to_string(), "--json"])
    };
    let (good, bad) = (begin("0"), begin("3"));
    let gone = "n9.example.net";
    for (id, nodes, fail_ok, ended) in [
        (&good, &[N1][..], false, true),
        (&good, &[N1], true, true),
        (&bad, &[N1], true, true),
        (&good, &[N1, gone], true, false),
        (&bad, &[N1, gone], true, false),
    ] {
        let ran = wait(id, nodes, fail_ok).code(0);
        assert_eq!(ran.json(), Value::from(ended), "{nodes:?} {fail_ok}");
        let looks = if ended { 1 } else { 2 };
        assert_eq!(ran.stderr.matches("for bolt_tasks#task_status").count(), looks, "{ran:?}");
    }
    wait(&good, &[N1, gone], false).code(1).complains(&["n9.example.net: No response from node", "FAILED"]);
    wait(&bad, &[N1], false).code(1).complains(&["n1.example.net: ", "FAILED"]);
}
