//! Summing replies up (spec 03 §6.9).
//!
//! A DDL names a function for an output. Each function is a type with [`Sum`], in
//! a file of its kind, and a line in [`FUNCTIONS`]; those of the original and of
//! its public agents are all there.

mod chart;
mod counts;
mod numbers;
mod processes;

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde_json::{Map, Value};

use super::agent::{Action, Aggregate};
use crate::core::protocol::json::push_value;
use crate::core::protocol::number::parse_float;

/// Most samples or distinct values that are kept; a fleet of 50,000 with a value
/// each still fits.
const MAX_VALUES: usize = 1_000_000;

/// Bytes of all lines of an action for people: those of 50,000 values fit.
const MAX_SHOWN: usize = 8 * 1024 * 1024;

/// All functions.
const FUNCTIONS: [(&str, Make); 8] = [
    ("average", numbers::average),
    ("boolean_summary", counts::summary),
    ("chart", chart::chart),
    ("nagios_states", counts::nagios_states),
    ("nettest_mma", numbers::extremes),
    ("process_summary", processes::summary),
    ("sum", numbers::sum),
    ("summary", counts::summary),
];

type Make = fn(Options) -> Box<dyn Sum>;

/// Lines that are made as they are taken: formats are of others.
type Lines<'a> = Box<dyn Iterator<Item = String> + 'a>;

/// One way of summing up the values of one output.
trait Sum: Debug + Send {
    /// Takes one more value in.
    fn add(&mut self, value: &Value);

    /// Lines for people; none where there was nothing to sum up.
    fn lines(&self, spelling: Spelling) -> Lines<'_>;

    /// The value for programs; none where there is none.
    fn json(&self) -> Option<Value>;

    /// Whether the lines are a drawing, which stands as it is.
    fn is_drawing(&self) -> bool {
        false
    }
}

/// What a DDL says beside the function's name.
#[derive(Debug)]
struct Options {
    output: String,
    /// A printf format.
    format: Option<String>,
    /// What values are called.
    names: BTreeMap<String, String>,
}

/// Whose habits are followed where a DDL has no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spelling {
    /// `value: count`, as today's Choria.
    #[default]
    Today,
    /// `value = count`, as the `mco` of the Ruby world.
    Ruby,
}

/// What the values of one output come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The output.
    pub output: String,
    /// Lines for people.
    pub lines: Vec<String>,
    /// Whether the lines are a drawing, which is not indented.
    pub drawing: bool,
}

/// Sums one action's replies up, output by output.
#[derive(Debug, Default)]
pub struct Aggregator {
    outputs: BTreeMap<String, Box<dyn Sum>>,
    unknown: Vec<String>,
}

impl Action {
    /// An aggregator as the DDL asks for. Functions that are not known are left out,
    /// and can be asked for; of several for one output the last counts.
    pub fn aggregator(&self) -> Aggregator {
        let mut aggregator = Aggregator::default();
        for aggregate in &self.aggregate {
            let Some(options) = Options::of(aggregate) else { continue };
            match FUNCTIONS.iter().find(|(name, _)| *name == aggregate.function) {
                Some((_, make)) => {
                    aggregator.outputs.insert(options.output.clone(), make(options));
                }
                None if !aggregator.unknown.contains(&aggregate.function) => {
                    aggregator.unknown.push(aggregate.function.clone());
                }
                None => {}
            }
        }
        aggregator
    }
}

impl Options {
    /// Nothing where the DDL names no output.
    fn of(aggregate: &Aggregate) -> Option<Options> {
        let output = aggregate.args.get(0)?.as_str()?.to_owned();
        let options = aggregate.args.get(1).and_then(Value::as_object);
        let format = options.and_then(|o| o.get("format")).and_then(Value::as_str).map(str::to_owned);
        let names = options.into_iter().flatten().filter(|(key, _)| *key != "format");
        let names = names.map(|(key, name)| (key.clone(), text(name))).collect();
        Some(Options { output, format, names })
    }
}

impl Aggregator {
    /// Whether there is nothing to sum up.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Functions the DDL asks for that nobody knows here.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Takes one reply in, whether it worked or not.
    pub fn add(&mut self, reply_data: &Map<String, Value>) {
        for (output, sum) in &mut self.outputs {
            if let Some(value) = reply_data.get(output) {
                sum.add(value);
            }
        }
    }

    /// What there is for people, sorted by output.
    pub fn summaries(&self, spelling: Spelling) -> Vec<Summary> {
        let mut left = MAX_SHOWN;
        let mut fits = |line: &String| {
            let fits = line.len() <= left;
            left = if fits { left - line.len() } else { 0 };
            fits
        };
        let summaries = self.outputs.iter().map(|(output, sum)| {
            let mut shown = vec![];
            for line in sum.lines(spelling) {
                if !fits(&line) {
                    shown.push("(more than is shown of one request)".to_owned());
                    break;
                }
                shown.push(line);
            }
            Summary { output: output.clone(), lines: shown, drawing: sum.is_drawing() }
        });
        summaries.collect()
    }

    /// Values for programs, by output. What has none is left out.
    pub fn json(&self) -> Map<String, Value> {
        self.outputs.iter().filter_map(|(output, sum)| Some((output.clone(), sum.json()?))).collect()
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

/// What a value counts as where numbers are added up: text that reads as one, too.
fn number(value: &Value) -> Option<f64> {
    parse_float(&text(value))
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

#[cfg(test)]
mod tests;
