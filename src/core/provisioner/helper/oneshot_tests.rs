//! The 21 odd helpers that were tried on the original, and some more.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use super::super::fixtures::{about, checked, foreign, good_answer, question};
use super::*;
use crate::core::pki::Kind;

fn settings(line: &str, timeout: Duration) -> Settings {
    Settings { helper: line.into(), helper_timeout: timeout, ..Settings::default() }
}

/// A helper that runs this shell script, which finds its directory in `$1`.
fn helper(dir: &Path, script: &str, timeout: Duration) -> Oneshot {
    let file = dir.join("helper.sh");
    fs::write(&file, script).unwrap();
    Oneshot::new(&settings(&format!("/bin/sh {} {}", file.display(), dir.display()), timeout)).unwrap()
}

/// What becomes of a node whose helper runs `script`; `$1/answer` holds `answer`.
async fn end_of(question: &Question, script: &str, answer: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("answer"), answer).unwrap();
    let helper = helper(dir.path(), script, PATIENT);
    let answer = helper.ask(question).await;
    if let Ok(left) = fs::read_to_string(dir.path().join("pid")) {
        let _ =
            rustix::process::kill_process(Pid::from_raw(left.trim().parse().unwrap()).unwrap(), Signal::KILL);
    }
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => return error.to_string(),
    };
    if answer.defer {
        return format!("deferred: {}", answer.msg);
    }
    if answer.shutdown {
        return format!("shutdown: {}", answer.msg);
    }
    let (csr, _) = checked(question);
    match answer.check(&about(question, &csr)) {
        Err(error) => error.to_string(),
        Ok(told) if told.is_empty() => "provisioned".into(),
        Ok(told) => format!("provisioned; {}", told.join("; ")),
    }
}

const PATIENT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_becomes_of_nodes_with_odd_helpers() {
    let vectors = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/provisioning/provisioning-helper-cases.json"
    ));
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    let mut left: BTreeSet<&str> = cases.iter().map(|case| case["case"].as_str().unwrap()).collect();

    let question = question("n1.example.net", &Value::Null);
    let good = good_answer(&question);
    let with = |key: &str, value: Value| {
        let mut answer = good.clone();
        answer[key] = value;
        answer.to_string()
    };
    let set = |key: &str, value: Value| {
        let mut answer = good.clone();
        answer["configuration"][key] = value;
        answer.to_string()
    };
    let without = |name: &str| {
        let mut answer = good.clone();
        answer.as_object_mut().unwrap().remove(name);
        answer.to_string()
    };
    let mut looping = good.clone();
    looping["configuration"].as_object_mut().unwrap().remove("plugin.choria.server.provision");
    let pkcs8 = foreign(Kind::Client).1;
    const SAY: &str = "cat >/dev/null; cat $1/answer";
    let provisioned = "provisioned";
    for (name, script, answer, end) in [
        ("defer", SAY, json!({"defer": true, "msg": "not yet"}).to_string(), "deferred: not yet"),
        ("shutdown", SAY, json!({"shutdown": true, "msg": "bye"}).to_string(), "shutdown: bye"),
        (
            "nonstr",
            SAY,
            set("registerinterval", json!(300)),
            "cannot be read: invalid type: integer `300`, expected a string",
        ),
        ("empty", SAY, json!({"configuration": {}}).to_string(), "it has no configuration"),
        ("nocert", SAY, without("certificate"), "it has no certificate although the node asked for one"),
        ("loop", SAY, looping.to_string(), "it was added"),
        // of the node, not of the helper: the daemon's tests have it
        ("vanish", SAY, good.to_string(), provisioned),
        ("extra", "cat $1/answer; echo careful >&2", with("extra", json!([1])), provisioned),
        ("badcert", SAY, with("certificate", json!("not a certificate")), "it is no certificate in PEM"),
        (
            "newline",
            SAY,
            set("libdir", json!("/x\nplugin.choria.server.provision = true")),
            "the value of libdir has a line end",
        ),
        (
            "policies",
            SAY,
            with("action_policies", json!({"rpcutil.policy": "policy default allow\n"})),
            provisioned,
        ),
        (
            "badpolicies",
            SAY,
            with("action_policies", json!({"rpcutil": "policy default allow\n"})),
            "\"rpcutil\" cannot be the name of a policy file",
        ),
        (
            "key",
            SAY,
            with("key", json!("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")),
            "no RSA key in PKCS#1",
        ),
        ("pkcs8", SAY, with("key", json!(pkcs8)), "no RSA key in PKCS#1"),
        ("zero", "cat >/dev/null; echo", String::new(), "it ended well and wrote nothing"),
        (
            "zero1",
            "echo who knows >&2; exit 3",
            String::new(),
            "it ended with exit status: 3; it said: who knows",
        ),
        ("junk", "echo hello", String::new(), "cannot be read: it is no JSON object"),
        ("two", "cat $1/answer; cat $1/answer", good.to_string(), "cannot be read: trailing characters"),
        ("grand", "cat $1/answer; sleep 40 & echo $! >$1/pid; exit 0", good.to_string(), provisioned),
        ("exit1", "cat $1/answer; exit 1", good.to_string(), "it ended with exit status: 1"),
    ] {
        left.remove(name);
        let begun = Instant::now();
        let found = end_of(&question, script, &answer).await;
        assert!(found.contains(end), "{name}: {found}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{name} was waited for");
    }
    assert_eq!(left, BTreeSet::from(["hang"]), "cases that nobody tried");
}

