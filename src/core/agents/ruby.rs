//! Ruby agents of the original's forerunner, through its shim (spec 02 §5): a program
//! that loads the agent, validates by its Ruby interface and runs one action.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::external::{last_words, read_reply, tell};
use super::{Agent, Call, Node, Outcome, Running};
use crate::core::ddl::AgentDdl;
use crate::core::files;
use crate::core::programs::{Program, ProgramError};
use crate::core::rpc::StatusCode;

/// What [`Metadata::provider`](crate::core::ddl::Metadata::provider) says of such agents, or nothing.
pub const PROVIDER: &str = "ruby";
/// What a request may take beside its program.
const AROUND: Duration = Duration::from_secs(2);

/// Who runs Ruby agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shim {
    /// `plugin.choria.agent_provider.mcorpc.agent_shim`.
    pub program: PathBuf,
    /// `plugin.choria.agent_provider.mcorpc.config`.
    pub config: PathBuf,
    /// Bytes of data that each of its processes may have.
    pub memory: Option<u64>,
}

impl Shim {
    /// What of it is not there, and what it is.
    fn missing(&self) -> Option<String> {
        let parts = [("shim", &self.program), ("shim configuration", &self.config)];
        let (what, path) = parts.into_iter().find(|(_, path)| !path.exists())?;
        Some(format!("the {what} {} does not exist", path.display()))
    }

    /// What the shim lacks, where nobody waits; nothing while a disk hangs.
    pub async fn lacks(&self) -> Option<String> {
        let shim = self.clone();
        files::within_deadline(move || shim.missing()).await.flatten()
    }
}

/// An agent in Ruby.
pub struct Ruby {
    ddl: AgentDdl,
    shim: Shim,
}

impl Ruby {
    /// The agent of this interface.
    pub fn new(ddl: AgentDdl, shim: Shim) -> Ruby {
        Ruby { ddl, shim }
    }

    async fn call(&self, call: &Call) -> Outcome {
        let name = format!("{}#{}", call.agent, call.action);
        let aborted = |message: String| Outcome::failed(StatusCode::Aborted, message);
        if let Some(missing) = self.shim.missing() {
            return aborted(format!("Cannot call Ruby action {name}: {missing}"));
        }
        let program = Program::new(&self.shim.program)
            .args(["--config".as_ref(), self.shim.config.as_os_str()])
            .input(request(call).to_string())
            .limit(Duration::from_secs(self.ddl.metadata.timeout))
            .memory(self.shim.memory)
            .outlives();
        let ran = program.run_heard(|stream, line| tell(&call.agent, stream, line)).await;
        match ran {
            Ok(ended) => outcome(&ended.output).unwrap_or_else(|problem| {
                let said = last_words(&ended.errors);
                aborted(format!("Cannot decode output from Shim for Ruby action {name}: {problem}{said}"))
            }),
            Err(ProgramError::Start { problem, .. }) => {
                aborted(format!("Cannot call Ruby action {name}: {problem}"))
            }
            Err(e) => {
                let said = last_words(e.errors());
                aborted(format!("Cannot call Ruby action {name}: {e}{said}"))
            }
        }
    }
}

fn request(call: &Call) -> Value {
    let mut request = call.about();
    let body = json!({"agent": call.agent, "action": call.action, "data": call.data, "caller": call.caller});
    request.insert("body".to_owned(), body);
    Value::Object(request)
}

/// The reply the shim printed; `null`, of an agent that was told not to reply, is a plain OK.
fn outcome(output: &[u8]) -> Result<Outcome, String> {
    let trimmed = output.trim_ascii();
    if trimmed == b"null" {
        return Ok(Outcome::ok(json!({})));
    }
    let mut reply = read_reply(trimmed)?;
    let code = reply.get("statuscode").and_then(Value::as_i64).unwrap_or_default();
    let message = match reply.get("statusmsg") {
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    };
    let data = match reply.remove("data") {
        Some(Value::Object(data)) => data,
        _ => Map::new(),
    };
    Ok(Outcome { code: code.into(), message, data })
}

impl Agent for Ruby {
    fn ddl(&self) -> &AgentDdl {
        &self.ddl
    }

    /// The shim does, by rules that only Ruby knows.
    fn judges_inputs(&self) -> bool {
        true
    }

    fn limit(&self, _action: &str) -> Duration {
        Duration::from_secs(self.ddl.metadata.timeout).saturating_add(AROUND)
    }

    fn run<'a>(&'a self, call: &'a Call, _node: &'a dyn Node) -> Running<'a> {
        Box::pin(self.call(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shim_prints_is_the_reply() {
        assert_eq!(outcome(b"null\n"), Ok(Outcome::ok(json!({}))));
        let text = br#"{"statuscode":5,"statusmsg":"no","data":{"a":null}}"#;
        let read = outcome(text).unwrap();
        assert_eq!((read.code, read.message.as_str()), (StatusCode::UnknownError, "no"));
        assert_eq!(Value::Object(read.data), json!({"a": null}));
        assert!(outcome(b"").unwrap_err().contains("unexpected end of JSON input"));
        assert!(outcome(b"The agent is disabled").unwrap_err().contains("invalid character 'T'"));
    }
}
