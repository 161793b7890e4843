//! Requests for nodes that are absent: kept by the network's streams until the node comes, then run once.
//!
//! **What is signed.** A [`Deferred`], by the caller, for one node each: id, action and inputs, node, and the time it
//! is valid in. It is no request of any protocol, so nothing that takes requests can be made to run it, and the TTL and
//! the replay memory of requests are as they were: they do not know of it. A node knows that it is meant because its
//! name is in the signed text, and nobody else's.
//!
//! **Where it is.** In one stream, with one place for a node and a request: `choria.requests.NODE.CALLER.ID`, names as
//! hashes ([`protocol::deferred`](crate::core::protocol::deferred)). A place holds one message, which nobody removes
//! and which is replaced by what becomes of it ([`Place`]): asked → begun → answered, or asked → cancelled, each only
//! in place of the very message before (the stream's expected sequence). So a request that is begun cannot be
//! cancelled, one that is cancelled cannot begin, and of two that begin one does. The broker's permissions let a
//! caller write his own places (and a privileged certificate, which speaks for others anyway, all), a node read and
//! write those of its name. What a place says beside the signed text is the word of whoever may write it.
//!
//! **At most once.** A node runs one when the stream has taken its `begun`, and its own [`Ledger`], on its disk,
//! has the id. Either keeps it from running again: after a restart the ledger says that it was begun, and
//! the caller is told that its end is not known; where the ledger is lost the place is no longer `asked`; where the
//! stream is put back the ledger counts. A request that was asked in the ordinary way first, and says so (`until` in its
//! body), is in the ledger as well before it runs: whoever answered too late does not run it again. A node whose ledger
//! began after the request was made cannot know that, and runs only what the broker knew had not reached it.
//!
//! **When it runs** it is judged as of then: signature, certificate, revocation, collective, policy, audit, by the
//! stages every request goes through (`server::pipeline`). Nodes look when they connect, after a moment that is
//! another for each, and now and then. A node is off unless its owner says so (`plugin.choria.requests.enabled`), and so is
//! a broker (`plugin.choria.network.stream.requests`).
//!
//! **Bounds.** 30 days, 128 KiB of text, 10,000 nodes, 100 requests of a caller at a time, 200,000 places and 512 MiB
//! in all: a full stream takes no more. A node: 64 a look, 4,096 ids remembered, answers of 256 KiB.

pub mod caller;
pub mod ledger;
pub mod place;

pub use crate::core::protocol::deferred::Deferred;
pub use caller::{Keeping, Kept, KeptError, MOST_NODES};
pub use ledger::{Known, Ledger, LedgerError};
pub use place::{Answer, Head, Place};
