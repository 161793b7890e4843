//! What nodes become, as a file says it (spec 05 §15.2). Pure but for reading it.
//!
//! ```yaml
//! rules:
//!   - match: {facts.country: mt, identity: '^web'}
//!     configuration:
//!       plugin.choria.middleware_hosts: malta.example.net:4222
//!       plugin.yaml: '{{ssldir}}/../facts.yaml'
//!   - configuration: {}
//! ```
//!
//! The first rule that matches decides. What it sets is laid over the
//! [default](Defaults), so that a rule of one line is a working node; `null`
//! takes a setting of the default away. A node that no rule matches waits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::core::files::read_bounded;
use crate::core::text::documents;

/// Most bytes of the file.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// A template is not usable.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("template: {0}")]
    File(#[from] std::io::Error),
    /// It is not YAML or TOML, or holds something else than rules.
    #[error("template {}: {reason}", .file.display())]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A node lacks something the template uses.
    #[error("the template uses {0}, which this node does not have")]
    Lacks(String),
    /// A fact that would change the meaning of the line it is put into.
    #[error("the template uses {0}, which on this node holds a line end or another control character")]
    Odd(String),
}

/// What is laid under every rule, and what everybody gets without a template.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// Settings; may use placeholders.
    pub configuration: BTreeMap<String, String>,
    /// Policy files.
    pub action_policies: BTreeMap<String, String>,
    /// What `{{brokers}}` stands for.
    pub brokers: String,
}

/// A node, as templates see it.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// Its name.
    pub identity: &'a str,
    /// Directory on it that certificates go to.
    pub ssldir: &'a str,
    /// Its facts.
    pub facts: &'a Value,
}

/// What a template makes of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// This configuration and these policies.
    Configured(BTreeMap<String, String>, BTreeMap<String, String>),
    /// Not now, because of this.
    Deferred(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<FileRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    #[serde(default, rename = "match")]
    conditions: Map<String, Value>,
    #[serde(default)]
    configuration: Map<String, Value>,
    #[serde(default)]
    action_policies: Option<BTreeMap<String, String>>,
    #[serde(default)]
    defer: Option<String>,
}

/// Rules, checked.
#[derive(Debug, Clone)]
pub struct Template {
    rules: Vec<Rule>,
    brokers: String,
}

#[derive(Debug, Clone)]
struct Rule {
    conditions: Vec<Condition>,
    configuration: BTreeMap<String, Text>,
    action_policies: BTreeMap<String, Text>,
    defer: Option<String>,
}

/// Something of the node that has one of these values.
#[derive(Debug, Clone)]
struct Condition {
    what: Name,
    wanted: Vec<Wanted>,
}

#[derive(Debug, Clone)]
enum Wanted {
    Equal(String),
    Matching(Regex),
}

/// Something a template can speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Identity,
    Ssldir,
    Brokers,
    Fact(String),
}

/// A text with placeholders.
#[derive(Debug, Clone)]
struct Text(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Literal(String),
    Placeholder(Name),
}

impl Template {
    /// One rule for everybody: the default.
    ///
    /// # Errors
    /// A default that uses unknown placeholders.
    pub fn everybody(defaults: &Defaults) -> Result<Template, String> {
        Template::of(File { rules: vec![] }, defaults).and_then(|mut template| {
            template.rules.push(Rule::of(
                FileRule {
                    conditions: Map::new(),
                    configuration: Map::new(),
                    action_policies: None,
                    defer: None,
                },
                defaults,
            )?);
            Ok(template)
        })
    }

    /// Reads a file, TOML by its ending and else YAML or JSON.
    ///
    /// # Errors
    /// [`TemplateError`]: unknown keys, expressions and placeholders are found here.
    pub fn load(file: &Path, defaults: &Defaults) -> Result<Template, TemplateError> {
        let text = read_bounded(file, MAX_FILE)?;
        let malformed = |reason: String| TemplateError::Malformed { file: file.to_owned(), reason };
        let text = String::from_utf8(text).map_err(|e| malformed(e.to_string()))?;
        let read: File = if file.extension().is_some_and(|e| e == "toml") {
            documents::toml(&text).map_err(malformed)?
        } else {
            documents::yaml(&text).map_err(malformed)?
        };
        if read.rules.is_empty() {
            return Err(malformed("it has no rules, every node would wait for ever".into()));
        }
        Template::of(read, defaults).map_err(malformed)
    }

    fn of(file: File, defaults: &Defaults) -> Result<Template, String> {
        let rules = file.rules.into_iter().enumerate().map(|(place, rule)| {
            Rule::of(rule, defaults).map_err(|problem| format!("rule {}: {problem}", place + 1))
        });
        Ok(Template { rules: rules.collect::<Result<_, _>>()?, brokers: defaults.brokers.clone() })
    }

    /// What this node becomes.
    ///
    /// # Errors
    /// The node lacks a fact that its rule uses.
    pub fn make(&self, node: &Node<'_>) -> Result<Made, TemplateError> {
        let fits = |rule: &&Rule| rule.conditions.iter().all(|condition| condition.holds(node));
        let Some(rule) = self.rules.iter().find(fits) else {
            return Ok(Made::Deferred("no rule of the template matches it".into()));
        };
        if let Some(reason) = &rule.defer {
            return Ok(Made::Deferred(reason.clone()));
        }
        let fill = |texts: &BTreeMap<String, Text>| {
            let filled = texts.iter().map(|(key, text)| Ok((key.clone(), text.fill(node, &self.brokers)?)));
            filled.collect::<Result<BTreeMap<_, _>, TemplateError>>()
        };
        Ok(Made::Configured(fill(&rule.configuration)?, fill(&rule.action_policies)?))
    }
}

