//! What numbers come to: `average`, `sum`, `nettest_mma`. Values that are none do
//! not count.

use serde_json::{Value, json};

use super::{Lines, Options, Spelling, Sum, number};
use crate::core::ddl::printf::{Argument, format};

pub(super) fn average(options: Options) -> Box<dyn Sum> {
    Box::new(Average { format: options.format, of: Samples::default() })
}

pub(super) fn sum(options: Options) -> Box<dyn Sum> {
    Box::new(Total { format: options.format, output: options.output, of: Samples::default() })
}

pub(super) fn extremes(options: Options) -> Box<dyn Sum> {
    Box::new(Extremes { format: options.format, of: Samples::default() })
}

/// What is kept of them.
#[derive(Debug, Default)]
struct Samples {
    sum: f64,
    count: u64,
    least: f64,
    most: f64,
}

impl Samples {
    fn add(&mut self, value: &Value) {
        let Some(sample) = number(value) else { return };
        self.least = if self.count == 0 { sample } else { self.least.min(sample) };
        self.most = if self.count == 0 { sample } else { self.most.max(sample) };
        self.sum += sample;
        self.count += 1;
    }

    fn average(&self) -> f64 {
        self.sum / self.count as f64
    }

    /// A line of these numbers, where there were any.
    fn line(&self, spec: &str, numbers: &[f64]) -> Option<String> {
        let numbers: Vec<Argument<'_>> = numbers.iter().copied().map(Argument::Float).collect();
        (self.count > 0).then(|| format(spec, &numbers))
    }
}

#[derive(Debug)]
struct Average {
    format: Option<String>,
    of: Samples,
}

impl Sum for Average {
    fn add(&mut self, value: &Value) {
        self.of.add(value);
    }

    fn lines(&self, _: Spelling) -> Lines<'_> {
        let line = self.of.line(self.format.as_deref().unwrap_or("Average: %.3f"), &[self.of.average()]);
        Box::new(line.into_iter())
    }

    fn json(&self) -> Option<Value> {
        let average = self.of.average();
        average.is_finite().then(|| json!({ "average": average }))
    }
}

#[derive(Debug)]
struct Total {
    format: Option<String>,
    output: String,
    of: Samples,
}

impl Sum for Total {
    fn add(&mut self, value: &Value) {
        self.of.add(value);
    }

    fn lines(&self, _: Spelling) -> Lines<'_> {
        let line = match &self.format {
            Some(spec) => self.of.line(spec, &[self.of.sum]),
            // The name of an output may hold a per cent sign.
            None => self.of.line("%f", &[self.of.sum]).map(|sum| format!("Sum of {}: {sum}", self.output)),
        };
        Box::new(line.into_iter())
    }

    fn json(&self) -> Option<Value> {
        let sum = Some(self.of.sum).filter(|sum| sum.is_finite() && self.of.count > 0)?;
        Some(json!({ "sum": sum }))
    }
}

/// The least, the most and the average.
#[derive(Debug)]
struct Extremes {
    format: Option<String>,
    of: Samples,
}

impl Sum for Extremes {
    fn add(&mut self, value: &Value) {
        self.of.add(value);
    }

    fn lines(&self, _: Spelling) -> Lines<'_> {
        let spec = self.format.as_deref().unwrap_or("Min: %.3f  Max: %.3f  Average: %.3f");
        Box::new(self.of.line(spec, &[self.of.least, self.of.most, self.of.average()]).into_iter())
    }

    fn json(&self) -> Option<Value> {
        let Samples { least, most, .. } = self.of;
        let average = self.of.average();
        let finite = [least, most, average].into_iter().all(f64::is_finite);
        finite.then(|| json!({ "min": least, "max": most, "average": average }))
    }
}
