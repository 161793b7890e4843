//! Who a request says it is from: `choria=bob.mcollective`.

use std::fmt;

/// A caller id that has been checked to be one: a kind of lower-case letters,
/// `=`, and a name of letters, digits, `_`, `.` and `-`.
///
/// The original does not anchor its pattern at the end, so the name checked
/// may be a prefix of the caller that is authorized and audited
/// (`choria=bob!x` is checked as `bob`). Here the whole text must match
/// (spec 01 §20 choice 1), as in Ruby.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CallerId {
    text: String,
    kind_len: usize,
}

impl CallerId {
    /// Kind of those who sign with a certificate of their own.
    pub const KIND: &'static str = "choria";

    /// Longest caller id accepted, in bytes.
    pub const MAX_LEN: usize = 512;

    /// `None` when `text` is not a caller id.
    pub fn parse(text: &str) -> Option<CallerId> {
        let (kind, name) = text.split_once('=')?;
        let kind_ok = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase());
        let name_ok =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        (kind_ok && name_ok && text.len() <= Self::MAX_LEN)
            .then(|| CallerId { text: text.to_string(), kind_len: kind.len() })
    }

    /// The caller id of somebody who presents the certificate `certname`.
    pub fn of_certname(certname: &str) -> Option<CallerId> {
        CallerId::parse(&format!("{}={certname}", Self::KIND))
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `=`.
    pub fn kind(&self) -> &str {
        self.text.get(..self.kind_len).unwrap_or_default()
    }

    /// What stands after the `=`: the name a certificate must carry.
    pub fn name(&self) -> &str {
        self.text.get(self.kind_len + 1..).unwrap_or_default()
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}
