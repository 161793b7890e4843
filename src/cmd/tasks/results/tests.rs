use choria::core::client::RpcReply;

use super::*;
use crate::cmd::apps::reply;
use crate::cmd::tasks::node::is_without_files;

fn shown(kind: Kind, replies: Vec<RpcReply>) -> Shown {
    let input = json!({"password": "hunter2", "a": "x"});
    let mut shown =
        Shown::new("demo".into(), kind, vec!["password".into()], input.as_object().expect("an object"));
    shown.ids.push("0123".into());
    shown.nodes = replies.into_iter().map(|reply| Node::new(reply, &shown.secrets)).collect();
    shown
}

fn done(stdout: &str, code: i64, completed: bool) -> Value {
    json!({"task": "demo", "callerid": "choria=alice", "exitcode": code, "stdout": stdout, "stderr": "warned\n",
           "completed": completed, "runtime": 0.5, "start_time": 1, "task_id": "0123"})
}

#[test]
fn failures_and_sums_are_shown() {
    let replies = vec![
        reply("n1", 0, "OK", done(r#"{"_output":"fine\n"}"#, 0, true)),
        reply("n2", 1, "demo/e: no", done(r#"{"_error":{"kind":"demo/e","msg":"no"},"a":1}"#, 3, true)),
        reply("n3", 0, "OK", done(r#"{"_output":""}"#, -1, false)),
        reply("n4", 5, "not there", json!({})),
    ];
    let shown = shown(Kind::Run, replies);
    let mut text = vec![];
    shown.text(&mut text, false, false).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("n2\n    demo/e: no\n    {\n      \"a\": 1\n    }\n    warned\n\nn4\n    not there\n\nSummary for task 0123\n\n"), "{text}");
    for line in [
        "Completed: 2",
        "Running: 1",
        "Wrapper Failure: 1",
        "Successful: 1",
        "Failed: 2",
        "Average Run Time: 0.50s",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("fine"), "{text}");
    assert_eq!(shown.json()["stats"]["running"], 1);
    assert_eq!(shown.json()["items"][0]["stdout"], json!({"_output": "fine\n"}));
}

#[test]
fn secrets_are_not_shown() {
    let out = r#"{"_output":"it is hunter2","_sensitive":{"key":"k3y"},"deep":{"list":["hunter2"]}}"#;
    let mut data = done(out, 0, true);
    data["stderr"] = json!("said hunter2");
    let shown = shown(Kind::Run, vec![reply("n1", 1, "x: hunter2", data)]);
    let mut text = vec![];
    shown.text(&mut text, false, true).unwrap();
    for text in [String::from_utf8(text).unwrap(), shown.json().to_string()] {
        assert!(!text.contains("hunter2") && !text.contains("k3y") && text.contains("*****"), "{text}");
    }
}

#[test]
fn what_the_original_encodes_twice_is_read() {
    let twice = Value::from(r#"{"_error":{"kind":"choria.tasks/wrapper-error","msg":"m"}}"#).to_string();
    let shown = shown(Kind::Status, vec![reply("n1", 1, ": ", done(&twice, -1, true))]);
    assert_eq!(shown.nodes[0].output["_error"]["msg"], "m");
}

#[test]
fn nodes_of_the_original_without_files_are_known() {
    let said = "Task demo is not available or does not match the specification";
    let old = json!({"stdout": r#"{"_error":{"kind":"choria/invalid_cache"}}"#, "task_id": "x"});
    assert!(is_without_files(&reply("n1", 5, said, old)));
    assert!(is_without_files(&reply("n1", 5, "No such file", json!({"task_id": null}))));
    let large = "the reply of 1311897 bytes is larger than the broker takes";
    for data in [json!({}), json!({"task_id": "x", "exitcode": 0})] {
        assert!(!is_without_files(&reply("n1", 5, large, data)));
    }
    assert!(!is_without_files(&reply("n1", 5, "not begun", json!({"task_id": "x"}))));
    let ours = json!({"stdout": r#"{"_error":{"kind":"choria/invalid_cache"}}"#, "task_id": "x"});
    assert!(!is_without_files(&reply("n1", 5, "Task demo is not available: the server", ours)));
}

/// Who was not asked, or not waited for, is no part of a success.
#[test]
fn what_is_not_known_of_all_is_no_success() {
    let fine = || vec![reply("n1", 0, "OK", done("{}", 0, true))];
    let summary = |shown: &Shown| {
        let told = shown.json()["summary"].clone();
        (told["completed"] == true, told["success"] == true, shown.code(false))
    };
    assert_eq!(summary(&shown(Kind::Run, fine())), (true, true, 0));
    type Change = fn(&mut Shown);
    let late: Change = |shown| shown.stats.late_discoveries.push("n3".into());
    let down: Change = |shown| shown.stats.federations_down.push("malta".into());
    let silent: Change = |shown| shown.stats.no_responses.push("n2".into());
    let badly: Change = |shown| shown.badly = true;
    let stopped: Change = |shown| {
        shown.badly = true;
        shown.stats.not_asked.push("n2".into());
    };
    let interrupted: Change = |shown| shown.interrupted = true;
    for (what, change, told) in [
        ("late", late, (true, false, 4)),
        ("down", down, (true, false, 4)),
        ("silent", silent, (true, false, 4)),
        ("badly", badly, (true, false, 2)),
        ("stopped", stopped, (false, false, 2)),
        ("interrupted", interrupted, (false, false, 130)),
    ] {
        for kind in [Kind::Run, Kind::Status] {
            let mut shown = shown(kind, fine());
            change(&mut shown);
            assert_eq!(summary(&shown), told, "{what}");
        }
    }
    let mut shown = shown(Kind::Run, fine());
    late(&mut shown);
    stopped(&mut shown);
    shown.interrupted = true;
    shown.unwell.insert("n1".into(), "value is 'x'".into());
    let json = shown.json();
    assert_eq!(json["items"][0]["check"], "value is 'x'");
    assert_eq!((&json["stats"]["not_asked"], &json["summary"]["nodes"]), (&json!(["n2"]), &json!(2)));
    assert_eq!(json["stats"]["late_discoveries"], json!(["n3"]));
    let mut text = vec![];
    shown.text(&mut text, true, false).unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in
        ["Not Asked: 1", "Found Too Late: 1", "It goes on where it has begun: 'choria tasks status 0123'"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn who_did_not_begin_it_has_not_completed_it() {
    let denied = || reply("n1", 1, "You are not authorized", json!({}));
    let json = shown(Kind::Run, vec![denied(), reply("n2", 0, "OK", done("{}", 0, true))]).json();
    let stats = &json["stats"];
    assert_eq!(
        (&stats["completed"], &stats["not_begun"], &stats["failed"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let said = |replies| {
        let mut text = vec![];
        shown(Kind::Begun, replies).text(&mut text, true, false).unwrap();
        String::from_utf8(text).unwrap()
    };
    let begun = || reply("n2", 0, "OK", json!({"task_id": "0123"}));
    let text = said(vec![denied()]);
    assert!(text.contains("on 0 of 1 nodes") && !text.contains("tasks status"), "{text}");
    assert!(text.ends_with("1 did not begin it: You are not authorized\n"), "{text}");
    let text = said(vec![denied(), begun()]);
    assert!(text.contains("on 1 of 2 nodes") && text.contains("tasks status 0123"), "{text}");
    let text = said(vec![begun()]);
    assert!(text.contains("on 1 nodes") && text.ends_with("becomes of it\n"), "{text}");
}
