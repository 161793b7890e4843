//! What a helper says of a node (spec 05 §8.5). Pure.

use std::collections::BTreeMap;

use aws_lc_rs::signature::KeyPair;
use rustls_pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::csr::{CheckedCsr, Denied};
use super::question::CertificateRequest;
use crate::core::config::parse_bool;
use crate::core::security::{Certificate, Trust, Usage, pem};
use crate::core::text::shortened;

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
        // a list would be taken for the fields in their order
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err("it is no JSON object".to_owned());
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

/// What an answer is held against.
#[derive(Debug, Clone, Copy)]
pub struct AnswerContext<'a> {
    /// Name of the node.
    pub identity: &'a str,
    /// Its request, where one was fetched; the answer must have a certificate for it then.
    pub request: Option<(&'a CheckedCsr, &'a CertificateRequest)>,
    /// Names that no certificate for it may have.
    pub denied: &'a Denied,
    /// Whether a private key can be sent to it.
    pub takes_key: bool,
    /// Write `plugin.choria.server.provision=false` where the answer forgets it.
    pub inject_disabled: bool,
    /// Unix seconds.
    pub now: i64,
}

/// Why an answer is not passed on to its node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum AnswerError {
    #[error("it has no configuration")]
    NoConfiguration,
    #[error("{0:?} cannot be the name of a setting")]
    Key(String),
    #[error("the value of {0} has a line end or another control character")]
    Value(String),
    #[error("it does not set {PROVISION}=false, the node would come back for ever")]
    NotDisabled,
    #[error("it sets {PROVISION} to {0:?}, the node would come back for ever")]
    StaysHere(String),
    #[error("it makes the node {0:?}")]
    OtherIdentity(String),
    #[error("{0:?} cannot be the name of a policy file, it must be a plain name that ends in {1}")]
    Policy(String, &'static str),
    #[error("it has no certificate although the node asked for one")]
    NoCertificate,
    #[error("it has a certificate and no {0}")]
    Incomplete(&'static str),
    #[error("its certificate cannot be read: {0}")]
    Certificate(String),
    #[error("its certificate is of another key than the node's")]
    OtherKey,
    #[error("its certificate is for {0}")]
    OtherName(String),
    #[error("its certificate has the name {0:?}, too, which cert_deny_list denies, or is a broker's")]
    DeniedName(String),
    #[error("its certificate is not of its CA, or not usable: {0}")]
    Chain(String),
    #[error("its key is no RSA key in PKCS#1 PEM, which is all that can be sent to a node")]
    BadKey,
    #[error("it has a key, which can only be sent with features.jwt")]
    CannotSendKey,
}

/// The setting that ends a node's waiting.
const PROVISION: &str = "plugin.choria.server.provision";
/// Longest name of a setting or policy.
const MAX_NAME: usize = 256;

impl Answer {
    /// Checks everything that could harm the node before it sees it; completes
    /// the configuration and returns what the operator should know.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn check(&mut self, about: &AnswerContext<'_>) -> Result<Vec<String>, AnswerError> {
        let mut told = vec![];
        if self.configuration.is_empty() {
            return Err(AnswerError::NoConfiguration);
        }
        for (key, value) in &self.configuration {
            let odd = |c: char| c.is_control() || c.is_whitespace() || c == '=';
            if key.is_empty() || key.len() > MAX_NAME || key.starts_with('#') || key.contains(odd) {
                return Err(AnswerError::Key(shortened(key, MAX_NAME)));
            }
            if value.contains(char::is_control) {
                return Err(AnswerError::Value(key.clone()));
            }
        }
        match self.configuration.get(PROVISION).map(String::as_str) {
            Some(value) if parse_bool(value) == Ok(false) => {}
            Some(value) => return Err(AnswerError::StaysHere(shortened(value, 64))),
            None if about.inject_disabled => {
                self.configuration.insert(PROVISION.to_owned(), "false".to_owned());
                told.push(format!("the helper does not set {PROVISION}=false; it was added"));
            }
            None => return Err(AnswerError::NotDisabled),
        }
        if let Some(other) = self.configuration.get("identity").filter(|other| **other != *about.identity) {
            return Err(AnswerError::OtherIdentity(shortened(other, MAX_NAME)));
        }
        for (policies, suffix) in [(&self.action_policies, ".policy"), (&self.opa_policies, ".rego")] {
            let bad = |name: &&String| {
                let plain = name.len() <= MAX_NAME
                    && !name.starts_with('.')
                    && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control());
                !(plain && name.len() > suffix.len() && name.ends_with(suffix))
            };
            if let Some(name) = policies.keys().find(bad) {
                return Err(AnswerError::Policy(shortened(name, MAX_NAME), suffix));
            }
        }
        if let Some((_, request)) = about.request {
            self.ssldir.clone_from(&request.ssldir);
        }
        self.check_certificate(about)?;
        Ok(told)
    }

    fn check_certificate(&self, about: &AnswerContext<'_>) -> Result<(), AnswerError> {
        let key = match self.key.as_str() {
            "" => None,
            _ if !about.takes_key => return Err(AnswerError::CannotSendKey),
            text => Some(public_key_of(text).ok_or(AnswerError::BadKey)?),
        };
        if self.certificate.is_empty() {
            return match about.request {
                Some(_) => Err(AnswerError::NoCertificate),
                None if key.is_some() => Err(AnswerError::NoCertificate),
                None => Ok(()),
            };
        }
        for (value, what) in [(&self.ca, "CA"), (&self.ssldir, "ssldir")] {
            if value.is_empty() {
                return Err(AnswerError::Incomplete(what));
            }
        }
        let chain = pem::certificates(self.certificate.as_bytes()).map_err(AnswerError::Certificate)?;
        let Some((leaf, others)) = chain.split_first() else {
            return Err(AnswerError::Certificate("it is no certificate in PEM".to_owned()));
        };
        let unreadable = || AnswerError::Certificate("it is no X.509 certificate".to_owned());
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
        let certificate = Certificate::parse(leaf).ok_or_else(unreadable)?;
        let spki = parsed.public_key();
        let same = match (&key, about.request) {
            (Some(key), _) => *spki.subject_public_key.data == **key,
            (None, Some((csr, _))) => spki.raw == csr.spki,
            // the key is on the node already, or the node will refuse
            (None, None) => true,
        };
        if !same {
            return Err(AnswerError::OtherKey);
        }
        if !certificate.names().any(|name| name == about.identity) {
            let names: Vec<&str> = certificate.names().take(3).collect();
            return Err(AnswerError::OtherName(names.join(", ")));
        }
        // any name of it is one that nodes know a caller by
        if let Some(name) = certificate.names().find(|name| about.denied.check(name).is_err()) {
            return Err(AnswerError::DeniedName(shortened(name, MAX_NAME)));
        }
        let trust = Trust::from_pem(self.ca.as_bytes(), None)
            .map_err(|reason| AnswerError::Chain(format!("the CA {reason}")))?;
        let verified = trust.verify(leaf, others, about.now, Usage::Client);
        verified.map(|_| ()).map_err(|reason| AnswerError::Chain(reason.to_string()))
    }
}

/// The public half of an RSA key in PKCS#1 PEM, as it stands in certificates.
fn public_key_of(text: &str) -> Option<Vec<u8>> {
    let PrivateKeyDer::Pkcs1(der) = pem::private_key(text.as_bytes()).ok()? else { return None };
    let pair = aws_lc_rs::rsa::KeyPair::from_der(der.secret_pkcs1_der()).ok()?;
    Some(pair.public_key().as_ref().to_vec())
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
