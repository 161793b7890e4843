//! Who may call what (spec 02 §6).
//!
//! [`policy`], `rule` and `groups` read the text of policy files into values
//! that decide and tell what is wrong with them; [`ActionPolicy`] finds the file of an agent, keeps it parsed until
//! it changes, and gives a [`Decision`] whose reason names file and line, for
//! the log of the node. [`Authorizer`] is what a server makes from its
//! configuration. `rego` decides by policies in Rego instead. Whatever cannot be decided is denied.

mod action_policy;
mod authorizer;
mod columns;
mod groups;
mod kept;
pub mod policy;
#[cfg(feature = "rego")]
mod rego;
mod rule;

#[cfg(test)]
mod tests;

pub use action_policy::ActionPolicy;
pub use authorizer::Authorizer;
#[cfg(feature = "rego")]
pub use rego::Rego;
use serde_json::{Map, Value};

/// What is to be authorized.
#[derive(Debug, Clone, Copy)]
pub struct AuthzRequest<'a> {
    /// Caller id, verified.
    pub caller: &'a str,
    /// Agent that is asked.
    pub agent: &'a str,
    /// Action that is asked.
    pub action: &'a str,
    /// What else is known, for policies that look at it.
    pub about: About<'a>,
}

/// What only some policies look at.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// Collective the request was made in.
    pub collective: &'a str,
    /// Inputs; those the action declares.
    pub data: Option<&'a Map<String, Value>>,
    /// Seconds the request is valid.
    pub ttl: i64,
    /// When it was made, unix seconds.
    pub time: i64,
    /// Agents of the node.
    pub agents: &'a [String],
    /// Whether the node waits to be provisioned.
    pub provision_mode: bool,
}

impl<'a> AuthzRequest<'a> {
    /// Of which nothing else is known.
    pub fn of(caller: &'a str, agent: &'a str, action: &'a str) -> AuthzRequest<'a> {
        AuthzRequest { caller, agent, action, about: About::default() }
    }
}

/// How a decision came about, for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Authorization is switched off.
    Off,
    /// A rule allows it.
    AllowRule,
    /// A rule denies it.
    DenyRule,
    /// No rule matched, the default of the file allows it.
    DefaultAllow,
    /// No rule matched, the default denies it.
    DefaultDeny,
    /// There is no policy for the agent.
    NoPolicy,
    /// The policy could not be evaluated, or its provider is not supported.
    Error,
}

/// Whether a call may run, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may run.
    pub allowed: bool,
    /// Which kind of reason.
    pub outcome: Outcome,
    /// The reason for the node's log, with file and line. Not for the caller.
    pub reason: String,
}

impl Decision {
    /// Nobody may: it cannot be found out who may.
    pub fn undecided(reason: String) -> Decision {
        Decision::new(Outcome::Error, reason)
    }

    fn new(outcome: Outcome, reason: String) -> Decision {
        let allowed = matches!(outcome, Outcome::Off | Outcome::AllowRule | Outcome::DefaultAllow);
        Decision { allowed, outcome, reason }
    }
}
