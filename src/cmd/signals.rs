//! What signals do to a daemon. The table stands in `choria(1)`, too.
//!
//! They are heard by a thread of their own: whatever hangs elsewhere, such as a
//! network file system, a daemon that is told to end does so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use choria::core::log;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Signal, what daemons do, what commands do.
pub const TABLE: [(&str, &str, &str); 7] = [
    (
        "TERM, INT",
        "end in an orderly way within their time; a second one ends at once",
        "end; INT shows what has come so far, exit status 130",
    ),
    ("QUIT", "as TERM", "end with a core dump"),
    ("HUP", "read keys, CA, revocation lists and what else they can again, open the log anew", "end"),
    ("USR1", "open the log anew and say in it how they are", "end"),
    (
        "USR2",
        "the broker ends as by TERM, as nats-server does; others say that it means nothing to them",
        "end",
    ),
    ("PIPE", "ignored", "ignored; output that nobody reads ends them, exit status as without it"),
    ("KILL", "end at once, what is under way is lost", "end"),
];

/// How long threads that do something may hold up the end.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What a daemon does at its signals.
pub struct Reactions {
    /// SIGHUP; run on a thread that may hang.
    pub reread: Box<dyn Fn() + Send + Sync>,
    /// SIGUSR1: one line.
    pub state: Box<dyn Fn() -> String + Send + Sync>,
    /// Whether SIGUSR2 ends it gently.
    pub usr2_ends: bool,
    /// When the process ends after it was told to, whatever hangs then.
    pub ends_within: Box<dyn Fn() -> Duration + Send + Sync>,
}

/// Starts to listen; `stop` becomes true when the daemon is to end. Heard from the return on.
pub fn listen(stop: watch::Sender<bool>, reactions: Reactions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let streams = {
        let _guard = runtime.enter();
        Streams::new()?
    };
    let hear = move || runtime.block_on(streams.hear(&stop, &Arc::new(reactions)));
    std::thread::Builder::new().name("signals".to_owned()).spawn(hear)?;
    Ok(())
}

/// For a service that has nothing to read again: what it awaits until it is told to end. What else is said
/// to it means nothing, and ends nothing. Heard from the return on: called before the service says that it
/// is there.
pub fn told_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    let Streams { mut term, mut int, mut quit, mut hup, mut usr1, mut usr2 } = Streams::new()?;
    Ok(async move {
        loop {
            let nothing = tokio::select! {
                _ = term.recv() => return,
                _ = int.recv() => return,
                _ = quit.recv() => return,
                _ = hup.recv() => "SIGHUP",
                _ = usr1.recv() => "SIGUSR1",
                _ = usr2.recv() => "SIGUSR2",
            };
            tracing::warn!("{nothing} means nothing here: files are read anew as they change");
        }
    })
}

struct Streams {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
}

impl Streams {
    fn new() -> std::io::Result<Streams> {
        Ok(Streams {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn hear(self, stop: &watch::Sender<bool>, reactions: &Arc<Reactions>) {
        let Streams { mut term, mut int, mut quit, mut hup, mut usr1, mut usr2 } = self;
        let (rereads, tells) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
        loop {
            let ends = tokio::select! {
                _ = term.recv() => Some("TERM"),
                _ = int.recv() => Some("INT"),
                _ = quit.recv() => Some("QUIT"),
                _ = usr2.recv() => {
                    if !reactions.usr2_ends {
                        aside(|| tracing::info!("SIGUSR2 means nothing to this daemon"));
                    }
                    reactions.usr2_ends.then_some("USR2")
                }
                _ = hup.recv() => {
                    let reactions = reactions.clone();
                    once_more(&rereads, move || {
                        log::reopen();
                        (reactions.reread)();
                    });
                    None
                }
                _ = usr1.recv() => {
                    let reactions = reactions.clone();
                    once_more(&tells, move || {
                        log::reopen();
                        tracing::info!("SIGUSR1: {}", (reactions.state)());
                    });
                    None
                }
            };
            match ends {
                Some(_) if *stop.borrow() => end("ending at once, told to again"),
                Some(name) => {
                    let limit = (reactions.ends_within)();
                    aside(move || tracing::info!("ending: SIG{name}"));
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
                    let _ = stop.send(true);
                    std::thread::spawn(move || {
                        std::thread::sleep(limit);
                        end("ending although something hangs, such as a file on a network file system");
                    });
                }
                None => {}
            }
        }
    }
}

/// Does `what` on a thread of its own, which may hang. What comes while it does is done once more behind
/// it: it may be about a change that was made too late to be seen.
fn once_more(wanted: &Arc<AtomicU32>, what: impl Fn() + Send + 'static) {
    if wanted.fetch_add(1, Ordering::AcqRel) > 0 {
        aside(|| {
            tracing::info!("still at it from the last time this signal came, it is done once more then")
        });
        return;
    }
    let wanted = wanted.clone();
    std::thread::spawn(move || {
        loop {
            let seen = wanted.load(Ordering::Acquire);
            what();
            if wanted.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    });
}

/// Logging may hang, too.
fn aside(log: impl FnOnce() + Send + 'static) {
    std::thread::spawn(log);
}

/// Leaves the process, with a word on why where the log takes one.
fn end(why: &'static str) -> ! {
    let said = std::thread::spawn(move || tracing::warn!("{why}"));
    let mut waited = Duration::ZERO;
    while !said.is_finished() && waited < LAST_WORDS {
        std::thread::sleep(LAST_WORDS / 20);
        waited += LAST_WORDS / 20;
    }
    std::process::exit(0)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_signal_that_comes_meanwhile_is_not_lost() {
        let wanted = Arc::<AtomicU32>::default();
        let (begun, begins) = mpsc::channel();
        let (go_on, may_end) = mpsc::channel::<()>();
        once_more(&wanted, move || {
            let _ = begun.send(());
            let _ = may_end.recv();
        });
        begins.recv().unwrap();
        // three while it is at it are one more behind it
        (0..3).for_each(|_| once_more(&wanted, || unreachable!("somebody is at it")));
        go_on.send(()).unwrap();
        begins.recv().unwrap();
        go_on.send(()).unwrap();
        assert!(begins.recv().is_err(), "that was all");
        assert_eq!(wanted.load(Ordering::Acquire), 0);
    }
}
