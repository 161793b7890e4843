//! What a task is given: standard input and environment, by its input method (spec 07 §A4.4).

use serde_json::{Map, Value};

/// Lists of names of secret inputs have this many at most.
const MOST_SECRETS: usize = 256;

/// How a task wants its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// On standard input and in the environment.
    Both,
    /// On standard input.
    Stdin,
    /// In the environment.
    Environment,
    /// As scripts of PowerShell have it: on standard input.
    Powershell,
}

impl Method {
    /// By its name; for none, and the executable's.
    pub fn of(name: &str, executable: &str) -> Method {
        match name {
            "stdin" => Method::Stdin,
            "environment" => Method::Environment,
            "powershell" => Method::Powershell,
            "" if executable.ends_with(".ps1") => Method::Powershell,
            _ => Method::Both,
        }
    }

    fn has_environment(self) -> bool {
        matches!(self, Method::Both | Method::Environment)
    }
}

/// Inputs of a run, read.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    text: &'a str,
    members: Map<String, Value>,
}

/// What a task cannot be given, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Not an object.
    #[error("the input of a task is a JSON object")]
    NotAnObject,
    /// An input whose name or value no environment can hold.
    #[error("the input '{0}' cannot be handed on in the environment of a task")]
    Unspeakable(String),
}

/// What the run is.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The task as it was asked for.
    pub task: &'a str,
    /// Id of the run.
    pub id: &'a str,
    /// Who asked.
    pub caller: &'a str,
    /// Directory of all its files.
    pub files: &'a str,
    /// Whether it has more than one.
    pub several: bool,
    /// As the original hands them on: nothing added to standard input, lists and objects as
    /// Ruby shows them.
    pub legacy: bool,
}

impl<'a> Input<'a> {
    /// Of the text of a request.
    ///
    /// # Errors
    /// It is no object.
    pub fn parse(text: &'a str) -> Result<Input<'a>, InputError> {
        let members = serde_json::from_str(text).map_err(|_| InputError::NotAnObject)?;
        Ok(Input { text: text.trim(), members })
    }

    /// The inputs, by name.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// What it reads; nothing where it reads nothing.
    pub fn stdin(&self, method: Method, about: &About<'_>) -> Option<String> {
        if method == Method::Environment {
            return None;
        }
        let mut more = vec![];
        if !about.legacy && !self.members.contains_key("_task") {
            more.push(("_task", about.task));
        }
        if !about.legacy && about.several && !self.members.contains_key("_installdir") {
            more.push(("_installdir", about.files));
        }
        // the text stays as it was written: numbers are not read and written anew
        let inner = self.text.strip_suffix('}').filter(|_| !more.is_empty());
        let Some(inner) = inner else { return Some(self.text.to_owned()) };
        let mut text = inner.to_owned();
        for (at, (name, value)) in more.into_iter().enumerate() {
            let first = at == 0 && self.members.is_empty();
            let comma = if first { "" } else { "," };
            text.push_str(&format!("{comma}{}:{}", Value::from(name), Value::from(value)));
        }
        text.push('}');
        Some(text)
    }
}

/// Variables of its environment; `input` is what was given, where something was.
///
/// # Errors
/// An input that none can hold.
pub fn environment(
    input: Option<&Input<'_>>,
    method: Method,
    about: &About<'_>,
) -> Result<Vec<(String, String)>, InputError> {
    let mut all = vec![
        ("_task".to_owned(), about.task.to_owned()),
        ("_choria_task_id".to_owned(), about.id.to_owned()),
        ("_choria_task_caller".to_owned(), about.caller.to_owned()),
    ];
    let Some(input) = input.filter(|_| method.has_environment()) else { return Ok(all) };
    for (name, value) in &input.members {
        let text = match value {
            Value::Null if about.legacy => String::new(),
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Array(_) | Value::Object(_) if about.legacy => ruby(value),
            other => other.to_string(),
        };
        if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
            return Err(InputError::Unspeakable(
                name.chars().take(60).flat_map(char::escape_debug).collect(),
            ));
        }
        all.push((format!("PT_{name}"), text));
    }
    all.push(("PT__installdir".to_owned(), about.files.to_owned()));
    all.push(("PT__task".to_owned(), about.task.to_owned()));
    Ok(all)
}

