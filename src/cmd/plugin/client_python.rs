//! Clients in Python, on the `choria` program.

use std::fmt::Write;

use choria::core::ddl::{Action, AgentDdl};

use super::client::{is_optional, line, ordered};

/// Words of Python, and of the functions made here, that cannot be parameters.
const WORDS: [&str; 42] = [
    "False",
    "None",
    "True",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "is",
    "lambda",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "try",
    "while",
    "with",
    "yield",
    "self",
    "nodes",
    "print",
    "list",
    "json",
    "subprocess",
    "call",
];

fn word(name: &str) -> String {
    if WORDS.contains(&name) { format!("{name}_") } else { name.to_owned() }
}

fn kind(of: &str) -> &'static str {
    match of.to_lowercase().as_str() {
        "string" | "list" => "str",
        "integer" | "int" => "int",
        "float" | "number" => "float",
        "boolean" => "bool",
        "array" => "list",
        "hash" => "dict",
        _ => "object",
    }
}

/// The module.
pub fn source(ddl: &AgentDdl) -> String {
    let about = &ddl.metadata;
    let class: String = about.name.split('_').map(titled).collect();
    let mut out = format!(
        r#""""A client of the agent {name} {version}: {description}

Made from its interface by choria plugin generate client; make it again when that
changes. It runs the choria program, which has to be configured for whoever runs this."""
import json
import subprocess
from dataclasses import dataclass


@dataclass
class Reply:
    """What one node answered."""

    sender: str
    statuscode: int
    statusmsg: str
    data: dict

    @property
    def ok(self):
        return self.statuscode == 0


class RequestFailed(Exception):
    """No node was asked."""


def _text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


class {class}:
    """Calls {name} on the nodes that `select` matches: words of choria rpc, such as
    ["-F", "country=mt"] or ["-I", "n1.example.net"]. Replies of a call come in a list;
    nodes that did not answer are in `silent` after it."""

    def __init__(self, select=(), program="choria", config=None):
        self.silent = []
        self._words = [program, "rpc", "--json"]
        if config is not None:
            self._words += ["--config", config]
        self._select = list(select)

    def _call(self, action, inputs):
        given = [name + "=" + _text(value) for name, value in inputs.items() if value is not None]
        words = self._words + self._select + ["--", "{name}", action] + given
        ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        try:
            document = json.loads(ran.stdout)
        except ValueError:
            raise RequestFailed(ran.stderr.strip() or "choria said nothing") from None
        if "replies" not in document:
            raise RequestFailed(ran.stderr.strip() or ran.stdout.strip())
        self.silent = document["request_stats"]["no_responses"]
        known = ("sender", "statuscode", "statusmsg", "data")
        return [Reply(**{{name: reply[name] for name in known}}) for reply in document["replies"]]
"#,
        name = about.name,
        version = line(&about.version),
        description = line(&about.description),
    );
    ddl.actions.iter().for_each(|action| push_action(&mut out, action));
    out
}

fn titled(part: &str) -> String {
    let mut part = part.to_owned();
    if let Some(first) = part.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    part
}

fn push_action(out: &mut String, action: &Action) {
    let inputs = ordered(&action.input);
    let parameters = inputs.iter().map(|(name, input)| {
        let (name, kind) = (word(name), kind(&input.kind));
        if is_optional(input) { format!(", {name}: {kind} = None") } else { format!(", {name}: {kind}") }
    });
    let parameters: String = parameters.collect();
    let _ = write!(
        out,
        "\n    def {}(self{parameters}):\n        \"\"\"{}\n",
        word(&action.action),
        line(&action.description)
    );
    for (name, input) in &inputs {
        let _ = write!(out, "\n        {}: {}", word(name), line(&input.description));
    }
    for (name, output) in &action.output {
        let _ = write!(out, "\n        data[\"{name}\"]: {}", line(&output.description));
    }
    let given: Vec<String> = inputs.iter().map(|(name, _)| format!("\"{name}\": {}", word(name))).collect();
    let _ = write!(
        out,
        "\n        \"\"\"\n        return self._call(\"{}\", {{{}}})\n",
        action.action,
        given.join(", ")
    );
}
