//! Who the node is: its token, its key and the request for a certificate.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::KeyPair;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::action_error::ActionError;
use super::inputs::Inputs;
use super::keys::{self, CsrSubject};
use super::{CallContext, Flow, Inner};
use crate::core::files::{PUBLIC, SECRET, write_atomic};
use crate::core::security::key_transport::Exchange;
use crate::core::security::tokens::SigningKey;
use crate::core::text::hex;

/// Mode of a directory of keys, as the original makes it under the usual umask.
const KEY_DIR: u32 = 0o751;

/// A key whose certificate somebody is getting.
pub struct OpenRequest {
    holder: String,
    key: Arc<KeyPair>,
}

/// An ed25519 key whose token somebody is getting.
pub struct OpenSeed {
    holder: String,
    seed: Zeroizing<[u8; 32]>,
}

impl Inner {
    /// `jwt`: the provisioning token, and a fresh key that private keys may be sent to.
    pub(super) fn token(&self, flow: &mut Flow) -> Result<Value, ActionError> {
        let jwt = self.setup.current_jwt();
        if jwt.is_empty() {
            let configured = !self.setup.token_file.as_os_str().is_empty();
            return Err(if configured { ActionError::NoToken } else { ActionError::NoTokenFile });
        }
        let exchange = Exchange::new().map_err(|e| ActionError::Exchange(e.to_string()))?;
        let reply = json!({"jwt": jwt.expose(), "ecdh_public": exchange.public_hex()});
        flow.exchange = Some(exchange);
        Ok(reply)
    }

    /// `gencsr`: a key on disk and a request for its certificate. The holder of the
    /// lock gets a request of the same key however often it asks.
    pub(super) fn request(
        &self,
        flow: &mut Flow,
        inputs: &Inputs,
        about: &CallContext,
    ) -> Result<Value, ActionError> {
        flow.refuse_when_configured()?;
        let dir = about.dir().join("ssl");
        let made = DirBuilder::new().recursive(true).mode(KEY_DIR).create(&dir);
        made.map_err(|e| ActionError::Key(format!("{} cannot be made: {e}", dir.display())))?;
        let holder = about.holder();
        let key = match &flow.request {
            Some(open) if open.holder == holder => open.key.clone(),
            _ => self.keys.key().map_err(ActionError::Key)?,
        };
        let name = inputs.text("cn");
        let subject = CsrSubject {
            name: if name.is_empty() { &about.identity } else { name },
            country: inputs.text("C"),
            locality: inputs.text("L"),
            organization: inputs.text("O"),
            unit: inputs.text("OU"),
        };
        let csr = self.keys.request(&key, &subject).map_err(ActionError::Request)?;
        let private = keys::private_pem(&key).map_err(ActionError::Key)?;
        let written = write_atomic(&dir.join("private.pem"), private.as_bytes(), SECRET)
            .and_then(|()| write_atomic(&dir.join("csr.pem"), csr.as_bytes(), PUBLIC));
        written.map_err(|e| ActionError::Key(e.to_string()))?;
        let reply =
            json!({"csr": csr, "public_key": keys::public_pem(&key), "ssldir": dir.display().to_string()});
        flow.request = Some(OpenRequest { holder, key });
        Ok(reply)
    }

    /// `gen25519`: a seed on disk and the proof that we have it. The holder of the
    /// lock gets the same key however often it asks.
    pub(super) fn seed(
        &self,
        flow: &mut Flow,
        inputs: &Inputs,
        about: &CallContext,
    ) -> Result<Value, ActionError> {
        flow.refuse_when_configured()?;
        let failed = |why: &str| ActionError::Key(why.to_owned());
        let holder = about.holder();
        let seed = match &flow.seed {
            Some(open) if open.holder == holder => open.seed.clone(),
            _ => {
                let mut seed = Zeroizing::new([0; 32]);
                aws_lc_rs::rand::fill(&mut *seed).map_err(|_| failed("no random numbers are to be had"))?;
                seed
            }
        };
        let key = SigningKey::from_seed(&seed).ok_or_else(|| failed("the seed makes no key"))?;
        let signature = key.sign_bytes(inputs.text("nonce").as_bytes());
        let (Some(signature), Some(public)) = (signature, key.public_hex()) else {
            return Err(failed("the key does not sign"));
        };
        let dir = about.dir();
        forget(&dir.join("server.jwt"))?;
        let text = Zeroizing::new(hex(&*seed));
        write_atomic(&dir.join("server.seed"), text.as_bytes(), SECRET)
            .map_err(|e| ActionError::Key(e.to_string()))?;
        flow.seed = Some(OpenSeed { holder, seed });
        Ok(json!({
            "public_key": public, "directory": dir.display().to_string(), "signature": hex(&signature),
        }))
    }
}

impl Flow {
    fn refuse_when_configured(&self) -> Result<(), ActionError> {
        match &self.configured {
            Some(configured) => Err(configured.refusal()),
            None => Ok(()),
        }
    }
}

/// A token of an earlier key.
fn forget(path: &Path) -> Result<(), ActionError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(ActionError::Key(format!("cannot remove {}: {e}", path.display())))
        }
        _ => Ok(()),
    }
}
