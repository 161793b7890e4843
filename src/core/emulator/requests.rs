//! Keys and certificate requests that are ready before anybody asks for them.
//!
//! Finding a key and signing with it is work of the node, done by real nodes on
//! processors of their own. Done here while nodes are provisioned, it would
//! be all that is measured.

use std::sync::Arc;

use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use super::EmulatorError;
use crate::core::agents::provision::keys::{self, CsrSubject, KeySource};

/// Keys that all nodes share.
pub(super) struct Keys(Vec<Arc<KeyPair>>);

impl Keys {
    pub(super) fn make(count: usize) -> Result<Keys, EmulatorError> {
        let make = |_| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map(Arc::new);
        let keys: Result<Vec<_>, _> = (0..count.max(1)).map(make).collect();
        Ok(Keys(keys.map_err(|e| EmulatorError::Key(e.to_string()))?))
    }

    /// What node `index` of this name has: one of the keys, and the request for its certificate.
    pub(super) fn of(&self, index: usize, name: String) -> Result<Ready, EmulatorError> {
        let key = self.0.get(index % self.0.len().max(1));
        let key = key.cloned().ok_or_else(|| EmulatorError::Key("there are none".to_owned()))?;
        let request = keys::request(&key, &CsrSubject { name: &name, ..CsrSubject::default() });
        Ok(Ready { request: request.map_err(EmulatorError::Key)?, key, name })
    }
}

/// The key of one node and the request that provisioners ask for.
pub(super) struct Ready {
    key: Arc<KeyPair>,
    name: String,
    request: String,
}

impl KeySource for Ready {
    fn key(&self) -> Result<Arc<KeyPair>, String> {
        Ok(self.key.clone())
    }

    fn request(&self, key: &KeyPair, subject: &CsrSubject<'_>) -> Result<String, String> {
        match *subject == (CsrSubject { name: &self.name, ..CsrSubject::default() }) {
            true => Ok(self.request.clone()),
            false => keys::request(key, subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_is_given_and_anything_else_is_made() {
        let ready = Keys::make(1).unwrap().of(3, "n4".to_owned()).unwrap();
        let key = ready.key().unwrap();
        let asked = |subject: &CsrSubject<'_>| ready.request(&key, subject).unwrap();
        let plain = CsrSubject { name: "n4", ..CsrSubject::default() };
        assert_eq!(asked(&plain), ready.request);
        assert_eq!(asked(&plain), keys::request(&key, &plain).unwrap());
        assert_ne!(asked(&CsrSubject { country: "MT", ..plain.clone() }), ready.request);
        assert_ne!(asked(&CsrSubject { name: "n5", ..plain }), ready.request);
    }
}
