//! What became of a run, from the files it left (spec 07 §§A4.2, A4.6).

use serde_json::{Map, Value, json};

/// Bytes of output, and of complaints, that a reply holds, counted as they are quoted twice.
/// What is quoted once more by protocol v1 is at most twice that, and a third more in base64:
/// both together fit a broker's usual megabyte, whatever they are made of.
const SHOWN: usize = 160 * 1024;
/// The megabyte.
const USUAL: usize = 1 << 20;
/// Bytes of the message of an error, which a reply holds a second time.
const MESSAGE: usize = 8 * 1024;
/// Where a task answers what nobody is shown.
pub const SENSITIVE: &str = "_sensitive";

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
    /// Of a run of which nothing is known.
    pub fn unknown() -> Status {
        Status {
            task: String::new(),
            caller: String::new(),
            stdout: Map::new(),
            stderr: String::new(),
            exitcode: 127,
            runtime: 0.0,
            start_time: 0,
            wrapper_spawned: false,
            wrapper_error: String::new(),
            wrapper_pid: -1,
            completed: false,
        }
    }

    /// What went wrong, as `kind: message`; nothing when it went well, or goes on.
    pub fn failure(&self) -> Option<String> {
        let error = self.stdout.get("_error")?;
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let said = match (text("kind"), text("msg")) {
            ("", "") => "the task reports an error and does not say which".to_owned(),
            ("", message) => message.to_owned(),
            (kind, message) => format!("{kind}: {message}"),
        };
        Some(beginning(&said, MESSAGE, cost).0)
    }

    /// With as much of what it wrote as a reply holds to a broker that takes messages of so many bytes.
    #[must_use]
    pub fn fitting(mut self, max_payload: usize) -> Status {
        let most = SHOWN / 1024 * max_payload / (USUAL / 1024);
        if most >= SHOWN {
            return self;
        }
        if self.stderr.chars().map(cost).sum::<usize>() > most {
            self.stderr = ending(&self.stderr, most);
        }
        let text = Value::Object(self.stdout.clone()).to_string();
        if escaped(&text) > most {
            let error = self.stdout.shift_remove("_error");
            self.stdout.shift_remove(SENSITIVE);
            let said = match self.stdout.get("_output").and_then(Value::as_str) {
                Some(said) => said.to_owned(),
                None => Value::Object(self.stdout.clone()).to_string(),
            };
            self.stdout = cut(&said, most / 2).0;
            self.stdout.insert("_truncated".to_owned(), true.into());
            if let Some(error) = error {
                let error =
                    if escaped(&error.to_string()) > most / 2 { shorter(&error, most / 8) } else { error };
                self.stdout.insert("_error".to_owned(), error);
            }
        }
        self
    }
}

/// An error without its details, and with the beginning of its words.
fn shorter(whole: &Value, most: usize) -> Value {
    let text = |name: &str| whole.get(name).and_then(Value::as_str).unwrap_or_default();
    error(&beginning(text("kind"), most, quoted).0, beginning(text("msg"), most, quoted).0, json!({}))
}

/// In place of a secret.
pub const HIDDEN: &str = "*****";

/// An error as tasks have them.
pub fn error(kind: &str, message: impl Into<String>, details: Value) -> Value {
    json!({"kind": kind, "msg": message.into(), "details": details})
}

/// What a task wrote, as an object. `whole` is false where there was more than is read.
pub fn object_of(output: &[u8], whole: bool) -> Map<String, Value> {
    let parsed = if whole { serde_json::from_slice::<Map<String, Value>>(output).ok() } else { None };
    let text = match parsed {
        Some(object) if escaped(&Value::Object(object.clone()).to_string()) <= SHOWN => return object,
        Some(mut object) if object.contains_key(SENSITIVE) => {
            object.shift_remove(SENSITIVE);
            Value::Object(object).to_string()
        }
        _ => String::from_utf8_lossy(output).into_owned(),
    };
    // what may be the beginning of an object is not shown from its secrets on
    let secrets = text.find(&format!("\"{SENSITIVE}\"")).filter(|_| text.trim_start().starts_with('{'));
    let (mut object, cut) = cut(text.get(..secrets.unwrap_or(text.len())).unwrap_or_default(), SHOWN);
    if cut || secrets.is_some() || !whole {
        object.insert("_truncated".to_owned(), true.into());
    }
    object
}

