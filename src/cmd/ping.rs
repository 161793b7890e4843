//! `choria ping`: who answers, and how fast.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use choria::core::discovery::{Window, broadcast, literal_identities};
use tokio::signal::unix::{SignalKind, signal};

use super::context::{self, block_on_promptly};
use super::exit::Exit;
use super::fleet::fleet_command;
use super::out::{self, errln, outln};
use super::render::ruby::milliseconds;
use super::render::text::clean;
use super::render::{graph, terminal};
use super::trouble;
use super::{Globals, Personality};

fleet_command! {
    /// ask every node for a sign of life
    #[argh(subcommand, name = "ping")]
    pub struct Ping {
        /// no names
        #[argh(switch)]
        silent: bool,
        /// names only, no statistics
        #[argh(switch)]
        names: bool,
        /// stop after this many answers
        #[argh(option, arg_name = "n")]
        expect: Option<usize>,
        /// seconds to wait, default discovery_timeout
        #[argh(option, arg_name = "seconds")]
        timeout: Option<f64>,
        /// plot when answers came
        #[argh(switch)]
        graph: bool,
        /// connections that take replies, default 1
        #[argh(option, arg_name = "n")]
        workers: Option<usize>,
        /// federations to address, comma separated
        #[argh(option, arg_name = "list")]
        federations: Option<String>,
        /// exit codes of the original
        #[argh(switch)]
        compat_exit: bool,
    }
}

impl Ping {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let mut selection = self.selection();
        let mut filter = selection.filter()?;
        selection.check_broadcast()?;
        let named = selection.named()?;
        if let Some(names) = &named {
            filter.identity.clone_from(names);
        }
        // whoever is named in full is missing where they do not answer, however they were named
        let named = named.or_else(|| literal_identities(&filter));
        let is_named = named.is_some();
        let mut unheard: BTreeSet<String> = named.into_iter().flatten().collect();
        context::check_workers(self.workers)?;
        if self.expect == Some(0) {
            bail!("--expect 0 waits for nobody, give the number of answers to wait for");
        }
        // A ping is a discovery: its own timeout is the discovery's.
        if let Some(seconds) = self.timeout.filter(|seconds| !(*seconds > 0.0 && *seconds < 86_400.0)) {
            bail!("--timeout {seconds} is no time to wait, give seconds above 0");
        }
        selection.timeout = self.timeout.or(selection.timeout);
        let mut config = context::client_config(globals)?;
        super::set_federations(&mut config, self.federations.as_deref())?;
        let ruby = globals.personality == Personality::Mco;
        let begun = Instant::now();
        let asked = block_on_promptly(async {
            let client = context::connect_workers(config, self.workers).await?;
            let collective = client.collective(selection.target.as_deref())?;
            selection.check_functions(client.config())?;
            let window = selection.window(&client)?;
            let mut times: Vec<Duration> = vec![];
            let overhead = begun.elapsed();
            let mut interrupt = signal(SignalKind::interrupt())?;
            out::nodes_are_asked();
            // The time has a place of its own where there is room.
            let name_width = terminal::width().unwrap_or(80).saturating_sub(16).min(40);
            let asking = broadcast(
                &client,
                collective.clone(),
                filter,
                window_of(window, self.timeout),
                |name, time| {
                    times.push(time);
                    unheard.remove(name);
                    if self.names {
                        outln!("{}", clean(name, false));
                    } else if !self.silent {
                        let time = match ruby {
                            true => milliseconds(time),
                            false => time.as_millis().to_string(),
                        };
                        outln!("{:<name_width$} time={time} ms", clean(name, false));
                    }
                    match self.expect {
                        Some(expect) => times.len() < expect,
                        None => !is_named || !unheard.is_empty(),
                    }
                },
            );
            let found = tokio::select! {
                biased;
                _ = interrupt.recv() => None,
                done = asking => Some(done?),
            };
            let (mut reason, mut down) = (String::new(), false);
            if let Some(found) = &found {
                down = !found.federations_down.is_empty();
                reason = trouble::nobody_found(&client, &collective, found, None);
                trouble::overflowed(found.overflowed);
                trouble::down(&found.federations_down);
            }
            trouble::complaints(&client);
            client.session().close().await;
            anyhow::Ok((times, overhead, (reason, down), found.is_none()))
        })?;
        let (times, overhead, (reason, down), interrupted) = asked?;
        if !self.names {
            statistics(&times, overhead, self.silent, ruby);
        }
        if self.graph && !times.is_empty() {
            outln!("\n{}", graph::responses(&times));
        }
        let exit = Exit::new(globals, self.compat_exit);
        if interrupted {
            return Ok(exit.interrupted());
        }
        if self.expect.is_none_or(|expect| times.len() < expect) {
            trouble::unanswered(&unheard);
        }
        if times.is_empty() {
            if !self.names {
                errln!("choria: no responses received{reason}");
            }
            return Ok(if self.names && exit.is_original() {
                ExitCode::SUCCESS
            } else {
                exit.nobody_answered()
            });
        }
        Ok(match self.expect {
            Some(expect) if times.len() < expect => exit.some_missing(),
            None if down || !unheard.is_empty() => exit.some_missing(),
            _ => ExitCode::SUCCESS,
        })
    }
}

/// A timeout somebody asked for is waited out: late nodes are what such a
/// person looks for.
fn window_of(window: Window, asked: Option<f64>) -> Window {
    match (window, asked) {
        (Window::Sliding(limit), Some(_)) => Window::Fixed(limit),
        (window, _) => window,
    }
}

fn statistics(times: &[Duration], overhead: Duration, silent: bool, ruby: bool) {
    if !silent {
        outln!("\n");
    }
    outln!("---- ping statistics ----");
    let (Some(max), Some(min)) = (times.iter().max(), times.iter().min()) else {
        outln!("no replies");
        return;
    };
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let average = times.iter().sum::<Duration>() / count;
    if ruby {
        let [max, min, average] = [*max, *min, average].map(milliseconds);
        outln!("{} replies max: {max} min: {min} avg: {average}", times.len());
        return;
    }
    outln!(
        "{} replies max: {}ms min: {}ms avg: {}ms overhead: {}ms",
        times.len(),
        max.as_millis(),
        min.as_millis(),
        average.as_millis(),
        overhead.as_millis()
    );
}
