//! A password for one start of the engine: it is known to this process, and its file has no more than a hash.

use crate::core::text::{Secret, hex};

/// User the streams' keeper logs in by.
pub const USER: &str = "streams";

/// Cheap: nobody guesses 256 bits, however fast he tries.
const COST: u32 = 4;

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Word {
    /// The password.
    pub secret: Secret,
    /// What the file has.
    pub hash: String,
}

/// No password can be made.
#[derive(Debug, thiserror::Error)]
pub enum WordError {
    /// No randomness.
    #[error("the system gives no random bytes to make a password of")]
    Random,
    /// No hash.
    #[error("hashing a password: {0}")]
    Hash(#[from] bcrypt::BcryptError),
}

impl Word {
    /// A new one.
    ///
    /// # Errors
    /// [`WordError`].
    pub fn generate() -> Result<Self, WordError> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| WordError::Random)?;
        let secret = Secret::new(hex(&*bytes));
        let hash = bcrypt::hash(secret.expose(), COST)?;
        Ok(Self { secret, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_hash_is_its_own() {
        let (one, other) = (Word::generate().unwrap(), Word::generate().unwrap());
        assert!(bcrypt::verify(one.secret.expose(), &one.hash).unwrap());
        assert!(!bcrypt::verify(other.secret.expose(), &one.hash).unwrap());
        assert!(!one.hash.contains(one.secret.expose()));
    }
}
