//! Questions of a form, and the document of the answers.

use serde_json::{Map, Value};

use super::kinds::{Empty, Form, Property, PropertyType};
use super::scope::Scope;
use crate::core::protocol::filter::InputView;

/// Questions that are asked in one go.
const MOST: usize = 10_000;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub message: String,
    /// What helps to answer.
    pub help: String,
    /// The answer where nothing is typed.
    pub default: String,
    /// What an answer is.
    pub kind: QuestionKind,
}

/// What an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuestionKind {
    /// A line.
    Line,
    /// A line that is not shown.
    Secret,
    /// Yes or no.
    Confirm,
    /// One of these.
    Choice(Vec<String>),
}

/// Somebody who asks.
pub trait Asker {
    /// Shows a text.
    fn show(&mut self, text: &str);
    /// Asks, and gives what was typed; nothing typed is an empty text.
    ///
    /// # Errors
    /// There is nobody to answer any more, as a sentence.
    fn ask(&mut self, question: &Question) -> Result<String, String>;
}

/// Asks all that a form asks.
///
/// # Errors
/// A template of it fails, or nobody answers; a sentence.
pub fn ask(form: &Form, scope: &Scope<'_>, asker: &mut dyn Asker) -> Result<Value, String> {
    let mut asking = Asking { scope, asker, asked: 0 };
    let mut answers = Map::new();
    asking.all(&form.properties, &mut answers, None)?;
    Ok(answers.into())
}

struct Asking<'a> {
    scope: &'a Scope<'a>,
    asker: &'a mut dyn Asker,
    asked: usize,
}

