//! Summing replies up (spec 03 §6.9).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::agent::{Action, Aggregate};
use super::chart;
use super::printf::{Argument, format};
use crate::core::protocol::json::push_value;
use crate::core::protocol::number::parse_float;

/// Most samples a chart or distinct values a summary keeps; a fleet of 50,000
/// with a value each still fits.
const MAX_VALUES: usize = 1_000_000;

/// Sums one action's replies up, output by output.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Aggregator {
    outputs: BTreeMap<String, Summary>,
}

#[derive(Debug, Clone, PartialEq)]
struct Summary {
    format: Option<String>,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Counts { names: BTreeMap<String, String>, counts: BTreeMap<String, u64> },
    Average { sum: f64, samples: u64 },
    Chart { samples: Vec<f64> },
}

impl Action {
    /// An aggregator as the DDL asks for. Functions that are not known are left
    /// out; of several for one output the last counts.
    pub fn aggregator(&self) -> Aggregator {
        let outputs = self.aggregate.iter().filter_map(Aggregate::summary).collect();
        Aggregator { outputs }
    }
}

impl Aggregate {
    fn summary(&self) -> Option<(String, Summary)> {
        let output = self.args.get(0)?.as_str()?;
        let options = self.args.get(1).and_then(Value::as_object);
        let format = options.and_then(|o| o.get("format")).and_then(Value::as_str).map(str::to_owned);
        let state = match self.function.as_str() {
            "summary" | "boolean_summary" => {
                let names = options.into_iter().flatten().filter(|(key, _)| *key != "format");
                let names = names.map(|(key, name)| (key.clone(), text(name))).collect();
                State::Counts { names, counts: BTreeMap::new() }
            }
            "average" => State::Average { sum: 0.0, samples: 0 },
            "chart" => State::Chart { samples: Vec::new() },
            _ => return None,
        };
        Some((output.into(), Summary { format, state }))
    }
}

impl Aggregator {
    /// Whether there is nothing to sum up.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Takes one reply in, whether it worked or not.
    pub fn add(&mut self, reply_data: &Map<String, Value>) {
        for (output, summary) in &mut self.outputs {
            if let Some(value) = reply_data.get(output) {
                summary.add(value);
            }
        }
    }

    /// Lines for people, by output; a chart is one line with breaks in it.
    pub fn formatted(&self) -> BTreeMap<String, Vec<String>> {
        self.outputs.iter().map(|(output, summary)| (output.clone(), summary.lines())).collect()
    }

    /// Values for programs, by output. An average of nothing is left out.
    pub fn json(&self) -> Map<String, Value> {
        let values =
            self.outputs.iter().filter_map(|(output, summary)| Some((output.clone(), summary.json()?)));
        values.collect()
    }
}

impl Summary {
    fn add(&mut self, value: &Value) {
        let text = text(value);
        match &mut self.state {
            State::Counts { names, counts } => {
                let name = names.get(&text).cloned().unwrap_or(text);
                if counts.len() < MAX_VALUES || counts.contains_key(&name) {
                    *counts.entry(name).or_default() += 1;
                }
            }
            State::Average { sum, samples } => {
                if let Some(sample) = parse_float(&text) {
                    *sum += sample;
                    *samples += 1;
                }
            }
            State::Chart { samples } => {
                samples.extend(parse_float(&text).filter(|s| s.is_finite() && samples.len() < MAX_VALUES));
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        match &self.state {
            State::Counts { counts, .. } => {
                let mut counts: Vec<_> = counts.iter().collect();
                counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
                let width = counts.iter().map(|(value, _)| value.len()).max().unwrap_or(0);
                let line = |(value, count): (&String, &u64)| match &self.format {
                    Some(spec) => format(spec, &[Argument::Text(value), Argument::Count(*count)]),
                    None => format!("{value:>width$}: {count}"),
                };
                counts.into_iter().map(line).collect()
            }
            State::Average { sum, samples } => {
                let average = sum / *samples as f64;
                let spec = self.format.as_deref().unwrap_or("Average: %.3f");
                vec![format(spec, &[Argument::Float(average)])]
            }
            State::Chart { samples } => vec![chart::plot(samples)],
        }
    }

    fn json(&self) -> Option<Value> {
        Some(match &self.state {
            State::Counts { counts, .. } => json!(counts),
            State::Average { sum, samples } => {
                let average = sum / *samples as f64;
                if !average.is_finite() {
                    return None;
                }
                json!({ "average": average })
            }
            State::Chart { samples } => json!({ "chart": chart::plot(samples) }),
        })
    }
}

/// What a value counts as: text as it is, anything else its JSON in the
/// original's spelling, keys sorted and numbers as doubles.
fn text(value: &Value) -> String {
    if let Value::String(text) = value {
        return text.clone();
    }
    let mut value = value.clone();
    value.sort_all_objects();
    doubles(&mut value, 0);
    let mut out = String::new();
    push_value(&mut out, &value);
    out
}

fn doubles(value: &mut Value, depth: usize) {
    match value {
        Value::Number(number) => {
            if let Some(double) = number.as_f64().and_then(serde_json::Number::from_f64) {
                *number = double;
            }
        }
        Value::Array(items) if depth < 128 => items.iter_mut().for_each(|item| doubles(item, depth + 1)),
        Value::Object(map) if depth < 128 => map.values_mut().for_each(|item| doubles(item, depth + 1)),
        _ => {}
    }
}
