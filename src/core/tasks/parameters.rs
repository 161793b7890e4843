//! Inputs of tasks and plans, as people give them and as their types have it (spec 07 §A6.2).

use serde_json::{Map, Value as Json};

use super::metadata::Metadata;
use crate::core::puppet::types::{Aliases, Declared, Kind, Type, mismatches, parse};
use crate::core::puppet::{Budget, IndexMap, Value};

/// Bytes that inputs of one run may cost.
const MEMORY: usize = 64 << 20;

/// Parameters of a task with their types.
pub struct Parameters {
    /// Name, type, and whether there is a default; nothing where the task takes anything.
    types: Option<Vec<(String, Type, bool)>>,
    /// What names in them stand for: it is kept here.
    _aliases: Aliases,
    /// Names and types of those whose values are told nowhere.
    secrets: Vec<(String, String)>,
    /// Names of types that are not known here: their values are not looked at.
    pub unknown: Vec<String>,
}

impl Parameters {
    /// Of the metadata of a task.
    ///
    /// # Errors
    /// A type that is none, as a sentence.
    pub fn new(metadata: &Metadata) -> Result<Parameters, String> {
        let Some(parameters) = &metadata.parameters else {
            return Ok(Parameters {
                types: None,
                _aliases: Aliases::default(),
                secrets: vec![],
                unknown: vec![],
            });
        };
        let (mut aliases, mut types, mut unknown) = (Aliases::default(), vec![], vec![]);
        for (name, _) in parameters {
            let (of, strange) = parse(metadata.type_of(name), &mut aliases).map_err(|e| {
                format!("the parameter {name} of the task has no type that is understood: {e}")
            })?;
            unknown.extend(strange);
            types.push((name.clone(), of, metadata.default_of(name).is_some()));
        }
        unknown.sort();
        unknown.dedup();
        let secrets = metadata.secrets().into_iter();
        let secrets = secrets.map(|name| (name.clone(), metadata.type_of(&name).to_owned())).collect();
        Ok(Parameters { types: Some(types), _aliases: aliases, secrets, unknown })
    }

    /// Name and type of the parameter that a flag means: case does not count, nor what kind of
    /// dash.
    fn meant(&self, flag: &str) -> Option<&(String, Type, bool)> {
        let flag = flag.to_lowercase();
        let same = |name: &str| name.to_lowercase() == flag || name.to_lowercase() == flag.replace('-', "_");
        self.types.iter().flatten().find(|(name, ..)| same(name))
    }

    /// Whether the task says what it takes.
    pub fn declared(&self) -> bool {
        self.types.is_some()
    }

    /// Whether there is a parameter that a flag means.
    pub fn has(&self, flag: &str) -> bool {
        self.meant(flag).is_some()
    }

    /// The words, where a Boolean flag has taken the one behind it for its value.
    pub fn apart(&self, words: Vec<(String, String)>) -> Vec<(String, String)> {
        apart(words, |flag| self.meant(flag).map(|(_, of, _)| of))
    }

    /// The inputs that words such as `name=value` stand for; several of one name are a list
    /// where the type is one.
    ///
    /// # Errors
    /// They are larger than inputs may be.
    pub fn of_words(&self, words: &[(String, String)]) -> Result<Map<String, Json>, String> {
        let budget = Budget::new(MEMORY);
        let mut inputs = Map::new();
        // of two spellings both are meant
        let name_of = |flag: &str| self.meant(flag).map_or(flag, |(name, ..)| name).to_owned();
        for (flag, _) in words {
            let meant = self.meant(flag);
            let name = name_of(flag);
            if inputs.contains_key(&name) {
                continue;
            }
            let same = words.iter().filter(|(other, _)| name_of(other) == name);
            let given: Vec<&str> = same.map(|(_, value)| value.as_str()).collect();
            let of = meant.map_or_else(Type::any, |(_, of, _)| revealed(of));
            inputs.insert(name, converted(&of, &given, &budget)?.to_json());
        }
        Ok(inputs)
    }

