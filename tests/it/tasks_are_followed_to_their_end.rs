//! What is said of tasks is what became of them: those that go on, write much, are started
//! badly, have secrets, or leave something behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::network::{Network, node};
use crate::process::{Daemon, program, run, until};
use crate::task_stage::{N1, Tasks, output, with_tasks};

/// Waits for a file, and ends as it says, or when the directory it is to be in has gone with its test.
const WAITS: &str = "#!/bin/sh\necho x >>\"$PT_file.begun\"\n\
    while [ ! -e \"$PT_file\" ]; do [ -d \"${PT_file%/*}\" ] || exit 1; /bin/sleep 0.05; done\nread -r code <\"$PT_file\"\nexit \"$code\"\n";

/// A daemon that ends answers for a task that goes on without it.
#[test]
fn a_stage_is_over_when_its_tasks_have_ended() {
    let mut tasks = Tasks::start(&["n1", "n2"], "", &[("demo/tasks/waits.sh", WAITS)]);
    let start = |tasks: &Tasks, file: &PathBuf, more: &[&str]| {
        let line = format!("file={}", file.display());
        let words =
            [&["tasks", "run", "demo::waits", &line, "-I", N1, "-I", "n2.example.net"], more].concat();
        tasks.alice.start(&words)
    };
    let restart = |tasks: &mut Tasks, at: usize| {
        tasks.nodes[at].daemon().leave();
        tasks.nodes[at].start();
        tasks.nodes[at].connected();
    };
    for (code, exit) in [("1\n", 2), ("0\n", 0)] {
        let file = tasks.network.path(&format!("go{exit}"));
        let mut staged = start(&tasks, &file, &["--stages", "1,100%"]);
        until("the first to begin", || (begun(&file) == 1).then_some(()));
        restart(&mut tasks, 0);
        staged.says(&["the task goes on on 1 node"]);
        assert_eq!(begun(&file), 1, "nobody else is asked meanwhile");
        fs::write(&file, code).expect("a file");
        let ended = staged.ended();
        assert_eq!(ended.code(), Some(exit), "{:?}", staged.lines());
        match exit {
            0 => drop(staged.says(&["Successful: 2"])),
            _ => {
                staged.says(&["the task ended badly on n1.example.net", "with a code 1"]);
                staged.says(&["stopped in stage 1 of 2"]);
                staged.says(&["Failed: 1"]);
                assert_eq!(begun(&file), 1);
                let kept = tasks.alice.run(&["history", "show", "last", "--json"]).code(0).json();
                let counts = &kept["request_stats"]["accounting"];
                assert_eq!((&counts["ok"], &counts["aborted"]), (&json!(0), &json!(1)), "{kept:#}");
            }
        }
    }
    // what is shown when all is over is how it ended
    let file = tasks.network.path("json");
    let files = format!("files={}", tasks.files("demo::waits"));
    let input = format!("input={}", json!({"file": file.display().to_string()}));
    let words = ["rpc", "bolt_tasks", "run_and_wait", "task=demo::waits", &files, &input];
    let mut staged = tasks.alice.start(&[&words[..], &["--stages", "100%", "--json", "-I", N1]].concat());
    until("it to begin", || (begun(&file) == 1).then_some(()));
    restart(&mut tasks, 0);
    staged.says(&["the task goes on on 1 node"]);
    fs::write(&file, "1\n").expect("a file");
    assert_eq!(staged.ended().code(), Some(2), "{:?}", staged.lines());
    staged.says(&["\"completed\": true"]);
    staged.says(&["\"aborted\": 1"]);
    // not in stages: it has not gone well before it has ended
    let file = tasks.network.path("late");
    let mut plain = start(&tasks, &file, &["--json"]);
    until("both to begin", || (begun(&file) == 2).then_some(()));
    restart(&mut tasks, 0);
    restart(&mut tasks, 1);
    assert_eq!(plain.ended().code(), Some(4), "{:?}", plain.lines());
    plain.says(&["\"success\": false"]);
    fs::write(&file, "0\n").expect("a file");
}

fn begun(file: &Path) -> usize {
    fs::read_to_string(format!("{}.begun", file.display())).unwrap_or_default().lines().count()
}

/// Ends the daemon of the first node, which answers for its task, and starts it again.
fn restart_first(tasks: &mut Tasks) {
    tasks.nodes[0].daemon().leave();
    tasks.nodes[0].start();
    tasks.nodes[0].connected();
}

