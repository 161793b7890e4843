//! The NATS wire: codec, subjects, wildcards (spec 04 §6). Pure.
//!
//! Nothing here knows a socket, a clock or an account. [`subject`] is the
//! algebra of names and patterns, [`codec`] turns bytes of a client into
//! events, [`connect`] is the body of CONNECT, [`info`] the body of INFO,
//! [`nkey`] the keys that may sign its nonce, [`credentials`] a file with one, [`frame`] the bytes a broker sends, [`headers`] what stands before a message, and [`leaf`] what it
//! and a hub say to each other.

pub mod codec;
pub mod connect;
pub mod credentials;
pub mod frame;
pub mod headers;
pub mod info;
pub mod leaf;
pub mod nkey;
pub mod subject;
