//! Secrets of 1Password, by its program `op`; they are in nobody's words or logs.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use choria::core::builder::definition::Secret;
use serde_json::{Map, Value};

use super::app::is_dry;
use crate::cmd::render::text::clean;

/// Longest secret.
const MOST: usize = 1 << 20;

/// The values of secrets, by their names; what stands for each where nothing is to be done.
pub fn resolved(secrets: &[Secret]) -> anyhow::Result<Map<String, Value>> {
    let mut values = Map::new();
    for secret in secrets {
        let value = match is_dry() {
            true => format!("<secret:{}>", secret.name),
            false => read(secret).with_context(|| format!("secret {}", secret.name))?,
        };
        values.insert(secret.name.clone(), value.into());
    }
    Ok(values)
}

fn read(secret: &Secret) -> anyhow::Result<String> {
    let mut command = Command::new("op");
    command.args(["read", "--no-newline", &secret.reference]);
    if !secret.account.is_empty() {
        command.args(["--account", &secret.account]);
    }
    let output = command.stdin(Stdio::inherit()).stderr(Stdio::piped()).output();
    let output = output.context("cannot run op, the program of 1Password")?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("op read: {}", clean(told.lines().next().unwrap_or("it failed"), false));
    }
    if output.stdout.len() > MOST {
        bail!("it is longer than {MOST} bytes");
    }
    String::from_utf8(output.stdout).context("it is no text")
}
