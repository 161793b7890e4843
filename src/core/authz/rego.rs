//! Policies in Rego: `policies/rego/AGENT.rego` beside the configuration, else
//! `default.rego` there (spec 02 §6.2).
//!
//! The rule `allow` of package `io.choria.mcorpc.authpolicy` has to be true, and nothing
//! else: what is undefined, no truth or takes too long denies. The language is that of
//! OPA v1, as the original's is: rules need `if`. Policies reach nothing outside.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value as RegoValue};
use serde_json::{Map, Value, json};

use super::kept::{Kept, check_name};
use super::{AuthzRequest, Decision, Outcome};
use crate::core::config::Config;
use crate::core::protocol::filter::Facts;
use crate::core::text::shortened;

/// What decides.
const RULE: &str = "data.io.choria.mcorpc.authpolicy.allow";
/// For agents without a policy of their own.
const DEFAULT: &str = "default";
/// How long one decision may take: inputs are of somebody who may have no rights.
const LONGEST: Duration = Duration::from_millis(250);
/// Steps between looks at the clock.
const STEPS: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// Characters of an error, which quotes the policy.
const TOLD: usize = 300;

/// Decides by the Rego policy of the agent that is asked.
#[derive(Debug)]
pub struct Rego {
    dir: PathBuf,
    tracing: bool,
    policies: Kept<Compiled>,
}

/// A policy as it was read, or why it cannot be, and what of the node it looks at.
struct Compiled {
    engine: Result<Engine, String>,
    facts: bool,
    classes: bool,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Compiled").field(&self.engine.as_ref().map(|_| ())).finish()
    }
}

impl Compiled {
    fn parse(text: &str) -> Compiled {
        let mut engine = Engine::new();
        engine.set_rego_v0(false);
        engine.set_strict_builtin_errors(false);
        engine.set_execution_timer_config(ExecutionTimerConfig { limit: LONGEST, check_interval: STEPS });
        let added = engine.add_policy("policy".to_owned(), text.to_owned());
        let engine = match added {
            Ok(package) if package == "data.io.choria.mcorpc.authpolicy" => whole(engine),
            Ok(package) => Err(format!(
                "its package is {}, not io.choria.mcorpc.authpolicy",
                shortened(package.trim_start_matches("data."), TOLD)
            )),
            Err(e) => Err(told(&e)),
        };
        Compiled { engine, facts: looks_at(text, "facts"), classes: looks_at(text, "classes") }
    }
}

/// A policy that is asked for what it has, and calls what there is: that is found when it decides, not before, so it is
/// asked about nothing.
fn whole(engine: Engine) -> Result<Engine, String> {
    let mut asked = engine.clone();
    asked.set_input(RegoValue::new_object());
    match asked.eval_rule(RULE.to_owned()).map_err(|e| told(&e)) {
        Err(e) if e.contains("not a valid rule path") => {
            Err("it has no rule allow, so that it would allow nothing".to_owned())
        }
        Err(e) if e.contains("could not find function") => Err(e),
        _ => Ok(engine),
    }
}

/// A value as a policy would write it.
fn worded(value: &RegoValue) -> String {
    match value {
        RegoValue::Undefined => "undefined".to_owned(),
        other => shortened(&other.to_string(), TOLD),
    }
}

/// Whether a policy may look at this member of its input: by its name, or by whatever it does with all of it.
fn looks_at(text: &str, member: &str) -> bool {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    code.flat_map(|line| {
        line.match_indices("input").map(move |(at, word)| (&line[..at], &line[at + word.len()..]))
    })
    .filter(|(before, after)| !before.ends_with(of_name) && !after.starts_with(of_name))
    .any(|(_, after)| match after.strip_prefix('.') {
        Some(named) => named.split(|c| !of_name(c)).next() == Some(member),
        None => true,
    })
}

/// An error in one line.
fn told(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    shortened(&words.join(" "), TOLD)
}

