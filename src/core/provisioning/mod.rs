//! A node without configuration: whether it waits to be provisioned, where, and
//! as what (spec 02 §13, 05 §3).
//!
//! [`Setup`] is what the binary was built with, overridden by the token file
//! on the machine. [`decide`] says from it and from the configuration whether
//! the node waits. A node that waits runs on [`Setup::config`], never on parts
//! of a configuration somebody left behind, and its brokers come from a
//! [`TargetResolver`].

mod decision;
mod mark;
mod setup;
mod target;

pub use decision::{Decision, Found, decide};
pub use mark::Mark;
pub use setup::Setup;
pub use target::{JwtResolver, TargetResolver};

/// Collective of all nodes that wait.
pub const COLLECTIVE: &str = "provisioning";
/// Component of their lifecycle events.
pub const COMPONENT: &str = "provision_mode_server";
/// Where they publish their registration data, today and in 2018.
pub const REGISTRATION_SUBJECTS: [&str; 2] = ["provisioning.registration.data", "choria.provisioning_data"];
/// Agent that provisions them.
pub const AGENT: &str = "choria_provision";