/// The beginning of a text as what a task wrote, and whether that is not all.
fn cut(text: &str, most: usize) -> (Map<String, Value>, bool) {
    let (shown, cut) = beginning(text, most, quoted);
    (Map::from_iter([("_output".to_owned(), shown.into())]), cut)
}

/// What a task wrote, as a reply has it, without what nobody is shown.
pub fn veiled(stdout: &str) -> Option<String> {
    if !stdout.contains(SENSITIVE) {
        return None;
    }
    // as text within text, where the original tells of a runner that failed
    let (mut object, twice) = match serde_json::from_str(stdout).ok()? {
        Value::Object(object) => (object, false),
        Value::String(text) => (serde_json::from_str::<Map<String, Value>>(&text).ok()?, true),
        _ => return None,
    };
    *object.get_mut(SENSITIVE)? = HIDDEN.into();
    let text = Value::Object(object).to_string();
    Some(if twice { Value::from(text).to_string() } else { text })
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
    ending(&String::from_utf8_lossy(errors), SHOWN)
}

fn ending(text: &str, most: usize) -> String {
    let (mut left, mut from) = (most, text.len());
    for (at, c) in text.char_indices().rev() {
        match left.checked_sub(cost(c)) {
            Some(rest) => (left, from) = (rest, at),
            None => break,
        }
    }
    text.get(from..).unwrap_or_default().to_owned()
}

/// As much as is shown where characters cost that, and whether that is not all.
fn beginning(text: &str, most: usize, cost: fn(char) -> usize) -> (String, bool) {
    let mut left = most;
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

/// The same of one that is within the text of an object, which quotes it a third time.
fn quoted(c: char) -> usize {
    match c {
        '"' | '\\' => 8,
        '\n' | '\r' | '\t' => 5,
        c if c < ' ' => 9,
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
        assert_eq!(object["_output"].as_str().map(str::len), Some(SHOWN / 8));
        assert_eq!(object_of(b"{}", false)["_truncated"], true, "the beginning of an object is none");
        let big = format!(r#"{{"a":"{}"}}"#, "x".repeat(SHOWN));
        assert_eq!(object_of(big.as_bytes(), true)["_truncated"], true);
        let errors = format!("{}end", "e".repeat(SHOWN));
        let shown = complaints(errors.as_bytes());
        assert!(shown.ends_with("end") && shown.len() == SHOWN);
    }

    /// Bytes of a reply of protocol v1 with that, as far as it is made of it.
    fn wire(status: &Status) -> usize {
        let text = Value::Object(status.stdout.clone()).to_string();
        let body = json!({"msg": status.failure(), "data": {"stdout": text, "stderr": status.stderr}});
        let reply = json!({"message": body.to_string()}).to_string();
        json!({"message": reply}).to_string().len().div_ceil(3) * 4
    }

    #[test]
    fn whatever_a_task_writes_fits_a_reply() {
        for piece in ["\"", "\\", "\n", "\u{1}", "x", "\u{20ac}", "\\\"\n"] {
            let text = piece.repeat((1 << 20) / piece.len());
            let error =
                json!({"_error": {"kind": "demo/e", "msg": &text[..100_000 / piece.len() * piece.len()]}});
            for output in [text.clone(), json!({"a": text}).to_string(), error.to_string()] {
                let status = Status {
                    stdout: with_exit_code(object_of(output.as_bytes(), true), 1),
                    stderr: complaints(text.as_bytes()),
                    ..Status::unknown()
                };
                let size = wire(&status);
                assert!(size < USUAL - 64 * 1024, "{piece:?}: {size}");
                let size = wire(&status.fitting(256 * 1024));
                assert!(size < 256 * 1024 - 16 * 1024, "{piece:?}: {size} of 256 KiB");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_cut_before_its_secrets() {
        let long = "x".repeat(SHOWN);
        for text in [
            format!(r#"{{"a":"{long}","_sensitive":{{"k":"k3y"}}}}"#),
            format!(r#"{{"_sensitive":{{"k":"k3y"}},"a":"{long}"}}"#),
        ] {
            for whole in [true, false] {
                let object = Value::Object(object_of(text.as_bytes(), whole));
                assert!(object["_truncated"] == true && !object.to_string().contains("k3y"), "{whole}");
            }
        }
        assert_eq!(
            veiled(r#"{"a":1,"_sensitive":"k3y"}"#).as_deref(),
            Some(r#"{"a":1,"_sensitive":"*****"}"#)
        );
        assert_eq!(veiled("{\"a\":1}"), None);
    }
}
