//! `choria emulate`: thousands of real servers in one process, to size a
//! network before it is built.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use axum::Router;
use axum::http::header;
use axum::routing::get;
use choria::core::emulator::{
    BehaviourMix, Certificates, Emulator, EmulatorOptions, Faults, Population, Progress, WaitingFleet,
    WaitingOptions, metrics,
};
use choria::core::files::raise_open_limit;
use choria::core::log::{self, Destination};
use choria::core::metrics::{Registry, process};
use choria::core::provisioning::{JwtResolver, Setup, TargetResolver};
use choria::core::web::{PROMETHEUS, Pages};
use tokio::signal::unix::{SignalKind, signal};

use super::Globals;
use super::out::{errln, outln};
use super::setup::machine::unreachable;

/// run many real servers in one process
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "emulate")]
pub struct Emulate {
    /// how many nodes, default 100
    #[argh(option, arg_name = "n", default = "100")]
    count: usize,
    /// broker, host:port; nodes that wait know theirs from their token
    #[argh(option, arg_name = "address", default = "String::new()")]
    broker: String,
    /// directory of the CA that signs their certificates, see choria tool ca
    #[argh(option, arg_name = "dir", default = "String::new()")]
    ca: String,
    /// nodes that wait to be provisioned, with this token
    #[argh(option, arg_name = "file")]
    provisioning_token: Option<PathBuf>,
    /// waiting nodes connect as members once they are provisioned
    #[argh(switch)]
    come_back: bool,
    /// keys that waiting nodes share, default 8
    #[argh(option, arg_name = "n")]
    keys: Option<usize>,
    /// percent of waiting nodes that are gone once they are configured, without their restart, default 0
    #[argh(option, arg_name = "percent", default = "0.0")]
    dying: f64,
    /// percent of waiting nodes that want another access token, default 0
    #[argh(option, arg_name = "percent", default = "0.0")]
    wrong_token: f64,
    /// percent of waiting nodes that claim the name of another, default 0
    #[argh(option, arg_name = "percent", default = "0.0")]
    doubled: f64,
    /// names of the nodes, with empty braces where the number goes, default emulated{}.example.net
    #[argh(option, arg_name = "pattern", default = "String::from(\"emulated{}.example.net\")")]
    name: String,
    /// collectives, comma separated, default mcollective
    #[argh(option, arg_name = "list")]
    collectives: Option<String>,
    /// connections started a second, default 200
    #[argh(option, arg_name = "n", default = "200")]
    rate: usize,
    /// percent that run every action a second late, default 0
    #[argh(option, arg_name = "percent", default = "0.0")]
    slow: f64,
    /// percent that are connected and never answer, default 0
    #[argh(option, arg_name = "percent", default = "0.0")]
    silent: f64,
    /// percent that deny every action, default 0
    #[argh(option, arg_name = "percent", default = "0.0")]
    denying: f64,
    /// percent that come and go every ten seconds, default 0
    #[argh(option, arg_name = "percent", default = "0.0")]
    flapping: f64,
    /// all nodes share one certificate; for brokers with open permissions
    #[argh(switch)]
    one_certificate: bool,
    /// run requests that were made while they were away, and remember them in files of this directory; default not
    #[argh(option, arg_name = "dir")]
    requests: Option<PathBuf>,
    /// run Puppet Tasks of this server, host:port, with caches and spools of their own below the directory for
    /// temporary files, default not
    #[argh(option, arg_name = "address")]
    tasks: Option<String>,
    /// publish registration data every so many seconds, default not
    #[argh(option, arg_name = "seconds")]
    registering: Option<u32>,
    /// look at so many checks every minute, as autonomous agents of their own, default none
    #[argh(option, arg_name = "n", default = "0")]
    checks: usize,
    /// show Prometheus counters on this port of 127.0.0.1, 0 lets the system choose
    #[argh(option, arg_name = "port")]
    monitor: Option<u16>,
    /// connect from one address only, not from all of 127.0.0.0/8
    #[argh(switch)]
    one_address: bool,
}

/// Keys that waiting nodes share unless told otherwise.
const KEYS: usize = 8;
/// Between two looks at the fleet.
const LOOK: Duration = Duration::from_millis(100);
/// Between two lines about it.
const REPORT: Duration = Duration::from_secs(10);

