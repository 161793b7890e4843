//! Signed tokens (JWT, RFC 7519) of networks that use them (spec 01 §12, 05 §3).
//!
//! [`keys`] are what tokens are verified and made with, [`standard`] is what
//! every token says of itself, [`provisioning`] the token an unconfigured node
//! carries, [`server`] the one it is given. A token is believed only through
//! [`VerifyKey::verify`]; [`unverified`] exists for the node, which has no key
//! to check its own file with.

pub mod keys;
pub mod ksuid;
pub mod provisioning;
pub mod server;
pub mod standard;
pub mod vault;

pub use keys::{KeyError, SigningKey, VerifyKey};
pub use provisioning::{BrokerTrust, ProvisioningClaims};
pub use server::{ServerClaims, ServerPermissions};
pub use standard::{StandardClaims, TokenError};

use serde::de::DeserializeOwned;

/// Largest token, in bytes. The original's are below 4 KiB.
pub const MAX_TOKEN: usize = 64 * 1024;

/// Reads the claims of a token whose signature nobody has checked.
///
/// # Errors
/// [`TokenError::Malformed`].
pub fn unverified<T: DeserializeOwned>(token: &str) -> Result<T, TokenError> {
    let token = trimmed(token)?;
    jsonwebtoken::dangerous::insecure_decode(token).map(|data| data.claims).map_err(TokenError::malformed)
}

/// Token files end in a line end or not.
fn trimmed(token: &str) -> Result<&str, TokenError> {
    let token = token.trim();
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Malformed(format!("it is longer than {MAX_TOKEN} bytes")));
    }
    Ok(token)
}

#[cfg(test)]
mod tests;
