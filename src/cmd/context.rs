//! What a command starts from: its configuration, its log, its keys.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use choria::core::client::{Client, ClientError, ClientOptions};
use choria::core::config::{Config, Origin, Role, System};
use choria::core::files::raise_open_limit;
use choria::core::log::{self, Destination};
use choria::core::security::Provider;
use tokio::runtime::Runtime;

use super::Globals;
use super::lacking;
use super::out::{errln, outln};
use super::pace::Pace;
use super::render::text::clean;

/// Loads the configuration of a command people type. Complaints about keys go
/// to the log, a broken file is an error.
pub fn client_config(globals: &Globals) -> anyhow::Result<Config> {
    client_config_logging(globals, true)
}

/// [`client_config`] for programs that want no log lines at all.
pub fn silent_client_config(globals: &Globals) -> anyhow::Result<Config> {
    client_config_logging(globals, false)
}

fn client_config_logging(globals: &Globals, logs: bool) -> anyhow::Result<Config> {
    let mut config = Config::load(Role::Client, globals.config.as_deref(), &System)?;
    for (key, value) in &globals.settings {
        config.set(key, value).with_context(|| format!("cannot set {key}"))?;
    }
    let level = if globals.debug {
        "debug"
    } else if config.origin("loglevel") == Origin::Default {
        // A person wants to hear of what goes wrong and of nothing else.
        "warn"
    } else {
        &config.loglevel
    };
    // The original logs into its own output by default; ours stays clean.
    let destination = match Destination::parse(&config.logfile) {
        _ if !logs => Destination::Discard,
        Destination::Stdout => Destination::Stderr,
        configured => configured,
    };
    log::init(destination, level)?;
    report(&config);
    Ok(config)
}

/// Loads the configuration of a daemon, and starts its log.
pub fn loaded(globals: &Globals, role: Role, file: &Path) -> anyhow::Result<Config> {
    let config = Config::load(role, Some(file), &System).map_err(|e| lacking::rights(e, role))?;
    init_log(globals, &config)?;
    Ok(config)
}

/// The configuration of a daemon: the file that was named, or else the one where packages put it.
pub fn daemon_file(globals: &Globals, role: Role) -> anyhow::Result<PathBuf> {
    if let Some(file) = &globals.config {
        return Ok(file.clone());
    }
    let usual = usual_file(role);
    if not_ours(&usual) {
        bail!("{} is not yours to read: sudo does, --config FILE names another", usual.display());
    }
    match usual.exists() {
        true => Ok(usual),
        false => bail!(
            "configuration file required: there is no {}; {} makes it, --config FILE names another",
            usual.display(),
            lacking::maker(role)
        ),
    }
}

/// Whether a file may be there, and this user may not read it.
pub fn not_ours(file: &Path) -> bool {
    matches!(rustix::fs::access(file, rustix::fs::Access::READ_OK), Err(rustix::io::Errno::ACCESS))
}

/// Where packages put the configuration of a daemon.
pub fn usual_file(role: Role) -> PathBuf {
    PathBuf::from(format!("/etc/choria/{}.conf", role.as_str()))
}

/// Starts the log of a daemon, with what is wrong with its configuration.
pub fn init_log(globals: &Globals, config: &Config) -> anyhow::Result<()> {
    let level = if globals.debug { "debug" } else { &config.loglevel };
    log::init(Destination::parse(&config.logfile), level)?;
    report(config);
    Ok(())
}

/// Loads the configuration of a running daemon again; its log stays as it is.
pub fn reload_config(file: &Path, role: Role) -> anyhow::Result<Config> {
    let config = Config::load(role, Some(file), &System)?;
    report(&config);
    Ok(config)
}

/// Says what is wrong with a configuration that works all the same.
fn report(config: &Config) {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
}

/// Keys and trust of this daemon, which fit what it is.
pub fn provider(config: &Config, role: Role) -> anyhow::Result<Arc<Provider>> {
    let provider = Provider::new(config, role, &System).map_err(|e| lacking::keys(e, config, role))?;
    if let Some(reason) = provider.misfit(jiff::Timestamp::now().as_second()) {
        bail!("{reason}");
    }
    for warning in provider.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Arc::new(provider))
}

/// A connected client.
pub async fn connect(config: Config) -> anyhow::Result<Client> {
    connect_workers(config, None).await
}

/// The same for what a command can do without: it has this long, and nobody is told of a
/// failed try.
pub async fn connect_within(mut config: Config, limit: Duration) -> anyhow::Result<Client> {
    if config.choria_network_connect_limit > limit {
        config.set("plugin.choria.network.connect_limit", &format!("{}ms", limit.as_millis()))?;
    }
    connect_by(config, ClientOptions { workers: 1, first_failure: Some(Arc::new(|_| ())) }).await
}

