//! What can be known before an expression runs.
//!
//! The original compiles with types and refuses on every node alike what can
//! never work; nodes here have to refuse the same expressions at the same
//! moment, since an error and a false answer differ in a vote.

use super::ast::{Node, Operator};
use super::builtin;
use super::math::METHODS;
use super::types::{Type, builtin_type, maybe};
use super::words::Words;
use crate::core::protocol::filter::{Budget, pattern};

type Checked = Result<Type, String>;

/// Whether the tree can give a boolean.
pub(super) fn check_boolean(root: &Node, words: Words<'_>, budget: &Budget) -> Result<(), String> {
    let mut checker = Checker { words, budget, variables: Vec::new(), elements: Vec::new() };
    match checker.check(root)? {
        Type::Bool | Type::Unknown => Ok(()),
        other => Err(format!("the result is {} and not a boolean", other.name())),
    }
}

struct Checker<'a> {
    words: Words<'a>,
    budget: &'a Budget,
    variables: Vec<(String, Type)>,
    /// Element types of the collections whose predicates we are within, with
    /// the names `#` may have there.
    elements: Vec<(Type, &'static [&'static str])>,
}

impl Checker<'_> {
    fn check(&mut self, node: &Node) -> Checked {
        match node {
            Node::Nil => Ok(Type::Nil),
            Node::Bool(_) => Ok(Type::Bool),
            Node::Int(_) => Ok(Type::Int),
            Node::Float(_) => Ok(Type::Float),
            Node::Text(_) => Ok(Type::Text),
            Node::Name(name) => Ok(self.name(name)),
            Node::List(items) => self.list(items),
            Node::Map(pairs) => {
                for (key, value) in pairs {
                    self.check(key)?;
                    self.check(value)?;
                }
                Ok(Type::Map)
            }
            Node::Not(operand) => match self.check(operand)? {
                Type::Bool | Type::Unknown => Ok(Type::Bool),
                other => Err(format!("not cannot be applied to {}", other.name())),
            },
            Node::Negate(operand) | Node::Plus(operand) => match self.check(operand)? {
                number @ (Type::Int | Type::Float | Type::Unknown) => Ok(number),
                other => Err(format!("a sign cannot be put before {}", other.name())),
            },
            Node::And(all) | Node::Or(all) => self.logic(all),
            Node::Binary(operator, left, right) => self.binary(*operator, left, right),
            Node::If(condition, yes, no) => self.choice(condition, yes, no),
            Node::Member { base, property, .. } => self.member(base, property),
            Node::Slice { base, from, to } => self.slice(base, from.as_deref(), to.as_deref()),
            Node::Call(name, arguments) => self.call(name, arguments),
            Node::Method { base, name, arguments, .. } => self.method(base, name, arguments),
            Node::Builtin(name, arguments) => self.builtin(name, arguments),
            Node::Pointer(name) => self.pointer(name),
            Node::Chain(inner) => self.check(inner),
            Node::Let(name, value, body) => self.declaration(name, value, body),
            Node::Sequence(nodes) => {
                let mut last = Type::Nil;
                for node in nodes {
                    last = self.check(node)?;
                }
                Ok(last)
            }
        }
    }

    fn name(&self, name: &str) -> Type {
        if let Some((_, known)) = self.variables.iter().rev().find(|(n, _)| n == name) {
            return known.clone();
        }
        match self.words.variable(name) {
            Some(known) => known,
            None if self.words.has(name) || builtin::find(name).is_some() => Type::Function,
            None => Type::Unknown,
        }
    }

    fn list(&mut self, items: &[Node]) -> Checked {
        let mut element: Option<Type> = None;
        for item in items {
            let item = self.check(item)?;
            element = Some(match element {
                Some(before) if before != item => Type::Unknown,
                _ => item,
            });
        }
        Ok(Type::List(Box::new(element.unwrap_or(Type::Unknown))))
    }

    fn logic(&mut self, all: &[Node]) -> Checked {
        for operand in all {
            let operand = self.check(operand)?;
            if !matches!(operand, Type::Bool | Type::Unknown) {
                return Err(format!("and, or cannot be applied to {}", operand.name()));
            }
        }
        Ok(Type::Bool)
    }

    fn binary(&mut self, operator: Operator, left: &Node, right: &Node) -> Checked {
        use Operator::*;
        let pattern = right;
        let (l, r) = (self.check(left)?, self.check(right)?);
        let both = |kind: Type| l == kind && r == kind;
        let numbers = l.is_number() && r.is_number();
        let promoted = if both(Type::Int) { Type::Int } else { Type::Float };
        let timely = |t: &Type| t.is_number() || matches!(t, Type::Time | Type::Duration);
        let mixes = l == Type::Time && r == Type::Duration || l == Type::Duration && r == Type::Time;
        let checked = match operator {
            Equal | NotEqual => l.comparable(&r).then_some(Type::Bool),
            Less | LessOrEqual | Greater | GreaterOrEqual => {
                let same = numbers || both(Type::Text) || both(Type::Time) || both(Type::Duration);
                (same || maybe(&l, &r, |t| timely(t) || *t == Type::Text)).then_some(Type::Bool)
            }
            Add if numbers => Some(promoted),
            Add if both(Type::Text) => Some(Type::Text),
            Add if mixes => Some(Type::Time),
            Add if both(Type::Duration) => Some(Type::Duration),
            Add => maybe(&l, &r, |t| timely(t) || *t == Type::Text).then_some(Type::Unknown),
            Subtract if numbers => Some(promoted),
            Subtract if both(Type::Time) || both(Type::Duration) => Some(Type::Duration),
            Subtract if l == Type::Time && r == Type::Duration => Some(Type::Time),
            Subtract => maybe(&l, &r, timely).then_some(Type::Unknown),
            Multiply if numbers => Some(promoted),
            Multiply if timely(&l) && timely(&r) && !mixes && !both(Type::Time) => Some(Type::Duration),
            Multiply => maybe(&l, &r, |t| timely(t) && *t != Type::Time).then_some(Type::Unknown),
            Divide | Power => (numbers || maybe(&l, &r, Type::is_number)).then_some(Type::Float),
            Modulo => (both(Type::Int) || maybe(&l, &r, |t| *t == Type::Int)).then_some(Type::Int),
            Range => {
                let integers = both(Type::Int) || maybe(&l, &r, |t| *t == Type::Int);
                integers.then(|| Type::List(Box::new(Type::Int)))
            }
            In => self.within(&l, &r).then_some(Type::Bool),
            Matches => {
                if let Node::Text(expression) = pattern
                    && pattern::compiled(expression, self.budget)?.is_none()
                {
                    return Err(format!("{expression} is not a valid regular expression"));
                }
                (both(Type::Text)
                    || l == Type::Bytes && r == Type::Text
                    || maybe(&l, &r, |t| *t == Type::Text))
                .then_some(Type::Bool)
            }
            Contains | StartsWith | EndsWith => {
                (both(Type::Text) || maybe(&l, &r, |t| *t == Type::Text)).then_some(Type::Bool)
            }
            Coalesce => Some(match (&l, &r) {
                (Type::Nil, other) | (other, Type::Nil) => other.clone(),
                (l, r) if l == r => l.clone(),
                _ => Type::Unknown,
            }),
            And | Or | Pipe => Some(Type::Unknown),
        };
        checked.ok_or_else(|| format!("{operator:?} cannot be applied to {} and {}", l.name(), r.name()))
    }

    fn within(&self, needle: &Type, hay: &Type) -> bool {
        match hay {
            Type::Map => matches!(needle, Type::Text | Type::Unknown),
            hay if hay.is_list() => needle.comparable(&hay.element()),
            Type::Text => needle.is_unknown(),
            Type::Unknown => true,
            _ => false,
        }
    }

    fn choice(&mut self, condition: &Node, yes: &Node, no: &Node) -> Checked {
        let condition = self.check(condition)?;
        if !matches!(condition, Type::Bool | Type::Unknown) {
            return Err(format!("{} is used as a condition", condition.name()));
        }
        let interface = |node: &Node| match node {
            Node::Call(name, _) => name == "fact" || name == "data",
            Node::Builtin(name, _) => *name != "get",
            _ => false,
        };
        Ok(match (self.check(yes)?, self.check(no)?) {
            // The original takes the first for the type when the second is what
            // a function gives that can give anything.
            (yes, Type::Unknown) if yes != Type::Nil && interface(no) => yes,
            (Type::Nil, other) | (other, Type::Nil) => other,
            (yes, no) if yes == no => yes,
            _ => Type::Unknown,
        })
    }

    fn member(&mut self, base: &Node, property: &Node) -> Checked {
        if *base == Node::Name("$env".into()) {
            self.check(property)?;
            return Ok(match property {
                Node::Text(name) => self.name(name),
                _ => Type::Unknown,
            });
        }
        let (base, property) = (self.check(base)?, self.check(property)?);
        match &base {
            Type::Unknown => Ok(Type::Unknown),
            Type::Map if matches!(property, Type::Text | Type::Unknown) => Ok(Type::Unknown),
            list if list.is_list() && matches!(property, Type::Int | Type::Unknown) => Ok(base.element()),
            _ => Err(format!("{} has no element for {}", base.name(), property.name())),
        }
    }

    fn slice(&mut self, base: &Node, from: Option<&Node>, to: Option<&Node>) -> Checked {
        let base = self.check(base)?;
        if !(base.is_unknown() || base.is_list() || base == Type::Text) {
            return Err(format!("{} cannot be sliced", base.name()));
        }
        for bound in [from, to].into_iter().flatten() {
            let bound = self.check(bound)?;
            if !matches!(bound, Type::Int | Type::Unknown) {
                return Err(format!("{} cannot bound a slice", bound.name()));
            }
        }
        Ok(base)
    }

    fn types(&mut self, nodes: &[Node]) -> Result<Vec<Type>, String> {
        nodes.iter().map(|node| self.check(node)).collect()
    }

    fn call(&mut self, name: &str, arguments: &[Node]) -> Checked {
        // What an unknown function is given is not looked at.
        if !self.words.has(name) {
            return Ok(Type::Unknown);
        }
        let given = self.types(arguments)?;
        if name == "include" {
            return match given.as_slice() {
                [Type::List(_) | Type::Unknown, _] => Ok(Type::Bool),
                [first, _] => Err(format!("include takes lists from facts, not {}; use in", first.name())),
                _ => Err("include takes a list and a value".into()),
            };
        }
        let Some((wanted, result)) = self.words.function(name) else {
            return Err(format!("{name} is not a function"));
        };
        let fits = |(given, wanted): (&Type, &Type)| given == wanted || given.is_unknown();
        if given.len() != wanted.len() || !given.iter().zip(wanted).all(fits) {
            return Err(format!("{name} takes {} text arguments", wanted.len()));
        }
        Ok(result)
    }

    fn method(&mut self, base: &Node, name: &str, arguments: &[Node]) -> Checked {
        let base = self.check(base)?;
        if base.is_unknown() {
            return Ok(Type::Unknown);
        }
        self.types(arguments)?;
        let of_time = METHODS.iter().any(|(owner, known)| *known == name && base.name() == *owner);
        match base {
            Type::Map => Ok(Type::Unknown),
            _ if of_time => Ok(Type::Unknown),
            other => Err(format!("{} has no method {name}", other.name())),
        }
    }

    fn pointer(&self, name: &str) -> Checked {
        match (name, self.elements.last()) {
            ("", Some((element, _))) => Ok(element.clone()),
            ("index", Some((_, names))) if names.contains(&"index") => Ok(Type::Int),
            ("acc", Some((_, names))) if names.contains(&"acc") => Ok(Type::Unknown),
            _ => Err(format!("#{name} means nothing here")),
        }
    }

    fn declaration(&mut self, name: &str, value: &Node, body: &Node) -> Checked {
        let taken = self.words.has(name)
            || builtin::find(name).is_some()
            || self.variables.iter().any(|(n, _)| n == name);
        if taken {
            return Err(format!("{name} cannot be declared again"));
        }
        let value = self.check(value)?;
        self.variables.push((name.into(), value));
        let body = self.check(body);
        self.variables.pop();
        body
    }

    fn builtin(&mut self, name: &str, arguments: &[Node]) -> Checked {
        let Some(builtin) = builtin::find(name) else { return Err(format!("{name} is not known")) };
        if builtin.predicate.is_some() {
            return self.with_predicate(name, arguments);
        }
        let given = self.types(arguments)?;
        builtin_type(name, &given).ok_or_else(|| {
            format!("{name} cannot take {}", given.iter().map(Type::name).collect::<Vec<_>>().join(", "))
        })
    }

    fn with_predicate(&mut self, name: &str, arguments: &[Node]) -> Checked {
        let [collection, rest @ ..] = arguments else { return Err(format!("{name} takes a list")) };
        let collection = self.check(collection)?;
        if !collection.is_list() && !collection.is_unknown() {
            return Err(format!("{name} takes only lists, not {}", collection.name()));
        }
        let element = collection.element();
        let predicate = match rest {
            [predicate, more @ ..] => {
                let names: &'static [&'static str] = match name {
                    "map" => &["index"],
                    "reduce" => &["index", "acc"],
                    _ => &[],
                };
                self.elements.push((element.clone(), names));
                let predicate = self.check(predicate);
                self.elements.pop();
                self.types(more)?;
                Some(predicate?)
            }
            [] => None,
        };
        let boolean = !matches!(name, "map" | "sum" | "groupBy" | "sortBy" | "reduce");
        if let Some(predicate) =
            predicate.as_ref().filter(|p| boolean && !matches!(p, Type::Bool | Type::Unknown))
        {
            return Err(format!("the predicate of {name} gives {}", predicate.name()));
        }
        Ok(match name {
            "all" | "none" | "any" | "one" => Type::Bool,
            "sortBy" => collection,
            "filter" => Type::List(Box::new(element)),
            "map" => Type::List(Box::new(predicate.unwrap_or(Type::Unknown))),
            "count" | "findIndex" | "findLastIndex" => Type::Int,
            "find" | "findLast" => element,
            "sum" => predicate.unwrap_or(element),
            "reduce" => predicate.unwrap_or(Type::Unknown),
            _ => Type::Unknown,
        })
    }
}
