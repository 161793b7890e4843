//! Types of commands, a file each. A new one is a file with a function that reads its own keys, and
//! a line in `KINDS`.

mod discover;
mod exec;
mod filter;
mod form;
mod kv;
mod playbook;
mod rpc;
mod task;

pub use discover::Discover;
pub use exec::{Backoff, Exec};
pub use filter::Filter;
pub use form::{Empty, Form, Property, PropertyType};
pub use kv::{Kv, KvAction};
pub use playbook::Playbook;
pub use rpc::{Format, Rpc};
pub use task::Task;

use super::compile::Reading;

/// What a command does.
#[derive(Debug)]
pub enum Kind {
    /// Nothing by itself.
    Parent,
    /// Runs a program or a script.
    Exec(Exec),
    /// Calls an action on nodes.
    Rpc(Box<Rpc>),
    /// Finds nodes.
    Discover(Box<Discover>),
    /// Keeps or shows a value.
    Kv(Kv),
    /// Asks questions and makes a document of the answers.
    Form(Form),
    /// Runs a task on nodes.
    Task(Box<Task>),
    /// Runs a plan.
    Playbook(Playbook),
    /// Something of the original that is not done here.
    Refused(&'static str),
}

/// A flag that a type of command has by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFlag {
    /// Without the hyphens.
    pub long: String,
    /// One letter for it.
    pub short: Option<char>,
    /// What stands for its value in help; without one it is a switch.
    pub value: Option<String>,
    /// What it does.
    pub help: String,
}

impl OwnFlag {
    fn switch(long: &str, help: &str) -> OwnFlag {
        OwnFlag { long: long.to_owned(), short: None, value: None, help: help.to_owned() }
    }

    fn option(long: &str, value: &str, help: &str) -> OwnFlag {
        OwnFlag { value: Some(value.to_owned()), ..OwnFlag::switch(long, help) }
    }
}

/// Reads the keys of one type.
pub(super) type Read = fn(&mut Reading<'_, '_>) -> Kind;

/// One type.
pub(super) struct Described {
    pub name: &'static str,
    pub read: Read,
    /// Whether the output of such commands can be transformed.
    pub transforms: bool,
}

pub(super) const KINDS: [Described; 10] = [
    Described { name: "parent", read: |_| Kind::Parent, transforms: false },
    Described { name: "exec", read: exec::read, transforms: true },
    Described { name: "rpc", read: rpc::read, transforms: true },
    Described { name: "discover", read: discover::read, transforms: false },
    Described { name: "kv", read: kv::read, transforms: true },
    Described { name: "form", read: form::read, transforms: true },
    Described { name: "task", read: task::read, transforms: false },
    Described { name: "playbook", read: playbook::read, transforms: false },
    Described { name: "scaffold", read: |of| of.refuse("scaffold", &SCAFFOLD), transforms: true },
    Described { name: "ccm_manifest", read: |of| of.refuse("ccm_manifest", &CCM), transforms: true },
];

const SCAFFOLD: [&str; 7] =
    ["target", "source", "source_directory", "post", "skip_empty", "left_delimiter", "right_delimiter"];
const CCM: [&str; 4] = ["manifest", "nats_context", "render_summary", "no_render_messages"];

impl Kind {
    /// Its name in definitions.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Parent => "parent",
            Kind::Exec(_) => "exec",
            Kind::Rpc(_) => "rpc",
            Kind::Discover(_) => "discover",
            Kind::Kv(_) => "kv",
            Kind::Form(_) => "form",
            Kind::Task(_) => "task",
            Kind::Playbook(_) => "playbook",
            Kind::Refused(name) => name,
        }
    }

    /// Flags it has by itself.
    pub fn flags(&self) -> Vec<OwnFlag> {
        match self {
            Kind::Rpc(rpc) => rpc.flags(),
            Kind::Discover(_) => vec![OwnFlag::switch("json", "show the names as a JSON array")],
            Kind::Kv(kv) if kv.takes_json() => vec![OwnFlag::switch("json", "show JSON")],
            _ => vec![],
        }
    }

    /// Whether it takes the flags that choose nodes.
    pub fn takes_filters(&self) -> bool {
        match self {
            Kind::Rpc(rpc) => rpc.std_filters,
            Kind::Discover(discover) => discover.std_filters,
            Kind::Task(task) => task.std_filters,
            _ => false,
        }
    }
}
