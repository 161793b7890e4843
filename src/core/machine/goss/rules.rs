//! Rules, read: templates filled, files that others name put in, and everything known by name
//! before anything is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::bounds::{Bounds, Work, worked};
use super::matcher::Matcher;
use super::patterns::Expression;
use super::resources::{self, Kind};
use super::{GossError, Source};
use crate::core::files::{read_named, unless_it_hangs};
use crate::core::machine::template::{self, Functions};
use crate::core::protocol::filter::read_yaml;
use crate::core::text::meant;

/// Bytes of a file of rules, or of variables.
const MOST: u64 = 1 << 20;
/// Files of rules that name each other.
const MOST_FILES: usize = 100;
/// Bytes of all files of rules, with templates filled.
const MOST_TEXT: usize = 8 << 20;
/// Entries of a directory among which files are looked for.
const MOST_ENTRIES: usize = 10_000;
/// What rules are called that are no file.
const OF_A_TEXT: &str = "the rules";
/// What any resource may have.
const COMMON: [&str; 3] = ["title", "meta", "skip"];
/// A type of goss that means something on another system only.
const LACKING: [(&str, &str); 1] = [("registry", "is of Windows, and this version is not")];

/// Something that is to be looked at.
#[derive(Debug)]
pub(super) struct Resource {
    pub kind: &'static Kind,
    /// As results name it.
    pub id: String,
    /// What is looked at.
    pub subject: String,
    pub title: String,
    pub meta: Value,
    pub skip: bool,
    /// What is expected, in the order it is looked at.
    pub expected: Vec<(&'static str, &'static str, Arc<Matcher>)>,
    /// What else there is to know.
    pub attributes: Map<String, Value>,
}

/// Rules that were read.
#[derive(Debug)]
pub(super) struct Rules {
    /// What to call them.
    pub place: String,
    pub resources: Vec<Resource>,
    /// Whether only root and this user can have written all of their files.
    pub ours: bool,
}

/// Reads all rules; `directory` is that of files they name themselves.
pub(super) async fn load(
    source: &Source,
    variables: Value,
    directory: &Path,
    bounds: &Arc<Bounds>,
) -> Result<Rules, GossError> {
    let mut reading = Reading {
        variables: Arc::new(variables),
        directory,
        bounds,
        found: BTreeMap::new(),
        seen: BTreeSet::new(),
        waiting: vec![(source.clone(), false)],
        bytes: 0,
        ours: true,
    };
    while let Some((source, skip)) = reading.waiting.pop() {
        reading.read(source, skip).await?;
    }
    let place = match source {
        Source::File(path) => path.display().to_string(),
        Source::Text(_) => OF_A_TEXT.to_owned(),
    };
    Ok(Rules { place, resources: reading.found.into_values().collect(), ours: reading.ours })
}

/// A text of rules or variables.
pub(super) struct Text {
    /// What to call it.
    pub place: String,
    pub text: String,
    /// Whether only root and this user can have written it.
    pub ours: bool,
}

/// The text of rules or variables.
pub(super) async fn text(source: &Source) -> Result<Text, GossError> {
    match source {
        Source::Text(text) if text.len() as u64 > MOST => {
            Err(GossError::Read(format!("the rules are longer than {MOST} bytes")))
        }
        Source::Text(text) => Ok(Text { place: OF_A_TEXT.to_owned(), text: text.clone(), ours: false }),
        Source::File(path) => {
            let (place, file) = (path.display().to_string(), path.clone());
            let read = unless_it_hangs(path, move || read_named(&file, MOST)).await;
            let read = read.ok_or_else(|| GossError::Read(format!("{place} does not answer")))?;
            let (text, ours) = read.map_err(|e| GossError::Read(e.to_string()))?;
            let text = String::from_utf8(text);
            let text = text.map_err(|_| GossError::Read(format!("{place} is no text")))?;
            Ok(Text { place, text, ours })
        }
    }
}

/// A document.
pub(super) fn value_of(text: &str) -> Result<Value, String> {
    let mut value = read_yaml(text).map_err(|e| format!("it cannot be read as YAML: {e}"))?;
    whole(&mut value);
    Ok(value)
}

/// The reader makes floating point numbers of all; whole ones are shown as such.
fn whole(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let exact = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
            if let Some(float) = exact {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole),
        Value::Object(members) => members.values_mut().for_each(whole),
        _ => {}
    }
}

