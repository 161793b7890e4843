//! Which nodes a request is for (spec 01 §8, 03 §3).
//!
//! A [`Filter`] has five lists: facts, classes, agents, identities and compound
//! expressions. An operator writes one from command line words, every node
//! evaluates it against a [`NodeView`] of itself, and stays silent if it does
//! not match. One request is judged by every node of a mixed fleet, so the
//! evaluation copies the original's accidents too; each is named where it is
//! copied.
//!
//! Filters come from everybody with a certificate and are evaluated before
//! anybody has looked whether the caller may do anything: what one costs is
//! bounded in number by [`Filter::matches_within`] and in work by a [`Budget`].
//!
//! `fact` compares one fact, `facts` holds a node's facts, `gjson` looks values
//! up in them, `expr` is the compound language, `wire` the JSON form.

mod budget;
mod compound;
mod expr;
mod fact;
mod facts;
#[cfg(test)]
mod fuzz;
mod gjson;
mod input;
mod machine;
mod node;
mod pattern;
mod plugin;
mod reply;
#[cfg(test)]
mod tests;
mod wire;

use serde::{Deserialize, Serialize};

pub use budget::{Budget, Exhausted};
pub use compound::CompoundEntry;
pub use expr::{ExprError, Expression, UnknownName, Value as ExprValue, semver_matches, semver_parts};
pub use fact::{FactFilter, FactOperator};
pub use facts::{Facts, FactsError, load_classes, read_yaml};
pub use gjson::{lookup, lookup_value};
pub use input::{InputExpression, InputView};
pub use machine::{MachineExpression, MachineView};
pub use node::{DataFunction, DataFunctions, NoData, NodeView};
use pattern::acceptable;
pub use pattern::{case_insensitive, search};
pub use plugin::{PluginExpression, PluginView, Sight};
pub use reply::{ReplyFilter, ReplyView};
pub(crate) use wire::read_filter;

/// The nodes a request is for. An empty filter is for all of them.
///
/// Field order is the order on the wire, where all five are always arrays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Facts, all of which must match.
    pub fact: Vec<FactFilter>,
    /// Classes, all of which must be there: exact, or `/regular expression/`.
    pub cf_class: Vec<String>,
    /// Agents, all of which must be there: exact, or `/regular expression/`.
    pub agent: Vec<String>,
    /// Identities, one of which must match: exact, or `/regular expression/`.
    pub identity: Vec<String>,
    /// Compound expressions, which vote; tools send at most one.
    pub compound: Vec<Vec<CompoundEntry>>,
}

/// Why words do not make a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Nothing between the quotes, say from an unset shell variable: taken as
    /// "no filter" it would act on the whole fleet.
    #[error("an empty {0} filter would match every node; leave the option away to mean that")]
    Empty(&'static str),
    /// No operator, or nothing on one side of it.
    #[error(
        "could not parse fact {0} it does not appear to be in a valid format; write NAME=VALUE, with one of = != < <= > >= =~"
    )]
    Fact(String),
    /// An expression that nodes would refuse.
    #[error("the expression {text} is not valid: {reason}")]
    Expression {
        /// The expression as given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The same of an expression about replies.
    #[error("an empty expression keeps every reply; leave the option away to mean that")]
    EmptyReplyFilter,
    /// A second expression; nodes would let them vote, which nobody means.
    #[error("only one expression can be given; join them with 'and' or 'or'")]
    SecondExpression,
}

/// Most members of each list of a filter. People name some hundred nodes; more
/// than these do not fit into a message either, if they are names of nodes.
pub const MAX_NAMES: usize = 10_000;
/// Most facts and regular expressions of a filter. People write a handful.
pub const MAX_COSTLY: usize = 250;
/// Most compound expressions; tools send at most one.
pub const MAX_COMPOUND: usize = 16;

