//! A circuit breaker for services: anybody's program on the network, to be
//! looked at, paused and resumed by `choria rpc backplane` (spec 02 §14.2).
//!
//! A program says what it can do ([`Service`]: a pause, a health check, a
//! shutdown, log levels), reads [`Settings`] from wherever it reads its own,
//! and [`start`]s the backplane: a node in a collective of its own,
//! `NAME_backplane`, with agents `discovery` and `backplane` and no others.
//! Brokers with permissions by name need that collective in their `collectives`,
//! and the service the certificate of a node. Who may do what is decided by the settings alone, by caller id.
//!
//! `examples/backplane.rs` is a web service with one; our provisioner has one too.

mod agent;
mod run;
mod service;
mod settings;

pub use run::{Backplane, BackplaneError, check, start};
pub use service::{HealthCheckable, InfoSource, LogLevel, LogLevelSetable, Pausable, Service, Stopable};
pub use settings::{Auth, Scheme, Settings, Tls};
