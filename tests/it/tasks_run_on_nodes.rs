//! Puppet Tasks on real nodes: what people run, see and end.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::network::node;
use crate::process::until;
use crate::task_stage::{N1, Tasks, output, with_tasks};

const ECHO: &str =
    "#!/bin/sh\nread -r input\nprintf '{\"message\":\"%s\",\"input\":%s}' \"$PT_message\" \"$input\"\n";
const ECHO_JSON: &str = r#"{"description": "Says what it is told", "parameters": {
    "message": {"type": "String[1]", "description": "What to say"},
    "times": {"type": "Optional[Integer[1, 5]]", "default": 2}}}"#;

fn stage() -> Tasks {
    Tasks::start(
        &["n1", "n2"],
        "",
        &[
            ("demo/tasks/echo.sh", ECHO),
            ("demo/tasks/echo.json", ECHO_JSON),
            (
                "demo/tasks/init.sh",
                "#!/bin/sh\necho \"I am $PT__task in $PT__installdir\"; exit \"${PT_code:-0}\"\n",
            ),
            ("demo/tasks/hidden.sh", "#!/bin/sh\n"),
            ("demo/tasks/hidden.json", r#"{"private": true}"#),
            (
                "demo/tasks/whole.sh",
                "#!/bin/sh\nread -r helper <\"$PT__installdir/demo/files/deep/helper\"; echo \"$helper\"\n",
            ),
            ("demo/tasks/whole.json", r#"{"files": ["demo/files/deep/"]}"#),
            ("demo/files/deep/helper", "helped\n"),
        ],
    )
}

/// The page has a module, commands and a plan; all of it works.
#[test]
fn the_documentation_is_true() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tasks.md")).expect("a page");
    let blocks = |kind: &str| -> Vec<String> {
        let begin = format!("```{kind}\n");
        page.split(begin.as_str())
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .map(str::to_owned)
            .collect()
    };
    let (programs, metadata, plans) = (blocks("sh file"), blocks("json file"), blocks("puppet"));
    let files = [
        ("demo/tasks/greet.sh", programs[0].as_str()),
        ("demo/tasks/greet.json", metadata[0].as_str()),
        ("demo/plans/greetings.pp", plans[0].as_str()),
    ];
    let tasks = Tasks::start(&["n1", "n2"], "", &files);
    let lines: Vec<String> = blocks("sh run")
        .iter()
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let ran: Vec<_> = lines
        .iter()
        .map(|line| {
            let words = shlex::split(line).expect("words");
            let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
            tasks.alice.run(&words).code(0)
        })
        .collect();
    let [list, describe, run, json, summary, batch, background, playbook] =
        <[_; 8]>::try_from(ran).expect("eight commands");
    list.says(&["demo::greet"]);
    describe.says(&["Greets somebody", "String[1]", "default false"]);
    run.says(&["Hi, Bob", "Successful: 2"]);
    assert_eq!(json.json()["items"][0]["stdout"]["greeting"], "Good day, Bob");
    assert!(summary.stdout.contains("Completed: 2") && !summary.stdout.contains("Hi,"));
    batch.says(&["Successful: 2"]);
    assert_eq!(background.json()["summary"]["taskid"].as_str().map(str::len), Some(32));
    assert_eq!(playbook.json(), json!(["Hi, Eve", "Hi, Eve"]));
}

#[test]
fn plans_run_and_follow_tasks() {
    let plan = "plan demo::all (String $file) {\n\
      $nodes = ['n1.example.net']\n\
      $begun = choria::run_playbook('choria::tasks::run', nodes => $nodes, task => 'demo::waits', inputs => { file => $file }, background => true, silent => true)\n\
      $id = $begun.first['data']['task_id']\n\
      $soon = choria::run_playbook('choria::tasks::wait', task_id => $id, nodes => $nodes, tries => 1, sleep => 0)\n\
      choria::data('x', 'y', { type => 'file', file => $file, create => true, format => 'json' })\n\
      $late = choria::run_playbook('choria::tasks::wait', task_id => $id, nodes => $nodes, tries => 50, sleep => 1)\n\
      $status = choria::run_playbook('choria::tasks::status', task_id => $id, nodes => $nodes)\n\
      $failed = choria::run_playbook('choria::tasks::run', nodes => $nodes, task => 'demo', inputs => { code => 3 }, catch_errors => true, silent => true)\n\
      { soon => $soon, late => $late, said => $status.first.bolt_task_result, error => $failed.first.error.message }\n}\n";
    let wrong = "plan demo::wrong () { choria::run_playbook('choria::tasks::run', nodes => ['n1.example.net'], task => 'demo::echo') }";
    let tasks = Tasks::start(
        &["n1"],
        "",
        &[
            ("demo/plans/all.pp", plan),
            ("demo/plans/wrong.pp", wrong),
            ("demo/tasks/waits.sh", WAITS),
            ("demo/tasks/init.sh", "#!/bin/sh\nexit $PT_code\n"),
            ("demo/tasks/echo.sh", ECHO),
            ("demo/tasks/echo.json", ECHO_JSON),
        ],
    );
    let modules = tasks.network.path("modules").display().to_string();
    let run = |words: &[&str]| {
        tasks.alice.run(&[&["playbook", "run"], words, &["--modulepath", &modules]].concat())
    };
    let file = tasks.network.path("go").display().to_string();
    let told = run(&["demo::all", "--file", &file]).code(0).json();
    let error = "choria.tasks/task-error: The task errored with a code 3";
    assert_eq!(told, json!({"soon": false, "late": true, "said": {"_output": "done\n"}, "error": error}));
    run(&["demo::wrong"]).code(1).complains(&["expects a value for parameter 'message'"]);
    for plan in ["run", "status", "wait", "download_files"] {
        let words = ["playbook", "validate", &format!("choria::tasks::{plan}")];
        tasks.alice.run(&words).code(0);
    }
}

#[test]
fn a_person_lists_describes_and_runs_tasks() {
    let tasks = stage();
    tasks.run(&["list"]).code(0).says(&["demo ", "demo::echo", "choria tasks describe"]);
    tasks.run(&[]).code(0).says(&["demo::echo"]);
    assert!(!tasks.run(&["list"]).stdout.contains("hidden"));
    tasks.run(&["list", "--all", "--detail"]).code(0).says(&["demo::hidden", "Says what it is told"]);
    for words in [&["describe", "demo::echo"][..], &["demo::echo"]] {
        tasks.run(words).code(0).says(&[
            "Says what it is told",
            "message",
            "What to say",
            "String[1]",
            "default 2",
            "echo.sh",
        ]);
    }
    tasks.run(&["describe", "demo::none"]).code(1).complains(&["there is no task demo::none"]);

    // what is wrong is said before anything is sent
    for (words, complaint) in [
        (&["run", "demo::echo", "-y"][..], "expects a value for parameter 'message'"),
        (&["run", "demo::echo", "--message", "x", "--zz", "1", "-y"], "has no parameter named 'zz'"),
        (
            &["run", "demo::echo", "--message", "x", "--times", "9", "-y"],
            "expects a value of type Undef or Integer[1, 5]",
        ),
        (&["run", "demo::echo", "--message", "x"], "without a filter acts on every node"),
        (&["run", "Demo", "-y"], "is no name of a task"),
        (&["run", "-y"], "name a task"),
        (&["run", "--polite", "demo::echo", "-y"], "demo::echo was taken for the value of --polite"),
        (&["run", "demo", "--limt", "1", "-y"], "unknown flag '--limt', did you mean --limit? The task demo"),
        (&["run", "demo", "--code", "3", "-y"], "give it an input as code=VALUE behind its name"),
        (&["run", "demo::echo", "--message", "x", "--limt", "1", "-y"], "'limt', did you mean --limit?"),
        (&["status", "xyz"], "is no id of a run"),
    ] {
        tasks.run(words).code(1).silent().complains(&[complaint]);
    }

    let ran = tasks.run(&["run", "demo::echo", "--message", "hello", "-v", "-I", N1]).code(0);
    ran.says(&[
        "n1.example.net",
        "\"message\": \"hello\"",
        "Task Name: demo::echo",
        "Caller: choria=alice.mcollective",
        "Completed: 1",
        "Successful: 1",
        "Failed: 0",
        "Average Run Time",
    ]);
    let ran = tasks.run(&["run", "demo::echo", "message=a b", "--json", "-y"]).code(0).json();
    assert_eq!(ran["stats"]["success"], 2, "{ran:#}");
    assert_eq!(ran["stats"]["names"], json!(["demo::echo"]));
    assert_eq!(ran["summary"]["success"], true);
    let item = &ran["items"][1];
    assert_eq!((&item["host"], &item["exitcode"]), (&json!("n2.example.net"), &json!(0)));
    assert_eq!(item["stdout"]["message"], "a b");
    assert_eq!(item["stdout"]["input"], json!({"message": "a b", "times": 2, "_task": "demo::echo"}));
    // asked for again by its id
    let id = ran["summary"]["taskid"].as_str().expect("an id");
    tasks.run(&["status", id]).code(0).says(&[id, "Task Name: demo::echo", "Completed: 2"]);
    assert!(
        !tasks.run(&["status", id, "-I", N1]).stdout.contains("a b"),
        "what went well is not shown unasked"
    );
    tasks
        .run(&["status", id, "--metadata"])
        .code(0)
        .says(&["exitcode: 0", "callerid: choria=alice.mcollective"]);

    let failed = tasks.run(&["run", "demo", "code=3", "-I", N1]).code(2);
    failed.says(&["choria.tasks/task-error: The task errored with a code 3", "I am demo in", "Failed: 1"]);
    let input = tasks.network.file("input.yaml", "code: 4\n");
    let input = format!("@{}", input.display());
    tasks.run(&["run", "demo", "--input", &input, "-I", N1]).code(2).says(&["with a code 4"]);
    tasks.run(&["run", "demo", "--input", &input, "code=0", "-I", N1]).code(0);
    tasks.run(&["run", "demo::whole", "-v", "-I", N1]).code(0).says(&["helped"]);
    // the words of the Ruby world, which fetch first
    let mco = tasks.alice.run(&["mco", "tasks", "run", "demo", "code=3", "-I", N1]).code(1);
    mco.says(&["Summary for task"]);

    // who is asked is said as for every request, also in those words
    let hosts = |words: &[&str]| -> Vec<String> {
        let ran = tasks.alice.run(&[words, &["-y", "--json"]].concat());
        let items = ran.json()["items"].as_array().expect("items").clone();
        items.iter().filter_map(|item| item["host"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(hosts(&["tasks", "run", "demo", "--limit", "1"]).len(), 1);
    for flag in ["--one", "-1", "--ln=1"] {
        assert_eq!(hosts(&["mco", "tasks", "run", "demo", flag, "--np"]).len(), 1, "{flag}");
    }
    assert_eq!(hosts(&["mco", "tasks", "run", "demo", "--with-identity", N1]), [N1]);
    assert_eq!(hosts(&["tasks", "run", "demo", "-I", N1]), [N1]);
    assert_eq!(hosts(&["tasks", "run", "demo", "--only", "ok", "last"]), [N1]);
    let nobody = ["mco", "tasks", "run", "demo", "--with-fact", "country=nowhere", "-y"];
    tasks.alice.run(&nobody).code(1).complains(&["did not discover any nodes"]);
}

#[test]
fn a_run_is_one_request_and_files_are_fetched_once() {
    let mut tasks = stage();
    let files = tasks.files("demo");
    let run = |id: &str| {
        let words =
            ["bolt_tasks", "run_and_wait", "task=demo", &format!("files={files}"), &format!("input={id}")];
        tasks.alice.reply(N1, &words)
    };
    let first = run("{}");
    assert_eq!(first["statuscode"], 0, "{first:#}");
    let text = output(&first)["_output"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("I am demo in /") && text.ends_with("/files\n"), "{text}");
    let cached: Vec<_> =
        fs::read_dir(tasks.network.path("n1-tasks/cache")).expect("a cache").flatten().collect();
    assert_eq!(cached.len(), 1);
    assert_eq!(cached[0].metadata().expect("a file").mode() & 0o777, 0o750);
    let downloads = |files: &str| {
        let words =
            ["bolt_tasks", "download", "task=demo", "environment=production", &format!("files={files}")];
        tasks.alice.good(N1, &words)["downloads"].clone()
    };
    assert_eq!(downloads(&files), 0);
    let whole = tasks.files("demo::whole");
    assert_eq!(downloads(&whole), 2);
    // the server is not needed for what is there
    tasks.server = None;
    assert_eq!(run("{}")["statuscode"], 0);
    let audit = tasks.nodes[0].audit();
    let actions: Vec<&str> =
        audit.iter().filter_map(|line| line["action"].as_str()).filter(|a| *a != "ping").collect();
    assert!(actions.starts_with(&["run_and_wait", "demo", "download"]), "{actions:?}");
}

/// A task that goes on until somebody makes the file it waits for.
const WAITS: &str = "#!/bin/sh\nwhile [ ! -e \"$PT_file\" ]; do /bin/sleep 0.05; done\necho done\n";

/// A task that breaks every node breaks the first; what was run is kept, and goes on later.
#[test]
fn a_run_goes_in_stages_and_is_kept() {
    let names = ["n1", "n2", "n3", "n4"];
    let script = "#!/bin/sh\necho x >>\"$PT_log\"\n[ -e \"$PT_log.good\" ]\n";
    let about = r#"{"description": "d", "parameters": {"log": {"type": "String"}}, "supports_noop": false}"#;
    let tasks = Tasks::start(&names, "", &[("demo/tasks/all.sh", script), ("demo/tasks/all.json", about)]);
    let log = tasks.network.path("ran");
    let ran = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    let line = format!("log={}", log.display());
    let words = ["run", "demo::all", &line, "-y", "--stages", "1,50%,100%"];
    tasks
        .run(&[&words[..], &["--background"]].concat())
        .code(1)
        .complains(&["does not go with --background"]);
    let stopped = tasks.run(&words).code(2);
    stopped.clone().complains(&["stage 1 of 3: 1 node", "stopped in stage 1 of 3", "choria rpc --resume"]);
    assert_eq!(ran(), 1, "{stopped:?}");
    let listed = tasks.alice.run(&["history"]).fine();
    listed.says(&["bolt_tasks", "run_and_wait", "task=demo::all"]);
    let id = stopped.stderr.split("--resume ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an id");
    fs::write(format!("{}.good", log.display()), "").expect("a file");
    tasks.alice.run(&["rpc", "--resume", id, "--abort", "1"]).code(0);
    assert_eq!(ran(), 4);
    tasks.run(&words).code(0).complains(&["stage 3 of 3: 2 nodes"]);
    let check = ["--check", "rpcutil.get_fact fact=nosuch if data('value') == 'x'"];
    let ran = tasks.run(&[&words[..], &check, &["--json"]].concat()).code(2);
    ran.clone().complains(&["the check says of", "stopped in stage 1"]);
    let told = ran.json();
    assert_eq!(told["summary"]["completed"], false, "{told:#}");
    assert_eq!((&told["summary"]["success"], &told["summary"]["nodes"]), (&json!(false), &json!(4)));
    assert_eq!(told["stats"]["not_asked"].as_array().map(Vec::len), Some(3), "{told:#}");
    assert!(told["items"][0]["check"].as_str().is_some_and(|said| !said.is_empty()), "{told:#}");
}

#[test]
fn a_run_outlives_the_daemon_of_its_node() {
    let mut tasks = Tasks::start(&["n1"], "", &[("demo/tasks/waits.sh", WAITS)]);
    let file = tasks.network.path("go").display().to_string();
    let id = tasks.begin(&["demo::waits", &format!("file={file}")]);
    let status =
        |tasks: &Tasks| tasks.alice.reply(N1, &["bolt_tasks", "task_status", &format!("task_id={id}")]);
    let running = status(&tasks);
    assert_eq!(
        (&running["statuscode"], &running["data"]["exitcode"]),
        (&json!(0), &json!(-1)),
        "{running:#}"
    );
    tasks.run(&["status", &id, "-I", N1]).code(0).says(&["Running: 1", "It goes on"]);
    tasks.nodes[0].kill();
    tasks.nodes[0].start();
    tasks.nodes[0].connected();
    tasks.network.answered_by(&[N1]);
    assert_eq!(status(&tasks)["data"]["completed"], false);
    tasks.network.file("go", "");
    let ended = tasks.ended(&id);
    assert_eq!(output(&ended), json!({"_output": "done\n"}));
    assert_eq!(ended["data"]["exitcode"], 0);
}

#[test]
fn a_run_is_ended_by_who_began_it() {
    let deaf = "#!/bin/sh\ntrap '' TERM\n/bin/sleep 600 &\nwhile :; do /bin/sleep 0.1; done\n";
    let tasks = Tasks::start(&["n1"], "", &[("demo/tasks/deaf.sh", deaf), ("demo/tasks/waits.sh", WAITS)]);
    let waiting = tasks.begin(&["demo::waits", "file=/nonexistent"]);
    let bob = tasks.caller("bob.mcollective");
    bob.run(&["tasks", "kill", &waiting, "-I", N1]).code(2).says(&["not authorized"]);
    tasks.run(&["kill", &waiting, "-I", N1]).code(0).says(&["n1.example.net: ended"]);
    let ended = tasks.ended(&waiting);
    assert_eq!(ended["statusmsg"], "choria.tasks/killed: The task was ended by choria=alice.mcollective");
    assert_eq!(ended["data"]["exitcode"], 143);
    tasks.run(&["kill", &waiting, "-I", N1]).code(2).says(&["The task has ended"]);
    let deaf = tasks.begin(&["demo::deaf"]);
    let group: i32 = until("the task to say who it is", || {
        tasks.spooled(&deaf, "task_pid").and_then(|text| text.split(' ').next()?.parse().ok())
    });
    tasks.run(&["kill", &deaf, "-I", N1, "--discovery-timeout", "2"]).code(0);
    assert_eq!(tasks.ended(&deaf)["data"]["exitcode"], 137);
    until("nothing of it to be left", || {
        let group = Pid::from_raw(group).expect("a number");
        rustix::process::test_kill_process_group(group).is_err().then_some(())
    });
    let none = "f".repeat(32);
    tasks.run(&["kill", &none, "-I", N1]).code(2).complains(&["no node knows the run"]);
}

#[test]
fn a_run_is_told_of_to_who_asked_for_it() {
    let tasks = stage();
    let id = tasks.begin(&["demo"]);
    tasks.ended(&id);
    // allowed to ask, and not who ran it
    let setup = node("n9").policy("bolt_tasks", "policy default deny\nallow\tchoria=bob.mcollective\t*\t*\t*\nallow\tchoria=alice.mcollective\t*\t*\t*\n");
    let setup = with_tasks(&tasks.network, setup, "n1", 1);
    let _n9 = tasks.network.node(setup);
    let bob = tasks.caller("bob.mcollective");
    let reply = until("the node that has the same spool", || {
        let ran = bob.run(&[
            "rpc",
            "bolt_tasks",
            "task_status",
            &format!("task_id={id}"),
            "-I",
            "n9.example.net",
            "--json",
        ]);
        (ran.code != 1).then(|| ran.json()["replies"][0].clone()).filter(Value::is_object)
    });
    assert_eq!(
        (&reply["statuscode"], &reply["statusmsg"]),
        (&json!(5), &json!("this task is not of a request of yours")),
        "{reply:#}"
    );
    assert_eq!(output(&reply)["_error"]["kind"], "choria/not_own_request");
    let unknown =
        tasks.alice.reply(N1, &["bolt_tasks", "task_status", &format!("task_id={}", "0".repeat(32))]);
    assert_eq!(
        (&unknown["statuscode"], &unknown["statusmsg"]),
        (&json!(3), &json!("Task ID have not been run"))
    );
    // filters know it by its id
    let select = format!("bolt_task('{id}').exitcode == 0 && bolt_task('{id}').completed == true");
    let found = tasks.alice.run(&["find", "-S", &select]).code(0);
    assert_eq!(found.sorted(), ["n1.example.net", "n9.example.net"]);
}

#[test]
fn policies_know_tasks_by_their_names() {
    let vectors =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tasks-playbooks.json"));
    let vectors: Value = serde_json::from_str(&vectors.expect("vectors")).expect("JSON");
    let tasks = Tasks::start(&[], "", &[]);
    let policies = vectors["policies"].as_array().expect("policies");
    let setups = policies.iter().enumerate().map(|(at, policy)| {
        let name = format!("p{at}");
        let setup = node(&name).policy("bolt_tasks", policy["policy"].as_str().expect("a text"));
        with_tasks(&tasks.network, setup, &name, 1)
    });
    let nodes = tasks.network.nodes(setups);
    // not there, so that a run that is allowed ends at once
    let record = json!([{"filename": "x.sh", "sha256": "0".repeat(64), "size_bytes": 1,
        "uri": {"path": "/puppet/v3/file_content/tasks/x/x.sh", "params": {}}}]);
    let files = format!("files={record}");
    let mut seen = 0;
    for caller in ["ann", "bob"] {
        let by = tasks.caller(&format!("{caller}.mcollective"));
        for at in 0..14 {
            let case = &policies[0]["cases"][at];
            if case["caller"] != format!("choria={caller}.mcollective") || case["action"] == "run_no_wait" {
                continue;
            }
            let action = case["action"].as_str().expect("an action");
            let task = format!("task={}", case["task"].as_str().unwrap_or_default());
            let words: Vec<&str> = match action {
                "task_status" => vec!["task_id=00000000000000000000000000000000"],
                "download" => vec![&task, "environment=production", &files],
                _ => vec![&task, &files, "input={}"],
            };
            let before: Vec<usize> = nodes.iter().map(|node| node.audit().len()).collect();
            let ran = by
                .run(&[&["rpc", "bolt_tasks", action], &words[..], &["--json", "-A", "bolt_tasks"]].concat());
            for reply in ran.json()["replies"].as_array().expect("replies") {
                let at_node = nodes.iter().position(|node| reply["sender"] == node.name).expect("a node");
                let wanted = &policies[at_node]["cases"][at];
                let message = reply["statusmsg"].as_str().expect("a text");
                let denied = message.starts_with("You are not authorized");
                // a rule for demo counts for demo::init, and the other way round
                assert_eq!(
                    !denied,
                    wanted["final"] == true,
                    "{} {wanted} {message}",
                    policies[at_node]["name"]
                );
                let by_task = denied && wanted["action_allowed"] == true;
                assert_eq!(
                    by_task,
                    message.starts_with("You are not authorized to run Bolt Task"),
                    "{message}"
                );
                let records = (nodes[at_node].audit().len() - before[at_node]) as u64;
                assert_eq!(
                    Some(records),
                    wanted["audit_records"].as_u64(),
                    "{} {wanted}",
                    policies[at_node]["name"]
                );
                seen += 1;
            }
        }
    }
    assert!(seen >= 70, "{seen}");
}

#[test]
fn secrets_of_a_task_are_kept_nowhere() {
    let metadata =
        r#"{"parameters": {"password": {"type": "String", "sensitive": true}, "user": {"type": "String"}}}"#;
    let program = "#!/bin/sh\nread -r input\ncase $input in *hunter''2*) echo \"told $PT_user $PT_password\";; *) exit 9;; esac\n";
    let tasks = Tasks::start(
        &["n1"],
        "loglevel = debug\n",
        &[("demo/tasks/login.sh", program), ("demo/tasks/login.json", metadata)],
    );
    let words = ["run", "demo::login", "--user", "alice7", "--password", "hunter2", "-I", N1];
    let ran = tasks.run(&[&words[..], &["--json"]].concat()).code(0);
    let item = &ran.json()["items"][0];
    assert_eq!(item["stdout"]["_output"], "told alice7 *****\n", "{ran:?}");
    tasks.run(&[&words[..], &["-v"]].concat()).code(0).says(&["told alice7 *****"]);
    let spool = tasks.network.path("n1-tasks/spool");
    let mut open = vec![spool, tasks.nodes[0].dir.clone()];
    let mut read = 0;
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            // what the task itself wrote is its own doing
            let text = fs::read(&path).unwrap_or_default();
            let holds = text.windows(7).any(|bytes| bytes == b"hunter2");
            assert!(!holds || path.ends_with("stdout"), "{}", path.display());
            read += 1;
        }
    }
    assert!(read > 10, "{read}");
    assert!(!tasks.nodes[0].log().lines().iter().any(|line| line.contains("hunter2")));
    let audit = fs::read_to_string(tasks.nodes[0].dir.join("audit.log")).expect("an audit log");
    assert!(audit.contains("alice7") && audit.contains("*****"), "{audit}");
}

#[test]
fn a_task_runs_as_another_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: tasks of other users were NOT tried");
        return;
    }
    let who = "#!/bin/sh\nPATH=/usr/bin:/bin\nid -un; id -Gn; env | grep -c -e ^USER= -e ^HOME= -e ^CHORIA; echo \"$PT__task\"\n\
               cat \"$PT_secret\" 2>&1 | head -1\n";
    let tasks = Tasks::start(&["n1"], "", &[("demo/tasks/who.sh", who)]);
    // directories of the test are root's alone
    for dir in ["", "n1-tasks", "n1-tasks/spool"] {
        let path = tasks.network.path(dir);
        fs::create_dir_all(&path).expect("a directory");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    }
    let secret = tasks.network.file("secret", "root's alone");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    let words = [
        "run",
        "demo::who",
        &format!("secret={}", secret.display()),
        "--run-as",
        "nobody",
        "--json",
        "-I",
        N1,
    ];
    let ran = tasks.run(&words);
    let item = ran.json()["items"][0].clone();
    let text = item["stdout"]["_output"].as_str().unwrap_or_default().to_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        (lines.first(), lines.get(2), lines.get(3)),
        (Some(&"nobody"), Some(&"0"), Some(&"demo::who")),
        "{ran:?}"
    );
    assert!(lines.get(4).is_some_and(|line| line.contains("Permission denied")), "{text}");
    tasks
        .run(&["run", "demo::who", "--run-as", "no-such-user", "-I", N1])
        .code(2)
        .says(&["there is no user no-such-user"]);
}

