//! What every token says of itself, and when it may be believed.

use serde::{Deserialize, Serialize};

use crate::core::text::shortened;

/// A token is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token, or its claims are not what they should be.
    #[error("the token cannot be read: {0}")]
    Malformed(String),
    /// Nobody we trust signed it.
    #[error("the token is not signed by the configured key")]
    Signature,
    /// Its time is over.
    #[error("the token expired on {0}; issue a new one")]
    Expired(String),
    /// Its time has not come.
    #[error("the token is not valid before {0}; check the clocks")]
    NotYet(String),
    /// It is for something else.
    #[error("the token is for {found:?}, not {wanted:?}")]
    Purpose {
        /// What it says.
        found: String,
        /// What it must say.
        wanted: &'static str,
    },
    /// Claims contradict each other or miss something.
    #[error("the token is not usable: {0}")]
    Claims(&'static str),
}

impl TokenError {
    pub(super) fn malformed(error: jsonwebtoken::errors::Error) -> TokenError {
        TokenError::Malformed(error.to_string())
    }
}

/// Claims common to all tokens (spec 01 §12).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandardClaims {
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub purpose: String,
    /// Signature of the issuer over its own place in the trust chain.
    #[serde(default, rename = "tcs", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub trust_chain: String,
    /// Key of the holder, 64 hex digits.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub public_key: String,
    /// When the issuer's own token expires.
    #[serde(default, rename = "issexp", skip_serializing_if = "Option::is_none", deserialize_with = "time")]
    pub issuer_expires: Option<i64>,
    /// Who issued it.
    #[serde(default, rename = "iss", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub issuer: String,
    /// Whom it is about.
    #[serde(default, rename = "sub", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub subject: String,
    /// Last second it is valid, unix time.
    #[serde(default, rename = "exp", skip_serializing_if = "Option::is_none", deserialize_with = "time")]
    pub expires: Option<i64>,
    /// First second it is valid, unix time.
    #[serde(default, rename = "nbf", skip_serializing_if = "Option::is_none", deserialize_with = "time")]
    pub not_before: Option<i64>,
    /// When it was issued, unix time.
    #[serde(default, rename = "iat", skip_serializing_if = "Option::is_none", deserialize_with = "time")]
    pub issued: Option<i64>,
    /// Its name.
    #[serde(default, rename = "jti", skip_serializing_if = "String::is_empty", deserialize_with = "text")]
    pub id: String,
}

impl StandardClaims {
    /// Whether `now` (unix seconds) is within the token's time, and within its
    /// issuer's where it names one.
    ///
    /// # Errors
    /// [`TokenError::Expired`], [`TokenError::NotYet`].
    pub fn check_time(&self, now: i64) -> Result<(), TokenError> {
        if let Some(expires) = self.expires.filter(|expires| *expires <= now) {
            return Err(TokenError::Expired(date(expires)));
        }
        if let Some(not_before) = self.not_before.filter(|not_before| *not_before > now) {
            return Err(TokenError::NotYet(date(not_before)));
        }
        if self.trust_chain.is_empty() {
            return Ok(());
        }
        // a link of a chain lives no longer than the link above it
        if !self.issuer.starts_with("C-") {
            return Err(TokenError::Claims("it is part of a trust chain and names no chain issuer"));
        }
        match self.issuer_expires {
            Some(expires) if expires > now => Ok(()),
            Some(expires) => Err(TokenError::Expired(date(expires))),
            None => Err(TokenError::Claims("it is part of a trust chain and its issuer has no expiry")),
        }
    }

    /// Whether it is for `wanted`, said by purpose or, as older ones do, by subject.
    ///
    /// # Errors
    /// [`TokenError::Purpose`].
    pub fn check_purpose(&self, wanted: &'static str) -> Result<(), TokenError> {
        if self.purpose == wanted || (self.purpose.is_empty() && self.subject == wanted) {
            return Ok(());
        }
        Err(TokenError::Purpose { found: shortened(&self.purpose, 64), wanted })
    }
}

fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A time: whole or fractional seconds, as a number or as text; `null` is none.
fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Time {
        Whole(i64),
        Fraction(f64),
    }
    Ok(Option::<Time>::deserialize(deserializer)?.map(|time| match time {
        Time::Whole(seconds) => seconds,
        // saturates: a time beyond all clocks is the end of time
        Time::Fraction(seconds) => seconds as i64,
    }))
}

/// Text, `null` meaning none as for Go.
pub(super) fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}
