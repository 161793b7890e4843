//! The network broker: where it listens, whom it lets in and what they may hold.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use choria::core::adapters;
use choria::core::admission::permissions::federation_broker;
use choria::core::admission::{
    Authenticator, ByName, CurrentCertificates, HostList, NameTest, PeerKind, Service, SystemUser,
    WaitingNodes, X509Authenticator, X509Mode, X509Options,
};
use choria::core::broker::{Broker as Middleware, BrokerError, Leaf, Limits, Listener, Options, bytes};
use choria::core::build;
use choria::core::config::Config;
use choria::core::files::raise_open_limit;
use choria::core::nats::subject::valid_pattern;
use choria::core::security::tokens::VerifyKey;
use choria::core::security::{NameList, Provider};
use choria::core::streams::governor;
use choria::core::text::Secret;
use choria::core::web::listen_addresses;

use super::leaves::leaves;

/// `joined` are the leaves that join an engine, beside those that are configured; `peers` the names of
/// the brokers it is one with.
pub(super) fn start(
    config: &Config,
    provider: &Arc<Provider>,
    plaintext: Option<u16>,
    joined: Vec<Leaf>,
    peers: &[String],
) -> anyhow::Result<Middleware> {
    let addresses = listen_addresses(&config.choria_network_listen_address)
        .context("plugin.choria.network.listen_address")?;
    let port = u16::try_from(config.choria_network_client_port).with_context(|| {
        format!("plugin.choria.network.client_port {} is no port", config.choria_network_client_port)
    })?;
    let options = |addresses: &[IpAddr]| -> anyhow::Result<Options> {
        let tls = |address: &IpAddr| Listener::tls(SocketAddr::new(*address, port));
        let mut listeners: Vec<Listener> = addresses.iter().map(tls).collect();
        listeners.extend(plaintext.map(|port| Listener::plaintext((Ipv4Addr::LOCALHOST, port).into())));
        Ok(Options {
            listeners,
            tls: Some(provider.server_tls()?),
            authenticator: authenticator(config, provider, plaintext.is_some(), peers)?,
            limits: limits(config)?,
            leaves: leaves(config, provider)?.into_iter().chain(joined.iter().cloned()).collect(),
            server_name: config.identity.clone(),
            cluster_name: config.choria_network_gateway_name.clone(),
            version: build::NATS_VERSION.to_owned(),
            advertise: Some(config.choria_network_public_url.clone()).filter(|url| !url.is_empty()),
            ..Options::default()
        })
    };
    let started = match Middleware::start(options(&addresses)?) {
        // Machines without IPv6 cannot listen on the default address, `::`.
        Err(BrokerError::Bind { source, .. })
            if addresses.iter().all(|address| address.is_ipv6() && address.is_unspecified())
                && source.kind() != std::io::ErrorKind::AddrInUse =>
        {
            Middleware::start(options(&[Ipv4Addr::UNSPECIFIED.into()])?)
        }
        started => started,
    };
    Ok(started?)
}

/// Connections it is to have at most.
pub(super) fn connections(config: &Config) -> anyhow::Result<usize> {
    match config.choria_network_connections {
        0 => Ok(build::MAX_BROKER_CLIENTS),
        connections => usize::try_from(connections)
            .context("plugin.choria.network.connections is below 0; it is a number of connections"),
    }
}

pub(super) fn limits(config: &Config) -> anyhow::Result<Limits> {
    let wanted = connections(config)?;
    // what each may have is a part of what there is
    let allowed = raise_open_limit().and_then(|allowed| usize::try_from(allowed).ok());
    let mut limits = Limits {
        max_connections: allowed.map_or(wanted, |allowed| wanted.min(allowed)),
        tls_timeout: config.choria_network_tls_timeout,
        auth_timeout: config.choria_network_auth_timeout,
        write_deadline: config.choria_network_write_deadline,
        // nobody at all could log in with none
        max_handshakes_per_address: usize::try_from(config.choria_network_handshakes_per_address)
            .unwrap_or(0)
            .max(1),
        max_pending_total: bytes(&config.choria_network_memory).context("plugin.choria.network.memory")?,
        max_event: bytes(&config.choria_network_stream_event_payload)
            .context("plugin.choria.network.stream.event_payload")?,
        ..Limits::default()
    };
    for (kind, text) in [
        (PeerKind::Node, &config.choria_network_limits_node),
        (PeerKind::WaitingNode, &config.choria_network_limits_waiting),
        (PeerKind::Client, &config.choria_network_limits_client),
        (PeerKind::Service, &config.choria_network_limits_service),
        (PeerKind::Hub, &config.choria_network_limits_hub),
    ] {
        let read = limits.of(kind).read(text);
        *limits.of_mut(kind) =
            read.with_context(|| format!("plugin.choria.network.limits.{}", kind.name()))?;
    }
    Ok(limits)
}

