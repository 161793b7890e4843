//! What a walk learns of its node: inventory, token, and a request for its key (spec 05 §7, 8).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;
use serde_json::{Map, json};

use super::calls::Ask;
use super::csr;
use super::flow::{Ended, FIRST, Walk, text};
use super::machines::Machine;
use super::population::End;
use super::question::{CertificateRequest, Ed25519Key, Question};
use super::stages::Stage;
use crate::core::rpc::ReplyBody;
use crate::core::security::tokens::ProvisioningClaims;

/// Nodes look long for a key.
const KEY: Duration = Duration::from_secs(22);

impl Walk<'_> {
    /// What a node tells without changing, and the key that keys are sent by.
    pub(super) async fn learn_without_keys(&self) -> Result<(Question, Option<String>), Ended> {
        let _within = self.shared.counters.stage(Stage::Inventory).begin();
        let (inventory, token) = match self.plan.verify {
            Some(_) => {
                let token = self.ask("jwt", Map::new(), true, FIRST);
                let (inventory, token) = tokio::join!(self.inventory(), token);
                (inventory?, Some(token?))
            }
            None => (self.inventory().await?, None),
        };
        let mut question = Question {
            identity: (**self.node).to_owned(),
            csr: None,
            ed25519_pubkey: None,
            inventory: serde_json::to_string(&inventory.data).unwrap_or_default(),
            jwt: None,
        };
        let mut ecdh_public = None;
        if let Some(reply) = token {
            question.jwt = Some(self.claims(&text(&reply, "jwt"))?);
            ecdh_public = Some(text(&reply, "ecdh_public")).filter(|key| !key.is_empty());
        }
        Ok((question, ecdh_public))
    }

    /// The first a node is asked: whether it is there, and the machine that has the name.
    pub(super) async fn inventory(&self) -> Result<ReplyBody, Ended> {
        let filter = self.filter();
        let (agent, action, first) = ("rpcutil", "inventory", self.first.clone());
        let inventory = Ask { agent, action, data: Map::new(), shared: true, filter, first };
        let inventory = self.shared.calls.ask(self.node, &inventory, FIRST).await?;
        if let Some(machine) = self.machine {
            machine.check_inventory(&inventory.data).map_err(|reason| Ended::failed("identity", reason))?;
        }
        Ok(inventory)
    }

    /// Everything a helper is told, with the checked request and the key that keys are sent by.
    pub(super) async fn learn(&self) -> Result<(Question, Option<csr::CheckedCsr>, Option<String>), Ended> {
        let (mut question, ecdh_public) =
            self.learn_without_keys().await.map_err(|ended| self.alone(ended))?;
        self.check_leads()?;
        // also where keys are the helper's to make
        if self.plan.denied.is_broker(self.node) {
            return Err(Ended::failed("identity", csr::CsrError::Broker((**self.node).to_owned())));
        }
        let _within = self.shared.counters.stage(Stage::Key).begin();
        let mut request = None;
        if self.plan.tokens.is_some() {
            question.ed25519_pubkey = Some(self.ed25519_key().await?);
        } else if self.plan.settings.wants_pki() {
            let reply =
                self.ask("gencsr", Map::from_iter([("cn".to_owned(), json!(&**self.node))]), false, KEY);
            let reply = reply.await?;
            let csr = CertificateRequest {
                csr: text(&reply, "csr"),
                public_key: text(&reply, "public_key"),
                ssldir: text(&reply, "ssldir"),
            };
            let checked = csr::check(&csr.csr, self.node, &self.plan.denied);
            request = Some(checked.map_err(|error| Ended::failed("csr", error))?);
            question.csr = Some(csr);
        }
        Ok((question, request, ecdh_public))
    }

    /// The claims of a token that is believed, as its maker wrote them.
    fn claims(&self, token: &str) -> Result<Box<RawValue>, Ended> {
        let refused = |reason: &dyn std::fmt::Display| {
            Ended::failed("token", format!("its provisioning token is not believed: {reason}"))
        };
        let Some(key) = &self.plan.verify else { return Err(refused(&"there is no key to verify it with")) };
        let claims: ProvisioningClaims = key.verify(token).map_err(|error| refused(&error))?;
        claims.check(jiff::Timestamp::now().as_second()).map_err(|error| refused(&error))?;
        if let Some(machine) = self.machine {
            machine.check_token(&claims.standard.id).map_err(|reason| Ended::failed("identity", reason))?;
        }
        if self.plan.settings.helper_redact_token {
            let hidden = ProvisioningClaims { token: String::new(), ..claims };
            return serde_json::value::to_raw_value(&hidden).map_err(|error| refused(&error));
        }
        let written = token.trim().split('.').nth(1).unwrap_or_default();
        let written = URL_SAFE_NO_PAD.decode(written).map_err(|error| refused(&error))?;
        let written = String::from_utf8(written).map_err(|error| refused(&error))?;
        RawValue::from_string(written).map_err(|error| refused(&error))
    }

    async fn ed25519_key(&self) -> Result<Ed25519Key, Ended> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let reply =
            self.ask("gen25519", Map::from_iter([("nonce".to_owned(), json!(nonce))]), false, KEY).await?;
        let key = Ed25519Key {
            public_key: text(&reply, "public_key"),
            directory: text(&reply, "directory"),
            signature: text(&reply, "signature"),
        };
        super::server_token::check_proof(&key, &nonce).map_err(|error| Ended::failed("csr", error))?;
        Ok(key)
    }

    /// Silence means something else where only one machine of a name is asked.
    pub(super) fn alone(&self, mut ended: Ended) -> Ended {
        if ended.end == End::Silent && self.machine.is_some_and(Machine::is_told_apart) {
            ended.reason.push_str("; only the machine its row in machines describes is asked");
        }
        ended
    }
}
