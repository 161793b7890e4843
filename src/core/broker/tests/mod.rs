//! The running broker, seen from its sockets.

mod adversaries;
pub mod kit;
mod leaf;
mod limits;
mod over_tls;
mod plain;
mod protocol_vectors;
mod resumption;
mod slow_readers;
mod users;
