//! The fleet provisioner: from a bare machine to a managed node (spec 05).
//!
//! A node that waits is noticed by its startup event, its registration data or
//! a discovery, and becomes an entry of the [`population`]. Each takes the
//! same walk ([`flow`]): show the token, inventory, certificate request,
//! [`helper`], configure, restart. Requests travel over one connection
//! ([`calls`]); what a helper answers is checked ([`answer`], [`csr`]) before
//! the node sees it, and written down ([`journal`]) before it is acted on.
//! [`daemon`] ties them together, [`settings`] is its file,
//! [`page`] shows it to people and to Prometheus.

pub mod answer;
pub mod calls;
pub mod csr;
pub mod daemon;
pub mod flow;
pub mod helper;
pub mod journal;
mod management;
pub mod metrics;
mod noticing;
pub mod page;
pub mod population;
pub mod question;
pub mod server_token;
pub mod settings;
pub mod socket;
pub mod status;
