//! `metric`: gathers numbers (spec 06 §6.6).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::exec::{TIMEOUT, command, templated};
use super::{Kind, Watcher};
use crate::core::machine::definition::Common;
use crate::core::machine::duration;
use crate::core::machine::event::Fields;
use crate::core::machine::perfdata;
use crate::core::machine::properties::Properties;
use crate::core::machine::turn::{Answer, Command, Fire, Turn, Work};

mod graphite;

pub(super) const KIND: Kind = Kind { name: "metric", interval: None, least: Duration::from_secs(1), compile };

const LEAST: Duration = Duration::from_secs(1);
const MOST_OUTPUT: usize = 64 * 1024;
/// Numbers and labels of one gathering.
const MOST: usize = 512;
/// A number that was not gathered for so many intervals is not shown any more.
const STALE: u32 = 3;

/// Numbers, and what is the same of all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metric {
    /// What is the same of all.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// The numbers.
    pub metrics: BTreeMap<Box<str>, f64>,
    /// Unix seconds.
    pub time: i64,
}

impl Metric {
    /// As JSON.
    pub fn to_value(&self) -> Value {
        let labels: Map<String, Value> =
            self.labels.iter().map(|(n, t)| (n.to_string(), (**t).into())).collect();
        let metrics: Map<String, Value> =
            self.metrics.iter().map(|(n, v)| (n.to_string(), json!(v))).collect();
        json!({"labels": labels, "metrics": metrics, "time": self.time})
    }

    /// What a command printed.
    ///
    /// # Errors
    /// It looks like JSON and is none of this kind.
    fn parse(output: &str) -> Result<Metric, String> {
        let output = output.trim();
        let mut metric = Metric::default();
        if !output.starts_with('{') {
            metric.labels.insert("format".into(), "nagios".into());
            let items = perfdata::parse(output).into_iter().take(MOST);
            metric.metrics = items.map(|item| (item.label, item.value)).collect();
            return Ok(metric);
        }
        let Value::Object(members) = serde_json::from_str(output).map_err(|e| e.to_string())? else {
            return Err("it is no object".to_owned());
        };
        // names in any case, as the original reads them
        let member =
            |name: &str| members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        match member("labels") {
            None | Some(Value::Null) => {}
            Some(Value::Object(labels)) => {
                for (name, value) in labels.iter().take(MOST) {
                    let text = value.as_str().ok_or_else(|| format!("the label {name} is no text"))?;
                    metric.labels.insert(name.as_str().into(), text.into());
                }
            }
            Some(_) => return Err("its labels are no names and texts".to_owned()),
        }
        match member("metrics") {
            None | Some(Value::Null) => {}
            Some(Value::Object(metrics)) => {
                for (name, value) in metrics.iter().take(MOST) {
                    let number = value.as_f64().filter(|number| number.is_finite());
                    let number = number.ok_or_else(|| format!("the metric {name} is no number"))?;
                    metric.metrics.insert(name.as_str().into(), number);
                }
            }
            Some(_) => return Err("its metrics are no names and numbers".to_owned()),
        }
        metric.labels.insert("format".into(), "choria".into());
        metric.time = member("time").and_then(Value::as_i64).unwrap_or_default();
        Ok(metric)
    }
}

struct Gather {
    command: Arc<str>,
    labels: Box<[(Box<str>, Box<str>)]>,
    shown: bool,
    store: bool,
    graphite: Option<graphite::Target>,
    interval: Duration,
    metric: Metric,
    gathered: Option<Timestamp>,
}

fn compile(of: &mut Properties<'_, '_>, common: &mut Common) -> Box<dyn Watcher> {
    let own = of.duration("interval").map(|nanoseconds| u64::try_from(nanoseconds).unwrap_or(0));
    let interval = match (own.map(Duration::from_nanos), common.interval) {
        (Some(own), _) if own < LEAST => {
            of.error_at(
                "interval",
                format_args!("is {}, which is too small: at least 1s", duration::show(own.as_nanos() as i64)),
            );
            LEAST
        }
        (Some(own), _) => own,
        (None, Some(common)) => common,
        (None, None) => {
            if !of.has("interval") {
                of.error("interval is required, such as 1m: the original runs the command each second");
            }
            LEAST
        }
    };
    let gather = Gather {
        command: command(of, "command").into(),
        labels: of.labels("labels"),
        shown: !of.flag("skip_prometheus"),
        store: of.flag("store"),
        graphite: graphite(of, common),
        interval,
        metric: Metric::default(),
        gathered: None,
    };
    of.flag("http");
    Box::new(gather)
}

