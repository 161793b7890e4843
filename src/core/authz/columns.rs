//! The columns of a rule: callers, actions, facts and classes, and what of their
//! text nobody can have meant.

use regex::Regex;

use super::groups::Groups;
use crate::core::protocol::filter::{FactFilter, FactOperator, NodeView, case_insensitive, search};
use crate::core::security::CallerId;

#[derive(Debug, Clone)]
pub(super) enum Callers {
    Everybody,
    Listed(Vec<CallerItem>),
}

#[derive(Debug, Clone)]
pub(super) enum CallerItem {
    /// A caller id or the name of a group.
    Text(String),
    Expression(Regex),
    /// A malformed expression: of a rule that allows, the items after it do not
    /// count either.
    Malformed(String),
}

#[derive(Debug, Clone)]
pub(super) enum Actions {
    All,
    Listed(Vec<String>),
}

#[derive(Debug, Clone)]
pub(super) struct Conditions {
    pub(super) facts: Vec<FactFilter>,
    pub(super) classes: Vec<ClassItem>,
}

#[derive(Debug, Clone)]
pub(super) enum ClassItem {
    Name(String),
    Expression(Option<Regex>),
}

/// The original's way of looking a caller up: a malformed expression ends it.
pub(super) fn allowed(items: &[CallerItem], caller: &str) -> bool {
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
    pub(super) fn parse(column: &str) -> Callers {
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
    pub(super) fn is_group_of(&self, caller: &str, groups: &Groups) -> bool {
        matches!(self, CallerItem::Text(name) if groups.includes(name, caller))
    }

    /// Why nobody can tell whom it means.
    pub(super) fn doubt(&self, groups: &Groups) -> Option<String> {
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

/// Whether `text` is a caller id that somebody can have.
pub(super) fn is_caller(text: &str) -> bool {
    CallerId::parse(text).is_some()
}

impl Actions {
    pub(super) fn parse(column: &str) -> Actions {
        match column {
            "*" => Actions::All,
            _ => Actions::Listed(column.split(' ').map(str::to_string).collect()),
        }
    }

    /// Why an item of the column can be no action.
    pub(super) fn doubt(column: &str) -> Option<String> {
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
    pub(super) fn parse(facts: &str, classes: &str) -> Result<Conditions, String> {
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
    pub(super) fn doubts(&self) -> impl Iterator<Item = String> {
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
    pub(super) fn parse(text: &str) -> Result<ClassItem, String> {
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

    pub(super) fn holds(&self, node: &NodeView<'_>) -> bool {
        match self {
            ClassItem::Name(name) => node.has_class(name),
            ClassItem::Expression(regex) => {
                regex.as_ref().is_some_and(|regex| node.classes.iter().any(|class| regex.is_match(class)))
            }
        }
    }
}

/// `!x`, a lone `not`, `and` or `or`, or anything in parentheses.
pub(super) fn is_compound(column: &str) -> bool {
    column.split(' ').any(|item| {
        let parentheses = match (item.find('('), item.rfind(')')) {
            (Some(open), Some(close)) => close > open + 1,
            _ => false,
        };
        item.starts_with('!') || matches!(item, "not" | "and" | "or") || parentheses
    })
}

#[cfg(test)]
mod caller_tests {
    use super::is_caller;

    #[test]
    fn what_nobody_can_be_is_no_caller() {
        for good in ["choria=bob.mcollective", "uid=1000", "up=a_b-c"] {
            assert!(is_caller(good), "{good}");
        }
        for bad in [
            "choria=a,choria=b",
            "choria=a;",
            "choria=a,",
            "choria=*",
            "choria=a.*",
            "Choria=a",
            "choria=a!",
            "=a",
            "a=",
        ] {
            assert!(!is_caller(bad), "{bad}");
        }
    }
}
