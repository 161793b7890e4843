//! Plans that run Puppet Tasks: secrets that they hand on, nodes that they wait for.

use std::fs;

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Ran, until};
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

/// What a task repeats of its secrets is for the plan, and in nobody's sight.
#[test]
fn secrets_that_a_task_repeats_are_not_shown() {
    let tells = "#!/bin/sh\nprintf '{\"said\":\"it is %s\",\"user\":\"%s\"}' \"$PT_password\" \"$PT_user\"\n";
    let plan = "plan demo::tells (Sensitive[String] $pw, String $task) {
  choria::run_playbook('choria::tasks::run', nodes => ['n1.example.net'], task => $task, inputs => { user => 'bob', password => $pw })
  'told'
}
";
    let tasks = Tasks::start(
        &["n1"],
        "",
        &[
            ("demo/plans/tells.pp", plan),
            ("demo/tasks/closed.sh", tells),
            ("demo/tasks/closed.json", LOGIN_JSON),
            ("demo/tasks/open.sh", tells),
            ("demo/tasks/open.json", OPEN_JSON),
        ],
    );
    let report = tasks.network.path("report.json").display().to_string();
    for task in ["demo::closed", "demo::open"] {
        let words = [
            "demo::tells",
            "--pw",
            "hunter2secret",
            "--task",
            task,
            "--report",
            &report,
            "--loglevel",
            "info",
        ];
        let ran = run(&tasks, &words).code(0);
        let mut kept: Value =
            serde_json::from_str(&fs::read_to_string(&report).expect("a report")).expect("JSON");
        kept.as_object_mut().expect("an object").remove("journal");
        for (what, text) in [("messages", &ran.stderr), ("the report", &kept.to_string())] {
            assert!(!text.contains("hunter2secret"), "{task}: {what}: {text}");
        }
        assert!(kept["logs"].to_string().contains("it is *****"), "{task}: {:#}", kept["logs"]);
    }
}

const WAITS: &str = "#!/bin/sh\necho x >>\"$PT_file.begun\"\n\
    while [ ! -e \"$PT_file\" ]; do [ -d \"${PT_file%/*}\" ] || exit 1; /bin/sleep 0.05; done\n";
const STAGED: &str = "plan demo::staged (String $files, String $input, Integer $timeout = 60, Integer $tries = 1) {
  choria::task(action => 'bolt_tasks.run_and_wait', nodes => ['n1.example.net'], stages => '100%', tries => $tries,
    try_sleep => 0, timeout => $timeout, properties => { task => 'demo::waits', files => $files, input => $input })
}
";

fn begun(file: &Path) -> usize {
    fs::read_to_string(format!("{}.begun", file.display())).unwrap_or_default().lines().count()
}

/// Whoever was asked and was not heard of may be at it.
#[test]
fn nobody_is_asked_again_who_may_be_at_it() {
    let mut tasks =
        Tasks::start(&["n1"], "", &[("demo/plans/staged.pp", STAGED), ("demo/tasks/waits.sh", WAITS)]);
    let modules = tasks.network.path("modules").display().to_string();
    let report = tasks.network.path("report.json").display().to_string();
    let files = tasks.files("demo::waits");
    let start = |tasks: &Tasks, file: &Path, more: &[&str]| {
        let input = json!({"file": file.display().to_string()}).to_string();
        let mut given = json!({"files": files, "input": input});
        if more.is_empty() {
            (given["timeout"], given["tries"]) = (1.into(), 2.into());
        }
        let given = given.to_string();
        let input = if more.contains(&"--resume") { vec![] } else { vec!["--input", given.as_str()] };
        let words = ["playbook", "run", "demo::staged", "--modulepath", &modules, "--report", &report];
        tasks.alice.start(&[&words[..], &input, more].concat())
    };
    // by a further try
    let file = tasks.network.path("tried");
    let mut staged = start(&tasks, &file, &[]);
    staged.says(&["try 1 of 2"]);
    staged.says(&["the task goes on on 1 node"]);
    assert_eq!(begun(&file), 1);
    fs::write(&file, "").expect("a file");
    assert_eq!(staged.ended().code(), Some(0), "{:?}", staged.lines());
    assert_eq!(begun(&file), 1, "{:?}", staged.lines());
    // by a further run
    let file = tasks.network.path("resumed");
    let mut staged = start(&tasks, &file, &["--loglevel", "info"]);
    until("it to begin", || (begun(&file) == 1).then_some(()));
    staged.signal(Signal::INT);
    assert_eq!(staged.ended().code(), Some(130), "{:?}", staged.lines());
    let mut resumed = start(&tasks, &file, &["--resume", &report]);
    resumed.says(&["the task goes on on 1 node"]);
    assert_eq!(begun(&file), 1, "{:?}", resumed.lines());
    fs::write(&file, "").expect("a file");
    assert_eq!(resumed.ended().code(), Some(0), "{:?}", resumed.lines());
    assert_eq!(begun(&file), 1, "{:?}", resumed.lines());
    // who says that it never began is asked
    let file = tasks.network.path("never");
    tasks.nodes[0].daemon().signal(Signal::STOP);
    let mut staged = start(&tasks, &file, &[]);
    staged.says(&["try 1 of 2"]);
    tasks.nodes[0].kill();
    assert_eq!(begun(&file), 0);
    staged.signal(Signal::INT);
    staged.ended();
    tasks.nodes[0].start();
    tasks.nodes[0].connected();
    let mut resumed = start(&tasks, &file, &["--resume", &report]);
    until("it to begin", || (begun(&file) == 1).then_some(()));
    fs::write(&file, "").expect("a file");
    resumed.ended();
    assert_eq!(begun(&file), 1, "{:?}", resumed.lines());
}

