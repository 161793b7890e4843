//! Plans over real nodes: what the documentation shows, what fails, what is interrupted.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::network::{Caller, Network, Node, node};
use crate::process::{Daemon, Ran, run};

const ALL: [&str; 3] = ["n1.example.net", "n2.example.net", "n3.example.net"];

struct Fleet {
    network: Network,
    nodes: Vec<Node>,
    alice: Caller,
    modules: String,
}

fn fleet() -> Fleet {
    let network = Network::start();
    let facts = |country: &str| json!({"country": country});
    let nodes = network.nodes([
        node("n1").facts(facts("mt")),
        node("n2").facts(facts("de")),
        node("n3").facts(facts("xx")),
    ]);
    let modules = network.path("modules").display().to_string();
    Fleet { alice: network.alice(), modules, nodes, network }
}

impl Fleet {
    fn plan(&self, name: &str, text: &str) {
        let file = name.replacen("::", "/plans/", 1).replace("::", "/");
        self.network.file(&format!("modules/{file}.pp"), text);
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Ran {
        self.alice.run(&[&["playbook"], words, &["--modulepath", &self.modules]].concat())
    }
}

/// Blocks of a kind in a page.
fn blocks<'t>(page: &'t str, kind: &str) -> Vec<&'t str> {
    let begin = format!("```{kind}\n");
    page.split(begin.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_documentation_is_true() {
    let fleet = fleet();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/playbooks.md")).expect("a page");
    for plan in blocks(&page, "puppet") {
        let name = plan.lines().find_map(|line| line.strip_prefix("plan ")).expect("a plan");
        fleet.plan(name.split_whitespace().next().expect("a name"), plan);
    }
    let bin = Path::new(env!("CARGO_BIN_EXE_choria")).parent().expect("a directory").display().to_string();
    let mut said = vec![];
    for line in blocks(&page, "sh").into_iter().flat_map(str::lines) {
        let mut command = Command::new("/bin/sh");
        command.args(["-euc", &format!("{line} --config '{}'", fleet.alice.config.display())]);
        command.env_clear().env("PATH", format!("{bin}:/usr/bin:/bin")).env("HOME", fleet.network.path(""));
        command.env("MCOLLECTIVE_CERTNAME", &fleet.alice.name).env("USER", "tester");
        command.current_dir(fleet.network.path(""));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        said.push(run(command, None).code(0));
    }
    let Ok([made, list, show, validated, first, rolling, again, careful, one, two]) =
        <[Ran; 10]>::try_from(said)
    else {
        panic!("the page has other commands")
    };
    made.says(&["modules/demo/plans/first.pp"]);
    list.says(&["demo::first", "demo::rolling", "Asks groups of nodes, one group after the other."]);
    show.says(&["--at_least  Integer[1], default 1", "fewer nodes than these are an error"]);
    validated.says(&["1 plan(s), nothing is wrong"]);
    let names = first.json().as_object().map(|hosts| hosts.keys().cloned().collect::<Vec<_>>());
    assert_eq!(names, Some(ALL.map(str::to_owned).to_vec()));
    let groups = json!([["n1.example.net", "n2.example.net"], ["n3.example.net"]]);
    assert_eq!(rolling.json(), json!({"nodes": 3, "groups": groups}));
    rolling.complains(&["info: 3 nodes in groups of 2", "Playbook demo::rolling ran in", "OK"]);
    assert_eq!(again.json()["groups"].as_array().map(Vec::len), Some(3));
    let text = fs::read_to_string(fleet.network.path("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["report"]["success"], true);
    assert_eq!(report["metrics"]["task_types"]["mcollective"]["pass"], 3);
    assert_eq!(report["inputs"]["static"], json!({"group": 1}));
    assert_eq!(report["nodes"]["discovered_1"], json!(ALL));
    let careful = careful.json();
    assert_eq!(careful["said"], "hello from here");
    assert_eq!(careful["inner"], "this is not finished");
    let message = careful["message"].as_str().expect("a text");
    assert!(message.contains("rpcutil#get_fact assertion failed on 1 node(s)"), "{message}");
    assert_eq!((one.stdout.trim(), two.stdout.trim()), ("run 1", "run 2"));
    assert_eq!(fleet.nodes.len(), 3);
}

/// What was done is not done again, and nothing is done where it is not known what that was.
#[test]
fn a_run_goes_on_where_it_ended() {
    let fleet = fleet();
    let (log, key) = (fleet.network.path("log"), fleet.network.path("key"));
    let plan = format!(
        "plan demo::steps (String $word = 'once') {{\n\
          $nodes = choria::discover(identities => ['n1.example.net'])\n\
          choria::task('shell', command => \"/bin/sh -c 'echo ${{word}} >>{log}'\")\n\
          choria::sleep(0)\n\
          choria::task('shell', command => '/bin/sh -c \"[ -e {key} ]\"')\n\
          choria::task(action => 'rpcutil.ping', nodes => $nodes, silent => true).hosts\n}}\n",
        log = log.display(),
        key = key.display()
    );
    fleet.plan("demo::steps", &plan);
    let report = fleet.network.path("report.yaml").display().to_string();
    let logged = || fs::read_to_string(&log).unwrap_or_default();
    fleet.run(&["run", "demo::steps", "--word", "twice", "--report", &report]).code(1);
    assert_eq!(logged(), "twice\n");
    // it fails again, and its report is as good as the first
    let again = ["run", "demo::steps", "--resume", &report, "--report", &report];
    fleet.run(&again).code(1).complains(&["2 steps were done before", "done before: "]);
    fleet
        .run(&["run", "demo::steps", "--resume", &report, "--word", "other"])
        .code(1)
        .complains(&["--resume takes word from the report, and it cannot be given again"]);
    fs::write(&key, "").expect("a file");
    fleet.plan("demo::steps", &plan.replace("sleep(0)", "sleep(1)"));
    fleet
        .run(&again)
        .code(1)
        .complains(&["plan demo::steps has changed since the run", "start from the beginning"]);
    fleet.plan("demo::steps", &plan);
    let ran = fleet.run(&again).code(0);
    assert_eq!(ran.json(), json!(["n1.example.net"]));
    assert_eq!(logged(), "twice\n", "the first step was done once");
    let text = fs::read_to_string(&report).expect("a report");
    assert_eq!(text.matches("ran: false").count(), 1, "{text}");
    fleet
        .run(&["run", "demo::other", "--resume", &report])
        .code(1)
        .complains(&["it is of the playbook demo::steps"]);
    fleet
        .run(&["run", "demo::steps", "--resume", "/nonexistent"])
        .code(1)
        .complains(&["--resume /nonexistent"]);
}

/// A directory for plans, and somebody who runs them; no nodes.
fn desk() -> Fleet {
    let network = Network::start();
    let modules = network.path("modules").display().to_string();
    Fleet { alice: network.alice(), modules, nodes: vec![], network }
}

/// What lasted for the run that did it is done again.
#[test]
fn what_a_run_told_itself_it_tells_itself_again() {
    let desk = desk();
    let key = desk.network.path("key").display().to_string();
    desk.plan(
        "demo::env",
        "plan demo::env (String $key) {\n  $store = { type => 'environment' }\n  choria::data('GREET', 'hello', $store)\n  \
         choria::task('shell', command => \"/bin/sh -c '[ -e ${key} ]'\")\n  choria::data('GREET', $store)\n}\n",
    );
    let report = desk.network.path("report.json").display().to_string();
    desk.run(&["run", "demo::env", "--key", &key, "--report", &report]).code(1);
    fs::write(&key, "").expect("a file");
    for _ in 0..2 {
        desk.run(&["run", "demo::env", "--resume", &report, "--report", &report]).code(0).says(&["hello"]);
    }
}

/// Not even by a plan that catches errors.
#[test]
fn a_step_that_is_another_ends_the_run() {
    let desk = desk();
    let [word, log, key] = ["word", "log", "key"].map(|name| desk.network.path(name).display().to_string());
    fs::write(&word, "once").expect("a file");
    let plan = |name: &str, text: String| desk.plan(name, &text);
    plan(
        "demo::inner",
        format!(
            "plan demo::inner () {{ $word = file('{word}')\n  choria::task('shell', command => \"/bin/sh -c 'echo inner \
             ${{word}} >>{log}'\") }}\n"
        ),
    );
    plan(
        "demo::outer",
        format!(
            "plan demo::outer () {{\n  choria::run_playbook('demo::inner', '_catch_errors' => true)\n  choria::task('shell', \
             command => \"/bin/sh -c 'echo two >>{log}'\")\n  choria::task('shell', command => \"/bin/sh -c '[ -e {key} ]'\")\n  \
             'done'\n}}\n"
        ),
    );
    let report = desk.network.path("report.json").display().to_string();
    let again = ["run", "demo::outer", "--resume", &report, "--report", &report];
    desk.run(&["run", "demo::outer", "--report", &report]).code(1);
    fs::write(&word, "twice").expect("a file");
    fs::write(&key, "").expect("a file");
    for _ in 0..2 {
        let ran = desk.run(&again).code(1).silent();
        ran.complains(&["step 1 asks for something else", "FAILED"]);
    }
    // nothing is forgotten by it
    fs::write(&word, "once").expect("a file");
    desk.run(&again).code(0).says(&["done"]).complains(&["2 steps were done before"]);
    assert_eq!(fs::read_to_string(&log).expect("a log"), "inner once\ntwo\n");
}

#[test]
fn a_run_that_goes_on_has_the_parameters_that_it_had() {
    let desk = desk();
    let key = desk.network.path("key").display().to_string();
    desk.plan(
        "demo::given",
        "plan demo::given (String $key, String $x = 'a', Optional[Sensitive[String]] $pw = undef, Optional[Struct[{user => \
         String, pw => Sensitive[String]}]] $login = undef) {\n  choria::task('shell', command => \"/bin/sh -c '[ -e ${key} ]'\")\n  \
         [$x, $pw =~ Sensitive, $login ? { undef => undef, default => \"${login['user']} ${login['pw'].unwrap}\" }]\n}\n",
    );
    let report = desk.network.path("report.json").display().to_string();
    let run = |words: &[&str]| desk.run(&[&["run", "demo::given"], words].concat());
    let resume = |words: &[&str]| run(&[&["--resume", &report], words].concat());
    run(&["--key", &key, "--report", &report]).code(1);
    fs::write(&key, "").expect("a file");
    for words in [&["--x", "b"][..], &["--pw", "s3cret"], &["--input", r#"{"x": "b"}"#], &["--zz", "1"]] {
        resume(words)
            .code(1)
            .silent()
            .complains(&["takes parameters from the report, and that run was not given "]);
    }
    assert_eq!(resume(&[]).code(0).json(), json!(["a", false, null]));

    // secrets are hidden wherever they are, however they are given, and are given again
    let input = json!({"key": key, "pw": "s3cret", "login": {"user": "u", "pw": "s3cret"}});
    fs::remove_file(&key).expect("a file");
    let ran = run(&["--input", &input.to_string(), "--report", &report]).code(1);
    let text = fs::read_to_string(&report).expect("a report");
    assert!(!ran.stderr.contains("s3cret") && !text.contains("s3cret"), "{ran:?} {text}");
    let words = ["--pw", "s3cret", "--login", r#"{"user": "u", "pw": "s3cret"}"#];
    run(&[&["--key", &key, "--report", &report], &words[..]].concat()).code(1);
    let text = fs::read_to_string(&report).expect("a report");
    assert!(!text.contains("s3cret"), "{text}");
    fs::write(&key, "").expect("a file");
    resume(&[]).code(1).silent().complains(&["pw of that run was a secret"]);
    resume(&["--pw", "s3cret"]).code(1).silent().complains(&["login of that run has secrets"]);
    let other = ["--pw", "s3cret", "--login", r#"{"user": "other", "pw": "s3cret"}"#];
    resume(&other).code(1).silent().complains(&["but for its secrets"]);
    assert_eq!(resume(&words).code(0).json(), json!(["a", true, "u s3cret"]));
}

/// By whichever name people call it.
#[test]
fn the_way_to_a_failure_is_shown() {
    let fleet = desk();
    fleet.network.file("modules/x/functions/half.pp", "function x::half($n) {\n  10 / $n\n}\n");
    fleet.plan("x::inner", "plan x::inner(Integer $n) {\n  x::half($n)\n}\n");
    fleet.plan("x::outer", "plan x::outer(Integer $n) {\n  choria::run_playbook('x::inner', n => $n)\n}\n");
    for words in [&["playbook"][..], &["mco", "playbook"]] {
        let run = |more: &[&str]| {
            let all = [words, &["run", "x::outer", "--modulepath", &fleet.modules], more].concat();
            fleet.alice.run(&all)
        };
        assert_eq!(run(&["--n", "2"]).code(0).stdout, "5\n");
        let short = run(&["--n", "0"]).code(1).complains(&["half.pp:2:"]);
        assert!(!short.stderr.contains("called at"), "{short:?}");
        run(&["--n", "0", "--trace"]).code(1).complains(&[
            "half.pp:2:",
            "  in function x::half, called at ",
            "inner.pp:2:3",
            "  in plan x::inner, called at ",
            "outer.pp:2:3",
            "  in plan x::outer\n",
        ]);
    }
}

#[test]
fn a_parameter_is_one_however_it_is_written() {
    let desk = desk();
    desk.plan("demo::list", "plan demo::list (Array[Integer] $some_numbers) { $some_numbers }\n");
    let words = ["--some-numbers", "1", "--some_numbers", "2", "--Some-Numbers", "3"];
    assert_eq!(desk.run(&[&["run", "demo::list"], &words[..]].concat()).code(0).json(), json!([1, 2, 3]));
}

/// Before anything is done, and what was done is told all the same.
#[test]
fn a_report_that_cannot_be_written_is_told_first() {
    let desk = desk();
    let log = desk.network.path("log");
    let plan = format!(
        "plan demo::acts (String $gone = '') {{\n  choria::task('shell', command => \"/bin/sh -c 'echo x >>{}; /bin/rm -rf \
         /nonexistent/x ${{gone}}'\")\n  'the result'\n}}\n",
        log.display()
    );
    desk.plan("demo::acts", &plan);
    let directory = desk.network.path("reports");
    fs::create_dir(&directory).expect("a directory");
    let directory = directory.display().to_string();
    for file in ["/nonexistent/x.json", directory.as_str()] {
        let ran = desk.run(&["run", "demo::acts", "--report", file]).code(1).silent();
        ran.complains(&[&format!("the report {file} cannot be written: ")]);
    }
    assert!(!log.exists(), "nothing was done");
    let words = ["run", "demo::acts", "--gone", &directory, "--report", &format!("{directory}/x.json")];
    desk.run(&words).code(1).says(&["the result"]).complains(&["the report ", "OK"]);
    assert!(log.exists());
    // what is no file is written to once
    desk.run(&["run", "demo::acts", "--report", "/dev/null"]).code(0);
}

/// Whatever ends it.
#[test]
fn a_report_is_there_while_the_run_goes() {
    let desk = desk();
    let log = desk.network.path("log");
    let plan = format!(
        "plan demo::slow (Integer $n) {{\n  choria::task('shell', command => \"/bin/sh -c 'echo x >>{}'\")\n  notice('sleeping')\n  \
         choria::task('shell', command => 'echo partial; exec /bin/sleep 600', timeout => $n, fail_ok => true).first.value\n}}\n",
        log.display()
    );
    desk.plan("demo::slow", &plan);
    let report = desk.network.path("report.json");
    let path = report.display().to_string();
    let words =
        ["playbook", "run", "demo::slow", "--n", "600", "--modulepath", &desk.modules, "--report", &path];
    for (signal, code) in [(Signal::TERM, Some(143)), (Signal::HUP, Some(129)), (Signal::KILL, None)] {
        let _ = fs::remove_file(&log);
        let mut running = desk.alice.start(&words);
        // what a command says is seen while it runs
        running.says(&["info:   partial"]);
        running.signal(signal);
        assert_eq!(running.ended().code(), code, "{signal:?}");
        let text = fs::read_to_string(&report).expect("a report");
        let told: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(told["report"]["success"], false);
        let error = if code.is_some() { "interrupted" } else { "the run has not ended" };
        let text = told["report"]["playbook_error"].as_str().expect("a text");
        assert!(text.contains(error), "{text}");
        assert_eq!(told["inputs"]["static"], json!({"n": 600}));
        let again = ["playbook", "run", "demo::slow", "--resume", &path, "--modulepath", &desk.modules];
        let mut running = desk.alice.start(&again);
        running.says(&["done before: "]);
        running.says(&["info:   partial"]);
        running.signal(Signal::INT);
        assert_eq!(running.ended().code(), Some(130));
        assert_eq!(fs::read_to_string(&log).expect("a log"), "x\n", "{signal:?}: it was done once");
        fs::remove_file(&report).expect("a report");
    }
    // and what it said until its time was up is its value
    let ran = desk.run(&["run", "demo::slow", "--n", "1"]).code(0);
    assert_eq!(ran.stdout.trim(), "partial");
    ran.complains(&["it took longer than 1s and was killed"]);
}

/// As `nohup` starts it.
#[test]
fn who_outlives_a_terminal_is_not_ended_by_its_end() {
    let desk = desk();
    desk.plan(
        "demo::quick",
        "plan demo::quick () {\n  notice('sleeping')\n  choria::sleep(2)\n  'over'\n}\n",
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_choria")]);
    command.args(["playbook", "run", "demo::quick", "--modulepath", &desk.modules]);
    command.arg("--config").arg(&desk.alice.config);
    command.env("HOME", desk.network.path("")).env("MCOLLECTIVE_CERTNAME", &desk.alice.name);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Daemon::start("quick", command);
    running.says(&["notice: sleeping"]);
    running.signal(Signal::HUP);
    running.says(&["over"]);
    assert_eq!(running.ended().code(), Some(0));
}

#[test]
fn every_node_is_accounted_for() {
    let mut fleet = fleet();
    fleet.plan(
        "demo::ask",
        "plan demo::ask (Choria::Nodes $nodes, Boolean $fail_ok = false) {\n  $r = choria::task(action => 'rpcutil.ping', \
         nodes => $nodes, fail_ok => $fail_ok, timeout => 1)\n  $r.map |$x| { [$x.host, $x.error ? { undef => 'fine', \
         default => $x.error.message }] }\n}\n",
    );
    // one is gone, one never was
    fleet.nodes[2].kill();
    let nodes = ["--nodes", ALL[0], "--nodes", ALL[1], "--nodes", ALL[2], "--nodes", "n9.example.net"];
    let ran = fleet.run(&[&["run", "demo::ask", "--fail_ok"], &nodes[..]].concat()).code(0);
    let lines = ran.json();
    let silent: Vec<&str> =
        lines.as_array().expect("a list")[2..].iter().filter_map(|line| line[1].as_str()).collect();
    let since = format!("No response from node {}: it is not connected since ", ALL[2]);
    assert!(silent[0].starts_with(&since), "{silent:?}");
    let wanted = json!([
        [ALL[0], "fine"],
        [ALL[1], "fine"],
        [ALL[2], silent[0]],
        ["n9.example.net", "No response from node n9.example.net: it is not connected"],
    ]);
    assert_eq!(lines, wanted);
    let ran = fleet.run(&[&["run", "demo::ask"], &nodes[..]].concat()).code(1).silent();
    ran.complains(&[
        "for rpcutil#ping on 2 failed node(s) (2 ok, 2 not connected)",
        "modules/demo/plans/ask.pp:2:8: ",
        "FAILED",
    ]);
}

#[test]
fn what_a_caller_may_not_do_fails_in_a_plan_too() {
    let fleet = fleet();
    fleet.plan(
        "demo::ask",
        "plan demo::ask () { choria::task(action => 'rpcutil.ping', nodes => ['n1.example.net'], fail_ok => true).first.error.message }",
    );
    let bob = fleet.network.caller("bob.mcollective");
    let words = ["playbook", "run", "demo::ask", "--modulepath", &fleet.modules];
    bob.run(&words).code(0).says(&["You are not authorized to call this agent or action"]);
}

#[test]
fn a_web_service_is_told() {
    let fleet = fleet();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // refused at first, taken at the second try
    let heard = std::thread::spawn(move || {
        let mut heard = vec![];
        for (status, body) in [("503 Busy", "later"), ("201 Created", "noted")] {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut text = vec![];
            let mut part = [0; 4096];
            while !text.ends_with(br#"{"state":"done"}"#) {
                let n = stream.read(&mut part).expect("a request");
                assert!(n > 0, "{}", String::from_utf8_lossy(&text));
                text.extend_from_slice(&part[..n]);
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).expect("an answer");
            heard.push(String::from_utf8(text).expect("UTF-8"));
        }
        heard
    });
    fleet.plan(
        "demo::tell",
        "plan demo::tell (String $uri) {\n  choria::task('webhook', uri => $uri, data => { state => 'done' }, bogus => 1,\n    tries => 3, try_sleep => 1, description => 'telling').first.value\n}\n",
    );
    let ran = fleet.run(&["run", "demo::tell", "--uri", &format!("http://{address}/hook")]).code(0);
    assert_eq!(ran.stdout.trim(), "noted");
    ran.complains(&["nothing reads the option 'bogus'", "telling: Failed to send POST", "try 1 of 3"]);
    let heard = &heard.join().expect("two requests")[1];
    assert!(
        heard.starts_with("POST /hook HTTP/1.1\r\n") && heard.contains("x-choria-request-id: "),
        "{heard}"
    );
}

#[test]
fn mistakes_are_found_before_anything_is_sent() {
    let fleet = fleet();
    fleet.plan("demo::bad", "plan demo::bad () {\n  $x = }\n");
    fleet.plan("demo::names", "plan demo::names () {\n  nosuch::thing(1)\n}\n");
    fleet.plan("demo::typed", "plan demo::typed (Integer[1] $n, Enum[a, b] $word = 'a') { $n }\n");
    let problems = fleet.run(&["validate", "--json"]).code(1).json();
    let found: Vec<_> = problems
        .as_array()
        .expect("a list")
        .iter()
        .map(|p| (p["plan"].as_str().expect("a plan"), p["line"].as_u64(), p["column"].as_u64()))
        .collect();
    assert_eq!(found, [("demo::bad", Some(2), Some(8)), ("demo::names", Some(2), Some(3))]);
    fleet
        .run(&["validate", "demo::bad"])
        .code(1)
        .says(&["bad.pp:2:8: Syntax error at '}': expected a value"]);
    fleet.run(&["run", "demo::bad"]).code(1).complains(&["bad.pp:2:8: Syntax error"]);
    for (words, complaint) in [
        (&["run", "demo::typed"][..], "demo::typed: expects a value for parameter 'n'"),
        (&["run", "demo::typed", "--n", "0"], "parameter 'n' expects an Integer[1] value, got Integer[0, 0]"),
        (&["run", "demo::typed", "--n", "x"], "parameter 'n' expects an Integer value, got String"),
        (
            &["run", "demo::typed", "n=1", "--word=c"],
            "parameter 'word' expects a match for Enum['a', 'b'], got 'c'",
        ),
        (&["run", "demo::typed", "--n", "1", "--other", "2"], "has no parameter named 'other'"),
        (&["run", "demo::typo"], "Unknown playbook: 'demo::typo', did you mean demo::typed?"),
        (&["run", "demo.yaml"], "the format that ended in 2018"),
        (&["run"], "name a plan"),
        (&["run", "demo::typed", "--input", "x"], "--input is not JSON"),
        (&["run", "demo::typed", "--n", "1", "--loglevel", "loud"], "--loglevel loud is not known"),
        (&["show", "demo::nosuch"], "Unknown playbook"),
        (&["new", "Demo::x"], "is not the name of a plan"),
    ] {
        fleet.run(words).code(1).silent().complains(&[complaint]);
    }
    fleet.run(&["run", "demo::typed", "--n", "7"]).code(0).says(&["7"]);
}

#[test]
fn an_interrupted_playbook_ends_and_says_so() {
    let fleet = fleet();
    fleet.plan(
        "demo::slow",
        "plan demo::slow () {\n  notice('sleeping')\n  choria::sleep(600)\n  notice('never')\n}\n",
    );
    let mut running = fleet.alice.start(&["playbook", "run", "demo::slow", "--modulepath", &fleet.modules]);
    running.says(&["notice: sleeping"]);
    running.signal(Signal::INT);
    let status = running.ended();
    assert_eq!((status.code(), status.signal()), (Some(130), None));
    running.says(&["INTERRUPTED"]);
    fleet.plan("demo::busy", "plan demo::busy () {\n  notice('counting')\n  100000000.each |$n| { $n }\n}\n");
    let mut running = fleet.alice.start(&["playbook", "run", "demo::busy", "--modulepath", &fleet.modules]);
    running.says(&["notice: counting"]);
    running.signal(Signal::INT);
    assert_eq!(running.ended().code(), Some(130));
}
