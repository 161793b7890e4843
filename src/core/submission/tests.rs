use std::time::Duration;

use serde_json::Value;

use super::{Spool, Submission, SubmissionError};

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/captured/submission.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn files_and_messages_of_the_original() {
    let vectors = vectors();
    let runs = vectors["runs"].as_array().unwrap();
    let last = runs.iter().find_map(|run| run["spool_during_retries"].as_str()).unwrap();
    let first = runs[0]["spool"].as_str().unwrap();
    for text in [first, last] {
        let read = Submission::decode(text.as_bytes()).unwrap();
        assert_eq!(read.encode(), text);
    }
    let retried = Submission::decode(last.as_bytes()).unwrap();
    let mut fresh = Submission { tries: 0, next_try: None, ..retried.clone() };
    for (message, at) in
        [(Submission::decode(first.as_bytes()).unwrap(), 0), (fresh.clone(), 1), (retried, 2)]
    {
        let published = &vectors["messages"][at];
        let mut headers = message.published_headers();
        headers.sort();
        let theirs: Vec<(String, String)> = published["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(headers, theirs);
        assert_eq!(message.payload, published["payload"].as_str().unwrap().as_bytes());
    }
    // 8 seconds, a hundred tries.
    let at = |seconds: i64| fresh.created.checked_add(Duration::from_secs(seconds as u64)).unwrap();
    assert!(!fresh.is_over(at(7)) && fresh.is_over(at(9)));
    fresh.tries = 100;
    assert!(fresh.is_over(at(1)));
}

fn message(priority: usize, number: i64) -> Submission {
    let text = vectors()["runs"][0]["spool"].as_str().unwrap().to_owned();
    let created = jiff::Timestamp::from_second(1_795_000_000 + number).unwrap();
    Submission { priority, created, id: format!("m{number}"), ..Submission::decode(text.as_bytes()).unwrap() }
}

#[test]
fn what_cannot_be_published_is_told() {
    let good = message(4, 1);
    type Change = fn(&mut Submission);
    let cases: [(Change, SubmissionError); 11] = [
        (|m| m.subject = "a..b".into(), SubmissionError::Subject("a..b".into())),
        (|m| m.subject = "a.>".into(), SubmissionError::Subject("a.>".into())),
        (|m| m.subject = String::new(), SubmissionError::Subject(String::new())),
        (|m| m.payload = vec![], SubmissionError::Empty),
        (|m| m.payload = vec![0; 2_000_000], SubmissionError::TooLarge(2_000_000)),
        (
            |m| {
                m.payload = vec![0; 1024 * 1000];
                m.headers = (0..26).map(|n| (format!("A{n}"), "x".repeat(1000))).collect();
            },
            SubmissionError::TooLong(1_050_352),
        ),
        (|m| m.sender = "a\nb".into(), SubmissionError::Sender),
        (|m| m.priority = 5, SubmissionError::Priority(5)),
        (|m| m.ttl = Duration::from_secs(32 * 86_400), SubmissionError::Ttl),
        (|m| m.max_tries = 0, SubmissionError::Tries),
        (
            |m| drop(m.headers.insert("nats-Msg-Id".into(), "x".into())),
            SubmissionError::Header("nats-Msg-Id".into()),
        ),
    ];
    for (change, wanted) in cases {
        let mut wrong = good.clone();
        change(&mut wrong);
        assert_eq!(wrong.check(), Err(wanted));
    }
    for text in [&b"{}"[..], b"", b"[]", b"{\"id\":1}"] {
        assert!(matches!(Submission::decode(text), Err(SubmissionError::File(_))));
    }
    let signed = good.encode().replace("\"sign\":false", "\"sign\":true");
    assert_eq!(Submission::decode(signed.as_bytes()), Err(SubmissionError::Signed));
}

#[test]
fn a_spool_keeps_messages_in_order_and_so_many() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path().join("spool"), 3);
    for number in [3, 1, 2] {
        spool.put(&message(2, number)).unwrap();
    }
    assert!(spool.put(&message(2, 4)).unwrap_err().contains("max_spool_size"));
    spool.put(&message(0, 9)).unwrap();
    std::fs::write(dir.path().join("spool/P2/0-x.msg"), "{").unwrap();
    std::fs::write(dir.path().join("spool/P2/.hidden.msg"), "{").unwrap();
    let found = spool.first(2, 10).unwrap();
    let ids: Vec<_> =
        found.iter().map(|m| m.message.as_ref().map(|m| m.id.clone()).unwrap_or_default()).collect();
    assert_eq!(ids, ["", "m1", "m2", "m3"]);
    assert_eq!(spool.waiting(), 5);
    assert_eq!(spool.first(2, 2).unwrap().len(), 2);
}

#[test]
fn what_cannot_be_read_now_is_kept_and_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path().join("spool"), 10);
    for number in [1, 2, 3] {
        spool.put(&message(2, number)).unwrap();
    }
    let place = dir.path().join("spool/P2");
    std::fs::create_dir(place.join("0-directory.msg")).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", place.join("1-broken.msg")).unwrap();
    // of which the system says something else each time, as of a file system in trouble
    let error = spool.first(2, 10).map(|found| found.len());
    assert!(matches!(error, Ok(1)), "{error:?}");
    std::fs::remove_dir(place.join("0-directory.msg")).unwrap();
    assert!(spool.first(2, 10).is_err(), "what is behind it waits for it");
    std::fs::remove_file(place.join("1-broken.msg")).unwrap();
    assert_eq!(spool.first(2, 10).unwrap().len(), 3);
    // gone while it was looked for: a link to nothing is no other
    std::os::unix::fs::symlink("/nonexistent", place.join("1-gone.msg")).unwrap();
    assert_eq!(spool.first(2, 10).unwrap().len(), 3);
}

#[test]
fn the_time_that_is_none_is_known_however_it_is_written() {
    let text = message(1, 1).encode();
    for never in ["0001-01-01t00:00:00Z", "0001-01-01T00:00:00.000Z", "0001-01-01T01:00:00+01:00"] {
        let text = text.replace("0001-01-01T00:00:00Z", never);
        assert_eq!(Submission::decode(text.as_bytes()).unwrap().next_try, None, "{never}");
    }
}

#[test]
fn fuzz_a_file_is_a_message_or_an_error() {
    let text = message(1, 1).encode().into_bytes();
    bolero::check!().with_type::<(Vec<(u16, u8)>, Vec<u8>)>().for_each(|(changes, free)| {
        let mut text = text.clone();
        for (at, byte) in changes {
            let at = usize::from(*at) % text.len();
            text[at] = *byte;
        }
        for text in [&text, free] {
            if let Ok(read) = Submission::decode(text) {
                assert_eq!(Submission::decode(read.encode().as_bytes()), Ok(read));
            }
        }
    });
}
