//! A node's facts: read from its fact files, looked up by path (spec 02 §8.1).

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::{Budget, Exhausted, gjson};
use crate::core::files::read_bounded;
use crate::core::protocol::json::{Numbers, go_json, read_value};

mod yaml;

/// Reads the first document of a YAML text in the dialect of fact files; its size is bounded.
pub use yaml::read as read_yaml;

/// Largest fact or classes file that is read, in bytes.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// The merged facts of a node, as one JSON text. It is parsed at the first
/// look-up and kept for the next ones.
#[derive(Debug, Clone)]
pub struct Facts {
    json: String,
    parsed: OnceLock<Value>,
    broken: bool,
}

impl PartialEq for Facts {
    fn eq(&self, other: &Facts) -> bool {
        self.json == other.json
    }
}

/// Why a node has no facts, or not all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// A file that is there and cannot be used.
    #[error("fact file {file} is skipped: {reason}")]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is used, and is not quite what it should be.
    #[error("fact file {file} {oddity}")]
    Odd {
        /// The file.
        file: PathBuf,
        /// What is odd, and what was made of it.
        oddity: &'static str,
    },
    /// Not one fact in any file.
    #[error("no facts were found in {files}; name a JSON or YAML file in plugin.yaml")]
    None {
        /// The list as configured.
        files: String,
    },
    /// Nobody has named a file.
    #[error("there are no facts: plugin.yaml names no file")]
    Unnamed,
}

impl Default for Facts {
    fn default() -> Facts {
        Facts::from_json("{}".into())
    }
}

impl Facts {
    /// Facts that are one JSON object already.
    pub fn from_json(json: String) -> Facts {
        Facts { json, parsed: OnceLock::new(), broken: false }
    }

    /// Those of a node whose files could not be looked at yet: what is missing
    /// here may well be true of it.
    pub fn unknown() -> Facts {
        Facts { broken: true, ..Facts::default() }
    }

    /// Reads the files of `plugin.yaml`, a list as in `$PATH`. Later files win,
    /// key by key at the top level. Names ending in `yaml` are YAML, all
    /// others, also `.yml`, are JSON. Bytes that are no UTF-8 read as U+FFFD, and are told.
    ///
    /// Files that are missing or broken are skipped and named in the list that
    /// comes with the facts; no fact at all leaves `{}` and says so.
    pub fn load(files: &str) -> (Facts, Vec<FactsError>) {
        let mut merged = Map::new();
        let mut problems = Vec::new();
        for file in std::env::split_paths(files).filter(|f| !f.as_os_str().is_empty()) {
            match load_file(&file) {
                Ok((facts, oddities)) => {
                    merged.extend(facts);
                    problems.extend(
                        oddities.into_iter().map(|oddity| FactsError::Odd { file: file.clone(), oddity }),
                    );
                }
                Err(reason) => problems.push(FactsError::File { file, reason }),
            }
        }
        let broken = problems.iter().any(|p| matches!(p, FactsError::File { file, .. } if file.exists()));
        if merged.is_empty() {
            problems.push(match files.trim_matches(':').is_empty() {
                true => FactsError::Unnamed,
                false => FactsError::None { files: files.into() },
            });
        }
        let mut merged = Value::Object(merged);
        merged.sort_all_objects();
        (Facts { broken, ..Facts::from_json(go_json(&merged)) }, problems)
    }

    /// Whether a fact file is there and could not be read: then what is missing
    /// here may well be true of the node.
    pub fn are_broken(&self) -> bool {
        self.broken
    }

    fn parsed(&self) -> &Value {
        self.parsed.get_or_init(|| read_value(self.json.as_bytes(), Numbers::Exact).unwrap_or_default())
    }

    /// Parses the text, if nobody has yet. What that costs is the node's own
    /// doing, and is not a request's to pay: whoever judges one within a time
    /// does this before.
    pub fn prepare(&self) {
        self.parsed();
    }

    /// The fact at a gjson path, or nothing if there is none.
    pub fn get(&self, path: &str) -> Option<Value> {
        gjson::lookup_value(self.parsed(), path)
    }

    /// The same for a path of a request, which pays for it.
    pub(super) fn find(&self, path: &str, budget: &Budget) -> Result<Option<Cow<'_, Value>>, Exhausted> {
        gjson::find(self.parsed(), path, budget)
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.json
    }

    /// All facts as a value; an empty object if the text is not one.
    pub fn to_value(&self) -> Value {
        match self.parsed() {
            value @ Value::Object(_) => value.clone(),
            _ => Value::Object(Map::new()),
        }
    }
}

/// The facts of a file, and what is odd about it.
type Read = (Map<String, Value>, Vec<&'static str>);

const NOT_UTF8: &str = "has bytes that are not UTF-8: each is read as U+FFFD, filters on such values will not match; save it as UTF-8";
const YAML_BY_CONTENT: &str = "it is YAML by its content and JSON by its name, here and in the original: give it a name that ends in .yaml";

fn load_file(file: &Path) -> Result<Read, String> {
    let content = read_bounded(file, FILE_LIMIT).map_err(|e| e.to_string())?;
    let mut oddities = vec![];
    let text = String::from_utf8_lossy(&content);
    if matches!(text, Cow::Owned(_)) {
        oddities.push(NOT_UTF8);
    }
    let value = if file.as_os_str().as_encoded_bytes().ends_with(b"yaml") {
        yaml::read(&text)?
    } else {
        match read_value(&content, Numbers::Doubles) {
            Ok(value) => value,
            Err(e) => {
                // Broken JSON is broken; what does not begin like it may be the other. It is
                // not read as that: nodes of the original would not match where this one does.
                let other = !text.trim_start().starts_with(['{', '[']);
                let yaml = other && matches!(yaml::read(&text), Ok(Value::Object(_)));
                return Err(if yaml { YAML_BY_CONTENT.into() } else { format!("it is no JSON: {e}") });
            }
        }
    };
    match value {
        Value::Object(facts) => Ok((facts, oddities)),
        Value::Null => Ok((Map::new(), oddities)),
        _ => Err("it holds no object".into()),
    }
}

/// Reads a classes file: one class a line, exactly as it stands there, sorted.
/// A file that cannot be read holds no classes.
pub fn load_classes(path: impl AsRef<Path>) -> Vec<String> {
    let Ok(content) = read_bounded(path.as_ref(), FILE_LIMIT) else { return Vec::new() };
    let text = String::from_utf8_lossy(&content);
    let mut classes: Vec<String> = text.lines().map(str::to_owned).collect();
    classes.sort();
    classes
}
