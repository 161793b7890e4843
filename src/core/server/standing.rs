//! Who a node is to its network: a member with a certificate, or one that waits for it.

use std::sync::Arc;

use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::core::provisioning::Setup;
use crate::core::security::waiting::WaitingSecurity;
use crate::core::security::{CallerId, Provider, RequestTrust, SecurityError, Signer};

/// See the module documentation.
pub struct Standing {
    /// Name of its connection: for a waiting node its claim to an identity.
    pub(super) name: String,
    /// Who it is as a caller, for registration data.
    pub(super) caller: Option<CallerId>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) verifier: RequestTrust,
    /// None where there is no key to sign with.
    pub(super) signer: Option<Signer>,
    /// None where there is no certificate.
    pub(super) provider: Option<Arc<Provider>>,
    /// What it shows the broker in place of a certificate.
    pub(super) token: Option<Arc<dyn Fn() -> Zeroizing<String> + Send + Sync>>,
}

impl Standing {
    /// A member of the network.
    ///
    /// # Errors
    /// What the provider lacks.
    pub fn member(provider: Arc<Provider>) -> Result<Standing, SecurityError> {
        Ok(Standing {
            name: provider.certname().to_owned(),
            caller: Some(provider.caller_id().clone()),
            // Follows reloads of the provider by itself.
            tls: provider.client_tls()?,
            verifier: RequestTrust::Verified(provider.verifier()?),
            signer: provider.signer().ok(),
            token: None,
            provider: Some(provider),
        })
    }

    /// A node that waits to be provisioned as `identity`.
    ///
    /// # Errors
    /// A CA or key in the token that cannot be used.
    pub fn waiting(identity: &str, setup: &Arc<Setup>) -> Result<Standing, SecurityError> {
        let WaitingSecurity { tls, verifier, warnings } = WaitingSecurity::new(&setup.trust, setup.secure)?;
        warnings.iter().for_each(|text| tracing::warn!("{text}"));
        if matches!(verifier, RequestTrust::Claimed(_)) {
            tracing::info!(
                "requests are taken at their word until this node has a certificate: the access token counts"
            );
        }
        let jwt = setup.clone();
        let token = Arc::new(move || Zeroizing::new(jwt.current_jwt().expose().to_owned()));
        Ok(Standing {
            name: identity.to_owned(),
            caller: CallerId::of_certname(identity),
            tls,
            verifier,
            signer: None,
            provider: None,
            token: (!setup.jwt.is_empty())
                .then_some(token as Arc<dyn Fn() -> Zeroizing<String> + Send + Sync>),
        })
    }
}
