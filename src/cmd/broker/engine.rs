//! Brokers that are more than one: the engine behind this one, and the leaves that join it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use choria::core::admission::Account;
use choria::core::broker::{HubAddress, Leaf, LeafProof, Limits, bytes};
use choria::core::config::{Config, System};
use choria::core::connection::{SrvResolver, srv_domain};
use choria::core::engine::supervisor::{GUARD, become_program};
use choria::core::engine::{Cluster, Engine, Options, Peer, PeerTls, Settings, USER, Word, program};
use choria::core::nats::nkey::UserSeed;
use choria::core::security::Provider;
use choria::core::streams::{Kept, Login, SystemStreams};
use choria::core::web::listen_addresses;

use crate::cmd::out::errln;

/// Bytes a stream of events has at least, however small the file system.
const LEAST_OF_EVENTS: u64 = 4 * 1024 * 1024;
/// Port of the engines where none is configured.
const PORT: u16 = 5222;

/// A running engine and what joins it.
pub(super) struct Joined {
    pub(super) engine: Engine,
    pub(super) leaves: Vec<Leaf>,
    /// Where its streams are kept, if it has some.
    pub(super) login: Option<Login>,
    /// Machines that are one broker.
    pub(super) machines: usize,
}

/// What is known of it before it runs.
pub(super) struct Plan {
    options: Options,
    keys: Vec<(Account, Arc<UserSeed>)>,
    word: Option<Word>,
    /// Leafs of one name would be taken for members of one cluster, and hear nothing of each other.
    cluster: String,
}

/// What an engine would be, where one is configured. The program is found, asked for its version, and not started.
pub(super) async fn plan(config: &Config, provider: &Provider) -> anyhow::Result<Option<Plan>> {
    let port = match config.choria_network_peer_port {
        0 => PORT,
        port => u16::try_from(port)
            .with_context(|| format!("plugin.choria.network.peer_port {port} is no port"))?,
    };
    let peers = peers(config, port).await?;
    let names = [vec![config.identity.clone()], provider.names()].concat();
    let is_own = |peer: &Peer| names.iter().any(|name| name.eq_ignore_ascii_case(&peer.host));
    if !peers.is_empty() && !peers.iter().any(is_own) {
        tracing::warn!(
            names = names.join(" "),
            "this broker is not among plugin.choria.network.peers, which is the same list on all of them: the others \
             do not know it"
        );
    }
    let store =
        Some(PathBuf::from(&config.choria_network_stream_store)).filter(|dir| !dir.as_os_str().is_empty());
    if peers.is_empty() && store.is_none() {
        return Ok(None);
    }
    if !config.choria_broker_network {
        bail!(
            "plugin.choria.network.peers and plugin.choria.network.stream.store are about the network broker, and \
             plugin.choria.broker_network is not true"
        );
    }
    if !config.choria_network_leafnode_remotes.is_empty() {
        bail!(
            "plugin.choria.network.leafnode_remotes is set, and so is plugin.choria.network.peers or \
             plugin.choria.network.stream.store: a broker that is one of several, or has streams, is a leaf of no \
             other network; have a broker of its own join the other one"
        );
    }
    if !peers.is_empty() && !config.choria_network_peer_tls {
        tracing::warn!(
            port,
            "plugin.choria.network.peer_tls is false: the brokers of this cluster speak clear text to each other, as \
             the original's do, and whoever reaches the port is one of them; let nobody else reach it"
        );
    }
    let address = listen_addresses(&config.choria_network_listen_address)
        .context("plugin.choria.network.listen_address")?;
    let address = address.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let files = provider.files();
    let mut keys = Vec::new();
    let waiting = !config.choria_network_provisioning_client_password.is_empty();
    let watched = !config.choria_network_system_password.is_empty();
    let accounts = [
        Some(Account::Choria),
        waiting.then_some(Account::Provisioning),
        // so that whoever looks at the servers of the network sees this one
        watched.then_some(Account::System),
    ];
    for account in accounts.into_iter().flatten() {
        keys.push((account, Arc::new(UserSeed::generate()?)));
    }
    let word = store.as_ref().map(|_| Word::generate()).transpose()?;
    let settings = Settings {
        server_name: config.identity.clone(),
        accounts: keys.iter().map(|(account, seed)| (account.name(), seed.public())).collect(),
        max_payload: Limits::default().max_payload,
        cluster: (!peers.is_empty()).then(|| Cluster {
            name: config.choria_network_gateway_name.clone(),
            listen: SocketAddr::new(with_ipv6(address), port),
            own: Cluster::find_own(&peers, &names, port),
            peers,
            tls: config.choria_network_peer_tls.then(|| PeerTls {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
                ca: files.ca.clone(),
            }),
        }),
        max_consumers: match config.choria_network_stream_max_consumers {
            most @ 1.. => most,
            most => bail!("plugin.choria.network.stream.max_consumers {most} is no number above 0"),
        },
        keeper: word.as_ref().map(|word| word.hash.clone()),
        store,
    };
    if let Some(store) = &settings.store {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(store);
        made.map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => anyhow!(
                "plugin.choria.network.stream.store: {0} cannot be made by this user: sudo install -d -o choria -m 0700 {0}",
                store.display()
            ),
            _ => anyhow!("plugin.choria.network.stream.store: making {}: {e}", store.display()),
        })?;
    }
    let program = program::find(&config.choria_network_nats_server, std::env::var_os("PATH").as_deref())?;
    let version = program::check(&program).await?;
    tracing::debug!(program = %program.display(), version, "nats-server is found");
    let options = Options { program, guard: std::env::current_exe().ok(), directory: directory(), settings };
    let cluster = format!("{}-{}", config.choria_network_gateway_name, config.identity);
    Ok(Some(Plan { options, keys, word, cluster }))
}

