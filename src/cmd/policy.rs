//! `choria policy`: what is wrong with policy files, and what they decide, before a node says it.

mod cases;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
#[cfg(feature = "rego")]
use choria::core::authz::Rego;
use choria::core::authz::{About, ActionPolicy, Authorizer, AuthzRequest};
use choria::core::config::{Config, Role, System};
use choria::core::ddl::builtin_names;
use choria::core::protocol::filter::{Facts, load_classes};
use choria::core::security::NameList;
use choria::core::text::meant;
use serde_json::{Map, Value};

use super::Globals;
use super::context::{daemon_file, not_ours};
use super::out::{errln, outln};
use super::render::text::clean;
use super::rpc::resolver;

/// The configuration whose directory has the policies, unless another is named.
const SERVER: &str = "/etc/choria/server.conf";

/// policies: who may do what on this node
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "policy")]
pub struct Policy {
    #[argh(subcommand)]
    command: PolicyCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum PolicyCommand {
    Check(Check),
    Test(Test),
}

/// say what is wrong with policy files, or, with --caller, who decides about a call and why; exit 1 when anything is
/// wrong, or the call is denied
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "check")]
struct Check {
    /// decide about a call of this caller, such as choria=bob.mcollective or bob.mcollective
    #[argh(option, arg_name = "caller")]
    caller: Option<String>,
    /// of this agent
    #[argh(option, arg_name = "agent")]
    agent: Option<String>,
    /// and this action
    #[argh(option, arg_name = "action")]
    action: Option<String>,
    /// with this input, key=value; may be given several times. Policies in Rego look at them
    #[argh(option, long = "input", arg_name = "key=value")]
    inputs: Vec<String>,
    /// on a node with the facts in this file, default those of the server configuration
    #[argh(option, arg_name = "file")]
    facts: Option<String>,
    /// on a node with this class; may be given several times, default those of the server configuration
    #[argh(option, long = "class", arg_name = "class")]
    classes: Vec<String>,
    /// policy files, or agents; without any all policies and the groups of the server configuration
    #[argh(positional, arg_name = "file|agent")]
    what: Vec<String>,
}

/// decide about each call in a file, for continuous integration; exit 1 when one is not decided as it says
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "test")]
struct Test {
    /// a line a call: allow or deny, caller, agent#action, facts a=b,c=d or -, classes a,b or -
    #[argh(positional, arg_name = "file")]
    file: String,
}

impl Policy {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self.command {
            PolicyCommand::Check(check) => check.run(globals),
            PolicyCommand::Test(test) => cases::run(Path::new(&test.file), globals),
        }
    }
}

impl Check {
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match (&self.caller, &self.agent, &self.action) {
            (Some(caller), Some(agent), Some(action)) if self.what.is_empty() => {
                return self.decide(caller, agent, action, globals);
            }
            (Some(_), Some(_), Some(_)) => bail!("either a call (--caller, --agent, --action) or files"),
            (None, None, None) if self.facts.is_none() && self.classes.is_empty() => {}
            _ => bail!("a call is --caller, --agent and --action together"),
        }
        let named = globals.config.clone();
        let file = named.clone().unwrap_or_else(|| PathBuf::from(SERVER));
        let is_file = |what: &str| what.contains('/') || what.ends_with(".policy") || what.ends_with(".rego");
        let only_files = !self.what.is_empty() && self.what.iter().all(|what| is_file(what));
        // of files that are named the server's configuration says nothing that they need
        let is_closed = not_ours(&file);
        if is_closed && (named.is_some() || !only_files) {
            bail!("{} is not yours to read: sudo does, --config FILE names another", file.display());
        }
        #[cfg(feature = "rego")]
        if only_files && self.what.iter().all(|what| what.ends_with(".rego"))
            || self.what.is_empty() && file.exists() && decides_by_rego(&file)?
        {
            return self.check_rego(&file);
        }
        // Files may be checked where no server is; their groups stand beside them.
        let policies = match (named.is_some() || file.exists() && !is_closed, only_files) {
            (true, _) => ActionPolicy::new(&Config::load(Role::Server, Some(&file), &System)?),
            (false, true) => ActionPolicy::in_directory(parent(self.what.first().map_or("", |what| what))),
            (false, false) => bail!("{SERVER} does not exist: name the server's configuration with --config"),
        };
        let told: Vec<String> = match self.what.as_slice() {
            [] => policies.problems(None),
            all => {
                let one = |what: &String| match is_file(what) {
                    true => policies.problems_of(Path::new(what)),
                    false => policies.problems(Some(what)),
                };
                all.iter().flat_map(one).collect()
            }
        };
        told.iter().for_each(|problem| errln!("{}", clean(problem, false)));
        match told.len() {
            0 => {
                outln!("no problems");
                Ok(ExitCode::SUCCESS)
            }
            _ => Ok(ExitCode::FAILURE),
        }
    }
}

