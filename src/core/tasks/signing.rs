//! Signed lists of files: whoever writes tasks signs what belongs to one, so that neither the
//! server of files nor a caller can have a node run something else (ours; spec 07 §A7).
//!
//! What is signed is the name of the task and every file with its hash and size, in order:
//! lines that no member can have a newline in. The first record carries the signatures.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::{FileRecord, TaskName};
use crate::core::files::read_bounded;
use crate::core::security::tokens::SigningKey;
use crate::core::text::{hex, unhex, unhex_any};

/// Signatures that are looked at.
const MOST: usize = 8;

/// Keys of whom this node takes tasks from.
#[derive(Debug, Clone)]
pub struct Signers(Vec<[u8; 32]>);

/// A list is not signed by anybody this node takes tasks from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the files of the task {0} are not signed by a key of plugin.choria.tasks.signing_key")]
pub struct Unsigned(pub String);

impl Signers {
    /// Of settings: 64 hex digits each, or a file with them.
    ///
    /// # Errors
    /// What is no key, as a sentence.
    pub fn new<'s>(settings: impl IntoIterator<Item = &'s str>) -> Result<Signers, String> {
        let key = |setting: &str| {
            let from_file = || {
                let text = read_bounded(std::path::Path::new(setting), 4096).ok()?;
                unhex::<32>(String::from_utf8(text).ok()?.trim())
            };
            unhex::<32>(setting).or_else(from_file).ok_or_else(|| {
                format!("plugin.choria.tasks.signing_key: '{setting}' is no public key, which is 64 hex digits, or a file with them")
            })
        };
        settings.into_iter().map(key).collect::<Result<_, _>>().map(Signers)
    }

    /// Whether nobody has to sign.
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them has signed the files of a task; anything is, where nobody has to sign.
    ///
    /// # Errors
    /// [`Unsigned`].
    pub fn check(&self, task: &TaskName, records: &[FileRecord]) -> Result<(), Unsigned> {
        if self.are_none() {
            return Ok(());
        }
        let text = signed_text(task, records);
        let signatures = records.first().map(|record| record.signatures.as_slice()).unwrap_or_default();
        let good = |signature: &Vec<u8>| {
            self.0
                .iter()
                .any(|key| UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), signature).is_ok())
        };
        let known =
            signatures.iter().take(MOST).filter_map(|hex| unhex_any(hex)).any(|signature| good(&signature));
        if known { Ok(()) } else { Err(Unsigned(task.to_string())) }
    }
}

/// What is signed.
fn signed_text(task: &TaskName, records: &[FileRecord]) -> String {
    let lines = records.iter().map(|file| format!("{} {} {}\n", file.sha256, file.size_bytes, file.filename));
    [format!("choria task files 1\n{task}\n")].into_iter().chain(lines).collect()
}

/// Signs the files of a task; false where the key is no ed25519 key.
pub fn sign(key: &SigningKey, task: &TaskName, records: &mut [FileRecord]) -> bool {
    let Some(signature) = key.sign_bytes(signed_text(task, records).as_bytes()) else { return false };
    if let Some(first) = records.first_mut() {
        first.signatures.push(hex(&signature));
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::tasks::records::parse;

    #[test]
    fn a_list_counts_as_it_was_signed() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let file = |name: &str| {
            json!({"filename": name, "sha256": "ab".repeat(32), "size_bytes": 3,
                   "uri": {"path": "/puppet/v3/file_content/tasks/demo/x", "params": {}}})
        };
        let mut records = parse(&json!([file("a.sh"), file("b.sh")]).to_string()).unwrap();
        let (demo, other) = (TaskName::parse("demo::a").unwrap(), TaskName::parse("demo::b").unwrap());
        let signers = Signers::new([key.public_hex().unwrap().as_str()]).unwrap();
        assert!(signers.check(&demo, &records).is_err());
        assert!(sign(&key, &demo, &mut records));
        // it travels as text
        let records = parse(&serde_json::to_string(&records).unwrap()).unwrap();
        signers.check(&demo, &records).unwrap();
        assert!(signers.check(&other, &records).is_err(), "another task");
        for change in 0..4 {
            let mut changed = records.clone();
            match change {
                0 => changed[1].filename = "c.sh".into(),
                1 => changed[1].sha256 = "cd".repeat(32),
                2 => changed[0].size_bytes = 4,
                _ => drop(changed.pop()),
            }
            assert!(signers.check(&demo, &changed).is_err(), "{change}");
        }
        let others = Signers::new([hex(&[9; 32]).as_str()]).unwrap();
        assert!(others.check(&demo, &records).is_err());
        assert!(Signers::new([]).unwrap().check(&other, &records).is_ok());
        assert!(Signers::new(["/nonexistent"]).is_err());
    }
}
