//! `kv`: keeps the value of a key of a bucket in the data of its machine (spec 06 §6.7).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::exec::templated;
use super::{Kind, Watcher};
use crate::core::machine::definition::Common;
use crate::core::machine::event::Fields;
use crate::core::machine::properties::Properties;
use crate::core::machine::template::{Lookup, is_template, render};
use crate::core::machine::turn::{Answer, Fire, Said, Setting, Turn, Work};
use crate::core::protocol::filter::Facts;
use crate::core::streams::bucket::{check_bucket, check_key};
use crate::core::streams::{Bucket, StreamError};

pub(super) const KIND: Kind = Kind { name: "kv", interval: None, least: Duration::from_secs(1), compile };

/// Bytes of a value that is kept.
const MOST_VALUE: usize = 256 * 1024;

/// What is wanted.
struct Wanted {
    bucket: Box<str>,
    key: Box<str>,
    prefixed: bool,
    store_key: Box<str>,
    query: Box<str>,
    on_get: bool,
    on_update: bool,
    /// Whether any copy of the bucket answers, once it was found.
    direct: Mutex<Option<bool>>,
}

struct Kv {
    wanted: Arc<Wanted>,
    state: &'static str,
    /// Revision that was seen last.
    revision: Option<u64>,
    polled: Option<Duration>,
}

fn compile(of: &mut Properties<'_, '_>, common: &mut Common) -> Box<dyn Watcher> {
    let wanted = Wanted {
        bucket: of.required("bucket"),
        key: of.required("key"),
        prefixed: !of.has("bucket_prefix") || of.flag("bucket_prefix"),
        store_key: of.text("store_key"),
        query: of.text("query"),
        on_get: of.flag("on_successful_get"),
        on_update: of.flag("on_matching_update"),
        direct: Mutex::new(None),
    };
    templated(of, "key", &wanted.key);
    if !wanted.bucket.is_empty()
        && let Err(e) = check_bucket(&wanted.bucket)
    {
        of.error_at("bucket", format_args!("is wrong: {e}"));
    }
    if !wanted.key.is_empty()
        && !is_template(&wanted.key)
        && let Err(e) = check_key(&wanted.key)
    {
        of.error_at("key", format_args!("is wrong: {e}"));
    }
    match &*of.text("mode") {
        "" | "poll" => {}
        other => of.error_at("mode", format_args!("is {other}, only poll is known")),
    }
    if of.flag("hiera_config") {
        of.error_at("hiera_config", "is not part of this version: keep the values as they are to be");
    }
    if !of.text("republish_trigger").is_empty() {
        of.warn_at("republish_trigger", "means nothing here: the key is looked up at each interval");
    }
    if common.interval.is_none() {
        of.error("an interval is required");
    }
    Box::new(Kv { wanted: Arc::new(wanted), state: "error", revision: None, polled: None })
}

/// A value as data, and what was not as it looked.
fn read(text: &str, query: &str) -> (Value, Option<String>) {
    let trimmed = text.trim();
    let looks = |open, close| trimmed.starts_with(open) && trimmed.ends_with(close);
    let raw = || Value::String(text.to_owned());
    if !looks('{', '}') && !looks('[', ']') {
        return (raw(), None);
    }
    match serde_json::from_str::<Value>(trimmed) {
        Ok(value @ Value::Object(_)) if !query.is_empty() => {
            // what is not there leaves the text as it is, as in the original
            match Facts::from_json(value.to_string()).get(query) {
                None | Some(Value::Null) => (raw(), None),
                Some(found) => (found, None),
            }
        }
        Ok(value) => (value, None),
        Err(e) => (raw(), Some(format!("the value looks like JSON and is none, it is kept as text: {e}"))),
    }
}

impl Wanted {
    /// The name it has among data.
    fn name(&self, key: &str) -> String {
        let key = if self.store_key.is_empty() { key } else { &self.store_key };
        match self.prefixed {
            true => format!("{}_{key}", self.bucket),
            false => key.to_owned(),
        }
    }

    async fn bucket(&self, setting: &Setting) -> Result<Bucket, String> {
        let network = setting.network.clone().ok_or("buckets need a broker, which is not here")?;
        let known = *self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(direct) = known {
            return Ok(Bucket::known(&network.streams(), &self.bucket, direct));
        }
        let found = Bucket::find(&network.streams(), &self.bucket).await.map_err(|e| e.to_string())?;
        let bucket = found.ok_or_else(|| format!("there is no bucket {}", self.bucket))?;
        self.knows(Some(bucket.config().direct));
        Ok(bucket)
    }

    fn knows(&self, direct: Option<bool>) {
        *self.direct.lock().unwrap_or_else(PoisonError::into_inner) = direct;
    }

