//! Interfaces as Markdown, for pages that people keep of their agents.

use std::fmt::Write;

use choria::core::ddl::{Action, AgentDdl, DataDdl, Input, Metadata, Output};

/// A page about an agent and all it can do.
pub fn agent(ddl: &AgentDdl) -> String {
    let mut out = head(&ddl.metadata, &format!("{} agent", ddl.metadata.name));
    let _ = writeln!(out, "## Actions\n");
    for name in ddl.action_names() {
        let about = ddl.action(name).map(|action| action.description.as_str()).unwrap_or_default();
        let _ = writeln!(out, "* [{}](#{}): {}", code(name), anchor(name), text(about));
    }
    for action in ddl.action_names().iter().filter_map(|name| ddl.action(name)) {
        out.push('\n');
        out.push_str(&self::action(&ddl.metadata.name, action));
    }
    out
}

/// The part about one action.
pub fn action(agent: &str, action: &Action) -> String {
    let mut out = format!("### {}\n\n{}\n\n", text(&action.action), text(&action.description));
    let words: String = action.input.iter().map(|(name, input)| word(name, input)).collect();
    let _ = writeln!(out, "    choria rpc {agent} {}{words}", action.action);
    if !action.input.is_empty() {
        out.push_str("\n| input | type | needed | what it is |\n|---|---|---|---|\n");
    }
    for (name, input) in &action.input {
        let need = if input.optional { "no" } else { "yes" };
        let _ =
            writeln!(out, "| {} | {} | {need} | {} |", code(name), cell(&input.kind), cell(&limits(input)));
    }
    out.push_str(&outputs(action.output.iter()));
    out
}

/// A page about a data plugin.
pub fn data(ddl: &DataDdl) -> String {
    let mut out = head(&ddl.metadata, &format!("{} data plugin", ddl.metadata.name));
    let query = ddl.query.as_ref();
    let call = query.map_or(String::new(), |query| format!("'{}'", query.prompt.to_uppercase()));
    let _ = writeln!(out, "    choria find -S \"{}({call}).OUTPUT == VALUE\"", ddl.metadata.name);
    if let Some(query) = query {
        let _ = writeln!(out, "\nIt is asked: {}", text(&limits(query)));
    }
    out.push_str(&outputs(ddl.output.iter()));
    out
}

fn head(about: &Metadata, title: &str) -> String {
    let mut out = format!("# {}\n\n{}\n\n", text(title), text(&about.description));
    for (label, value) in [
        ("Version", &about.version),
        ("Author", &about.author),
        ("License", &about.license),
        ("URL", &about.url),
    ] {
        if !value.is_empty() {
            let _ = writeln!(out, "* {label}: {}", text(value));
        }
    }
    let _ = writeln!(out, "* Timeout: {} s\n", about.client_timeout());
    out
}

fn outputs<'a>(outputs: impl Iterator<Item = (&'a String, &'a Output)>) -> String {
    let mut out = String::new();
    for (name, output) in outputs {
        if out.is_empty() {
            out.push_str("\n| output | shown as | what it is |\n|---|---|---|\n");
        }
        let _ = writeln!(
            out,
            "| {} | {} | {} |",
            code(name),
            cell(&output.display_as),
            cell(&output.description)
        );
    }
    out
}

fn word(name: &str, input: &Input) -> String {
    let word = format!("{name}={}", input.kind.to_uppercase());
    if input.optional { format!(" [{word}]") } else { format!(" {word}") }
}

fn limits(input: &Input) -> String {
    let mut out = input.description.clone();
    if !input.choices.is_empty() {
        let _ = write!(out, "; one of {}", input.choices.join(", "));
    }
    if let Some(default) = &input.default {
        let _ = write!(out, "; default {default}");
    }
    if input.maxlength > 0 {
        let _ = write!(out, "; at most {} bytes", input.maxlength);
    }
    if !input.validation.is_empty() {
        let _ = write!(out, "; has to match {}", input.validation);
    }
    out
}

/// A name as code; names of others may hold anything.
fn code(name: &str) -> String {
    format!("`{}`", name.replace(['`', '\n', '|'], " "))
}

fn anchor(name: &str) -> String {
    let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    name.chars().filter(kept).collect::<String>().to_ascii_lowercase()
}

/// Text that is no markup, on one line.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '#' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// The same in a table.
fn cell(value: &str) -> String {
    text(value).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use choria::core::ddl::{builtin, builtin_data};

    use super::*;

    #[test]
    fn texts_of_others_are_no_markup() {
        let ddl = AgentDdl::parse(
            br#"{"metadata": {"name": "x", "description": "<script> [a](b)\n# c"},
                "actions": [{"action": "go", "description": "a|b", "input": {"in": {"prompt": "P", "description":
                "D|E", "type": "string", "optional": false, "validation": "^a|b$", "maxlength": 3}},
                "output": {"out": {"description": "*", "display_as": "O"}}}]}"#,
        )
        .unwrap();
        let page = agent(&ddl);
        assert!(
            page.starts_with("# x agent\n\n\\<script\\> \\[a\\](b) \\# c\n\n* Timeout: 10 s\n"),
            "{page}"
        );
        assert!(
            page.contains("* [`go`](#go): a|b\n") && page.contains("    choria rpc x go in=STRING\n"),
            "{page}"
        );
        let row = "| `in` | string | yes | D\\|E; at most 3 bytes; has to match ^a\\|b$ |\n";
        assert!(page.contains(row) && page.contains("| `out` | O | \\* |\n"), "{page}");
    }

    #[test]
    fn every_page_of_ours_can_be_made() {
        for name in choria::core::ddl::builtin_names() {
            let page = agent(builtin(name).unwrap());
            assert!(page.contains("## Actions\n") && page.contains("choria rpc"), "{page}");
        }
        for ddl in builtin_data() {
            assert!(data(ddl).contains("| output |"), "{}", ddl.metadata.name);
        }
    }
}
