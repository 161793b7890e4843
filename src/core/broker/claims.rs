//! Names that waiting nodes claim.
//!
//! A provisioning token is one for a whole fleet: nothing but its own word says
//! which node a connection is. Two live connections of one name would both be
//! provisioned as it, which the original's network never notices.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::admission::Account;

/// Most names that are warned about; they are still counted beyond.
const MAX_WARNED: usize = 10_000;

/// Who is connected as whom, in the account of waiting nodes only.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: Mutex<Names>,
    doubled: AtomicU64,
}

#[derive(Debug, Default)]
struct Names {
    live: HashMap<Box<str>, u32>,
    warned: HashSet<Box<str>>,
}

/// A claim lasts as long as its connection.
#[derive(Debug)]
pub struct Claim {
    of: Arc<Inner>,
    name: Box<str>,
}

impl Claims {
    /// The claim of a connection that was let in; only waiting nodes make one.
    pub fn claim(&self, account: Account, user: &str, name: &str) -> Option<Box<Claim>> {
        // provisioners have a user name
        if account != Account::Provisioning || !user.is_empty() {
            return None;
        }
        let mut names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        let live = names.live.entry(name.into()).or_default();
        *live += 1;
        if *live > 1 {
            self.0.doubled.fetch_add(1, Ordering::Relaxed);
            if names.warned.len() < MAX_WARNED && names.warned.insert(name.into()) {
                tracing::warn!(
                    name,
                    "two waiting nodes claim this name, neither should be provisioned; rename one or shut it down"
                );
            }
        }
        Some(Box::new(Claim { of: self.0.clone(), name: name.into() }))
    }

    /// Connections that claimed a name somebody else had, ever.
    pub fn doubled(&self) -> u64 {
        self.0.doubled.load(Ordering::Relaxed)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut names = self.of.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = names.live.get_mut(&self.name) {
            *live -= 1;
            if *live == 0 {
                names.live.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_live_doubles_of_waiting_nodes_count() {
        let claims = Claims::default();
        let first = claims.claim(Account::Provisioning, "", "n1");
        assert!(claims.claim(Account::Provisioning, "provisioner", "n1").is_none());
        assert!(claims.claim(Account::Choria, "", "n1").is_none());
        drop(first);
        let _again = claims.claim(Account::Provisioning, "", "n1");
        assert_eq!(claims.doubled(), 0);
        let _double = claims.claim(Account::Provisioning, "", "n1");
        assert_eq!(claims.doubled(), 1);
        drop((_again, _double));
        assert!(claims.0.names.lock().unwrap().live.is_empty());
    }
}
