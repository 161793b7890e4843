//! Chains that were believed, so that one connection does not pay for the same
//! chain twice: in its handshake, and when it is let in.

use std::collections::HashMap;

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;

use super::{Usage, Validity};

/// Chains of each half of the memory, 50 bytes each: two halves hold a fleet.
const HALF: usize = 32 * 1024;

/// A chain and the use it was believed for, by its hash.
pub(super) type Key = [u8; 32];

/// The hash under which a chain is remembered.
pub(super) fn key(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], usage: Usage) -> Key {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[u8::from(usage == Usage::Client)]);
    for certificate in std::iter::once(leaf).chain(others) {
        // with their lengths, or two certificates could pass for one
        context.update(&(certificate.len() as u64).to_be_bytes());
        context.update(certificate);
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

/// What one generation of trust has believed. Refusals are not remembered:
/// strangers could fill the memory with them.
#[derive(Debug, Default)]
pub(super) struct Believed {
    generation: u64,
    recent: HashMap<Key, Validity>,
    older: HashMap<Key, Validity>,
}

impl Believed {
    /// Until when a chain holds that this generation has believed, if it holds at `now`.
    pub(super) fn get(&self, key: &Key, generation: u64, now: i64) -> Option<Validity> {
        if self.generation != generation {
            return None;
        }
        let known = self.recent.get(key).or_else(|| self.older.get(key)).copied();
        known.filter(|validity| validity.includes(now))
    }

    /// Remembers a chain. Another generation forgets everything.
    pub(super) fn insert(&mut self, key: Key, generation: u64, validity: Validity) {
        if self.generation != generation {
            *self = Believed { generation, ..Believed::default() };
        }
        if self.recent.len() >= HALF {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(key, validity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believed_by_one_generation_for_its_time() {
        let mut believed = Believed::default();
        let validity = Validity { not_before: 10, not_after: 20 };
        let (one, two) = (CertificateDer::from(vec![1, 2]), CertificateDer::from(vec![3]));
        let known = key(&one, std::slice::from_ref(&two), Usage::Client);
        believed.insert(known, 1, validity);
        assert_eq!(believed.get(&known, 1, 20), Some(validity));
        assert_eq!(believed.get(&known, 1, 21), None, "expired");
        assert_eq!(believed.get(&known, 1, 9), None, "not valid yet");
        assert_eq!(believed.get(&known, 2, 15), None, "another trust");
        for other in [
            key(&one, std::slice::from_ref(&two), Usage::Server),
            key(&one, &[], Usage::Client),
            key(&CertificateDer::from(vec![1, 2, 3]), &[], Usage::Client),
        ] {
            assert_eq!(believed.get(&other, 1, 15), None);
        }
        believed.insert([0; 32], 2, validity);
        assert_eq!(believed.get(&known, 1, 15), None, "forgotten");
    }

    #[test]
    fn memory_is_bounded_and_what_is_in_use_stays() {
        let mut believed = Believed::default();
        let validity = Validity { not_before: 0, not_after: 1 };
        let number = |number: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            key
        };
        for at in 0..5 * HALF {
            believed.insert(number(at), 1, validity);
            assert!(believed.recent.len() + believed.older.len() <= 2 * HALF);
        }
        assert!(believed.get(&number(5 * HALF - 1), 1, 0).is_some());
        assert!(believed.get(&number(0), 1, 0).is_none());
    }
}
