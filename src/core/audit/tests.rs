//! The captured lines, and files.

use std::fs;

use super::*;
use crate::core::config::Role;

fn log(dir: &Path, more: &str) -> AuditLog {
    let text = format!("rpcaudit = 1\nplugin.rpcaudit.logfile = {}/audit.log\n{more}", dir.display());
    AuditLog::from_config(&Config::from_text(Role::Server, &text).unwrap()).unwrap()
}

fn read(log: &AuditLog) -> String {
    fs::read_to_string(log.path()).unwrap()
}

const RECORD: AuditRecord<'static> = AuditRecord {
    request_id: "0123456789abcdef0123456789abcdef",
    request_time: 1_795_317_418,
    caller: "choria=bob.mcollective",
    sender: "console.example.net",
    agent: "rpcutil",
    action: "ping",
    data: &Value::Null,
};

#[test]
fn captured_lines_are_written_byte_for_byte() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/captured/server_files.json");
    let captured: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path(), "");
    let lines: Vec<_> =
        captured["audit_lines"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    assert_eq!(lines.len(), 22);
    for line in &lines {
        let fields: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| fields[key].as_str().unwrap();
        let record = AuditRecord {
            request_id: text("request_id"),
            request_time: fields["request_time"].as_i64().unwrap(),
            caller: text("caller"),
            sender: text("sender"),
            agent: text("agent"),
            action: text("action"),
            data: &fields["data"],
        };
        let now = text("timestamp").replace("+0000", "Z").parse().unwrap();
        log.record(&record, now).unwrap();
    }
    assert_eq!(read(&log), lines.join("\n") + "\n");
    let mode = fs::metadata(log.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(format!("0o{mode:o}"), captured["audit_mode"].as_str().unwrap());
}

#[test]
fn words_of_callers_drive_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path(), "");
    let data = serde_json::json!({"x": "\u{9b}2J\u{202e}é"});
    log.record(&AuditRecord { data: &data, ..RECORD }, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let line = read(&log);
    assert!(line.contains("\\u009b2J\\u202eé") && line.ends_with("}\n"), "{line}");
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["data"], data);
}

#[test]
fn discovery_is_not_audited_and_a_rotated_file_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path(), "plugin.rpcaudit.logfile.mode = 0640\n");
    let now = jiff::Timestamp::UNIX_EPOCH;
    log.record(&AuditRecord { agent: "discovery", ..RECORD }, now).unwrap();
    assert!(!log.path().exists());
    log.record(&RECORD, now).unwrap();
    fs::rename(log.path(), dir.path().join("audit.log.1")).unwrap();
    log.record(&RECORD, now).unwrap();
    assert_eq!(read(&log).lines().count(), 1);
    assert!(read(&log).starts_with(r#"{"timestamp":"1970-01-01T00:00:00.000000+0000","request_id""#));
    assert_eq!(fs::metadata(log.path()).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn what_cannot_be_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let now = jiff::Timestamp::UNIX_EPOCH;
    let bad_mode = log(dir.path(), "plugin.rpcaudit.logfile.mode = rw\n");
    assert!(matches!(bad_mode.record(&RECORD, now), Err(AuditError::Mode(_))));
    assert!(bad_mode.problem().is_some());
    let bad_group = log(dir.path(), "plugin.rpcaudit.logfile.group = no such group\n");
    assert!(matches!(bad_group.record(&RECORD, now), Err(AuditError::Group(_))));
    let nowhere = log(&dir.path().join("missing"), "");
    assert!(matches!(nowhere.record(&RECORD, now), Err(AuditError::File { .. })));
    assert!(!dir.path().join("audit.log").exists());
}

#[test]
fn what_is_long_is_told_by_its_digest() {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let of = |data: &Value| -> Value {
        serde_json::from_str::<Value>(&line(&AuditRecord { data, ..RECORD }, now)).unwrap()["data"].clone()
    };
    let fits = serde_json::json!({"script": "x".repeat(60_000)});
    assert_eq!(of(&fits), fits);
    let long = of(&serde_json::json!({"script": "é".repeat(100_000), "n": 1}));
    assert_eq!(long["n"], 1);
    let text = long["script"].as_str().unwrap();
    assert!(text.len() < 2048 && text.contains("(200000 bytes, SHA-256 "), "{text}");
    let many = of(&Value::from(vec![7; 1_000_000]));
    assert!(many.as_str().unwrap().contains("(2000001 bytes, SHA-256 "));
}

#[test]
fn a_line_cut_short_does_not_spoil_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(dir.path(), "");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let path = std::mem::replace(&mut log.path, "/dev/full".into());
    assert!(matches!(log.record(&RECORD, now), Err(AuditError::File { .. })));
    log.path = path;
    fs::write(log.path(), "{\"timesta").unwrap();
    log.record(&RECORD, now).unwrap();
    log.record(&RECORD, now).unwrap();
    let lines: Vec<String> = read(&log).lines().map(str::to_string).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().skip(1).all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn modes_have_the_bases_of_the_original() {
    for (text, mode) in [
        ("0600", Some(0o600)),
        ("0o640", Some(0o640)),
        ("384", Some(0o600)),
        ("0", Some(0)),
        ("0x180", Some(0o600)),
        ("", None),
        ("rw", None),
        ("-1", None),
        ("+1", None),
        ("99999", None),
        ("08", None),
        // Octal digits without the 0, and bits that are none of a log.
        ("640", None),
        ("600", None),
        ("0755", None),
        ("01640", None),
    ] {
        assert_eq!(parse_mode(text).ok(), mode, "{text:?}");
    }
    let told = parse_mode("640").unwrap_err().to_string();
    assert!(told.contains("is mode 01200") && told.contains("write 0640"), "{told}");
}

#[test]
fn nothing_in_a_record_breaks_its_line() {
    bolero::check!().with_iterations(2000).with_type::<(String, String, String)>().for_each(|(a, b, c)| {
        let data = Value::String(c.clone());
        let record = AuditRecord { caller: a, sender: b, data: &data, ..RECORD };
        let line = line(&record, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(line.find('\n'), Some(line.len() - 1));
        let fields: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((fields["caller"].as_str(), &fields["data"]), (Some(a.as_str()), &data));
    });
}

/// Whoever asks for an audit log is told at the start that there will be none.
#[test]
fn what_is_to_be_audited_has_to_be_audible() {
    let verdict = |text: &str| check(&Config::from_text(Role::Server, text).unwrap());
    for fine in [
        "",
        "rpcaudit = 0",
        "rpcaudit = 1\nplugin.rpcaudit.logfile = /x",
        "plugin.rpcaudit.logfile.mode = rw",
    ] {
        assert_eq!(verdict(fine), Ok(()), "{fine}");
    }
    let file = "plugin.rpcaudit.logfile = /x\n";
    for (text, says) in [
        ("rpcaudit = true", "configuration:1: rpcaudit is on and plugin.rpcaudit.logfile names no file"),
        (
            "plugin.rpcaudit.mandatory = 1",
            "configuration:1: plugin.rpcaudit.mandatory is on and nothing is audited",
        ),
        (&format!("rpcaudit = 1\n{file}plugin.rpcaudit.logfile.mode = rw"), "is not a file mode"),
        (&format!("rpcaudit = 1\n{file}plugin.rpcaudit.logfile.group = no group"), "is not a group"),
    ] {
        let told = verdict(text).unwrap_err();
        assert!(told.contains(says), "{text}: {told}");
    }
}
