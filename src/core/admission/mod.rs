//! `ConnectionFacts` to `Grant`: who may connect to a broker and what it may say (spec 01 §13, 04 §3).
//!
//! One pure function set, used by the embedded broker on CONNECT and by the
//! auth callout service of a stock nats-server, so that the permission tables
//! exist once. [`facts`] is what is known about a connection, [`grant`] what
//! it gets, [`permissions`] the tables, [`current`] judges certificates at
//! every decision, [`x509`] the rules for networks whose
//! members hold certificates, [`waiting`] those for nodes that have none yet,
//! [`static_users`] the rules for embedders who list their users beforehand,
//! with [`passwords`] as text or hash.

pub mod account;
pub mod certificate;
pub mod current;
pub mod facts;
pub mod grant;
pub mod hosts;
pub mod passwords;
pub mod permissions;
mod static_user;
pub mod static_users;
pub mod waiting;
pub mod x509;

pub use account::{Account, AccountError};
pub use certificate::{PeerCertificate, valid_until};
pub use current::{ChainCheck, ChainSuspicion, CurrentCertificates};
pub use facts::{ConnectionFacts, LinkKind, Transport};
pub use grant::{
    Authenticator, Grant, GrantLimits, Peer, PeerKind, Permission, Refusal, RefusalKind, Responses,
    SubjectList,
};
pub use hosts::HostList;
pub use passwords::PasswordError;
pub use static_user::{Credential, StaticUser};
pub use static_users::{StaticUsers, UsersError};
pub use waiting::WaitingNodes;
pub use x509::{ByName, NameTest, Service, SystemUser, X509Authenticator, X509Mode, X509Options, carrier};

#[cfg(test)]
mod vector_tests;
