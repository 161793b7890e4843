//! Action policies as files: `policies/AGENT.policy` beside the configuration.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::groups::Groups;
use super::policy::Policy;
use super::{AuthzRequest, Decision, Outcome};
use crate::core::config::{Config, parse_bool};
use crate::core::files::{Version, read_bounded};
use crate::core::protocol::filter::Facts;

/// Largest policy or groups file, in bytes.
const MAX_BYTES: u64 = 4 << 20;
/// Most files kept parsed; a node has a few dozen agents.
const MAX_KEPT: usize = 1_000;

/// Decides by the policy file of the agent that is asked.
///
/// A file is read again when it has changed, so that a policy takes effect
/// with the next request, and not parsed for every request.
#[derive(Debug)]
pub struct ActionPolicy {
    dir: PathBuf,
    /// What counts for a policy file that names no default.
    allow_unconfigured: bool,
    /// Name of the policy for agents without one; `None` = there is none.
    default_name: Option<String>,
    classes_known: bool,
    policies: Kept<Policy>,
    groups: Kept<Groups>,
}

impl ActionPolicy {
    /// The policies below the directory of `config`'s file, with the settings
    /// `plugin.actionpolicy.*`.
    pub fn new(config: &Config) -> ActionPolicy {
        let on = |key: &str| config.option(key).is_some_and(|text| parse_bool(text).unwrap_or(false));
        let default_name = config.option("plugin.actionpolicy.default_name").unwrap_or("default");
        ActionPolicy {
            dir: config.dir().join("policies"),
            allow_unconfigured: on("plugin.actionpolicy.allow_unconfigured"),
            default_name: on("plugin.actionpolicy.enable_default").then(|| default_name.to_string()),
            classes_known: !config.classesfile.is_empty(),
            policies: Kept::default(),
            groups: Kept::default(),
        }
    }

    /// Whether `request` may run on a node with these classes and facts. No
    /// policy file, and anything that cannot be read or evaluated, is a denial.
    pub fn decide(&self, request: &AuthzRequest<'_>, classes: &[String], facts: &Facts) -> Decision {
        match self.judge(request, classes, facts) {
            Ok(decision) => decision,
            Err(problem) => Decision::new(Outcome::Error, problem),
        }
    }

    fn judge(
        &self,
        request: &AuthzRequest<'_>,
        classes: &[String],
        facts: &Facts,
    ) -> Result<Decision, String> {
        let AuthzRequest { caller, agent, action } = request;
        // The name comes from a request and becomes part of a path.
        if !agent.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') || agent.is_empty() {
            return Err(format!("{agent:?} cannot be the name of an agent"));
        }
        let names = std::iter::once(*agent).chain(self.default_name.as_deref());
        let mut found = None;
        for name in names {
            let path = self.dir.join(format!("{name}.policy"));
            if let Some(policy) = self.policies.get(&path, Policy::parse)? {
                found = Some((path, policy));
                break;
            }
        }
        let Some((path, policy)) = found else {
            let path = self.dir.join(format!("{agent}.policy"));
            let reason = format!("there is no policy for agent {agent}: {} does not exist", path.display());
            return Ok(Decision::new(Outcome::NoPolicy, reason));
        };
        let groups = self.groups.get(&self.dir.join("groups"), Groups::parse)?.unwrap_or_default();
        let classes = self.classes_known.then_some(classes);
        let verdict = policy.decide(request, &groups, classes, facts, self.allow_unconfigured);
        let path = path.display();
        // The only part of the reason nobody has checked yet.
        let action: String = action.chars().take(100).flat_map(char::escape_debug).collect();
        let reason = match verdict.outcome {
            Outcome::Error => format!("{path}:{}: {}", verdict.line, verdict.error),
            Outcome::AllowRule => format!("{path}:{} allows {caller} {agent}#{action}", verdict.line),
            Outcome::DenyRule => format!("{path}:{} denies {caller} {agent}#{action}", verdict.line),
            _ => format!("{path}: no rule is about {caller} {agent}#{action}, its default counts"),
        };
        Ok(Decision::new(verdict.outcome, reason))
    }

    /// Lines of the policy of `agent` that are skipped, with their reasons,
    /// for the log when it starts.
    pub fn problems(&self, agent: &str) -> Vec<String> {
        let path = self.dir.join(format!("{agent}.policy"));
        match self.policies.get(&path, Policy::parse) {
            Ok(Some(policy)) => {
                let told = policy.problems().iter();
                told.map(|(line, text)| format!("{}:{line} {text}", path.display())).collect()
            }
            Ok(None) => Vec::new(),
            Err(problem) => vec![problem],
        }
    }
}

/// Files as they were last read, parsed.
#[derive(Debug)]
struct Kept<T>(Mutex<HashMap<PathBuf, (Version, Arc<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}

impl<T> Kept<T> {
    /// The content of `path`, parsed now or earlier; `None` when there is no
    /// such file.
    fn get(&self, path: &Path, parse: impl Fn(&str) -> T) -> Result<Option<Arc<T>>, String> {
        let version = match Version::of(path) {
            Ok(version) => version,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("cannot read {}: {e}", path.display())),
        };
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((kept, value)) = lock().get(path)
            && *kept == version
        {
            return Ok(Some(value.clone()));
        }
        // Taken before reading: a change in between is read again next time.
        let bytes = read_bounded(path, MAX_BYTES).map_err(|e| e.to_string())?;
        let value = Arc::new(parse(&String::from_utf8_lossy(&bytes)));
        let mut kept = lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(path.to_path_buf(), (version, value.clone()));
        Ok(Some(value))
    }
}

#[cfg(test)]
impl ActionPolicy {
    /// A node whose `classesfile` is empty, which no file can express.
    pub(super) fn forget_classes(&mut self) {
        self.classes_known = false;
    }
}
