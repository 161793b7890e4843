//! The manifest of plugins, and its signature. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::core::protocol::filter::PluginExpression;
use crate::core::security::tokens::{SigningKey, VerifyKey};
use crate::core::text::{hex, unhex_any};

/// Plugins of one manifest.
const MOST: usize = 500;
/// Characters of a name.
const MAX_NAME: usize = 100;

/// An archive that is to be on nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its name, that of the directory in the archive too.
    pub name: String,
    /// Where it is fetched from.
    pub source: String,
    /// Who asks there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// And by what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// SHA-256 of the list of checksums in it.
    pub verify_checksum: String,
    /// SHA-256 of the archive.
    pub checksum: String,
    /// Which nodes; all where it is empty.
    #[serde(rename = "match", default, skip_serializing_if = "String::is_empty")]
    pub matcher: String,
    /// Whose slot it takes to fetch it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub governor: String,
    /// When the list it is of was packed (ours), in Unix milliseconds; zero where nothing says so.
    #[serde(default, skip_serializing)]
    pub packed: i64,
}

/// Why a document is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not the document that is expected.
    #[error("it is no specification of plugins: {0}")]
    Document(String),
    /// Nobody signed it, and somebody has to.
    #[error("it has no signature, and one is required here")]
    Unsigned,
    /// Somebody else signed it, or another text.
    #[error("its signature is not of the key that is required here")]
    Signature,
    /// A plugin that cannot be.
    #[error("plugin '{0}' {1}")]
    Plugin(String, String),
}

/// Plugins, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// All of them.
    pub plugins: Vec<Plugin>,
    /// When it was packed, of an empty one, in Unix milliseconds; zero where that is not said.
    pub emptied: i64,
}

/// Blanks of an empty list that say when it was packed: it is `[]` to all others.
const BLANKS: usize = 48;

/// An empty list that says when it was packed, a bit a blank.
fn empty(at: i64) -> String {
    let blank = |bit: usize| if at >> bit & 1 == 1 { '\t' } else { ' ' };
    format!("[{}]", (0..BLANKS).map(blank).collect::<String>())
}

/// When an empty list was packed; zero where it does not say so.
fn emptied(text: &[u8]) -> i64 {
    let blanks = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")).unwrap_or_default();
    if blanks.len() != BLANKS {
        return 0;
    }
    blanks.iter().enumerate().map(|(bit, blank)| i64::from(*blank == b'\t') << bit).sum()
}

/// Whether a name may stand as that of a directory.
pub fn is_name(name: &str) -> bool {
    let of_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(of_name)
        && !name.starts_with(['.', '-'])
        // what the store leaves alone, or is never
        && name != "tmp"
        && !name.ends_with("-temp")
}

impl Plugin {
    /// What is wrong with it.
    ///
    /// # Errors
    /// [`ManifestError::Plugin`].
    pub fn check(&self) -> Result<(), ManifestError> {
        let wrong = |text: &str| Err(ManifestError::Plugin(self.name.clone(), text.to_owned()));
        let sum = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_name(&self.name) {
            return wrong("has no name that can be one of a directory: letters, digits, _ - and . make one");
        }
        if !self.source.starts_with("http://") && !self.source.starts_with("https://") {
            return wrong("has a source that is no http or https URL");
        }
        if !sum(&self.checksum) || !sum(&self.verify_checksum) {
            return wrong("needs checksum and verify_checksum, each the 64 hex digits of a SHA-256");
        }
        if self.username.is_empty() != self.password.is_empty() {
            return wrong("has a user without a password, or a password without a user");
        }
        Ok(())
    }
}

