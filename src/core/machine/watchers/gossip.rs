//! `gossip`: says something now and then, to whoever listens (spec 06 §6.11).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::exec::templated;
use super::{Kind, Watcher};
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::properties::Properties;
use crate::core::machine::template::{Lookup, is_template, render};
use crate::core::machine::turn::{Answer, Message, Said, Setting, Turn, Work};
use crate::core::text::shorten;

pub(super) const KIND: Kind = Kind {
    name: "gossip",
    interval: Some(Duration::from_secs(15)),
    least: Duration::from_millis(500),
    compile,
};

/// Longest subject, and longest payload.
const MAX_SUBJECT: usize = 512;
const MAX_PAYLOAD: usize = 64 * 1024;
/// Bytes of the last payload that are kept.
const KEPT: usize = 1024;
const NO_TIME: i64 = -62_135_596_800;

struct Gossip {
    subject: Arc<str>,
    payload: Arc<str>,
    /// Those of a registration are what they are.
    raw: bool,
    ttl: Option<u64>,
    said: Option<(Box<str>, Box<str>, Timestamp)>,
}

fn compile(of: &mut Properties<'_, '_>, _: &mut Common) -> Box<dyn Watcher> {
    let (subject, payload) = (of.text("subject"), of.text("payload"));
    let ttl = of.number("ttl_seconds", u64::from(u32::MAX));
    let registration = of.get("registration");
    let (subject, payload, raw) = match registration {
        Some(node) => {
            if !subject.is_empty() || !payload.is_empty() {
                of.error("subject and payload cannot be set with registration");
            }
            let (subject, payload) = registered(of, node);
            (subject, payload, true)
        }
        None => {
            for (name, text) in [("subject", &subject), ("payload", &payload)] {
                if text.is_empty() {
                    of.error(format_args!("{name} is required"));
                }
                templated(of, name, text);
            }
            if !subject.is_empty()
                && !is_template(&subject)
                && let Err(problem) = publishable(&subject)
            {
                of.error_at("subject", problem);
            }
            (subject.into(), payload.into(), false)
        }
    };
    Box::new(Gossip { subject, payload, raw, ttl, said: None })
}

/// Subject and payload of a service that registers itself.
fn registered(of: &mut Properties<'_, '_>, node: &crate::core::machine::yaml::Node) -> (Arc<str>, Arc<str>) {
    let mut inner = of.inner("registration", node);
    let [cluster, service, protocol] = ["cluster", "service", "protocol"].map(|name| inner.required(name));
    for (name, text) in [("cluster", &cluster), ("service", &service), ("protocol", &protocol)] {
        let mut chars = text.chars();
        let word = chars.next().is_none_or(|c| c.is_ascii_alphabetic())
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !word {
            inner.error_at(
                name,
                format_args!("is {text}: letters, digits, _ and - are allowed, a letter first"),
            );
        }
    }
    let ip = inner.required("ip");
    if !ip.is_empty() && ip.parse::<IpAddr>().is_err() {
        inner.error_at("ip", format_args!("is {ip}, which is no address"));
    }
    let port = inner.number("port", 65_535);
    if matches!(port, None | Some(0)) && !inner.is_wrong() {
        inner.error("port is required");
    }
    let priority = inner.number("priority", u64::from(u32::MAX)).unwrap_or(0);
    let prefix = inner.text("prefix");
    let prefix = if prefix.is_empty() { "$KV.CHORIA_SERVICES" } else { &*prefix };
    if let Err(problem) = publishable(prefix) {
        inner.error_at("prefix", problem);
    }
    let annotations = inner.labels("annotations");
    inner.finish(&[("address", "did you mean ip?")]);
    let mut payload = json!({
        "cluster": &*cluster, "service": &*service, "protocol": &*protocol, "address": &*ip,
        "port": port.unwrap_or(0), "priority": priority,
    });
    if !annotations.is_empty() {
        let all: Map<String, Value> =
            annotations.iter().map(|(n, t)| (n.to_string(), (**t).into())).collect();
        if let Some(members) = payload.as_object_mut() {
            members.insert("annotations".to_owned(), all.into());
        }
    }
    (format!("{prefix}.{cluster}.{protocol}.{service}").into(), payload.to_string().into())
}

/// Whether messages can be published there.
fn publishable(subject: &str) -> Result<(), String> {
    let problem = if subject.len() > MAX_SUBJECT {
        "is too long for a subject"
    } else if subject.split('.').any(|token| token == "*" || token == ">") {
        "has a wildcard, which nothing can be published to"
    } else if subject.is_empty() || subject.split('.').any(str::is_empty) {
        "has an empty part"
    } else if subject.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '^' | '*' | '>'))
    {
        "has a character that no subject has"
    } else {
        return Ok(());
    };
    Err(format!("{subject:?} {problem}"))
}

async fn made(subject: &str, payload: &str, setting: &Setting) -> Result<(String, String), String> {
    let scope = setting.scope(&*setting.facts_for(&[subject, payload]).await);
    let made = |text: &str| render(text, &Lookup { scope: &scope }).map_err(|e| e.to_string());
    let (subject, payload) = (made(subject)?, made(payload)?);
    publishable(&subject).map_err(|problem| format!("the subject {problem}"))?;
    if payload.len() > MAX_PAYLOAD {
        return Err(format!("the payload is longer than {MAX_PAYLOAD} bytes"));
    }
    Ok((subject, payload))
}

impl Gossip {
    fn say(&mut self, turn: &mut Turn<'_>) {
        if !turn.eligible || turn.busy {
            return;
        }
        if self.raw {
            let subject = format!("{}.{}", self.subject, turn.instance);
            self.send(subject, self.payload.to_string(), turn);
            return;
        }
        let (subject, payload) = (self.subject.clone(), self.payload.clone());
        turn.work(Work::other(move |setting| async move {
            let began = Instant::now();
            let said = match made(&subject, &payload, &setting).await {
                Ok(made) => Said { outcome: "made", detail: json!([made.0, made.1]), ..Said::default() },
                Err(problem) => Said { outcome: "error", problem, ..Said::default() },
            };
            Answer::Said(Said { took: began.elapsed(), ..said })
        }));
    }

    fn send(&mut self, subject: String, payload: String, turn: &mut Turn<'_>) {
        let mut kept = payload.clone();
        shorten(&mut kept, KEPT);
        self.said = Some((subject.as_str().into(), kept.into(), turn.now.wall));
        let ttl = self.ttl.map(|seconds| ("Nats-TTLSeconds", format!("{seconds}s")));
        turn.send(Message { subject, payload, headers: ttl.into_iter().collect() });
    }
}

impl Watcher for Gossip {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        self.due(turn);
    }

    fn due(&mut self, turn: &mut Turn<'_>) {
        if let Some(interval) = turn.common.interval {
            turn.again(interval);
        }
        self.say(turn);
    }

    fn moved(&mut self, _: &mut Turn<'_>) {}

    fn answered(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        let Answer::Said(said) = answer else { return };
        let part = |at: usize| said.detail.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        match said.outcome {
            "made" => self.send(part(0), part(1), turn),
            _ => turn.warn(said.problem),
        }
    }

    fn fields(&self) -> Fields {
        let (subject, payload, at) = match &self.said {
            Some((subject, payload, at)) => (&**subject, &**payload, at.as_second()),
            None => ("", "", NO_TIME),
        };
        vec![
            ("previous_subject", subject.into()),
            ("previous_payload", payload.into()),
            ("previous_gossip", at.into()),
        ]
    }
}
