use super::*;

/// The original's replies to states of runs, but for what is fixed on purpose.
#[test]
fn replies_are_the_originals() {
    let vectors = include_str!("../../../../tests/vectors/tasks-playbooks.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let agent =
        BoltTasks::new(&Config::from_text(crate::core::config::Role::Server, "identity = n1\n").unwrap());
    let mut seen = 0;
    for case in vectors["agent_replies"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let Some(status) = case["status"].as_object() else { continue };
        let action = case["action"].as_str().unwrap();
        if action == "run_no_wait" || name.contains("not own") || name.contains("other") {
            continue;
        }
        let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
        let stdout = match &status["stdout"] {
            Value::String(text) => serde_json::from_str(text).unwrap(),
            other => other.clone(),
        };
        let status = Status {
            task: text("task"),
            caller: text("caller"),
            stdout: stdout.as_object().unwrap().clone(),
            stderr: text("stderr"),
            exitcode: status["exitcode"].as_i64().unwrap(),
            runtime: status["runtime"].as_f64().unwrap(),
            start_time: status["start_time"].as_i64().unwrap(),
            wrapper_spawned: status["wrapper_spawned"].as_bool().unwrap(),
            wrapper_error: text("wrapper_error"),
            wrapper_pid: 10,
            completed: status["completed"].as_bool().unwrap(),
        };
        let call = Call {
            agent: "bolt_tasks".into(),
            action: action.into(),
            data: Map::new(),
            request_id: String::new(),
            sender: String::new(),
            caller: case["caller"].as_str().unwrap().into(),
            collective: String::new(),
            ttl: 60,
            time: 0,
        };
        let mut outcome = told(Outputs::of(agent.ddl(), &call), &status);
        outcome.data.shift_remove("task_id");
        let mut wanted = case["data"].as_object().unwrap().clone();
        wanted.shift_remove("task_id");
        // the original sends the text of a runner's failure twice encoded, and without a message
        let twice = wanted["stdout"].as_str().and_then(|text| serde_json::from_str::<String>(text).ok());
        let failed = twice.is_some();
        if let Some(once) = twice {
            wanted["stdout"] = once.into();
        }
        // numbers and texts, whatever their order
        let parsed = |data: &Map<String, Value>| {
            serde_json::from_str::<Value>(data["stdout"].as_str().unwrap()).unwrap()
        };
        assert_eq!(parsed(&outcome.data), parsed(&wanted), "{name}");
        for data in [&mut outcome.data, &mut wanted] {
            data.shift_remove("stdout");
        }
        assert_eq!(json!(outcome.data), json!(wanted), "{name}");
        assert_eq!(Some(outcome.code.code()), case["statuscode"].as_i64(), "{name}");
        let message = if failed {
            "choria.tasks/wrapper-error: The task wrapper failed to run"
        } else {
            case["statusmsg"].as_str().unwrap()
        };
        assert_eq!(outcome.message, message, "{name}");
        seen += 1;
    }
    assert!(seen >= 5, "{seen}");
}

#[test]
fn secrets_are_hidden() {
    let hidden = |sensitive: &str, input: &str| {
        let data = json!({"task": "demo", "sensitive": sensitive, "input": input});
        let mut data = data.as_object().unwrap().clone();
        input::hide_secrets(&mut data);
        data["input"].as_str().unwrap().to_owned()
    };
    let input = r#"{"a":"hunter2","b":1}"#;
    assert_eq!(hidden("", input), input);
    assert_eq!(hidden("[]", input), input);
    assert_eq!(hidden(r#"["a","zz"]"#, input), r#"{"a":"*****","b":1}"#);
    assert_eq!(hidden("x", input), "*****");
    assert_eq!(hidden(r#"["a"]"#, "{"), "*****");
}

/// Whoever stops waiting, as a request does when its time is up, does not stop what begins.
#[tokio::test]
async fn what_begins_is_begun_whoever_waits() {
    use std::os::unix::fs::PermissionsExt;

    use crate::core::agents::local::LocalNode;
    use crate::core::config::Role;
    use crate::core::protocol::filter::Facts;
    use crate::core::text::hex;

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let text = format!(
        "identity = n1\nplugin.choria.tasks.cache_dir = {}\nplugin.choria.tasks.spool_dir = {}\n",
        at("cache").display(),
        at("spool").display()
    );
    let config = Config::from_text(Role::Server, &text).unwrap();
    let mut agent = BoltTasks::new(&config);
    let (go, home) = (at("go").display().to_string(), dir.path().display().to_string());
    let waits = format!("while [ ! -e '{go}' ] && [ -d '{home}' ]; do /bin/sleep 0.02; done");
    std::fs::write(at("runner"), format!("#!/bin/sh\n{waits}\necho x >\"$3/begun\"\n")).unwrap();
    std::fs::set_permissions(at("runner"), std::fs::Permissions::from_mode(0o755)).unwrap();
    agent.image = Some(at("runner"));
    let program = b"#!/bin/sh\n";
    let hash = hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, program).as_ref());
    std::fs::create_dir(at("cache")).unwrap();
    std::fs::write(at("cache").join(&hash), program).unwrap();
    let files = json!([{"filename": "init.sh", "sha256": hash, "size_bytes": program.len(),
                        "uri": {"path": "/puppet/v3/x", "params": {}}}]);
    let data = json!({"task": "demo", "files": files.to_string(), "input": "{}"});
    let call = Call {
        agent: "bolt_tasks".into(),
        action: "run_no_wait".into(),
        data: data.as_object().unwrap().clone(),
        request_id: "0".repeat(32),
        sender: String::new(),
        caller: "choria=a".into(),
        collective: String::new(),
        ttl: 60,
        time: 0,
    };
    let node = LocalNode::new(config, Facts::from_json("{}".to_owned()), &agent);
    // whose files came late has not failed: its end is asked for
    let late = Call { action: "run_and_wait".into(), request_id: "1".repeat(32), ..call.clone() };
    let outputs = Outputs::of(agent.ddl(), &late);
    let until = Instant::now() + BEGUN_BY * 3;
    let outcome = agent.run_and_wait(&late, &node, outputs, until).await;
    assert_eq!((outcome.code, &outcome.data["completed"]), (StatusCode::Ok, &json!(false)), "{outcome:?}");
    assert_eq!(outcome.data["task_id"], json!(late.request_id));
    let run = at("spool").join(&call.request_id);
    let spooled = async {
        while !run.join("choria.json").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        outcome = agent.run(&call, &node) => panic!("{outcome:?}"),
        () = spooled => {}
    }
    std::fs::write(&go, "").unwrap();
    let begun = async {
        while !run.join("begun").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), begun).await.expect("it begins");
}
