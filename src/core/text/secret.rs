//! Passwords and tokens on their way through the program.

use std::fmt;

use zeroize::Zeroize;

/// Text that must not reach a log: no `Debug`, no `Display`, wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that compares or verifies it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a name shows it, in letters of either case: one of a few letters only where
    /// it is a whole part of the name.
    pub fn is_shown_by(&self, name: &str) -> bool {
        /// Shorter ones are in names by chance.
        const LONG: usize = 8;
        let (secret, name) = (self.0.to_ascii_lowercase(), name.to_ascii_lowercase());
        match secret.len() {
            0 => false,
            LONG.. => name.contains(&secret),
            _ => name == secret || name.split('.').any(|part| part == secret),
        }
    }

    /// A text of others with this taken out, in letters of either case.
    pub fn taken_out_of(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        // of the same length, byte by byte
        let (secret, lower) = (self.0.to_ascii_lowercase(), text.to_ascii_lowercase());
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        for (at, found) in lower.match_indices(&secret) {
            out.push_str(text.get(done..at).unwrap_or_default());
            out.push_str("*****");
            done = at + found.len();
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }

    /// Compares in time that depends on the length alone.
    pub fn matches(&self, other: &Secret) -> bool {
        use subtle::ConstantTimeEq;
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(redacted)" })
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_again_is_taken_out() {
        for (secret, text, left) in [
            ("", "x", "x"),
            ("s3cret", "", ""),
            ("s3cret", "a s3cret, a S3CRET and s3cre", "a *****, a ***** and s3cre"),
            ("S3CRET", "\u{130}s3cret\u{130}", "\u{130}*****\u{130}"),
        ] {
            assert_eq!(Secret::new(secret).taken_out_of(text), left, "{secret:?} in {text:?}");
        }
    }

    #[test]
    fn names_that_show_a_secret_are_known() {
        for (secret, name, shows) in [
            ("", "", false),
            ("", "n1.example.net", false),
            ("toomanysecrets", "toomanysecrets", true),
            ("toomanysecrets", "n1-TooManySecrets.example.net", true),
            ("TooManySecrets", "toomanysecrets.example.net", true),
            ("toomanysecrets", "toomanysecret.example.net", false),
            ("too.many.secrets", "a.too.many.secrets.b", true),
            ("s3cret", "s3cret.example.net", true),
            ("s3cret", "n1.S3CRET", true),
            ("a.b", "a.b", true),
            ("secret", "secretary.example.net", false),
        ] {
            assert_eq!(Secret::new(secret).is_shown_by(name), shows, "{secret:?} in {name:?}");
        }
    }
}
