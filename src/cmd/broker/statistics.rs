//! The pages about this process.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use choria::core::broker::Broker as Middleware;
use choria::core::broker::monitoring::{LocalNames, Monitoring, MonitoringOptions, TokenFile};
use choria::core::config::Config;
use choria::core::metrics::Registry;
use choria::core::security::Provider;
use choria::core::web::listen_addresses;

/// Monitoring pages where a port for them is configured; 0 is off.
pub(super) fn start(
    file: &Path,
    config: &Config,
    provider: &Arc<Provider>,
    broker: Option<&Middleware>,
    more: &Arc<Registry>,
) -> anyhow::Result<Vec<Monitoring>> {
    if config.choria_stats_port == 0 {
        return Ok(vec![]);
    }
    let port = u16::try_from(config.choria_stats_port)
        .with_context(|| format!("plugin.choria.stats_port {} is no port", config.choria_stats_port))?;
    let addresses = listen_addresses(&config.choria_stats_address).context("plugin.choria.stats_address")?;
    let provider = provider.clone();
    let about = || -> anyhow::Result<MonitoringOptions> {
        Ok(MonitoringOptions {
            identity: config.identity.clone(),
            config_file: file.display().to_string(),
            certificate_expiry: Some({
                let provider = provider.clone();
                Arc::new(move || provider.certificate_expiry())
            }),
            tokens: Some(&config.choria_stats_token_file)
                .filter(|path| !path.is_empty())
                .map(TokenFile::new)
                .transpose()
                .context("plugin.choria.stats_token_file")?,
            local: LocalNames {
                hosts: config.choria_stats_hosts.clone(),
                only_tokens: config.choria_stats_names == "token",
            },
            more: Some(more.clone()),
        })
    };
    let start = |address: IpAddr| -> anyhow::Result<Monitoring> {
        let address = SocketAddr::new(address, port);
        Ok(match broker {
            Some(broker) => Monitoring::start(address, broker.view(), about()?)?,
            None => Monitoring::of_process(address, about()?)?,
        })
    };
    addresses.into_iter().map(start).collect()
}