impl Rego {
    /// The policies below the directory of `config`'s file.
    pub fn new(config: &Config) -> Rego {
        Rego {
            dir: config.dir().join("policies/rego"),
            tracing: config.regopolicy_tracing,
            policies: Kept::default(),
        }
    }

    /// The policies of a directory, for whoever only wants to look at them.
    pub fn in_directory(dir: &Path) -> Rego {
        Rego { dir: dir.to_path_buf(), tracing: false, policies: Kept::default() }
    }

    /// Whether `request` may run on a node with these classes and facts.
    pub fn decide(&self, request: &AuthzRequest<'_>, classes: Option<&[String]>, facts: &Facts) -> Decision {
        self.judge(request, classes, facts).unwrap_or_else(|problem| Decision::new(Outcome::Error, problem))
    }

    fn judge(
        &self,
        request: &AuthzRequest<'_>,
        classes: Option<&[String]>,
        facts: &Facts,
    ) -> Result<Decision, String> {
        let AuthzRequest { caller, agent, action, .. } = *request;
        check_name(agent)?;
        let Some((path, policy)) = self.of_agent(agent)? else {
            let path = self.dir.join(format!("{agent}.rego"));
            let reason = format!("there is no policy for agent {agent}: {} does not exist", path.display());
            return Ok(Decision::new(Outcome::NoPolicy, reason));
        };
        let path = path.display();
        if policy.facts && facts.are_broken() {
            return Err(format!("{path}: it names facts, and the facts of this node cannot be read"));
        }
        if policy.classes && classes.is_none() {
            return Err(format!(
                "{path}: it names classes, and no classesfile is configured or it could never be read"
            ));
        }
        let engine = policy.engine.as_ref().map_err(|problem| format!("{path}: {problem}"))?;
        let mut engine = engine.clone();
        let input = input(request, classes, facts);
        if self.tracing {
            engine.set_gather_prints(true);
        }
        engine.set_input(RegoValue::from(input));
        let value = engine.eval_rule(RULE.to_owned());
        if self.tracing {
            for line in engine.take_prints().unwrap_or_default() {
                tracing::info!(agent, action, caller, "{path} prints: {}", shortened(&line, TOLD));
            }
            let came_to = value.as_ref().map_or_else(|e| format!("not known: {}", told(e)), worded);
            tracing::info!(agent, action, caller, "{path}: allow is {came_to}");
        }
        let action = shortened(action, 100);
        match value.map_err(|e| format!("{path}: {}", told(&e)))? {
            RegoValue::Bool(true) => {
                Ok(Decision::new(Outcome::AllowRule, format!("{path} allows {caller} {agent}#{action}")))
            }
            RegoValue::Bool(false) => {
                Ok(Decision::new(Outcome::DenyRule, format!("{path} denies {caller} {agent}#{action}")))
            }
            RegoValue::Undefined => {
                Err(format!("{path}: allow is undefined, give it a default: default allow := false"))
            }
            _ => Err(format!("{path}: allow is neither true nor false")),
        }
    }

    fn of_agent(&self, agent: &str) -> Result<Option<(PathBuf, std::sync::Arc<Compiled>)>, String> {
        for name in [agent, DEFAULT] {
            let path = self.dir.join(format!("{name}.rego"));
            if let Some(policy) = self.policies.get(&path, Compiled::parse)? {
                return Ok(Some((path, policy)));
            }
        }
        Ok(None)
    }

    /// Logs what is wrong with all policies there are, for the start of a node.
    pub fn look_over(&self) {
        for problem in self.problems() {
            tracing::error!("{problem}: what it decides about is denied; repair the file");
        }
    }

    /// What is wrong with the policies there are: file and reason.
    pub fn problems(&self) -> Vec<String> {
        let listing = std::fs::read_dir(&self.dir).into_iter().flatten();
        let paths = listing.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|e| e == "rego")).collect();
        paths.sort();
        paths.iter().filter_map(|path| self.problem_of(path)).collect()
    }

    /// What is wrong with one, wherever it is.
    pub fn problem_of(&self, path: &Path) -> Option<String> {
        match self.policies.get(path, Compiled::parse) {
            Ok(Some(policy)) => {
                policy.engine.as_ref().err().map(|problem| format!("{}: {problem}", path.display()))
            }
            Ok(None) => Some(format!("{} does not exist", path.display())),
            Err(problem) => Some(problem),
        }
    }
}

