//! The token a node of an organization with issuers is given (spec 05 §8.3).

use serde::{Deserialize, Serialize};

use super::keys::SigningKey;
use super::ksuid::{ksuid, time_of};
use super::standard::{StandardClaims, TokenError, text};
use crate::core::text::hex;

/// What `purpose` says.
pub const PURPOSE: &str = "choria_server";
/// Issuer of tokens that are part of no chain.
const PROVISIONER: &str = "Choria Provisioner";

/// What a node may do beyond answering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerPermissions {
    /// Submit messages.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub submission: bool,
    /// Use Streams.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub streams: bool,
    /// Use governors.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub governor: bool,
    /// Answer service requests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub service_host: bool,
}

/// Claims of a server token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerClaims {
    /// Name of the node.
    #[serde(
        default,
        rename = "identity",
        skip_serializing_if = "String::is_empty",
        deserialize_with = "text"
    )]
    pub identity: String,
    /// Collectives it is a member of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collectives: Vec<String>,
    /// What it may do beyond answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<ServerPermissions>,
    /// Organization.
    #[serde(default, rename = "ou", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub organization: String,
    /// Further subjects it may publish.
    #[serde(default, rename = "pub_subjects", skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// What every token says.
    #[serde(flatten)]
    pub standard: StandardClaims,
}

/// The token of whoever issues in somebody's name: a link of a trust chain.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ChainIssuer {
    /// What every token says.
    #[serde(flatten)]
    pub standard: StandardClaims,
}

impl ServerClaims {
    /// Dates the claims and signs them: for `validity` seconds from `now`, or
    /// as long as the issuer itself may. `random` names the token.
    ///
    /// # Errors
    /// An issuer that is no link of a chain, is expired, or whose key is another one.
    pub fn issue(
        mut self,
        key: &SigningKey,
        issuer: Option<&ChainIssuer>,
        now: i64,
        validity: i64,
        random: [u8; 16],
    ) -> Result<String, TokenError> {
        let standard = &mut self.standard;
        standard.purpose = PURPOSE.to_owned();
        standard.issued = Some(now);
        standard.not_before = Some(now);
        standard.expires = Some(now.saturating_add(validity));
        standard.id = ksuid(now, random);
        standard.issuer = PROVISIONER.to_owned();
        if let Some(ChainIssuer { standard: above }) = issuer {
            let Some(expires) = above.expires else {
                return Err(TokenError::Claims("the issuer's token has no expiry"));
            };
            above.check_lifetime(now)?;
            if above.trust_chain.is_empty() || time_of(&above.id).is_none() {
                return Err(TokenError::Claims("the issuer's token is no link of a trust chain"));
            }
            if key.public_hex().as_deref() != Some(above.public_key.as_str()) {
                return Err(TokenError::Claims("the issuer's token is of another key than the signing key"));
            }
            standard.issuer_expires = Some(expires);
            standard.expires = standard.expires.min(Some(expires));
            standard.issuer = format!("C-{}.{}", above.id, above.public_key);
            let signature = key
                .sign_bytes(format!("{}.{}", standard.id, above.trust_chain).as_bytes())
                .ok_or(TokenError::Claims("a trust chain needs an ed25519 key"))?;
            standard.trust_chain = format!("{}.{}", above.trust_chain, hex(&signature));
        }
        key.sign(&self)
    }
}

impl StandardClaims {
    /// Only the token's own time: a first link of a chain names no chain issuer.
    fn check_lifetime(&self, now: i64) -> Result<(), TokenError> {
        StandardClaims { trust_chain: String::new(), ..self.clone() }.check_time(now)
    }
}
