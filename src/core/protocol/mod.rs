//! The messages on the wire, as plain values: protocol v1, filters and subjects (spec 01 §§2, 6, 8).
//!
//! Pure: bytes to values and back. Nothing here touches a socket or a clock,
//! and only [`filter::Facts::load`] and [`filter::load_classes`] read files.
//!
//! A message is an onion of JSON texts inside strings. [`v1`] has one type a
//! layer, each with `decode` (every schema rule, bounded in size and depth)
//! and `encode` (byte for byte what the original writes). [`filter`] says
//! which nodes a request is for. [`deferred`] is a request that waits for a node. [`subjects`] says where messages travel.
//! [`json`] is the reader and writer underneath: one pass, no value trees, and
//! the leniencies of Go's decoder that a mixed fleet depends on.

pub mod deferred;
mod error;
pub mod filter;
pub mod json;
mod name_list;
pub(crate) mod number;
pub mod presence;
pub mod subjects;
pub mod v1;

pub use error::{DecodeError, Layer};
pub use name_list::NameList;
