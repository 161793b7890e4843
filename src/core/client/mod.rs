//! A request and its stream of checked replies (spec 03 §6).
//!
//! [`Client`] is one connection of one caller. [`Client::converse`] opens a
//! [`Conversation`]: one request id, one reply subject, any number of sends.
//! [`RpcCall`] drives one for an agent's action: limits and batches, who is
//! still outstanding, when to stop, and statistics.
//!
//! Protocol v1 replies are hashed and not signed: that a reply is of the node it
//! names rests on `addresses`, which only that node was told. [`ReplyChecker`]
//! drops what is not an answer to this request, and counts it.
//!
//! [`history`] keeps what requests came to, for the person who made them; [`stages`] lets a
//! change go through the fleet step by step.

mod accounting;
mod addresses;
mod batches;
mod caller;
mod checker;
mod complaints;
mod conversation;
mod error;
pub mod history;
mod interfaces;
mod listening;
mod matching;
mod outgoing;
mod presence;
mod replies;
mod rpc;
pub mod stages;
mod stats;

pub use accounting::{Accounting, Class};
pub use batches::{Limit, LimitError, LimitMethod};
pub use caller::{Client, ClientOptions};
pub use checker::{Dropped, ReplyChecker, ReplyReader, RequestRef};
pub use conversation::{Conversation, Targets};
pub use error::ClientError;
pub use interfaces::InterfaceError;
pub use listening::Listening;
pub use replies::{Heard, Replies};
pub use rpc::{RpcCall, RpcOptions, RpcReply};
pub use stats::RequestStats;
