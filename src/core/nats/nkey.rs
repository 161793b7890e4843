//! NATS keys: ed25519 keys of users in base32 with a checksum (spec 04 §6.16).
//!
//! `U`, 32 bytes of key and a CRC-16 make 56 characters. A client proves that
//! it holds the private half by signing the nonce of INFO.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// First byte of a user's public key; its upper five bits are the letter `U`.
const USER: u8 = 20 << 3;
/// Type, key, checksum.
const LENGTH: usize = 1 + 32 + 2;
/// First byte of any seed, whose letter is `S`; it has two bytes of type.
const SEED: u8 = 18 << 3;
const SEED_LENGTH: usize = 2 + 32 + 2;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The public key of a user.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserKey([u8; 32]);

/// Why a text is no user's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NkeyError {
    /// Another length or alphabet.
    #[error("a user's nkey is 56 characters of A to Z and 2 to 7")]
    Malformed,
    /// Another kind of key, such as an account's or a seed.
    #[error("this is no user's public nkey, which starts with U (a seed, which starts with S, is secret)")]
    NotUser,
    /// Mistyped.
    #[error("the nkey's checksum is wrong: a character of it is")]
    Checksum,
}

impl UserKey {
    /// Wraps the 32 bytes of an ed25519 public key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`NkeyError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NkeyError> {
        let bytes = unbase32::<LENGTH>(text).ok_or(NkeyError::Malformed)?;
        let [kind, key @ .., low, high] = bytes;
        if kind != USER {
            return Err(NkeyError::NotUser);
        }
        let front = bytes.get(..LENGTH - 2).unwrap_or_default();
        if crc16(front) != u16::from_le_bytes([low, high]) {
            return Err(NkeyError::Checksum);
        }
        Ok(Self(key))
    }

    /// Whether `signature` is this key's over `nonce`: base64 of either alphabet, with padding or without.
    pub fn verifies(&self, nonce: &str, signature: &str) -> bool {
        let signature = signature.trim_end_matches('=');
        let decoded = URL_SAFE_NO_PAD.decode(signature).or_else(|_| STANDARD_NO_PAD.decode(signature));
        // without a nonce there is nothing that only this connection could have signed
        !nonce.is_empty()
            && decoded.is_ok_and(|bytes| {
                UnparsedPublicKey::new(&ED25519, self.0).verify(nonce.as_bytes(), &bytes).is_ok()
            })
    }
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![USER];
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
        f.write_str(&base32(&bytes))
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// No key can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes to make a key of")]
pub struct NoRandomness;

/// The private half of a user's key.
pub struct UserSeed(Ed25519KeyPair);

impl UserSeed {
    /// Reads the text form: `SU`, the seed, a checksum.
    ///
    /// # Errors
    /// [`NkeyError`]; nothing of the text is in it.
    pub fn parse(text: &str) -> Result<Self, NkeyError> {
        let bytes = Zeroizing::new(unbase32::<SEED_LENGTH>(text).ok_or(NkeyError::Malformed)?);
        let [first, second, seed @ .., low, high] = &*bytes;
        // five bits say that it is a seed, eight whose
        if first & 0xf8 != SEED || (first & 7) << 5 | second >> 3 != USER {
            return Err(NkeyError::NotUser);
        }
        if crc16(bytes.get(..SEED_LENGTH - 2).unwrap_or_default()) != u16::from_le_bytes([*low, *high]) {
            return Err(NkeyError::Checksum);
        }
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| NkeyError::Malformed)
    }

    /// A new one, which lives as long as this process.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| NoRandomness)
    }

    /// The public half.
    pub fn public(&self) -> UserKey {
        // an ed25519 key has 32 bytes
        UserKey(self.0.public_key().as_ref().try_into().unwrap_or_default())
    }

    /// The signature over a nonce, as CONNECT takes it.
    pub fn sign(&self, nonce: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.0.sign(nonce.as_bytes()))
    }
}

impl fmt::Debug for UserSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserSeed")
    }
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

fn base32(bytes: &[u8]) -> String {
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(letter(bits >> count));
        }
    }
    if count > 0 {
        text.push(letter(bits << (5 - count)));
    }
    text
}