#[test]
fn only_signed_tasks_run_where_they_have_to_be() {
    use choria::core::security::tokens::SigningKey;
    let seed = [7u8; 32];
    let public = SigningKey::from_seed(&seed).and_then(|key| key.public_hex()).expect("a key");
    let dir = tempfile::TempDir::new().expect("a directory");
    let key = dir.path().join("seed");
    fs::write(&key, "07".repeat(32)).expect("a file");
    let lines = format!("plugin.choria.tasks.signing_key = {public}\n");
    let files = [
        ("demo/tasks/init.sh", "#!/bin/sh\necho signed\n"),
        ("demo/tasks/other.sh", "#!/bin/sh\necho other\n"),
    ];
    let words = ["--signing-key", key.to_str().expect("a path")];
    let tasks = Tasks::start_signed(&["n1"], &lines, &files, &words);
    tasks.run(&["run", "demo", "-v", "-I", N1]).code(0).says(&["signed"]);
    let signed = tasks.files("demo::other");
    let mut unsigned: Value = serde_json::from_str(&signed).expect("JSON");
    unsigned[0].as_object_mut().expect("an object").remove("signatures");
    for (task, files) in [("demo::other", unsigned.to_string()), ("demo", signed)] {
        let words =
            ["bolt_tasks", "run_and_wait", &format!("task={task}"), &format!("files={files}"), "input={}"];
        assert!(tasks.alice.bad(N1, 1, &words).contains("are not signed by a key"), "{task}");
    }
}

