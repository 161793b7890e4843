//! `configure`: everything a node is to be, or nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::action_error::ActionError;
use super::inputs::Inputs;
use super::material;
use super::{CallContext, Flow, Inner};
use crate::core::config::{Config, Role, System};
use crate::core::files::{SECRET, Together, resolved};
use crate::core::provisioning::{Decision, Found, decide};
use crate::core::text::shortened;

/// Longest name of a setting or policy.
const MAX_NAME: usize = 256;
/// Modes of policies and their directories.
const POLICY: (u32, u32) = (0o400, 0o700);
/// The setting that ends a node's waiting.
const PROVISION: &str = "plugin.choria.server.provision";

/// What a node was made, and by whom.
pub struct Configured {
    digest: [u8; 32],
    message: String,
    request: String,
    caller: String,
}

impl Configured {
    /// What other flows are told.
    pub fn refusal(&self) -> ActionError {
        ActionError::Configured { request: self.request.clone(), caller: self.caller.clone() }
    }
}

impl Inner {
    /// `configure`.
    pub(super) fn configure(
        &self,
        flow: &mut Flow,
        inputs: &Inputs,
        about: &CallContext,
    ) -> Result<Value, ActionError> {
        if let Some(configured) = &flow.configured {
            // asked again because the answer got lost
            return match configured.digest == inputs.digest() {
                true => Ok(json!({"message": configured.message})),
                false => Err(configured.refusal()),
            };
        }
        let text = inputs.text("config");
        if text.is_empty() {
            return Err(ActionError::NoConfiguration);
        }
        if !inputs.text("key").is_empty() && inputs.text("ecdh_public").is_empty() {
            return Err(ActionError::NoPeer);
        }
        let settings: BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|e| ActionError::Configuration(e.to_string()))?;
        check_settings(&settings).map_err(ActionError::Write)?;
        let mut change = Together::default();
        material::prepare(inputs, flow.exchange.as_ref(), about, &mut change)?;
        let unwritten = |e: std::io::Error| ActionError::Write(e.to_string());
        let token = inputs.text("server_jwt");
        if !token.is_empty() {
            change.write(&about.dir().join("server.jwt"), token.as_bytes(), SECRET).map_err(unwritten)?;
        }
        let policies = about.dir().join("policies");
        prepare_policies(&inputs.texts("action_policies"), ".policy", &policies, &mut change)
            .map_err(ActionError::ActionPolicies)?;
        prepare_policies(&inputs.texts("opa_policies"), ".rego", &policies.join("rego"), &mut change)
            .map_err(ActionError::RegoPolicies)?;
        change.make().map_err(unwritten)?;
        // The file that says that all others count.
        let lines = self.write_configuration(&settings, about).map_err(ActionError::Write)?;
        change.keep();
        let message = format!("Wrote {lines} lines to {}", about.file.display());
        tracing::info!(request = about.request, caller = about.caller, "configured: {message}");
        flow.configured = Some(Configured {
            digest: inputs.digest(),
            message: message.clone(),
            request: about.request.clone(),
            caller: about.caller.clone(),
        });
        flow.request = None;
        flow.seed = None;
        Ok(json!({"message": message}))
    }

    /// Writes the configuration beside its place, tries it there, and moves it.
    fn write_configuration(
        &self,
        settings: &BTreeMap<String, String>,
        about: &CallContext,
    ) -> Result<usize, String> {
        // in the request of a node that verifies nobody the caller may be any text
        let line = |text: &str| text.replace(char::is_control, " ");
        let at = jiff::Timestamp::from_second(about.now).unwrap_or_default();
        let mut text = format!(
            "# configuration file written in request {} from {} ({}) at {at}\n",
            line(&about.request),
            line(&about.caller),
            line(&about.sender),
        );
        for (key, value) in settings {
            text.push_str(&format!("{key}={value}\n"));
        }
        let target = resolved(&about.file).map_err(|e| e.to_string())?;
        let dir = target.parent().unwrap_or(Path::new("/"));
        let suffix = target.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        let failed = |e: std::io::Error| format!("cannot write {}: {e}", target.display());
        let mut temp =
            tempfile::Builder::new().prefix(".choria-").suffix(&suffix).tempfile_in(dir).map_err(failed)?;
        temp.write_all(text.as_bytes()).map_err(failed)?;
        temp.as_file().sync_all().map_err(failed)?;
        self.try_configuration(temp.path(), about)
            .map_err(|e| e.replace(&temp.path().display().to_string(), &target.display().to_string()))?;
        temp.persist(&target).map_err(|e| failed(e.error))?;
        // The rename itself must survive a crash too.
        if let Ok(dir) = fs::File::open(dir) {
            let _ = dir.sync_all();
        }
        Ok(settings.len() + 1)
    }

    fn try_configuration(&self, file: &Path, about: &CallContext) -> Result<(), String> {
        let config = Config::load(Role::Server, Some(file), &System)
            .map_err(|e| format!("generated configuration could not be parsed: {e}"))?
            .placed_at(&about.file);
        if self.would_wait(&config) {
            return Err(format!("this server would wait to be provisioned again, set {PROVISION}=false"));
        }
        if config.identity != about.identity {
            return Err(format!("it makes this server {:?}, which is {:?}", config.identity, about.identity));
        }
        (self.rehearse)(config).map_err(|e| format!("this server cannot serve by it: {e}"))
    }

    /// Whether a node that starts by this configuration waits.
    pub(super) fn would_wait(&self, config: &Config) -> bool {
        let said = config.has(PROVISION).then_some(config.choria_server_provision);
        decide(Found::Configuration(said), &self.setup) != Decision::Serve
    }
}

