//! `choria policy test`: calls with what is to become of them.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use choria::core::authz::{Authorizer, AuthzRequest};
use choria::core::config::{Config, Role, System};
use choria::core::files::read_bounded;
use choria::core::protocol::filter::Facts;
use serde_json::{Map, Value};

use super::{doubts, full_caller};
use crate::cmd::Globals;
use crate::cmd::context::daemon_file;
use crate::cmd::out::{errln, outln};
use crate::cmd::render::text::clean;

/// Longest file of cases, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// What a line is.
const COLUMNS: &str = "allow|deny caller agent#action [facts|- [classes|-]]";

/// One call, and whether it is to be allowed.
#[derive(Debug, PartialEq)]
struct Case {
    line: usize,
    allow: bool,
    caller: String,
    agent: String,
    action: String,
    facts: Map<String, Value>,
    classes: Vec<String>,
}

impl Case {
    /// `None` for a blank line or a comment.
    fn parse(line: usize, text: &str) -> anyhow::Result<Option<Case>> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(None);
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let (&[verb, caller, call, ref rest @ ..], true) = (words.as_slice(), words.len() <= 5) else {
            bail!("line {line} is no case, write: {COLUMNS}");
        };
        let allow = match verb {
            "allow" => true,
            "deny" => false,
            _ => bail!("line {line} begins with {verb:?}, which is neither allow nor deny: {COLUMNS}"),
        };
        let Some((agent, action)) =
            call.split_once('#').filter(|(agent, action)| !agent.is_empty() && !action.is_empty())
        else {
            bail!("line {line}: {call:?} is no agent#action");
        };
        let list = |at: usize| {
            rest.get(at).filter(|word| **word != "-").into_iter().flat_map(|word| word.split(','))
        };
        let mut facts = Map::new();
        for fact in list(0) {
            let Some((name, value)) = fact.split_once('=') else {
                bail!("line {line}: {fact:?} is no fact, write name=value");
            };
            // As in a fact file: what reads as a number or boolean is one.
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            insert(&mut facts, name, value);
        }
        let classes = list(1).map(str::to_owned).collect();
        let (agent, action) = (agent.to_owned(), action.to_owned());
        Ok(Some(Case { line, allow, caller: full_caller(caller), agent, action, facts, classes }))
    }
}

/// `os.family` is a fact within a fact.
fn insert(facts: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            facts.insert(name.to_owned(), value);
        }
        Some((first, rest)) => {
            let within = facts.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(within) = within {
                insert(within, rest, value);
            }
        }
    }
}

/// Decides about each case by the policies of the server configuration.
pub(super) fn run(file: &Path, globals: &Globals) -> anyhow::Result<ExitCode> {
    let config = Config::load(Role::Server, Some(&daemon_file(globals, Role::Server)?), &System)?;
    let authorizer = Authorizer::from_config(&config);
    let text = read_bounded(file, MAX_FILE).context("cannot read the cases")?;
    let (mut tried, mut wrong, mut doubtful) = (0, 0, 0);
    for (index, line) in String::from_utf8_lossy(&text).lines().enumerate() {
        let Some(case) = Case::parse(index + 1, line).with_context(|| file.display().to_string())? else {
            continue;
        };
        tried += 1;
        let request = AuthzRequest::of(&case.caller, &case.agent, &case.action);
        let facts = Facts::from_json(Value::Object(case.facts).to_string());
        let decision = authorizer.decide(&request, Some(&case.classes), &facts);
        let doubts = doubts(&config, &case.caller, &case.agent, &case.action);
        doubtful += usize::from(!doubts.is_empty());
        for doubt in doubts {
            errln!("{}:{}: {}", file.display(), case.line, clean(&doubt, false));
        }
        if decision.allowed != case.allow {
            wrong += 1;
            let (wanted, got) = if case.allow { ("allow", "denied") } else { ("deny", "allowed") };
            errln!(
                "{}:{}: is to {wanted} and is {got}: {}",
                file.display(),
                case.line,
                clean(&decision.reason, false)
            );
        }
    }
    if tried == 0 {
        bail!("{} has no cases, a line each: {COLUMNS}", file.display());
    }
    let doubtful_too = match doubtful {
        0 => String::new(),
        some => format!(", {some} that no node would take"),
    };
    outln!("{tried} calls, {wrong} not decided as they should be{doubtful_too}");
    Ok(if wrong == 0 && doubtful == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_lines() {
        let case = Case::parse(3, "deny  bob.mcollective package#install country=mt,os.cpus=4 apache,db")
            .unwrap()
            .unwrap();
        assert!(!case.allow && case.caller == "choria=bob.mcollective" && case.line == 3);
        assert_eq!((case.agent.as_str(), case.action.as_str()), ("package", "install"));
        assert_eq!(Value::Object(case.facts), serde_json::json!({"country": "mt", "os": {"cpus": 4}}));
        assert_eq!(case.classes, ["apache", "db"]);
        assert_eq!(Case::parse(1, "allow a=b rpcutil#ping - x").unwrap().unwrap().classes, ["x"]);
        for text in ["", "  # a comment"] {
            assert_eq!(Case::parse(1, text).unwrap(), None);
        }
        for (text, problem) in [
            ("allow", "is no case"),
            ("forbid a b#c", "neither allow nor deny"),
            ("allow a b", "is no agent#action"),
            ("allow a b#c d", "is no fact"),
            ("allow a b#c - - e", "is no case"),
        ] {
            let error = Case::parse(7, text).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains("line 7"), "{text}: {error}");
        }
    }
}