/// What a policy is told of a request and of this node; what cannot be read it does not ask for.
fn input(request: &AuthzRequest<'_>, classes: Option<&[String]>, facts: &Facts) -> Value {
    let about = request.about;
    let data = about.data.cloned().unwrap_or_default();
    let facts: Map<String, Value> = serde_json::from_str(facts.as_json()).unwrap_or_default();
    json!({
        "agent": request.agent,
        "action": request.action,
        "callerid": request.caller,
        "collective": about.collective,
        "data": data,
        "ttl": about.ttl,
        "time": about.time,
        "facts": facts,
        "classes": classes.unwrap_or_default(),
        "agents": about.agents,
        "provision_mode": about.provision_mode,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::authz::About;
    use crate::core::config::{Fixed, Role};

    const PACKAGE: &str = "package io.choria.mcorpc.authpolicy\n\ndefault allow := false\n\n";

    fn rego(dir: &Path, name: &str, rules: &str) -> Rego {
        let policies = dir.join("policies/rego");
        std::fs::create_dir_all(&policies).unwrap();
        std::fs::write(policies.join(name), rules).unwrap();
        std::fs::write(dir.join("server.conf"), "identity = n1\n").unwrap();
        let config = Config::load(Role::Server, Some(&dir.join("server.conf")), &Fixed::default()).unwrap();
        Rego::new(&config)
    }

    fn decide(rego: &Rego, data: Value) -> Decision {
        let facts = Facts::from_json(json!({"country": "mt", "os": {"name": "Debian"}}).to_string());
        let (data, agents) = (data.as_object().cloned(), ["rpcutil".to_owned(), "service".to_owned()]);
        let about = About {
            collective: "uk",
            data: data.as_ref(),
            ttl: 60,
            time: 1000,
            agents: &agents,
            provision_mode: false,
        };
        let request = AuthzRequest { about, ..AuthzRequest::of("choria=bob", "service", "restart") };
        rego.decide(&request, Some(&["apache".to_owned()]), &facts)
    }

    #[test]
    fn what_cannot_be_read_keeps_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let (known, none) = (["apache".to_owned()], None);
        let about = || AuthzRequest::of("choria=bob", "service", "restart");
        for (condition, facts, classes, allowed) in [
            ("not input.facts.frozen", Facts::default(), Some(&known[..]), true),
            ("not input.facts.frozen", Facts::unknown(), Some(&known[..]), false),
            ("not input[\"facts\"].frozen", Facts::unknown(), Some(&known[..]), false),
            ("not \"db\" in input.classes", Facts::unknown(), Some(&known[..]), true),
            ("not \"db\" in input.classes", Facts::default(), none, false),
            ("input.action == \"restart\"", Facts::unknown(), none, true),
            ("input.action == \"restart\" # whatever the facts and classes", Facts::unknown(), none, true),
            (
                "count([part | some part in input; part.frozen == true]) == 0",
                Facts::unknown(),
                Some(&known[..]),
                false,
            ),
            (
                "node := input\n what := concat(\"\", [\"fac\", \"ts\"])\n not node[what].frozen",
                Facts::unknown(),
                Some(&known[..]),
                false,
            ),
        ] {
            let rego = rego(dir.path(), "service.rego", &format!("{PACKAGE}allow if {{\n {condition}\n}}\n"));
            let decision = rego.decide(&about(), classes, &facts);
            assert_eq!(decision.allowed, allowed, "{condition}: {}", decision.reason);
        }
    }

    #[test]
    fn a_policy_sees_the_request_and_the_node() {
        let dir = tempfile::tempdir().unwrap();
        for (condition, allowed) in [
            (
                "input.agent == \"service\"\n input.action == \"restart\"\n input.callerid == \"choria=bob\"",
                true,
            ),
            ("input.data.service == \"nginx\"", true),
            ("input.data.service == \"cron\"", false),
            ("input.data.service in {\"nginx\", \"apache2\"}", true),
            ("input.facts.country == \"mt\"\n input.facts.os.name == \"Debian\"", true),
            ("\"apache\" in input.classes\n \"service\" in input.agents", true),
            (
                "input.collective == \"uk\"\n input.ttl == 60\n input.time > 999\n not input.provision_mode",
                true,
            ),
            ("regex.match(`^choria=(bob|alice)$`, input.callerid)", true),
            ("startswith(input.callerid, \"choria=eve\")", false),
            ("time.weekday(input.time * 1000000000) == \"Thursday\"", true),
        ] {
            let rego = rego(dir.path(), "service.rego", &format!("{PACKAGE}allow if {{\n {condition}\n}}\n"));
            let decision = decide(&rego, json!({"service": "nginx"}));
            assert_eq!(decision.allowed, allowed, "{condition}: {}", decision.reason);
            assert!(decision.reason.contains("policies/rego/service.rego"), "{}", decision.reason);
        }
    }

    #[test]
    fn whatever_is_not_true_denies() {
        let package = "package io.choria.mcorpc.authpolicy\n";
        for (text, why) in [
            (format!("{package}allow if input.agent == \"x\"\n"), "allow is undefined"),
            (format!("{package}allow := \"yes\"\n"), "neither true nor false"),
            (format!("{package}allow := 1\n"), "neither true nor false"),
            (format!("{package}allow {{ true }}\n"), "if"),
            ("package other\nallow := true\n".to_owned(), "its package is other, not io.choria"),
            (format!("{package}allow if nosuch(input)\n"), "nosuch"),
            ("nothing of the kind".to_owned(), "expecting"),
            (String::new(), "expecting"),
            (
                format!(
                    "{package}default allow := false\nallow if {{\n some a in numbers.range(1, 100000)\n \
                     some b in numbers.range(1, 100000)\n a + b == 0\n}}\n"
                ),
                "",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let begun = std::time::Instant::now();
            let decision = decide(&rego(dir.path(), "default.rego", &text), json!({}));
            assert!(!decision.allowed && decision.outcome == Outcome::Error, "{text}: {decision:?}");
            assert!(decision.reason.contains(why) && !decision.reason.contains('\n'), "{text}: {decision:?}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let rego = rego(dir.path(), "other.rego", &format!("{PACKAGE}allow := true\n"));
        assert_eq!(decide(&rego, json!({})).outcome, Outcome::NoPolicy);
    }

    #[test]
    fn a_changed_policy_decides_at_once_and_problems_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let rego = rego(dir.path(), "service.rego", &format!("{PACKAGE}allow if true\n"));
        assert!(decide(&rego, json!({})).allowed && rego.problems().is_empty());
        std::fs::write(dir.path().join("policies/rego/service.rego"), format!("{PACKAGE}allow if {{\n"))
            .unwrap();
        assert!(!decide(&rego, json!({})).allowed);
        let problems = rego.problems();
        assert!(problems.len() == 1 && problems[0].contains("service.rego"), "{problems:?}");
        // what would be found when it decides, or never
        for (rules, what) in [
            ("allow if strartswith(input.action, \"st\")\n", "could not find function strartswith"),
            ("allow if http.send({\"method\": \"get\", \"url\": input.data.url})\n", "http.send"),
            ("allwo if true\n", "it has no rule allow"),
            ("allow if input.data.count / 0 > 1\nallow if input.facts.a.b.c[0] == 1\n", ""),
        ] {
            let package = "package io.choria.mcorpc.authpolicy\n\n";
            std::fs::write(dir.path().join("policies/rego/service.rego"), format!("{package}{rules}"))
                .unwrap();
            let problems = rego.problems();
            assert_eq!(problems.len(), usize::from(!what.is_empty()), "{rules}: {problems:?}");
            assert!(problems.iter().all(|problem| problem.contains(what)), "{rules}: {problems:?}");
        }
    }
}
