//! The leafnode protocol as the side speaks it that connects to a hub (spec 04 §8). Pure.
//!
//! A leaf and its hub tell each other what they want to hear, and send only
//! that. It is the clients' protocol with other verbs: [`read`] makes events of
//! bytes, [`mod@write`] the lines for them, [`hello`] the JSON both begin with.

pub mod hello;
pub mod read;
pub mod write;

#[cfg(test)]
mod tests;
