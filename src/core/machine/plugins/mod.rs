//! Machines from afar (spec 06 §10): a manifest, which somebody signs and puts into a bucket,
//! says which archives are to be on which nodes.
//!
//! [`manifest`] is the document, [`managed`] has what it says done below a directory, and
//! [`manager`] is the machine every node has for that where `plugin.machines.download` is set.

pub mod managed;
pub mod manager;
pub mod manifest;
mod written;

pub use manifest::{Manifest, ManifestError, Plugin};
