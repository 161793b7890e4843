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
use crate::process::{Ran, run};

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
