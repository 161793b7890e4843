//! Choria in Rust, as a library.
//!
//! What it promises: the wire protocols of today's Choria networks, every
//! request authenticated, authorized and audited on the node that runs it, and
//! no input from the network that ends a process or grows it without bound.
//!
//! The modules of [`core`] are the product; the `choria` executable is a thin
//! face over them.
#![forbid(unsafe_code)]

pub mod core;
