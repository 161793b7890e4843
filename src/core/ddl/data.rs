//! Interfaces of data plugins (spec 02 §8.3).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::agent::{Action, DdlError, Input, MAX_DDL, Metadata, Output};
use super::input::InputError;

/// Seconds a data plugin may take where its interface says nothing, and the most it may say.
const TIMEOUT: u64 = 10;

/// What a data plugin is asked, and what it tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataDdl {
    /// Who it is.
    pub metadata: Metadata,
    /// What it is asked; nothing where it takes no question.
    #[serde(default)]
    pub query: Option<Input>,
    /// What it tells, by name.
    #[serde(default, deserialize_with = "super::agent::null_default")]
    pub output: BTreeMap<String, Output>,
}

impl DataDdl {
    /// Reads an interface.
    ///
    /// # Errors
    /// [`DdlError`]
    pub fn parse(json: &[u8]) -> Result<DataDdl, DdlError> {
        if json.len() > MAX_DDL {
            return Err(DdlError::TooLarge(json.len()));
        }
        let ddl: DataDdl = serde_json::from_slice(json).map_err(|e| DdlError::Invalid(e.to_string()))?;
        match ddl.metadata.name.is_empty() {
            true => Err(DdlError::NoName),
            false => Ok(ddl),
        }
    }

    /// Seconds an answer may take.
    pub fn timeout(&self) -> u64 {
        if self.metadata.timeout == 0 { TIMEOUT } else { self.metadata.timeout.min(TIMEOUT) }
    }

    /// Whether a question may be asked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self, query: Option<&str>) -> Result<(), InputError> {
        let asked = query.map(|query| ("query".to_owned(), Value::from(query)));
        let data: Map<String, Value> = asked.into_iter().collect();
        let input = self.query.clone().map(|query| ("query".to_owned(), query));
        let action = Action {
            action: self.metadata.name.clone(),
            input: input.into_iter().collect(),
            open_inputs: false,
            output: BTreeMap::new(),
            display: Default::default(),
            description: String::new(),
            aggregate: vec![],
        };
        action.validate(&data).map(drop)
    }

    /// What counts of an answer: what is declared, and defaults of what is not there.
    pub fn outputs(&self, mut answer: Map<String, Value>) -> Map<String, Value> {
        let of = |(name, output): (&String, &Output)| {
            let default = || output.default.clone().filter(|default| !default.is_null());
            Some((name.clone(), answer.remove(name).or_else(default)?))
        };
        self.output.iter().filter_map(of).collect()
    }
}

/// The interfaces of the data plugins that are compiled in, sorted by name.
pub fn builtin_data() -> &'static [DataDdl] {
    static BUILTINS: LazyLock<Vec<DataDdl>> = LazyLock::new(|| {
        // A broken file of ours leaves it empty and is found by the test below.
        serde_json::from_slice(include_bytes!("builtin/data_plugins.json")).unwrap_or_default()
    });
    &BUILTINS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<DataDdl, DdlError> {
        DataDdl::parse(value.to_string().as_bytes())
    }

    #[test]
    fn ours_are_described() {
        let names: Vec<&str> = builtin_data().iter().map(|ddl| ddl.metadata.name.as_str()).collect();
        assert_eq!(names, ["bolt_task", "choria", "config_item", "machine_state", "scout"]);
        assert!(builtin_data().iter().all(|ddl| !ddl.output.is_empty()));
    }

    #[test]
    fn questions_and_answers_are_held_to_it() {
        assert!(
            parse(json!({"metadata": {"name": "x"}, "output": {"left": null}})).is_err(),
            "an output is an object"
        );
        let ddl = parse(json!({
            "metadata": {"name": "cert", "timeout": 600},
            "query": {"prompt": "File", "type": "string", "validation": "^/[a-z/]+$", "maxlength": 10},
            "output": {"days": {"type": "integer", "default": -1}, "issuer": {}},
        }))
        .unwrap();
        assert_eq!(ddl.timeout(), 10);
        assert_eq!(ddl.validate(Some("/etc/x")), Ok(()));
        for bad in [None, Some("/etc/../x"), Some("/etc/toolong"), Some("")] {
            assert!(ddl.validate(bad).is_err(), "{bad:?}");
        }
        let Value::Object(answer) = json!({"issuer": "me", "more": 1}) else { unreachable!() };
        assert_eq!(Value::Object(ddl.outputs(answer)), json!({"days": -1, "issuer": "me"}));
        let without = parse(json!({"metadata": {"name": "x"}, "query": null, "output": null})).unwrap();
        assert!(without.validate(None).is_ok() && without.validate(Some("x")).is_err());
        assert!(matches!(parse(json!({"metadata": {}})), Err(DdlError::NoName)));
    }
}
