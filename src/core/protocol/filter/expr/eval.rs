//! Running a tree on a node, or on a reply.

use super::ast::{Node, Operator};
use super::semver::semver_matches;
use super::value::{PART, Value};
use super::words::{World, text};
use super::{math, text as texts};
use crate::core::protocol::filter::budget::{Budget, Exhausted};

/// Deepest nesting of a value.
const MAX_NESTING: u32 = 200;
/// What running a node of the tree costs.
const NODE: u64 = 8;

pub(super) fn run(root: &Node, world: &dyn World, budget: &Budget) -> Result<Value, String> {
    let mut machine = Machine { world, budget, variables: Vec::new(), frames: Vec::new() };
    match machine.eval(root) {
        Ok(value) => Ok(value),
        Err(Stop::Nil) => Ok(Value::Nil),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// Why a part of the tree has no value.
pub(super) enum Stop {
    /// `?.` met nil: the whole chain is nil.
    Nil,
    Error(String),
}

impl From<String> for Stop {
    fn from(error: String) -> Stop {
        Stop::Error(error)
    }
}

impl From<Exhausted> for Stop {
    fn from(exhausted: Exhausted) -> Stop {
        Stop::Error(exhausted.to_string())
    }
}

impl From<&str> for Stop {
    fn from(error: &str) -> Stop {
        Stop::Error(error.into())
    }
}

pub(super) type Evaluated = Result<Value, Stop>;

/// One run of a predicate.
pub(super) struct Frame {
    pub(super) item: Value,
    pub(super) index: usize,
    pub(super) accumulated: Value,
}

pub(super) struct Machine<'a> {
    world: &'a dyn World,
    pub(super) budget: &'a Budget,
    variables: Vec<(String, Value)>,
    pub(super) frames: Vec<Frame>,
}

pub(super) fn shown(value: &Value) -> &'static str {
    value.type_name()
}

