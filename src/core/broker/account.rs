//! What crosses from one account into another (spec 04 §2, §6.17).

use crate::core::admission::Account;
use crate::core::nats::subject;

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
