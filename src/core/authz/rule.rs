//! One rule of a policy: whom and what it is about, and when it counts.
//!
//! A rule that allows does so only where all of it can be read, as in the
//! original. Any other rule is *strict*: a column of it that cannot be read
//! counts as matching. So a deny rule with a group nobody knows denies every
//! caller what it names, one whose columns are parted by spaces denies every
//! caller everything, and so does a verb such as `forbid`.

use regex::Regex;

use super::groups::Groups;
use crate::core::protocol::filter::{
    FactFilter, FactOperator, Facts, NoData, NodeView, case_insensitive, search,
};

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
    /// A malformed expression: of a rule that allows, the items after it do not
    /// count either.
    Malformed(String),
}

#[derive(Debug, Clone)]
enum Actions {
    All,
    Listed(Vec<String>),
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
            let classes = classes.ok_or("it names classes and no classesfile is configured")?;
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

/// The original's way of looking a caller up: a malformed expression ends it.
fn allowed(items: &[CallerItem], caller: &str) -> bool {
    for item in items {
        match item {
            CallerItem::Text(text) if text == caller => return true,
            CallerItem::Expression(regex) if regex.is_match(caller) => return true,
            CallerItem::Malformed(_) => return false,
            _ => {}
        }
    }
    false
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
                None => CallerItem::Malformed(text.to_string()),
            },
        };
        Callers::Listed(column.split(' ').map(item).collect())
    }
}

impl CallerItem {
    fn is_group_of(&self, caller: &str, groups: &Groups) -> bool {
        matches!(self, CallerItem::Text(name) if groups.includes(name, caller))
    }

    /// Why nobody can tell whom it means.
    fn doubt(&self, groups: &Groups) -> Option<String> {
        match self {
            CallerItem::Expression(_) => None,
            CallerItem::Malformed(text) => Some(format!(
                "{text:?} is no regular expression this version can use; write /expression/ without spaces"
            )),
            CallerItem::Text(text) if text == "*" => {
                Some("\"*\" means everybody only where it stands alone".to_owned())
            }
            CallerItem::Text(text) if text.is_empty() => {
                Some("a caller is empty; part callers by single spaces".to_owned())
            }
            CallerItem::Text(text) if is_caller(text) => None,
            CallerItem::Text(text) => match groups.knows(text) {
                Ok(()) => None,
                Err(None) => Some(format!(
                    "{text:?} is neither a caller id such as choria=bob.mcollective nor a group of the groups file"
                )),
                Err(Some(member)) => {
                    Some(format!("group {text:?} has the member {member:?}, which is no caller id"))
                }
            },
        }
    }
}

/// Whether `text` has the shape of a caller id: a provider, `=`, a name.
pub(super) fn is_caller(text: &str) -> bool {
    text.split_once('=').is_some_and(|(provider, name)| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !provider.is_empty() && provider.chars().all(is_word) && !name.is_empty()
    })
}

impl Actions {
    fn parse(column: &str) -> Actions {
        match column {
            "*" => Actions::All,
            _ => Actions::Listed(column.split(' ').map(str::to_string).collect()),
        }
    }

    /// Why an item of the column can be no action.
    fn doubt(column: &str) -> Option<String> {
        let is_name = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c))
        };
        if column == "*" {
            return None;
        }
        let item = column.split(' ').find(|item| !is_name(item))?;
        Some(format!(
            "{item:?} cannot be the name of an action; write names parted by single spaces, or * alone"
        ))
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

    /// What can never hold, on whatever node.
    fn doubts(&self) -> impl Iterator<Item = String> {
        let facts = self.facts.iter().filter(|fact| {
            fact.operator == FactOperator::Match && case_insensitive(fact.value.trim_matches('/')).is_none()
        });
        let facts =
            facts.map(|fact| format!("{:?} is no regular expression this version can use", fact.value));
        let classes = self.classes.iter().filter_map(|class| match class {
            ClassItem::Expression(None) => {
                Some("a class is no regular expression this version can use".to_owned())
            }
            ClassItem::Name(name) if name.is_empty() || name == "*" || name.starts_with('#') => {
                Some(format!(
                    "{name:?} cannot be a class; part classes by single spaces, comments have their own lines"
                ))
            }
            _ => None,
        });
        facts.chain(classes)
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
