//! release.json: what a release is, and who says so. Pure.

use serde::{Deserialize, Serialize};

use crate::core::security::tokens::SigningKey;
use crate::core::text::{hex, unhex};

/// What a repository says of one release for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the file beside release.json; `.bz2` and `.gz` are unpacked.
    pub binary: String,
    /// SHA-256 of the unpacked binary, hex.
    pub hash: String,
    /// Ours: ed25519 over [`Manifest::signed_text`], hex.
    #[serde(default)]
    pub signature: String,
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(text: &[u8]) -> Result<Manifest, String> {
        let manifest: Manifest = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        if !is_plain(&manifest.binary) {
            return Err("its binary is no plain file name".to_owned());
        }
        if unhex::<32>(&manifest.hash).is_none() {
            return Err("its hash is not 64 hex digits".to_owned());
        }
        Ok(manifest)
    }

    /// What is signed: the hash, and which version and platform it is of, so that an old
    /// release cannot be passed off as another.
    pub fn signed_text(version: &str, (os, arch): (&str, &str), hash: &str) -> String {
        format!("choria release 1\n{version}\n{os}\n{arch}\n{}\n", hash.to_ascii_lowercase())
    }

    /// A release of the binary with this SHA-256.
    pub fn sign(
        binary: &str,
        version: &str,
        platform: (&str, &str),
        hash: &[u8; 32],
        key: &SigningKey,
    ) -> Option<Manifest> {
        let hash = hex(hash);
        let signature = hex(&key.sign_bytes(Self::signed_text(version, platform, &hash).as_bytes())?);
        Some(Manifest { binary: binary.to_owned(), hash, signature })
    }

    /// Whether the owner of `key` (hex) has signed it for `version` and this platform.
    ///
    /// # Errors
    /// That it is not.
    pub fn verify(&self, version: &str, key: &str) -> Result<(), String> {
        let key = unhex::<32>(key).ok_or("choria_release_key is not 64 hex digits")?;
        let signature = unhex::<64>(&self.signature).ok_or("it is not signed")?;
        let text = Self::signed_text(version, platform(), &self.hash);
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, key);
        key.verify(text.as_bytes(), &signature)
            .map_err(|_| "its signature is not of this version by choria_release_key".to_owned())
    }
}

/// A name that is one step of a path.
pub fn is_plain(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.chars().all(fine)
}

/// This platform in the words of repositories, `("linux", "amd64")`.
pub fn platform() -> (&'static str, &'static str) {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    };
    (std::env::consts::OS, arch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_counts_only_as_what_it_was_signed_as() {
        let key = SigningKey::from_seed(&[5; 32]).unwrap();
        let public = key.public_hex().unwrap();
        let manifest = Manifest::sign("choria.bz2", "1.2.3", platform(), &[7; 32], &key).unwrap();
        let read = Manifest::decode(&serde_json::to_vec(&manifest).unwrap()).unwrap();
        read.verify("1.2.3", &public).unwrap();
        assert!(read.verify("1.2.4", &public).is_err(), "an old release as a new one");
        let stranger = SigningKey::from_seed(&[6; 32]).unwrap().public_hex().unwrap();
        assert!(read.verify("1.2.3", &stranger).is_err());
        let changed = Manifest { hash: hex(&[8; 32]), ..manifest.clone() };
        assert!(changed.verify("1.2.3", &public).is_err());
        let other = Manifest::sign("choria.bz2", "1.2.3", ("plan9", "mips"), &[7; 32], &key).unwrap();
        assert!(other.verify("1.2.3", &public).is_err());
        let unsigned = format!("{{\"binary\":\"choria.bz2\",\"hash\":\"{}\"}}", hex(&[7; 32]));
        let unsigned = Manifest::decode(unsigned.as_bytes()).unwrap();
        assert_eq!(unsigned.verify("1.2.3", &public).unwrap_err(), "it is not signed");
        for text in [r#"{"binary":"../x","hash":""}"#, r#"{"binary":"x","hash":"zz"}"#, "[]", ""] {
            assert!(Manifest::decode(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn no_bytes_end_the_reader() {
        bolero::check!().with_iterations(2000).for_each(|bytes: &[u8]| {
            let _ = Manifest::decode(bytes);
        });
    }
}
