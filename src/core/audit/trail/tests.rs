use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn read(bytes: &[u8]) -> (Vec<Entry>, FileOutcome) {
    let mut entries = vec![];
    let outcome = scan(bytes, |entry| {
        entries.push(entry);
        true
    });
    (entries, outcome)
}

fn one(line: &str) -> Entry {
    let (mut entries, outcome) = read(line.as_bytes());
    assert_eq!((entries.len(), outcome.broken), (1, 0), "{line}");
    entries.remove(0)
}

const AUDIT: &str = r#"{"timestamp":"2026-01-07T07:13:30.174912+0000","request_id":"a1","request_time":1483773209,"caller":"choria=rip.mcollective","sender":"dev4.example.net","agent":"package","action":"status","data":{"package":"puppet-agent"}}"#;

#[test]
fn every_form_of_a_line_is_read() {
    let ran = one(AUDIT);
    assert_eq!(
        (ran.verdict, ran.caller.as_str(), ran.agent.as_str(), ran.action.as_str(), ran.request.as_str()),
        (Verdict::Ran, "choria=rip.mcollective", "package", "status", "a1")
    );
    assert_eq!(ran.time.unwrap().to_string(), "2026-01-07T07:13:30.174912Z");
    assert_eq!(ran.data.unwrap().get(), r#"{"package":"puppet-agent"}"#);

    let json = r#"{"time":"2026-01-07T07:13:31Z","level":"warning","msg":"denied: x.policy line 3 denies it","request":"b2","caller":"choria=bob","agent":"package","action":"install"}"#;
    let text = "2026-01-07T07:13:31Z warning denied: x.policy line 3 denies it request=b2 caller=choria=bob agent=package action=install";
    let cat = "denied: x.policy line 3 denies it request=b2 caller=choria=bob agent=package action=install";
    for line in [json, text, cat] {
        let denied = one(line);
        assert_eq!((denied.verdict, denied.reason.as_str()), (Verdict::Denied, "x.policy line 3 denies it"));
        assert_eq!((denied.caller.as_str(), denied.action.as_str()), ("choria=bob", "install"), "{line}");
        assert_eq!(denied.time.is_some(), line != cat);
    }
    let refused = one(
        "2026-01-07T07:13:31Z warning refused a request: it was already run here request=b2 caller=choria=bob sender=c.example.net",
    );
    assert_eq!((refused.verdict, refused.sender.as_str()), (Verdict::Refused, "c.example.net"));
    for (line, verdict) in [
        ("the audit record was not written, the action runs all the same: full", Verdict::Unaudited),
        ("the audit record was not written, the action does not run: full", Verdict::Denied),
        ("the action took longer than 5 s, its caller gets no reply", Verdict::Timeout),
    ] {
        let line = format!("2026-01-07T07:13:31Z error   {line} request=1 caller=choria=a agent=b action=c");
        assert_eq!(one(&line).verdict, verdict);
    }
    // one request that was denied for want of a record is one, of the two lines about it
    let fields = "request=1 caller=choria=a agent=b action=c";
    let lines = format!(
        "the audit record was not written, the action does not run: full {fields}\ndenied: its audit record was not \
         written {fields}\n"
    );
    let (entries, outcome) = read(lines.as_bytes());
    assert_eq!((entries.len(), outcome.broken), (1, 0));
    let (entries, outcome) = read(b"2026-01-07T07:13:31Z info    connected broker=nats://a:1\n");
    assert!(entries.is_empty() && outcome.broken == 0);
}

#[test]
fn a_peer_cannot_put_another_caller_into_a_text_line() {
    let forged = "2026-01-07T07:13:31Z warning denied: the body is for agent 'x request=1 caller=choria=admin \
                  agent=a action=b' request=2 caller=choria=eve agent=\"p q\" action=\"x caller=choria=admin\"";
    let denied = one(forged);
    assert_eq!(
        (denied.caller.as_str(), denied.agent.as_str(), denied.action.as_str()),
        ("choria=eve", "p q", "x caller=choria=admin")
    );
}

#[test]
fn broken_lines_are_counted_and_passed_over() {
    let text = format!("{{\"timestamp\":\"2026\n{AUDIT}\nnonsense\n\u{fffd}\n\n{AUDIT}");
    let (entries, outcome) = read(text.as_bytes());
    assert_eq!(entries.len(), 2);
    assert_eq!((outcome.lines, outcome.broken, outcome.first_broken), (6, 3, Some(1)));
    let long = format!("{{\"a\":\"{}\"}}\n{AUDIT}\n", "x".repeat(9 << 20));
    let (entries, outcome) = read(long.as_bytes());
    assert_eq!((entries.len(), outcome.lines, outcome.broken), (1, 2, 1));
}

#[test]
fn compressed_files_are_read_as_far_as_they_go() {
    let mut gzip = GzEncoder::new(vec![], Compression::default());
    for number in 0..20_000 {
        writeln!(gzip, "{}", AUDIT.replace("a1", &number.to_string())).unwrap();
    }
    let bytes = gzip.finish().unwrap();
    let (entries, outcome) = read(&bytes);
    assert_eq!((entries.len(), outcome.broken, outcome.ended_early), (20_000, 0, None));
    let (entries, outcome) = read(&bytes[..bytes.len() / 2]);
    assert!(entries.len() > 1_000 && outcome.ended_early.is_some(), "{outcome:?}");
}

#[test]
fn a_query_narrows_down() {
    let entry = one(AUDIT);
    let wanted = |text: &str| Some(Wanted::parse(text).unwrap());
    let time = |text: &str| Some(text.parse().unwrap());
    for (query, matches) in [
        (Query::default(), true),
        (Query { caller: wanted("choria=rip.mcollective"), ..Query::default() }, true),
        (Query { caller: wanted("rip.mcollective"), ..Query::default() }, true),
        (Query { caller: wanted("rip"), ..Query::default() }, false),
        (Query { caller: wanted("/^choria=rip/"), agent: wanted("package"), ..Query::default() }, true),
        (Query { agent: wanted("pack"), ..Query::default() }, false),
        (Query { action: wanted("/stat/"), ..Query::default() }, true),
        (Query { since: time("2026-01-07T07:13:30Z"), ..Query::default() }, true),
        (Query { since: time("2026-01-07T07:13:31Z"), ..Query::default() }, false),
        (Query { until: time("2026-01-07T07:13:31Z"), ..Query::default() }, true),
        (Query { until: time("2026-01-07T07:13:30Z"), ..Query::default() }, false),
    ] {
        assert_eq!(query.matches(&entry), matches, "{query:?}");
    }
    assert!(Wanted::parse("").is_err() && Wanted::parse("/(/").is_err());
}

#[test]
fn no_bytes_upset_the_reader() {
    bolero::check!().with_iterations(2000).for_each(|bytes: &[u8]| {
        let (entries, outcome) = read(bytes);
        assert!(entries.len() as u64 + outcome.broken <= outcome.lines);
    });
}
