//! Whose a consumer is: who had it made, as far as the engine says so (spec 06 §15.6).
//!
//! Whoever asks for an answer can have others answer there, too. So the broker has the engine keep a mark with what it makes,
//! which nobody can know before: an answer that shows it is the engine's, and about this consumer.

use std::sync::LazyLock;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::consumers::folded;
use crate::core::nats::subject::tokens;
use crate::core::text::hex;

/// The member of a consumer's metadata that holds the mark.
const MARK: &str = "io.choria.maker";
/// Longest answer that is looked into.
const LONGEST: usize = 64 * 1024;
/// Known to this process alone.
static SECRET: LazyLock<[Uuid; 2]> = LazyLock::new(|| [Uuid::new_v4(), Uuid::new_v4()]);

/// A consumer that the engine is asked to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// Its stream
    pub stream: String,
    /// and name.
    pub name: String,
    mark: String,
}

impl Making {
    /// What an answer says that was made, if it says so.
    pub fn said(answer: &[u8]) -> Option<Making> {
        if answer.len() > LONGEST {
            return None;
        }
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mark = text(&answer["config"]["metadata"][MARK])?;
        Some(Making { stream: text(&answer["stream_name"])?, name: text(&answer["name"])?, mark })
            .filter(|_| answer.get("error").is_none())
    }
}

/// The mark of a consumer that is made for somebody. It is the same when that is asked again.
pub fn mark_of(identity: &str, stream: &str, name: &str) -> String {
    let mut context = Context::new(&SHA256);
    let secret = SECRET.map(Uuid::into_bytes).concat();
    for part in [&secret, identity.as_bytes(), stream.as_bytes(), name.as_bytes()] {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    hex(context.finish().as_ref())
}

/// A request that makes a consumer, as it is said to the engine for who may make no lasting ones: it makes it, with a
/// name, and changes none that is there (nats-server 2.10 and newer), and its answer shows the mark, by `mark_of` stream
/// and name. None where the engine could take it for something else than is read here.
pub fn marked(
    subject: &[u8],
    request: &[u8],
    mark_of: impl Fn(&str, &str) -> String,
) -> Option<(Making, Vec<u8>)> {
    let mut request: Map<String, Value> = match request {
        [] => Map::new(),
        request => serde_json::from_slice(request).ok()?,
    };
    let exact = |of: &Map<String, Value>, names: &[&str]| {
        of.keys().all(|key| !names.contains(&folded(key).as_str()) || names.contains(&key.as_str()))
    };
    let mut config = match request.remove("config") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(config)) => config,
        Some(_) => return None,
    };
    if !exact(&request, &["action", "config", "stream_name"]) || !exact(&config, &["name", "metadata"]) {
        return None;
    }
    let mut words = tokens(subject).skip_while(|token| *token != b"CREATE").skip(1);
    let mut word = || words.next().and_then(|word| String::from_utf8(word.to_vec()).ok());
    let stream = word()?;
    let within = match config.get("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()).filter(|name| !name.is_empty()),
        Some(_) => return None,
    };
    // where the two differ the engine refuses it
    let name = word().or_else(|| within.clone()).unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    config.insert("name".to_owned(), within.unwrap_or_else(|| name.clone()).into());
    let mark = mark_of(&stream, &name);
    match config.entry("metadata").or_insert(Value::Null) {
        Value::Object(metadata) => drop(metadata.insert(MARK.to_owned(), mark.clone().into())),
        other @ Value::Null => *other = json!({ MARK: mark }),
        _ => return None,
    }
    request.insert("config".to_owned(), config.into());
    request.insert("action".to_owned(), "create".into());
    Some((Making { stream, name, mark }, serde_json::to_vec(&request).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn making(name: &str, mark: &str) -> Making {
        Making { stream: "S".to_owned(), name: name.to_owned(), mark: mark.to_owned() }
    }

    #[test]
    fn none_that_is_there_is_changed() {
        let of = |subject: &str, request: &str| {
            let subject = format!("$JS.API.CONSUMER.{subject}");
            marked(subject.as_bytes(), request.as_bytes(), |stream, name| format!("{stream}/{name}!"))
        };
        for (subject, request) in [
            ("CREATE.S.n.filter.x", r#"{"stream_name":"S","config":{"name":"n","metadata":{"a":"b"}}}"#),
            ("CREATE.S.n", r#"{"action":"","config":{}}"#),
            ("CREATE.S", r#"{"config":{"name":"n","metadata":null},"action":"create"}"#),
        ] {
            let (made, request) = of(subject, request).unwrap();
            assert_eq!(made, making("n", "S/n!"));
            let said: Value = serde_json::from_slice(&request).unwrap();
            assert_eq!((&said["action"], &said["config"]["name"]), (&"create".into(), &"n".into()));
            assert_eq!(said["config"]["metadata"][MARK], "S/n!");
        }
        // one that the engine would name has a name before
        let (one, other) = (of("CREATE.S", "{}").unwrap().0, of("CREATE.S", "").unwrap().0);
        assert!(one.name.len() == 32 && one.name != other.name);
        for request in [
            r#"{"Config":{}}"#,
            r#"{"Action":"update"}"#,
            r#"{"config":{"Name":"keep"}}"#,
            r#"{"config":{"METADATA":{}}}"#,
            r#"{"config":{"metadata":[]}}"#,
            r#"{"config":[]}"#,
            r#"{"config":{"name":7}}"#,
            "[]",
        ] {
            assert_eq!(of("CREATE.S", request), None, "{request}");
        }
    }

    #[test]
    fn an_answer_shows_what_was_made() {
        let answer = json!({"stream_name": "S", "name": "n", "config": {"metadata": {MARK: "m"}}});
        assert_eq!(Making::said(answer.to_string().as_bytes()), Some(making("n", "m")));
        for (member, value) in [("error", json!({"code": 400})), ("config", json!({})), ("name", json!(1))] {
            let mut other = answer.clone();
            other[member] = value;
            assert_eq!(Making::said(other.to_string().as_bytes()), None, "{member}");
        }
        assert_eq!((Making::said(b"{"), Making::said(&vec![b' '; LONGEST + 1])), (None, None));
    }

    #[test]
    fn a_mark_is_of_one_maker_stream_and_name() {
        let mark = mark_of("a", "bc", "d");
        assert_eq!(mark, mark_of("a", "bc", "d"));
        for other in [mark_of("ab", "c", "d"), mark_of("a", "b", "cd"), mark_of("e", "bc", "d")] {
            assert_ne!(mark, other);
        }
    }
}
