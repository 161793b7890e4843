//! Events of machines: CloudEvents as the original publishes them (spec 06 §5), and the line
//! that people read of one.

use serde_json::{Map, Value};

use crate::core::machine::duration;
use crate::core::protocol::json::push_value;
use crate::core::text::shortened;

/// Subject of transitions.
pub const TRANSITIONS: &str = "choria.machine.transition";
/// Begin of the protocols of both kinds.
const PROTOCOL: &str = "io.choria.machine.";
const SOURCE: &str = "io.choria.machine";
/// Largest event that is read.
pub const MAX_EVENT: usize = 1024 * 1024;

/// A message to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub subject: String,
    /// A CloudEvent.
    pub payload: String,
    /// What the log says of it.
    pub text: String,
}

/// Members that a type of watchers adds to its events, in order.
pub type Fields = Vec<(&'static str, Value)>;

/// Whose event it is.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The node.
    pub identity: &'a str,
    /// Name of the machine,
    pub machine: &'a str,
    /// its version,
    pub version: &'a str,
    /// and the id of this life of it.
    pub instance: &'a str,
    /// Unix seconds.
    pub timestamp: i64,
}

/// A machine moved.
pub fn transition(of: Origin<'_>, id: &str, event: &str, from: &str, to: &str) -> Event {
    let mut data = head(of, "io.choria.machine.v1.transition");
    for (name, value) in
        [("machine", of.machine), ("transition", event), ("from_state", from), ("to_state", to)]
    {
        data.insert(name.to_owned(), value.into());
    }
    made(of, id, TRANSITIONS.to_owned(), data)
}

/// Members that the state of every watcher has.
pub fn watcher_data(of: Origin<'_>, kind: &str, name: &str, fields: Fields) -> Map<String, Value> {
    let mut data = head(of, &format!("{PROTOCOL}watcher.{kind}.v1.state"));
    for (member, value) in [("type", kind), ("machine", of.machine), ("name", name)] {
        data.insert(member.to_owned(), value.into());
    }
    data.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    data
}

/// A watcher tells how it is.
pub fn watcher(of: Origin<'_>, id: &str, kind: &str, name: &str, fields: Fields) -> Event {
    made(of, id, format!("choria.machine.watcher.{kind}.state"), watcher_data(of, kind, name, fields))
}

