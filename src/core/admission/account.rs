//! The isolated subject spaces of a broker.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use crate::core::text::shortened;

/// Longest name of an account in bytes.
const LONGEST: usize = 128;

/// An account: what is published in one is not heard in another (spec 04 §2).
///
/// A Choria broker has three. An embedder's authenticator may answer with
/// accounts of its own, which [`Account::named`] makes; those live as long as
/// the process and are few ([`Account::MOST`]), so that links and tables hold
/// a number instead of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Account {
    /// Fleet, clients, events.
    Choria,
    /// Unprovisioned servers and provisioners.
    Provisioning,
    /// `$SYS` traffic.
    System,
    /// An embedder's.
    Named(NamedAccount),
}

/// Number of an account made by [`Account::named`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamedAccount(u8);

/// Why there is no such account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Not a name.
    #[error("'{0}' cannot name an account: use 1 to {LONGEST} characters without white space")]
    Name(String),
    /// All numbers are used.
    #[error("account '{0}' is one too many: a process has at most {most}", most = Account::MOST)]
    TooMany(String),
}

const BUILT_IN: [Account; 3] = [Account::Choria, Account::Provisioning, Account::System];

static NAMED: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

impl Account {
    /// Most accounts of a process, and the length of tables by [`index`](Account::index).
    pub const MOST: usize = 64;

    /// The account of a name; those of Choria are found by theirs.
    ///
    /// # Errors
    /// [`AccountError`] when the name is unusable or there are too many accounts.
    pub fn named(name: &str) -> Result<Self, AccountError> {
        if let Some(built_in) = BUILT_IN.into_iter().find(|account| account.name() == name) {
            return Ok(built_in);
        }
        let unusable = |c: char| c.is_whitespace() || c.is_control();
        if name.is_empty() || name.len() > LONGEST || name.contains(unusable) {
            return Err(AccountError::Name(shortened(name, LONGEST)));
        }
        let mut names = NAMED.write().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().position(|known| *known == name);
        let number = known.unwrap_or(names.len());
        let account = match u8::try_from(number) {
            Ok(number) if usize::from(number) + BUILT_IN.len() < Self::MOST => {
                Self::Named(NamedAccount(number))
            }
            _ => return Err(AccountError::TooMany(name.to_owned())),
        };
        if known.is_none() {
            // kept for ever: bounded above, and a name must outlive all who show it
            names.push(Box::leak(name.to_owned().into_boxed_str()));
        }
        Ok(account)
    }

    /// All accounts there are now.
    pub fn all() -> Vec<Self> {
        let named = NAMED.read().unwrap_or_else(PoisonError::into_inner).len();
        let named = (0..).take(named).map(|number| Self::Named(NamedAccount(number)));
        BUILT_IN.into_iter().chain(named).collect()
    }

    /// Whether it is one of Choria's.
    pub fn is_built_in(self) -> bool {
        BUILT_IN.contains(&self)
    }

    /// Name on the wire and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Choria => "choria",
            Self::Provisioning => "provisioning",
            Self::System => "system",
            Self::Named(NamedAccount(number)) => {
                let names = NAMED.read().unwrap_or_else(PoisonError::into_inner);
                names.get(usize::from(number)).copied().unwrap_or_default()
            }
        }
    }

    /// Place in tables that hold one value an account, below [`MOST`](Account::MOST).
    pub fn index(self) -> usize {
        match self {
            Self::Choria => 0,
            Self::Provisioning => 1,
            Self::System => 2,
            Self::Named(NamedAccount(number)) => BUILT_IN.len() + usize::from(number),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_one_account_each() {
        let one = Account::named("test-one").unwrap();
        let two = Account::named("test-two").unwrap();
        assert_eq!(Account::named("test-one"), Ok(one));
        assert_ne!(one, two);
        assert_eq!((one.name(), two.to_string().as_str()), ("test-one", "test-two"));
        assert_eq!(Account::named("choria"), Ok(Account::Choria));
        let all = Account::all();
        assert!(all.contains(&one) && all.contains(&Account::System));
        for account in all {
            assert!(account.index() < Account::MOST);
            assert_eq!(Account::named(account.name()), Ok(account));
        }
        let long = "x".repeat(LONGEST + 1);
        for name in ["", "a b", "a\n", long.as_str()] {
            assert!(matches!(Account::named(name), Err(AccountError::Name(_))), "{name:?}");
        }
    }
}
