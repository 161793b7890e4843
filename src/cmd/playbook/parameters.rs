//! Words of a person to arguments of a plan, by the types that it asks for.

use anyhow::{Context as _, anyhow, bail};
use choria::core::files::read_bounded;
use choria::core::puppet::{Budget, IndexMap, Signature, Value};
use choria::core::tasks::parameters::{apart, converted};
use choria::core::text::documents;
use serde_json::{Map, Value as Json};

/// Largest file of inputs.
const MOST: u64 = 16 << 20;

/// What a report has in place of a secret.
const HIDDEN: &str = "Sensitive [value redacted]";

/// What was given: `name=value` words, and a document.
pub struct Given {
    pub words: Vec<(String, String)>,
    pub input: Map<String, Json>,
    /// What an earlier run was given that this one goes on from.
    before: Option<Map<String, Json>>,
}

/// Whether there is a secret in what a report has of a parameter.
fn is_hidden(value: &Json) -> bool {
    match value {
        Json::String(text) => text == HIDDEN,
        Json::Array(items) => items.iter().any(is_hidden),
        Json::Object(entries) => entries.values().any(is_hidden),
        _ => false,
    }
}

impl Given {
    /// Words beside the name of the plan, and `--input`.
    pub fn new(words: &[String], input: Option<&str>) -> anyhow::Result<Given> {
        let mut pairs = vec![];
        for word in words {
            let (name, value) = word.split_once('=').with_context(|| {
                format!("cannot use '{word}': parameters are --name VALUE, or name=value behind the plan")
            })?;
            // flags come as one word
            let name = name.strip_prefix("--").unwrap_or(name);
            pairs.push((name.to_lowercase(), value.to_owned()));
        }
        let input = input.map(document).transpose()?.unwrap_or_default();
        Ok(Given { words: pairs, input, before: None })
    }

    /// Takes the inputs of an earlier run. Secrets are not in them and have to be given again,
    /// the rest cannot be, nor what that run was not given: a plan would do half of one thing and half
    /// of another.
    pub fn complete(&mut self, before: Option<&Json>) -> anyhow::Result<()> {
        let before = before.and_then(Json::as_object).cloned().unwrap_or_default();
        let known = |word: &str| before.keys().any(|name| word.replace('-', "_") == name.to_lowercase());
        let words = self.words.iter().map(|(name, _)| name).filter(|name| !known(name));
        if let Some(name) = words.chain(self.input.keys().filter(|name| !before.contains_key(*name))).next() {
            bail!("--resume takes parameters from the report, and that run was not given {name}");
        }
        for (name, value) in &before {
            let given = self.words.iter().any(|(word, _)| word.replace('-', "_") == name.to_lowercase());
            let secret = is_hidden(value);
            match given || self.input.contains_key(name) {
                true if !secret => {
                    bail!("--resume takes {name} from the report, and it cannot be given again")
                }
                true => {}
                false if value.is_string() && secret => bail!(
                    "{name} of that run was a secret and is not in its report: give it again, --{name} VALUE"
                ),
                false if secret => bail!(
                    "{name} of that run has secrets, which are not in its report: give it again, --{name} VALUE"
                ),
                false => drop(self.input.insert(name.clone(), value.clone())),
            }
        }
        self.before = Some(before);
        Ok(())
    }

    /// Arguments for a plan. What cannot be of the type is handed on as text: the plan says
    /// what is wrong with it. The document wins over words, as it always did.
    pub fn arguments(
        &self,
        signature: &Signature,
        budget: &Budget,
    ) -> Result<IndexMap<Value, Value>, String> {
        let mut arguments = IndexMap::new();
        let wrong = |e: &dyn std::fmt::Display| e.to_string();
        let text = |text: &str| Value::string(text, budget).map_err(|e| wrong(&e));
        // a flag may have a hyphen where the parameter has another sign
        let meant = |name: &str| {
            signature.parameters.iter().find(|p| p.name.to_lowercase() == name.replace('-', "_"))
        };
        let given = apart(self.words.clone(), |name| meant(name).map(|p| &p.of));
        for (name, _) in &given {
            let parameter = meant(name);
            let (real, of) = parameter.map_or((name.as_str(), None), |p| (p.name.as_str(), Some(&p.of)));
            let key = text(real)?;
            // all words that mean it were taken with the first
            if arguments.contains_key(&key) {
                continue;
            }
            let words: Vec<&str> = given
                .iter()
                .filter(|(other, _)| other.replace('-', "_") == name.replace('-', "_"))
                .map(|(_, value)| value.as_str())
                .collect();
            let value = match of {
                Some(of) => converted(of, &words, budget)?.concealed(of, budget).map_err(|e| wrong(&e))?,
                None => text(words.last().copied().unwrap_or_default())?,
            };
            arguments.insert(key, value);
        }
        for (name, value) in &self.input {
            let parameter = signature.parameters.iter().find(|p| p.name == *name);
            let value = Value::from_json(value, budget).map_err(|e| wrong(&e))?;
            let value = match parameter {
                Some(parameter) => value.concealed(&parameter.of, budget).map_err(|e| wrong(&e))?,
                None => value,
            };
            arguments.insert(text(name)?, value);
        }
        for (name, before) in self.before.iter().flatten() {
            let now = arguments.get(&text(name)?).map(Value::to_json);
            if now.is_some_and(|now| now != *before) {
                return Err(format!(
                    "--resume takes {name} from the report, but for its secrets: the rest of it is not what it was"
                ));
            }
        }
        Ok(arguments)
    }
}

/// `--input`: JSON, or `@FILE` with JSON or YAML.
pub fn document(input: &str) -> anyhow::Result<Map<String, Json>> {
    let json: Json = match input.strip_prefix('@') {
        None => serde_json::from_str(input).context("--input is not JSON; name a file as @FILE")?,
        Some(file) => {
            let bytes =
                read_bounded(std::path::Path::new(file), MOST).with_context(|| format!("--input {file}"))?;
            let text = String::from_utf8(bytes).with_context(|| format!("--input {file} is not UTF-8"))?;
            match file.ends_with(".json") {
                true => serde_json::from_str(&text).with_context(|| format!("--input {file} is not JSON"))?,
                false => documents::yaml(&text).map_err(|e| anyhow!("--input {file} is not YAML: {e}"))?,
            }
        }
    };
    match json {
        Json::Object(map) => Ok(map),
        _ => bail!("--input is an object of parameters and their values"),
    }
}
