//! Data stores (spec 07 §B6): a file each, and a line in the list.

mod consul;
mod environment;
mod etcd;
mod file;
mod kv;
mod lease;
mod shell;

use serde_json::Value as Json;

use super::options::Options;
use super::world::World;
use crate::core::puppet::host::Trouble;
use crate::core::puppet::value::Hash;

/// A lock that is held, and kept meanwhile. Dropped, it is given back by and by.
#[derive(Debug)]
pub(super) enum Lock {
    /// Of Consul.
    Consul(consul::Session),
    /// Of a bucket.
    Kv(kv::HeldKey),
}

impl Lock {
    /// Why it may be somebody else's by now.
    pub fn lost(&self) -> Option<String> {
        match self {
            Lock::Consul(session) => session.lost(),
            Lock::Kv(held) => held.lost(),
        }
    }

    /// Gives it back.
    ///
    /// # Errors
    /// That did not work, or it was not held any more.
    pub async fn release(self) -> Result<(), String> {
        match self {
            Lock::Consul(session) => session.release().await,
            Lock::Kv(held) => held.release().await,
        }
    }
}

/// A store that was opened, which is looked at again for each use.
pub(super) trait Store {
    /// The value of a key.
    fn read(&self, world: &mut World, key: &str) -> Result<Json, Trouble>;

    /// A new value for a key.
    fn write(&self, world: &mut World, key: &str, value: &str) -> Result<(), Trouble>;

    /// Whether what is written lasts for the run, and has to be written again by one that goes on.
    fn is_of_the_run(&self) -> bool {
        false
    }

    /// Waits for a lock.
    fn lock(&self, _: &mut World, _: &str) -> Result<Lock, Trouble> {
        Err(Trouble("lock not implemented for this type of data store; consul and kv have locks".to_owned()))
    }
}

type Open = fn(&Options<'_>) -> Result<Box<dyn Store>, Trouble>;

const TYPES: [(&str, Open); 6] = [
    ("file", file::open),
    ("environment", environment::open),
    ("shell", shell::open),
    ("consul", consul::open),
    ("etcd", etcd::open),
    ("kv", kv::open),
];

/// The store that a hash describes.
pub(super) fn open(hash: &Hash) -> Result<Box<dyn Store>, Trouble> {
    let options = Options::new("data store", hash);
    let kind = options.required("type")?;
    let Some((_, open)) = TYPES.iter().find(|(name, _)| *name == kind) else {
        let names = TYPES.map(|(name, _)| name).join(", ");
        return Err(Trouble(format!("Cannot find a handler for Data Store type {kind}; there are {names}")));
    };
    let what = format!("{kind} data store");
    open(&Options::new(&what, hash))
}

#[cfg(test)]
mod tests;
