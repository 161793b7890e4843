//! An interface in Ruby's words, for clients and agents that read `.ddl` files. Pure.

use std::fmt::Write;

use serde_json::Value;

use super::agent::{Action, AgentDdl, Display};

impl AgentDdl {
    /// The text of a `.ddl` file. Every word of the interface stands in quotes: nothing of
    /// it is code.
    pub fn to_ruby(&self) -> String {
        let about = &self.metadata;
        let mut out = String::new();
        let members = [
            ("name", &about.name),
            ("description", &about.description),
            ("author", &about.author),
            ("license", &about.license),
            ("version", &about.version),
            ("url", &about.url),
        ];
        out.push_str("metadata");
        for (number, (name, value)) in members.iter().enumerate() {
            let start = if number == 0 { " " } else { "         " };
            let _ = writeln!(out, "{start}:{name} => {},", quoted(value));
        }
        let _ = write!(out, "         :timeout => {}", about.timeout);
        if let Some(provider) = about.provider.as_ref().filter(|p| !p.is_empty()) {
            let _ = write!(out, ",\n         :provider => {}", quoted(provider));
        }
        out.push_str("\n\n");
        for action in &self.actions {
            push_action(&mut out, action);
        }
        out
    }
}

fn push_action(out: &mut String, action: &Action) {
    let display = match action.display {
        Display::Ok => ":ok",
        Display::Always => ":always",
        Display::Failed | Display::None => ":failed",
    };
    let (name, description) = (quoted(&action.action), quoted(&action.description));
    let _ = writeln!(out, "\naction {name}, :description => {description} do");
    let _ = writeln!(out, "  display {display}");
    for (name, input) in &action.input {
        let kind = input.kind.to_lowercase();
        let mut members = vec![
            ("prompt", quoted(&input.prompt)),
            ("description", quoted(&input.description)),
            ("type", format!(":{}", word(&kind))),
        ];
        if let Some(default) = input.default.as_ref().filter(|default| !default.is_null()) {
            members.push(("default", literal(default)));
        }
        if kind == "string" {
            members.push(("validation", quoted(&input.validation)));
            members.push(("maxlength", input.maxlength.to_string()));
        }
        if kind == "list" {
            let choices: Vec<String> = input.choices.iter().map(|choice| quoted(choice)).collect();
            members.push(("list", format!("[{}]", choices.join(", "))));
        }
        members.push(("optional", input.optional.to_string()));
        push_item(out, "input", name, &members);
    }
    for (name, output) in &action.output {
        let mut members =
            vec![("description", quoted(&output.description)), ("display_as", quoted(&output.display_as))];
        if let Some(default) = output.default.as_ref().filter(|default| !default.is_null()) {
            members.push(("default", literal(default)));
        }
        push_item(out, "output", name, &members);
    }
    let known = |function: &str| function.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let aggregates: Vec<_> = action.aggregate.iter().filter(|a| known(&a.function)).collect();
    if !aggregates.is_empty() {
        out.push_str("\n  summarize do\n");
        for aggregate in aggregates {
            let arguments = aggregate.args.as_array().map(Vec::as_slice).unwrap_or_default();
            let arguments: Vec<String> = arguments
                .iter()
                .enumerate()
                .map(|(place, value)| match value {
                    Value::String(output) if place == 0 => format!(":{}", quoted(output)),
                    other => literal(other),
                })
                .collect();
            let _ = writeln!(out, "    aggregate {}({})", aggregate.function, arguments.join(", "));
        }
        out.push_str("  end\n");
    }
    out.push_str("end\n");
}

fn push_item(out: &mut String, what: &str, name: &str, members: &[(&str, String)]) {
    let _ = write!(out, "\n  {what} :{}", quoted(name));
    for (name, value) in members {
        let _ = write!(out, ",\n        :{name} => {value}");
    }
    out.push('\n');
}

/// A kind as a symbol; what is none is written so that it is refused as one.
fn word(kind: &str) -> String {
    if kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !kind.is_empty() {
        return kind.to_owned();
    }
    quoted(kind)
}

/// A text in Ruby's single quotes, in which only those and backslashes mean something.
fn quoted(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('\'');
    out
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members =
                members.iter().map(|(key, value)| format!(":{} => {}", quoted(key), literal(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;
    use serde_json::json;

    #[test]
    fn words_are_quoted_and_nothing_is_code() {
        let ddl = json!({
            "metadata": {"name": "demo", "description": "it's #{`reboot`} \\", "author": "A", "license": "L",
                "version": "1.0.0", "url": "u", "timeout": 5, "provider": "external"},
            "actions": [{"action": "go", "description": "Goes", "display": "always",
                "input": {"a": {"prompt": "A", "description": "A", "type": "string", "optional": false,
                    "validation": "^\\d+'$", "maxlength": 9, "default": "x"},
                    "l": {"prompt": "L", "description": "L", "type": "list", "optional": true, "list": ["p", "q"]}},
                "output": {"o": {"description": "O", "display_as": "Out", "default": {"k": [1, null, true]}}},
                "aggregate": [{"function": "summary", "args": ["o", {"format": "%s"}]},
                    {"function": "system('x')", "args": []}]}],
        });
        let text = AgentDdl::parse(ddl.to_string().as_bytes()).unwrap().to_ruby();
        for part in [
            r"metadata :name => 'demo',",
            r":description => 'it\'s #{`reboot`} \\',",
            ":timeout => 5,\n         :provider => 'external'",
            "action 'go', :description => 'Goes' do\n  display :always\n",
            r":validation => '^\\d+\'$'",
            ":list => ['p', 'q'],\n        :optional => true",
            ":default => {:'k' => [1, nil, true]}",
            "  summarize do\n    aggregate summary(:'o', {:'format' => '%s'})\n  end\n",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("system"));
        assert!(builtin("rpcutil").unwrap().to_ruby().contains("action 'get_facts'"));
    }
}
