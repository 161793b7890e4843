//! The node daemon (spec 02): pipeline, registration, lifecycle, status.
//!
//! [`Server::new`] checks all that can be checked without a network,
//! [`Server::run`] brings the node up in the order of spec 02 §1.3 and serves
//! until told to stop. A request is one walk through [`pipeline`]; everything a request may learn of the node is in [`NodeState`].
//!
//! Embedders add agents before the start, deny built-in ones by name, and name
//! the lifecycle component.

mod deferred;
pub mod exposition;
mod hosting;
mod library;
mod lifecycle;
mod listening;
mod machines;
mod misnamed;
mod node;
pub mod pipeline;
mod publisher;
mod registration;
mod remembering;
mod replay;
mod standing;
pub mod status;
mod submission;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

pub use hosting::{Hosted, HostingError};
pub use node::{Counters, NodeState};
pub use replay::{Journal, ReplayGuard};
pub use standing::Standing;

use crate::core::agents::{self, Agent, ChoriaRegistry, Ending, Node as _, Provision, Scout};
use crate::core::audit::{self, AuditLog};
use crate::core::authz::Authorizer;
use crate::core::config::{Config, Role, System};
use crate::core::connection::{ByteBudget, HostError, Purpose, ServerList, Session, SessionOptions};
use crate::core::lifecycle::EventType;
use crate::core::protocol::subjects;
use crate::core::provisioning::{self, Setup, TargetResolver};
use crate::core::security::{CallerId, Provider, SecurityError, Signer};
use listening::Listening;
use machines::Machines;
use misnamed::RefusedName;
use pipeline::{Pipeline, Pool};
use publisher::Publisher;
use remembering::Remembering;

/// Messages between the connection and the pipeline, and their bytes; the pool behind it is the real
/// bound, this only evens out bursts. What comes beyond is dropped and counted.
const INTAKE: usize = 2048;
const INTAKE_BYTES: usize = 8 * 1024 * 1024;

/// A node hears a request now and then, of some kilobytes.
const READ_BUFFER: u16 = 8 * 1024;

/// What an embedder may choose.
pub struct ServerOptions {
    /// Effective configuration, of role server.
    pub config: Config,
    /// Keys and trust.
    pub standing: Standing,
    /// RPC agents; default the built-in ones.
    pub agents: Vec<Arc<dyn Agent>>,
    /// Agents that are not to be hosted, by name.
    pub denied_agents: Vec<String>,
    /// Component of lifecycle events, default `server`.
    pub component: String,
    /// Where the brokers are; default what the configuration says.
    pub servers: Option<ServerList>,
    /// Broker user and password; default what the configuration says.
    pub user: Option<(String, Zeroizing<String>)>,
    /// Address connections start from; default the system's choice.
    pub local_address: Option<IpAddr>,
    /// Tries to connect under way at once, shared by many servers of one process.
    pub turns: Option<Arc<Semaphore>>,
    /// Requests waiting and running at most; default 2,048 and 64 MiB.
    pub pool: Pool,
    /// Whether the provisioner of a waiting node may replace its binary; default no.
    pub upgradable: bool,
}

impl ServerOptions {
    /// The stock daemon of a network's member.
    ///
    /// # Errors
    /// What the provider lacks.
    pub fn new(config: Config, provider: Arc<Provider>) -> Result<ServerOptions, SecurityError> {
        Ok(Self::with(config, Standing::member(provider)?, MEMBER))
    }

    /// A node that waits to be provisioned: `config` is [`Setup::config`].
    ///
    /// # Errors
    /// Brokers that are none, or a CA or key in the token that cannot be used.
    pub fn waiting(
        config: Config,
        setup: &Arc<Setup>,
        targets: &dyn TargetResolver,
    ) -> Result<ServerOptions, ServerError> {
        let standing = Standing::waiting(&config.identity, setup)?;
        let user = (!setup.username.is_empty())
            .then(|| (setup.username.clone(), setup.password.expose().to_owned().into()));
        Ok(ServerOptions {
            upgradable: setup.allow_update,
            servers: Some(targets.targets(setup)?),
            user,
            ..Self::with(config, standing, provisioning::COMPONENT)
        })
    }

    fn with(config: Config, standing: Standing, component: &str) -> ServerOptions {
        let user = (!config.nats_user.is_empty() && !config.nats_pass.is_empty())
            .then(|| (config.nats_user.clone(), config.nats_pass.clone().into()));
        let mut agents = agents::built_in();
        if !config.choria_machine_store.is_empty() && component == MEMBER && !config.scout_agent_disabled {
            agents.push(Arc::new(Scout));
        }
        if !config.choria_services_registry_store.is_empty() {
            agents.push(Arc::new(ChoriaRegistry::new(&config.choria_services_registry_store)));
        }
        ServerOptions {
            config,
            standing,
            user,
            agents,
            denied_agents: vec![],
            component: component.to_owned(),
            servers: None,
            local_address: None,
            turns: None,
            pool: Pool::default(),
            upgradable: false,
        }
    }