fn graphite(of: &mut Properties<'_, '_>, common: &Common) -> Option<graphite::Target> {
    let (host, port, prefix) =
        (of.text("graphite_host"), of.text("graphite_port"), of.text("graphite_prefix"));
    for (name, text) in [("graphite_host", &host), ("graphite_port", &port), ("graphite_prefix", &prefix)] {
        templated(of, name, text);
    }
    if host.is_empty() {
        return None;
    }
    if port.is_empty() {
        of.warn_at("graphite_port", "is not set: nothing is sent to Graphite");
        return None;
    }
    let prefix =
        if prefix.is_empty() { format!("choria.{}", common.name.replace(' ', "-")).into() } else { prefix };
    Some(graphite::Target { host: host.into(), port: port.into(), prefix: prefix.into() })
}

impl Gather {
    fn run(&mut self, turn: &mut Turn<'_>) {
        if turn.busy || !turn.eligible {
            return;
        }
        turn.work(Work::Command(Box::new(Command {
            line: self.command.clone(),
            check: false,
            environment: Arc::default(),
            limit: Some(TIMEOUT),
            output: Some(MOST_OUTPUT),
            files: false,
            governed: None,
        })));
    }

    /// What is left when it was sent wherever it goes.
    fn tell(&mut self, turn: &mut Turn<'_>) {
        if self.store {
            let mut all = Map::new();
            all.insert(turn.common.name.to_string(), self.metric.to_value());
            turn.keep("metric", all.into());
        }
        turn.publish(self.fields());
    }
}

impl Watcher for Gather {
    fn begin(&mut self, turn: &mut Turn<'_>) {
        let first = turn.within(self.interval);
        turn.again(first);
    }

    fn due(&mut self, turn: &mut Turn<'_>) {
        turn.again(self.interval);
        self.run(turn);
    }

    fn moved(&mut self, _: &mut Turn<'_>) {}

    fn answered(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        match answer {
            Answer::Ran(ran) => {
                if ran.code != Some(0) {
                    let how = ran.code.map_or(ran.problem, |code| format!("exit code {code}"));
                    turn.warn(format!("{} gathered nothing: {how}", self.command));
                    return;
                }
                let mut metric = match Metric::parse(&ran.output) {
                    Ok(metric) => metric,
                    Err(e) => {
                        turn.warn(format!("{} printed what is no metric: {e}", self.command));
                        turn.publish(self.fields());
                        turn.fire(Fire::Failure);
                        return;
                    }
                };
                for (name, text) in &self.labels {
                    metric.labels.insert(name.clone(), text.clone());
                }
                metric.time = turn.now.wall.as_second();
                metric.metrics.insert("choria_runtime_seconds".into(), ran.took.as_secs_f64());
                self.metric = metric;
                self.gathered = Some(turn.now.wall);
                if self.shown {
                    turn.exported();
                }
                match &self.graphite {
                    Some(target) => {
                        turn.work(graphite::send(target.clone(), &self.metric));
                    }
                    None => self.tell(turn),
                }
            }
            Answer::Said(said) => {
                if said.problem.is_empty() {
                    self.tell(turn);
                } else {
                    turn.warn(said.problem);
                }
            }
        }
    }

    fn fields(&self) -> Fields {
        vec![("metrics", self.metric.to_value())]
    }

    fn metric(&self) -> Option<(&Metric, Timestamp)> {
        let limit =
            SignedDuration::try_from(self.interval.saturating_mul(STALE)).unwrap_or(SignedDuration::MAX);
        let until = self.gathered.and_then(|at| at.checked_add(limit).ok());
        let until = if self.shown { until } else { None };
        Some((&self.metric, until.unwrap_or(Timestamp::MIN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::machine::tests::vectors;

    #[test]
    fn captured_outputs_are_read_alike() {
        let tables = vectors("machine-parse-tables.json");
        let mut seen = 0;
        for (name, labels) in
            [("metric_json_with_label_dc_x", true), ("metric_nagios_with_label_dc_x", false)]
        {
            for case in tables[name].as_array().unwrap() {
                let output = case["output"].as_str().unwrap();
                let ours = Metric::parse(output);
                seen += 1;
                if case["error"].is_string() {
                    assert!(ours.is_err(), "{output}");
                    continue;
                }
                let mut metric = ours.unwrap();
                if case["panic"].is_string() {
                    continue; // ends the original
                }
                if labels {
                    metric.labels.insert("dc".into(), "x".into());
                }
                let mut theirs = case["metric"].clone();
                if theirs["metrics"].is_null() {
                    theirs["metrics"] = json!({});
                }
                let number = |value: &Value| -> Vec<(String, f64)> {
                    let members = value["metrics"].as_object().unwrap();
                    members.iter().map(|(name, value)| (name.clone(), value.as_f64().unwrap())).collect()
                };
                let made = metric.to_value();
                assert_eq!(made["labels"], theirs["labels"], "{output}");
                assert_eq!(number(&made), number(&theirs), "{output}");
                assert_eq!(made["time"], theirs["time"], "{output}");
            }
        }
        assert_eq!(seen, 18);
    }
}
