//! Programs that stay, as good and as bad as they come.

use std::fs;
use std::time::Instant;

use serde_json::json;

use super::super::fixtures::question;
use super::*;

const HELLO_LINE: &str =
    r#"echo '{"hello":{"protocol":"io.choria.provisioner.helper.v1","concurrency":4}}'; echo x >>$1/starts;"#;
/// Answers every request at once with the start's number as its message.
const ANSWER: &str = r#"while read -r line; do id=${line#*:\"}; id=${id%%\"*};
    echo "{\"id\":\"$id\",\"reply\":{\"defer\":true,\"msg\":\"$(wc -l <$1/starts)\"}}"; done"#;

fn stream(dir: &tempfile::TempDir, script: &str, timeout: Duration, processes: usize) -> Stream {
    let file = dir.path().join("helper.sh");
    fs::write(&file, script).unwrap();
    Stream::new(&Settings {
        helper: format!("/bin/sh {} {}", file.display(), dir.path().display()),
        helper_timeout: timeout,
        helper_processes: processes,
        ..Settings::default()
    })
    .unwrap()
}

fn starts(dir: &tempfile::TempDir) -> usize {
    fs::read_to_string(dir.path().join("starts")).unwrap_or_default().lines().count()
}

const PATIENT: Duration = Duration::from_secs(50);

#[tokio::test]
async fn many_nodes_share_programs_that_stay() {
    let dir = tempfile::tempdir().unwrap();
    let stream = Arc::new(stream(&dir, &format!("{HELLO_LINE} {ANSWER}"), PATIENT, 2));
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..50 {
        let stream = stream.clone();
        asked.spawn(async move { stream.ask(&question(&format!("n{number}"), &json!({}))).await.unwrap() });
    }
    let mut answers = 0;
    while let Some(answer) = asked.join_next().await {
        assert!(answer.unwrap().defer);
        answers += 1;
    }
    assert_eq!(answers, 50);
    assert!((1..=2).contains(&starts(&dir)), "{}", starts(&dir));
    // its input is closed and it ends
    let begun = Instant::now();
    stream.close().await;
    assert!(begun.elapsed() < GOODBYE * 2);
    assert!(matches!(stream.ask(&question("n", &json!({}))).await, Err(HelperError::Unreachable(_))));
}

#[tokio::test]
async fn answers_come_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    // reads two requests, answers the second first and the first with an error
    let script = format!(
        r#"{HELLO_LINE} read -r a; read -r b; for l in "$b" "$a"; do id=${{l#*:\"}}; id=${{id%%\"*}};
        n=${{l#*identity\":\"}}; n=${{n%%\"*}};
        if [ $n = n1 ]; then echo "{{\"id\":\"$id\",\"error\":\"no $n\"}}"; else
        echo "{{\"id\":\"$id\",\"reply\":{{\"defer\":true,\"msg\":\"$n\"}}}}"; fi; done; cat >/dev/null"#
    );
    let stream = stream(&dir, &script, PATIENT, 1);
    let (one, two) = (question("n1", &json!({})), question("n2", &json!({})));
    let (one, two) = tokio::join!(stream.ask(&one), stream.ask(&two));
    assert_eq!(one.unwrap_err().to_string(), "the helper gave no answer: no n1");
    assert_eq!(two.unwrap().msg, "n2");
}

#[tokio::test]
async fn a_program_that_dies_is_started_again_and_its_node_asked_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(r#"{HELLO_LINE} [ $(wc -l <$1/starts) = 1 ] && read -r l && exit 7; {ANSWER}"#);
    let first = stream(&dir, &script, PATIENT, 1);
    assert_eq!(first.ask(&question("n1", &json!({}))).await.unwrap().msg, "2");
    // one that always dies is not asked for ever
    let dir = tempfile::tempdir().unwrap();
    let dying = stream(&dir, &format!("{HELLO_LINE} read -r l; exit 7"), PATIENT, 1);
    let error = dying.ask(&question("n1", &json!({}))).await.unwrap_err().to_string();
    assert!(error.contains("the program ended while it was asked, twice"), "{error}");
    assert_eq!(starts(&dir), 2);
}

#[tokio::test]
async fn a_program_that_hangs_costs_its_nodes_and_is_then_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("{HELLO_LINE} [ $(wc -l <$1/starts) = 1 ] && exec sleep 1000; {ANSWER}");
    let stream = stream(&dir, &script, Duration::from_secs(2), 1);
    let questions = ["n1", "n2", "n3"].map(|name| question(name, &json!({})));
    let (a, b, c) =
        tokio::join!(stream.ask(&questions[0]), stream.ask(&questions[1]), stream.ask(&questions[2]));
    for error in [a, b, c] {
        assert!(error.unwrap_err().to_string().contains("it did not answer within 2s"));
    }
    let begun = Instant::now();
    while stream.ask(&questions[0]).await.is_err() {
        assert!(begun.elapsed() < PATIENT);
    }
    assert!(starts(&dir) >= 2);
}

#[tokio::test]
async fn junk_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        r#"{HELLO_LINE} echo junk; echo '{{"id":"unknown","reply":{{}}}}'; echo '[1]'; echo; read -r l;
        id=${{l#*:\"}}; id=${{id%%\"*}}; echo "{{\"id\":\"$id\",\"reply\":[1]}}"; cat >/dev/null"#
    );
    let stream = stream(&dir, &script, PATIENT, 1);
    let error = stream.ask(&question("n1", &json!({}))).await.unwrap_err().to_string();
    assert!(error.contains("cannot be read: it is no JSON object"), "{error}");
}

#[tokio::test]
async fn a_program_must_say_hello() {
    let mut told = vec![];
    for script in
        ["echo '{}'", "echo hello", r#"echo '{"hello":{"protocol":"other"}}'"#, "exit 3", "yes | tr -d '\\n'"]
    {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("helper.sh");
        fs::write(&file, script).unwrap();
        let command = CommandLine::parse(&format!("/bin/sh {}", file.display()), None).unwrap();
        let process = Process::start(&command, 0).await.unwrap();
        told.push(process.hello(PATIENT).await.map(|_| ()).unwrap_err());
    }
    let expected = [
        "is no hello",
        "is no hello",
        "does not speak",
        "it ended with exit status: 3",
        "a line of more than",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.contains(expected), "{told}");
    }
}