#[test]
fn who_goes_on_with_a_stage_looks_at_its_tasks_and_runs_none_again() {
    let mut tasks = Tasks::start(&["n1", "n2"], "", &[("demo/tasks/waits.sh", WAITS)]);
    for (stages, nodes, more) in [
        ("1,100%", &["-I", N1, "-I", "n2.example.net"][..], &["--check", "rpcutil.ping"][..]),
        ("100%", &["-I", N1], &[]),
    ] {
        let file = tasks.network.path(&format!("go{}", nodes.len()));
        let line = format!("file={}", file.display());
        let words = [&["tasks", "run", "demo::waits", &line, "--stages", stages], nodes].concat();
        let mut staged = tasks.alice.start(&words);
        until("the first to begin", || (begun(&file) == 1).then_some(()));
        restart_first(&mut tasks);
        staged.says(&["the task goes on on 1 node"]);
        staged.signal(Signal::INT);
        staged.ended();
        staged.says(&["choria rpc --resume"]);
        let mut resumed = tasks.alice.start(&[&["rpc", "--resume", "last"], more].concat());
        resumed.says(&["the task goes on on 1 node"]);
        assert_eq!(begun(&file), 1, "{:?}", resumed.lines());
        fs::write(&file, "0\n").expect("a file");
        assert_eq!(resumed.ended().code(), Some(0), "{:?}", resumed.lines());
        assert_eq!(begun(&file), nodes.len() / 2, "each began once: {:?}", resumed.lines());
    }
    // and where it ends badly
    let file = tasks.network.path("bad");
    let line = format!("file={}", file.display());
    let words =
        ["tasks", "run", "demo::waits", &line, "--stages", "1,100%", "-I", N1, "-I", "n2.example.net"];
    let mut staged = tasks.alice.start(&words);
    until("the first to begin", || (begun(&file) == 1).then_some(()));
    restart_first(&mut tasks);
    staged.says(&["the task goes on on 1 node"]);
    staged.signal(Signal::INT);
    staged.ended();
    fs::write(&file, "3\n").expect("a file");
    let stopped = tasks.alice.run(&["rpc", "--resume", "last"]).code(2);
    stopped.complains(&[
        "the task ended badly on n1.example.net",
        "with a code 3",
        "stopped in stage 1 of 2",
    ]);
    assert_eq!(begun(&file), 1);
}

#[test]
fn a_playbook_that_goes_on_looks_at_its_tasks_and_runs_none_again() {
    let plan = "plan demo::staged (String $files, String $input) {\n  choria::task(action => 'bolt_tasks.run_and_wait', \
                nodes => ['n1.example.net', 'n2.example.net'], stages => '1,100%', batch_sleep_time => 0, \
                properties => { task => 'demo::waits', files => $files, input => $input })\n  'done'\n}\n";
    let files = [("demo/plans/staged.pp", plan), ("demo/tasks/waits.sh", WAITS)];
    let mut tasks = Tasks::start(&["n1", "n2"], "", &files);
    let file = tasks.network.path("go");
    let input = json!({"file": file.display().to_string()}).to_string();
    let input = json!({"files": tasks.files("demo::waits"), "input": input}).to_string();
    let modules = tasks.network.path("modules").display().to_string();
    let report = tasks.network.path("report.json").display().to_string();
    let words =
        ["playbook", "run", "demo::staged", "--input", &input, "--modulepath", &modules, "--report", &report];
    let mut staged = tasks.alice.start(&words);
    until("the first to begin", || (begun(&file) == 1).then_some(()));
    restart_first(&mut tasks);
    staged.says(&["the task goes on on 1 node"]);
    // twice: what is known of it is handed on
    for _ in 0..2 {
        staged.signal(Signal::INT);
        assert_eq!(staged.ended().code(), Some(130), "{:?}", staged.lines());
        staged = tasks.alice.start(&[&words[..3], &words[5..], &["--resume", &report]].concat());
        staged.says(&["the task goes on on 1 node"]);
        assert_eq!(begun(&file), 1, "{:?}", staged.lines());
    }
    fs::write(&file, "0\n").expect("a file");
    assert_eq!(staged.ended().code(), Some(0), "{:?}", staged.lines());
    assert_eq!(begun(&file), 2, "each began once: {:?}", staged.lines());
}