    /// With the agents that manage the machine the process runs on; see [`agents::native`].
    pub fn managing(mut self) -> ServerOptions {
        for agent in agents::native(&self.config) {
            self.agents.retain(|known| known.ddl().metadata.name != agent.ddl().metadata.name);
            self.agents.push(agent);
        }
        self
    }

    /// With the agent that provisions: for nodes that wait, and for those that know the
    /// token by which they may be made to wait again.
    pub fn provisioned_by(mut self, agent: Provision) -> ServerOptions {
        self.agents.push(Arc::new(agent));
        self
    }
}

/// A node did not come up.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Broker addresses do not parse.
    #[error(transparent)]
    Hosts(#[from] HostError),
    /// Keys, certificates or trust.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// An agent cannot be hosted.
    #[error(transparent)]
    Hosting(#[from] HostingError),
    /// A registration plugin nobody knows, or one without its file.
    #[error("{0}")]
    Registration(String),
    /// Auditing is mandatory and cannot be.
    #[error("{0}")]
    Audit(String),
    /// What was asked to remember requests over a restart cannot.
    #[error("{0}")]
    Replay(String),
    /// The broker binds nodes to their certificates, and this one's is another's.
    #[error("the broker does not give this node its name: {0}")]
    Misnamed(String),
    /// Told to stop before a broker answered.
    #[error("stopped while waiting for a first connection")]
    Stopped,
}

/// A node that is set up and not yet connected.
pub struct Server {
    node: Arc<NodeState>,
    pipeline: Arc<Pipeline>,
    session: SessionOptions,
    caller: Option<CallerId>,
    signer: Option<Signer>,
    authorizer: Arc<Authorizer>,
    denied: Vec<String>,
}

/// Where the node remembers over a restart what ran: as configured, or else
/// beside its status file, or nowhere.
fn journal(config: &Config) -> Result<Option<Journal>, ServerError> {
    let configured = &config.choria_replay_file;
    let Some(path) = config.beside_status(configured, ".replay") else { return Ok(None) };
    match Journal::open(&path, node::now()) {
        Ok(journal) => Ok(Some(journal)),
        Err(e) if configured.is_empty() => {
            tracing::warn!("requests dated ahead are refused, what ran cannot be kept over a restart: {e}");
            Ok(None)
        }
        Err(e) => Err(ServerError::Replay(format!(
            "plugin.choria.replay_file: {e}; name a file this node can write, or leave the key away"
        ))),
    }
}

/// What members of a network call themselves in events.
const MEMBER: &str = "server";

impl Server {
    /// Checks everything that can be checked without a network: whoever
    /// supervises the process learns of a bad setting at once.
    pub fn new(options: ServerOptions) -> Result<Server, ServerError> {
        let ServerOptions {
            config,
            standing,
            agents,
            denied_agents,
            component,
            servers,
            user,
            local_address,
            turns,
            pool,
            upgradable,
        } = options;
        registration::check(&config).map_err(ServerError::Registration)?;
        audit::check(&config).map_err(ServerError::Audit)?;
        let authorizer = Arc::new(Authorizer::from_config(&config));
        // Who waits, and who is on a backplane, has rules of its own.
        let rules = authorizer.warning().filter(|_| component == MEMBER);
        for warning in rules.into_iter().chain(audit::warning(&config)) {
            tracing::warn!("{warning}");
        }
        let servers = match servers {
            Some(servers) => servers,
            None => ServerList::from_config(&config, Purpose::Fleet, &System)?,
        };
        let Standing { name, caller, tls, verifier, signer, provider, token } = standing;
        let key = || provider.as_ref().map(|provider| Box::new(provider.signing_key()) as audit::chain::Key);
        let audit = AuditLog::from_config(&config).map(|log| log.chained(&config, key()));
        let audit = audit.transpose().map_err(ServerError::Audit)?;
        let mut session = SessionOptions::new(name, servers, subjects::inbox_prefix(&config.main_collective));
        session.ping_interval = Duration::from_secs(120);
        session.read_buffer = READ_BUFFER;
        session.subscription_capacity = INTAKE;
        session.local_address = local_address;
        session.turns = turns;
        session.connect_timeout = config.choria_network_connect_timeout;
        session.user = user;
        session.token = token;
        session.tls = Some(tls);
        let denied = [denied_agents, hosting::switched_off(&config)].concat();
        let hosted = hosting::host(agents, &denied)?;
        let replay = ReplayGuard::new(node::now(), journal(&config)?);
        let remembering = Arc::new(Remembering::of(&config, component == MEMBER));
        let node = Arc::new(NodeState::new(config, provider, hosted, component, upgradable));
        let (node_too, rules) = (node.clone(), authorizer.clone());
        let pipeline = Arc::new(Pipeline::new(node_too, verifier, rules, audit, pool, replay, remembering));
        Ok(Server { node, pipeline, session, caller, signer, authorizer, denied })
    }

    /// Whether a node could serve by this configuration: everything but the network is tried.
    ///
    /// # Errors
    /// What would keep it from its start.
    pub fn rehearse(config: Config) -> Result<(), ServerError> {
        let provider = Arc::new(Provider::new(&config, Role::Server, &System)?);
        if let Some(reason) = provider.misfit(node::now()) {
            return Err(SecurityError::Misfit(reason).into());
        }
        Server::new(ServerOptions::new(config, provider)?).map(|_| ())
    }

    /// What the node is.
    pub fn node(&self) -> &Arc<NodeState> {
        &self.node
    }

    /// Logs what is wrong with the files a node decides by: policies, facts, classes.
    /// What hangs is told, and passed over.
    pub async fn look_over_files(&self) {
        let authorizer = self.authorizer.clone();
        self.node.with_files(move |_| authorizer.look_over()).await;
    }

    /// Connects, subscribes and serves until `stop` is true; then publishes the
    /// shutdown event, answers what is running for up to
    /// `soft_shutdown_timeout` seconds, and closes. A caller may end the node too: what
    /// then becomes of the process is up to whoever called this.
    ///
    /// # Errors
    /// [`ServerError::Stopped`]: there was no connection yet.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<Ending, ServerError> {
        let Server { node, pipeline, session, caller, signer, denied, .. } = self;
        let mut background = JoinSet::new();
        // Before there is a broker, too: whoever watches the node learns that there is none.
        let status = Arc::new(Notify::new());
        background.spawn(status::keep_written(node.clone(), status.clone()));
        background.spawn(exposition::keep_written(node.clone()));
        let session = tokio::select! {
            session = Session::connect(session) => session.map_err(|_| ServerError::Stopped)?,
            _ = stop.wait_for(|stop| *stop) => return Err(ServerError::Stopped),
        };
        node.attach(session.clone());
        status.notify_one();
        let refused_name = RefusedName::listen(&node, &session);

        let (sink, intake) = mpsc::channel(INTAKE);
        let budget = Arc::new(ByteBudget::new(INTAKE_BYTES));
        let listening =
            Arc::new(Listening::new(node.clone(), session.clone(), sink.downgrade(), budget.clone()));
        for agent in node.hosted().metadata() {
            listening.hear(&agent).await;
        }
        for collective in &node.config().collectives {
            let subject = subjects::node(collective, node.identity_text());
            session.subscribe_within(subject, None, sink.clone(), budget.clone()).await;
        }
        drop(sink);

        let publisher = Arc::new(Publisher::new(node.clone(), session.clone(), caller, signer));
        node.event(EventType::Startup, None).await;
        tracing::info!(agents = node.hosted().names().join(","), "answering requests");
        background.spawn(library::keep_hosting(node.clone(), listening, denied));
        background.spawn(pipeline.clone().keep_signing());
        background.spawn(lifecycle::keep_alive(node.clone()));
        let machines = Machines::start(&node, &session, &mut background);
        let hosted = node.hosted();
        for agent in hosted.names().iter().filter_map(|name| hosted.agent(name)) {
            background.spawn(async move { agent.attend().await });
        }
        registration::spawn(&mut background, &node, &publisher);
        submission::spawn(&mut background, &node, &session);
        deferred::spawn(&mut background, &node, &session, &pipeline);

        let control = node.control();
        let ending = tokio::select! {
            () = pipeline.clone().serve(intake, budget) => Ok(Ending::Stopped),
            _ = stop.wait_for(|stop| *stop) => Ok(Ending::Stopped),
            ending = control.ended() => Ok(ending),
            reason = refused_name.reason(&node) => Err(ServerError::Misnamed(reason)),
        };
        // what they run ends with us, however we end
        if let Some(machines) = machines {
            machines.end().await;
        }
        let ending = ending?;

        // whoever waits for work that goes on without us is told so
        control.end(ending);
        background.shutdown().await;
        let grace = u64::try_from(node.config().soft_shutdown_timeout).unwrap_or(2).max(1);
        if !pipeline.drain(Duration::from_secs(grace)).await {
            tracing::warn!("stopping although requests are still running");
        }
        node.event(EventType::Shutdown, None).await;
        // Programs that stay up end with the agents they are.
        node.rehost(|_| Hosted::none());
        session.close().await;
        Ok(ending)
    }
}
