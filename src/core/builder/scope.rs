//! What templates of an application can speak of.

use serde_json::{Map, Value, json};

use super::World;
use super::functions;
use crate::core::template::{self, Functions, Limits, TemplateError};

/// The values of one run.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// `.Arguments`
    pub arguments: Map<String, Value>,
    /// `.Flags`
    pub flags: Map<String, Value>,
    /// `.Config`
    pub config: Value,
    /// `.Secrets`, which nothing shows that is asked for all there is.
    pub secrets: Map<String, Value>,
    /// `.Input`, of transforms.
    pub input: Value,
    /// Where the person is.
    pub user_dir: String,
    /// Where the definition is.
    pub app_dir: String,
    /// A file of functions for scripts.
    pub helper: String,
}

/// What stands where all of `.Secrets` is shown.
pub const REDACTED: &str = "[REDACTED]";

impl State {
    /// A text without the values of secrets, for logs and errors.
    pub fn redacted(&self, text: &str) -> String {
        let secrets = self.secrets.values().filter_map(Value::as_str).filter(|secret| !secret.is_empty());
        let mut secrets: Vec<&str> = secrets.collect();
        // of two that begin alike nothing of the longer one stays
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }

    /// `Arguments`, `Flags`, `Config` and `Input`, for expressions.
    pub fn given(&self) -> Value {
        json!({
            "Arguments": self.arguments, "Flags": self.flags, "Config": self.config, "Input": self.input,
        })
    }
}

/// What a template is rendered within.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The values.
    pub state: &'a State,
    /// The machine.
    pub world: &'a dyn World,
}

/// What one template of an application may cost.
const LIMITS: Limits = Limits { steps: 1_000_000, output: 4 << 20, copied: 64 << 20 };

impl Scope<'_> {
    /// The text a template makes.
    ///
    /// # Errors
    /// It makes none.
    pub fn render(&self, text: &str) -> Result<String, TemplateError> {
        template::render(text, self)
    }
}

impl Functions for Scope<'_> {
    fn dot(&self) -> Value {
        let mut dot = self.state.given();
        let secrets = if self.state.secrets.is_empty() { "" } else { REDACTED };
        dot["Secrets"] = Value::from(secrets);
        dot
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn hidden(&self, of: &str, name: &str) -> Option<Value> {
        if of != "Secrets" {
            return None;
        }
        Some(self.state.secrets.get(name).cloned().unwrap_or(Value::Null))
    }

    fn piped_first(&self, name: &str) -> bool {
        Names.piped_first(name)
    }

    fn has(&self, name: &str) -> bool {
        Names.has(name)
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        functions::call(self, name, arguments)
    }
}

/// The names of functions, for templates that are only looked at.
pub(super) struct Names;

impl Functions for Names {
    fn has(&self, name: &str) -> bool {
        functions::has(name)
    }

    fn piped_first(&self, name: &str) -> bool {
        // what people pipe into them is the value that is judged
        ["default", "require"].contains(&name)
    }

    fn call(&self, name: &str, _: &[Value]) -> Result<Value, String> {
        Err(format!("{name} is not called here"))
    }
}
