//! The text of one policy file → rules that decide (spec 02 §6.1).
//!
//! A rule is four or five columns between tabs: `allow` or `deny`, callers,
//! actions, facts, classes. The first rule that matches decides, otherwise the
//! last `policy default` line, wherever it stands. What the original accepts,
//! skips and fails on is kept, because one request is judged by every node of
//! a mixed fleet.

use regex::Regex;

use super::groups::Groups;
use super::{AuthzRequest, Outcome};
use crate::core::protocol::filter::{FactFilter, Facts, NoData, NodeView, search};

/// Longest line; the original fails the whole evaluation at a longer one.
const MAX_LINE: usize = 64 * 1024;
/// Most rules of one file.
const MAX_RULES: usize = 20_000;

/// A policy file, read.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
    default: Option<bool>,
    problems: Vec<(usize, String)>,
}

#[derive(Debug, Clone)]
struct Rule {
    line: usize,
    allow: bool,
    callers: Callers,
    actions: Option<Vec<String>>,
    /// Facts and classes; an error ends the evaluation when callers and
    /// actions match.
    conditions: Result<Conditions, String>,
}

#[derive(Debug, Clone)]
enum Callers {
    Everybody,
    Listed(Vec<CallerItem>),
}

#[derive(Debug, Clone)]
enum CallerItem {
    /// A caller id or the name of a group.
    Text(String),
    Expression(Regex),
    /// A malformed expression: the items after it do not count either.
    Malformed,
}

#[derive(Debug, Clone)]
struct Conditions {
    facts: Vec<FactFilter>,
    classes: Vec<ClassItem>,
}

#[derive(Debug, Clone)]
enum ClassItem {
    Name(String),
    Expression(Option<Regex>),
}

/// What a policy says about one call: how it came about, the line that says
/// so (0 = none), and what was wrong for [`Outcome::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How it came about.
    pub outcome: Outcome,
    /// Line of the file, from 1; 0 when no rule decided.
    pub line: usize,
    /// What could not be evaluated; empty unless `outcome` is an error.
    pub error: String,
}

impl Policy {
    /// Reads a policy. Nothing is an error here: lines that are no rule are
    /// skipped and told by [`Policy::problems`].
    pub fn parse(text: &str) -> Policy {
        let mut policy = Policy { rules: Vec::new(), default: None, problems: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            policy.read_line(index + 1, line);
            if policy.rules.len() >= MAX_RULES {
                let error = Err(format!("more than {MAX_RULES} rules"));
                policy.rules.push(Rule::broken(index + 1, error));
                break;
            }
        }
        policy
    }

    fn read_line(&mut self, number: usize, line: &str) {
        if line.len() > MAX_LINE {
            let error = Err(format!("a line longer than {MAX_LINE} bytes"));
            self.rules.push(Rule::broken(number, error));
            return;
        }
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            return;
        }
        if let Some(word) = default_word(line) {
            // Any word but "allow" denies.
            self.default = Some(word == "allow");
            return;
        }
        match Rule::parse(number, line) {
            Ok(rule) => self.rules.push(rule),
            Err(problem) => self.problems.push((number, problem)),
        }
    }

    /// Lines that were skipped, and why.
    pub fn problems(&self) -> &[(usize, String)] {
        &self.problems
    }

    /// What the policy says about `request` on a node with these groups,
    /// classes (`None` when no classes file is configured) and facts;
    /// `allow_by_default` counts when the file names no default.
    pub fn decide(
        &self,
        request: &AuthzRequest<'_>,
        groups: &Groups,
        classes: Option<&[String]>,
        facts: &Facts,
        allow_by_default: bool,
    ) -> Verdict {
        for rule in &self.rules {
            if !rule.callers.include(request.caller, groups) || !rule.acts_on(request.action) {
                continue;
            }
            let error = |error| Verdict { outcome: Outcome::Error, line: rule.line, error };
            match rule.conditions_hold(classes, facts) {
                Err(problem) => return error(problem),
                Ok(false) => {}
                Ok(true) => {
                    let outcome = if rule.allow { Outcome::AllowRule } else { Outcome::DenyRule };
                    return Verdict { outcome, line: rule.line, error: String::new() };
                }
            }
        }
        let allowed = self.default.unwrap_or(allow_by_default);
        let outcome = if allowed { Outcome::DefaultAllow } else { Outcome::DefaultDeny };
        Verdict { outcome, line: 0, error: String::new() }
    }
}

impl Rule {
    /// A rule for everybody and everything that can only fail.
    fn broken(line: usize, conditions: Result<Conditions, String>) -> Rule {
        Rule { line, allow: false, callers: Callers::Everybody, actions: None, conditions }
    }