impl Manifest {
    /// Reads a manifest as people write it: a list.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        let plugins: Vec<Plugin> =
            serde_json::from_slice(text).map_err(|e| ManifestError::Document(e.to_string()))?;
        if plugins.len() > MOST {
            return Err(ManifestError::Document(format!("it has more than {MOST} plugins")));
        }
        for (at, plugin) in plugins.iter().enumerate() {
            plugin.check()?;
            if plugins[..at].iter().any(|other| other.name == plugin.name) {
                return Err(ManifestError::Plugin(plugin.name.clone(), "is there twice".to_owned()));
            }
        }
        let emptied = if plugins.is_empty() { emptied(text) } else { 0 };
        Ok(Manifest { plugins, emptied })
    }

    /// As people write it.
    pub fn text(&self) -> String {
        // texts only: there is nothing to fail on
        serde_json::to_string_pretty(&self.plugins).unwrap_or_default()
    }

    /// What is put into a bucket, with the time it was packed where one is given. The signature is of the text as it travels, as the original has
    /// it, which passes over what only we know of.
    ///
    /// # Errors
    /// [`ManifestError`]; [`ManifestError::Signature`] of a key that is not ed25519.
    pub fn pack(text: &[u8], key: Option<&SigningKey>, now: Option<i64>) -> Result<String, ManifestError> {
        Manifest::parse(text)?;
        let packed = match now {
            None => STANDARD.encode(text),
            Some(now) => {
                let mut plugins: Vec<Map<String, Value>> =
                    serde_json::from_slice(text).map_err(|e| ManifestError::Document(e.to_string()))?;
                for plugin in &mut plugins {
                    plugin.insert("packed".to_owned(), now.into());
                }
                STANDARD.encode(match plugins.is_empty() {
                    true => empty(now),
                    false => Value::from_iter(plugins).to_string(),
                })
            }
        };
        let mut document = json!({"plugins": packed});
        if let Some(key) = key {
            let signature = key.sign_bytes(packed.as_bytes()).ok_or(ManifestError::Signature)?;
            document["signature"] = hex(&signature).into();
        }
        Ok(document.to_string())
    }

    /// When it was packed, in Unix milliseconds; zero where that is not said.
    pub fn packed(&self) -> i64 {
        self.plugins.iter().map(|plugin| plugin.packed).min().unwrap_or(self.emptied)
    }

    /// Reads what was put there; signed, where a key is given.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn unpack(document: &Value, key: Option<&VerifyKey>) -> Result<Manifest, ManifestError> {
        let no = |text: &str| ManifestError::Document(text.to_owned());
        let packed = document["plugins"].as_str().ok_or_else(|| no("it has no plugins"))?;
        if let Some(key) = key {
            let signature = document["signature"].as_str().filter(|text| !text.is_empty());
            let signature = signature.ok_or(ManifestError::Unsigned)?;
            let signature = unhex_any(signature).ok_or(ManifestError::Signature)?;
            if !key.verifies_bytes(packed.as_bytes(), &signature) {
                return Err(ManifestError::Signature);
            }
        }
        Manifest::parse(&STANDARD.decode(packed).map_err(|_| no("its plugins are no base64"))?)
    }
}

