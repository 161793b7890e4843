//! What the output of a command goes through before it is shown (spec 07 D), a file each.

mod bars;
mod jq;
mod lines;
mod report;

use serde_json::{Map, Value, json};

use super::compile::Reading;
use super::scope::Scope;
use crate::core::template::{self, Functions};
use crate::core::text::documents;

pub use bars::Bars;
pub use lines::Lines;
pub use report::Report;

/// Bytes that go through one step.
pub const MOST: usize = 16 << 20;
/// Most steps of one pipeline.
const MOST_STEPS: usize = 64;
/// Pipelines within one another.
const DEEPEST: usize = 4;

/// One step, or several.
#[derive(Debug)]
pub enum Transform {
    /// A query of jq.
    Jq {
        /// The query; a template.
        query: String,
        /// Whether YAML comes in.
        yaml: bool,
    },
    /// JSON of JSON or YAML.
    ToJson {
        /// What each line begins with.
        prefix: String,
        /// What members are indented by.
        indent: String,
    },
    /// YAML of JSON.
    ToYaml,
    /// Bars of names and numbers.
    BarGraph(Bars),
    /// A line of numbers.
    LineGraph(Lines),
    /// A text of a document.
    Template {
        /// The template.
        contents: String,
        /// A file with it; a template itself.
        source: String,
    },
    /// A file with what comes in.
    WriteFile {
        /// Its path; a template.
        file: String,
        /// What is handed on; what came in where it is empty.
        message: String,
        /// Whether a file that is there is replaced.
        replace: bool,
    },
    /// Pages of rows.
    Report(Report),
    /// One after the other.
    Pipeline(Vec<Transform>),
    /// Something of the original that is not done here.
    Refused(&'static str),
}

/// What transforms need that is not pure.
pub trait Rim {
    /// Does work that may never end, and ends it when it costs more than it should.
    ///
    /// # Errors
    /// It failed, or was ended; a sentence.
    fn guarded(&mut self, work: Box<dyn FnOnce() -> Result<String, String> + Send>)
    -> Result<String, String>;
    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written, or is there and not to be replaced; a sentence.
    fn write(&mut self, file: &str, bytes: &[u8], replace: bool) -> Result<(), String>;
}

/// All there are.
const NAMES: [&str; 12] = [
    "query",
    "jq",
    "line_graph",
    "bar_graph",
    "template",
    "report",
    "write_file",
    "pipeline",
    "to_json",
    "to_yaml",
    "scaffold",
    "ccm_manifest",
];

/// The transform that a member describes.
pub(super) fn read(of: &mut Reading<'_, '_>, name: &'static str) -> Option<Transform> {
    let mut inner = of.inner(name)?;
    let made = one(&mut inner, 0);
    inner.finish(&[]);
    made
}

fn one(of: &mut Reading<'_, '_>, depth: usize) -> Option<Transform> {
    let mut there = NAMES.into_iter().filter(|name| of.has(name)).collect::<Vec<_>>();
    // the old form of a query stands beside nothing
    if let Some(second) = there.get(1) {
        of.error(format_args!("{} and {second} exclude each other, a pipeline has both", there[0]));
        return None;
    }
    let Some(name) = there.pop() else {
        of.error(format_args!("has to be one of {}", NAMES.join(", ")));
        return None;
    };
    let made = match name {
        "query" => return Some(jq(of, "query", false)),
        "pipeline" => return pipeline(of, depth),
        "scaffold" | "ccm_manifest" => {
            of.refuse_member(name, &format!("transforms by {name}"));
            return Some(Transform::Refused(name));
        }
        name => name,
    };
    let Some(mut of) = of.inner(made) else {
        of.error_at(made, "has nothing that it could go by");
        return None;
    };
    let transform = match made {
        "jq" => {
            let yaml = of.flag("yaml_input");
            jq(&mut of, "query", yaml)
        }
        "to_json" => Transform::ToJson { prefix: of.text("prefix"), indent: of.text("indent") },
        "to_yaml" => Transform::ToYaml,
        "bar_graph" => Transform::BarGraph(bars::read(&mut of)),
        "line_graph" => Transform::LineGraph(lines::read(&mut of)),
        "report" => Transform::Report(report::read(&mut of)),
        "template" => {
            let (contents, source) = (of.template("contents"), of.template("source"));
            if contents.is_empty() == source.is_empty() {
                of.error("has contents or source, one of both");
            }
            Transform::Template { contents, source }
        }
        _ => Transform::WriteFile {
            file: of.required_template("file"),
            message: of.text("message"),
            replace: of.flag("replace"),
        },
    };
    of.finish(&[]);
    Some(transform)
}

fn jq(of: &mut Reading<'_, '_>, key: &'static str, yaml: bool) -> Transform {
    let query = of.required_template(key);
    if !query.is_empty()
        && !template::is_template(&query)
        && let Err(e) = jq::check(&query)
    {
        of.error_at(key, e);
    }
    Transform::Jq { query, yaml }
}

fn pipeline(of: &mut Reading<'_, '_>, depth: usize) -> Option<Transform> {
    if depth >= DEEPEST {
        of.error("pipelines are nested too deep");
        return None;
    }
    let steps = of.each("pipeline", MOST_STEPS, |of| one(of, depth + 1));
    if steps.is_empty() {
        of.error_at("pipeline", "has no steps");
    }
    Some(Transform::Pipeline(steps.into_iter().flatten().collect()))
}

impl Transform {
    /// What comes out of what comes in.
    ///
    /// # Errors
    /// Why nothing does, as a sentence.
    pub fn apply(&self, input: String, scope: &Scope<'_>, rim: &mut dyn Rim) -> Result<String, String> {
        if input.len() > MOST {
            return Err(format!("more than {MOST} bytes are too many to be transformed"));
        }
        let rendered = |text: &str| scope.render(text).map_err(|e| e.to_string());
        match self {
            Transform::Jq { query, yaml } => {
                let (query, yaml) = (rendered(query)?, *yaml);
                rim.guarded(Box::new(move || jq::run(&query, &input, yaml)))
            }
            Transform::ToJson { prefix, indent } => to_json(&input, prefix, indent),
            Transform::ToYaml => {
                let value: Value = json_of(&input, "to_yaml")?;
                serde_saphyr::to_string(&value).map_err(|e| format!("to_yaml: {e}"))
            }
            Transform::BarGraph(bars) => bars.draw(&input, &rendered(&bars.caption)?),
            Transform::LineGraph(lines) => lines.draw(&input, &rendered(&lines.caption)?),
            Transform::Template { contents, source } => {
                let mut state = scope.state.clone();
                state.input = json_of(&input, "template")?;
                let text = match source.as_str() {
                    "" => contents.clone(),
                    source => scope.world.read(&rendered(source)?)?,
                };
                let within = Scope { state: &state, world: scope.world };
                within.render(&text).map_err(|e| e.to_string())
            }
            Transform::WriteFile { file, message, replace } => {
                let file = rendered(file)?;
                rim.write(&file, input.as_bytes(), *replace)?;
                match message.as_str() {
                    "" => Ok(input),
                    message => written(message, &file, &input),
                }
            }
            Transform::Report(report) => {
                let source = match report.source_file.as_str() {
                    "" => None,
                    file => Some(scope.world.read(&rendered(file)?)?),
                };
                report.write(&rendered(&report.name)?, source.as_deref(), &input)
            }
            Transform::Pipeline(steps) => {
                steps.iter().try_fold(input, |text, step| step.apply(text, scope, rim))
            }
            Transform::Refused(name) => Err(format!("transforms by {name} are not done here")),
        }
    }

