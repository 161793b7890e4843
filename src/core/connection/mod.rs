//! NATS client connections: server choice, SRV, TLS, back-off, inboxes
//! (spec 01 §§16, 17).
//!
//! A [`Session`] is what the rest of the house holds: it stays when the
//! connection below it dies. async-nats carries one life of one connection;
//! which server comes next, after how long, and under which addresses DNS knows
//! it by then is decided here, because a fleet must follow DNS and async-nats
//! keeps the list it was given.

mod backoff;
mod budget;
mod failure;
mod flood;
mod hosts;
mod life;
mod line;
#[cfg(test)]
pub mod misbehaving;
mod options;
mod servers;
mod session;
mod srv;
mod storing;
mod supervisor;
mod unwritten;

pub use backoff::Backoff;
pub use budget::{ByteBudget, HeldMessage};
pub use hosts::{HostError, ServerUrl, parse_hosts};
pub use line::{Line, PublishError};
pub use options::{FirstFailure, SessionOptions};
pub use servers::{Purpose, ServerList, srv_domain};
pub use session::{
    ComplaintListener, ConnectError, ConnectionTraffic, Session, SessionStats, Subscription, SubscriptionId,
};
pub use srv::{SrvError, SrvResolver};
pub use storing::{Fate, Storing, ToStore};

pub use async_nats::Message;

/// Status of a message by which a broker says that nobody listens.
pub const NOBODY_LISTENS: async_nats::StatusCode = async_nats::StatusCode::NO_RESPONDERS;
