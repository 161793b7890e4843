//! How many replies have which value: `summary`, `boolean_summary`, `nagios_states`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Lines, MAX_VALUES, Options, Spelling, Sum, number, text};
use crate::core::ddl::printf::{Argument, format};
use crate::core::text::column;

/// Bytes of distinct values that are kept; they are the network's to choose.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// States of Nagios by exit code, the last also for any other.
const STATES: [&str; 4] = ["OK", "WARNING", "CRITICAL", "UNKNOWN"];

pub(super) fn summary(options: Options) -> Box<dyn Sum> {
    Box::new(Counts { options, counts: BTreeMap::new(), bytes: 0 })
}

#[derive(Debug)]
struct Counts {
    options: Options,
    counts: BTreeMap<String, u64>,
    bytes: usize,
}

impl Sum for Counts {
    fn add(&mut self, value: &Value) {
        let text = text(value);
        let name = self.options.names.get(&text).cloned().unwrap_or(text);
        if let Some(count) = self.counts.get_mut(&name) {
            *count += 1;
        } else if self.counts.len() < MAX_VALUES && self.bytes + name.len() <= MAX_BYTES {
            self.bytes += name.len();
            self.counts.insert(name, 1);
        }
    }

    fn lines(&self, spelling: Spelling) -> Lines<'_> {
        let mut counts: Vec<(&str, u64)> = self.counts.iter().map(|(v, n)| (v.as_str(), *n)).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let width = column(counts.iter().map(|(value, _)| value.len()));
        let digits = counts.first().map_or(0, |(_, most)| most.to_string().len());
        let line = move |(value, count): (&str, u64)| match (&self.options.format, spelling) {
            (Some(spec), _) => format(spec, &[Argument::Text(value), Argument::Count(count)]),
            (None, Spelling::Today) => format!("{value:>width$}: {count}"),
            (None, Spelling::Ruby) => format!("{value:>width$} = {count:>digits$}"),
        };
        Box::new(counts.into_iter().map(line))
    }

    fn json(&self) -> Option<Value> {
        Some(json!(self.counts))
    }
}

pub(super) fn nagios_states(options: Options) -> Box<dyn Sum> {
    Box::new(States { format: options.format, counts: [0; 4] })
}

#[derive(Debug)]
struct States {
    format: Option<String>,
    counts: [u64; 4],
}

impl Sum for States {
    fn add(&mut self, value: &Value) {
        let code = number(value).filter(|code| (0.0..=3.0).contains(code) && code.fract() == 0.0);
        let count = self.counts.get_mut(code.map_or(3, |code| code as usize));
        count.into_iter().for_each(|count| *count += 1);
    }

    fn lines(&self, _: Spelling) -> Lines<'_> {
        let spec = self.format.as_deref().unwrap_or("%10s : %s");
        let line = move |(state, count): (&&str, &u64)| {
            format(spec, &[Argument::Text(state), Argument::Count(*count)])
        };
        Box::new(STATES.iter().zip(&self.counts).map(line))
    }

    fn json(&self) -> Option<Value> {
        Some(
            STATES
                .iter()
                .zip(&self.counts)
                .map(|(state, count)| ((*state).to_owned(), json!(count)))
                .collect(),
        )
    }
}
