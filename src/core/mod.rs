//! The product: everything `choria` does, with no knowledge of terminals.
//!
//! Rooms are stacked: a room uses only rooms of the floors below it, and none of its
//! own. A test reads this list, from the top, and holds all imports against it; what is
//! built for tests alone may look upwards.
//!
//! - [`emulator`], [`provisioner`]: thousands of servers in one process; who makes nodes of bare machines
//! - [`backplane`]: a server inside other programs
//! - [`broker`], [`discovery`], [`server`]: what a process is, and how a client finds it
//! - [`agents`], [`audit`], [`authz`], [`client`]: what is called, who may, what was, and who calls
//! - [`provisioning`]: what a bare machine starts from
//! - [`admission`], [`connection`], [`pki`]: sockets, who may use them, and how certificates are made
//! - [`security`]: keys, signatures, certificates, tokens
//! - [`ddl`], [`registration`], [`rpc`]: pure formats of what is inside of messages
//! - [`config`]: what a person sets, by key, file and environment
//! - [`lifecycle`], [`nats`], [`protocol`]: pure formats of messages
//! - [`build`], [`log`], [`web`]: what every process has
//! - [`files`], [`metrics`], [`programs`]: whole files, counters, children
//! - [`text`]: how bytes, words of others and secrets are written

pub mod admission;
pub mod agents;
pub mod audit;
pub mod authz;
pub mod backplane;
pub mod broker;
pub mod build;
pub mod client;
pub mod config;
pub mod connection;
pub mod ddl;
pub mod discovery;
pub mod emulator;
pub mod files;
pub mod lifecycle;
pub mod log;
pub mod metrics;
pub mod nats;
pub mod pki;
pub mod programs;
pub mod protocol;
pub mod provisioner;
pub mod provisioning;
pub mod registration;
pub mod rpc;
pub mod security;
pub mod server;
pub mod text;
pub mod web;
