//! `command`: what a line of shell comes to.

use serde_json::{Value, json};

use super::{Kind, Look, Looking, Property};
use crate::core::programs::{Program, ProgramError};

pub(in super::super) const KIND: Kind = Kind {
    key: "command",
    name: "Command",
    subject: "exec",
    properties: &[
        Property { number: true, ..Property::required("exit-status") },
        Property::text("stdout"),
        Property::text("stderr"),
    ],
    gated: false,
    options: &["timeout"],
    look,
};

fn look<'a>(look: &'a mut Look<'_>, attribute: &'static str) -> Looking<'a> {
    Box::pin(async move {
        if look.kept.is_none() {
            look.kept = Some(run(look).await);
        }
        let ran = look.kept.clone().unwrap_or_else(|| Err("it did not run".to_owned()))?;
        Ok(ran.get(attribute).cloned().unwrap_or_default())
    })
}

async fn run(look: &Look<'_>) -> Result<Value, String> {
    let program = Program::new("/bin/sh").args(["-c", look.resource.subject.as_str()]).bare();
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let limit = look.timeout(10_000);
    let program = program.env("PATH", path).directory(look.ground.directory()).limit(limit);
    match program.run().await {
        Ok(ended) => Ok(json!({
            "exit-status": ended.status.code().unwrap_or(-1),
            "stdout": String::from_utf8_lossy(&ended.output),
            "stderr": ended.errors,
        })),
        Err(ProgramError::TooLong { .. }) => {
            Err(format!("Command execution timed out ({}ms)", limit.as_millis()))
        }
        Err(e) => Err(e.to_string()),
    }
}
