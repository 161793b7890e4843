//! The token an unconfigured node carries (spec 05 §3, 02 §13.1).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::keys::SigningKey;
use super::ksuid::ksuid;
use super::standard::{StandardClaims, TokenError, text};

/// Who issued a token, in the original's words.
const ISSUER: &str = "Choria Tokens Package";
/// What `purpose`, or in older tokens `sub`, says.
pub const PURPOSE: &str = "choria_provisioning";
/// Extension that carries the CA certificates, PEM.
const CA: &str = "choria_ca";
/// Extension that carries the SHA-256 of the broker's public key (SPKI), hex.
const PIN: &str = "choria_broker_key";
/// Extension that carries the ed25519 key that signs new binaries, hex.
const RELEASE_KEY: &str = "choria_release_key";

/// Claims of a provisioning token. `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProvisioningClaims {
    /// Shared secret that the provisioner must show.
    #[serde(default, rename = "cht", deserialize_with = "text")]
    pub token: String,
    /// Whether messages are signed and verified meanwhile.
    #[serde(default, rename = "chs", deserialize_with = "flag")]
    pub secure: bool,
    /// Brokers, separated by commas.
    #[serde(default, rename = "chu", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub urls: String,
    /// Or the domain whose SRV records name them.
    #[serde(default, rename = "chsrv", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub srv_domain: String,
    /// Provision where the configuration does not say.
    #[serde(default, rename = "chpd", deserialize_with = "flag")]
    pub by_default: bool,
    /// File published while waiting.
    #[serde(default, rename = "chrd", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub registration_data: String,
    /// Fact file while waiting.
    #[serde(default, rename = "chf", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub facts: String,
    /// Broker user while waiting.
    #[serde(default, rename = "chusr", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub username: String,
    /// And its password.
    #[serde(default, rename = "chpwd", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub password: String,
    /// Free; see [`ProvisioningClaims::trust`] for what we put there.
    #[serde(default)]
    pub extensions: Option<Map<String, Value>>,
    /// Organization, by default `choria`.
    #[serde(default, rename = "ou", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub organization: String,
    /// Wait as an ed25519 node.
    #[serde(default, rename = "v2", skip_serializing_if = "std::ops::Not::not", deserialize_with = "flag")]
    pub protocol_v2: bool,
    /// A provisioner may replace the binary.
    #[serde(
        default,
        rename = "update",
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "flag"
    )]
    pub allow_update: bool,
    /// What every token says.
    #[serde(flatten)]
    pub standard: StandardClaims,
}

/// How a node knows the broker before it has a certificate of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerTrust {
    /// CA certificates, PEM; empty for none.
    pub ca: String,
    /// SHA-256 of the broker's public key (SPKI), 64 hex digits; empty for none.
    pub pin: String,
}

impl BrokerTrust {
    /// Whether there is anything to know the broker by.
    pub fn is_empty(&self) -> bool {
        self.ca.is_empty() && self.pin.is_empty()
    }
}

impl ProvisioningClaims {
    /// Whether a node can use it (spec 05 §3): purpose, a secret, exactly one
    /// way to the brokers. The node cannot check the signature; broker and
    /// provisioner do.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn check_usable(&self) -> Result<(), TokenError> {
        self.standard.check_purpose(PURPOSE)?;
        if self.token.is_empty() {
            return Err(TokenError::Claims("it has no access token (cht)"));
        }
        match (self.urls.is_empty(), self.srv_domain.is_empty()) {
            (true, true) => {
                Err(TokenError::Claims("it names neither brokers (chu) nor an SRV domain (chsrv)"))
            }
            (false, false) => {
                Err(TokenError::Claims("it names both brokers (chu) and an SRV domain (chsrv)"))
            }
            _ => Ok(()),
        }
    }

    /// Dates the claims and signs them: for `validity` seconds from `now`. `random` names
    /// the token.
    ///
    /// # Errors
    /// Claims no node could use.
    pub fn issue(
        self,
        key: &SigningKey,
        now: i64,
        validity: i64,
        random: [u8; 16],
    ) -> Result<String, TokenError> {
        key.sign(&self.dated(now, validity, random)?)
    }

    /// The claims as they are to be signed by whoever holds the key.
    ///
    /// # Errors
    /// Claims no node could use.
    pub fn dated(mut self, now: i64, validity: i64, random: [u8; 16]) -> Result<Self, TokenError> {
        let standard = &mut self.standard;
        standard.purpose = PURPOSE.to_owned();
        standard.subject = PURPOSE.to_owned();
        standard.issuer = ISSUER.to_owned();
        standard.issued = Some(now);
        standard.not_before = Some(now);
        standard.expires = Some(now.saturating_add(validity));
        standard.id = ksuid(now, random);
        self.check_usable()?;
        Ok(self)
    }

    /// Whether broker and provisioner take it at `now` (unix seconds): purpose and time.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn check(&self, now: i64) -> Result<(), TokenError> {
        self.standard.check_purpose(PURPOSE)?;
        self.standard.check_time(now)
    }

    /// CA or key pin it carries.
    pub fn trust(&self) -> BrokerTrust {
        BrokerTrust { ca: self.extension(CA), pin: self.extension(PIN) }
    }

    /// Key that signs new binaries, hex; empty for none.
    pub fn release_key(&self) -> String {
        self.extension(RELEASE_KEY)
    }

    /// Puts the key that signs new binaries in.
    pub fn set_release_key(&mut self, key: &str) {
        let extensions = self.extensions.get_or_insert_default();
        extensions.insert(RELEASE_KEY.to_owned(), Value::String(key.to_owned()));
    }

    fn extension(&self, name: &str) -> String {
        let found = self.extensions.as_ref().and_then(|all| all.get(name)).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    }

    /// Puts a CA or key pin in.
    pub fn set_trust(&mut self, trust: &BrokerTrust) {
        let extensions = self.extensions.get_or_insert_default();
        for (name, text) in [(CA, &trust.ca), (PIN, &trust.pin)] {
            if !text.is_empty() {
                extensions.insert(name.to_owned(), Value::String(text.clone()));
            }
        }
    }
}

impl std::fmt::Debug for ProvisioningClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProvisioningClaims")
            .field("urls", &self.urls)
            .field("srv_domain", &self.srv_domain)
            .field("by_default", &self.by_default)
            .field("standard", &self.standard)
            .finish_non_exhaustive()
    }
}

/// A flag, `null` meaning no as for Go.
fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or_default())
}