#[test]
fn who_may_not_look_is_not_told_that_a_task_failed() {
    let mut tasks = Tasks::start(&[], "", &[("demo/tasks/waits.sh", WAITS)]);
    let policy = "policy default deny\nallow\t*\trun_and_wait download demo::waits\t*\t*\n";
    let setup = with_tasks(&tasks.network, node("n1").policy("bolt_tasks", policy), "n1", tasks.port);
    tasks.nodes = tasks.network.nodes([setup]);
    tasks.alice = tasks.caller("alice.mcollective");
    let file = tasks.network.path("go");
    let line = format!("file={}", file.display());
    let mut staged = tasks.alice.start(&["tasks", "run", "demo::waits", &line, "--stages", "100%", "-I", N1]);
    until("it to begin", || (begun(&file) == 1).then_some(()));
    restart_first(&mut tasks);
    let said =
        staged.says(&["what became of the task on n1.example.net is not known: You are not authorized"]);
    assert!(said.contains("choria tasks status "), "{said}");
    staged.ended();
    staged.says(&["Running: 1"]);
    staged.says(&["It goes on: 'choria tasks status"]);
    let lines = staged.lines();
    assert!(!lines.iter().any(|line| line.contains("ended badly")), "{lines:?}");
    fs::write(&file, "0\n").expect("a file");
}

#[test]
fn what_is_written_fits_and_runs_once() {
    let quo = "#!/bin/sh\necho x >>\"$PT_log\"\nquotes() { /usr/bin/head -c 400000 /dev/zero | /usr/bin/tr '\\0' \"$PT_c\"; }\n\
               quotes; quotes >&2\n";
    let tasks = Tasks::start(&["n1"], "", &[("demo/tasks/quo.sh", quo)]);
    for (at, piece) in ["\"", "\\\\", "\\n"].into_iter().enumerate() {
        let log = tasks.network.path(&format!("log{at}"));
        let (log_is, piece_is) = (format!("log={}", log.display()), format!("c={piece}"));
        let ran = tasks.run(&["run", "demo::quo", &log_is, &piece_is, "--json", "-I", N1]).code(0);
        assert_eq!(fs::read_to_string(&log).expect("a log"), "x\n", "{piece}: it ran once");
        let item = &ran.json()["items"][0];
        assert_eq!((&item["stdout"]["_truncated"], &item["exitcode"]), (&json!(true), &json!(0)), "{piece}");
    }
}

fn history_holds(network: &Network, text: &str) -> bool {
    let mut open = vec![network.path(".local/state/choria")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if fs::read_to_string(&path).is_ok_and(|held| held.contains(text)) {
                return true;
            }
        }
    }
    false
}

