//! What a helper says of a node (spec 05 §8.5). Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most bytes of an answer.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// A helper's answer, read but not yet checked. `Debug` shows no key.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Not now: the node will be found again.
    #[serde(deserialize_with = "or_default")]
    pub defer: bool,
    /// Why; goes to the log.
    #[serde(deserialize_with = "or_default")]
    pub msg: String,
    /// The node's certificate, PEM.
    #[serde(deserialize_with = "or_default")]
    pub certificate: String,
    /// CA certificates, PEM.
    #[serde(deserialize_with = "or_default")]
    pub ca: String,
    /// Becomes the node's configuration file.
    #[serde(deserialize_with = "or_default")]
    pub configuration: BTreeMap<String, String>,
    /// The node is to end itself.
    #[serde(deserialize_with = "or_default")]
    pub shutdown: bool,
    /// A private key made for the node, PKCS#1 PEM; travels encrypted.
    #[serde(deserialize_with = "or_default")]
    pub key: String,
    /// Directory on the node that certificates go to, where no request said it.
    #[serde(deserialize_with = "or_default")]
    pub ssldir: String,
    /// Action policies by file name, `AGENT.policy`.
    #[serde(deserialize_with = "or_default")]
    pub action_policies: BTreeMap<String, String>,
    /// Rego policies by file name, `AGENT.rego`.
    #[serde(deserialize_with = "or_default")]
    pub opa_policies: BTreeMap<String, String>,
    /// Claims for the token of an ed25519 node.
    #[serde(deserialize_with = "or_default")]
    pub server_claims: Option<Map<String, Value>>,
    /// Version the node is to run first.
    #[serde(deserialize_with = "or_default")]
    pub upgrade: String,
}

impl Answer {
    /// Reads one JSON object; keys nobody knows are ignored.
    ///
    /// # Errors
    /// What is wrong, for the log: anything but one object of the right types.
    pub fn decode(text: &[u8]) -> Result<Answer, String> {
        if text.len() > MAX_ANSWER {
            return Err(format!("it is longer than {MAX_ANSWER} bytes"));
        }
        serde_json::from_slice(text).map_err(|e| e.to_string())
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("defer", &self.defer)
            .field("msg", &self.msg)
            .field("settings", &self.configuration.len())
            .finish_non_exhaustive()
    }
}

/// `null` is the zero value, as for Go.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
