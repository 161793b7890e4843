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
pub mod iptables;
mod layout;
pub mod nettest;
pub mod nrpe;
pub mod package;
pub mod process;
pub mod puppet;
pub mod service;
pub mod shell;
mod talk;

#[cfg(test)]
pub use layout::tests::reply;

use std::process::ExitCode;

use choria::core::client::RpcReply;
pub use confirm::everybody;
pub use grammar::Verb;
use layout::{Line, Lines, Place};
use serde_json::Value;

use super::exit::Exit;
use super::fleet::Selection;
use super::render::forms::{Form, RubyJson, RubyText};
use super::request::{Elsewhere, Request, RequestFlags};
use super::{Globals, Personality};

/// What can be done with an application, for completion; nothing for other commands.
pub fn words(command: &str) -> Vec<&'static str> {
    let kind = KINDS.into_iter().find(|kind| kind.command == command);
    kind.into_iter().flat_map(|kind| kind.verbs).map(|verb| verb.name).collect()
}

const KINDS: [&Kind; 9] = [
    &filemgr::KIND,
    &iptables::KIND,
    &nettest::KIND,
    &nrpe::KIND,
    &package::KIND,
    &process::KIND,
    &puppet::KIND,
    &service::KIND,
    &shell::KIND,
];

/// What an application is.
pub struct Kind {
    /// The command.
    command: &'static str,
    /// What it does, as people are asked whether they want it everywhere.
    deed: &'static str,
    verbs: &'static [Verb],
}

impl Kind {
    /// What is meant by a word.
    fn verb(&self, word: &str) -> anyhow::Result<&'static Verb> {
        self.verbs.iter().find(|verb| verb.name == word).ok_or_else(|| grammar::unknown(word, self.verbs))
    }
}

/// Adds the flags of requests to an application, and the one that means every node.
macro_rules! application_command {
    ($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* }) => {
        $crate::cmd::request::request_command! {
            $(#[$meta])*
            pub struct $name {
                /// do it on every node where no filter is given, without asking
                #[argh(switch, short = 'y')]
                yes: bool,
                $($body)*
            }
        }

        impl $name {
            /// A call of it that does what a verb says.
            fn application<'a>(
                &self,
                globals: &'a $crate::cmd::Globals,
                verb: &'static $crate::cmd::apps::Verb,
            ) -> $crate::cmd::apps::Application<'a> {
                let call = (&KIND, verb, self.yes);
                let (selection, flags) = (self.selection(), self.flags());
                $crate::cmd::apps::Application::new(globals, call, selection, flags, self.compat_exit)
            }
        }
    };
}
use application_command;

/// One call of an application.
struct Application<'a> {
    globals: &'a Globals,
    kind: &'static Kind,
    verb: &'static Verb,
    /// Whether every node is meant where nothing is filtered.
    yes: bool,
    selection: Selection,
    flags: RequestFlags,
    exit: Exit,
    undeclared: bool,
    /// Whether replies are not waited for.
    forgets: bool,
}

impl<'a> Application<'a> {
    fn new(
        globals: &'a Globals,
        (kind, verb, yes): (&'static Kind, &'static Verb, bool),
        selection: Selection,
        flags: RequestFlags,
        compat_exit: bool,
    ) -> Self {
        Application {
            globals,
            kind,
            verb,
            yes,
            selection,
            flags,
            exit: Exit::of_application(globals, compat_exit),
            undeclared: false,
            forgets: false,
        }
    }

    fn is_mco(&self) -> bool {
        self.globals.personality == Personality::Mco
    }

    /// Whether a person wants to see all there is.
    fn all(&self) -> bool {
        self.flags.verbose || matches!(self.flags.display.as_deref(), Some("all" | "ok"))
    }

    /// Sees to it that nobody changes a whole fleet by an oversight. Every way to the
    /// nodes begins with it.
    fn confirm(&mut self) -> anyhow::Result<()> {
        let yes = self.yes || self.verb.looks || self.flags.only.is_some();
        let by = if self.is_mco() { "mco" } else { "choria" };
        let called = format!("{by} {} {}", self.kind.command, self.verb.name);
        confirm::everybody(&mut self.selection, yes, self.kind.deed, &called)
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
        mut self,
        agent: &str,
        action: &str,
        inputs: Inputs,
        layout: Option<&dyn Form>,
    ) -> anyhow::Result<ExitCode> {
        self.confirm()?;
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
            elsewhere: self.forgets.then_some(Elsewhere::Nowhere),
            resumed: None,
            unkept: false,
            until: None,
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
