//! What is known of a task: its metadata as servers tell it, and as it stands beside it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::FileRecord;

/// A task of a listing. Older servers tell the name alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Whether it is for other tasks, not for people.
    #[serde(default)]
    pub private: bool,
    /// What it does; where the server tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Environments it is in.
    #[serde(default)]
    pub environment: Value,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its name, as the server has it.
    #[serde(default)]
    pub name: String,
    /// What it says of itself.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: Metadata,
    /// Its files, the one that is run first.
    #[serde(default, deserialize_with = "or_default")]
    pub files: Vec<FileRecord>,
}

/// What a task says of itself (task specification 1, revision 6); what is not read stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it wants its inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_method: Option<String>,
    /// Its inputs by name; nothing where it takes anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
    /// Whether it is for other tasks, not for people.
    #[serde(default, deserialize_with = "or_default")]
    pub private: bool,
    /// Further files: `module/mount/path`, a directory with `/` at its end.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Programs for one system or another, the first that a node can run counts.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub implementations: Vec<Implementation>,
    /// All else.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// One program of a task that has several.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Implementation {
    /// Its file in `tasks`.
    pub name: String,
    /// What a node has to have: `shell`, `powershell`, `puppet-agent`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// Further files of it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// How it wants its inputs, if another way than the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_method: Option<String>,
    /// All else.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// `null` is nothing.
fn or_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(input).map(Option::unwrap_or_default)
}

impl Metadata {
    /// What is said of a parameter.
    fn of(&self, name: &str, member: &str) -> Option<&Value> {
        self.parameters.as_ref()?.get(name)?.get(member)
    }

    /// The type of a parameter, as text; anything where none is said.
    pub fn type_of(&self, name: &str) -> &str {
        self.of(name, "type").and_then(Value::as_str).unwrap_or("Any")
    }

    /// What a parameter is for.
    pub fn about(&self, name: &str) -> &str {
        self.of(name, "description").and_then(Value::as_str).unwrap_or_default()
    }

    /// What counts where it is not given.
    pub fn default_of(&self, name: &str) -> Option<&Value> {
        self.of(name, "default")
    }

    /// How it wants its inputs. Which of several programs runs is up to a node: where they want
    /// them in different ways, each is given all.
    pub fn method(&self) -> Option<&str> {
        let own = self.input_method.as_deref();
        let nodes_run = self.implementations.iter().filter(|one| !one.name.ends_with(".ps1"));
        let mut methods: Vec<_> = nodes_run.map(|one| one.input_method.as_deref().or(own)).collect();
        methods.dedup();
        match methods[..] {
            [] => own,
            [method] => method,
            _ => None,
        }
    }

    /// Parameters whose values nobody may see, sorted.
    pub fn secrets(&self) -> Vec<String> {
        let all = self.parameters.iter().flatten();
        let of_kind = |value: &Value| {
            value.get("type").and_then(Value::as_str).unwrap_or_default().contains("Sensitive")
        };
        let secret =
            |value: &Value| value.get("sensitive").and_then(Value::as_bool) == Some(true) || of_kind(value);
        let mut names: Vec<String> =
            all.filter(|(_, value)| secret(value)).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Inputs with the defaults of those that were not given.
    pub fn filled(&self, mut input: Map<String, Value>) -> Map<String, Value> {
        for name in self.parameters.iter().flatten().map(|(name, _)| name) {
            if let Some(default) = self.default_of(name).filter(|_| !input.contains_key(name)) {
                input.insert(name.clone(), default.clone());
            }
        }
        input
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn programs_of_one_task_may_differ() {
        for (text, method) in [
            (json!({}), None),
            (json!({"input_method": "stdin"}), Some("stdin")),
            (
                json!({"input_method": "stdin", "implementations": [{"name": "a.rb"}, {"name": "a.ps1", "input_method": "powershell"}]}),
                Some("stdin"),
            ),
            (
                json!({"input_method": "stdin", "implementations": [{"name": "a.rb"}, {"name": "a.sh", "input_method": "environment"}]}),
                None,
            ),
            (
                json!({"implementations": [{"name": "a.sh", "input_method": "environment"}]}),
                Some("environment"),
            ),
        ] {
            let about: Metadata = serde_json::from_value(text).unwrap();
            assert_eq!(about.method(), method);
        }
    }

    #[test]
    fn as_servers_have_it() {
        let text = json!({"name": "demo", "metadata": {"description": "Does it", "supports_noop": false,
            "parameters": {"a": {"type": "String", "sensitive": true}, "b": {"default": 5}}, "files": null}, "files": []});
        let task: Task = serde_json::from_value(text).unwrap();
        let about = &task.metadata;
        assert_eq!((about.type_of("a"), about.type_of("b"), about.type_of("zz")), ("String", "Any", "Any"));
        assert_eq!((about.secrets(), about.default_of("b")), (vec!["a".to_owned()], Some(&json!(5))));
        assert_eq!(Value::Object(about.filled(Map::new())), json!({"b": 5}));
        assert_eq!(about.others["supports_noop"], false);
        for bare in
            [json!({}), json!({"name": "x", "metadata": null, "files": null}), json!({"metadata": {}})]
        {
            let task: Task = serde_json::from_value(bare).unwrap();
            assert!(task.files.is_empty() && task.metadata.parameters.is_none());
        }
        let listed: Vec<Listed> = serde_json::from_value(json!([{"name": "x"}])).unwrap();
        assert!(!listed[0].private && listed[0].description.is_none());
    }
}
