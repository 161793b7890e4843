//! Action policies as files: `policies/AGENT.policy` beside the configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::groups::Groups;
use super::kept::{Kept, MAX_KEPT, check_name};
use super::policy::{Policy, Problem};
use super::{AuthzRequest, Decision, Outcome};
use crate::core::config::Config;
use crate::core::protocol::filter::Facts;

/// Problems of one file that are logged.
const MAX_TOLD: usize = 20;
/// The file of groups, and what it is kept as told by.
const GROUPS: &str = "groups";

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
    /// One value, so that a node without a groups file is seen not to change.
    no_groups: Arc<Groups>,
    told: Told,
}

/// As what each file was when its problems were logged: a policy together with
/// the groups it was looked at with.
type Told = Mutex<HashMap<PathBuf, (Option<Arc<Policy>>, Arc<Groups>)>>;

impl ActionPolicy {
    /// The policies below the directory of `config`'s file, with the settings
    /// `plugin.actionpolicy.*`.
    pub fn new(config: &Config) -> ActionPolicy {
        ActionPolicy {
            dir: config.dir().join("policies"),
            allow_unconfigured: config.actionpolicy_allow_unconfigured,
            default_name: config
                .actionpolicy_enable_default
                .then(|| config.actionpolicy_default_name.clone()),
            classes_known: !config.classesfile.is_empty(),
            policies: Kept::default(),
            groups: Kept::default(),
            no_groups: Arc::default(),
            told: Told::default(),
        }
    }

    /// The policies of a directory, for whoever only wants to look at them.
    pub fn in_directory(dir: &Path) -> ActionPolicy {
        ActionPolicy {
            dir: dir.to_path_buf(),
            allow_unconfigured: false,
            default_name: None,
            classes_known: true,
            policies: Kept::default(),
            groups: Kept::default(),
            no_groups: Arc::default(),
            told: Told::default(),
        }
    }

    /// Whether `request` may run on a node with these classes and facts. No
    /// policy file, and anything that cannot be read or evaluated, is a denial.
    pub fn decide(&self, request: &AuthzRequest<'_>, classes: Option<&[String]>, facts: &Facts) -> Decision {
        match self.judge(request, classes, facts) {
            Ok(decision) => decision,
            Err(problem) => Decision::new(Outcome::Error, problem),
        }
    }

