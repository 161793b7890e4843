//! Applications: agents with commands of their own (spec 03 §14.4).
//!
//! Each is a file with its flags, what can be done with it, the inputs that come
//! of the words, and the line it shows of a reply. All else is [`Application`]: a
//! request as any other. Called as `mco` they have the layouts and exit codes of
//! the Ruby world.
//!
//! A new one is a file here, a command in `cmd/mod.rs`, and a line in [`words`].

mod confirm;
pub mod filemgr;
mod grammar;
mod layout;
pub mod nettest;
pub mod package;
pub mod process;
pub mod puppet;
pub mod service;
pub mod shell;
mod talk;

use std::process::ExitCode;

use choria::core::client::RpcReply;
pub use grammar::Verb;
use layout::{Line, Lines, Place};
use serde_json::Value;

use super::exit::Exit;
use super::fleet::Selection;
use super::render::forms::{Form, RubyJson, RubyText};
use super::request::{Request, RequestFlags};
use super::{Globals, Personality};

/// What can be done with an application, for completion; nothing for other commands.
pub fn words(command: &str) -> Vec<&'static str> {
    let names = |verbs: &'static [Verb]| verbs.iter().map(|verb| verb.name).collect();
    match command {
        "filemgr" => names(&filemgr::VERBS),
        "nettest" => names(&nettest::VERBS),
        "package" => names(&package::VERBS),
        "process" => names(&process::VERBS),
        "puppet" => names(&puppet::VERBS),
        "service" => names(&service::VERBS),
        "shell" => names(&shell::VERBS),
        _ => vec![],
    }
}

/// One call of an application.
struct Application<'a> {
    globals: &'a Globals,
    selection: Selection,
    flags: RequestFlags,
    exit: Exit,
    undeclared: bool,
}

impl<'a> Application<'a> {
    fn new(globals: &'a Globals, selection: Selection, flags: RequestFlags, compat_exit: bool) -> Self {
        Application {
            globals,
            selection,
            flags,
            exit: Exit::of_application(globals, compat_exit),
            undeclared: false,
        }
    }

    fn is_mco(&self) -> bool {
        self.globals.personality == Personality::Mco
    }

    /// Whether a person wants to see all there is.
    fn all(&self) -> bool {
        self.flags.verbose || matches!(self.flags.display.as_deref(), Some("all" | "ok"))
    }

    /// Sees to it that nobody acts on a whole fleet by an oversight; `what` is acted on.
    fn confirm(&mut self, yes: bool, what: &str) -> anyhow::Result<()> {
        confirm::everybody(&mut self.selection, yes || self.flags.only.is_some(), what)
    }

    /// Calls an action and shows a line of each reply.
    fn lines(
        self,
        agent: &str,
        action: &str,
        inputs: Inputs,
        place: Place,
        line: &Line<'_>,
    ) -> anyhow::Result<ExitCode> {
        let caption = caption(agent, action);
        let lines = Lines::new(self.globals, &self.flags, caption, place, line);
        self.call(agent, action, inputs, Some(&lines))
    }

    /// [`Application::blocks`] for inputs that no interface declares.
    fn undeclared(mut self, agent: &str, action: &str, inputs: Inputs) -> anyhow::Result<ExitCode> {
        self.undeclared = true;
        self.blocks(agent, action, inputs)
    }

    /// Calls an action and shows replies as `rpc` does.
    fn blocks(self, agent: &str, action: &str, inputs: Inputs) -> anyhow::Result<ExitCode> {
        let ruby = RubyText { caption: caption(agent, action) };
        let layout: Option<&dyn Form> = if self.is_mco() { Some(&ruby) } else { None };
        self.call(agent, action, inputs, layout)
    }

    /// Calls an action and shows it in a layout, where people ask for no other form.
    fn call(
        self,
        agent: &str,
        action: &str,
        inputs: Inputs,
        layout: Option<&dyn Form>,
    ) -> anyhow::Result<ExitCode> {
        let mut flags = self.flags;
        let ruby_json = self.globals.personality == Personality::Mco
            && flags.form.json
            && !(flags.form.jsonl || flags.form.table || flags.form.senders);
        let layout: Option<&dyn Form> = match ruby_json {
            true => {
                flags.form.json = false;
                Some(&RubyJson)
            }
            false => layout,
        };
        let request = Request {
            agent,
            action,
            inputs: inputs.0,
            undeclared: self.undeclared,
            selection: self.selection,
            flags,
            layout,
            elsewhere: None,
            exit: self.exit,
        };
        request.run(self.globals)
    }
}

/// An output as text; nothing where the node did not send it.
fn output(reply: &RpcReply, name: &str) -> Option<String> {
    match reply.body.data.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    }
}

/// What statistics are called.
fn caption(agent: &str, action: &str) -> String {
    let mut letters = agent.chars();
    let agent: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    format!("{action} {agent} results")
}

/// Inputs of an action, as words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Inputs(Vec<(String, String)>);

impl Inputs {
    fn with(mut self, name: &str, value: impl Into<String>) -> Inputs {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// The same for what may not have been given.
    fn maybe(self, name: &str, value: Option<impl Into<String>>) -> Inputs {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}
