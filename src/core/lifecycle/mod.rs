//! Lifecycle events (spec 02 §10): who started, lives, was provisioned, ended.
//!
//! Written as CloudEvents 1.0 by default, as the bare event when
//! `plugin.choria.legacy_lifecycle_format` asks for it. Both forms are read,
//! and the protocol words of 2018 too, because a fleet is never of one version.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Kind of an event, the `<type>` of its subject and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A process is up, its agents are subscribed.
    Startup,
    /// Every half hour.
    Alive,
    /// An orderly stop.
    Shutdown,
    /// A node got its configuration.
    Provisioned,
    /// A node replaced its binary.
    Upgraded,
    /// A slot of a governor was taken or left.
    Governor,
}

impl EventType {
    /// All kinds.
    pub const ALL: [EventType; 6] = [
        EventType::Alive,
        EventType::Governor,
        EventType::Provisioned,
        EventType::Shutdown,
        EventType::Startup,
        EventType::Upgraded,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Startup => "startup",
            EventType::Alive => "alive",
            EventType::Shutdown => "shutdown",
            EventType::Provisioned => "provisioned",
            EventType::Upgraded => "upgraded",
            EventType::Governor => "governor",
        }
    }

    /// The kind a word names.
    pub fn parse(word: &str) -> Option<EventType> {
        EventType::ALL.into_iter().find(|t| t.as_str() == word)
    }
}

/// An event. Optional fields are absent on the wire when they are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `io.choria.lifecycle.v1.<type>`; `choria:lifecycle:<type>:1` in 2018.
    pub protocol: String,
    /// UUID, fresh for every event.
    #[serde(default)]
    pub id: String,
    /// Node the event is about.
    pub identity: String,
    /// `server`, `provision_mode_server`, `provisioner`, …
    #[serde(default)]
    pub component: String,
    /// Unix seconds.
    #[serde(default)]
    pub timestamp: i64,
    /// Release of the sender: startup, alive, upgraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Release an upgrade leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_version: Option<String>,
    /// Name of the governor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// Sequence of the governor's slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// `enter`, `exit`, `timeouts`, `eviction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
}

/// Text that is no lifecycle event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not JSON, or not the fields of an event.
    #[error("not a lifecycle event: {0}")]
    Malformed(#[from] serde_json::Error),
    /// JSON of some other kind.
    #[error("neither a lifecycle event nor a CloudEvent holding one")]
    Foreign,
    /// A field that is no name of anything.
    #[error("{0} of a lifecycle event is longer than 256 bytes or has control characters")]
    Field(&'static str),
}

const SOURCE: &str = "io.choria.lifecycle";
const PROTOCOL: &str = "io.choria.lifecycle.v1.";
/// An event is a few hundred bytes; more is not read.
const MAX_EVENT: usize = 64 * 1024;
/// Bytes of a field, as of names in events of machines.
const MOST_NAME: usize = 256;

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: &'a str,
    subject: &'a str,
    datacontenttype: &'static str,
    time: String,
    data: &'a Event,
}

impl Event {
    /// A new event without the fields of particular kinds.
    pub fn new(kind: EventType, identity: &str, component: &str, id: String, timestamp: i64) -> Event {
        Event {
            protocol: format!("{PROTOCOL}{}", kind.as_str()),
            id,
            identity: identity.to_owned(),
            component: component.to_owned(),
            timestamp,
            version: None,
            new_version: None,
            governor: None,
            sequence: None,
            event_type: None,
        }
    }

    /// With the sender's release.
    pub fn version(mut self, version: &str) -> Event {
        self.version = Some(version.to_owned());
        self
    }

    /// Kind, by the protocol word of today or of 2018.
    pub fn kind(&self) -> Option<EventType> {
        let old = || self.protocol.strip_prefix("choria:lifecycle:")?.strip_suffix(":1");
        EventType::parse(self.protocol.strip_prefix(PROTOCOL).or_else(old)?)
    }

    /// Subject the event is published on.
    pub fn subject(&self) -> String {
        let kind = self.kind().map_or("unknown", EventType::as_str);
        format!("choria.lifecycle.event.{kind}.{}", self.component)
    }

    /// Wire form: a CloudEvent, or the bare event.
    pub fn encode(&self, legacy: bool) -> String {
        let cloud = CloudEvent {
            specversion: "1.0",
            id: &self.id,
            source: SOURCE,
            r#type: &self.protocol,
            subject: &self.identity,
            datacontenttype: "application/json",
            time: jiff::Timestamp::from_second(self.timestamp).unwrap_or_default().to_string(),
            data: self,
        };
        // Strings and integers only: serialisation has nothing to fail on.
        if legacy { serde_json::to_string(self) } else { serde_json::to_string(&cloud) }.unwrap_or_default()
    }

    /// Reads either form.
    ///
    /// # Errors
    /// It is no event, or has names that nothing is called.
    pub fn decode(payload: &[u8]) -> Result<Event, EventError> {
        Event::read(payload)?.judged()
    }

