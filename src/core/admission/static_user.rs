//! A user known by configuration, and what it shows.

use std::fmt;
use std::sync::Arc;

use super::account::Account;
use super::grant::{Grant, GrantLimits, Peer, PeerKind, Permission, Responses};
use crate::core::nats::nkey::UserKey;
use crate::core::text::Secret;

/// What proves who a user is.
#[derive(Clone)]
pub enum Credential {
    /// Name and password.
    Password {
        /// Name.
        user: String,
        /// Password, or its bcrypt hash: `$2a$`, `$2b$` or `$2y$`.
        password: Secret,
    },
    /// A token, which has no name.
    Token(Secret),
    /// A signature over the nonce of INFO.
    Nkey(UserKey),
    /// Nothing: whoever shows no credential. Where TLS demands certificates,
    /// that is whoever holds one.
    Anybody,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user})"),
            Self::Token(_) => f.write_str("Token"),
            Self::Nkey(key) => write!(f, "Nkey({key})"),
            Self::Anybody => f.write_str("Anybody"),
        }
    }
}

/// One user.
#[derive(Debug, Clone)]
pub struct StaticUser {
    /// What it has to show.
    pub credential: Credential,
    /// Where its subjects live.
    pub account: Account,
    /// What it may publish.
    pub publish: Permission,
    /// What it may subscribe.
    pub subscribe: Permission,
    /// Whether it may answer requests it receives, wherever they want their answer.
    pub responses: Option<Responses>,
    /// Its limits.
    pub limits: GrantLimits,
}

impl StaticUser {
    /// A user who may do everything in an account.
    pub fn new(credential: Credential, account: Account) -> Self {
        Self {
            credential,
            account,
            publish: Permission::unrestricted(),
            subscribe: Permission::unrestricted(),
            responses: None,
            limits: GrantLimits::default(),
        }
    }
}

impl Credential {
    /// Whether one could not be told from the other.
    pub(super) fn is_same(&self, other: &Credential) -> bool {
        match (self, other) {
            (Credential::Password { user: one, .. }, Credential::Password { user: other, .. }) => {
                one == other
            }
            (Credential::Token(one), Credential::Token(other)) => one.matches(other),
            (Credential::Nkey(one), Credential::Nkey(other)) => one == other,
            (Credential::Anybody, Credential::Anybody) => true,
            _ => false,
        }
    }
}

impl StaticUser {
    /// What it is given.
    pub(super) fn grant(&self) -> Grant {
        let name = match &self.credential {
            Credential::Password { user, .. } => user.clone(),
            Credential::Nkey(key) => key.to_string(),
            Credential::Token(_) => "[REDACTED]".to_owned(),
            Credential::Anybody => String::new(),
        };
        let publish = match (self.responses, self.publish.is_unrestricted()) {
            // permission to answer would say nothing beside permission for everything
            (Some(_), true) => Permission::nothing(),
            _ => self.publish.clone(),
        };
        Grant {
            account: self.account,
            peer: Peer { kind: PeerKind::Client, identity: name.as_str().into() },
            user: name,
            publish: Arc::new(publish),
            subscribe: Arc::new(self.subscribe.clone()),
            responses: self.responses,
            limits: self.limits,
        }
    }
}