/// As Ruby before 3.4 shows it.
fn ruby(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(ruby).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let pairs = members
                .iter()
                .map(|(name, value)| format!("{}=>{}", Value::from(name.as_str()), ruby(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Names of inputs that are not kept; nothing of a text that is no list of names.
pub fn secrets(text: &str) -> Option<Vec<String>> {
    match text {
        "" => Some(vec![]),
        text => serde_json::from_str::<Vec<String>>(text).ok().filter(|names| names.len() <= MOST_SECRETS),
    }
}

/// Hides the values of secret inputs; all of them where it cannot be told which are.
pub fn hide_secrets(data: &mut Map<String, Value>) {
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    let names = secrets(text("sensitive"));
    if names.as_ref().is_some_and(Vec::is_empty) {
        return;
    }
    let input: Option<Map<String, Value>> = serde_json::from_str(text("input")).ok();
    let hidden = names.zip(input).map(|(names, mut input)| {
        for (name, value) in &mut input {
            if names.contains(name) {
                *value = "*****".into();
            }
        }
        Value::Object(input).to_string()
    });
    if data.contains_key("input") {
        data.insert("input".to_owned(), hidden.unwrap_or_else(|| "*****".to_owned()).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(legacy: bool, several: bool) -> About<'static> {
        About {
            task: "demo::dump",
            id: "<task id>",
            caller: "choria=one.mcollective",
            files: "<spool>/files",
            several,
            legacy,
        }
    }

    /// The original's runs: the same environment and standard input, as `legacy_input` has it.
    #[test]
    fn as_the_original_hands_it_on() {
        let vectors = include_str!("../../../tests/vectors/tasks-playbooks.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let mut seen = 0;
        for run in vectors["task_runs"].as_array().unwrap() {
            let Some(method) = run["method"].as_str() else { continue };
            let sent = run["choria_json_request"]["input"].as_str().or(run["child_stdin"].as_str());
            let none = sent.is_none() && method != "environment";
            let whole =
                r#"{"a":1,"b":"a string","c":[1,2,"3"],"d":{"x":{"y":[0]}},"e":null,"f":true,"g":1.5}"#;
            let sent = sent.unwrap_or(whole);
            let method = Method::of(method, "x");
            let input = Some(Input::parse(sent).unwrap()).filter(|_| !none);
            let about = About { task: run["env"]["_task"].as_str().unwrap(), ..about(true, false) };
            let mut got = environment(input.as_ref(), method, &about).unwrap();
            let mut wanted: Vec<(String, String)> = run["env"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned()))
                .collect();
            got.sort();
            wanted.retain(|(name, _)| name != "PATH");
            wanted.sort();
            assert_eq!(got, wanted, "{}", run["name"]);
            assert_eq!(
                input.as_ref().and_then(|input| input.stdin(method, &about)).as_deref(),
                run["child_stdin"].as_str(),
                "{}",
                run["name"]
            );
            seen += 1;
        }
        assert!(seen >= 10, "{seen}");
    }

    #[test]
    fn as_the_specification_of_tasks_has_it() {
        let text = r#"{"n":1.50,"l":[1,{"a":null}],"none":null,"s":"x"}"#;
        let input = Input::parse(text).unwrap();
        let all = environment(Some(&input), Method::Both, &about(false, true)).unwrap();
        let of = |name: &str| all.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        assert_eq!((of("PT_l"), of("PT_none"), of("PT_s")), (Some(r#"[1,{"a":null}]"#), None, Some("x")));
        assert_eq!(of("PT__installdir"), Some("<spool>/files"));
        assert_eq!(
            input.stdin(Method::Both, &about(false, true)).unwrap(),
            r#"{"n":1.50,"l":[1,{"a":null}],"none":null,"s":"x","_task":"demo::dump","_installdir":"<spool>/files"}"#
        );
        let empty = Input::parse("{ }").unwrap();
        let read: Value =
            serde_json::from_str(&empty.stdin(Method::Stdin, &about(false, false)).unwrap()).unwrap();
        assert_eq!(read, serde_json::json!({"_task": "demo::dump"}));
        assert_eq!(empty.stdin(Method::Environment, &about(false, false)), None);
        assert_eq!(Method::of("", "x.ps1"), Method::Powershell);
        for bad in ["[]", "", "1", "{"] {
            assert!(Input::parse(bad).is_err(), "{bad}");
        }
        for bad in [r#"{"a=b":"x"}"#, r#"{"a":"x\u0000"}"#, r#"{"":1}"#] {
            let bad = Input::parse(bad).unwrap();
            assert!(environment(Some(&bad), Method::Both, &about(false, false)).is_err());
        }
    }

    /// Whatever is sent: what a task reads is an object with all that was in it, and names of its
    /// environment cannot be anything else.
    #[test]
    fn fuzz_inputs() {
        bolero::check!().with_iterations(20_000).for_each(|bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let Ok(input) = Input::parse(&text) else { return };
            let about = about(false, true);
            let stdin = input.stdin(Method::Both, &about).unwrap();
            let read: Map<String, Value> = serde_json::from_str(&stdin).unwrap();
            assert!(input.members().iter().all(|(name, value)| read.get(name) == Some(value)));
            assert!(read.contains_key("_task") && read.contains_key("_installdir"));
            for (name, value) in environment(Some(&input), Method::Both, &about).unwrap_or_default() {
                assert!(name.starts_with("PT_") || name.starts_with('_'));
                assert!(!name.contains(['=', '\0']) && !value.contains('\0'));
            }
        });
    }
}
