//! A private key on its way to the node it was made for (spec 05 §8.4).
//!
//! Both sides make an X25519 pair; the shared secret is the pass phrase of
//! OpenSSL's old PEM encryption. It hides the key from the network and protects
//! nothing against change, so what comes out is checked by whoever uses it.

use std::collections::HashMap;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use md5::{Digest, Md5};
use pem::{EncodeConfig, LineEnding, Pem};
use zeroize::{Zeroize, Zeroizing};

use crate::core::text::{hex, unhex};

/// The only kind of key that survives the journey.
const LABEL: &str = "RSA PRIVATE KEY";
/// Largest key, in bytes of PEM: RSA with 16384 bits.
const MAX_KEY: usize = 32 * 1024;

/// A key could not be sent or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The other side's public key is none.
    #[error("the other side's X25519 public key is not 64 hex digits of one")]
    Peer,
    /// Not a PKCS#1 RSA key in PEM.
    #[error("the private key is no RSA key in PKCS#1 PEM")]
    Key,
    /// Not encrypted, in another way, or for somebody else.
    #[error("the private key cannot be decrypted")]
    Encrypted,
    /// The system gave no randomness.
    #[error("no random numbers are to be had")]
    Randomness,
}

/// One side of an exchange.
pub struct Exchange {
    private: PrivateKey,
    public: String,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange({})", self.public)
    }
}

impl Exchange {
    /// A fresh pair.
    ///
    /// # Errors
    /// [`TransportError::Randomness`].
    pub fn new() -> Result<Exchange, TransportError> {
        let failed = |_| TransportError::Randomness;
        let private = PrivateKey::generate(&X25519).map_err(failed)?;
        let public = hex(private.compute_public_key().map_err(failed)?.as_ref());
        Ok(Exchange { private, public })
    }

    /// The public half, hex.
    pub fn public_hex(&self) -> &str {
        &self.public
    }