    /// What is wrong with inputs, a sentence each.
    ///
    /// # Errors
    /// They are larger than inputs may be.
    pub fn mistakes(&self, inputs: &Map<String, Json>) -> Result<Vec<String>, String> {
        let Some(types) = &self.types else { return Ok(vec![]) };
        let declared: Vec<_> =
            types.iter().map(|(name, of, optional)| Declared { name, of, optional: *optional }).collect();
        let budget = Budget::new(MEMORY);
        let mut given = IndexMap::new();
        for (name, value) in inputs.iter().filter(|(name, _)| !name.starts_with('_')) {
            let key = Value::string(name.as_str(), &budget).map_err(|e| e.to_string())?;
            let mut value = Value::from_json(value, &budget).map_err(|e| e.to_string())?;
            let of = types.iter().find(|(known, ..)| known == name).map(|(_, of, _)| of);
            if of.is_some_and(|of| matches!(of.kind(), Kind::Sensitive(_))) {
                value = Value::sensitive(value).map_err(|e| e.to_string())?;
            }
            given.insert(key, value);
        }
        let mut mistakes: Vec<String> =
            mismatches(&declared, &given).into_iter().map(|mistake| self.veiled(mistake)).collect();
        mistakes.dedup();
        Ok(mistakes)
    }
}

impl Parameters {
    /// What is wrong with a secret, without what it is.
    fn veiled(&self, mistake: String) -> String {
        let about = |name: &str| mistake.strip_prefix(&format!("parameter '{name}'")).is_some();
        match self.secrets.iter().find(|(name, _)| about(name)) {
            Some((name, of)) => {
                format!(
                    "parameter '{name}' expects a value of type {of}, and what it is given, a secret, is none"
                )
            }
            None => mistake,
        }
    }
}

/// The words of flags, where one that is Boolean has taken the word behind it for its value: in `--quick count=3` there
/// are two.
pub fn apart<'t>(
    words: Vec<(String, String)>,
    of: impl Fn(&str) -> Option<&'t Type>,
) -> Vec<(String, String)> {
    let mut all = vec![];
    for (flag, value) in words {
        match value.split_once('=').filter(|_| of(&flag).is_some_and(is_boolean)) {
            Some((other, rest)) => {
                all.push((flag, "true".to_owned()));
                all.push((other.to_owned(), rest.to_owned()));
            }
            None => all.push((flag, value)),
        }
    }
    all
}

fn is_boolean(of: &Type) -> bool {
    let of = of.resolved().unwrap_or_else(|| of.clone());
    match of.kind() {
        Kind::Boolean(_) => true,
        Kind::Optional(inner) | Kind::NotUndef(Some(inner)) | Kind::Sensitive(Some(inner)) => {
            is_boolean(inner)
        }
        _ => false,
    }
}

/// What a secret is a secret of: a task is given the value itself.
fn revealed(of: &Type) -> Type {
    match of.kind() {
        Kind::Sensitive(Some(inner)) => revealed(inner),
        Kind::Sensitive(None) => Type::any(),
        _ => of.clone(),
    }
}