    /// The name of the first part of it that is not done here.
    pub fn refused(&self) -> Option<&'static str> {
        match self {
            Transform::Refused(name) => Some(name),
            Transform::Pipeline(steps) => steps.iter().find_map(Transform::refused),
            _ => None,
        }
    }
}

fn json_of<T: serde::de::DeserializeOwned>(input: &str, what: &str) -> Result<T, String> {
    serde_json::from_str(input).map_err(|e| format!("{what} takes JSON, and this is none: {e}"))
}

fn is_json(text: &str) -> bool {
    let text = text.trim();
    text.starts_with('{') && text.ends_with('}') || text.starts_with('[') && text.ends_with(']')
}

fn to_json(input: &str, prefix: &str, indent: &str) -> Result<String, String> {
    let value: Value = match is_json(input) {
        true => json_of(input, "to_json")?,
        false => documents::yaml(input).map_err(|e| format!("to_json takes JSON or YAML: {e}"))?,
    };
    let value = sorted(value);
    if prefix.is_empty() && indent.is_empty() {
        return Ok(value.to_string());
    }
    let mut out = Bounded(vec![]);
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(&value, &mut serializer).map_err(|e| e.to_string())?;
    let out = String::from_utf8_lossy(&out.0);
    if out.matches('\n').count().saturating_mul(prefix.len()) > MOST {
        return Err("to_json makes more than any should".to_owned());
    }
    // all lines but the first, as it always was
    Ok(out.replace('\n', &format!("\n{prefix}")))
}