#[tokio::test]
async fn a_helper_that_hangs_is_killed_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let script = "echo asking the CA >&2; sleep 1000 & echo $! >$1/child; wait; cat $1/answer";
    let helper = helper(dir.path(), script, Duration::from_millis(1500));
    let begun = Instant::now();
    let error = helper.ask(&question("n1", &Value::Null)).await.unwrap_err().to_string();
    assert!(error.contains("longer than 1.5s and was killed; it said: asking the CA"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    let child: i32 = fs::read_to_string(dir.path().join("child")).unwrap().trim().parse().unwrap();
    let pid = Pid::from_raw(child).unwrap();
    let gone = |pid| {
        // killed and not yet taken care of by whoever inherited it is gone too
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        rustix::process::test_kill_process(pid).is_err() || stat.contains(") Z ")
    };
    while !gone(pid) {
        assert!(begun.elapsed() < Duration::from_secs(30), "the child lives");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nobody_asked_any_more_means_nobody_runs() {
    let dir = tempfile::tempdir().unwrap();
    let helper = helper(dir.path(), "echo $$ >$1/pid.new; mv $1/pid.new $1/pid; sleep 1000", PATIENT);
    let question = question("n1", &Value::Null);
    let file = dir.path().join("pid");
    let begun = Instant::now();
    let started = async {
        while !file.exists() {
            assert!(begun.elapsed() < PATIENT);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        answer = helper.ask(&question) => panic!("{answer:?}"),
        () = started => {}
    }
    let pid: i32 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    while rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() {
        assert!(begun.elapsed() < PATIENT, "it lives");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn helpers_that_say_much_are_read_no_further() {
    let question = question("n1", &Value::Null);
    let error = end_of(&question, "yes | head -c 3000000", "").await;
    assert!(error.contains("more than 1048576 bytes"), "{error}");
    // endless, on both pipes: neither memory nor the log grows
    let error = end_of(&question, "yes >&2 & yes", "").await;
    assert!(error.contains("more than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn a_large_inventory_and_a_deaf_helper_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let mut question = question("n1", &Value::Null);
    question.inventory = "x".repeat(3_000_000);
    let deaf = helper(dir.path(), r#"echo '{"defer":true,"msg":"x"}'"#, PATIENT);
    assert!(deaf.ask(&question).await.unwrap().defer);
    let counting = helper(dir.path(), r#"echo "{\"defer\":true,\"msg\":\"$(wc -c | tr -d ' ')\"}""#, PATIENT);
    assert_eq!(counting.ask(&question).await.unwrap().msg, question.encode().len().to_string());
}

#[test]
fn a_helper_that_is_not_there_is_found_at_the_start() {
    let error = Oneshot::new(&settings("/nonexistent/helper --x", PATIENT)).unwrap_err().to_string();
    assert!(error.contains("is not there"), "{error}");
}