#[test]
fn what_is_secret_is_shown_and_kept_nowhere() {
    let made = "#!/bin/sh\necho '{\"user\":\"u7\",\"_sensitive\":{\"password\":\"generated1\"}}'\n";
    let echo = "#!/bin/sh\nread -r input\necho \"{\\\"input\\\":$input}\"\n[ -z \"$PT_file\" ] || [ -e \"$PT_file\" ]\n";
    let about = r#"{"parameters": {
        "password": {"type": "Optional[String]", "sensitive": true}, "pin": {"type": "Optional[Integer]", "sensitive": true},
        "mode": {"type": "Optional[Enum[a,b]]", "sensitive": true}, "l": {"type": "Optional[Array]", "sensitive": true},
        "user": {"type": "Optional[String]"}, "file": {"type": "Optional[String]"}}}"#;
    let plan = "plan demo::make () { choria::task('mcollective', action => 'bolt_tasks.task_status', \
                nodes => ['n1.example.net'], properties => { task_id => file('ID') }); 'done' }\n";
    let mut tasks = Tasks::start(
        &["n1", "n2"],
        "",
        &[("demo/tasks/made.sh", made), ("demo/tasks/echo.sh", echo), ("demo/tasks/echo.json", about)],
    );
    // what a task answers
    let ran = tasks.run(&["run", "demo::made", "--json", "-I", N1]).code(0);
    assert!(!ran.stdout.contains("generated1"), "{ran:?}");
    let id = ran.json()["summary"]["taskid"].as_str().expect("an id").to_owned();
    let shown = tasks.alice.run(&["history", "show", "last"]).code(0);
    shown.says(&["u7"]);
    assert!(!history_holds(&tasks.network, "generated1"));
    let id_file = tasks.network.file("ID", &id);
    let plan = plan.replace("'ID'", &format!("'{}'", id_file.display()));
    tasks.network.file("modules/demo/plans/make.pp", &plan);
    let modules = tasks.network.path("modules").display().to_string();
    let report = tasks.network.path("report.json").display().to_string();
    let words = ["playbook", "run", "demo::make", "--modulepath", &modules, "--report", &report];
    let ran = tasks.alice.run(&words).code(0).complains(&["u7"]);
    assert!(!ran.stderr.contains("generated1"), "{ran:?}");
    let report: Value = serde_json::from_str(&fs::read_to_string(&report).expect("a report")).expect("JSON");
    assert!(!report["logs"].to_string().contains("generated1"), "{report:#}");

    // what it is given, of whatever kind
    let words = ["run", "demo::echo", "--pin", "987654321", "--l", "[\"listed1\",\"listed22\"]", "-I", N1];
    for more in [&["-v"][..], &["--json"]] {
        let ran = tasks.run(&[&words[..], more].concat()).code(0);
        for secret in ["987654321", "listed1", "listed22"] {
            assert!(!ran.stdout.contains(secret), "{secret}: {ran:?}");
        }
    }
    let wrong = tasks.run(&["run", "demo::echo", "--mode", "leaked1", "-I", N1]).code(1);
    assert!(!wrong.stderr.contains("leaked1") && wrong.stderr.contains("'mode'"), "{wrong:?}");

    // what goes on later
    let file = tasks.network.path("good").display().to_string();
    let words = ["run", "demo::echo", "--password", "stagesecret1", "--user", "u8", "--file", &file];
    let stopped = tasks.run(&[&words[..], &["-y", "--stages", "1,100%"]].concat()).code(2);
    let id = stopped.stderr.split("--resume ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an id");
    fs::write(&file, "").expect("a file");
    let resume = |input: &str| tasks.alice.run(&["rpc", "--resume", id, "--abort", "1", "--json", input]);
    tasks
        .alice
        .run(&["rpc", "--resume", id, "--abort", "1"])
        .code(1)
        .complains(&["the parameters password of that task were not kept"]);
    resume(r#"input={"password":"stagesecret2","user":"u9"}"#)
        .code(1)
        .complains(&["cannot use the parameter 'user'"]);
    let given = tasks.network.file("given.json", r#"{"password":"stagesecret2"}"#);
    let ran = resume(&format!("input=@{}", given.display())).code(0);
    let told = output(&ran.json()["replies"][0])["input"].clone();
    assert_eq!((&told["user"], &told["password"]), (&json!("u8"), &json!("stagesecret2")), "{ran:?}");
    for secret in ["stagesecret", "987654321", "listed1"] {
        assert!(!history_holds(&tasks.network, secret), "{secret}");
    }
    assert!(history_holds(&tasks.network, "u8"));

    // an application knows secrets that the task does not
    let bin = tasks.network.path("bin");
    fs::create_dir_all(&bin).expect("a directory");
    fs::write(bin.join("op"), "#!/bin/sh\nprintf opsecret1\n").expect("a file");
    fs::set_permissions(bin.join("op"), fs::Permissions::from_mode(0o755)).expect("a mode");
    tasks.network.file(
        "demo-app.yaml",
        "name: demo\ndescription: d\nversion: 1\nauthor: a@example.net\ncommands:\n  - name: says\n    description: d\n    \
         type: task\n    task: demo::echo\n    inputs: {user: '{{ .Secrets.tok }}'}\n    filter: {identities: [n1.example.net]}\n    \
         secrets: [{name: tok, one_password: {vault: V, item: I, field: F}}]\n",
    );
    fs::copy(&tasks.alice.config, tasks.network.path(".choriarc")).expect("a file");
    let mut command = program(tasks.network.directory());
    command.args(["builder", "run", "demo", "says"]).env("MCOLLECTIVE_CERTNAME", "alice.mcollective");
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    run(command, None).code(0).says(&["Successful: 1"]);
    assert!(!history_holds(&tasks.network, "opsecret1"));
    let audit = fs::read_to_string(tasks.nodes[0].dir.join("audit.log")).expect("an audit log");
    assert!(audit.contains("u8") && !audit.contains("opsecret1"), "{audit}");
    tasks.server = None;
}

#[test]
fn a_program_may_be_listed_twice() {
    let about = r#"{"files": ["demo/tasks/"]}"#;
    let files = [("demo/tasks/own.sh", "#!/bin/sh\necho once\n"), ("demo/tasks/own.json", about)];
    let tasks = Tasks::start(&["n1"], "", &files);
    tasks.run(&["run", "demo::own", "-v", "-I", N1]).code(0).says(&["once"]);
    // as a Puppet Server lists them
    let mut files: Value = serde_json::from_str(&tasks.files("demo::own")).expect("JSON");
    let mut again = files[0].clone();
    again["filename"] = "demo/tasks/own.sh".into();
    files.as_array_mut().expect("a list").push(again);
    let run = |files: &Value| {
        let files = format!("files={files}");
        tasks.alice.reply(N1, &["bolt_tasks", "run_and_wait", "task=demo::own", &files, "input={}"])
    };
    assert_eq!(output(&run(&files)), json!({"_output": "once\n"}));
}

#[test]
fn whoever_is_left_in_its_group_is_ended() {
    let child = "#!/bin/sh\n(trap '' TERM; echo x >\"$PT_file\"; exec /bin/sleep 613) &\nwait\n";
    let tasks = Tasks::start(&["n1"], "", &[("demo/tasks/child.sh", child)]);
    let file = tasks.network.path("deaf");
    let id = tasks.begin(&["demo::child", &format!("file={}", file.display())]);
    until("the child to be deaf", || file.exists().then_some(()));
    let group: String = until("the task to say who it is", || {
        tasks.spooled(&id, "task_pid").and_then(|text| text.split(' ').next().map(str::to_owned))
    });
    tasks.run(&["kill", &id, "-I", N1, "--discovery-timeout", "2"]).code(0);
    let left = fs::read_dir("/proc").expect("processes").flatten().any(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields.get(2) == Some(&group.as_str()) && fields[0] != "Z"
    });
    assert!(!left, "somebody of the group {group} is left");
}

