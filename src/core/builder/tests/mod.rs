//! Definitions, lines, templates and forms, by tables; and that nothing hostile ends a reader.

mod definitions;
mod forms;
mod functions;
mod lines;
mod templates;
mod transforms;

use std::collections::BTreeMap;

use jiff::Zoned;
use serde_json::Value;

use super::compile::{Compiled, Source};
use super::{Definition, World, compile, help, line};
use lines::filters;

/// A machine of two variables and two files.
struct Still;

impl World for Still {
    fn env(&self, name: &str) -> Option<String> {
        (name == "GREETING").then(|| "Morning".to_owned())
    }

    fn is_file(&self, path: &str) -> bool {
        path == "/there"
    }

    fn is_dir(&self, path: &str) -> bool {
        path == "/dir"
    }

    fn read(&self, path: &str) -> Result<String, String> {
        if path == "/there" { Ok("text".to_owned()) } else { Err(format!("{path} is not there")) }
    }

    fn now(&self) -> Zoned {
        "2026-11-30T08:05:09.5Z".parse::<jiff::Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC)
    }

    fn random(&self) -> u64 {
        7
    }
}

#[derive(Default)]
struct Files(BTreeMap<&'static str, String>);

impl Source for Files {
    fn read(&mut self, _: &str, name: &str) -> Result<(String, String), String> {
        let text = self.0.get(name).ok_or_else(|| format!("{name}: there is none"))?;
        Ok((name.to_owned(), text.clone()))
    }
}

const HEAD: &str = "name: demo\ndescription: d\nversion: 1.2.3\nauthor: a\ncommands:\n";

fn compiled(text: &str) -> Result<Compiled, String> {
    compile("demo-app.yaml", text, &mut Files::default(), false)
        .map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn definition(commands: &str) -> Definition {
    let made = compiled(&format!("{HEAD}{commands}")).unwrap_or_else(|e| panic!("{e}"));
    assert!(made.definition.warnings.is_empty(), "{:?}", made.definition.warnings);
    assert!(made.incomplete.is_empty(), "{:?}", made.incomplete);
    made.definition
}

#[test]
fn no_definition_ends_the_reader() {
    bolero::check!().with_iterations(1000).with_type::<(String, String, u8)>().for_each(|(a, b, kind)| {
        let _ = compiled(a);
        let kinds = ["exec", "rpc", "kv", "form", "task", "playbook", "discover", "parent", "scaffold"];
        let kind = kinds[usize::from(*kind) % kinds.len()];
        let (a, b) = (Value::from(a.as_str()), Value::from(b.as_str()));
        let text = format!(
            "{HEAD}  - {{name: {a}, description: {b}, type: {kind}, command: {b}, action: {a}, flags: [{{name: {a}, \
             default: {b}, type: {a}, validate: {b}}}], request: {{agent: {a}}}, properties: [{{name: {a}, \
             conditional: {b}}}], transform: {{jq: {{query: {a}}}}}}}\n"
        );
        if let Ok(made) = compiled(&text) {
            let words: Vec<String> = vec![a.to_string(), b.to_string(), "--".into(), "-x".into()];
            let _ = line::read(&made.definition, "demo", &words, &filters(), &Still);
            let _ = help::application(&made.definition, "demo");
            let _ = help::command("demo", &[&made.definition.commands[0]], &[]);
        }
    });
}
