//! What a helper is told of a node (spec 05 §8.5). Pure.

use serde::Serialize;
use serde_json::value::RawValue;

/// A node, as far as it is known. Keys and their order are the original's.
#[derive(Debug, Clone, Serialize)]
pub struct Question {
    /// Name of the node, by its own word.
    pub identity: String,
    /// Certificate request; `null` where none is asked for.
    pub csr: Option<CertificateRequest>,
    /// Key of an ed25519 node; `null` where none is asked for.
    pub ed25519_pubkey: Option<Ed25519Key>,
    /// Reply of `rpcutil#inventory`, a JSON document inside a text, as the node wrote it.
    pub inventory: String,
    /// Claims of the provisioning token; `null` where none is asked for.
    pub jwt: Option<Box<RawValue>>,
}

/// Reply of `choria_provision#gencsr`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateRequest {
    /// PEM.
    pub csr: String,
    /// PEM; by the original PKCS#1 under the label of SPKI.
    pub public_key: String,
    /// Directory on the node that certificates go to.
    pub ssldir: String,
}

/// Reply of `choria_provision#gen25519`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ed25519Key {
    /// Hex.
    pub public_key: String,
    /// Directory on the node that the token goes to.
    pub directory: String,
    /// Over the nonce, hex.
    pub signature: String,
}

impl Question {
    /// The one line a helper reads.
    pub fn encode(&self) -> String {
        // only texts and a document that has been parsed: it cannot fail
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_are_always_there() {
        let question = Question {
            identity: "n1".into(),
            csr: None,
            ed25519_pubkey: None,
            inventory: "{\"facts\":{}}".into(),
            jwt: Some(RawValue::from_string("{\"cht\":\"x\",\"big\":12345678901234567890}".into()).unwrap()),
        };
        assert_eq!(
            question.encode(),
            r#"{"identity":"n1","csr":null,"ed25519_pubkey":null,"inventory":"{\"facts\":{}}","jwt":{"cht":"x","big":12345678901234567890}}"#
        );
    }
}