impl Plan {
    /// Names of the machines of the cluster.
    pub(super) fn peers(&self) -> Vec<String> {
        let cluster = self.options.settings.cluster.iter();
        cluster.flat_map(|cluster| &cluster.peers).map(|peer| peer.host.clone()).collect()
    }

    /// Starts it. Returns when it serves.
    pub(super) fn start(self) -> anyhow::Result<Joined> {
        let cluster = &self.options.settings.cluster;
        let peers = cluster.iter().flat_map(|cluster| &cluster.peers).map(ToString::to_string);
        let (program, peers) =
            (self.options.program.display().to_string(), peers.collect::<Vec<_>>().join(", "));
        let machines = cluster.as_ref().map_or(1, |cluster| cluster.peers.len());
        let store = self.options.settings.store.as_ref().map(|store| store.display().to_string());
        let (engine, cluster) = (Engine::start(self.options)?, self.cluster);
        tracing::info!(program, peers, store, "nats-server runs behind this broker");
        let login = store.zip(self.word).map(|(_, word)| Login {
            address: Arc::new(engine.clients()),
            user: USER,
            password: word.secret,
        });
        let leaf = |(account, seed): (Account, Arc<UserSeed>)| {
            let find = engine.whereabouts();
            let whereabouts = move || {
                let found = find();
                found
                    .map(|at| HubAddress { host: at.ip().to_string(), port: at.port() })
                    .into_iter()
                    .collect()
            };
            Leaf {
                name: format!("engine-{account}"),
                addresses: Vec::new(),
                account,
                // on this machine, and by a key that nobody else has
                tls: None,
                proof: Some(LeafProof::Key(seed)),
                whereabouts: Some(Arc::new(whereabouts)),
                cluster: Some(cluster.clone()),
            }
        };
        let leaves = self.keys.into_iter().map(leaf).collect();
        Ok(Joined { engine, leaves, login, machines })
    }
}

