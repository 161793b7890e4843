//! The engine behind brokers that are more than one: stock nats-server, found,
//! configured and kept running (spec 04 §10, design decisions 2 and 19).
//!
//! Nobody connects to it but this machine's own broker and the engines of the
//! other machines. Clients and nodes stay with the broker in front, so that who may
//! say what is decided in one place and by one code; the broker is a leaf of
//! its engine, an account by an account, each by a key that is made at the start and lives in
//! memory alone. Between machines engines speak TLS with the brokers' certificates, and
//! take nobody whose certificate does not name one of the configured peers: a node's
//! does not.
//!
//! [`program`] finds and judges the program, [`configuration`] is the file it is given,
//! [`supervisor`] its life.

pub mod configuration;
mod lines;
pub mod program;
pub mod supervisor;
mod word;

pub use configuration::{Cluster, Peer, PeerError, PeerTls, Settings};
pub use program::ProgramError;
pub use supervisor::{Engine, EngineError, Options};
pub use word::{USER, Word, WordError};
