//! Clients in Rust, on this library.

use std::fmt::Write;

use choria::core::ddl::{Action, AgentDdl};

use super::client::{is_optional, line, ordered};

/// Words that need a mark to be names.
const WORDS: [&str; 38] = [
    "as", "async", "await", "break", "const", "continue", "dyn", "else", "enum", "extern", "false", "fn",
    "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return",
    "static", "struct", "trait", "true", "type", "unsafe", "use", "where", "while", "abstract", "final",
    "override", "yield",
];

fn word(name: &str) -> String {
    let name = snake(name);
    match name.as_str() {
        "self" | "super" | "crate" => format!("{name}_"),
        name if WORDS.contains(&name) => format!("r#{name}"),
        name => name.to_owned(),
    }
}

fn snake(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn camel(name: &str) -> String {
    let parts = name.split('_').map(|part| {
        let mut part = part.to_owned();
        if let Some(first) = part.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        part
    });
    parts.collect()
}

fn kind(of: &str) -> &'static str {
    match of.to_lowercase().as_str() {
        "string" | "list" => "String",
        "integer" | "int" => "i64",
        "float" | "number" => "f64",
        "boolean" => "bool",
        "array" => "Vec<Value>",
        "hash" => "Map<String, Value>",
        _ => "Value",
    }
}

/// The module.
pub fn source(ddl: &AgentDdl) -> String {
    let about = &ddl.metadata;
    let mut out = format!(
        "//! A client of the agent {name} {version}: {description}\n//!\n\
         //! Made from its interface by `choria plugin generate client`; make it again when that changes.\n\
         #![allow(dead_code)]\n\n\
         use std::time::Duration;\n\n\
         use choria::core::client::{{Client, ClientError, RpcCall, RpcOptions}};\n\
         use serde_json::{{Map, Value}};\n\n\
         /// Name of the agent.\npub const AGENT: &str = \"{name}\";\n\
         /// How long replies are waited for: what the agent may take, and two seconds on the way.\n\
         pub const TIMEOUT: Duration = Duration::from_secs({timeout});\n\n\
         /// What one node answered.\n#[derive(Debug, Clone)]\npub struct Reply<T> {{\n\
         \x20   /// The node.\n    pub sender: String,\n\
         \x20   /// 0 when it worked.\n    pub statuscode: i64,\n\
         \x20   /// `OK`, or what went wrong.\n    pub statusmsg: String,\n\
         \x20   /// Outputs that are known.\n    pub outputs: T,\n\
         \x20   /// All outputs, as they came.\n    pub data: Map<String, Value>,\n}}\n\n\
         /// An output of its kind; nothing where it is missing or of another.\n\
         fn output<T: serde::de::DeserializeOwned>(data: &Map<String, Value>, name: &str) -> Option<T> {{\n\
         \x20   serde_json::from_value(data.get(name)?.clone()).ok()\n}}\n\n\
         async fn call(client: &Client, nodes: Vec<String>, action: &str, data: Map<String, Value>) \
         -> Result<Vec<(String, choria::core::rpc::ReplyBody)>, ClientError> {{\n\
         \x20   let options = RpcOptions {{\n        agent: AGENT.to_owned(),\n        action: action.to_owned(),\n\
         \x20       data,\n        collective: client.collective(None)?,\n        timeout: TIMEOUT,\n        batch: None,\n    }};\n\
         \x20   let mut call = {call};\n\
         \x20   let mut replies = vec![];\n    while let Some(reply) = call.next().await? {{\n\
         \x20       replies.push((reply.sender, reply.body));\n    }}\n    Ok(replies)\n}}\n",
        name = about.name,
        version = line(&about.version),
        description = line(&about.description),
        timeout = about.client_timeout().saturating_add(2),
        call = match about.service {
            true => "{ let _ = nodes; RpcCall::service(client, options).await? }",
            false => "RpcCall::direct(client, options, nodes).await?",
        },
    );
    ddl.actions.iter().for_each(|action| push_action(&mut out, action));
    out
}

fn push_action(out: &mut String, action: &Action) {
    let (name, type_name) = (&action.action, camel(&action.action));
    let _ = writeln!(
        out,
        "\n/// Inputs of `{name}`.\n#[derive(Debug, Clone, Default)]\npub struct {type_name}Input {{"
    );
    for (name, input) in ordered(&action.input) {
        let kind = kind(&input.kind);
        let kind = if is_optional(input) { format!("Option<{kind}>") } else { kind.to_owned() };
        let _ = writeln!(out, "    /// {}\n    pub {}: {kind},", line(&input.description), word(name));
    }
    let _ = writeln!(
        out,
        "}}\n\n/// Outputs of `{name}`.\n#[derive(Debug, Clone, Default)]\npub struct {type_name}Output {{"
    );
    for (name, output) in &action.output {
        let kind = kind(output.kind.as_deref().unwrap_or_default());
        let _ =
            writeln!(out, "    /// {}\n    pub {}: Option<{kind}>,", line(&output.description), word(name));
    }
    let unused = if action.input.is_empty() { "_input" } else { "input" };
    let mutable = if action.input.is_empty() { "" } else { "mut " };
    let _ = writeln!(
        out,
        "}}\n\n/// {description}\n///\n/// # Errors\n/// The request cannot be sent; what nodes answer is no error.\n\
         pub async fn {function}(\n    client: &Client,\n    nodes: Vec<String>,\n    {unused}: {type_name}Input,\n\
         ) -> Result<Vec<Reply<{type_name}Output>>, ClientError> {{\n    let {mutable}data = Map::new();",
        description = line(&action.description),
        function = word(name),
    );
    for (name, input) in ordered(&action.input) {
        let field = word(name);
        let _ = match is_optional(input) {
            true => writeln!(
                out,
                "    if let Some(value) = input.{field} {{\n        data.insert(\"{name}\".to_owned(), value.into());\n    }}"
            ),
            false => writeln!(out, "    data.insert(\"{name}\".to_owned(), input.{field}.into());"),
        };
    }
    let _ = writeln!(
        out,
        "    let replies = call(client, nodes, \"{name}\", data).await?;\n\
         \x20   Ok(replies\n        .into_iter()\n        .map(|(sender, body)| Reply {{\n            sender,\n\
         \x20           statuscode: body.statuscode.code(),\n            statusmsg: body.statusmsg,\n\
         \x20           outputs: {type_name}Output {{"
    );
    for name in action.output.keys() {
        let _ = writeln!(out, "                {}: output(&body.data, \"{name}\"),", word(name));
    }
    out.push_str("            },\n            data: body.data,\n        })\n        .collect())\n}\n");
}
