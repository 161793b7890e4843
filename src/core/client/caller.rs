//! One caller, connected.

use std::sync::Arc;
use std::time::Duration;

use super::error::ClientError;
use crate::core::config::{Config, Environment};
use crate::core::connection::{FirstFailure, Purpose, ServerList, Session, SessionOptions};
use crate::core::protocol::subjects;
use crate::core::security::{NameList, Provider, RequestVerifier, Signer};
use crate::core::streams::Streams;

/// Least time a first connection is tried, whatever is configured.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// One caller, connected.
pub struct Client {
    pub(super) session: Session,
    /// Further connections that share the work of taking replies.
    pub(super) receivers: Vec<Session>,
    pub(super) signer: Signer,
    pub(super) config: Arc<Config>,
    pub(super) caller: String,
    /// Of what others signed.
    pub(super) verifier: RequestVerifier,
    tls: Arc<rustls::ClientConfig>,
    name_origin: String,
    doubts: Vec<String>,
}

/// How a client connects.
#[derive(Default)]
pub struct ClientOptions {
    /// Connections that take replies, at least one; one is enough for any fleet
    /// unless TLS is what limits a client.
    pub workers: usize,
    /// Hears why the first try failed, when there will be another.
    pub first_failure: Option<FirstFailure>,
}

impl Client {
    /// Connects; gives up after `plugin.choria.network.connect_limit` with the
    /// reason each broker gave, and at once when all of them refuse this caller.
    ///
    /// # Errors
    /// [`ClientError`]; a certificate that nobody can accept is one before
    /// anything is connected.
    pub async fn connect(
        config: Arc<Config>,
        provider: &Arc<Provider>,
        env: &dyn Environment,
        with: ClientOptions,
    ) -> Result<Client, ClientError> {
        let now = jiff::Timestamp::now().as_second();
        if let Some(reason) = provider.unfit(now) {
            return Err(ClientError::Unfit(reason));
        }
        let federations = &config.choria_federation_collectives;
        if let Some(wrong) = federations.iter().find(|name| !subjects::is_token(name)) {
            return Err(ClientError::Federation(wrong.clone()));
        }
        let purpose = if federations.is_empty() { Purpose::Fleet } else { Purpose::Federation };
        let servers = ServerList::from_config(&config, purpose, env)?;
        let caller = provider.caller_id().as_str().to_owned();
        let name_origin = provider.name_origin().to_owned();
        let tls = provider.client_tls()?;
        let options = || {
            let inboxes = subjects::caller_inbox_prefix(&config.main_collective, &caller);
            let mut options = SessionOptions::new(&caller, servers.clone(), inboxes);
            options.tls = Some(tls.clone());
            options.connect_timeout = config.choria_network_connect_timeout;
            options.give_up_after = Some(config.choria_network_connect_limit.max(LEAST_PATIENCE));
            options.first_failure = with.first_failure.clone();
            options.user = (!config.nats_user.is_empty() && !config.nats_pass.is_empty())
                .then(|| (config.nats_user.clone(), config.nats_pass.clone().into()));
            options
        };
        let doubts = provider.doubts(now);
        let connecting = || async {
            Session::connect(options()).await.map_err(|error| {
                // Who is not even spoken to is not refused for a certificate.
                let doubts = if error.refused { doubts.clone() } else { vec![] };
                ClientError::Connect { error, doubts }
            })
        };
        let session = connecting().await?;
        let mut receivers = vec![];
        for _ in 1..with.workers {
            receivers.push(connecting().await?);
        }
        let signer = provider.signer()?;
        // Whoever has a certificate of the CA, nodes among them.
        let verifier = RequestVerifier::new(provider.trust(), NameList::new(["/./"]), NameList::default());
        Ok(Client { session, receivers, signer, config, caller, verifier, tls, name_origin, doubts })
    }

    /// TLS as this caller, to whoever has a certificate of its CA.
    pub fn tls(&self) -> &Arc<rustls::ClientConfig> {
        &self.tls
    }

    /// Why brokers and nodes might refuse this caller, as far as can be known
    /// here: what to say when nobody answers.
    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }

    /// The configuration the client was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whom requests are from.
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// What signs in his name.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The connection below.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The network's streams, asked in his name.
    pub fn streams(&self) -> Streams {
        let inboxes = subjects::caller_inbox_prefix(&self.config().main_collective, self.caller());
        Streams::new(self.session.clone(), &inboxes)
    }

    /// The collective to use: `wanted`, which has to be a known one, or the
    /// main collective.
    pub fn collective(&self, wanted: Option<&str>) -> Result<String, ClientError> {
        match wanted {
            None => Ok(self.config.main_collective.clone()),
            Some(name) if self.config.collectives.iter().any(|c| c == name) => Ok(name.to_owned()),
            Some(name) => Err(ClientError::Collective(name.to_owned(), self.config.collectives.join(", "))),
        }
    }

    /// The error of a caller that the broker does not let do `what`.
    pub(super) fn denied(&self, what: String) -> ClientError {
        ClientError::Denied { caller: self.caller.clone(), what, origin: self.name_origin.clone() }
    }
}
