//! `choria provision`: from a bare machine to a managed node, thousands a minute.

mod check;
mod show;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::backplane;
use choria::core::config::{Config, ConfigError, Role, System};
use choria::core::connection::{Purpose, ServerList, Session, SessionOptions};
use choria::core::log::{self, Destination};
use choria::core::protocol::subjects;
use choria::core::provisioner::daemon::Daemon;
use choria::core::provisioner::election::ByBucket;
use choria::core::provisioner::helper::Surroundings;
use choria::core::provisioner::page::{self, Expiry};
use choria::core::provisioner::plan::{Plan, plan_of};
use choria::core::provisioner::population::End;
use choria::core::provisioner::settings::Settings;
use choria::core::provisioner::socket;
use choria::core::provisioner::status::Status;
use choria::core::provisioning::COLLECTIVE;
use choria::core::security::{Provider, follow_trust};
use choria::core::streams::Streams;
use choria::core::web::listen_addresses;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::out::outln;
use super::render::text::{clean, escaped};
use super::signals::{self, Reactions};
use super::{Globals, context};

/// How long commands that are waited for try to reach a broker.
const GIVE_UP: Duration = Duration::from_secs(10);
/// When it is gone after it was told to end: nodes in work have 20 seconds, then a helper
/// may take some.
const ENDS_WITHIN: Duration = Duration::from_secs(35);
/// What stands for a secret.
const HIDDEN: &str = "*****";
/// Where packages put its settings.
const USUAL: &str = "/etc/choria-provisioner/provisioner.yaml";
/// The client configuration beside it.
const USUAL_CLIENT: &str = "/etc/choria-provisioner/client.conf";
/// What streams are called in the account where machines wait.
const STREAMS: &str = "choria.streams";
/// User name the broker knows provisioners by.
const USER: &str = "provisioner";

/// give unconfigured nodes their certificates and configuration
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "provision")]
pub struct Provision {
    #[argh(subcommand)]
    command: ProvisionCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum ProvisionCommand {
    Run(Run),
    Status(ShowStatus),
}

/// watch for unconfigured nodes until stopped; --config names the provisioner's own file
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run")]
struct Run {
    /// client configuration to connect by; default as for other commands, without --config /etc/choria-provisioner/client.conf where that is
    #[argh(option, arg_name = "file")]
    choria_config: Option<PathBuf>,
    /// write the process id to this file
    #[argh(option, arg_name = "file")]
    pid: Option<String>,
    /// check the configuration, the helper's settings and the keys, and end
    #[argh(switch)]
    check_config: bool,
    /// ask this node and the helper what would be done, change nothing, and end
    #[argh(option, arg_name = "node")]
    dry_run: Option<String>,
    /// provision this one node, and end
    #[argh(option, arg_name = "node")]
    once: Option<String>,
}

/// how a running provisioner is doing; --config names its file
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status")]
struct ShowStatus {
    /// print JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

impl Provision {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let file = match &globals.config {
            Some(file) => file.as_path(),
            None if context::not_ours(Path::new(USUAL)) => {
                bail!("{USUAL} is not yours to read: sudo -u choria does, --config FILE names another")
            }
            None if Path::new(USUAL).exists() => Path::new(USUAL),
            None => bail!(
                "configuration file required: there is no {USUAL}; write it, or name another with --config FILE"
            ),
        };
        match self.command {
            ProvisionCommand::Run(mut run) => {
                let usual = Path::new(USUAL_CLIENT);
                if globals.config.is_none() && run.choria_config.is_none() && usual.exists() {
                    run.choria_config = Some(usual.to_owned());
                }
                run.run(globals, file)
            }
            ProvisionCommand::Status(status) => status.run(file),
        }
    }
}

impl Run {
    fn run(self, globals: &Globals, file: &Path) -> anyhow::Result<ExitCode> {
        if [self.check_config, self.dry_run.is_some(), self.once.is_some()].iter().filter(|set| **set).count()
            > 1
        {
            bail!("--check-config, --dry-run and --once exclude each other");
        }
        // helpers are processes and connections: they need the runtime
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let _inside = runtime.enter();
        let (settings, mut told) = Settings::load(file)?;
        let asks = self.dry_run.is_some() || self.once.is_some() || self.check_config;
        let level = match asks {
            _ if globals.debug => "debug",
            // a person wants to hear of what goes wrong and of nothing else
            true => "warn",
            false => &settings.loglevel,
        };
        let destination = match Destination::parse(&settings.logfile) {
            // what a person asked for goes to standard output alone
            Destination::Stdout if asks => Destination::Stderr,
            configured => configured,
        };
        log::init(destination, level)?;
        let config = self.client_config()?;
        told.extend(config.warnings().iter().map(ToString::to_string));
        told.iter().for_each(|text| tracing::warn!("{text}"));
        let outcome = runtime.block_on(self.work(file, settings, config));
        runtime.shutdown_timeout(Duration::from_secs(1));
        outcome
    }

