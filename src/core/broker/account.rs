//! Tables by account, and what crosses from one into another (spec 04 §2, §6.17).

use std::ops::{Index, IndexMut};

use crate::core::admission::Account;
use crate::core::nats::subject;

/// One value for each account there may be.
#[derive(Debug)]
pub struct PerAccount<T>(Box<[T]>);

impl<T: Default> Default for PerAccount<T> {
    fn default() -> Self {
        Self(std::iter::repeat_with(T::default).take(Account::MOST).collect())
    }
}

impl<T> Index<Account> for PerAccount<T> {
    type Output = T;

    fn index(&self, account: Account) -> &T {
        // an account's index is below MOST, whoever made it
        &self.0[account.index()]
    }
}

impl<T> IndexMut<Account> for PerAccount<T> {
    fn index_mut(&mut self, account: Account) -> &mut T {
        &mut self.0[account.index()]
    }
}

impl<T> PerAccount<T> {
    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

/// The account that also hears a message published in `account`, if any.
///
/// One stream import exists: lifecycle events of unprovisioned servers are
/// seen by the fleet's clients, under the same subject. Nothing crosses back.
pub fn imported_by(account: Account, published: &[u8]) -> Option<Account> {
    (account == Account::Provisioning && subject::matches("choria.lifecycle.>", published))
        .then_some(Account::Choria)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lifecycle_events_cross() {
        for (account, published, expected) in [
            (Account::Provisioning, "choria.lifecycle.event.startup.x", Some(Account::Choria)),
            (Account::Provisioning, "choria.lifecycle", None),
            (Account::Provisioning, "provisioning.registration.x", None),
            (Account::Choria, "choria.lifecycle.event.startup.x", None),
            (Account::System, "choria.lifecycle.event.startup.x", None),
        ] {
            assert_eq!(imported_by(account, published.as_bytes()), expected, "{account} {published}");
        }
    }
}
