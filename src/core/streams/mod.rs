//! Streams of a network, kept by the engine behind its broker (spec 06 §15).
//!
//! [`system`] says which streams there are to be, [`keeper`] makes them so. Whoever uses
//! them speaks to them over his own connection, by what his certificate allows: [`Streams`]
//! asks, [`Bucket`] is a key-value store in one of them, [`Governor`] lets so many at a time
//! do something, [`election`] says who of many is at work, [`Watching`] hears what is stored,
//! [`backup`] carries a whole stream away and back, [`health`] knows what is wrong with some.

pub mod asking;
pub mod backup;
pub mod bucket;
mod denials;
pub mod election;
pub mod error;
pub mod governor;
pub mod health;
pub mod keeper;
pub mod message;
pub mod system;
pub mod watching;

pub use asking::Streams;
pub use bucket::{Bucket, BucketConfig, Entry, KeyError, Operation};
pub use error::{Refusal, StreamError};
pub use governor::{Governor, GovernorConfig};
pub use keeper::{Keeper, Login};
pub use system::{Kept, SystemStreams};
pub use watching::{Heard, Start, Watching};