/// A secret is often a part of a larger one, and a program repeats it alone.
#[test]
fn a_secret_within_a_larger_one_is_shown_nowhere() {
    let plan = "plan demo::sec (Sensitive[String] $pw) {
  $made = Sensitive('inner5ecret')
  $c = Sensitive(\"echo the ${pw.unwrap} ${made.unwrap} word; false\")
  choria::task('shell', command => $c, fail_ok => true, description => \"for ${pw.unwrap}\")
  1
}
";
    let tasks = Tasks::start(&[], "", &[("demo/plans/sec.pp", plan)]);
    let report = tasks.network.path("report.json").display().to_string();
    let ran = run(&tasks, &["demo::sec", "--pw", "hunter2hunter", "--report", &report]).code(0);
    ran.clone().complains(&["the ***** ***** word"]);
    let mut kept: Value =
        serde_json::from_str(&fs::read_to_string(&report).expect("a report")).expect("JSON");
    assert_eq!(kept["tasks"][0]["description"], "for *****", "{kept:#}");
    // what was answered is for the plan, and for one that goes on
    kept.as_object_mut().expect("an object").retain(|name, _| ["tasks", "logs"].contains(&name.as_str()));
    for text in [ran.stderr, kept.to_string()] {
        assert!(!text.contains("hunter2") && !text.contains("inner5ecret"), "{text}");
    }
}

/// What stands beside the plan of a file would be nothing: it is refused, before anything is done.
#[test]
fn a_file_has_its_plan_and_nothing_else() {
    let tasks = Tasks::start(
        &[],
        "",
        &[
            ("demo/plans/two.pp", "plan demo::two () { demo::other() }\nfunction demo::other() { 1 }\n"),
            ("demo/plans/logic.pp", "notice('top')\nplan demo::logic () { 1 }\n"),
            ("demo/plans/calls.pp", "plan demo::calls () { demo::more() }\n"),
            ("demo/functions/more.pp", "function demo::more() { 1 }\nfunction demo::most() { 2 }\n"),
        ],
    );
    let modules = tasks.network.path("modules").display().to_string();
    for (plan, told) in [
        ("demo::two", "must contain only the plan 'demo::two'"),
        ("demo::logic", "contains additional logic - can only contain the plan 'demo::logic'"),
        ("demo::calls", "must contain only the function 'demo::more'"),
    ] {
        let looked = tasks.alice.run(&["playbook", "validate", plan, "--modulepath", &modules]).code(1);
        looked.says(&[told]);
        run(&tasks, &[plan]).code(1).complains(&[told]);
    }
}

/// Who answers discovery when the plan goes on already is no part of it, and named.
#[test]
fn a_node_that_answers_too_late_for_a_set_is_named() {
    let plan = "plan demo::late (String $file) {
  $nodes = choria::discover(agents => ['rpcutil'])
  choria::task('shell', command => \": >${file}.begun; while [ ! -e ${file} ]; do /bin/sleep 0.05; done\")
  $nodes
}
";
    let tasks = Tasks::start(&["n1", "n2"], "", &[("demo/plans/late.pp", plan)]);
    let file = tasks.network.path("go").display().to_string();
    let report = tasks.network.path("report.json").display().to_string();
    let modules = tasks.network.path("modules").display().to_string();
    tasks.nodes[1].log().signal(Signal::STOP);
    let words =
        ["playbook", "run", "demo::late", "--file", &file, "--report", &report, "--modulepath", &modules];
    let mut running = tasks.alice.start(&words);
    until("the plan to go on", || fs::exists(format!("{file}.begun")).unwrap_or(false).then_some(()));
    tasks.nodes[1].log().signal(Signal::CONT);
    // what was asked of it before it has answered before
    tasks.network.answered_by(&[N1, "n2.example.net"]);
    fs::write(&file, "").expect("a file");
    assert!(running.ended().success());
    let told = "1 node(s) answered too late to be in the node set: n2.example.net";
    running.says(&["warning", told]);
    assert!(fs::read_to_string(&report).expect("a report").contains(told));
}