impl Emulate {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let share = |flag: &str, percent: f64| match percent {
            percent if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
            percent => bail!("--{flag} {percent} is no share of the nodes, give percent between 0 and 100"),
        };
        let behaviours = BehaviourMix {
            slow: share("slow", self.slow)?,
            silent: share("silent", self.silent)?,
            denying: share("denying", self.denying)?,
            flapping: share("flapping", self.flapping)?,
        };
        if self.count == 0 {
            bail!("--count 0 emulates nobody");
        }
        log::init(Destination::Stderr, if globals.debug { "debug" } else { "error" })?;
        if let Some(allowed) = raise_open_limit().filter(|allowed| (self.count as u64) > *allowed) {
            bail!(
                "{} nodes need as many connections, and the limit of open files allows {allowed}: raise it \
                 (ulimit -Hn, LimitNOFILE of a unit), or emulate fewer",
                self.count
            );
        }
        if let Some(token) = &self.provisioning_token {
            let faults = Faults {
                silent: share("silent", self.silent)?,
                dying: share("dying", self.dying)?,
                wrong_token: share("wrong-token", self.wrong_token)?,
                doubled: share("doubled", self.doubled)?,
            };
            if !self.ca.is_empty() || self.collectives.is_some() || self.one_certificate {
                bail!("--ca, --collectives and --one-certificate are for members, not for nodes that wait");
            }
            if self.tasks.is_some() || self.registering.is_some() || self.checks > 0 {
                bail!(
                    "--tasks, --registering and --checks are for members, nodes that wait do nothing of it"
                );
            }
            if behaviours != (BehaviourMix { silent: behaviours.silent, ..BehaviourMix::default() }) {
                bail!("--slow, --denying and --flapping are for members, nodes that wait do nothing of it");
            }
            return self.waiting(token, faults);
        }
        if self.broker.is_empty() || self.ca.is_empty() {
            bail!("--broker and --ca are needed, or --provisioning-token for nodes that wait");
        }
        if self.come_back || self.keys.is_some() || self.dying + self.wrong_token + self.doubled > 0.0 {
            bail!("--come-back, --keys, --dying, --wrong-token and --doubled are for --provisioning-token");
        }
        let tasks = self.tasks.as_deref().map(|server| {
            let address = server.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
            address.with_context(|| format!("--tasks {server} is no host:port"))
        });
        let tasks = tasks.transpose()?;
        let base = format!(
            "collectives = {}\nplugin.choria.middleware_hosts = {}",
            self.collectives.as_deref().unwrap_or("mcollective"),
            self.broker
        );
        let brokers = || self.broker.split(',').map(str::trim);
        let silent: Vec<String> =
            brokers().filter_map(|broker| Some(format!("{broker}: {}", unreachable(broker)?))).collect();
        if silent.len() == brokers().count() {
            errln!("choria: no broker answers yet, nodes keep trying ({})", silent.join("; "));
        }
        let before = process::memory();
        let population = Population::new(
            self.count,
            &self.name,
            &base,
            Path::new(&self.ca),
            if self.one_certificate { Certificates::One } else { Certificates::Many },
        )?;
        let population = match &self.requests {
            None => population,
            Some(dir) => {
                std::fs::create_dir_all(dir).with_context(|| format!("--requests {}", dir.display()))?;
                population.taking_requests(dir.clone())
            }
        };
        let population = match tasks {
            None => population,
            Some((host, port)) => population.running_tasks(host, port),
        };
        let population = match self.registering {
            None => population,
            Some(0) => bail!("--registering 0 is no time, give seconds from 1"),
            Some(seconds) => population.registering(seconds),
        };
        let population = match self.checks {
            0 => population,
            checks => population.checking(checks)?,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let begun = Instant::now();
            let emulator = Emulator::start(EmulatorOptions {
                population,
                rate: self.rate,
                spread_addresses: !self.one_address,
                behaviours,
            })?;
            let fleet = emulator.fleet().clone();
            let shown = fleet.clone();
            let _pages = self.pages(move |name| metrics(&shown, name))?;
            let mut told = false;
            let news = || {
                if told || fleet.connected() < fleet.nodes() {
                    return None;
                }
                told = true;
                Some(format!(
                    "{} nodes are connected after {:.1} s, {} KiB each",
                    fleet.nodes(),
                    begun.elapsed().as_secs_f64(),
                    kib_each(before, fleet.nodes())
                ))
            };
            let line = || {
                let counts = fleet.counts();
                format!(
                    "{} of {} connected; requests {}, replies {}, refused {}, filtered {}, denied {}, dropped {}, registrations {}",
                    fleet.connected(), fleet.nodes(), counts.total, counts.replies,
                    counts.unvalidated, counts.filtered, counts.denied, counts.dropped, counts.registrations
                )
            };
            report(news, line).await;
            emulator.stop().await;
            outln!("{}", line());
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl Emulate {
    /// Nodes that wait to be provisioned.
    fn waiting(&self, token: &Path, faults: Faults) -> anyhow::Result<ExitCode> {
        let mut setup = Setup { token_file: token.to_owned(), ..Setup::default() };
        let told = JwtResolver.configure(&mut setup);
        if !setup.knows_brokers() {
            bail!("{} is no provisioning token: {}", token.display(), told.join("; "));
        }
        if !self.broker.is_empty() {
            setup.brokers = vec![self.broker.clone()];
            setup.srv_domain.clear();
        }
        let before = process::memory();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        // threads that write files: more would only cost memory
        let runtime = builder.enable_all().max_blocking_threads(8).build()?;
        runtime.block_on(async {
            let begun = Instant::now();
            let fleet = WaitingFleet::start(WaitingOptions {
                count: self.count,
                pattern: self.name.clone(),
                setup,
                keys: self.keys.unwrap_or(KEYS),
                rate: self.rate,
                spread_addresses: !self.one_address,
                come_back: self.come_back,
                faults,
            })?;
            let counts = fleet.counts().clone();
            let shown = counts.clone();
            let _pages = self.pages(move |name| shown.metrics(name))?;
            let (mut waited, mut done) = (false, false);
            let news = || {
                let Progress { waiting, provisioned, ended, .. } = counts.progress();
                let since = begun.elapsed().as_secs_f64();
                if !waited && waiting + provisioned + ended >= self.count {
                    waited = true;
                    let each = kib_each(before, self.count);
                    return Some(format!("{} nodes wait after {since:.1} s, {each} KiB each", self.count));
                }
                if !done && provisioned + ended >= self.count {
                    done = true;
                    return Some(format!(
                        "{provisioned} nodes are provisioned after {since:.1} s, {ended} ended"
                    ));
                }
                None
            };
            let line = || {
                let Progress { waiting, provisioned, members, ended } = counts.progress();
                format!("{waiting} wait, {provisioned} provisioned, {members} members, {ended} ended")
            };
            report(news, line).await;
            fleet.stop().await;
            Ok(ExitCode::SUCCESS)
        })
    }

    /// Counters for Prometheus, on this machine only; `read` is given the name they are of.
    fn pages(
        &self,
        read: impl Fn(&str) -> Registry + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<Option<Pages>> {
        let Some(port) = self.monitor else { return Ok(None) };
        let name = self.name.clone();
        let page = move || {
            let text = read(&name).render();
            async move { ([(header::CONTENT_TYPE, PROMETHEUS)], text) }
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let pages = Pages::start(address, |_| Router::new().route("/metrics", get(page)))?;
        outln!("counters are at http://{}/metrics", pages.local_addr());
        Ok(Some(pages))
    }
}

/// Memory of a node, in KiB, where there was `before` without them.
fn kib_each(before: u64, nodes: usize) -> u64 {
    process::memory().saturating_sub(before) / (nodes.max(1) as u64) / 1024
}

/// Prints news as they come up, and every ten seconds how it goes, until the process is told to end.
async fn report(mut news: impl FnMut() -> Option<String>, line: impl Fn() -> String) {
    let mut look = tokio::time::interval(LOOK);
    let mut report = tokio::time::interval(REPORT);
    let hear = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut stream) => drop(stream.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    let ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
    let mut ended = futures::future::select_all(ends.map(|kind| Box::pin(hear(kind))));
    let (Ok(mut tells), Ok(_unheard)) =
        (signal(SignalKind::user_defined1()), signal(SignalKind::user_defined2()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = &mut ended => return,
            _ = tells.recv() => outln!("{}", line()),
            _ = look.tick() => if let Some(news) = news() {
                outln!("{news}");
            },
            _ = report.tick() => outln!("{}", line()),
        }
    }
}