/// What is made, as long as it is no more than one step may make.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > MOST {
            return Err(std::io::Error::other("it makes more than any should"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// With members in the order of their names, as the original shows all it makes.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(members.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// What is known of a file that was written.
struct Written(Value);

impl Functions for Written {
    fn dot(&self) -> Value {
        self.0.clone()
    }

    fn has(&self, _: &str) -> bool {
        false
    }

    fn call(&self, name: &str, _: &[Value]) -> Result<Value, String> {
        Err(format!("there is no function {name}"))
    }
}

fn written(message: &str, file: &str, input: &str) -> Result<String, String> {
    let about = json!({
        "Target": file, "Contents": input, "Bytes": input.len(), "IBytes": binary(input.len() as f64),
    });
    let text = template::render(message, &Written(about)).map_err(|e| format!("message: {e}"))?;
    Ok(format!("{text}\n"))
}

/// A number of bytes in units of 1024, with two digits.
fn binary(bytes: f64) -> String {
    if bytes.is_nan() || bytes < 10.0 {
        return format!("{} B", bytes.max(0.0) as u64);
    }
    let (mut size, mut unit) = (bytes, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    match (size * 10.0).round() / 10.0 < 10.0 && unit != "B" {
        true => format!("{size:.1} {unit}"),
        false => format!("{size:.0} {unit}"),
    }
}

/// A number with commas between thousands.
fn commas(number: f64) -> String {
    let text = format!("{number}");
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, String::new()), |(w, f)| (w, format!(".{f}")));
    if !whole.bytes().all(|b| b.is_ascii_digit()) {
        return text;
    }
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{sign}{out}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        for (number, text) in [(0.0, "0"), (999.0, "999"), (1234.5, "1,234.5"), (-1_234_567.0, "-1,234,567")]
        {
            assert_eq!(commas(number), text);
        }
        for (number, text) in [
            (0.0, "0 B"),
            (9.0, "9 B"),
            (10.0, "10 B"),
            (1024.0, "1.0 KiB"),
            (10240.0, "10 KiB"),
            (2_300_000.0, "2.2 MiB"),
        ] {
            assert_eq!(binary(number), text);
        }
    }

    #[test]
    fn documents_change_their_form() {
        assert_eq!(to_json("b: 1\na: [x]\n", "", "").unwrap(), r#"{"a":["x"],"b":1}"#);
        assert_eq!(to_json(r#"{"a":1}"#, "> ", "  ").unwrap(), "{\n>   \"a\": 1\n> }");
        assert!(to_json("{", "", "").is_err());
        // nothing is made that is larger than what comes in may be
        let many = format!("[{}1]", "1,".repeat(100_000));
        for (prefix, indent) in [("x".repeat(1000), String::new()), (String::new(), "y".repeat(1000))] {
            assert!(to_json(&many, &prefix, &indent).unwrap_err().contains("more than any should"));
        }
        assert_eq!(
            written("Wrote {{.IBytes}} to {{.Target}}", "/x", "0123456789").unwrap(),
            "Wrote 10 B to /x\n"
        );
    }
}
