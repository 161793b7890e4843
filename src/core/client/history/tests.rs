use std::os::unix::fs::PermissionsExt;

use serde_json::{Map, Value, json};

use super::*;
use crate::core::client::{RequestStats, RpcReply};
use crate::core::ddl::Action;
use crate::core::protocol::v1::{Reply, ReplyEnvelope};
use crate::core::rpc::{NOT_AUTHORIZED, ReplyBody};

const BOUNDS: Bounds = Bounds { count: 100, age: Duration::from_secs(86_400), bytes: 1024 * 1024 };

fn action() -> Action {
    serde_json::from_str(r#"{"action":"go","input":{"word":{"type":"string","secret":true}}}"#).unwrap()
}

fn reply(node: &str, code: i64, message: &str, data: Value) -> RpcReply {
    let data = data.as_object().cloned().unwrap_or_default();
    let body = ReplyBody { action: "go".into(), statuscode: code.into(), statusmsg: message.into(), data };
    let envelope =
        ReplyEnvelope { requestid: "".into(), senderid: node.into(), agent: "demo".into(), time: 1 };
    RpcReply::new(Default::default(), &Reply { message: body.encode().into(), envelope })
}

fn record(id: &str, at: jiff::Timestamp, inputs: Value) -> Record {
    let inputs = inputs.as_object().cloned().unwrap_or_default();
    let mut recorder = Recorder::new("demo", &action(), &inputs, "mcollective");
    for (node, code, message) in
        [("n1", 0, "OK"), ("n2", 1, "broken"), ("n3", 1, NOT_AUTHORIZED), ("n4", 0, "OK")]
    {
        recorder.add(&reply(node, code, message, json!({"value": node})));
    }
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let stats = RequestStats {
        requestid: id.into(),
        start_time_utc: at,
        discovered: 8,
        ok: 2,
        failed: 2,
        responses: 4,
        no_responses: names(&["n5", "n6"]),
        denied_by_broker: names(&["n6"]),
        not_asked: names(&["n7"]),
        late_discoveries: names(&["n8"]),
        request_time: Duration::from_millis(12),
        ..RequestStats::default()
    };
    recorder.finish(&stats, false)
}

fn ago(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - seconds).unwrap()
}

#[test]
fn what_was_asked_and_answered_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::new(dir.path().join("a/b"), BOUNDS);
    assert!(matches!(history.find("last"), Err(HistoryError::Empty(_))));
    let first = record("aaaa1111", ago(20), json!({"n": 5}));
    let second = record("aaaa2222", ago(10), json!({"text": "x".repeat(5000)}));
    history.keep(&second).unwrap();
    history.keep(&first).unwrap();
    assert_eq!(history.find("last").unwrap(), second);
    assert_eq!(history.find("aaaa1").unwrap(), first);
    assert!(matches!(history.find("aaaa"), Err(HistoryError::Ambiguous(_, 2))));
    for unknown in ["bbbb", "", "../a", "aaaa11112"] {
        assert!(matches!(history.find(unknown), Err(HistoryError::Unknown(_))), "{unknown}");
    }
    let headings = history.headings();
    assert_eq!(headings.iter().map(|h| h.id.as_str()).collect::<Vec<_>>(), ["aaaa2222", "aaaa1111"]);
    assert_eq!(headings[1], first.heading());
    assert_eq!((headings[0].nodes, headings[0].ok, headings[0].failed, headings[0].missed), (8, 2, 2, 2));
    assert!(headings[0].inputs[0].starts_with("text=xxx") && headings[0].inputs[0].len() < 80);
    for (which, nodes) in [
        (Which::Ok, &["n1", "n4"][..]),
        (Which::Failed, &["n2"]),
        (Which::Denied, &["n3", "n6"]),
        (Which::Missed, &["n5", "n7"]),
    ] {
        assert_eq!(first.nodes(which), nodes, "{which:?}");
    }
    let replies = first.replies();
    assert_eq!((replies[0].sender.as_str(), &replies[0].body.data["value"]), ("n1", &json!("n1")));

    // Nobody else looks into it, and nothing half-written stays.
    for entry in fs::read_dir(dir.path().join("a/b")).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(dir.path().join("a/b")).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(dir.path().join("a/b/99999999999999-cccc.json"), "{\"id\":\"cccc\"}\n{half").unwrap();
    assert!(matches!(history.find("cccc"), Err(HistoryError::Broken { .. })));
}

#[test]
fn only_so_much_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ids = |bounds| {
        let history = History::new(dir.path().to_owned(), bounds);
        history.keep(&record("new", ago(0), json!({}))).unwrap();
        history.headings().into_iter().map(|heading| heading.id).collect::<Vec<_>>()
    };
    let all = History::new(dir.path().to_owned(), BOUNDS);
    for (id, age) in [("one", 30), ("two", 60), ("three", 3600), ("four", 7200)] {
        all.keep(&record(id, ago(age), json!({}))).unwrap();
    }
    assert_eq!(ids(BOUNDS), ["new", "one", "two", "three", "four"]);
    assert_eq!(ids(Bounds { age: Duration::from_secs(5000), ..BOUNDS }), ["new", "one", "two", "three"]);
    assert_eq!(ids(Bounds { count: 3, ..BOUNDS }), ["new", "one", "two"]);
    let bytes =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).max().unwrap();
    assert_eq!(ids(Bounds { bytes: 2 * bytes, ..BOUNDS }), ["new", "one"]);
    assert_eq!(ids(Bounds { bytes: 10, ..BOUNDS }), [] as [&str; 0]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn secrets_are_kept_nowhere() {
    let record = record("id", ago(0), json!({"word": "hunter2", "n": 5}));
    let text = record.to_text().unwrap();
    assert!(!text.contains("hunter2") && text.contains("\"word=*****\""), "{text}");
    assert_eq!(record.withheld, ["word"]);
    assert!(record.without_data && record.replies.iter().all(|answer| answer.data.is_empty()));
    assert!(!text.contains("broken"), "{text}");
    assert_eq!(record.nodes(Which::Denied), ["n3", "n6"]);
}

#[test]
fn outputs_are_kept_up_to_a_bound() {
    let mut recorder = Recorder::new("demo", &action(), &Map::new(), "mcollective");
    let large = "x".repeat(3 * 1024 * 1024);
    for node in ["n1", "n2", "n3"] {
        recorder.add(&reply(node, 0, &large, json!({"value": large})));
    }
    let record = recorder.finish(&RequestStats::default(), true);
    assert!(record.without_data && record.interrupted);
    assert_eq!(record.nodes(Which::Ok), ["n1", "n2", "n3"]);
    assert!(record.to_text().unwrap().len() < 16 * 1024 * 1024);
}

#[test]
fn a_place_is_the_users_own() {
    let dir = |text: &str| Some(PathBuf::from(text));
    for (state, home, place) in [
        (dir("/s"), dir("/h"), dir("/s/choria/history")),
        (None, dir("/h"), dir("/h/.local/state/choria/history")),
        (dir("relative"), dir("/h"), dir("/h/.local/state/choria/history")),
        (dir(""), None, None),
        (None, dir("."), None),
    ] {
        assert_eq!(History::place(state, home), place);
    }
    // Below a directory of root's, such as /nonexistent, an ordinary user keeps nothing.
    if !rustix::process::geteuid().is_root() {
        let history = History::new("/nonexistent/history".into(), BOUNDS);
        assert!(history.keep(&record("x", ago(0), json!({}))).is_err());
    }
}
