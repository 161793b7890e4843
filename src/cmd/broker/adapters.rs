//! Data adapters: what they need of this process.

use std::sync::Arc;

use choria::core::adapters::{AdapterError, Adapters, Connect, Settings, Surroundings};
use choria::core::admission::carrier;
use choria::core::config::{Config, Origin, System};
use choria::core::connection::{Purpose, ServerList, ServerUrl, SessionOptions, parse_hosts};
use choria::core::protocol::subjects;
use choria::core::security::{NameList, Provider, RequestVerifier};
use choria::core::web::listen_addresses;
use rustls::ClientConfig;

/// Where they connect: as configured, else the network broker of this process, where it has one. That is reached
/// where it listens, whatever DNS has for its name, and its certificate names it all the same.
fn servers(config: &Config, provider: &Provider) -> anyhow::Result<(ServerList, Arc<ClientConfig>)> {
    let own =
        config.choria_broker_network && config.origin("plugin.choria.middleware_hosts") == Origin::Default;
    match u16::try_from(config.choria_network_client_port) {
        Ok(port) if own && port > 0 => {
            let listens = listen_addresses(&config.choria_network_listen_address)?;
            let address = match listens.first() {
                Some(address) if !address.is_unspecified() => address.to_string(),
                _ => "127.0.0.1".to_owned(),
            };
            let servers = ServerList::fixed(vec![ServerUrl::nats(&address, port)]);
            Ok((servers, provider.client_tls_of(&config.identity)?))
        }
        _ => Ok((ServerList::from_config(config, Purpose::Fleet, &System)?, provider.client_tls()?)),
    }
}

/// Starts those that are configured; `None` where there are none.
pub(super) fn start(config: &Config, provider: &Arc<Provider>) -> anyhow::Result<Option<Adapters>> {
    let all = Settings::all(config)?;
    if all.is_empty() {
        return Ok(None);
    }
    let inboxes = subjects::caller_inbox_prefix(&config.main_collective, provider.certname());
    let (usual, usual_tls) = servers(config, provider)?;
    let tls = provider.client_tls()?;
    let timeout = config.choria_network_connect_timeout;
    let prefix = inboxes.clone();
    let connection: Connect = Box::new(move |name, servers| {
        let (servers, tls) = match servers {
            [] => (usual.clone(), &usual_tls),
            servers => (ServerList::fixed(parse_hosts(servers)?), &tls),
        };
        let mut options = SessionOptions::new(carrier(name), servers, &prefix);
        options.tls = Some(tls.clone());
        options.connect_timeout = timeout;
        Ok::<_, AdapterError>(options)
    });
    // Whoever has a certificate of the CA: nodes sign what they register.
    let privileged = NameList::new(&config.choria_security_privileged_users);
    let verifier = RequestVerifier::new(provider.trust(), NameList::new(["/./"]), privileged);
    let identity = config.identity.clone();
    let around = Surroundings { identity, inboxes, verifier: Arc::new(verifier), connection };
    Ok(Some(Adapters::start(&all, around)?))
}