impl Asking<'_> {
    fn rendered(&self, text: &str) -> Result<String, String> {
        self.scope.render(text).map_err(|e| e.to_string())
    }

    /// All questions of a level; `root` is what was answered before, above it.
    fn all(
        &mut self,
        properties: &[Property],
        answers: &mut Map<String, Value>,
        root: Option<&Map<String, Value>>,
    ) -> Result<(), String> {
        for property in properties {
            if let Some(condition) = &property.conditional {
                let mut given = self.scope.state.given();
                given["Input"] = Value::Object(root.unwrap_or(answers).clone());
                let view = InputView { value: None, given: &given };
                let holds = condition.evaluate(&view);
                if !holds.map_err(|e| format!("{}: conditional: {e}", property.name))? {
                    continue;
                }
            }
            self.one(property, properties, answers, root)?;
        }
        Ok(())
    }

    fn one(
        &mut self,
        property: &Property,
        beside: &[Property],
        answers: &mut Map<String, Value>,
        root: Option<&Map<String, Value>>,
    ) -> Result<(), String> {
        let described = self.rendered(&property.description)?;
        let name = property.name.clone();
        match property.of {
            PropertyType::Array => {
                let items = self.entries(property, &described, root.unwrap_or(answers).clone())?;
                match items.is_empty() {
                    true => drop(empty(property, answers, Value::Array(vec![]))),
                    false => drop(answers.insert(name, items.into())),
                }
            }
            PropertyType::Object => {
                self.show(&described);
                let mut count = 0;
                while count == 0 && property.required || self.wants(&format!("Add {name} entry"))? {
                    let question = Question {
                        message: "Unique name for this entry".to_owned(),
                        help: self.rendered(&property.help)?,
                        default: String::new(),
                        kind: QuestionKind::Line,
                    };
                    // another of its name would be gone
                    let taken = |name: &str| {
                        let other = |one: &Property| one.name == name && one.name != property.name;
                        answers.contains_key(name) || beside.iter().any(other)
                    };
                    let entry = self.answer(&question, true, &|name| match taken(name) {
                        true => Err("there is one of that name".to_owned()),
                        false => Ok(()),
                    })?;
                    let inner = self.inner(property, root.unwrap_or(answers).clone())?;
                    // entries are beside one another where the form is, as they always were
                    answers.insert(entry, inner);
                    count += 1;
                }
                if count == 0 && property.empty != Empty::Answer {
                    empty(property, answers, Value::Null);
                }
            }
            PropertyType::Text if !property.properties.is_empty() => {
                self.show(&described);
                let inner = self.inner(property, root.unwrap_or(answers).clone())?;
                answers.insert(name, inner);
            }
            _ => {
                self.show(&described);
                let value = self.value(property)?;
                match value.as_str() {
                    Some("") => drop(empty(property, answers, value)),
                    _ => drop(answers.insert(name, value)),
                }
            }
        }
        Ok(())
    }

    fn show(&mut self, described: &str) {
        match described.trim() {
            "" => {}
            text => self.asker.show(&format!("\n{text}\n")),
        }
    }

    /// The answers to what is asked within something.
    fn inner(&mut self, property: &Property, root: Map<String, Value>) -> Result<Value, String> {
        let mut inner = Map::new();
        self.all(&property.properties, &mut inner, Some(&root))?;
        Ok(inner.into())
    }

    /// Entries of a list.
    fn entries(
        &mut self,
        property: &Property,
        described: &str,
        root: Map<String, Value>,
    ) -> Result<Vec<Value>, String> {
        let mut items = vec![];
        loop {
            let first = items.is_empty();
            if !first || !property.required {
                let which = if first { "first" } else { "additional" };
                if !self.wants(&format!("Add {which} '{}' entry", property.name))? {
                    return Ok(items);
                }
            }
            if !property.properties.is_empty() {
                items.push(self.inner(property, root.clone())?);
                continue;
            }
            self.show(described);
            match self.value(property)? {
                Value::String(text) if text.is_empty() => return Ok(items),
                value => items.push(value),
            }
        }
    }

    fn wants(&mut self, message: &str) -> Result<bool, String> {
        let question = Question {
            message: message.to_owned(),
            help: String::new(),
            default: "n".to_owned(),
            kind: QuestionKind::Confirm,
        };
        Ok(yes(&self.answer(&question, false, &|text| yes_or_no(text).map(drop))?))
    }

    fn value(&mut self, property: &Property) -> Result<Value, String> {
        let mut choices = vec![];
        for choice in &property.choices {
            choices.push(self.rendered(choice)?);
        }
        let mut default = self.rendered(&property.default)?;
        let kind = match property.of {
            PropertyType::Bool => QuestionKind::Confirm,
            PropertyType::Password => QuestionKind::Secret,
            _ if !choices.is_empty() => {
                if default.is_empty() {
                    default.clone_from(&choices[0]);
                }
                QuestionKind::Choice(choices)
            }
            _ => QuestionKind::Line,
        };
        if kind == QuestionKind::Confirm && default.is_empty() {
            default = "n".to_owned();
        }
        let numeric = matches!(property.of, PropertyType::Integer | PropertyType::Float);
        let help = self.rendered(&property.help)?;
        let question = Question { message: property.name.clone(), help, default, kind };
        let answer = self.answer(&question, property.required || numeric, &|text| {
            typed(property, text)?;
            match &property.validation {
                Some((written, expression)) if !text.is_empty() => {
                    let view = InputView { value: Some(text), given: &Value::Null };
                    match expression.evaluate(&view) {
                        Ok(true) => Ok(()),
                        Ok(false) => Err(format!("it does not meet {written}")),
                        Err(e) => Err(format!("{written} says nothing of it: {e}")),
                    }
                }
                _ => Ok(()),
            }
        })?;
        typed(property, &answer)
    }

    /// An answer that will do; asks again where one does not.
    fn answer(
        &mut self,
        question: &Question,
        required: bool,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<String, String> {
        loop {
            self.asked += 1;
            if self.asked > MOST {
                return Err(format!("more than {MOST} questions were asked"));
            }
            let typed = self.asker.ask(question)?;
            if typed == "?" && !question.help.is_empty() {
                self.asker.show(&question.help);
                continue;
            }
            let mut answer = if typed.is_empty() { question.default.clone() } else { typed };
            if let QuestionKind::Choice(choices) = &question.kind
                && !choices.contains(&answer)
            {
                // its number, as it is listed
                let at = answer.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
                match at.and_then(|at| choices.get(at)) {
                    Some(choice) => answer.clone_from(choice),
                    None => {
                        self.asker.show("It is one of those listed, or its number.");
                        continue;
                    }
                }
            }
            if required && answer.is_empty() {
                self.asker.show("An answer is required.");
                continue;
            }
            match check(&answer) {
                Ok(()) => return Ok(answer),
                Err(problem) => self.asker.show(&format!("That will not do: {problem}.")),
            }
        }
    }
}

/// What is in the document when there was no answer.
fn empty(property: &Property, answers: &mut Map<String, Value>, answer: Value) -> Option<Value> {
    let value = match property.empty {
        Empty::Absent => return None,
        Empty::Array => Value::Array(vec![]),
        Empty::Object => Value::Object(Map::new()),
        Empty::Answer => answer,
    };
    answers.insert(property.name.clone(), value)
}

/// An answer as what it is to be.
fn typed(property: &Property, text: &str) -> Result<Value, String> {
    match property.of {
        PropertyType::Bool => yes_or_no(text).map(Value::from),
        PropertyType::Integer => {
            text.parse::<i64>().map(Value::from).map_err(|_| "it is no whole number".to_owned())
        }
        PropertyType::Float => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.map(Value::from).ok_or_else(|| "it is no number".to_owned())
        }
        _ => Ok(Value::from(text)),
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "t" | "1" => Ok(true),
        "n" | "no" | "false" | "f" | "0" | "" => Ok(false),
        _ => Err("it is yes or no".to_owned()),
    }
}

fn yes(text: &str) -> bool {
    yes_or_no(text) == Ok(true)
}
