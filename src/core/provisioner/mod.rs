//! The fleet provisioner: from a bare machine to a managed node (spec 05).
//!
//! A node that waits is noticed by its startup event, its registration data or
//! a discovery, and becomes an entry of the [`population`]. Each takes the
//! same walk ([`flow`]): show the token, inventory, certificate request,
//! [`helper`], configure, restart. Requests travel over one connection
//! ([`calls`]); what a helper answers is checked ([`answer`], [`csr`]) before
//! the node sees it, and written down ([`journal`]) before it is acted on.
//! Where two machines claim a name, [`machines`] says which has it, or neither
//! does; where many provisioners share a network, an [`election`] may say which
//! is at work. [`daemon`] ties them together, [`settings`] is its file, [`page`]
//! shows it to people and to Prometheus, [`stages`] how long each step takes.

pub mod answer;
mod awaited;
pub mod calls;
mod counts;
pub mod csr;
pub mod daemon;
pub mod election;
pub mod flow;
pub mod helper;
pub mod intakes;
pub mod journal;
mod keys;
mod learning;
pub mod machines;
mod management;
pub mod metrics;
mod noticing;
pub mod page;
pub mod plan;
pub mod population;
pub mod question;
pub mod server_token;
pub mod settings;
pub mod socket;
pub mod stages;
pub mod status;
