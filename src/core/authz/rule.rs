//! One rule of a policy: whom and what it is about, and when it counts.
//!
//! A rule that allows does so only where all of it can be read, as in the
//! original. Any other rule is *strict*: a column of it that cannot be read
//! counts as matching. So a deny rule with a group nobody knows denies every
//! caller what it names, one whose columns are parted by spaces denies every
//! caller everything, and so does a verb such as `forbid`.

use super::columns::{Actions, CallerItem, Callers, Conditions, allowed, is_compound};
use super::groups::Groups;
use crate::core::protocol::filter::{Facts, NoData, NodeView};

/// A rule, read.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    line: usize,
    allow: bool,
    callers: Callers,
    actions: Actions,
    /// Facts and classes; an error ends the evaluation when callers and
    /// actions match.
    conditions: Result<Conditions, String>,
    /// What of its text does not do what it seems to, groups aside.
    problems: Vec<String>,
}

/// Whether a rule is about a caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// It is.
    Caller,
    /// It is not.
    Others,
    /// It cannot be told, and the rule does not allow; says why.
    Perhaps(String),
}

const COLUMNS: &str =
    "write five columns with a tab between each: allow or deny, callers, actions, facts, classes";
const DENIES: &str = "denies whoever it may be about";

impl Rule {
    /// A rule for everybody and everything that can only fail.
    pub(super) fn broken(line: usize, problem: String) -> Rule {
        Rule {
            line,
            allow: false,
            callers: Callers::Everybody,
            actions: Actions::All,
            problems: vec![format!("{problem}: it denies everything that reaches it")],
            conditions: Err(problem),
        }
    }

    /// Reads a line; an error is a line that is skipped, with what to do.
    pub(super) fn parse(number: usize, line: &str) -> Result<Rule, String> {
        let columns: Vec<&str> = line.split('\t').collect();
        let filled: Vec<&str> = columns.iter().copied().filter(|column| !column.is_empty()).collect();
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let seems_to_allow = verb.eq_ignore_ascii_case("allow");
        let shape = shape(&columns, &filled);
        match (seems_to_allow, verb.eq_ignore_ascii_case("deny"), shape) {
            (true, _, Some(problem)) => Err(format!("{problem}, skipped; {COLUMNS}")),
            (true, _, None) => Rule::allowing(number, &filled),
            (false, true, problem) => Ok(Rule::denying(number, &filled, problem)),
            // A rule with a verb nobody knows: whatever it was to do, it does not allow.
            (false, false, _) if filled.len() >= 4 || words.count() >= 3 => {
                let problem = format!("{verb:?} is neither allow, deny nor policy default");
                Ok(Rule::denying(number, &filled, Some(problem)))
            }
            (false, false, _) => Err(format!("is no rule, skipped; {COLUMNS}, or a # before a comment")),
        }
    }

    fn allowing(line: usize, filled: &[&str]) -> Result<Rule, String> {
        // `shape` has looked: four or five columns.
        let column = |at: usize| filled.get(at).copied();
        let (callers, actions, facts) =
            (column(1).unwrap_or_default(), column(2).unwrap_or_default(), column(3).unwrap_or_default());
        let mut problems = Vec::new();
        if is_compound(facts) || column(4).is_some_and(is_compound) {
            return Err("uses a compound expression, which is not supported, skipped; \
                 write several rules instead"
                .into());
        }
        let conditions = match column(4) {
            // A rule of four columns matches until its classes are looked at.
            None => Err("the rule has no column of classes".to_string()),
            Some(classes) => Conditions::parse(facts, classes),
        };
        match &conditions {
            Err(problem) => problems.push(format!("{problem}: it denies whom it is about; {COLUMNS}")),
            Ok(conditions) => {
                problems.extend(conditions.doubts().map(|doubt| format!("{doubt}: the rule allows nobody")));
            }
        }
        problems.extend(Actions::doubt(actions).map(|doubt| format!("{doubt}: it allows none")));
        let (callers, actions) = (Callers::parse(callers), Actions::parse(actions));
        Ok(Rule { line, allow: true, callers, actions, conditions, problems })
    }

