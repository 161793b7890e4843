//! The embedded NATS-compatible broker: links and a router that never mix (spec 04).
//!
//! What it promises: a peer that does not read is cut and never waited for; a
//! storm of new connections cannot starve those that are in; order is kept
//! from each publisher to each subscription; a client that has its PONG can
//! rely on its subscriptions being seen by every publisher.
//!
//! A connection comes by `acceptor` or is [handed in](Broker::adopt), passes the
//! `gate` and waits its turn in the `handshake_queue`, is let in by `handshake`
//! (with `slow_checks` for what takes long), and lives in one `shard`: a thread
//! with an event loop that owns its `link`s. What a link says is read by
//! `session`, routed by `publish` and sent by `output`. The `router` knows
//! subscriptions and no sockets; what is for another shard is handed over in
//! batches (`inbox`, `packed`), or done in its place while it sleeps. A link to a
//! hub, which this broker is a `leaf` of, is one among the others, and `hubs` is what
//! the router knows of them. Whatever
//! is held for a peer stands in the `ledger`. Whoever wants to look on does so
//! through a [`View`]; [`monitoring`] shows one over HTTP.

mod acceptor;
mod account;
mod allowed_replies;
mod claims;
mod close;
mod closed;
mod consumers;
mod copies;
mod delivery;
mod departures;
mod errands;
mod fanout;
mod gate;
mod handshake;
mod handshake_end;
mod handshake_queue;
mod hubs;
mod inbox;
mod index;
mod keepalive;
mod leaf;
mod ledger;
mod limits;
mod link;
mod look;
mod making;
pub mod monitoring;
mod options;
mod outbound;
mod output;
mod pace;
mod packed;
mod pending;
mod presence;
mod publish;
mod pulls;
mod questions;
mod reauthenticate;
mod resumption;
mod router;
mod server_info;
mod session;
mod shard;
mod shared;
mod shortage;
mod shown;
mod sid;
mod slow_checks;
mod start;
mod stats;
mod stream_share;
mod subscribe;
mod subscriptions;
mod timer;
mod tls;
mod trie;
mod turn_shares;
mod user_info;
mod view;
mod wire;

pub use fanout::FanOut;
pub use leaf::{HubAddress, HubAddressError, Leaf, LeafInfo, LeafProof, LeafTls, Whereabouts};
pub use limits::{KindLimits, LimitError, Limits, bytes};
pub use look::{Order, Select};
pub use options::{AdoptError, BrokerError, Listener, Options};
pub use start::Broker;
pub use stats::{Answers, ClosedInfo, ConnectionInfo, Stats, SubscriptionInfo};
pub use view::{Chains, View};

#[cfg(test)]
mod tests;