fn letter(bits: u32) -> char {
    char::from(ALPHABET[(bits & 31) as usize])
}

/// Exactly `N` bytes, in as many characters as they take.
fn unbase32<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let (mut bytes, mut at) = ([0; N], 0);
    let (mut bits, mut count) = (0_u32, 0);
    for character in text.bytes() {
        let value = ALPHABET.iter().position(|letter| *letter == character)?;
        bits = (bits << 5) | value as u32;
        count += 5;
        if count >= 8 {
            count -= 8;
            *bytes.get_mut(at)? = ((bits >> count) & 0xff) as u8;
            at += 1;
        }
    }
    (at == N).then_some(bytes)
}

/// A user's seed as text.
#[cfg(test)]
pub(crate) fn seed_text(seed: &[u8; 32]) -> String {
    let mut bytes = vec![SEED | USER >> 5, USER << 3];
    bytes.extend_from_slice(seed);
    bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
    base32(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        // CRC-16/XMODEM of the standard check text
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let key = UserKey::new([7; 32]);
        let text = key.to_string();
        assert_eq!(text.len(), 56);
        assert!(text.starts_with('U'));
        assert_eq!(UserKey::parse(&text), Ok(key));
        let last = if text.ends_with('A') { "B" } else { "A" };
        let mistyped = format!("{}{last}", &text[..55]);
        assert_eq!(UserKey::parse(&mistyped), Err(NkeyError::Checksum));
        assert_eq!(UserKey::parse(&text.replacen('U', "A", 1)), Err(NkeyError::NotUser));
        for wrong in ["", "U", &text[..55], &format!("{text}A"), &text.to_lowercase(), &"é".repeat(28)] {
            assert_eq!(UserKey::parse(wrong), Err(NkeyError::Malformed), "{wrong}");
        }
    }

    #[test]
    fn signatures_over_the_nonce() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = UserKey::new(pair.public_key().as_ref().try_into().unwrap());
        let signature = pair.sign(b"nonce-1");
        for engine in [&URL_SAFE_NO_PAD, &STANDARD_NO_PAD] {
            assert!(key.verifies("nonce-1", &engine.encode(signature.as_ref())));
        }
        let text = URL_SAFE_NO_PAD.encode(signature.as_ref());
        assert!(key.verifies("nonce-1", &format!("{text}==")));
        assert!(!key.verifies("nonce-2", &text));
        assert!(!key.verifies("", &URL_SAFE_NO_PAD.encode(pair.sign(b"").as_ref())));
        assert!(!key.verifies("nonce-1", ""));
        assert!(!UserKey::new([1; 32]).verifies("nonce-1", &text));
    }

    #[test]
    fn seeds_sign_what_their_keys_verify() {
        let seed = [7; 32];
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let key = UserKey::new(pair.public_key().as_ref().try_into().unwrap());
        let text = seed_text(&seed);
        assert!(text.starts_with("SU") && text.len() == 58, "{text}");
        let signature = UserSeed::parse(&text).unwrap().sign("nonce-1");
        assert!(key.verifies("nonce-1", &signature));
        assert_eq!(UserSeed::parse(&text).unwrap().public(), key);
        let (one, two) = (UserSeed::generate().unwrap(), UserSeed::generate().unwrap());
        assert_ne!(one.public(), two.public());
        let other = if text.ends_with('A') { "Q" } else { "A" };
        assert_eq!(UserSeed::parse(&format!("{}{other}", &text[..57])).err(), Some(NkeyError::Checksum));
        assert_eq!(UserSeed::parse(&text.replacen("SU", "SA", 1)).err(), Some(NkeyError::NotUser));
        assert_eq!(UserSeed::parse(&key.to_string()).err(), Some(NkeyError::Malformed));
    }

    #[test]
    fn any_text_is_read_or_refused() {
        bolero::check!().with_iterations(2000).with_type::<String>().for_each(|text| {
            if let Ok(key) = UserKey::parse(text) {
                assert_eq!(key.to_string(), *text);
            }
        });
    }
}
