//! Who may call what (spec 02 §6).
//!
//! [`policy`], `rule` and `groups` read the text of policy files into values
//! that decide and tell what is wrong with them; [`ActionPolicy`] finds the file of an agent, keeps it parsed until
//! it changes, and gives a [`Decision`] whose reason names file and line, for
//! the log of the node. [`Authorizer`] is what a server makes from its
//! configuration. Whatever cannot be decided is denied.

mod action_policy;
mod authorizer;
mod columns;
mod groups;
pub mod policy;
mod rule;

#[cfg(test)]
mod tests;

pub use action_policy::ActionPolicy;
pub use authorizer::Authorizer;

/// What is to be authorized.
#[derive(Debug, Clone, Copy)]
pub struct AuthzRequest<'a> {
    /// Caller id, verified.
    pub caller: &'a str,
    /// Agent that is asked.
    pub agent: &'a str,
    /// Action that is asked.
    pub action: &'a str,
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
