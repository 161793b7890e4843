//! Where each value came from, for `choria tool config`.

use super::table::KEYS;
use super::{Config, Key, Origin};

/// One key, its value and why it is that.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The key, of the table or raw.
    pub key: String,
    /// Its value as it would be written in a file, secrets replaced.
    pub value: String,
    /// Where the value is from.
    pub origin: Origin,
    /// The row of the table; `None` for raw options.
    pub row: Option<&'static Key>,
}

impl Config {
    /// Every key that matches `pattern`, typed ones first in the order of the
    /// table, then raw options by name. Secrets and passwords in URLs are replaced.
    pub fn explain(&self, pattern: &regex::Regex) -> Vec<Explained> {
        let typed = KEYS.iter().filter(|key| pattern.is_match(key.name)).map(|key| Explained {
            key: key.name.to_string(),
            value: redacted(
                key.name,
                key.is_secret(),
                &self.settings.peek(key.name).map(|slot| slot.show()).unwrap_or_default(),
            ),
            origin: self.origin(key.name),
            row: Some(key),
        });
        let raw = self.raw.iter().filter(|(name, _)| self.settings.peek(name).is_none());
        let raw = raw.filter(|(name, _)| pattern.is_match(name)).map(|(name, (value, origin))| Explained {
            key: name.clone(),
            value: redacted(name, false, value),
            origin: origin.clone(),
            row: None,
        });
        typed.chain(raw).collect()
    }
}

/// `value` as it may be shown: hidden when the key says so or (raw options)
/// sounds secret, and without the password part of URLs.
pub(super) fn redacted(key: &str, secret: bool, value: &str) -> String {
    const HIDDEN: &str = "(hidden)";
    let last = key.rsplit('.').next().unwrap_or(key).to_ascii_lowercase();
    let names_a_file = ["file", "path", "dir", "environment"].iter().any(|end| last.ends_with(end));
    let sounds_secret = ["pass", "secret", "token", "credential", "seed"].iter().any(|w| last.contains(w));
    let typed = KEYS.iter().any(|row| row.name == key);
    if !value.is_empty() && (secret || (!typed && sounds_secret && !names_a_file)) {
        return HIDDEN.into();
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("://") {
        let (scheme, tail) = rest.split_at(at + 3);
        out.push_str(scheme);
        let end = tail.find(['/', ',', ' ']).unwrap_or(tail.len());
        let (authority, tail) = tail.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str(HIDDEN);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}