/// The value that the words of one flag stand for.
///
/// # Errors
/// It is more than a run may hold.
pub fn converted(of: &Type, words: &[&str], budget: &Budget) -> Result<Value, String> {
    let last = words.last().copied().unwrap_or_default();
    let of = of.resolved().unwrap_or_else(|| of.clone());
    let wrong = |e: crate::core::puppet::budget::Exhausted| e.to_string();
    let text = || Value::string(last, budget).map_err(wrong);
    let json = |text: &str| {
        let json: Option<Json> = serde_json::from_str(text).ok();
        json.map(|json| Value::from_json(&json, budget).map_err(wrong)).transpose()
    };
    match of.kind() {
        Kind::Integer(_) | Kind::Float(..) | Kind::Numeric | Kind::Boolean(_) => {
            let word = match (of.kind(), last) {
                (Kind::Boolean(_), "yes" | "y" | "1") => "true",
                (Kind::Boolean(_), "no" | "n" | "0") => "false",
                (_, word) => word,
            };
            let value = match (of.kind(), word.parse::<i64>()) {
                (Kind::Float(..), Ok(n)) => json(&format!("{n}.0"))?,
                _ => json(word)?,
            };
            // whether it is within bounds is the plan's to say
            let fits = |value: &Value| match of.kind() {
                Kind::Integer(_) => matches!(value, Value::Integer(_)),
                Kind::Boolean(_) => matches!(value, Value::Boolean(_)),
                _ => matches!(value, Value::Integer(_) | Value::Float(_)),
            };
            value.filter(fits).map_or_else(text, Ok)
        }
        Kind::Optional(inner) | Kind::NotUndef(Some(inner)) => converted(inner, words, budget),
        Kind::Sensitive(inner) => {
            let value = match inner {
                Some(inner) => converted(inner, words, budget)?,
                None => text()?,
            };
            Value::sensitive(value).map_err(wrong)
        }
        Kind::Array(item, _) => {
            // one list in JSON, or an item a flag
            if let ([one], Some(value @ Value::Array(_))) = (words, json(last)?)
                && one.trim_start().starts_with('[')
            {
                return Ok(value);
            }
            let items: Result<Vec<_>, _> =
                words.iter().map(|word| converted(item, &[word], budget)).collect();
            Value::array(items?, budget).map_err(wrong)
        }
        Kind::Variant(types) => {
            for of in types {
                let value = converted(of, words, budget)?;
                if of.takes(&value) {
                    return Ok(value);
                }
            }
            text()
        }
        Kind::String(_) | Kind::Enum(..) | Kind::Pattern(_) => text(),
        Kind::Any | Kind::Scalar | Kind::ScalarData => match last.starts_with(['{', '[']) {
            true => json(last)?.map_or_else(text, Ok),
            false => text(),
        },
        _ => json(last)?.map_or_else(text, Ok),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::puppet::types::{Aliases, parse};

    #[test]
    fn words_become_what_the_type_asks_for() {
        let budget = Budget::new(1 << 20);
        let mut aliases = Aliases::default();
        for (of, words, json) in [
            ("Integer", &["5"][..], "5"),
            ("Integer", &["x"], "\"x\""),
            ("Integer[1]", &["0"], "0"),
            ("Float", &["5"], "5.0"),
            ("Boolean", &["yes"], "true"),
            ("Optional[Integer]", &["7"], "7"),
            ("String", &["7"], "\"7\""),
            ("Enum[a, b]", &["a"], "\"a\""),
            ("Array[String]", &["a", "b"], "[\"a\",\"b\"]"),
            ("Array[Integer]", &["1", "2"], "[1,2]"),
            ("Array[Integer]", &["[1,2]"], "[1,2]"),
            ("Choria::Nodes", &["n1"], "[\"n1\"]"),
            ("Hash[String, Integer]", &["{\"a\":1}"], "{\"a\":1}"),
            ("Variant[Integer, String]", &["x"], "\"x\""),
            ("Variant[Integer, String]", &["3"], "3"),
            ("Any", &["text"], "\"text\""),
            ("Optional[Variant[Array[String], String]]", &["x"], "[\"x\"]"),
        ] {
            let (of, _) = parse(of, &mut aliases).unwrap();
            let value = converted(&of, words, &budget).unwrap();
            assert_eq!(value.to_json().to_string(), json, "{of} {words:?}");
        }
        let (of, _) = parse("Sensitive[String]", &mut aliases).unwrap();
        let secret = converted(&of, &["s"], &budget).unwrap();
        assert!(of.takes(&secret) && secret.to_string().contains("redacted"));
    }

    /// What the original takes a flag of a type for. It reads the type's text for words: a hash of numbers is no number.
    #[test]
    fn flags_are_of_the_kinds_that_they_always_were() {
        let vectors = include_str!("../../../tests/vectors/tasks-playbooks.json");
        let vectors: Json = serde_json::from_str(vectors).unwrap();
        let (budget, mut aliases) = (Budget::new(1 << 20), Aliases::default());
        let cases = vectors["cli_types"].as_array().unwrap();
        for case in cases {
            let name = case["type"].as_str().unwrap();
            let (of, _) = parse(name, &mut aliases).unwrap();
            let word = match case["kind"].as_str().unwrap() {
                _ if name.starts_with("Hash") => "{\"a\":1}",
                "json" => "{\"a\":1}",
                "number" => "2",
                "boolean" => "true",
                _ if name.starts_with("Enum") => "b",
                _ => "x2",
            };
            let many = case["repeatable"] == true;
            let words = if many { vec![word, word] } else { vec![word] };
            let value = converted(&of, &words, &budget).unwrap();
            assert!(of.takes(&value), "{name}: {value}");
            let json = value.to_json();
            let one = if many { json[1].clone() } else { json.clone() };
            let is_right = match word {
                "2" => one.is_number(),
                "true" => one == Json::Bool(true),
                "b" | "x2" => one == word,
                _ => one.is_object(),
            };
            assert!(is_right && json.is_array() == many, "{name}: {json}");
            assert_eq!(of.takes(&Value::Undef), case["required"] == false, "{name}");
        }
        assert_eq!(cases.len(), 13);
    }

    /// The original's verdicts, but for those that are its faults (spec 07 §A1, A6.2).
    #[test]
    fn inputs_are_what_the_types_ask_for() {
        let vectors = include_str!("../../../tests/vectors/tasks-playbooks.json");
        let vectors: Json = serde_json::from_str(vectors).unwrap();
        for case in vectors["input_validation"].as_array().unwrap() {
            let metadata: Metadata =
                serde_json::from_value(serde_json::json!({"parameters": case["parameters"]})).unwrap();
            let parameters = Parameters::new(&metadata).unwrap();
            let mistakes = parameters.mistakes(case["input"].as_object().unwrap()).unwrap();
            // a type that is not known and one that is not said are anything, and a default counts
            let reason = case["reason"].as_str().unwrap();
            let all = || case["parameters"].as_object().into_iter().flatten();
            let strange = reason.contains("unresolved type")
                || case["keep"] == false
                || all().any(|(_, parameter)| parameter["default"].is_string());
            if strange {
                assert_eq!(mistakes, Vec::<String>::new(), "{case}");
                continue;
            }
            assert_eq!(mistakes.is_empty(), case["ok"] == true, "{case} {mistakes:?}");
            let told = mistakes.join("\n ");
            assert!(
                mistakes.is_empty() || told.contains(reason.lines().next().unwrap().trim()),
                "{case} {told}"
            );
        }
    }

    #[test]
    fn secrets_are_in_no_mistake() {
        let metadata = serde_json::json!({"parameters": {
            "mode": {"type": "Enum[a, b]", "sensitive": true}, "pins": {"type": "Array[Integer]", "sensitive": true},
            "other": {"type": "Integer"}}});
        let parameters = Parameters::new(&serde_json::from_value(metadata).unwrap()).unwrap();
        let input = serde_json::json!({"mode": "hunter2", "pins": ["hunter2", "hunter3"], "other": "x"});
        let mistakes = parameters.mistakes(input.as_object().unwrap()).unwrap();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert!(mistakes.iter().all(|mistake| !mistake.contains("hunter")), "{mistakes:?}");
        assert!(
            mistakes[0].starts_with("parameter 'mode' expects a value of type Enum[a, b]"),
            "{mistakes:?}"
        );
        assert!(mistakes[2].contains("got String"), "{mistakes:?}");
    }

    #[test]
    fn flags_are_inputs_by_the_type_of_their_parameter() {
        let metadata = serde_json::json!({"parameters": {"Name": {"type": "String"}, "how_many": {"type": "Integer"},
            "list": {"type": "Optional[Array[String]]"}, "key": {"type": "Sensitive[String]"}, "map": {"type": "Hash[String, Integer]"}}});
        let parameters = Parameters::new(&serde_json::from_value(metadata).unwrap()).unwrap();
        let words = [
            ("name", "7"),
            ("how-many", "7"),
            ("list", "a"),
            ("List", "b"),
            ("how_many", "8"),
            ("key", "s"),
            ("map", "{\"a\":1}"),
            ("zz", "x"),
        ];
        let words = words.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let inputs = parameters.of_words(&words).unwrap();
        assert_eq!(
            Json::Object(inputs.clone()),
            serde_json::json!({"Name": "7", "how_many": 8, "list": ["a", "b"], "key": "s", "map": {"a": 1}, "zz": "x"})
        );
        assert_eq!(parameters.mistakes(&inputs).unwrap(), ["has no parameter named 'zz'"]);
    }

    #[test]
    fn a_boolean_flag_does_not_take_a_word_for_its_value() {
        let metadata = serde_json::json!({"parameters": {"polite": {"type": "Optional[Boolean]"},
            "line": {"type": "String"}, "name": {"type": "String"}}});
        let parameters = Parameters::new(&serde_json::from_value(metadata).unwrap()).unwrap();
        let word = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let words = vec![word("polite", "name=Bob"), word("line", "a=b")];
        assert_eq!(
            parameters.apart(words),
            [word("polite", "true"), word("name", "Bob"), word("line", "a=b")]
        );
        let said = vec![word("polite", "no")];
        assert_eq!(parameters.apart(said.clone()), said);
    }
}
