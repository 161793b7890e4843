//! This broker as a leaf of hubs: other networks, of stock nats-server or of the original (spec 04 §8).
//!
//! One thread for each [`Leaf`] of the options keeps it connected (`remote`): it dials (`dial`), says who
//! this is, and gives the connection to a shard, where it is a link like
//! others. `link` is what such a link knows beyond that, `hear` what the
//! hub's words do here, `give` what it is sent, and `interest` what it has been
//! told of wishes here. Who gets what is the router's business, as for all links.
//!
//! What comes from one hub is for links here and goes to no other hub: this
//! broker joins networks at its edge and carries nothing between them.

mod dial;
mod give;
mod hear;
mod interest;
mod link;
mod options;
mod remote;

pub use hear::PAUSE;
pub use link::{LeafInfo, LeafLink};
pub use options::{HubAddress, HubAddressError, Leaf, LeafProof, LeafTls, Whereabouts};
pub use remote::Remotes;