impl Rule {
    fn of(rule: FileRule, defaults: &Defaults) -> Result<Rule, String> {
        let conditions = rule.conditions.iter().map(|(what, value)| Condition::of(what, value));
        let conditions = conditions.collect::<Result<_, _>>()?;
        let mut configuration = defaults.configuration.clone();
        for (key, value) in rule.configuration {
            match value {
                Value::Null => {
                    configuration.remove(&key);
                }
                value => {
                    let text = scalar(&value)
                        .ok_or_else(|| format!("configuration {key} is neither text, number nor boolean"))?;
                    configuration.insert(key, text);
                }
            }
        }
        let policies = rule.action_policies.unwrap_or_else(|| defaults.action_policies.clone());
        Ok(Rule {
            conditions,
            configuration: texts(configuration)?,
            action_policies: texts(policies)?,
            defer: rule.defer,
        })
    }
}

fn texts(map: BTreeMap<String, String>) -> Result<BTreeMap<String, Text>, String> {
    let parse = |(key, text): (String, String)| {
        let parsed = Text::parse(&text).map_err(|problem| format!("{key}: {problem}"))?;
        Ok((key, parsed))
    };
    map.into_iter().map(parse).collect()
}

impl Condition {
    fn of(what: &str, value: &Value) -> Result<Condition, String> {
        let name = Name::parse(what).filter(|name| matches!(name, Name::Identity | Name::Fact(_)));
        let what = name.ok_or_else(|| format!("cannot match {what}, write identity or facts.NAME"))?;
        let values = match value {
            Value::Array(values) => values.iter().collect(),
            value => vec![value],
        };
        let wanted = values.into_iter().map(|value| {
            let text = scalar(value).ok_or("a condition is a text, number or boolean, or a list of them")?;
            // names are matched by expressions, facts by expressions between slashes
            let inner = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
            let expression = match (&what, inner) {
                (_, Some(inner)) => inner,
                (Name::Identity, None) => &text,
                _ => return Ok(Wanted::Equal(text)),
            };
            let compiled = Regex::new(expression);
            compiled.map(Wanted::Matching).map_err(|_| format!("{text:?} is no regular expression"))
        });
        Ok(Condition { what: what.clone(), wanted: wanted.collect::<Result<_, String>>()? })
    }

    fn holds(&self, node: &Node<'_>) -> bool {
        let value = match &self.what {
            Name::Identity => Some(node.identity.to_owned()),
            Name::Fact(path) => fact(node.facts, path).and_then(scalar),
            Name::Ssldir | Name::Brokers => None,
        };
        value.is_some_and(|value| {
            self.wanted.iter().any(|wanted| match wanted {
                Wanted::Equal(text) => *text == value,
                Wanted::Matching(regex) => regex.is_match(&value),
            })
        })
    }
}

impl Name {
    fn parse(text: &str) -> Option<Name> {
        match text {
            "identity" => Some(Name::Identity),
            "ssldir" => Some(Name::Ssldir),
            "brokers" => Some(Name::Brokers),
            _ => text
                .strip_prefix("facts.")
                .filter(|path| !path.is_empty())
                .map(|path| Name::Fact(path.to_owned())),
        }
    }
}

impl Text {
    fn parse(text: &str) -> Result<Text, String> {
        let mut pieces = vec![];
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("{{") {
            pieces.push(Piece::Literal(literal.to_owned()));
            let (name, after) = after.split_once("}}").ok_or("a {{ has no }}")?;
            let name = name.trim();
            let known = Name::parse(name).ok_or_else(|| {
                format!(
                    "there is no placeholder {{{{{name}}}}}, \
                     write identity, ssldir, brokers or facts.NAME between the braces"
                )
            })?;
            pieces.push(Piece::Placeholder(known));
            rest = after;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        Ok(Text(pieces))
    }

    fn fill(&self, node: &Node<'_>, brokers: &str) -> Result<String, TemplateError> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => filled.push_str(text),
                Piece::Placeholder(Name::Identity) => filled.push_str(node.identity),
                Piece::Placeholder(Name::Ssldir) => filled.push_str(node.ssldir),
                Piece::Placeholder(Name::Brokers) => filled.push_str(brokers),
                Piece::Placeholder(Name::Fact(path)) => {
                    let value = fact(node.facts, path).and_then(scalar);
                    let value = value.ok_or_else(|| TemplateError::Lacks(format!("fact {path}")))?;
                    // a node must not write lines of its own configuration or policies
                    if value.contains(char::is_control) {
                        return Err(TemplateError::Odd(format!("fact {path}")));
                    }
                    filled.push_str(&value);
                }
            }
        }
        Ok(filled)
    }
}

/// A fact by its whole name, else by the names on the way to it.
fn fact<'a>(facts: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(value) = facts.get(path) {
        return Some(value);
    }
    path.split('.').try_fold(facts, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        value => value.get(step),
    })
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
