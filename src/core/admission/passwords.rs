//! Passwords as they are stored: as text, or as a slow hash (bcrypt).
//!
//! Checking a hash takes as long as whoever made it wanted, a twentieth of a
//! second to a second. A password that was right once is remembered by a keyed
//! digest, so that a fleet that comes back, and everybody who is judged again
//! after a reload, pays once.

use std::collections::HashSet;
use std::fmt;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
use bcrypt::HashParts;

use crate::core::text::Secret;

/// How the hashes begin that are taken.
const PREFIXES: [&str; 3] = ["$2a$", "$2b$", "$2y$"];
/// Greatest cost: about two seconds, which is all the time there is to log in.
const MOST_COST: u32 = 15;
/// Right passwords of each half of the memory.
const HALF: usize = 4096;

/// Why a stored password cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It begins as a hash and is none.
    #[error("it begins like a bcrypt hash and is none")]
    Malformed,
    /// It would take longer than anybody has time.
    #[error("its cost is {0}, at most {MOST_COST} can be checked within the time to log in")]
    Cost(u32),
}

/// A password as it is stored.
#[derive(Clone)]
pub enum Stored {
    /// Itself.
    Text(Secret),
    /// Its hash.
    Hash(Secret),
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text",
            Self::Hash(_) => "Hash",
        })
    }
}

impl Stored {
    /// Tells a hash (`$2a$`, `$2b$`, `$2y$`) from a text, as nats-server does.
    ///
    /// # Errors
    /// [`PasswordError`]; a hash that nobody can match would lock its user out.
    pub fn new(secret: Secret) -> Result<Self, PasswordError> {
        if !PREFIXES.iter().any(|prefix| secret.expose().starts_with(prefix)) {
            return Ok(Self::Text(secret));
        }
        let parts: HashParts = secret.expose().parse().map_err(|_| PasswordError::Malformed)?;
        match parts.get_cost() {
            cost if cost > MOST_COST => Err(PasswordError::Cost(cost)),
            cost if cost < 4 => Err(PasswordError::Malformed),
            _ => Ok(Self::Hash(secret)),
        }
    }

    /// Whether checking takes long, whatever is given.
    pub fn is_slow(&self) -> bool {
        matches!(self, Self::Hash(_))
    }

    /// Whether `given` is the password. May take long.
    pub fn matches(&self, given: &Secret) -> bool {
        self.matches_quickly(given).unwrap_or_else(|| self.matches_slowly(given))
    }

    /// The same if it takes no time: `None` for a hash `given` has not matched before.
    pub fn matches_quickly(&self, given: &Secret) -> Option<bool> {
        match self {
            Self::Text(text) => Some(text.matches(given)),
            Self::Hash(hash) => RIGHT.as_ref().filter(|right| right.holds(hash, given)).map(|_| true),
        }
    }

    fn matches_slowly(&self, given: &Secret) -> bool {
        let Self::Hash(hash) = self else { return false };
        // an error is a hash that cannot be read, which `new` has not let in
        let right = bcrypt::verify(given.expose(), hash.expose()).unwrap_or(false);
        if right && let Some(known) = RIGHT.as_ref() {
            known.add(hash, given);
        }
        right
    }
}

/// Pairs of a hash and the password that has matched it, by their digest under
/// a key of this process. Outlives the users of one configuration: most come
/// back after a reload.
struct Right {
    key: hmac::Key,
    digests: Mutex<[HashSet<[u8; 32]>; 2]>,
}

/// None without randomness: then every password is checked by its hash.
static RIGHT: LazyLock<Option<Right>> = LazyLock::new(|| {
    let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new()).ok()?;
    Some(Right { key, digests: Mutex::default() })
});

impl Right {
    fn digest(&self, hash: &Secret, given: &Secret) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        // a hash has one length, so nothing can move from one to the other
        context.update(hash.expose().as_bytes());
        context.update(given.expose().as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    fn lock(&self) -> MutexGuard<'_, [HashSet<[u8; 32]>; 2]> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self, hash: &Secret, given: &Secret) -> bool {
        let digest = self.digest(hash, given);
        self.lock().iter().any(|half| half.contains(&digest))
    }

    fn add(&self, hash: &Secret, given: &Secret) {
        let digest = self.digest(hash, given);
        let mut halves = self.lock();
        let [recent, older] = &mut *halves;
        if recent.len() >= HALF {
            *older = std::mem::take(recent);
        }
        recent.insert(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(text: &str) -> Result<Stored, PasswordError> {
        Stored::new(Secret::new(text))
    }

    #[test]
    fn texts_hashes_and_neither() {
        assert!(!stored("s3cret").unwrap().is_slow());
        assert!(!stored("$1$abc").unwrap().is_slow());
        let hash = bcrypt::hash("s3cret", 4).unwrap();
        for prefix in PREFIXES {
            let hash = stored(&hash.replacen("$2b$", prefix, 1)).unwrap();
            assert!(hash.is_slow());
            assert!(hash.matches(&Secret::new("s3cret")), "{prefix}");
            assert!(!hash.matches(&Secret::new("s3creT")), "{prefix}");
            assert!(!hash.matches(&Secret::new("")), "{prefix}");
        }
        // made by the C library
        let known = "$2b$05$v2stc7JC1uc.OrI4ALj24OkI2JIJQm8gCr0xbaR90tznSLyrek7ka";
        assert!(stored(known).unwrap().matches(&Secret::new("a hashed password")));
        for broken in ["$2a$", "$2b$10$short", "$2y$xx$v2stc7JC1uc.OrI4ALj24OkI2JIJQm8gCr0xbaR90tznSLyrek7ka"]
        {
            assert_eq!(stored(broken).unwrap_err(), PasswordError::Malformed, "{broken}");
        }
        assert_eq!(stored(&known.replace("$05$", "$16$")).unwrap_err(), PasswordError::Cost(16));
        assert_eq!(stored(&known.replace("$05$", "$03$")).unwrap_err(), PasswordError::Malformed);
        assert!(!format!("{:?} {:?}", stored("s3cret"), stored(known)).contains("v2stc"));
    }

    #[test]
    fn a_right_password_is_slow_once_and_a_wrong_one_always() {
        let hash = stored(&bcrypt::hash("a right password", 4).unwrap()).unwrap();
        let (right, wrong) = (Secret::new("a right password"), Secret::new("a wrong password"));
        assert_eq!(hash.matches_quickly(&right), None);
        assert!(hash.matches(&right) && !hash.matches(&wrong));
        assert_eq!(hash.matches_quickly(&right), Some(true));
        assert_eq!(hash.matches_quickly(&wrong), None);
        let other = stored(&bcrypt::hash("a right password", 4).unwrap()).unwrap();
        assert_eq!(other.matches_quickly(&right), None, "another hash of it");
    }
}