    /// A rule that does not allow, of a line that may be broken anywhere.
    fn denying(line: usize, filled: &[&str], shape: Option<String>) -> Rule {
        let column = |at: usize| filled.get(at).copied();
        let callers = column(1).map_or(Callers::Everybody, Callers::parse);
        let doubt = column(2).and_then(Actions::doubt);
        let actions = match column(2) {
            Some(actions) if doubt.is_none() => Actions::parse(actions),
            _ => Actions::All,
        };
        let conditions = match (shape, column(3), column(4)) {
            (Some(problem), ..) => Err(problem),
            (None, Some(facts), Some(classes)) if is_compound(facts) || is_compound(classes) => {
                Err("uses a compound expression, which is not supported".to_owned())
            }
            (None, Some(facts), Some(classes)) => Conditions::parse(facts, classes).and_then(|conditions| {
                let doubt = conditions.doubts().next();
                doubt.map_or(Ok(conditions), Err)
            }),
            (None, ..) => Err("the rule has no column of classes".to_owned()),
        };
        let mut problems: Vec<String> =
            doubt.map(|doubt| format!("{doubt}: it denies all")).into_iter().collect();
        if let Err(problem) = &conditions {
            problems.push(format!("{problem}: it {DENIES}; {COLUMNS}"));
        }
        Rule { line, allow: false, callers, actions, conditions, problems }
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn allows(&self) -> bool {
        self.allow
    }

    /// What of it does not do what it seems to, given these groups.
    pub(super) fn problems(&self, groups: &Groups) -> Vec<String> {
        let Callers::Listed(items) = &self.callers else { return self.problems.clone() };
        let happens = if self.allow { "it allows nobody" } else { "it denies everybody" };
        let told =
            items.iter().filter_map(|item| item.doubt(groups)).map(|doubt| format!("{doubt}: {happens}"));
        self.problems.iter().cloned().chain(told).collect()
    }

    pub(super) fn is_about(&self, caller: &str, groups: &Groups) -> Who {
        let Callers::Listed(items) = &self.callers else { return Who::Caller };
        if self.allow {
            let included =
                items.iter().any(|item| item.is_group_of(caller, groups)) || allowed(items, caller);
            return if included { Who::Caller } else { Who::Others };
        }
        let named = |item: &CallerItem| match item {
            CallerItem::Text(text) => text == caller || groups.may_include(text, caller),
            CallerItem::Expression(regex) => regex.is_match(caller),
            CallerItem::Malformed(_) => false,
        };
        if items.iter().any(named) {
            return Who::Caller;
        }
        items.iter().find_map(|item| item.doubt(groups)).map_or(Who::Others, Who::Perhaps)
    }

    pub(super) fn acts_on(&self, action: &str) -> bool {
        match &self.actions {
            Actions::All => true,
            Actions::Listed(actions) => actions.iter().any(|a| a == action),
        }
    }

    pub(super) fn conditions_hold(&self, classes: Option<&[String]>, facts: &Facts) -> Result<bool, String> {
        let conditions = self.conditions.as_ref().map_err(String::clone)?;
        let classes_hold = if conditions.classes.is_empty() {
            true
        } else {
            let classes = classes
                .ok_or("it names classes, and no classesfile is configured or it could never be read")?;
            let node = NodeView { identity: "", agents: &[], classes, facts, data: &NoData };
            conditions.classes.iter().all(|item| item.holds(&node))
        };
        if classes_hold && !conditions.facts.is_empty() && facts.are_broken() {
            // To a node without facts no deny rule about facts would apply.
            return Err("it names facts, and the facts of this node cannot be read".into());
        }
        if !classes_hold {
            return Ok(false);
        }
        for fact in &conditions.facts {
            match fact.matches(facts) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                // A fact that cannot be compared does not match, as in the original,
                // unless the rule was to keep somebody out.
                Err(_) if self.allow => return Ok(false),
                Err(problem) => return Err(problem.to_string()),
            }
        }
        Ok(true)
    }
}

/// What is wrong with how the columns stand; `None` = four or five of them.
fn shape(columns: &[&str], filled: &[&str]) -> Option<String> {
    if !matches!(filled.len(), 4 | 5) {
        return Some(match filled.len() {
            1 => "has no tabs between columns".into(),
            columns => format!("has {columns} columns"),
        });
    }
    if columns.first() == Some(&"") {
        return Some("begins with a tab".into());
    }
    if columns.last() == Some(&"") {
        return Some("ends with a tab".into());
    }
    match filled.first() {
        Some(&("allow" | "deny")) => None,
        verb => Some(format!("begins with {:?}, which is neither allow nor deny", verb.unwrap_or(&""))),
    }
}
