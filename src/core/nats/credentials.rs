//! Credentials files, as the tools of NATS write them: a user's token, and the seed that goes with it.

use super::nkey::{NkeyError, UserSeed};
use crate::core::text::Secret;

/// A user's token and seed.
pub struct Credentials {
    token: Secret,
    seed: UserSeed,
}

/// Why a text holds none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A block is missing.
    #[error("it has no block '-----BEGIN {0}-----'; a credentials file has a token and a seed")]
    Missing(&'static str),
    /// The token is not one.
    #[error("its block NATS USER JWT holds no token")]
    Token,
    /// The seed is not one.
    #[error("its block USER NKEY SEED cannot be used: {0}")]
    Seed(#[from] NkeyError),
}

impl Credentials {
    /// Reads the text of such a file.
    ///
    /// # Errors
    /// [`CredentialsError`]; nothing of the text is in it.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let token = block(text, "NATS USER JWT")?;
        let of_token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if token.matches('.').count() != 2 || !token.chars().all(of_token) {
            return Err(CredentialsError::Token);
        }
        Ok(Self { token: Secret::new(token), seed: UserSeed::parse(block(text, "USER NKEY SEED")?)? })
    }

    /// The token.
    pub fn token(&self) -> &str {
        self.token.expose()
    }

    /// The signature over a nonce.
    pub fn sign(&self, nonce: &str) -> String {
        self.seed.sign(nonce)
    }
}

/// The one line between a BEGIN and an END, of which the latter may have six dashes.
fn block<'a>(text: &'a str, name: &'static str) -> Result<&'a str, CredentialsError> {
    let begin = format!("-----BEGIN {name}-----");
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != begin).skip(1);
    lines
        .find(|line| !line.is_empty())
        .filter(|line| !line.starts_with('-'))
        .ok_or(CredentialsError::Missing(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "SUADPT4ICEZT3GMNHTDUHKGH7N2NSLGUQHB2HHTVEXF6MUZXOX4E5CHQDM";

    fn file(token: &str, seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             ***** IMPORTANT *****\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }

    #[test]
    fn files_are_read_and_mistakes_told() {
        use CredentialsError::*;
        for (text, expected) in [
            (String::new(), Missing("NATS USER JWT")),
            (file("", SEED), Missing("NATS USER JWT")),
            (file("a.b", SEED), Token),
            (file("a.b c.d", SEED), Token),
            (file("a.b.c", ""), Missing("USER NKEY SEED")),
            (file("a.b.c", "SUAB"), Seed(NkeyError::Malformed)),
        ] {
            assert_eq!(Credentials::parse(&text).err(), Some(expected), "{text}");
        }
    }
}