    /// Encrypts a PKCS#1 key for whoever has `peer`.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn seal(&self, peer: &str, key: &str) -> Result<String, TransportError> {
        let key = pem::parse(key).map_err(|_| TransportError::Key)?;
        if key.tag() != LABEL || key.headers().iter().next().is_some() {
            return Err(TransportError::Key);
        }
        let mut iv = [0; 16];
        aws_lc_rs::rand::fill(&mut iv).map_err(|_| TransportError::Randomness)?;
        let cipher = self.cipher_key(peer, &iv)?;
        let mut content = key.into_contents();
        let encrypting = PaddedBlockEncryptingKey::cbc_pkcs7(cipher).map_err(|_| TransportError::Key)?;
        encrypting
            .less_safe_encrypt(&mut content, EncryptionContext::Iv128(FixedLength::from(&iv)))
            .map_err(|_| TransportError::Key)?;
        let iv: String = iv.iter().map(|byte| format!("{byte:02X}")).collect();
        let mut sealed = Pem::new(LABEL, content);
        let headers = sealed.headers_mut();
        headers.add("Proc-Type", "4,ENCRYPTED").map_err(|_| TransportError::Key)?;
        headers.add("DEK-Info", &format!("AES-256-CBC,{iv}")).map_err(|_| TransportError::Key)?;
        Ok(pem::encode_config(&sealed, EncodeConfig::new().set_line_ending(LineEnding::LF)))
    }

    /// Decrypts a key that was [sealed](Exchange::seal) by whoever has `peer`. Keys that
    /// are not encrypted are refused.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn open(&self, peer: &str, sealed: &str) -> Result<Zeroizing<String>, TransportError> {
        if sealed.len() > MAX_KEY {
            return Err(TransportError::Encrypted);
        }
        let sealed = pem::parse(sealed).map_err(|_| TransportError::Encrypted)?;
        let headers: HashMap<&str, &str> = sealed.headers().iter().collect();
        let method = headers.get("DEK-Info").and_then(|info| info.strip_prefix("AES-256-CBC,"));
        let (Some(iv), Some(&"4,ENCRYPTED")) = (method, headers.get("Proc-Type")) else {
            return Err(TransportError::Encrypted);
        };
        let iv = unhex::<16>(iv).ok_or(TransportError::Encrypted)?;
        let cipher = self.cipher_key(peer, &iv)?;
        let mut content = Zeroizing::new(sealed.into_contents());
        let decrypting =
            PaddedBlockDecryptingKey::cbc_pkcs7(cipher).map_err(|_| TransportError::Encrypted)?;
        let key = decrypting
            .decrypt(&mut content, DecryptionContext::Iv128(FixedLength::from(&iv)))
            .map_err(|_| TransportError::Encrypted)?;
        // wrong padding is noticed only most of the time
        aws_lc_rs::rsa::KeyPair::from_der(key).map_err(|_| TransportError::Encrypted)?;
        Ok(Zeroizing::new(super::pem::encode(LABEL, key)))
    }

    /// OpenSSL's EVP_BytesToKey with MD5 and one round, which the format prescribes.
    fn cipher_key(&self, peer: &str, iv: &[u8; 16]) -> Result<UnboundCipherKey, TransportError> {
        let peer = unhex::<32>(peer).ok_or(TransportError::Peer)?;
        let peer = UnparsedPublicKey::new(&X25519, peer);
        agreement::agree(&self.private, peer, TransportError::Peer, |secret| {
            let salt = &iv[..8];
            let mut first = Md5::new().chain_update(secret).chain_update(salt).finalize();
            let mut second =
                Md5::new().chain_update(first).chain_update(secret).chain_update(salt).finalize();
            let mut key = Zeroizing::new([0; 32]);
            key[..16].copy_from_slice(&first);
            key[16..].copy_from_slice(&second);
            first.zeroize();
            second.zeroize();
            UnboundCipherKey::new(&AES_256, &*key).map_err(|_| TransportError::Key)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rsa_key() -> String {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/go-made-tokens.json"));
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        vectors["rsa"]["private_key_pem"].as_str().unwrap().to_owned()
    }

    #[test]
    fn only_the_other_side_can_read_it() {
        let (us, node, stranger) =
            (Exchange::new().unwrap(), Exchange::new().unwrap(), Exchange::new().unwrap());
        let key = rsa_key();
        let sealed = us.seal(node.public_hex(), &key).unwrap();
        assert!(
            sealed.starts_with(
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,"
            )
        );
        assert_eq!(node.open(us.public_hex(), &sealed).unwrap().trim(), key.trim());
        assert_eq!(stranger.open(us.public_hex(), &sealed).unwrap_err(), TransportError::Encrypted);
        assert_eq!(node.open(us.public_hex(), &key).unwrap_err(), TransportError::Encrypted);
        assert_eq!(node.open("junk", &sealed).unwrap_err(), TransportError::Peer);
        assert_eq!(node.open(&"0".repeat(64), &sealed).unwrap_err(), TransportError::Peer);
        assert_eq!(us.seal(node.public_hex(), "junk").unwrap_err(), TransportError::Key);
        let pkcs8 = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert_eq!(us.seal(node.public_hex(), &pkcs8).unwrap_err(), TransportError::Key);
    }

    #[test]
    fn changed_keys_never_panic() {
        let (us, node) = (Exchange::new().unwrap(), Exchange::new().unwrap());
        let sealed = us.seal(node.public_hex(), &rsa_key()).unwrap();
        bolero::check!().with_iterations(1000).for_each(|input: &[u8]| {
            let mut text = sealed.clone().into_bytes();
            for change in input.chunks_exact(3) {
                let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % text.len();
                text[place] = change[2];
            }
            let _ = node.open(us.public_hex(), &String::from_utf8_lossy(&text));
            let _ = node.open(us.public_hex(), &String::from_utf8_lossy(input));
        });
    }
}
