//! Nodes that wait to be provisioned: they hold a token and no certificate (spec 05 §3.1).

use std::fmt;
use std::sync::Arc;

use super::account::Account;
use super::facts::ConnectionFacts;
use super::grant::{Grant, GrantLimits, Peer, PeerKind, Permission, Refusal, RefusalKind, SubjectList};
use super::permissions;
use crate::core::nats::subject;
use crate::core::security::tokens::{ProvisioningClaims, VerifyKey};
use crate::core::text::Secret;

/// Where nodes of 2018 publish what they are; the original's broker of today denies it.
const REGISTRATION_2018: &str = "choria.provisioning_data";

/// Longest name of a node, in bytes: the longest there is in DNS.
const MAX_NAME: usize = 253;

/// Lets nodes with a provisioning token in.
///
/// The token is normally one for a whole fleet, so the name of the node is its
/// own claim: the name of its connection. It may hear requests to that name
/// and to no other, which the original does not restrict.
#[derive(Clone)]
pub struct WaitingNodes {
    signer: VerifyKey,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    publish: Arc<Permission>,
}

impl WaitingNodes {
    /// `signer` is the key of the tokens, `clock` tells unix seconds.
    pub fn new(signer: VerifyKey, clock: impl Fn() -> i64 + Send + Sync + 'static) -> WaitingNodes {
        let (mut publish, _) = permissions::unprovisioned();
        let allowed = publish.allow.iter().flat_map(SubjectList::iter).chain([REGISTRATION_2018]);
        publish.allow = Some(SubjectList::new(allowed));
        WaitingNodes { signer, clock: Arc::new(clock), publish: Arc::new(publish) }
    }

    /// What a connection without certificate gets for its token.
    ///
    /// # Errors
    /// A token that is not of our signer, not for provisioning or not valid now, or a
    /// connection without a name or by one that shows the token.
    pub fn judge(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        let refuse = |why: String| Refusal::new(RefusalKind::Token, format!("waiting node refused: {why}"));
        let claims: ProvisioningClaims = self
            .signer
            .verify(facts.options.auth_token.expose())
            .map_err(|error| refuse(error.to_string()))?;
        claims.check((self.clock)()).map_err(|error| refuse(error.to_string()))?;
        let name = facts.options.name.as_str();
        if name.len() > MAX_NAME {
            return Err(refuse(format!("the name of its connection is longer than {MAX_NAME} bytes")));
        }
        if !subject::valid_pattern(name.as_bytes()) || !subject::is_literal(name.as_bytes()) {
            return Err(refuse("its connection has no name that could be a node's".to_owned()));
        }
        // logs and pages of many programs show names of nodes, and no certificate has such a one
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse(
                "the name of its connection has letters that are in no name of a node".to_owned(),
            ));
        }
        if Secret::new(claims.token).is_shown_by(name) {
            return Err(refuse("the name of its connection shows its access token".to_owned()));
        }
        let (_, subscribe) = permissions::unprovisioned();
        let own = format!("provisioning.node.{name}");
        let allowed = subscribe.allow.iter().flat_map(SubjectList::iter);
        let allowed = allowed.map(|entry| if entry == "provisioning.node.>" { &own } else { entry });
        Ok(Grant {
            account: Account::Provisioning,
            user: String::new(),
            publish: self.publish.clone(),
            subscribe: Arc::new(Permission::only(allowed.collect::<Vec<&str>>())),
            responses: None,
            limits: GrantLimits::default(),
            peer: Peer { kind: PeerKind::WaitingNode, identity: name.into() },
        })
    }
}

impl fmt::Debug for WaitingNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingNodes").field("signer", &self.signer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::admission::Transport;
    use crate::core::security::tokens::{SigningKey, StandardClaims, provisioning::PURPOSE};
    use crate::core::text::Secret;

    #[test]
    fn a_waiting_node_hears_only_its_own_name() {
        let key = SigningKey::from_seed(&[3; 32]).unwrap();
        let signer = VerifyKey::from_hex(&key.public_hex().unwrap()).unwrap();
        let claims = ProvisioningClaims {
            token: "toomanysecrets".into(),
            standard: StandardClaims { purpose: PURPOSE.into(), expires: Some(100), ..Default::default() },
            ..Default::default()
        };
        let mut facts = ConnectionFacts::new(Transport::Tls);
        facts.options.auth_token = Secret::new(key.sign(&claims).unwrap());
        facts.options.name = "n1.example.net".into();
        let grant = WaitingNodes::new(signer.clone(), || 99).judge(&facts).unwrap();
        assert_eq!(grant.account, Account::Provisioning);
        for (subject, may) in [
            ("provisioning.node.n1.example.net", true),
            ("provisioning.node.n2.example.net", false),
            ("provisioning.node.>", false),
            ("provisioning.node.*", false),
            ("provisioning.broadcast.agent.choria_provision", true),
            ("provisioning.reply.>", false),
            ("provisioning.registration.data", false),
        ] {
            assert_eq!(grant.subscribe.may_subscribe(subject.as_bytes(), None), may, "{subject}");
        }
        for (subject, may) in [
            ("provisioning.reply.x.y", true),
            ("provisioning.registration.data", true),
            ("choria.provisioning_data", true),
            ("choria.lifecycle.event.startup.provision_mode_server", true),
            ("provisioning.node.n2.example.net", false),
        ] {
            assert_eq!(grant.publish.may_publish(subject.as_bytes()), may, "{subject}");
        }
        let late = WaitingNodes::new(signer.clone(), || 100).judge(&facts).unwrap_err();
        assert_eq!(
            late.reason,
            "waiting node refused: the token expired on 1970-01-01 00:01:40 UTC; issue a new one"
        );
        for name in ["", ">", "*.example.net", "a b", "a..b", "toomanysecrets", "n1.TooManySecrets.net"] {
            facts.options.name = name.into();
            assert!(WaitingNodes::new(signer.clone(), || 99).judge(&facts).is_err(), "{name:?}");
        }
    }
}