fn head(of: Origin<'_>, protocol: &str) -> Map<String, Value> {
    let members: [(&str, Value); 5] = [
        ("protocol", protocol.into()),
        ("identity", of.identity.into()),
        ("id", of.instance.into()),
        ("version", of.version.into()),
        ("timestamp", of.timestamp.into()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn made(of: Origin<'_>, id: &str, subject: String, data: Map<String, Value>) -> Event {
    let text = line(&data).unwrap_or_default();
    let time = jiff::Timestamp::from_second(of.timestamp).unwrap_or_default().to_string();
    let members: [(&str, Value); 8] = [
        ("specversion", "1.0".into()),
        ("id", id.into()),
        ("source", SOURCE.into()),
        ("type", data.get("protocol").cloned().unwrap_or_default()),
        ("subject", of.identity.into()),
        ("datacontenttype", "application/json".into()),
        ("time", time.into()),
        ("data", data.into()),
    ];
    let envelope: Map<String, Value> =
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut payload = String::new();
    push_value(&mut payload, &envelope.into());
    Event { subject, payload, text }
}

/// What is read of an event: its data.
///
/// None for what is no event of a machine.
pub fn data(payload: &[u8]) -> Option<Map<String, Value>> {
    if payload.len() > MAX_EVENT {
        return None;
    }
    let Value::Object(mut envelope) = serde_json::from_slice(payload).ok()? else { return None };
    let ours = envelope.get("specversion")? == "1.0" && envelope.get("source")? == SOURCE;
    match envelope.remove("data") {
        Some(Value::Object(data)) if ours => Some(data),
        _ => None,
    }
}

/// Whether it is of a transition, or the type of its watcher.
pub fn kind(data: &Map<String, Value>) -> Option<&str> {
    data.get("protocol")?.as_str()?.strip_prefix(PROTOCOL)?;
    Some(data.get("type").and_then(Value::as_str).unwrap_or("transition"))
}

/// The line that people read of an event.
pub fn line(data: &Map<String, Value>) -> Option<String> {
    let word = |name: &str| shortened(data.get(name).and_then(Value::as_str).unwrap_or_default(), 500);
    let number = |name: &str| data.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let names = |name: &str| -> String {
        let list = data.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).take(50).collect::<Vec<_>>().join(", ")
    };
    let ran =
        || format!("previous: {} ran: {:.3}s", word("previous_outcome"), number("previous_run_time") / 1e9);
    let of = format!("{} {}#{}", word("identity"), word("machine"), word("name"));
    Some(match kind(data)? {
        "transition" => format!(
            "{} {} transitioned via event {}: {} => {}",
            word("identity"),
            word("machine"),
            word("transition"),
            word("from_state"),
            word("to_state")
        ),
        "exec" => format!("{of} command: {}, {}", word("command"), ran()),
        "file" => format!("{of} path: {}, previous: {}", word("path"), word("previous_outcome")),
        "schedule" => format!("{of} schedule state: {}", word("state")),
        "timer" => format!(
            "{} timer {}#{} state: {} with {} timer",
            word("identity"),
            word("machine"),
            word("name"),
            word("state"),
            duration::show(number("timer") as i64)
        ),
        "nagios" => format!("{of} {}: {}", word("status"), word("output")),
        "metric" => {
            let metrics = data.get("metrics").and_then(|m| m.get("metrics")).and_then(Value::as_object);
            let one = |(name, value): (&String, &Value)| {
                format!("{}={:.3}", shortened(name, 100), value.as_f64().unwrap_or(0.0))
            };
            let all: Vec<String> = metrics.into_iter().flatten().take(50).map(one).collect();
            format!("{of} metrics: {}", all.join(", "))
        }
        "kv" => format!(
            "{} key-value {}#{} {}ing bucket: {} key: {} state: {}",
            word("identity"),
            word("machine"),
            word("name"),
            word("mode"),
            word("bucket"),
            word("key"),
            word("state")
        ),
        "gossip" => {
            format!("{of} subject: {}, previous: {}", word("previous_subject"), number("previous_gossip"))
        }
        "archive" => format!("{of} source: {}, {}", word("source"), ran()),
        "plugins" => format!("{of} plugin: {}, {}", names("plugins"), ran()),
        "machines" => format!("{of} machines: {}, {}", names("machines"), ran()),
        "ccm_manifest" => format!("{of} {}", ran()),
        "expression" => format!("{of} previous: {}", word("previous_outcome")),
        "httpswitch" => format!("{of} previous: {}", word("status")),
        other => format!("{of} {}", shortened(other, 50)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::machine::tests::vectors;

    /// Every captured event, taken apart and put together again, is the same text.
    #[test]
    fn captured_events_are_written_alike() {
        let captured = vectors("machine-events.json");
        let mut kinds = std::collections::BTreeSet::new();
        let mut seen = 0;
        for machine in captured["machines"].as_array().unwrap() {
            for event in machine["events"].as_array().unwrap() {
                let subject = event["subject"].as_str().unwrap();
                let Some(payload) =
                    event["payload"].as_str().filter(|_| subject.starts_with("choria.machine."))
                else {
                    continue;
                };
                let data = data(payload.as_bytes()).unwrap_or_else(|| panic!("{payload}"));
                let envelope: Value = serde_json::from_str(payload).unwrap();
                let text = |name: &str| data[name].as_str().unwrap();
                let of = Origin {
                    identity: text("identity"),
                    machine: text("machine"),
                    version: text("version"),
                    instance: text("id"),
                    timestamp: data["timestamp"].as_i64().unwrap(),
                };
                let id = envelope["id"].as_str().unwrap();
                let ours = match kind(&data).unwrap() {
                    "transition" => {
                        transition(of, id, text("transition"), text("from_state"), text("to_state"))
                    }
                    kind => {
                        let known =
                            ["protocol", "identity", "id", "version", "timestamp", "type", "machine", "name"];
                        let rest = data.iter().filter(|(name, _)| !known.contains(&name.as_str()));
                        let fields =
                            rest.map(|(n, v)| (&*Box::leak(n.clone().into_boxed_str()), v.clone())).collect();
                        watcher(of, id, kind, text("name"), fields)
                    }
                };
                assert_eq!((ours.subject.as_str(), ours.payload.as_str()), (subject, payload));
                assert!(ours.text.contains(text("machine")), "{}", ours.text);
                kinds.insert(kind(&data).unwrap().to_owned());
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen}");
        for kind in
            ["transition", "exec", "file", "timer", "gossip", "nagios", "metric", "expression", "archive"]
        {
            assert!(kinds.contains(kind), "{kind} of {kinds:?}");
        }
    }

    #[test]
    fn what_is_no_event_is_none() {
        for text in ["", "[]", "{}", r#"{"specversion":"1.0","source":"io.choria.lifecycle","data":{}}"#] {
            assert!(data(text.as_bytes()).is_none(), "{text}");
        }
        bolero::check!().with_iterations(2000).for_each(|bytes: &[u8]| {
            let _ = data(bytes).and_then(|data| line(&data));
        });
    }
}
