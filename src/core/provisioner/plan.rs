//! What the settings come to: everything that can be found wrong with them is found here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use regex::Regex;
use tokio::sync::Semaphore;

use super::csr::Denied;
use super::helper::{self, Helper, HelperError, Surroundings};
use super::journal::JournalError;
use super::machines::{Machine, machines};
use super::server_token::{ServerTokenError, ServerTokens};
use super::settings::{Settings, patterns};
use crate::core::security::tokens::{KeyError, VerifyKey};

/// The provisioner did not come up.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionerError {
    /// Journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Helper.
    #[error(transparent)]
    Helper(#[from] HelperError),
    /// Key of provisioning tokens.
    #[error("jwt_verify_cert: {0}")]
    Verify(#[from] KeyError),
    /// Key or issuer of server tokens.
    #[error(transparent)]
    Tokens(#[from] ServerTokenError),
    /// A name list.
    #[error("a list of names {0}")]
    Patterns(String),
    /// Which machine has a name.
    #[error("machines {0}")]
    Machines(String),
}

/// What all walks share until the settings change.
pub struct Plan {
    /// The file.
    pub settings: Settings,
    /// Who says what nodes become.
    pub helper: Arc<dyn Helper>,
    /// Nodes the helper is asked about at once.
    pub slots: Semaphore,
    /// Key of provisioning tokens; none where they are not fetched.
    pub verify: Option<VerifyKey>,
    /// Issues server tokens; none where they are not.
    pub tokens: Option<ServerTokens>,
    /// Names that no certificate is asked for.
    pub denied: Denied,
    /// `identity_allow`.
    pub allowed: Vec<Regex>,
    /// `machines`, by name.
    pub machines: HashMap<String, Machine>,
}

impl Plan {
    /// What the settings come to.
    ///
    /// # Errors
    /// [`ProvisionerError`]: everything that can be found wrong is found here.
    pub fn new(settings: Settings, around: &Surroundings) -> Result<Plan, ProvisionerError> {
        let verify =
            settings.wants_jwt().then(|| VerifyKey::from_setting(&settings.jwt_verify_cert)).transpose()?;
        let tokens = settings.features.ed25519.then(|| ServerTokens::new(&settings)).transpose()?;
        let denied = Denied::of(&settings, &around.brokers).map_err(ProvisionerError::Patterns)?;
        for pattern in around.callers.iter().filter(|pattern| !settings.cert_deny_list.contains(pattern)) {
            tracing::warn!(
                pattern,
                "nodes believe certificates of these names to be callers' (plugin.choria.security.certname_whitelist), \
                 and a waiting machine may be given one: add it to cert_deny_list"
            );
        }
        let allowed = patterns(&settings.identity_allow).map_err(ProvisionerError::Patterns)?;
        let machines =
            machines(&settings.machines, settings.wants_jwt()).map_err(ProvisionerError::Machines)?;
        let helper = helper::of_settings(&settings, around)?;
        let slots = Semaphore::new(helper.at_once().clamp(1, Semaphore::MAX_PERMITS));
        Ok(Plan { settings, helper, slots, verify, tokens, denied, allowed, machines })
    }
}

/// Reads the settings of a file and what they come to, for the start and for reloads.
///
/// # Errors
/// What is wrong, in one sentence.
pub fn plan_of(
    file: &Path,
    around: &Surroundings,
) -> Result<(Plan, Vec<String>), Box<dyn std::error::Error + Send + Sync>> {
    let (settings, told) = Settings::load(file)?;
    Ok((Plan::new(settings, around)?, told))
}