/// Who may connect and what it may say, as configured (design decision 14).
pub(super) fn authenticator(
    config: &Config,
    provider: &Arc<Provider>,
    allow_plaintext: bool,
    peers: &[String],
) -> anyhow::Result<Arc<dyn Authenticator>> {
    let names = |entries: &[String]| {
        // The configuration has none that cannot be used.
        let list = NameList::new(entries);
        NameTest::new(move |name| list.matches(name))
    };
    let mode = if config.choria_network_x509_permissions == "by-name" {
        let clients = match config.choria_network_client_certnames.as_slice() {
            [] => &config.choria_security_certname_whitelist,
            named => named,
        };
        let targets = [
            &config.choria_registration_file_content_target,
            &config.choria_registration_inventory_content_target,
        ];
        X509Mode::ByName(ByName {
            clients: names(clients),
            privileged: names(&config.choria_security_privileged_users),
            service_hosts: names(&config.choria_network_service_certnames),
            services: services(config, provider)?,
            collectives: config.collectives.clone(),
            streams: !config.choria_network_stream_store.is_empty(),
            node_buckets: tokens(config, |c| &c.choria_network_stream_node_buckets, "node_buckets")?,
            node_governors: tokens(config, |c| &c.choria_network_stream_node_governors, "node_governors")?,
            deferred: config.choria_network_stream_requests,
            registration_targets: targets.into_iter().filter(|t| !t.is_empty()).cloned().collect(),
        })
    } else {
        if config.choria_network_stream_requests {
            bail!(
                "plugin.choria.network.stream.requests needs plugin.choria.network.x509_permissions = by-name: where \
                 it is open every node could read and end requests for others"
            );
        }
        tracing::warn!(
            "plugin.choria.network.x509_permissions is open: every certificate of the CA may read every reply and \
             publish requests; set it to by-name to bind nodes to their own name"
        );
        X509Mode::Open { client_hosts: HostList::new(&config.choria_network_client_hosts) }
    };
    let secret = |text: &str| Some(Secret::new(text)).filter(|s| !s.is_empty());
    let (user, password) = (&config.choria_network_system_user, &config.choria_network_system_password);
    let system = secret(password).filter(|_| !user.is_empty());
    let rules = X509Authenticator::new(X509Options {
        mode,
        deny_servers: config.choria_network_deny_server_connections,
        provisioning_password: secret(&config.choria_network_provisioning_client_password),
        waiting: waiting_nodes(config)?,
        brokers: [provider.names().as_slice(), std::slice::from_ref(&config.identity), peers].concat(),
        system: system.map(|password| SystemUser { user: user.clone(), password }),
        allow_plaintext,
    });
    Ok(Arc::new(CurrentCertificates::of_trust(rules, provider.trust())))
}

/// Names of buckets or governors, which become words of subjects.
fn tokens(config: &Config, list: impl Fn(&Config) -> &Vec<String>, key: &str) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = list(config).iter().filter(|name| !name.is_empty()).cloned().collect();
    match names.iter().find(|name| governor::check_name(name).is_err()) {
        Some(wrong) => bail!(
            "plugin.choria.network.stream.{key} has '{wrong}', which is no name: letters, digits, _ and - make one"
        ),
        None => Ok(names),
    }
}

/// Who carries messages out of this network or into it: this very process, where it does, and
/// others by their names.
fn services(config: &Config, provider: &Arc<Provider>) -> anyhow::Result<Vec<Service>> {
    let named = |entries: &[String]| {
        let list = NameList::new(entries);
        NameTest::new(move |name| list.matches(name))
    };
    let [mut publish, mut hear] = match config.choria_broker_federation {
        true => federation_broker(&config.collectives),
        false => Default::default(),
    };
    for adapter in adapters::Settings::all(config)? {
        publish.extend(adapter.publishes());
        hear.push(adapter.topic);
    }
    let own = provider.certname().to_owned();
    let own = Service { names: NameTest::new(move |name| name == own), by_carrier: true, publish, hear };
    let [publish, hear] = federation_broker(&config.collectives);
    let federation = named(&config.choria_network_federation_certnames);
    let federation = Service { names: federation, by_carrier: false, publish, hear };
    let subjects = &config.choria_network_adapter_subjects;
    if let Some(wrong) = subjects.iter().find(|subject| !valid_pattern(subject)) {
        bail!("plugin.choria.network.adapter_subjects: '{wrong}' is no subject");
    }
    let targets = [
        &config.choria_registration_file_content_target,
        &config.choria_registration_inventory_content_target,
    ];
    let mut hear: Vec<String> = targets.into_iter().filter(|target| !target.is_empty()).cloned().collect();
    hear.push("*.broadcast.agent.registration".to_owned());
    hear.extend(subjects.iter().cloned());
    let adapters = named(&config.choria_network_adapter_certnames);
    let adapters = Service { names: adapters, by_carrier: false, publish: subjects.clone(), hear };
    let carries = config.choria_broker_federation || !config.choria_adapters.is_empty();
    Ok(carries.then_some(own).into_iter().chain([federation, adapters]).collect())
}

/// Nodes with provisioning tokens wait in an account of their own, where a
/// signer of such tokens is configured.
fn waiting_nodes(config: &Config) -> anyhow::Result<Option<WaitingNodes>> {
    const KEY: &str = "plugin.choria.network.provisioning.signer_cert";
    let signer = &config.choria_network_provisioning_signer_cert;
    if signer.is_empty() {
        return Ok(None);
    }
    if config.choria_network_provisioning_client_password.is_empty() {
        bail!(
            "{KEY} is set and plugin.choria.network.provisioning.client_password is not, without which no provisioner could connect"
        );
    }
    let signer = VerifyKey::from_setting(signer).with_context(|| format!("{KEY} cannot be used"))?;
    Ok(Some(WaitingNodes::new(signer, || jiff::Timestamp::now().as_second())))
}

#[cfg(test)]
mod tests {
    use choria::core::config::Role;

    use super::*;

    #[test]
    fn the_defaults_of_the_settings_are_those_of_the_broker() {
        let config = Config::from_text(Role::Broker, "identity = b.example.net\n").unwrap();
        let (configured, defaults) = (limits(&config).unwrap(), Limits::default());
        assert_eq!(configured.kinds, defaults.kinds);
        assert_eq!(configured.max_pending_total, defaults.max_pending_total);
        let wrong = "identity = b.example.net\nplugin.choria.network.limits.node = connections=none\n";
        let error = limits(&Config::from_text(Role::Broker, wrong).unwrap()).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "plugin.choria.network.limits.node: 'none' is no number above 0; memory takes K, M and G behind it"
        );
    }
}