    async fn looked_up(&self, setting: &Setting, before: Option<u64>) -> Result<Said, String> {
        let scope = setting.scope(&*setting.facts_for(&[&self.key]).await);
        let key = render(&self.key, &Lookup { scope: &scope }).map_err(|e| e.to_string())?;
        check_key(&key).map_err(|e| e.to_string())?;
        let bucket = self.bucket(setting).await?;
        let found = bucket.get(&key).await.map_err(|e| {
            if matches!(e, StreamError::Nobody(_)) || e.is_no_stream() {
                // it may come back another way
                self.knows(None);
            }
            e.to_string()
        })?;
        let name = self.name(&key);
        let kept = scope["data"].get(&name);
        let Some(entry) = found else {
            return Ok(match kept {
                None => Said { outcome: "unchanged", ..Said::default() },
                Some(_) => Said { outcome: "changed", detail: json!({"forget": name}), ..Said::default() },
            });
        };
        if entry.value.len() > MOST_VALUE {
            return Err(format!("the value has {} bytes, {MOST_VALUE} are kept at most", entry.value.len()));
        }
        let text = std::str::from_utf8(&entry.value).map_err(|_| "the value is no text".to_owned())?;
        let (value, problem) = read(text, &self.query);
        let newer = before.is_some_and(|before| entry.revision > before);
        let changed = kept != Some(&value);
        let outcome = match changed || self.on_update && newer || self.on_get {
            true => "changed",
            false => "unchanged",
        };
        let mut detail = json!({"revision": entry.revision});
        if changed {
            detail["name"] = name.into();
            detail["value"] = value;
        }
        Ok(Said { outcome, detail, problem: problem.unwrap_or_default(), ..Said::default() })
    }
}

impl Kv {
    fn look(&mut self, turn: &mut Turn<'_>) {
        if !turn.eligible {
            self.state = "skipped";
            return;
        }
        // moves come in any number
        let least = Duration::from_secs(turn.common.interval.unwrap_or(KIND.least).as_secs());
        if self.polled.is_some_and(|polled| turn.now.at.saturating_sub(polled) < least) {
            return;
        }
        if !turn.busy {
            self.polled = Some(turn.now.at);
        }
        let (wanted, before) = (self.wanted.clone(), self.revision);
        turn.work(Work::other(move |setting| async move {
            let began = Instant::now();
            let said = wanted.looked_up(&setting, before).await.unwrap_or_else(|problem| Said {
                outcome: "error",
                problem,
                ..Said::default()
            });
            Answer::Said(Said { took: began.elapsed(), ..said })
        }));
    }
}

impl Watcher for Kv {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        self.due(turn);
    }

    fn due(&mut self, turn: &mut Turn<'_>) {
        if let Some(interval) = turn.common.interval {
            turn.again(interval);
        }
        if !turn.busy {
            self.look(turn);
        }
    }

    fn moved(&mut self, turn: &mut Turn<'_>) {
        self.look(turn);
    }

    fn answered(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        let Answer::Said(mut said) = answer else { return };
        self.state = said.outcome;
        if let Some(revision) = said.detail["revision"].as_u64() {
            self.revision = Some(revision);
        }
        if let Some(name) = said.detail["forget"].as_str() {
            turn.forget(name);
        }
        if let Some(name) = said.detail["name"].as_str().map(str::to_owned) {
            turn.keep(name, said.detail["value"].take());
        }
        if !said.problem.is_empty() {
            turn.warn(said.problem);
        }
        match said.outcome {
            "changed" => turn.fire(Fire::Success),
            "error" => turn.fire(Fire::Failure),
            _ => {}
        }
    }

    fn fields(&self) -> Fields {
        let mut fields = vec![("state", self.state.into()), ("bucket", (*self.wanted.bucket).into())];
        if !self.wanted.key.is_empty() {
            fields.push(("key", (*self.wanted.key).into()));
        }
        fields.push(("mode", "poll".into()));
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_data() {
        for (text, query, value, told) in [
            ("plain ", "", json!("plain "), false),
            (" {\"a\":{\"b\":1}}\n", "", json!({"a": {"b": 1}}), false),
            ("{\"a\":{\"b\":1}}", "a.b", json!(1), false),
            ("{\"a\":null}", "a", json!("{\"a\":null}"), false),
            ("{\"a\":1}", "x.y", json!("{\"a\":1}"), false),
            ("[1,2]", "", json!([1, 2]), false),
            ("[1,2]", "0", json!([1, 2]), false),
            ("{bad}", "", json!("{bad}"), true),
            ("[bad]", "", json!("[bad]"), true),
            ("", "", json!(""), false),
        ] {
            let (read, problem) = read(text, query);
            assert_eq!((&read, problem.is_some()), (&value, told), "{text:?} {query:?}");
        }
    }

    #[test]
    fn data_is_named_after_the_bucket_unless_it_is_not_to_be() {
        let wanted = |prefixed, store_key: &str| Wanted {
            bucket: "CFG".into(),
            key: "k".into(),
            prefixed,
            store_key: store_key.into(),
            query: "".into(),
            on_get: false,
            on_update: false,
            direct: Mutex::new(None),
        };
        assert_eq!(wanted(true, "").name("k"), "CFG_k");
        assert_eq!(wanted(true, "s").name("k"), "CFG_s");
        assert_eq!(wanted(false, "").name("k"), "k");
        assert_eq!(wanted(false, "s").name("k"), "s");
    }
}
