//! Which brokers a waiting node goes to.

use super::Setup;
use crate::core::connection::{HostError, ServerList, SrvResolver, parse_hosts};

/// SRV records of the brokers that waiting nodes go to.
const SRV: &str = "_choria-provisioner._tcp";

/// Finds the brokers; embedders bring their own.
pub trait TargetResolver: Send + Sync {
    /// What `choria buildinfo` calls it.
    fn name(&self) -> &str;

    /// Completes what the binary was built with, before it is decided whether
    /// the node waits. Returns what an administrator should know.
    fn configure(&self, setup: &mut Setup) -> Vec<String>;

    /// The brokers, asked for anew before every try.
    ///
    /// # Errors
    /// Addresses that are none.
    fn targets(&self, setup: &Setup) -> Result<ServerList, HostError>;
}

/// The stock one: the token file, then build settings; SRV records where a domain is given.
#[derive(Debug, Clone, Copy, Default)]
pub struct JwtResolver;

impl TargetResolver for JwtResolver {
    fn name(&self) -> &str {
        "Choria JWT Resolver"
    }

    fn configure(&self, setup: &mut Setup) -> Vec<String> {
        setup.read_token()
    }

    fn targets(&self, setup: &Setup) -> Result<ServerList, HostError> {
        let brokers = parse_hosts(&setup.brokers)?;
        if !brokers.is_empty() {
            return Ok(ServerList::fixed(brokers));
        }
        match SrvResolver::system() {
            Ok(resolver) => Ok(ServerList::srv(resolver, vec![format!("{SRV}.{}", setup.srv_domain)])),
            Err(e) => {
                tracing::error!("brokers cannot be found by SRV records: {e}");
                Ok(ServerList::fixed(vec![]))
            }
        }
    }
}
