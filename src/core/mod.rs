//! The product: everything `choria` does, with no knowledge of terminals.
//!
//! Rooms are stacked; a room uses only rooms below it. From the top:
//! [`emulator`] runs thousands of [`server`]s, [`backplane`] one inside other programs;
//! [`provisioner`], [`broker`], [`server`] and
//! [`client`] are what a process is; [`agents`],
//! [`authz`], [`audit`], [`discovery`] and [`provisioning`] serve them; [`connection`],
//! [`admission`], [`security`] and [`pki`] know keys and sockets;
//! [`protocol`], [`rpc`], [`ddl`], [`nats`], [`lifecycle`] and
//! [`registration`] are pure formats; [`config`], [`files`], [`log`],
//! [`metrics`], [`web`] and [`build`] carry them all.

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
pub mod protocol;
pub mod provisioner;
pub mod provisioning;
pub mod registration;
pub mod rpc;
pub mod security;
pub mod server;
pub mod text;
pub mod web;
