//! What one node says of a run, and how it counts.

use choria::core::client::RpcReply;
use choria::core::rpc::StatusCode;
use choria::core::tasks::outcome::HIDDEN;
use choria::core::tasks::secrets::Secrets;
use serde_json::{Map, Value};

/// Whether a node of the original lacks the files of a task, which it only tells so: ours say
/// what the id of the run would have been.
pub fn is_without_files(reply: &RpcReply) -> bool {
    let text = |name: &str| reply.body.data.get(name).and_then(Value::as_str).unwrap_or_default();
    let said = reply.body.statusmsg.ends_with("is not available or does not match the specification");
    // without waiting they do not look before, and fail in another way; they tell all outputs they declare, and who
    // tells none of them did not get that far, or cannot say how far
    let failed = !reply.body.data.contains_key("stdout")
        && reply.body.data.get("task_id").is_some_and(|id| id.as_str().is_none_or(str::is_empty));
    reply.body.statuscode == StatusCode::UnknownError
        && (said && text("stdout").contains("choria/invalid_cache") || failed)
}

/// One node.
pub(super) struct Node {
    pub(super) host: String,
    pub(super) code: StatusCode,
    pub(super) message: String,
    pub(super) data: Map<String, Value>,
    pub(super) output: Map<String, Value>,
}

/// How a node is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Unknown,
    WrapperFailure,
    Running,
    Completed,
    /// The node did not begin it, such as one that does not allow it.
    NotBegun,
}

impl Node {
    pub(super) fn new(reply: RpcReply, secrets: &Secrets) -> Node {
        let mut data = reply.body.data;
        let stdout = data.get("stdout").and_then(Value::as_str).unwrap_or_default();
        // a failure of a runner is text within text where the original tells it
        let once: Value = serde_json::from_str(stdout).unwrap_or_default();
        let object = match once {
            Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
            other => other,
        };
        let mut output = match object {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        if let Some(secret) = output.get_mut("_sensitive") {
            *secret = HIDDEN.into();
        }
        secrets.mask_members(&mut output);
        if data.contains_key("stdout") {
            data.insert("stdout".into(), Value::Object(output.clone()).to_string().into());
        }
        if let Some(errors) = data.get_mut("stderr") {
            secrets.mask(errors);
        }
        Node {
            host: reply.sender,
            code: reply.body.statuscode,
            message: secrets.masked(&reply.body.statusmsg),
            data,
            output,
        }
    }

    pub(super) fn state(&self) -> State {
        let code = self.data.get("exitcode").and_then(Value::as_i64);
        match self.code {
            StatusCode::MissingData => State::Unknown,
            StatusCode::UnknownError => State::WrapperFailure,
            _ if self.data.get("completed") == Some(&Value::Bool(false)) && code == Some(-1) => {
                State::Running
            }
            _ if code.is_none() => State::NotBegun,
            _ => State::Completed,
        }
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.data.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// What it wrote, for people: all but its error, which is its message.
    pub(super) fn written(&self) -> String {
        let mut rest = self.output.clone();
        rest.shift_remove("_error");
        let text = rest.shift_remove("_output");
        let mut lines = vec![];
        if let Some(text) = text.as_ref().and_then(Value::as_str).filter(|text| !text.trim().is_empty()) {
            lines.push(text.trim_end().to_owned());
        }
        if !rest.is_empty() {
            lines.push(serde_json::to_string_pretty(&rest).unwrap_or_default());
        }
        lines.join("\n")
    }
}
