//! Journals on disk.

use std::collections::BTreeMap;

use super::*;

fn inputs(text: &str) -> Arc<str> {
    serde_json::json!({"config": text}).to_string().into()
}

/// What is open, by node.
fn open_in(records: &Records) -> BTreeMap<String, Open> {
    records.all().into_iter().map(|(node, open)| (node.to_string(), open)).collect()
}

#[tokio::test]
async fn what_is_open_survives_and_what_is_done_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let journal = Journal::open(&state).unwrap();
    assert!(journal.nodes().is_empty());
    assert!(matches!(Journal::open(&state), Err(JournalError::InUse(_))));
    journal.write("a", Step::Answered(inputs("1"))).await.unwrap();
    journal.write("b", Step::Answered(inputs("2"))).await.unwrap();
    journal.write("b", Step::Configured).await.unwrap();
    journal.write("c", Step::Answered(inputs("3"))).await.unwrap();
    journal.write("c", Step::Closed).await.unwrap();
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let expected = BTreeMap::from([
        ("a".to_owned(), Open { inputs: inputs("1"), configured: false }),
        ("b".to_owned(), Open { inputs: inputs("2"), configured: true }),
    ]);
    // as after kill -9, the last record half written
    let mut text = std::fs::read(state.join(FILE)).unwrap();
    text.extend_from_slice(b"{\"n\":\"d\",\"s\":{\"answered\":{\"conf");
    std::fs::write(copy.join(FILE), &text).unwrap();
    for _ in 0..2 {
        let journal = loop {
            // the thread of the one before lets go of its lock when it has noticed
            match Journal::open(&copy) {
                Err(JournalError::InUse(_)) => tokio::task::yield_now().await,
                opened => break opened.unwrap(),
            }
        };
        assert_eq!(open_in(&locked(&journal.records)), expected);
        assert_eq!(journal.of("b"), expected.get("b").cloned());
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(state.join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// The whole of it in a process of its own, whose files may not grow.
#[tokio::test]
async fn a_file_limit_loses_no_acknowledged_record() {
    const CHILD: &str = "CHORIA_TEST_JOURNAL";
    if let Some(state) = std::env::var_os(CHILD) {
        let journal = Journal::open(Path::new(&state)).unwrap();
        let long = inputs(&"x".repeat(3000));
        journal.write("first", Step::Answered(inputs("1"))).await.unwrap();
        journal.write("long", Step::Answered(long.clone())).await.unwrap_err();
        journal.write("short", Step::Answered(inputs("2"))).await.unwrap();
        journal.write("longer", Step::Answered(long)).await.unwrap_err();
        // Whoever looks after the machine makes room.
        let own = std::process::id().to_string();
        let prlimit = std::process::Command::new("prlimit").args(["--pid", &own, "--fsize=1000000"]).status();
        assert!(prlimit.unwrap().success());
        journal.write("short", Step::Configured).await.unwrap();
        journal.write("last", Step::Answered(inputs("3"))).await.unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = concat!(module_path!(), "::a_file_limit_loses_no_acknowledged_record");
    let name = name.split_once("::").unwrap().1;
    let ran = std::process::Command::new("sh")
        // Without the trap the signal ends the process instead; 1,024 bytes of each file.
        .args(["-c", "trap '' XFSZ; ulimit -S -f 2; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"), "{ran:?}");
    let open = open_in(&read(&dir.path().join(FILE)).unwrap());
    let expected = [("first", "1", false), ("short", "2", true), ("last", "3", false)];
    let expected =
        expected.map(|(name, text, configured)| (name.to_owned(), Open { inputs: inputs(text), configured }));
    assert_eq!(open, BTreeMap::from(expected));
}

#[test]
fn junk_in_the_journal_is_passed_over() {
    bolero::check!().with_iterations(500).for_each(|input: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), input).unwrap();
        read(&dir.path().join(FILE)).unwrap();
    });
}
