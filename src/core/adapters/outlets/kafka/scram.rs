//! SCRAM (RFC 5802, with SHA-256 of RFC 7677): a proof that we know the password, and
//! that the broker knows it. Pure: the nonce comes in as an argument.

use std::num::NonZeroU32;

use aws_lc_rs::digest::{self, digest};
use aws_lc_rs::{constant_time, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Rounds of hashing: fewer are too easily guessed from, more would keep us busy.
const ROUNDS: std::ops::RangeInclusive<u32> = 4096..=200_000;

/// Why a broker is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    /// It says something that SCRAM does not.
    #[error("its answer is no SCRAM: {0}")]
    Malformed(&'static str),
    /// It wants too few or too many rounds.
    #[error("it wants {0} rounds of hashing, {min} to {max} are done", min = ROUNDS.start(), max = ROUNDS.end())]
    Rounds(u32),
    /// It says no.
    #[error("it refuses the password: {0}")]
    Refused(String),
    /// It does not know the password itself.
    #[error("it does not know the password, so it is not who it should be")]
    Unknown,
}

/// One of the two hashes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// A conversation that has begun.
pub(super) struct Begun {
    hash: Hash,
    nonce: String,
    bare: String,
}

/// A conversation in which the proof was given.
pub(super) struct Proven {
    /// What the broker has to answer.
    signature: hmac::Tag,
}

/// Begins, and says the first message.
pub(super) fn begin(hash: Hash, username: &str, nonce: &str) -> (Begun, String) {
    let name = username.replace('=', "=3D").replace(',', "=2C");
    let bare = format!("n={name},r={nonce}");
    let message = format!("n,,{bare}");
    (Begun { hash, nonce: nonce.to_owned(), bare }, message)
}

impl Begun {
    /// The second message, for the broker's answer to the first. Takes its time.
    pub(super) fn prove(self, password: &[u8], answer: &[u8]) -> Result<(Proven, String), ScramError> {
        let Begun { hash, nonce, bare } = self;
        let answer = text(answer)?;
        let mut parts = answer.split(',');
        let mut part = |name: &str| {
            parts
                .next()
                .and_then(|part| part.strip_prefix(name)?.strip_prefix('='))
                .ok_or(ScramError::Malformed("a part of its first message is missing"))
        };
        let (whole, salt, rounds) = (part("r")?, part("s")?, part("i")?);
        if !whole.starts_with(&nonce) || whole.len() == nonce.len() {
            return Err(ScramError::Malformed("it answers somebody else"));
        }
        let salt = STANDARD.decode(salt).map_err(|_| ScramError::Malformed("its salt is not base64"))?;
        let rounds: u32 = rounds.parse().map_err(|_| ScramError::Malformed("its rounds are no number"))?;
        let count = NonZeroU32::new(rounds).filter(|_| ROUNDS.contains(&rounds));
        let count = count.ok_or(ScramError::Rounds(rounds))?;

        let mut salted = Zeroizing::new(vec![0; hash.digest().output_len()]);
        pbkdf2::derive(hash.pbkdf2(), count, &salt, password, &mut salted);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hash.hmac(), key), text);
        let key = Zeroizing::new(sign(&salted, b"Client Key").as_ref().to_vec());
        let stored = digest(hash.digest(), &key);
        // "biws" is the base64 of "n,,": no channel is bound
        let without = format!("c=biws,r={whole}");
        let all = format!("{bare},{answer},{without}");
        let signature = sign(stored.as_ref(), all.as_bytes());
        let proof: Vec<u8> = key.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server = Zeroizing::new(sign(&salted, b"Server Key").as_ref().to_vec());
        let proven = Proven { signature: sign(&server, all.as_bytes()) };
        Ok((proven, format!("{without},p={}", STANDARD.encode(proof))))
    }
}

impl Proven {
    /// Whether the broker's answer to the second message shows that it knows the password.
    pub(super) fn check(&self, answer: &[u8]) -> Result<(), ScramError> {
        let answer = text(answer)?;
        let first = answer.split(',').next().unwrap_or_default();
        if let Some(reason) = first.strip_prefix("e=") {
            return Err(ScramError::Refused(crate::core::text::shortened(reason, 200)));
        }
        let signature = first.strip_prefix("v=").ok_or(ScramError::Malformed("its signature is missing"))?;
        let signature =
            STANDARD.decode(signature).map_err(|_| ScramError::Malformed("its signature is not base64"))?;
        constant_time::verify_slices_are_equal(&signature, self.signature.as_ref())
            .map_err(|_| ScramError::Unknown)
    }
}

fn text(bytes: &[u8]) -> Result<&str, ScramError> {
    std::str::from_utf8(bytes).map_err(|_| ScramError::Malformed("it is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SECOND: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    const PROOF_512: &str =
        "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
    const SIGNATURE_512: &str =
        "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";

    fn proven(hash: Hash, first: &str) -> Result<(Proven, String), ScramError> {
        begin(hash, "user", NONCE).0.prove(b"pencil", first.as_bytes())
    }

    #[test]
    fn the_conversation_of_the_standard() {
        let (_, first) = begin(Hash::Sha256, "user", NONCE);
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (proven, second) = proven(Hash::Sha256, FIRST).unwrap();
        assert_eq!(
            second,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(proven.check(SECOND.as_bytes()), Ok(()));
        assert_eq!(
            proven.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="),
            Err(ScramError::Malformed("its signature is not base64"))
        );
        assert_eq!(proven.check(b"v=AAAA"), Err(ScramError::Unknown));
        assert_eq!(proven.check(b"e=other-error"), Err(ScramError::Refused("other-error".into())));
        let (_, odd) = begin(Hash::Sha512, "a=b,c", "x");
        assert_eq!(odd, "n,,n=a=3Db=2Cc,r=x");
    }

    /// Computed apart, by Python's hashlib.
    #[test]
    fn the_same_by_the_larger_hash() {
        let (proven, second) = proven(Hash::Sha512, FIRST).unwrap();
        assert_eq!(second.split(",p=").nth(1), Some(PROOF_512));
        assert_eq!(proven.check(SIGNATURE_512.as_bytes()), Ok(()));
    }

    #[test]
    fn a_broker_that_plays_tricks_gets_no_proof() {
        for answer in [
            "",
            "r=other,s=AAAA,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096",
            "m=ext,r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=1",
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4294967295",
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=99999999999",
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA",
        ] {
            assert!(proven(Hash::Sha256, answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn any_answer_is_read_or_refused() {
        let (known, _) = proven(Hash::Sha256, FIRST).unwrap();
        bolero::check!().with_iterations(5_000).with_type::<Vec<u8>>().for_each(|bytes| {
            let _ = begin(Hash::Sha256, "user", NONCE).0.prove(b"pencil", bytes);
            let front = [b"r=rOprNGfwEbeRWgbNEkqO".as_slice(), bytes].concat();
            let _ = begin(Hash::Sha256, "user", NONCE).0.prove(b"pencil", &front);
            assert!(known.check(bytes).is_err());
        });
    }
}