/// `.Vars` and the functions of goss that rules use.
struct Vars<'a> {
    variables: &'a Value,
    work: &'a Work<'a>,
}

impl Functions for Vars<'_> {
    fn dot(&self) -> Value {
        serde_json::json!({"Vars": self.variables})
    }

    fn has(&self, name: &str) -> bool {
        matches!(name, "toUpper" | "toLower" | "regexMatch" | "default")
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        match (name, arguments) {
            ("toUpper", [Value::String(text)]) => Ok(text.to_uppercase().into()),
            ("toLower", [Value::String(text)]) => Ok(text.to_lowercase().into()),
            ("regexMatch", [Value::String(expression), Value::String(text)]) => {
                Ok(Expression::once(expression, text, self.work)?.into())
            }
            ("default", [default, value]) => {
                let empty = matches!(value, Value::Null) || value.as_str() == Some("");
                Ok(if empty { default } else { value }.clone())
            }
            _ => Err(format!("{name} is given what it does not take")),
        }
    }
}

struct Reading<'a> {
    variables: Arc<Value>,
    directory: &'a Path,
    bounds: &'a Arc<Bounds>,
    found: BTreeMap<(&'static str, String), Resource>,
    seen: BTreeSet<PathBuf>,
    waiting: Vec<(Source, bool)>,
    bytes: usize,
    ours: bool,
}

/// What a file of rules holds.
#[derive(Default)]
struct Document {
    resources: Vec<Resource>,
    /// Other files, and how they are named.
    named: Vec<(String, Map<String, Value>)>,
    bytes: usize,
}

impl Reading<'_> {
    async fn read(&mut self, source: Source, skip: bool) -> Result<(), GossError> {
        let directory = match &source {
            Source::Text(_) => self.directory.to_owned(),
            Source::File(path) => {
                // of files that name each other, each is read once
                if !self.seen.insert(path.clone()) {
                    return Ok(());
                }
                path.parent().unwrap_or(Path::new("/")).to_owned()
            }
        };
        let Text { place, text, ours } = text(&source).await?;
        self.ours &= ours;
        let wrong = |why: String| GossError::Invalid { place: place.clone(), why };
        if self.seen.len() > MOST_FILES {
            return Err(wrong(format!("more than {MOST_FILES} files are named")));
        }
        let (variables, bounds) = (self.variables.clone(), self.bounds.clone());
        let read = worked(move || document(&text, skip, &variables, &bounds));
        let document = read.await.flatten().map_err(wrong)?;
        self.bytes += document.bytes;
        if self.bytes > MOST_TEXT {
            return Err(wrong(format!("all rules together are longer than {MOST_TEXT} bytes")));
        }
        for resource in document.resources {
            self.found.insert((resource.kind.name, resource.id.clone()), resource);
        }
        let most = self.bounds.resources;
        if self.found.len() > most {
            return Err(wrong(format!("there are more than {most} resources")));
        }
        for (id, attributes) in document.named {
            self.named(&place, &directory, &id, &attributes, skip).await?;
        }
        Ok(())
    }

    /// Another file of rules, or several by a pattern such as `rules/*.yaml`.
    async fn named(
        &mut self,
        place: &str,
        directory: &Path,
        id: &str,
        attributes: &Map<String, Value>,
        skip: bool,
    ) -> Result<(), GossError> {
        let wrong = |why: String| GossError::Invalid { place: place.to_owned(), why };
        known("gossfile", id, attributes, &["file"]).map_err(wrong)?;
        let file = attributes.get("file").and_then(Value::as_str).unwrap_or(id);
        let skip = skip || attributes.get("skip").and_then(Value::as_bool).unwrap_or_default();
        let path = directory.join(file);
        let paths = unless_it_hangs(&path.clone(), move || matching(&path)).await;
        let paths = paths.ok_or_else(|| wrong(format!("gossfile: {id} does not answer")))?;
        if paths.is_empty() {
            return Err(wrong(format!("gossfile: {id} is not there")));
        }
        self.waiting.extend(paths.into_iter().map(|path| (Source::File(path), skip)));
        // some are named again and again
        if self.waiting.len() > 10 * MOST_FILES {
            return Err(wrong(format!("more than {MOST_FILES} files are named")));
        }
        Ok(())
    }
}

