//! A tree becomes text.

use serde_json::Value;

use super::parser::{Node, Operand, Pipeline, Tree};
use super::{Functions, Limits, TemplateError, functions, print};

/// Blocks and templates inside of each other while it runs.
const MAX_DEPTH: usize = 200;

/// Runs it.
pub(super) fn run(tree: &Tree, own: &dyn Functions) -> Result<String, TemplateError> {
    let dot = own.dot();
    let variables = vec![(String::new(), dot.clone())];
    let limits = own.limits();
    let mut run = Run { own, tree, limits, out: String::new(), variables, steps: 0, copied: 0, depth: 0 };
    run.nodes(&tree.nodes, &dot)?;
    Ok(run.out)
}

/// How a range goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Continue,
    Break,
}

struct Run<'a> {
    own: &'a dyn Functions,
    tree: &'a Tree,
    limits: Limits,
    out: String,
    variables: Vec<(String, Value)>,
    steps: u32,
    copied: usize,
    depth: usize,
}

type Made<T> = Result<T, TemplateError>;

fn failed<T>(text: impl Into<String>) -> Made<T> {
    Err(TemplateError::Run(text.into()))
}

impl Run<'_> {
    fn step(&mut self) -> Made<()> {
        self.steps += 1;
        if self.steps > self.limits.steps || self.out.len() > self.limits.output {
            Err(TemplateError::Bounds)
        } else {
            Ok(())
        }
    }

    /// A copy of a value, which is paid for.
    fn copy(&mut self, value: &Value) -> Made<Value> {
        self.copied = self.copied.saturating_add(weight(value));
        if self.copied > self.limits.copied { Err(TemplateError::Bounds) } else { Ok(value.clone()) }
    }

    /// A value that was copied, which is paid for.
    fn paid(&mut self, value: Value) -> Made<Value> {
        self.copied = self.copied.saturating_add(weight(&value));
        if self.copied > self.limits.copied { Err(TemplateError::Bounds) } else { Ok(value) }
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// A value that is there before anything is worked out.
    fn there<'v>(&'v self, operand: &Operand, dot: &'v Value) -> Option<&'v Value> {
        match operand {
            Operand::Dot => Some(dot),
            Operand::Variable(name) => self.variable(name),
            Operand::Field(of, name) => self.there(of, dot)?.as_object()?.get(name.as_str()),
            _ => None,
        }
    }

    /// What no value shows that `.` is made of.
    fn hidden(&self, of: &Operand, name: &str) -> Option<Value> {
        let Operand::Field(root, of) = of else { return None };
        let is_root = match &**root {
            Operand::Dot => true,
            Operand::Variable(name) => name.is_empty(),
            _ => false,
        };
        if is_root { self.own.hidden(of, name) } else { None }
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Made<Flow> {
        let declared = self.variables.len();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return failed(format!("blocks and templates are more than {MAX_DEPTH} inside of each other"));
        }
        let mut flow = Flow::On;
        for node in nodes {
            self.step()?;
            flow = self.node(node, dot)?;
            if flow != Flow::On {
                break;
            }
        }
        self.depth -= 1;
        self.variables.truncate(declared);
        self.step()?;
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Made<Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.out.push_str(&print::top(&value));
                }
            }
            Node::If(condition, yes, no) => {
                let inner = self.variables.len();
                let value = self.pipeline(condition, dot)?;
                let flow = self.nodes(if functions::truth(&value) { yes } else { no }, dot)?;
                self.variables.truncate(inner);
                return Ok(flow);
            }
            Node::With(pipeline, yes, no) => {
                let inner = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                let flow = match functions::truth(&value) {
                    true => self.nodes(yes, &value)?,
                    false => self.nodes(no, dot)?,
                };
                self.variables.truncate(inner);
                return Ok(flow);
            }
            Node::Range(pipeline, body, otherwise) => return self.range(pipeline, body, otherwise, dot),
            Node::Template(name, pipeline) => self.template(name, pipeline.as_ref(), dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// One that is defined somewhere. Of what is around it, it sees only what it is given.
    fn template(&mut self, name: &str, pipeline: Option<&Pipeline>, dot: &Value) -> Made<()> {
        let tree = self.tree;
        let Some(nodes) = tree.named.get(name) else {
            return failed(format!("there is no template {name:?}"));
        };
        let inner = self.variables.len();
        let given = match pipeline {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Null,
        };
        self.variables.truncate(inner);
        let whole = self.copy(&given)?;
        let around = std::mem::replace(&mut self.variables, vec![(String::new(), whole)]);
        self.nodes(nodes, &given)?;
        self.variables = around;
        Ok(())
    }

    fn range(&mut self, pipeline: &Pipeline, body: &[Node], otherwise: &[Node], dot: &Value) -> Made<Flow> {
        let inner = self.variables.len();
        let value = self.commands(pipeline, dot)?;
        let items: Vec<(Value, Value)> = match value {
            Value::Array(items) => {
                items.into_iter().enumerate().map(|(at, item)| (Value::from(at), item)).collect()
            }
            Value::Object(members) => {
                let mut members: Vec<_> =
                    members.into_iter().map(|(name, item)| (Value::from(name), item)).collect();
                members.sort_by(|(a, _), (b, _)| a.as_str().cmp(&b.as_str()));
                members
            }
            Value::Null => vec![],
            other => return failed(format!("range cannot go through {}", print::top(&other))),
        };
        if items.is_empty() {
            // as in Go, a break there ends this range, and a continue goes on with the one around it
            let flow = self.nodes(otherwise, dot)?;
            return Ok(if flow == Flow::Break { Flow::On } else { flow });
        }
        for (key, item) in items {
            let item_copy = self.copy(&item)?;
            match pipeline.variables.as_slice() {
                [] => {}
                [one] => self.variables.push((one.clone(), item_copy)),
                [index, one, ..] => {
                    self.variables.push((index.clone(), key));
                    self.variables.push((one.clone(), item_copy));
                }
            }
            let flow = self.nodes(body, &item)?;
            self.variables.truncate(inner);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// The value of a pipeline; sets its variable.
    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Made<Value> {
        let value = self.commands(pipeline, dot)?;
        if let Some(name) = pipeline.variables.first() {
            let copy = self.copy(&value)?;
            if pipeline.declares {
                self.variables.push((name.clone(), copy));
            } else {
                match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                    Some((_, slot)) => *slot = copy,
                    None => return failed(format!("there is no variable ${name}")),
                }
            }
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Made<Value> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(Value::Null))
    }

    /// A function with its values, the last of which may come from before; or one value.
    fn command(&mut self, command: &[Operand], dot: &Value, last: Option<Value>) -> Made<Value> {
        self.step()?;
        let Some((first, rest)) = command.split_first() else { return failed("a value is missing") };
        let Operand::Function(name) = first else {
            if !rest.is_empty() || last.is_some() {
                return failed("what is no function is given values");
            }
            return self.operand(first, dot);
        };
        // Only as many values are made as it takes to know.
        if let "and" | "or" = name.as_str() {
            let mut value = None;
            for operand in rest {
                let made = self.operand(operand, dot)?;
                let stops = functions::truth(&made) == (name == "or");
                value = Some(made);
                if stops {
                    break;
                }
            }
            let stopped = value.as_ref().is_some_and(|v| functions::truth(v) == (name == "or"));
            return match (value, last) {
                (Some(value), _) if stopped => Ok(value),
                (_, Some(last)) => Ok(last),
                (Some(value), None) => Ok(value),
                (None, None) => failed(format!("{name} takes at least one value")),
            };
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            arguments.push(self.operand(operand, dot)?);
        }
        match last {
            Some(last) if self.own.piped_first(name) => arguments.insert(0, last),
            last => arguments.extend(last),
        }
        let made = if self.own.has(name) {
            self.own.call(name, &arguments)
        } else {
            functions::call(name, &arguments)
        };
        self.paid(made.map_err(TemplateError::Run)?)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Made<Value> {
        self.step()?;
        match operand {
            Operand::Value(value) => Ok(value.clone()),
            Operand::Dot => self.copy(dot),
            Operand::Variable(name) => match self.variable(name).cloned() {
                Some(value) => self.paid(value),
                None => failed(format!("there is no variable ${name}")),
            },
            Operand::Function(name) => {
                let made =
                    if self.own.has(name) { self.own.call(name, &[]) } else { functions::call(name, &[]) };
                made.map_err(TemplateError::Run)
            }
            Operand::Group(pipeline) => self.commands(pipeline, dot),
            Operand::Field(of, name) if let Some(value) = self.hidden(of, name) => self.paid(value),
            // only the member is copied, not all it is a member of
            Operand::Field(of, name) if let Some(Value::Object(members)) = self.there(of, dot) => {
                let value = members.get(name.as_str()).cloned().unwrap_or(Value::Null);
                self.paid(value)
            }
            Operand::Field(of, name) => match self.operand(of, dot)? {
                Value::Object(mut members) => Ok(members.remove(name.as_str()).unwrap_or(Value::Null)),
                // `.` itself is nothing, and so is all that is asked of it
                Value::Null if matches!(**of, Operand::Dot) => Ok(Value::Null),
                other => failed(format!("{} has no member {name}", print::top(&other))),
            },
        }
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 32,
        Value::Array(items) => items.iter().map(weight).sum::<usize>() + 32,
        Value::Object(members) => {
            members.iter().map(|(name, item)| name.len() + weight(item) + 32).sum::<usize>() + 32
        }
        _ => 32,
    }
}