    fn judge(
        &self,
        request: &AuthzRequest<'_>,
        classes: Option<&[String]>,
        facts: &Facts,
    ) -> Result<Decision, String> {
        let AuthzRequest { caller, agent, action, .. } = request;
        let Some((path, policy)) = self.of_agent(agent)? else {
            let path = self.dir.join(format!("{agent}.policy"));
            let reason = format!("there is no policy for agent {agent}: {} does not exist", path.display());
            return Ok(Decision::new(Outcome::NoPolicy, reason));
        };
        let groups = self.groups()?;
        self.tell(&path, &policy, &groups);
        let classes = classes.filter(|_| self.classes_known);
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

    /// The policy that decides about an agent, its own or the default one.
    fn of_agent(&self, agent: &str) -> Result<Option<(PathBuf, Arc<Policy>)>, String> {
        check_name(agent)?;
        for name in std::iter::once(agent).chain(self.default_name.as_deref()) {
            let path = self.dir.join(format!("{name}.policy"));
            if let Some(policy) = self.policies.get(&path, Policy::parse)? {
                return Ok(Some((path, policy)));
            }
        }
        Ok(None)
    }

    /// How the decision comes about, a sentence for each rule that does not decide: file, line, why.
    pub fn passed_over(
        &self,
        request: &AuthzRequest<'_>,
        classes: Option<&[String]>,
        facts: &Facts,
    ) -> Vec<String> {
        let (Ok(Some((path, policy))), Ok(groups)) = (self.of_agent(request.agent), self.groups()) else {
            return Vec::new();
        };
        let classes = classes.filter(|_| self.classes_known);
        let passed = policy.passed_over(request, &groups, classes, facts);
        passed.into_iter().map(|(line, why)| format!("{}:{line} {}", path.display(), why.text())).collect()
    }

    fn groups(&self) -> Result<Arc<Groups>, String> {
        let groups = self.groups.get(&self.dir.join(GROUPS), Groups::parse)?;
        Ok(groups.unwrap_or_else(|| self.no_groups.clone()))
    }

    /// Logs what is wrong with a policy, once for each state of it and of the
    /// groups: a request costs two comparisons.
    fn tell(&self, path: &Path, policy: &Arc<Policy>, groups: &Arc<Groups>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &(Option<Arc<Policy>>, Arc<Groups>)| {
            known.0.as_ref().is_some_and(|known| Arc::ptr_eq(known, policy)) && Arc::ptr_eq(&known.1, groups)
        };
        if told.get(path).is_some_and(same) {
            return;
        }
        if told.len() > MAX_KEPT {
            told.clear();
        }
        told.insert(path.to_path_buf(), (Some(policy.clone()), groups.clone()));
        let file = self.dir.join(GROUPS);
        let groups_known = told.get(&file).is_some_and(|known| Arc::ptr_eq(&known.1, groups));
        if !groups_known {
            told.insert(file.clone(), (None, groups.clone()));
        }
        drop(told);
        if !groups_known {
            log(&file, groups.problems());
        }
        log(path, &policy.problems(groups));
    }

    /// Logs what is wrong with all policies there are, for the start of a node.
    pub fn look_over(&self) {
        for path in self.files() {
            match (self.policies.get(&path, Policy::parse), self.groups()) {
                (Ok(Some(policy)), Ok(groups)) => self.tell(&path, &policy, &groups),
                (Err(problem), _) | (_, Err(problem)) => {
                    tracing::error!("{problem}: what it decides about is denied; repair the file");
                }
                (Ok(None), _) => {}
            }
        }
    }

    /// The policy files there are, sorted, as many as are kept.
    fn files(&self) -> Vec<PathBuf> {
        let listing = std::fs::read_dir(&self.dir).into_iter().flatten();
        let paths = listing.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|e| e == "policy")).take(MAX_KEPT).collect();
        paths.sort();
        paths
    }

    /// What is wrong with every policy and the groups, or only with the policy
    /// of one agent: file, line, what happens and what to do. Empty = nothing.
    pub fn problems(&self, agent: Option<&str>) -> Vec<String> {
        let own = |agent: &str| vec![self.dir.join(format!("{agent}.policy"))];
        agent
            .map_or_else(|| self.files(), own)
            .iter()
            .flat_map(|path| self.problems_of(path))
            .chain(self.problems_of_groups())
            .collect()
    }

    /// [`ActionPolicy::problems`] of one file, wherever it is, with the groups
    /// of this node.
    pub fn problems_of(&self, path: &Path) -> Vec<String> {
        let groups = self.groups().unwrap_or_default();
        match self.policies.get(path, Policy::parse) {
            Ok(Some(policy)) => texts(path, &policy.problems(&groups)),
            Ok(None) => vec![format!("{} does not exist: every action is denied", path.display())],
            Err(problem) => vec![problem],
        }
    }

    fn problems_of_groups(&self) -> Vec<String> {
        match self.groups() {
            Ok(groups) => texts(&self.dir.join(GROUPS), groups.problems()),
            Err(problem) => vec![problem],
        }
    }
}

fn texts(path: &Path, problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{}:{}: {}", path.display(), problem.line, problem.text)).collect()
}

fn log(path: &Path, problems: &[Problem]) {
    let all = texts(path, problems);
    for text in all.iter().take(MAX_TOLD) {
        tracing::error!("{text}");
    }
    if let Some(more) = all.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
        tracing::error!("{}: {more} more problems, see choria policy check", path.display());
    }
}

#[cfg(test)]
impl ActionPolicy {
    /// A node whose `classesfile` is empty, which no file can express.
    pub(super) fn forget_classes(&mut self) {
        self.classes_known = false;
    }
}
