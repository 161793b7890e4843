//! What became of a run, from the files it left (spec 07 §§A4.2, A4.6).

use serde_json::{Map, Value, json};

/// Bytes of output that a reply holds, as JSON has them: a reply is JSON in JSON in JSON, and
/// brokers take a megabyte.
const SHOWN: usize = 160 * 1024;

/// A run as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The task, as it was asked for.
    pub task: String,
    /// Who asked.
    pub caller: String,
    /// What it wrote, as an object, its error among it.
    pub stdout: Map<String, Value>,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Its exit code, -1 until there is one.
    pub exitcode: i64,
    /// Seconds it took so far.
    pub runtime: f64,
    /// Unix seconds it began.
    pub start_time: i64,
    /// Whether its runner began.
    pub wrapper_spawned: bool,
    /// What the runner complained of.
    pub wrapper_error: String,
    /// The runner, -1 where it never was.
    pub wrapper_pid: i64,
    /// Whether it has ended.
    pub completed: bool,
}

impl Status {
    /// What went wrong, as `kind: message`; nothing when it went well, or goes on.
    pub fn failure(&self) -> Option<String> {
        let error = self.stdout.get("_error")?;
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        match (text("kind"), text("msg")) {
            ("", "") => Some("the task reports an error and does not say which".to_owned()),
            ("", message) => Some(message.to_owned()),
            (kind, message) => Some(format!("{kind}: {message}")),
        }
    }
}

/// An error as tasks have them.
pub fn error(kind: &str, message: impl Into<String>, details: Value) -> Value {
    json!({"kind": kind, "msg": message.into(), "details": details})
}

/// What a task wrote, as an object. `whole` is false where there was more than is read.
pub fn object_of(output: &[u8], whole: bool) -> Map<String, Value> {
    let parsed = if whole { serde_json::from_slice::<Map<String, Value>>(output).ok() } else { None };
    if let Some(object) = parsed.filter(|object| escaped(&Value::Object(object.clone()).to_string()) <= SHOWN)
    {
        return object;
    }
    let text = String::from_utf8_lossy(output);
    let mut object = Map::new();
    let (shown, cut) = beginning(&text);
    object.insert("_output".to_owned(), shown.into());
    if cut || !whole {
        object.insert("_truncated".to_owned(), true.into());
    }
    object
}

/// Adds what an exit code says, where the task itself does not.
pub fn with_exit_code(mut object: Map<String, Value>, code: i64) -> Map<String, Value> {
    if code != 0 && !object.contains_key("_error") {
        let message = format!("The task errored with a code {code}");
        object.insert(
            "_error".to_owned(),
            error("choria.tasks/task-error", message, json!({"exitcode": code})),
        );
    }
    object
}

/// What it complained of; the end of what is long.
pub fn complaints(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let mut left = SHOWN;
    let mut from = text.len();
    for (at, c) in text.char_indices().rev() {
        match left.checked_sub(cost(c)) {
            Some(rest) => (left, from) = (rest, at),
            None => break,
        }
    }
    text.get(from..).unwrap_or_default().to_owned()
}

/// As much as is shown, and whether that is not all.
fn beginning(text: &str) -> (String, bool) {
    let mut left = SHOWN;
    for (at, c) in text.char_indices() {
        match left.checked_sub(cost(c)) {
            Some(rest) => left = rest,
            None => return (text.get(..at).unwrap_or_default().to_owned(), true),
        }
    }
    (text.to_owned(), false)
}

/// Bytes of a text within a reply.
fn escaped(text: &str) -> usize {
    text.chars().map(cost).sum()
}

/// Bytes of a character, quoted twice.
fn cost(c: char) -> usize {
    match c {
        '"' | '\\' => 4,
        '\n' | '\r' | '\t' => 3,
        c if c < ' ' => 7,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_an_object() {
        for (text, object) in [
            (r#"{"ok": true}"#, json!({"ok": true})),
            ("[1,2]\n", json!({"_output": "[1,2]\n"})),
            ("hello\n", json!({"_output": "hello\n"})),
            ("", json!({"_output": ""})),
            ("3", json!({"_output": "3"})),
            ("a\u{fffd}", json!({"_output": "a\u{fffd}"})),
        ] {
            assert_eq!(Value::Object(object_of(text.as_bytes(), true)), object, "{text}");
        }
        assert_eq!(object_of(b"a\xff", true)["_output"], "a\u{fffd}");
        let failed = with_exit_code(object_of(b"", true), 3);
        assert_eq!(
            Value::Object(failed),
            json!({"_output": "", "_error": {"kind": "choria.tasks/task-error", "msg": "The task errored with a code 3",
                   "details": {"exitcode": 3}}})
        );
        let own = with_exit_code(object_of(br#"{"_error":{"kind":"demo/e","msg":"no"}}"#, true), 2);
        assert_eq!(own["_error"]["kind"], "demo/e");
    }

    #[test]
    fn long_output_is_cut() {
        let object = object_of("\"".repeat(1 << 20).as_bytes(), true);
        assert_eq!(object["_truncated"], true);
        assert_eq!(object["_output"].as_str().map(str::len), Some(SHOWN / 4));
        assert_eq!(object_of(b"{}", false)["_truncated"], true, "the beginning of an object is none");
        let big = format!(r#"{{"a":"{}"}}"#, "x".repeat(SHOWN));
        assert_eq!(object_of(big.as_bytes(), true)["_truncated"], true);
        let errors = format!("{}end", "e".repeat(SHOWN));
        let shown = complaints(errors.as_bytes());
        assert!(shown.ends_with("end") && shown.len() == SHOWN);
    }
}