#[test]
fn a_runner_that_is_killed_ends_its_task() {
    let tasks = Tasks::start(&["n1"], "", &[("demo/tasks/waits.sh", WAITS)]);
    let id = tasks.begin(&["demo::waits", "file=/nonexistent"]);
    let pid = |name: &str| {
        until("a process", || {
            tasks.spooled(&id, name).and_then(|text| text.split(' ').next()?.parse::<i32>().ok())
        })
    };
    let (runner, task) = (pid("wrapper_pid"), pid("task_pid"));
    kill_process(Pid::from_raw(runner).expect("a number"), Signal::KILL).expect("killed");
    let ended = tasks.ended(&id);
    let message = ended["statusmsg"].as_str().expect("a text");
    assert!(
        message.starts_with("choria.tasks/wrapper-error: The runner of the task was killed"),
        "{message}"
    );
    until("its task to be gone", || {
        let stat = fs::read_to_string(format!("/proc/{task}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn tasks_may_misbehave() {
    let tasks = Tasks::start(
        &["n1"],
        "",
        &[
            (
                "demo/tasks/flood.sh",
                "#!/bin/sh\n/usr/bin/head -c 40000000 /dev/zero | /usr/bin/tr '\\0' x; exit 4\n",
            ),
            ("demo/tasks/forks.sh", "#!/bin/sh\n(/bin/sleep 3; echo late) &\necho early\n"),
            ("demo/tasks/quiet.sh", "#!/bin/sh\nexec >&- 2>&- <&-\n/bin/sleep 0.2\nexit 5\n"),
            ("demo/tasks/bare.sh", "echo 1\n"),
            ("demo/tasks/ruby.rb", "#!/opt/none/ruby\n"),
            ("demo/tasks/bytes.sh", "#!/bin/sh\nprintf '\\377\\376'; printf '\\033[2J' >&2\n"),
        ],
    );
    let run = |task: &str| {
        let files = tasks.files(task);
        tasks.alice.reply(
            N1,
            &["bolt_tasks", "run_and_wait", &format!("task={task}"), &format!("files={files}"), "input={}"],
        )
    };
    let flood = run("demo::flood");
    assert_eq!(
        (&flood["statuscode"], &flood["data"]["exitcode"]),
        (&json!(1), &json!(4)),
        "{}",
        flood["statusmsg"]
    );
    assert_eq!(output(&flood)["_truncated"], true);
    let kept = fs::read_dir(tasks.network.path("n1-tasks/spool")).expect("a spool").flatten();
    let largest =
        kept.filter_map(|run| run.path().join("stdout").metadata().ok()).map(|about| about.len()).max();
    assert_eq!(largest, Some(10 << 20));
    let began = std::time::Instant::now();
    let forks = run("demo::forks");
    assert_eq!(output(&forks)["_output"], "early\n");
    assert!(began.elapsed().as_secs_f64() < 3.0, "whom it leaves running is not waited for");
    assert_eq!(run("demo::quiet")["data"]["exitcode"], 5);
    for (task, complaint) in [
        ("demo::bare", "has no line #!"),
        ("demo::ruby", "its interpreter /opt/none/ruby is not on this node"),
    ] {
        let reply = run(task);
        assert_eq!((&reply["statuscode"], &reply["data"]["exitcode"]), (&json!(1), &json!(127)));
        assert!(reply["data"]["stderr"].as_str().is_some_and(|text| text.contains(complaint)), "{reply:#}");
    }
    let bytes = tasks.run(&["run", "demo::bytes", "-v", "-I", N1]).code(0);
    assert!(!bytes.stdout.contains('\u{1b}'), "{bytes:?}");
}

/// In whatever language a node has.
#[test]
fn a_task_in_python_reads_its_input() {
    let program = "#!/usr/bin/python3\nimport json, os, sys\n\ngiven = json.load(sys.stdin)\n\
                   if given[\"numbers\"] == [0]:\n    json.dump({\"_error\": {\"msg\": \"nothing to add\", \"kind\": \"demo/nothing\", \
                   \"details\": {}}}, sys.stdout)\n    sys.exit(3)\njson.dump({\"sum\": sum(given[\"numbers\"]), \
                   \"task\": given[\"_task\"], \"variables\": [n for n in os.environ if n.startswith(\"PT_n\")]}, sys.stdout)\n";
    let metadata = r#"{"description": "Adds", "input_method": "stdin", "parameters": {"numbers": {"type": "Array[Integer, 1]"}}}"#;
    let tasks =
        Tasks::start(&["n1"], "", &[("demo/tasks/sum.py", program), ("demo/tasks/sum.json", metadata)]);
    let words = ["run", "demo::sum", "--numbers", "40", "--numbers", "2", "--json", "-I", N1];
    let ran = tasks.run(&words).code(0).json();
    assert_eq!(
        ran["items"][0]["stdout"],
        json!({"sum": 42, "task": "demo::sum", "variables": []}),
        "{ran:#}"
    );
    let failed = tasks.run(&["run", "demo::sum", "--numbers", "0", "--json", "-I", N1]).code(2).json();
    let item = &failed["items"][0];
    assert_eq!((&item["exitcode"], &item["stdout"]["_error"]["msg"]), (&json!(3), &json!("nothing to add")));
}