/// The streams a network with a store has, unless nobody is to look after them.
pub(super) fn system_streams(config: &Config, machines: usize) -> anyhow::Result<Option<SystemStreams>> {
    let payload = bytes(&config.choria_network_stream_event_payload)
        .context("plugin.choria.network.stream.event_payload")?;
    let size =
        bytes(&config.choria_network_stream_event_size).context("plugin.choria.network.stream.event_size")?;
    // of all of it, which does not change as it is used up
    let all = rustix::fs::statvfs(config.choria_network_stream_store.as_str());
    let share = all.map_or(u64::MAX, |all| all.f_blocks.saturating_mul(all.f_frsize) / 32);
    let size = u64::try_from(size).unwrap_or(u64::MAX).min(share).max(LEAST_OF_EVENTS);
    let kept = |age, replicas| Kept { age, replicas };
    let streams = SystemStreams {
        events: kept(
            config.choria_network_stream_event_retention,
            config.choria_network_stream_event_replicas,
        ),
        machine: kept(
            config.choria_network_stream_machine_retention,
            config.choria_network_stream_machine_replicas,
        ),
        advisories: kept(
            config.choria_network_stream_advisory_retention,
            config.choria_network_stream_advisory_replicas,
        ),
        executor: kept(
            config.choria_network_stream_executor_retention,
            config.choria_network_stream_executor_replicas,
        ),
        elections: kept(
            config.choria_network_stream_leader_election_ttl,
            config.choria_network_stream_leader_election_replicas,
        ),
        requests: config.choria_network_stream_requests.then(|| {
            kept(
                config.choria_network_stream_request_retention,
                config.choria_network_stream_request_replicas,
            )
        }),
        machines,
        event_payload: i64::try_from(payload).unwrap_or(i64::MAX),
        event_size: i64::try_from(size).unwrap_or(i64::MAX),
    };
    Ok(config.choria_network_stream_manage_streams.then_some(streams))
}

/// The machines of the cluster: as configured; else, where a port for them is, what DNS says.
async fn peers(config: &Config, port: u16) -> anyhow::Result<Vec<Peer>> {
    let configured = &config.choria_network_peers;
    if !configured.is_empty() {
        let read = |text: &String| Peer::parse(text, port).context("plugin.choria.network.peers");
        return configured.iter().map(read).collect();
    }
    if config.choria_network_peer_port == 0 || !config.choria_use_srv {
        return Ok(Vec::new());
    }
    let Some(domain) = srv_domain(config, &System) else { return Ok(Vec::new()) };
    let name = format!("_mcollective-broker._tcp.{domain}");
    let found = SrvResolver::system()?.first(std::slice::from_ref(&name)).await;
    let found = found.context("peers of this broker (plugin.choria.network.peers names them without DNS)")?;
    if found.is_empty() {
        tracing::warn!(
            "plugin.choria.network.peer_port is set and plugin.choria.network.peers is not, and DNS has no {name}: this broker is alone"
        );
    }
    let read = |server: choria::core::connection::ServerUrl| {
        Peer::parse(&format!("{}:{}", server.host().trim_end_matches('.'), server.port()), port)
            .context(name.clone())
    };
    found.into_iter().map(read).collect()
}

/// Where the file with its configuration lies while it runs.
fn directory() -> PathBuf {
    // systemd names one that is this service's alone; several are separated by colons
    let runtime = std::env::var_os("RUNTIME_DIRECTORY").and_then(|dirs| std::env::split_paths(&dirs).next());
    runtime.filter(|dir| dir.is_dir()).unwrap_or_else(std::env::temp_dir)
}

/// All addresses of a machine, also where it has no IPv6.
fn with_ipv6(address: IpAddr) -> IpAddr {
    let all = address.is_ipv6() && address.is_unspecified();
    match all && UdpSocket::bind((address, 0)).is_err() {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => address,
    }
}

/// Whether this process was started to become nats-server, and what became of it.
pub fn guard() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    if words.next()? != GUARD {
        return None;
    }
    let parent = words.next().and_then(|word| word.to_str()?.parse().ok());
    let (Some(parent), Some(program)) = (parent, words.next()) else { return None };
    let error = become_program(parent, program.as_ref(), &words.collect::<Vec<OsString>>());
    errln!("nats-server: starting {}: {error}", program.to_string_lossy());
    Some(ExitCode::FAILURE)
}