/// Nothing but one setting a line.
fn check_settings(settings: &BTreeMap<String, String>) -> Result<(), String> {
    for (key, value) in settings {
        let odd = |c: char| c.is_control() || c.is_whitespace() || c == '=';
        if key.is_empty() || key.len() > MAX_NAME || key.starts_with('#') || key.contains(odd) {
            return Err(format!("{:?} cannot be the name of a setting", shortened(key, 64)));
        }
        if value.contains(char::is_control) {
            return Err(format!("the value of {key} has a line end or another control character"));
        }
    }
    Ok(())
}

/// Prepares policies; those that are there and not among them go.
fn prepare_policies(
    policies: &BTreeMap<String, String>,
    suffix: &str,
    dir: &Path,
    change: &mut Together,
) -> Result<(), String> {
    if policies.is_empty() {
        return Ok(());
    }
    for name in policies.keys() {
        if !name.ends_with(suffix) {
            return Err(format!("expected {:?} to have {suffix} extension", shortened(name, 64)));
        }
        let odd = |c: char| c == '/' || c == '\\' || c.is_control();
        if name.len() == suffix.len() || name.len() > MAX_NAME || name.starts_with('.') || name.contains(odd)
        {
            return Err(format!("{:?} cannot be the name of a policy file", shortened(name, 64)));
        }
    }
    let (file_mode, dir_mode) = POLICY;
    if let Some(above) = dir.parent().filter(|_| suffix == ".rego") {
        change.directory(above, dir_mode).map_err(|e| e.to_string())?;
    }
    change.directory(dir, dir_mode).map_err(|e| e.to_string())?;
    let there = fs::read_dir(dir).map_err(|e| format!("cannot read {}: {e}", dir.display()))?;
    for entry in there.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(suffix) && !name.starts_with('.') && !policies.contains_key(&name) {
            change.remove(&entry.path());
        }
    }
    for (name, text) in policies {
        let written = change.write(&dir.join(name), text.as_bytes(), file_mode);
        written.map_err(|e| format!("saving policy {name} failed: {e}"))?;
    }
    Ok(())
}