/// Why a filter could not be evaluated. The node does not match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// A fact filter that makes no sense for the fact's type.
    #[error("fact filter {filter} cannot be applied: {reason}")]
    Fact {
        /// The filter, as text.
        filter: String,
        /// What is wrong.
        reason: String,
    },
    /// More facts, expressions or names than anybody writes.
    #[error("the filter holds {0} {1}, more than {2}")]
    TooMany(usize, &'static str, usize),
    /// It costs more than a request may, and was not evaluated to its end.
    #[error("{0}")]
    Exhausted(#[from] Exhausted),
    /// A compound filter that does not compile or fails when run.
    #[error("compound filter {expression} failed: {reason}")]
    Compound {
        /// The expression.
        expression: String,
        /// What is wrong.
        reason: String,
    },
}

impl Filter {
    /// Whether all five lists are empty.
    pub fn is_empty(&self) -> bool {
        self.fact.is_empty()
            && self.cf_class.is_empty()
            && self.agent.is_empty()
            && self.identity.is_empty()
            && self.compound.is_empty()
    }

    /// `-F`: one fact, such as `os.family=RedHat`. Duplicates are kept.
    pub fn add_fact(&mut self, text: &str) -> Result<(), FilterError> {
        filled("fact", text)?;
        self.fact.push(FactFilter::parse(text)?);
        Ok(())
    }

    /// `-C`: one class.
    pub fn add_class(&mut self, class: &str) -> Result<(), FilterError> {
        filled("class", class)?;
        add_once(&mut self.cf_class, class);
        Ok(())
    }

    /// `-A`: one agent.
    pub fn add_agent(&mut self, agent: &str) -> Result<(), FilterError> {
        filled("agent", agent)?;
        add_once(&mut self.agent, agent);
        Ok(())
    }

    /// `-I`: one identity.
    pub fn add_identity(&mut self, identity: &str) -> Result<(), FilterError> {
        filled("identity", identity)?;
        add_once(&mut self.identity, identity);
        Ok(())
    }

    /// `-W`: words between single spaces, each a fact if it reads as one, or
    /// else a class.
    pub fn add_combined(&mut self, words: &str) -> Result<(), FilterError> {
        if words.trim().is_empty() {
            return Err(FilterError::Empty("combined"));
        }
        for word in words.split(' ').filter(|w| !w.is_empty()) {
            match FactFilter::parse(word) {
                Ok(fact) => self.fact.push(fact),
                Err(_) => add_once(&mut self.cf_class, word),
            }
        }
        Ok(())
    }

    /// `-S`: the one boolean expression, compiled here so that a mistake costs
    /// an error message instead of a silent fleet.
    ///
    /// Data functions are only known on nodes; any name passes as one.
    pub fn set_expression(&mut self, text: &str) -> Result<(), FilterError> {
        if text.trim().is_empty() {
            return Err(FilterError::Empty("expression"));
        }
        if !self.compound.is_empty() {
            return Err(FilterError::SecondExpression);
        }
        if let Err(e) = compound::compile(text, &NoData) {
            return Err(FilterError::Expression { text: text.into(), reason: e.to_string() });
        }
        self.compound.push(vec![CompoundEntry::new(text)]);
        Ok(())
    }

    /// The first regular expression that no node could apply, as given. Nodes
    /// only fail to match it, so whoever asks would see a silent fleet.
    pub fn broken_expression(&self) -> Option<&str> {
        let mut words = self.identity.iter().chain(&self.agent).chain(&self.cf_class);
        let broken = |word: &&String| pattern::expression(word).is_some_and(|e| !acceptable(e));
        let mut facts = self.fact.iter().filter(|f| f.operator == FactOperator::Match);
        let broken_fact = |f: &&FactFilter| !acceptable(&format!("(?i){}", f.value.trim_matches('/')));
        let word = words.find(broken);
        word.or_else(|| facts.find(broken_fact).map(|f| &f.value)).map(String::as_str)
    }

    /// Whether a node is meant. All lists must agree; they are asked in the
    /// order identity, agent, class, fact, compound, and the first that does
    /// not ends the matter, errors in later ones included.
    ///
    /// # Errors
    /// Why it cannot be told; the node does not match.
    pub fn matches(&self, node: &NodeView<'_>) -> Result<bool, MatchError> {
        self.matches_within(node, &Budget::default())
    }

    /// The same for a filter of a request, which pays for it.
    ///
    /// # Errors
    /// Why it cannot be told; the node does not match.
    pub fn matches_within(&self, node: &NodeView<'_>, budget: &Budget) -> Result<bool, MatchError> {
        self.check_size()?;
        if !self.identity.is_empty() {
            let mut named = false;
            for identity in &self.identity {
                named = named || pattern::names_within(identity, node.identity, budget)?;
            }
            if !named {
                return Ok(false);
            }
        }
        for agent in &self.agent {
            if !node.has_agent_within(agent, budget)? {
                return Ok(false);
            }
        }
        for class in &self.cf_class {
            if !node.has_class_within(class, budget)? {
                return Ok(false);
            }
        }
        for fact in &self.fact {
            if !fact.matches_within(node.facts, budget)? {
                return Ok(false);
            }
        }
        compound::matches(&self.compound, node, budget)
    }

    /// Whether it names agents and nodes by their exact names only, and few of
    /// them: comparing those is cheaper than handing them to another thread.
    pub fn is_plain(&self) -> bool {
        let plain = |name: &String| pattern::expression(name).is_none();
        self.fact.is_empty()
            && self.cf_class.is_empty()
            && self.compound.is_empty()
            && self.identity.len() + self.agent.len() <= 100
            && self.identity.iter().chain(&self.agent).all(plain)
    }

    /// Whether it is evaluated with the facts of the node.
    pub fn needs_facts(&self) -> bool {
        !self.fact.is_empty() || !self.compound.is_empty()
    }

    /// Whether it has no more members than a filter may have.
    ///
    /// # Errors
    /// Of what it has too many.
    pub fn check_size(&self) -> Result<(), MatchError> {
        let names = || self.identity.iter().chain(&self.agent).chain(&self.cf_class);
        let expressions = names().filter(|name| pattern::expression(name).is_some()).count();
        for (count, what, most) in [
            (names().count(), "names", MAX_NAMES),
            (expressions + self.fact.len(), "facts and regular expressions", MAX_COSTLY),
            (self.compound.len(), "compound expressions", MAX_COMPOUND),
        ] {
            if count > most {
                return Err(MatchError::TooMany(count, what, most));
            }
        }
        Ok(())
    }
}

fn filled(kind: &'static str, text: &str) -> Result<(), FilterError> {
    if text.is_empty() { Err(FilterError::Empty(kind)) } else { Ok(()) }
}

fn add_once(list: &mut Vec<String>, item: &str) {
    if !list.iter().any(|i| i == item) {
        list.push(item.into());
    }
}
