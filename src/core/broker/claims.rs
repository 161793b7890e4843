//! Names that waiting nodes claim.
//!
//! A provisioning token is one for a whole fleet: nothing but its own word says
//! which node a connection is. Two live connections of one name would both be
//! provisioned as it, which the original's network never notices.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::core::admission::Account;
use crate::core::log::RefusalLog;

/// Who is connected as whom, in the account of waiting nodes only.
#[derive(Clone, Default)]
pub struct Claims(Arc<Inner>);

#[derive(Default)]
struct Inner {
    names: Mutex<HashMap<Box<str>, Live>>,
    doubled: AtomicU64,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Live>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections of a name, and whether it is said that they are several.
#[derive(Default)]
struct Live {
    count: u32,
    told: bool,
}

/// A claim lasts as long as its connection.
pub struct Claim {
    of: Arc<Inner>,
    name: Box<str>,
}

impl Claims {
    /// The claim of a connection that was let in; only waiting nodes make one.
    pub fn claim(&self, account: Account, user: &str, name: &str, log: &RefusalLog) -> Option<Box<Claim>> {
        // provisioners have a user name
        if account != Account::Provisioning || !user.is_empty() {
            return None;
        }
        let (is_double, was_told) = {
            let mut names = self.0.lock();
            let live = names.entry(name.into()).or_default();
            live.count += 1;
            (live.count > 1, live.told)
        };
        if is_double {
            self.0.doubled.fetch_add(1, Ordering::Relaxed);
            if !was_told {
                log.note("name claimed twice", || {
                    tracing::warn!(
                        name,
                        "two waiting nodes claim this name, neither should be provisioned; rename one or shut it down"
                    );
                    self.0.lock().entry(name.into()).and_modify(|live| live.told = true);
                });
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
        let mut names = self.of.lock();
        if let Some(live) = names.get_mut(&self.name) {
            live.count -= 1;
            if live.count == 0 {
                names.remove(&self.name);
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
        let log = RefusalLog::default();
        let first = claims.claim(Account::Provisioning, "", "n1", &log);
        assert!(claims.claim(Account::Provisioning, "provisioner", "n1", &log).is_none());
        assert!(claims.claim(Account::Choria, "", "n1", &log).is_none());
        drop(first);
        let _again = claims.claim(Account::Provisioning, "", "n1", &log);
        assert_eq!(claims.doubled(), 0);
        let _double = claims.claim(Account::Provisioning, "", "n1", &log);
        assert_eq!(claims.doubled(), 1);
        drop((_again, _double));
        assert!(claims.0.names.lock().unwrap().is_empty());
    }
}