impl Machine<'_> {
    pub(super) fn eval(&mut self, node: &Node) -> Evaluated {
        self.budget.pay(NODE)?;
        let value = self.eval_node(node)?;
        if value.depth() > MAX_NESTING {
            return Err("a value is nested too deep".into());
        }
        Ok(value)
    }

    pub(super) fn eval_node(&mut self, node: &Node) -> Evaluated {
        match node {
            Node::Nil => Ok(Value::Nil),
            Node::Bool(truth) => Ok(Value::Bool(*truth)),
            Node::Int(integer) => Ok(Value::Int(*integer)),
            Node::Float(float) => Ok(Value::Float(*float)),
            Node::Text(text) => Ok(Value::Text(text.clone())),
            Node::Name(name) => self.name(name),
            Node::List(items) => Ok(Value::list(self.all(items)?)),
            Node::Map(pairs) => self.map(pairs),
            Node::Not(operand) => match self.eval(operand)? {
                Value::Bool(truth) => Ok(Value::Bool(!truth)),
                other => Err(format!("not cannot be applied to {}", shown(&other)).into()),
            },
            Node::Negate(operand) => Ok(math::negate(&self.eval(operand)?)?),
            Node::Plus(operand) => self.eval(operand),
            Node::And(all) => self.logic(all, false),
            Node::Or(all) => self.logic(all, true),
            Node::Binary(operator, left, right) => self.binary(*operator, left, right),
            Node::If(condition, yes, no) => {
                let yes = if self.condition(condition)? { yes } else { no };
                self.eval(yes)
            }
            Node::Member { base, property, optional } => self.member(base, property, *optional),
            Node::Slice { base, from, to } => self.slice(base, from.as_deref(), to.as_deref()),
            Node::Call(name, arguments) => self.call(name, arguments),
            Node::Method { base, name, optional, arguments } => self.method(base, name, *optional, arguments),
            Node::Builtin(name, arguments) => self.builtin(name, arguments),
            Node::Pointer(name) => self.pointer(name),
            Node::Chain(inner) => match self.eval(inner) {
                Err(Stop::Nil) => Ok(Value::Nil),
                other => other,
            },
            Node::Let(name, value, body) => {
                let value = self.eval(value)?;
                self.budget.read(name.len())?;
                self.variables.push((name.clone(), value));
                let body = self.eval(body);
                self.variables.pop();
                body
            }
            Node::Sequence(nodes) => {
                self.all(nodes).map(|values| values.into_iter().last().unwrap_or(Value::Nil))
            }
        }
    }

    pub(super) fn all(&mut self, nodes: &[Node]) -> Result<Vec<Value>, Stop> {
        self.budget.make(nodes.len().saturating_mul(PART))?;
        nodes.iter().map(|node| self.eval(node)).collect()
    }

    pub(super) fn name(&mut self, name: &str) -> Evaluated {
        for (known, value) in self.variables.iter().rev() {
            self.budget.read(name.len().min(known.len()))?;
            if known == name {
                return Ok(value.clone());
            }
        }
        if name == "$env" {
            let pairs = self.world.variables().iter().map(|n| self.name(n).map(|v| (Value::text(n), v)));
            return Ok(Value::map(pairs.collect::<Result<_, _>>()?));
        }
        Ok(self.world.variable(name, self.budget)?.unwrap_or(Value::Nil))
    }

    pub(super) fn map(&mut self, pairs: &[(Node, Node)]) -> Evaluated {
        let mut made: Vec<(Value, Value)> = Vec::new();
        for (key, value) in pairs {
            let (key, value) = (self.eval(key)?, self.eval(value)?);
            if !matches!(key, Value::Text(_)) {
                return Err(format!("{} cannot be a key", shown(&key)).into());
            }
            let mut at = made.len();
            for (place, (known, _)) in made.iter().enumerate() {
                if known.same(&key, self.budget)? {
                    at = place;
                    break;
                }
            }
            match made.get_mut(at) {
                Some(pair) => pair.1 = value,
                None => {
                    self.budget.make(2 * PART)?;
                    made.push((key, value));
                }
            }
        }
        Ok(Value::map(made))
    }

    pub(super) fn condition(&mut self, node: &Node) -> Result<bool, Stop> {
        match self.eval(node)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(format!("{} is used as a condition", shown(&other)).into()),
        }
    }

    pub(super) fn base(&mut self, base: &Node, optional: bool) -> Evaluated {
        match self.eval(base)? {
            Value::Nil if optional => Err(Stop::Nil),
            value => Ok(value),
        }
    }

    pub(super) fn member(&mut self, base: &Node, property: &Node, optional: bool) -> Evaluated {
        let base = self.base(base, optional)?;
        let property = self.eval(property)?;
        Ok(fetch(&base, &property, self.budget)?)
    }

    pub(super) fn slice(&mut self, base: &Node, from: Option<&Node>, to: Option<&Node>) -> Evaluated {
        let base = self.eval(base)?;
        let mut bound = |node: Option<&Node>, absent: i64| match node {
            None => Ok(absent),
            Some(node) => {
                let value = self.eval(node)?;
                math::integer(&value)
                    .ok_or_else(|| Stop::Error(format!("{} cannot bound a slice", shown(&value))))
            }
        };
        let (from, to) = (bound(from, 0)?, bound(to, i64::MAX)?);
        Ok(texts::slice(&base, from, to, self.budget)?)
    }

    pub(super) fn pointer(&mut self, name: &str) -> Evaluated {
        let frame = self.frames.last().ok_or("# means nothing here")?;
        Ok(match name {
            "index" => Value::Int(i64::try_from(frame.index).unwrap_or(i64::MAX)),
            "acc" => frame.accumulated.clone(),
            _ => frame.item.clone(),
        })
    }

    pub(super) fn call(&mut self, name: &str, arguments: &[Node]) -> Evaluated {
        if let ("include", [Node::Binary(Operator::Range, ..), ..]) = (name, arguments) {
            return Err("include takes lists from facts, not ranges; use in".into());
        }
        let arguments = self.all(arguments)?;
        match name {
            "semver" => {
                let (version, constraint) = (text(name, &arguments, 0)?, text(name, &arguments, 1)?);
                self.budget.pay(2_000 + 50 * (version.len() + constraint.len()).min(2_000) as u64)?;
                Ok(Value::Bool(semver_matches(version, constraint)?))
            }
            "include" => self.include(&arguments),
            _ => self.world.call(name, &arguments, self.budget),
        }
    }

    /// Deep equality with types; an integer looked for becomes a double, since
    /// numbers in facts are doubles.
    pub(super) fn include(&mut self, arguments: &[Value]) -> Evaluated {
        match arguments {
            [Value::List(hay), needle] => {
                let needle = match needle {
                    Value::Int(integer) => Value::Float(*integer as f64),
                    other => other.clone(),
                };
                for item in hay.iter() {
                    if item.same(&needle, self.budget)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            [Value::Nil, _] => Ok(Value::Bool(false)),
            _ => Err("include takes a list and a value".into()),
        }
    }

    pub(super) fn method(
        &mut self,
        base: &Node,
        name: &str,
        optional: bool,
        arguments: &[Node],
    ) -> Evaluated {
        // Arguments come first, also where the chain then ends.
        self.all(arguments)?;
        let base = self.base(base, optional)?;
        Ok(math::method(&base, name)?)
    }

    pub(super) fn builtin(&mut self, name: &'static str, arguments: &[Node]) -> Evaluated {
        let predicate = super::builtin::find(name).is_some_and(|b| b.predicate.is_some());
        if predicate && !(arguments.len() == 1 && matches!(name, "count" | "sum")) {
            return self.with_predicate(name, arguments);
        }
        let values = self.all(arguments)?;
        Ok(match texts::builtin(name, &values, self.budget)? {
            Some(value) => value,
            None => math::builtin(name, &values, self.budget)?,
        })
    }
}

/// An element of a list or map. Negative indexes count from the end.
pub(super) fn fetch(base: &Value, property: &Value, budget: &Budget) -> Result<Value, String> {
    let at = |length: usize| {
        let index =
            math::integer(property).ok_or_else(|| format!("{} cannot be an index", shown(property)))?;
        let index = if index < 0 { index.saturating_add(length as i64) } else { index };
        usize::try_from(index)
            .ok()
            .filter(|i| *i < length)
            .ok_or_else(|| format!("index {index} is out of range"))
    };
    match base {
        Value::List(items) => Ok(items.get(at(items.len())?).cloned().unwrap_or(Value::Nil)),
        Value::Bytes(bytes) => Ok(Value::Int(bytes.get(at(bytes.len())?).copied().unwrap_or(0).into())),
        Value::Text(text) => {
            Ok(Value::Int(text.as_bytes().get(at(text.len())?).copied().unwrap_or(0).into()))
        }
        Value::Map(pairs) => {
            let fits = pairs
                .first()
                .is_none_or(|(key, _)| matches!(key, Value::Text(_)) == matches!(property, Value::Text(_)));
            if !fits && !property.is_nil() {
                return Err(format!("{} cannot be a key here", shown(property)));
            }
            Ok(base.entry(property, budget)?.cloned().unwrap_or(Value::Nil))
        }
        other => Err(format!("{} has no elements", shown(other))),
    }
}