impl Check {
    /// The same for policies in Rego.
    #[cfg(feature = "rego")]
    fn check_rego(&self, file: &Path) -> anyhow::Result<ExitCode> {
        let dir = file.parent().unwrap_or(Path::new("."));
        let policies = Rego::in_directory(&dir.join("policies/rego"));
        let told = match self.what.as_slice() {
            [] => policies.problems(),
            all => all.iter().filter_map(|what| policies.problem_of(Path::new(what))).collect(),
        };
        told.iter().for_each(|problem| errln!("{}", clean(problem, false)));
        if told.is_empty() {
            outln!("no problems");
            return Ok(ExitCode::SUCCESS);
        }
        Ok(ExitCode::FAILURE)
    }

    fn decide(&self, caller: &str, agent: &str, action: &str, globals: &Globals) -> anyhow::Result<ExitCode> {
        let config = Config::load(Role::Server, Some(&daemon_file(globals, Role::Server)?), &System)?;
        let (facts, problems) = Facts::load(self.facts.as_deref().unwrap_or(&config.yaml));
        problems.iter().for_each(|problem| errln!("choria: {problem}"));
        let classes = match self.classes.is_empty() {
            true => (!config.classesfile.is_empty()).then(|| load_classes(&config.classesfile)),
            false => Some(self.classes.clone()),
        };
        let caller = full_caller(caller);
        doubts(&config, &caller, agent, action)
            .iter()
            .for_each(|doubt| errln!("choria: {}", clean(doubt, false)));
        let data = data(&self.inputs)?;
        let agents = builtin_names().iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let about = About {
            collective: &config.main_collective,
            data: Some(&data),
            ttl: 60,
            time: jiff::Timestamp::now().as_second(),
            agents: &agents,
            provision_mode: false,
        };
        let request = AuthzRequest { about, ..AuthzRequest::of(&caller, agent, action) };
        let authorizer = Authorizer::from_config(&config);
        let decision = authorizer.decide(&request, classes.as_deref(), &facts);
        outln!("{}: {}", if decision.allowed { "allowed" } else { "denied" }, clean(&decision.reason, false));
        for passed in authorizer.passed_over(&request, classes.as_deref(), &facts) {
            outln!("  {}", clean(&passed, false));
        }
        Ok(if decision.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Why a call may never come: its caller is none that nodes believe, or there is no such action.
fn doubts(config: &Config, caller: &str, agent: &str, action: &str) -> Vec<String> {
    let mut doubts = vec![];
    let callers = NameList::new(&config.choria_security_certname_whitelist);
    if let Some(name) = caller.strip_prefix("choria=").filter(|name| !callers.matches(name)) {
        let meant = format!("{name}.mcollective");
        let meant = if callers.matches(&meant) { format!(", did you mean {meant}?") } else { ".".to_owned() };
        doubts.push(format!(
            "no node takes a request of {name}: names of callers match plugin.choria.security.certname_whitelist{meant}"
        ));
    }
    if let Ok(ddl) = resolver(config).agent(agent)
        && ddl.action(action).is_none()
    {
        let names = ddl.action_names();
        let meant = meant(action, names.iter().copied());
        doubts.push(format!("{agent} has no action {action}{meant}"));
    }
    doubts
}

#[cfg(feature = "rego")]
fn decides_by_rego(file: &Path) -> anyhow::Result<bool> {
    let config = Config::load(Role::Server, Some(file), &System)?;
    Ok(matches!(Authorizer::from_config(&config), Authorizer::Rego(_)))
}

/// Inputs as a policy sees them: what reads as JSON is that, anything else a text.
fn data(inputs: &[String]) -> anyhow::Result<Map<String, Value>> {
    let pair = |input: &String| {
        let (name, text) =
            input.split_once('=').with_context(|| format!("--input {input:?} is no key=value"))?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        anyhow::Ok((name.to_owned(), value))
    };
    inputs.iter().map(pair).collect()
}

/// A caller id; a name alone is one of a certificate.
fn full_caller(caller: &str) -> String {
    if caller.contains('=') { caller.to_owned() } else { format!("choria={caller}") }
}

fn parent(file: &str) -> &Path {
    Path::new(file).parent().unwrap_or_else(|| Path::new("."))
}
