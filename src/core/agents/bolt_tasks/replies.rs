//! What callers are told, as the original has it (spec 07 §A2.1).

use serde_json::{Value, json};

use crate::core::agents::Outcome;
use crate::core::agents::system::Outputs;
use crate::core::rpc::StatusCode;
use crate::core::tasks::outcome::{Status, error};

/// A run that was not begun.
pub struct Refused {
    pub id: String,
    pub code: StatusCode,
    pub message: String,
    /// What kind of error its output is to be, where it is to be one.
    pub kind: Option<&'static str>,
}

impl Refused {
    pub fn answer(self, mut outputs: Outputs) -> Outcome {
        outputs.set("task_id", self.id);
        if let Some(kind) = self.kind.filter(|_| outputs.declares("stdout")) {
            outputs.set("stdout", failure(kind, &self.message));
        }
        outputs.failed(self.code, self.message)
    }
}

/// Why runs are not begun.
pub mod refused {
    use super::Refused;
    use crate::core::rpc::StatusCode;
    use crate::core::tasks::cache::CacheError;
    use crate::core::tasks::spool::SpoolError;

    pub fn unavailable(task: &str, e: &CacheError) -> String {
        match e {
            CacheError::Absent(_) => {
                format!("Task {task} is not available or does not match the specification")
            }
            CacheError::Coming { .. } => format!("Task {task} is not available yet: {e}"),
            other => format!("Task {task} is not available: {other}"),
        }
    }

    pub fn cache(id: &str, task: &str, e: &CacheError) -> Refused {
        Refused {
            id: id.to_owned(),
            code: StatusCode::UnknownError,
            message: unavailable(task, e),
            kind: Some("choria/invalid_cache"),
        }
    }

    pub fn spool(id: &str, task: &str, e: SpoolError) -> Refused {
        match e {
            SpoolError::Cache(e) => cache(id, task, &e),
            other => {
                let (code, message) = (StatusCode::UnknownError, other.to_string());
                Refused { id: id.to_owned(), code, message, kind: Some("choria/not_spooled") }
            }
        }
    }

    pub fn wrapper(id: &str, task: &str, problem: &str) -> Refused {
        let message = format!("Could not spawn task {task}: {problem}");
        Refused {
            id: id.to_owned(),
            code: StatusCode::UnknownError,
            message,
            kind: Some("choria/wrapper_failed"),
        }
    }
}

/// An output that is an error.
fn failure(kind: &str, message: &str) -> String {
    json!({"_error": error(kind, message, json!({}))}).to_string()
}

/// A run that cannot be told of.
pub fn denied_status(outputs: &mut Outputs, code: StatusCode, kind: &str, message: &str) -> Outcome {
    if outputs.declares("stdout") {
        outputs.set("stdout", failure(kind, message));
    }
    outputs.clone().failed(code, message)
}

/// A run as it is.
pub fn told(mut outputs: Outputs, status: &Status) -> Outcome {
    let failure = status.failure();
    outputs
        .set("task", status.task.clone())
        .set("callerid", status.caller.clone())
        .set("exitcode", status.exitcode)
        .set("stdout", Value::Object(status.stdout.clone()).to_string())
        .set("stderr", status.stderr.clone())
        .set("completed", status.completed)
        .set("runtime", status.runtime)
        .set("start_time", status.start_time);
    match failure.filter(|_| status.completed) {
        Some(message) => outputs.aborted(message),
        None => outputs.done(),
    }
}