/// A connected client that takes replies on `workers` connections.
pub async fn connect_workers(config: Config, workers: Option<usize>) -> anyhow::Result<Client> {
    let limit = config.choria_network_connect_limit;
    let first_failure = move |reasons: &[String]| {
        errln!("choria: cannot connect yet, trying for {limit:?}: {}", clean(&reasons.join("; "), false));
    };
    let options =
        ClientOptions { workers: workers.unwrap_or(1), first_failure: Some(Arc::new(first_failure)) };
    connect_by(config, options).await
}

async fn connect_by(config: Config, options: ClientOptions) -> anyhow::Result<Client> {
    let role = Role::Client;
    let provider = Provider::new(&config, role, &System).map_err(|e| lacking::keys(e, &config, role))?;
    if let Some(reason) = provider.unfit(jiff::Timestamp::now().as_second()) {
        bail!("{reason}");
    }
    for warning in provider.warnings() {
        tracing::warn!("{warning}");
    }
    let setting = match config.choria_federation_collectives.is_empty() {
        true => "plugin.choria.middleware_hosts",
        false => "plugin.choria.federation_middleware_hosts",
    };
    match Client::connect(Arc::new(config), &Arc::new(provider), &System, options).await {
        // Where no broker was found to ask there is something else to look at.
        Err(ClientError::Connect { error, .. })
            if !error.refused && error.reasons.iter().any(|reason| reason.contains("://")) =>
        {
            bail!("{error}; is it running there, and is {setting} right?")
        }
        outcome => Ok(outcome?),
    }
}

/// The number of `--workers`, checked before anything is connected.
pub fn check_workers(workers: Option<usize>) -> anyhow::Result<()> {
    match workers {
        None | Some(1..=MAX_WORKERS) => Ok(()),
        Some(other) => anyhow::bail!("--workers {other} is not between 1 and {MAX_WORKERS}"),
    }
}

/// Connections one command may open.
const MAX_WORKERS: usize = 16;

/// A runtime for commands: one thread, they mostly wait. Woken all the time, it
/// rests in between.
pub fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let pace = Pace::new(Instant::now());
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.on_thread_park(move || {
        if let Some(rest) = pace.rest(Instant::now()) {
            std::thread::sleep(rest);
        }
    });
    ended(runtime.enable_all().build()?, work)
}

/// Threads that hang somewhere, as at a program of a network file system, are left behind after a while.
fn ended<T>(runtime: Runtime, work: impl Future<Output = T>) -> anyhow::Result<T> {
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(2));
    Ok(done)
}

/// The same for what has its own end: threads that hang somewhere, as at a name server, are
/// left behind.
pub fn block_on_briefly<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

/// The same without rests, for what measures how long others take.
pub fn block_on_promptly<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    ended(tokio::runtime::Builder::new_current_thread().enable_all().build()?, work)
}

/// Writes the decimal process id, without a line end, as init scripts expect.
pub fn write_pid(file: Option<&str>) -> anyhow::Result<()> {
    if let Some(file) = file {
        let pid = std::process::id().to_string();
        choria::core::files::write_atomic(Path::new(file), pid.as_bytes(), choria::core::files::PUBLIC)?;
    }
    Ok(())
}

/// A daemon's configuration for whoever only wants to hear what is wrong with it.
pub fn config_to_check(globals: &Globals, role: Role, file: &Path) -> anyhow::Result<Config> {
    let config = Config::load(role, Some(file), &System).map_err(|e| lacking::rights(e, role))?;
    log::init(Destination::Stderr, if globals.debug { "debug" } else { "warn" })?;
    report(&config);
    Ok(config)
}

/// What `--check-config` says where nothing is wrong; warnings have been told.
pub fn is_good(file: &Path) -> ExitCode {
    outln!("{} is good", file.display());
    ExitCode::SUCCESS
}

/// Lets this process have as many files open as it may, and says what that allows, where
/// it is for `wanted` connections.
pub fn raise_open_files(wanted: Option<usize>) {
    let (Some(allowed), Some(wanted)) = (raise_open_limit(), wanted) else { return };
    match u64::try_from(wanted).is_ok_and(|wanted| wanted > allowed) {
        true => tracing::warn!(
            "the limit of open files allows {allowed} connections, fewer than {wanted}: raise it where there may be \
             more (LimitNOFILE of the unit, ulimit -Hn)"
        ),
        false => tracing::info!("the limit of open files allows {allowed} connections"),
    }
}
