//! The federation broker: its two connections.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use choria::core::admission::carrier;
use choria::core::config::{Config, System};
use choria::core::connection::{Purpose, ServerList, SessionOptions};
use choria::core::federation::Options;
use choria::core::protocol::subjects::{self, is_token};
use choria::core::security::Provider;

/// What it is configured to be.
pub(super) fn options(config: &Config, provider: &Arc<Provider>) -> anyhow::Result<Options> {
    let cluster = &config.choria_federation_cluster;
    if !is_token(cluster) {
        bail!(
            "plugin.choria.federation.cluster '{cluster}' is no name: it is one part of a subject, without dots, spaces and wildcards"
        );
    }
    let connection = |purpose, key: &str| -> anyhow::Result<SessionOptions> {
        let servers = ServerList::from_config(config, purpose, &System).with_context(|| key.to_owned())?;
        let inboxes = subjects::inbox_prefix(&config.main_collective);
        let mut options = SessionOptions::new(carrier(&config.identity), servers, inboxes);
        options.tls = Some(provider.client_tls()?);
        options.connect_timeout = config.choria_network_connect_timeout;
        Ok(options)
    };
    let federation = "plugin.choria.federation_middleware_hosts";
    if config.choria_federation_middleware_hosts.is_empty() && !config.choria_use_srv {
        bail!(
            "{federation} names no brokers, and plugin.choria.use_srv = false lets none be found: it is where the operators of the federation connect"
        );
    }
    Ok(Options {
        identity: config.identity.clone(),
        cluster: cluster.clone(),
        collectives: config.collectives.clone(),
        federation: connection(Purpose::Federation, federation)?,
        collective: connection(Purpose::Fleet, "plugin.choria.middleware_hosts")?,
    })
}