    /// The client configuration, in the waiting room's collective.
    fn client_config(&self) -> anyhow::Result<Config> {
        let config = Config::load(Role::Client, self.choria_config.as_deref(), &System);
        let mut config = config.map_err(|e| match e {
            ConfigError::NotFound(places) => anyhow!(
                "the provisioner connects as a client, and none of {places} exists: --choria-config FILE names its \
                 configuration (--config is the provisioner's own)"
            ),
            e => e.into(),
        })?;
        for key in ["collectives", "main_collective"] {
            config.set(key, COLLECTIVE)?;
        }
        Ok(config)
    }

    async fn work(self, file: &Path, mut settings: Settings, config: Config) -> anyhow::Result<ExitCode> {
        // a rehearsal touches no journal: the real one may be in use, and is nobody's to change
        let stage = self.dry_run.as_ref().map(|_| tempfile::tempdir()).transpose()?;
        if let Some(stage) = &stage {
            settings.ca_dir = settings.ca_dir();
            settings.state_dir = stage.path().to_owned();
        }
        let provider = match settings.choria_insecure {
            true => None,
            false => Some(context::provider(&config, Role::Client)?),
        };
        check::state_dir(&settings.state_dir)?;
        let ca = provider.as_ref().map(|provider| provider.files().ca.clone());
        let mut around = Surroundings::of(&config, &System, ca);
        around.rehearsal = self.check_config || self.dry_run.is_some();
        let plan = Plan::new(settings, &around)?;
        if self.check_config {
            check::ca(&plan.settings, provider.as_deref());
            check::backplane(&plan.settings, provider.as_deref())?;
            ServerList::from_config(&config, Purpose::Fleet, &System)?;
            listen_addresses(&plan.settings.monitor_address).context("monitor_address")?;
            outln!(
                "{} is good: helper {}, certificate requests {}, provisioning tokens {}",
                file.display(),
                format!("{:?}", plan.settings.mode()).to_lowercase(),
                if plan.settings.wants_pki() { "fetched" } else { "not fetched" },
                if plan.settings.wants_jwt() { "verified" } else { "not looked at" }
            );
            return Ok(ExitCode::SUCCESS);
        }
        let asks = self.dry_run.is_some() || self.once.is_some();
        let daemon = connect(plan, &config, provider.clone(), asks).await?;
        if let Some(node) = &self.dry_run {
            return rehearse(&daemon, node).await;
        }
        if let Some(node) = &self.once {
            return once(&daemon, node).await;
        }
        context::raise_open_files(None);
        context::write_pid(self.pid.as_deref())?;
        let served = serve(daemon, file, around, provider).await;
        if let Some(pid) = &self.pid {
            let _ = std::fs::remove_file(pid);
        }
        served
    }
}

async fn connect(
    plan: Plan,
    config: &Config,
    provider: Option<Arc<Provider>>,
    asks: bool,
) -> anyhow::Result<Arc<Daemon>> {
    let caller = match &provider {
        Some(provider) => provider.caller_id().as_str().to_owned(),
        None => format!("choria={}", config.identity),
    };
    let servers = ServerList::from_config(config, Purpose::Fleet, &System)?;
    let inboxes = subjects::caller_inbox_prefix(COLLECTIVE, &caller);
    let mut options = SessionOptions::new(&caller, servers, &inboxes);
    options.connect_timeout = config.choria_network_connect_timeout;
    options.give_up_after = asks.then_some(GIVE_UP);
    options.tls = provider.as_ref().map(|provider| provider.client_tls()).transpose()?;
    let password = plan.settings.broker_provisioning_password.expose().to_owned();
    options.user = (!password.is_empty()).then(|| (USER.to_owned(), password.into()));
    // Somebody waits for an answer; a daemon has a watch to keep, and says how it is.
    let session = match asks {
        true => Session::connect(options).await?,
        false => Session::start(options),
    };
    let signer = provider.as_ref().map(|provider| provider.signer()).transpose()?;
    // who asks about one node, or for one, is a person who has decided
    if asks || !plan.settings.leader_election {
        return Ok(Daemon::new(session, signer, &config.identity, &caller, plan).await?);
    }
    // nothing that waiting machines may publish to, and no reply of theirs
    let inboxes = format!("_INBOX.{}", subjects::caller_hash(&caller));
    let streams = Streams::below(session.clone(), &inboxes, STREAMS);
    let election = Arc::new(ByBucket::new(streams, &config.identity));
    Ok(Daemon::elected(session, signer, &config.identity, &caller, plan, election).await?)
}

async fn rehearse(daemon: &Arc<Daemon>, node: &str) -> anyhow::Result<ExitCode> {
    let (question, answer) =
        daemon.rehearse(node).await.map_err(|ended| anyhow!("{node}: {}", ended.reason))?;
    let mut told = serde_json::to_value(&question)?;
    for secret in ["cht", "chpwd"] {
        told["jwt"].get_mut(secret).into_iter().for_each(|value| *value = HIDDEN.into());
    }
    let told = serde_json::to_string_pretty(&told)?;
    outln!("The helper is told (secrets hidden here):\n{}", escaped(&told));
    if answer.defer || answer.shutdown {
        let word = if answer.defer { "defer" } else { "shutdown" };
        outln!("It says {word}: {}", clean(&answer.msg, false));
        return Ok(ExitCode::SUCCESS);
    }
    outln!("It would configure {node} with:");
    for (key, value) in &answer.configuration {
        let secret = ["password", "token", "secret"].iter().any(|word| key.contains(word));
        outln!("{key} = {}", if secret { HIDDEN } else { value });
    }
    for name in answer.action_policies.keys().chain(answer.opa_policies.keys()) {
        outln!("policy file {name}");
    }
    outln!("Nothing was changed.");
    Ok(ExitCode::SUCCESS)
}

async fn once(daemon: &Arc<Daemon>, node: &str) -> anyhow::Result<ExitCode> {
    let ended = daemon.once(node).await;
    match ended.end {
        End::Provisioned => outln!("{node} is provisioned and restarts"),
        End::Shutdown => outln!("{node} was told to end itself"),
        End::Upgraded => outln!("{node} was told to upgrade itself"),
        _ => bail!("{node} was not provisioned: {}", ended.reason),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    daemon: Arc<Daemon>,
    file: &Path,
    around: Surroundings,
    provider: Option<Arc<Provider>>,
) -> anyhow::Result<ExitCode> {
    let settings = daemon.plan().settings.clone();
    let sockets = tokio::spawn({
        let (daemon, dir) = (daemon.clone(), settings.state_dir.clone());
        async move {
            if let Err(error) = socket::serve(daemon, &dir).await {
                tracing::error!("the status cannot be asked for: {error}");
            }
        }
    });
    let backplane = match &settings.management {
        None => None,
        Some(management) => {
            let own = provider.as_ref().map(|provider| own_keys(provider));
            Some(backplane::start(management, daemon.backplane_service(), own.as_ref(), &System)?)
        }
    };
    let page = match settings.monitor_port {
        0 => None,
        port => {
            let expiry = provider.clone();
            let expiry = expiry.map(|of| -> Expiry { Arc::new(move || of.certificate_expiry()) });
            let start = |address: IpAddr| page::start((address, port).into(), daemon.clone(), expiry.clone());
            let addresses = listen_addresses(&settings.monitor_address).context("monitor_address")?;
            Some(addresses.into_iter().map(start).collect::<Result<Vec<_>, _>>()?)
        }
    };
    let (stop, stopping) = watch::channel(false);
    let keys = [provider.clone(), backplane.as_ref().map(|backplane| backplane.provider().clone())];
    let keys: Vec<Arc<Provider>> = keys.into_iter().flatten().collect();
    signals::listen(stop, reactions(&daemon, file, around, keys))?;
    // what the CA has revoked counts without a signal
    let following = provider.map(|provider| tokio::spawn(follow_trust(provider)));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(helper = ?settings.mode(), interval = settings.interval.as_secs(), "watching for nodes");
    daemon.run(stopping).await;
    sockets.abort();
    following.inspect(|following| following.abort());
    drop(page);
    if let Some(backplane) = backplane {
        backplane.stop().await;
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Keys the backplane has where its settings name none: those we connect with.
fn own_keys(provider: &Provider) -> backplane::Tls {
    let files = provider.files();
    backplane::Tls {
        identity: provider.certname().to_owned(),
        scheme: backplane::Scheme::File,
        ca: files.ca.clone(),
        cert: files.certificate.clone(),
        key: files.key.clone(),
        ..backplane::Tls::default()
    }
}

/// What signals do to it.
fn reactions(daemon: &Arc<Daemon>, file: &Path, around: Surroundings, keys: Vec<Arc<Provider>>) -> Reactions {
    let (asked, file, runtime) = (daemon.clone(), file.to_owned(), Handle::current());
    let daemon = daemon.clone();
    Reactions {
        reread: Box::new(move || {
            // helpers are processes and connections: they need the runtime
            let _inside = runtime.enter();
            reread(&daemon, &file, &around);
            keys.iter().for_each(|provider| provider.reload_and_tell());
        }),
        state: Box::new(move || state(&asked)),
        usr2_ends: false,
        ends_within: Box::new(|| ENDS_WITHIN),
    }
}

/// How a provisioner is, in a line.
fn state(daemon: &Daemon) -> String {
    let Status { identity, nodes, provisioned, .. } = daemon.status();
    format!(
        "{identity} is {}, {provisioned} provisioned, {} waiting, {} in work, {} to be tried again",
        daemon.ready().map_or_else(|reason| reason, |()| "at work".to_owned()),
        nodes.ready,
        nodes.working,
        nodes.later
    )
}

/// Reads the settings again.
fn reread(daemon: &Daemon, file: &Path, around: &Surroundings) {
    let before = daemon.plan().settings.clone();
    match plan_of(file, around) {
        Ok((plan, told)) => {
            told.iter().for_each(|text| tracing::warn!("{text}"));
            for key in plan.settings.waits_for_a_start(&before) {
                tracing::warn!("{key} has changed, which counts from the next start on");
            }
            daemon.reload(plan);
            tracing::info!("read the settings again");
        }
        Err(error) => tracing::error!("keeping the previous settings: {error}"),
    }
}

impl ShowStatus {
    fn run(self, file: &Path) -> anyhow::Result<ExitCode> {
        let (settings, _) = Settings::load(file)?;
        let status = context::block_on(socket::ask(&settings.state_dir))??;
        if self.json {
            outln!("{}", escaped(&serde_json::to_string(&status)?));
            return Ok(ExitCode::SUCCESS);
        }
        show::show(&status);
        Ok(ExitCode::SUCCESS)
    }
}