/// Files that a path means, whose last part may have one `*`, sorted.
fn matching(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((before, after)) = name.split_once('*') else {
        // by its one name, or files that name each other would go round and round
        return path.canonicalize().into_iter().collect();
    };
    let entries = path.parent().map(std::fs::read_dir).and_then(Result::ok);
    let mut found: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .take(MOST_ENTRIES)
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        })
        .filter_map(|entry| entry.path().canonicalize().ok())
        .take(MOST_FILES + 1)
        .collect();
    found.sort();
    found
}

/// Reads one file. Takes time: templates are filled, and expressions compiled.
fn document(text: &str, skip: bool, variables: &Value, bounds: &Bounds) -> Result<Document, String> {
    let work = bounds.work();
    work.check()?;
    let text = template::render(text, &Vars { variables, work: &work }).map_err(|e| e.to_string())?;
    let mut read = Document { bytes: text.len(), ..Document::default() };
    let types = match value_of(&text)? {
        Value::Null => Map::new(),
        Value::Object(types) => types,
        _ => return Err("it is no map of types of resources".to_owned()),
    };
    for (key, members) in types {
        if key != "gossfile" {
            kind_of(&key)?;
        }
        let members = match members {
            Value::Object(members) => members,
            Value::Null => continue,
            _ => return Err(format!("{key} is no map of resources")),
        };
        for (id, attributes) in members {
            work.check()?;
            let attributes = match attributes {
                Value::Object(attributes) => attributes,
                Value::Null if key == "gossfile" => Map::new(),
                _ => return Err(format!("{key}: {id} has no attributes")),
            };
            if key == "gossfile" {
                read.named.push((id, attributes));
                continue;
            }
            read.resources.push(resource(&key, id, attributes, skip, &work)?);
            if read.resources.len() > bounds.resources {
                return Err(format!("there are more than {} resources", bounds.resources));
            }
        }
    }
    Ok(read)
}

/// The type of that name.
fn kind_of(key: &str) -> Result<&'static Kind, String> {
    let unknown = || {
        if let Some((_, why)) = LACKING.iter().find(|(lacking, _)| *lacking == key) {
            return format!("the type {key} {why}");
        }
        let names = || resources::names().chain(["gossfile"]);
        let known: Vec<&str> = names().collect();
        format!("there is no type {key}{}, known are {}", meant(key, names()), known.join(", "))
    };
    resources::find(key).ok_or_else(unknown)
}

fn resource(
    key: &str,
    id: String,
    attributes: Map<String, Value>,
    skip: bool,
    work: &Work<'_>,
) -> Result<Resource, String> {
    let kind = kind_of(key)?;
    let mut allowed: Vec<&str> = kind.properties.iter().map(|property| property.attribute).collect();
    allowed.extend(kind.options);
    allowed.push(kind.subject);
    known(key, &id, &attributes, &allowed)?;
    let mut expected = Vec::new();
    for property in kind.properties {
        let Some(value) = attributes.get(property.attribute).filter(|value| !value.is_null()) else {
            if property.required {
                return Err(format!("{key}: {id} says nothing of {}", property.attribute));
            }
            continue;
        };
        // an empty list of patterns expects nothing
        if property.text && value.as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        let value = property.read(value);
        let matcher = Matcher::parse(&value, property.text, work);
        let matcher = matcher.map_err(|e| format!("{key}: {id}: {}: {e}", property.attribute))?;
        expected.push((property.attribute, property.shown, Arc::new(matcher)));
    }
    let text = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
    let subject = text(kind.subject).filter(|subject| !subject.is_empty());
    Ok(Resource {
        kind,
        skip: skip || attributes.get("skip").and_then(Value::as_bool).unwrap_or_default(),
        title: text("title").unwrap_or_default(),
        meta: attributes.get("meta").cloned().unwrap_or_default(),
        id: match &subject {
            Some(subject) if *subject != id => format!("{id}: {subject}"),
            _ => id.clone(),
        },
        subject: subject.unwrap_or(id),
        expected,
        attributes,
    })
}

fn known(key: &str, id: &str, attributes: &Map<String, Value>, allowed: &[&str]) -> Result<(), String> {
    let all = || allowed.iter().copied().chain(COMMON);
    match attributes.keys().find(|name| !all().any(|known| known == name.as_str())) {
        None => Ok(()),
        Some(name) => Err(format!("{key}: {id}: {name} is not known{}", meant(name, all()))),
    }
}