#[test]
fn a_runner_that_does_not_begin_is_named_and_keeps_no_secret() {
    let about = r#"{"parameters": {"password": {"type": "String", "sensitive": true}}}"#;
    let files = [("demo/tasks/init.sh", "#!/bin/sh\ncat\n"), ("demo/tasks/init.json", about)];
    let begun = |wrapper: &str| {
        let lines = format!("plugin.choria.tasks.wrapper_path = {wrapper}\n");
        let tasks = Tasks::start(&["n1"], &lines, &files);
        let ran = tasks.run(&["run", "demo", "--password", "wrapped1", "--json", "-I", N1]);
        let id = ran.json()["summary"]["taskid"].as_str().expect("an id").to_owned();
        assert_eq!(tasks.spooled(&id, "wrapper_stdin"), None, "{wrapper}");
        (tasks, ran, id)
    };
    let (tasks, ran, id) = begun("/nonexistent/w");
    let item = ran.clone().code(2).json()["items"][0].clone();
    let said = item["statusmsg"].as_str().expect("a text");
    assert!(said.starts_with("Could not spawn task demo: /nonexistent/w: No such file"), "{said}");
    let status = tasks.alice.reply(N1, &["bolt_tasks", "task_status", &format!("task_id={id}")]);
    assert!(
        status["data"]["stdout"].as_str().is_some_and(|text| text.contains("/nonexistent/w")),
        "{status:#}"
    );
    // one of others, which does not tidy
    let dir = tempfile::TempDir::new().expect("a directory");
    let wrapper = dir.path().join("wrapper");
    fs::write(&wrapper, "#!/bin/sh\nread -r contract\n[ -n \"$contract\" ] || exit 1\n").expect("a file");
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("a mode");
    begun(&wrapper.display().to_string());
}

/// Who has as many connections as they may is told so, and asks again.
#[test]
fn a_person_with_many_connections_is_served_later() {
    use std::io::Write;
    use std::net::TcpStream;

    use choria::core::config::{Config, Fixed, Role};
    use choria::core::security::Provider;

    let tasks = Tasks::start(&[], "", &[("demo/tasks/init.sh", "#!/bin/sh\n")]);
    let server = tasks.server.as_ref().expect("a server");
    let env = Fixed::default().with_var("MCOLLECTIVE_CERTNAME", "alice.mcollective");
    let config = Config::load(Role::Client, Some(&tasks.alice.config), &env).expect("a configuration");
    let tls = Provider::new(&config, Role::Client, &env).expect("keys").client_tls().expect("TLS");
    let open = || {
        let name = "127.0.0.1".try_into().expect("a name");
        let connection = rustls::ClientConnection::new(tls.clone(), name).expect("a connection");
        let stream = TcpStream::connect(("127.0.0.1", tasks.port)).expect("a server");
        let mut stream = rustls::StreamOwned::new(connection, stream);
        stream.write_all(b"GET /puppet").and_then(|()| stream.flush()).expect("a handshake");
        stream
    };
    let mark = server.mark();
    let held: Vec<_> = (0..16).map(|_| open()).collect();
    let mut describe: Daemon = tasks.alice.start(&["tasks", "describe", "demo"]);
    server.says_after(mark, &["16 connections of alice.mcollective are open"]);
    drop(held);
    assert_eq!(describe.ended().code(), Some(0), "{:?}", describe.lines());
}