    fn parse(number: usize, line: &str) -> Result<Rule, String> {
        let columns: Vec<&str> = line.split('\t').collect();
        let filled: Vec<&str> = columns.iter().copied().filter(|column| !column.is_empty()).collect();
        let (verb, callers, actions, facts, classes) = match filled.as_slice() {
            [verb, callers, actions, facts] => (verb, callers, actions, facts, None),
            [verb, callers, actions, facts, classes] => (verb, callers, actions, facts, Some(*classes)),
            _ => return Err("is not a rule of five columns between tabs, skipped".into()),
        };
        let allow = match *verb {
            "allow" => true,
            "deny" => false,
            _ => return Err("begins with neither allow, deny nor policy default, skipped".into()),
        };
        if columns.first() == Some(&"") {
            return Err("begins with a tab, skipped".into());
        }
        if columns.last() == Some(&"") {
            return Err("ends with a tab, so its classes match nothing, skipped".into());
        }
        if is_compound(facts) || classes.is_some_and(is_compound) {
            return Err("uses a compound expression, which is not supported, skipped".into());
        }
        let conditions = match classes {
            // A rule of four columns matches until its classes are looked at.
            None => Err("the rule has no column of classes".to_string()),
            Some(classes) => Conditions::parse(facts, classes),
        };
        let actions = (*actions != "*").then(|| actions.split(' ').map(str::to_string).collect());
        Ok(Rule { line: number, allow, callers: Callers::parse(callers), actions, conditions })
    }

    fn acts_on(&self, action: &str) -> bool {
        self.actions.as_ref().is_none_or(|actions| actions.iter().any(|a| a == action))
    }

    fn conditions_hold(&self, classes: Option<&[String]>, facts: &Facts) -> Result<bool, String> {
        let conditions = self.conditions.as_ref().map_err(String::clone)?;
        let classes_hold = if conditions.classes.is_empty() {
            true
        } else {
            let classes = classes.ok_or("it names classes and no classesfile is configured")?;
            let node = NodeView { identity: "", agents: &[], classes, facts, data: &NoData };
            conditions.classes.iter().all(|item| item.holds(&node))
        };
        if classes_hold && !conditions.facts.is_empty() && facts.are_broken() {
            // To a node without facts no deny rule about facts would apply.
            return Err("it names facts, and the facts of this node cannot be read".into());
        }
        // A fact that cannot be compared does not match, as in the original.
        Ok(classes_hold && conditions.facts.iter().all(|fact| fact.matches(facts).unwrap_or(false)))
    }
}

impl Callers {
    fn parse(column: &str) -> Callers {
        if column == "*" {
            return Callers::Everybody;
        }
        let item = |text: &str| match text.strip_prefix('/') {
            None => CallerItem::Text(text.to_string()),
            Some(rest) => match rest.strip_suffix('/').and_then(search) {
                Some(regex) => CallerItem::Expression(regex),
                None => CallerItem::Malformed,
            },
        };
        Callers::Listed(column.split(' ').map(item).collect())
    }

    fn include(&self, caller: &str, groups: &Groups) -> bool {
        let Callers::Listed(items) = self else { return true };
        let by_group = items.iter().any(|item| match item {
            CallerItem::Text(name) => groups.includes(name, caller),
            _ => false,
        });
        if by_group {
            return true;
        }
        for item in items {
            match item {
                CallerItem::Text(text) if text == caller => return true,
                CallerItem::Expression(regex) if regex.is_match(caller) => return true,
                CallerItem::Malformed => return false,
                _ => {}
            }
        }
        false
    }
}

impl Conditions {
    fn parse(facts: &str, classes: &str) -> Result<Conditions, String> {
        let facts = match facts {
            "*" => Vec::new(),
            _ => {
                let parsed = facts.split(' ').map(|text| {
                    FactFilter::parse(text).map_err(|_| format!("{text:?} is not a fact expression"))
                });
                parsed.collect::<Result<_, _>>()?
            }
        };
        let classes = match classes {
            "*" => Vec::new(),
            _ => classes.split(' ').map(ClassItem::parse).collect::<Result<_, _>>()?,
        };
        Ok(Conditions { facts, classes })
    }
}

impl ClassItem {
    fn parse(text: &str) -> Result<ClassItem, String> {
        match text.strip_prefix('/') {
            Some(rest) => {
                let regex = rest.strip_suffix('/').and_then(|inner| search(&format!("(?i){inner}")));
                Ok(ClassItem::Expression(regex))
            }
            // A fact in the wrong column.
            None if text.contains(['=', '<', '>']) => Err(format!("{text:?} is not a class")),
            None => Ok(ClassItem::Name(text.to_string())),
        }
    }

    fn holds(&self, node: &NodeView<'_>) -> bool {
        match self {
            ClassItem::Name(name) => node.has_class(name),
            ClassItem::Expression(regex) => {
                regex.as_ref().is_some_and(|regex| node.classes.iter().any(|class| regex.is_match(class)))
            }
        }
    }
}

/// The word of a `policy default WORD` line: letters, digits and `_`, whatever
/// follows.
fn default_word(line: &str) -> Option<&str> {
    let after = |text: &'_ str, word: &str| -> Option<usize> {
        let rest = text.strip_prefix(word)?;
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let skipped = text.len() - rest.len();
        (skipped > word.len()).then_some(skipped)
    };
    let rest = line.get(after(line, "policy")?..)?;
    let rest = rest.get(after(rest, "default")?..)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.get(..end).filter(|word| !word.is_empty())
}

/// `!x`, a lone `not`, `and` or `or`, or anything in parentheses.
fn is_compound(column: &str) -> bool {
    column.split(' ').any(|item| {
        let parentheses = match (item.find('('), item.rfind(')')) {
            (Some(open), Some(close)) => close > open + 1,
            _ => false,
        };
        item.starts_with('!') || matches!(item, "not" | "and" | "or") || parentheses
    })
}