    /// As it is, where all of its fields may be shown and remembered: anybody may have sent it.
    fn judged(self) -> Result<Event, EventError> {
        let fields = [
            ("protocol", Some(&self.protocol)),
            ("id", Some(&self.id)),
            ("identity", Some(&self.identity)),
            ("component", Some(&self.component)),
            ("version", self.version.as_ref()),
            ("new_version", self.new_version.as_ref()),
            ("governor", self.governor.as_ref()),
            ("event_type", self.event_type.as_ref()),
        ];
        let odd = |text: &String| text.len() > MOST_NAME || text.contains(char::is_control);
        let found = fields.into_iter().find(|(_, text)| text.is_some_and(odd)).map(|(name, _)| name);
        found.map_or(Ok(self), |name| Err(EventError::Field(name)))
    }

    fn read(payload: &[u8]) -> Result<Event, EventError> {
        let payload = payload.get(..payload.len().min(MAX_EVENT)).unwrap_or_default();
        let value: Value = serde_json::from_slice(payload)?;
        let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_event =
            word("protocol").starts_with(SOURCE) || word("protocol").starts_with("choria:lifecycle:");
        if is_event {
            return Ok(serde_json::from_value(value)?);
        }
        if word("specversion") != "1.0" || word("source") != SOURCE {
            return Err(EventError::Foreign);
        }
        match value {
            Value::Object(mut members) => {
                Ok(serde_json::from_value(members.remove("data").unwrap_or_default())?)
            }
            _ => Err(EventError::Foreign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/captured/lifecycle_events.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn strings<'a>(value: &'a Value, out: &mut Vec<(String, &'a str)>) {
        match value {
            Value::Object(members) => {
                let subject = members.get("subject").and_then(Value::as_str);
                let payload = members.get("payload").and_then(Value::as_str);
                if let (Some(subject), Some(payload)) = (subject, payload) {
                    out.push((subject.to_owned(), payload));
                }
                members.values().for_each(|v| strings(v, out));
            }
            Value::Array(items) => items.iter().for_each(|v| strings(v, out)),
            _ => {}
        }
    }

    #[test]
    fn captured_events_are_read_and_written_alike() {
        let captured = captured();
        let mut messages = vec![];
        strings(&captured, &mut messages);
        let mut seen = 0;
        for (subject, payload) in messages {
            if !subject.starts_with("choria.lifecycle.event.") {
                continue;
            }
            let event = Event::decode(payload.as_bytes()).unwrap_or_else(|e| panic!("{payload}: {e}"));
            assert_eq!(event.subject(), subject);
            let legacy = !payload.contains("specversion");
            let ours: Value = serde_json::from_str(&event.encode(legacy)).unwrap();
            assert_eq!(ours, serde_json::from_str::<Value>(payload).unwrap());
            if !legacy {
                assert_eq!(event.encode(false), payload, "order of the envelope");
            }
            seen += 1;
        }
        assert!(seen >= 3, "{seen} events in the capture");
    }

    #[test]
    fn the_words_of_2018_are_read() {
        let text = r#"{"protocol":"choria:lifecycle:startup:1","identity":"n1","component":"server","timestamp":1,"version":"0.6.0"}"#;
        let event = Event::decode(text.as_bytes()).unwrap();
        assert_eq!(event.kind(), Some(EventType::Startup));
        assert_eq!(event.subject(), "choria.lifecycle.event.startup.server");
    }

    #[test]
    fn other_documents_are_refused() {
        for text in [
            "",
            "[]",
            "{}",
            "1",
            r#"{"specversion":"1.0","source":"x","data":{}}"#,
            r#"{"specversion":"1.0","source":"io.choria.lifecycle"}"#,
        ] {
            assert!(Event::decode(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_nothing_is_called_are_refused() {
        let fields = ["identity", "component", "version", "new_version", "governor", "event_type"];
        for field in fields {
            let event = |text: &str| {
                let mut event =
                    serde_json::json!({"protocol": "io.choria.lifecycle.v1.governor", "identity": "n1"});
                event[field] = text.into();
                let cloud = serde_json::json!({"specversion": "1.0", "source": SOURCE, "data": event});
                [event, cloud].map(|event| Event::decode(event.to_string().as_bytes()))
            };
            assert!(event(&"é".repeat(MOST_NAME / 2)).iter().all(Result::is_ok), "{field}");
            for text in ["x".repeat(MOST_NAME + 1), "a\u{1b}[2Jb".to_owned(), "a\nb".to_owned()] {
                let refused =
                    event(&text).iter().all(|e| matches!(e, Err(EventError::Field(name)) if *name == field));
                assert!(refused, "{field}: {text:?}");
            }
        }
    }

    #[test]
    fn no_bytes_end_the_reader() {
        bolero::check!().with_iterations(2000).for_each(|bytes: &[u8]| {
            let _ = Event::decode(bytes);
        });
    }
}