/// What is wrong with a matcher; nothing of an empty one.
///
/// # Errors
/// In words.
pub fn check_matcher(matcher: &str) -> Result<(), String> {
    match matcher.trim() {
        "" => Ok(()),
        matcher => PluginExpression::compile(matcher).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 32] = [9; 32];

    #[test]
    fn an_empty_list_says_when_it_was_packed() {
        for now in [1, 1_796_117_225_438, (1 << 48) - 1] {
            let document = serde_json::from_str(&Manifest::pack(b"[]", None, Some(now)).unwrap()).unwrap();
            let manifest = Manifest::unpack(&document, None).unwrap();
            assert_eq!((manifest.plugins.len(), manifest.packed()), (0, now));
        }
        for nothing in ["[]", "[ ]", " []\n"] {
            assert_eq!(Manifest::parse(nothing.as_bytes()).unwrap().packed(), 0);
        }
    }

    fn one() -> String {
        let sum = "ab".repeat(32);
        format!(
            "[{{\"name\":\"tool\",\"source\":\"http://h/t.tgz\",\"checksum\":\"{sum}\",\"verify_checksum\":\"{sum}\",\"verify\":\"x\"}}]"
        )
    }

    #[test]
    fn what_is_packed_is_unpacked_by_whom_it_is_signed() {
        let key = SigningKey::from_seed(&SEED).unwrap();
        let verify = VerifyKey::from_hex(&key.public_hex().unwrap()).unwrap();
        let other = SigningKey::from_seed(&[8; 32]).unwrap();
        let signed: Value =
            serde_json::from_str(&Manifest::pack(one().as_bytes(), Some(&key), Some(7)).unwrap()).unwrap();
        assert_eq!(Manifest::unpack(&signed, Some(&verify)).unwrap().plugins[0].name, "tool");
        assert_eq!(Manifest::unpack(&signed, None).unwrap().plugins.len(), 1);
        assert_eq!(Manifest::unpack(&signed, Some(&verify)).unwrap().packed(), 7);
        assert_eq!(Manifest::parse(one().as_bytes()).unwrap().packed(), 0);
        let by_other = Manifest::pack(one().as_bytes(), Some(&other), Some(7)).unwrap();
        let by_other: Value = serde_json::from_str(&by_other).unwrap();
        assert_eq!(Manifest::unpack(&by_other, Some(&verify)), Err(ManifestError::Signature));
        let unsigned: Value =
            serde_json::from_str(&Manifest::pack(one().as_bytes(), None, Some(7)).unwrap()).unwrap();
        assert_eq!(Manifest::unpack(&unsigned, Some(&verify)), Err(ManifestError::Unsigned));
        // of another text
        let mut changed = signed.clone();
        changed["plugins"] = STANDARD.encode("[]").into();
        assert_eq!(Manifest::unpack(&changed, Some(&verify)), Err(ManifestError::Signature));
        for broken in [json!({}), json!({"plugins": 1}), json!({"plugins": "!"}), json!([]), json!(null)] {
            assert!(Manifest::unpack(&broken, None).is_err(), "{broken}");
        }
    }

    #[test]
    fn manifests_of_the_original_verify() {
        let text = include_str!("../../../../tests/vectors/captured/machine-plugins.json");
        let captured: Value = serde_json::from_str(text).unwrap();
        let key =
            VerifyKey::from_hex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8").unwrap();
        let put = &captured["manager"][0]["value"];
        let document: Value = serde_json::from_str(put.as_str().unwrap()).unwrap();
        let manifest = Manifest::unpack(&document, Some(&key)).unwrap();
        let names: Vec<&str> = manifest.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        assert_eq!((names, manifest.plugins[1].governor.as_str()), (vec!["tool", "other"], "G"));
        let seed: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let key = SigningKey::from_seed(&seed).unwrap();
        let text = STANDARD.decode(document["plugins"].as_str().unwrap()).unwrap();
        let ours: Value = serde_json::from_str(&Manifest::pack(&text, Some(&key), None).unwrap()).unwrap();
        assert_eq!(ours, document, "packed alike");
    }

    #[test]
    fn names_lead_nowhere_else() {
        for good in ["tool", "a.b", "A_1-x"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "/a", ".hidden", "-x", "tmp", "x-temp", "a b", "a\n", "ž"]
        {
            assert!(!is_name(bad), "{bad}");
            let text = one().replace("\"tool\"", &serde_json::to_string(bad).unwrap());
            assert!(Manifest::parse(text.as_bytes()).is_err(), "{bad}");
        }
        for (from, to) in [
            ("http://h", "file://h"),
            ("\"checksum\":\"ab", "\"checksum\":\"zz"),
            ("[{", "[{\"username\":\"u\","),
        ] {
            assert!(Manifest::parse(one().replace(from, to).as_bytes()).is_err(), "{to}");
        }
        let twice = one().replace("}]", "},") + &one()[1..];
        assert!(Manifest::parse(twice.as_bytes()).is_err());
    }

    #[test]
    fn fuzz_documents() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
            let _ = Manifest::parse(bytes);
            if let Ok(document) = serde_json::from_slice::<Value>(bytes) {
                let _ = Manifest::unpack(&document, None);
            }
        });
    }
}
