//! The product: everything `choria` does, with no knowledge of terminals.
//!
//! Rooms are stacked: a room uses only rooms of the floors below it, and none of its
//! own. A test reads this list, from the top, and holds all imports against it; what is
//! built for tests alone may look upwards.
//!
//! - [`builder`], [`emulator`], [`playbook`], [`provisioner`], [`scout`]: applications of YAML; thousands of servers in one process; plans over the whole fleet; who
//!   makes nodes of bare machines; what the fleet's checks tell
//! - [`backplane`]: a server inside other programs
//! - [`adapters`], [`broker`], [`discovery`], [`federation`], [`server`]: what a process is, and how a client finds it
//! - [`agents`], [`audit`], [`authz`], [`client`]: what is called, who may, what was, and who calls
//! - [`machine`], [`provisioning`], [`tasks`]: autonomous agents; what a bare machine starts from; programs that are
//!   fetched and run
//! - [`deferred`]: requests that wait for their nodes
//! - [`streams`]: what a network keeps, and who uses it
//! - [`admission`], [`connection`], [`engine`], [`pki`]: sockets, who may use them, what joins brokers and keeps
//!   streams, how certificates are made
//! - [`security`]: keys, signatures, certificates, tokens
//! - [`ddl`], [`puppet`], [`registration`], [`rpc`], [`submission`], [`template`]: formats of what is inside of messages,
//!   and the languages of plans and of templates
//! - [`config`]: what a person sets, by key, file and environment
//! - [`lifecycle`], [`nats`], [`protocol`]: pure formats of messages
//! - [`build`], [`log`], [`web`]: what every process has
//! - children, [`programs`] of others
//! - [`files`], [`metrics`]: whole files, counters
//! - [`text`]: how bytes, words of others and secrets are written

pub mod adapters;
pub mod admission;
pub mod agents;
pub mod audit;
pub mod authz;
pub mod backplane;
pub mod broker;
pub mod build;
#[cfg(feature = "builder")]
pub mod builder;
pub mod client;
pub mod config;
pub mod connection;
pub mod ddl;
pub mod deferred;
pub mod discovery;
pub mod emulator;
pub mod engine;
pub mod federation;
pub mod files;
pub mod lifecycle;
pub mod log;
pub mod machine;
pub mod metrics;
pub mod nats;
pub mod pki;
#[cfg(feature = "puppet")]
pub mod playbook;
pub mod programs;
pub mod protocol;
pub mod provisioner;
pub mod provisioning;
#[cfg(feature = "puppet")]
pub use choria_puppet as puppet;
pub mod registration;
pub mod rpc;
pub mod scout;
pub mod security;
pub mod server;
pub mod streams;
pub mod submission;
pub mod tasks;
pub mod template;
pub mod text;
pub mod web;
