//! Programs that stay and speak JSON lines (spec 05 §15.2).
//!
//! A program begins with
//! `{"hello":{"protocol":"io.choria.provisioner.helper.v1","concurrency":32}}`,
//! then reads `{"id":"…","request":{…}}` and writes `{"id":"…","reply":{…}}`
//! or `{"id":"…","error":"…"}`, a line each, answers in any order. `request`
//! and `reply` are what a [`oneshot`](super::oneshot) helper reads and writes.

mod process;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use super::{Asking, Helper, HelperError, command};
use crate::core::programs::CommandLine;
use crate::core::provisioner::answer::Answer;
use crate::core::provisioner::question::Question;
use crate::core::provisioner::settings::Settings;
use process::{End, Process};

/// Most nodes a program may be asked about at once, whatever it says.
const CONCURRENCY: usize = 256;
/// How long the first line may take.
const HELLO: Duration = Duration::from_secs(5);
/// How long a program may take to end when its input is closed.
const GOODBYE: Duration = Duration::from_secs(5);
/// Longest pause before a program is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// How long a node waits for a program to become free, or to be started again.
const NOBODY_FREE: Duration = Duration::from_secs(60);

/// A node to be asked about.
struct Job {
    node: String,
    /// The request, one JSON document in one line.
    request: String,
    /// Programs that died over it.
    died: u32,
    answer: oneshot::Sender<Result<Answer, HelperError>>,
}

/// Programs that stay. They are started at once, by tasks that end with this.
pub struct Stream {
    jobs: mpsc::UnboundedSender<Job>,
    stop: watch::Sender<bool>,
    lanes: TaskTracker,
    processes: usize,
    timeout: Duration,
    /// Why the last program ended that did.
    broken: Arc<std::sync::Mutex<String>>,
}

impl Stream {
    /// The program of the settings, as often as they say.
    ///
    /// # Errors
    /// There is no such program.
    pub fn new(settings: &Settings) -> Result<Stream, HelperError> {
        let command = command(&settings.helper, std::env::var_os("PATH").as_deref())?;
        let (jobs, queue) = mpsc::unbounded_channel();
        let (stop, stopping) = watch::channel(false);
        let queue = Arc::new(Mutex::new(queue));
        let lanes = TaskTracker::new();
        let broken = Arc::new(std::sync::Mutex::default());
        for number in 0..settings.helper_processes {
            let lane = Lane {
                number,
                command: command.clone(),
                timeout: settings.helper_timeout,
                queue: queue.clone(),
                again: jobs.downgrade(),
                stopping: stopping.clone(),
                broken: broken.clone(),
            };
            lanes.spawn(lane.run());
        }
        lanes.close();
        let (processes, timeout) = (settings.helper_processes, settings.helper_timeout);
        Ok(Stream { jobs, stop, lanes, processes, timeout, broken })
    }

    async fn put(&self, question: &Question) -> Result<Answer, HelperError> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            node: question.identity.clone(),
            // line ends can only be space between values: in texts they are escaped
            request: question.encode().replace(['\n', '\r'], " "),
            died: 0,
            answer,
        };
        let ended = || HelperError::Unreachable("its programs have been let go".into());
        self.jobs.send(job).map_err(|_| ended())?;
        match tokio::time::timeout(self.timeout * 2 + NOBODY_FREE, answered).await {
            Ok(answer) => answer.map_err(|_| ended())?,
            Err(_) => {
                let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let reason = match broken.is_empty() {
                    true => "no program was free for it for long".to_owned(),
                    false => format!("no program was free for it for long, and one ended: {broken}"),
                };
                Err(HelperError::Busy { reason, pause: None })
            }
        }
    }
}

impl Helper for Stream {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(self.put(question))
    }

    fn at_once(&self) -> usize {
        self.processes * CONCURRENCY
    }

    fn close(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let _ = self.stop.send(true);
            let _ = tokio::time::timeout(GOODBYE * 2, self.lanes.wait()).await;
        })
    }
}

/// One program after another.
struct Lane {
    number: usize,
    command: CommandLine,
    timeout: Duration,
    queue: Arc<Mutex<mpsc::UnboundedReceiver<Job>>>,
    again: mpsc::WeakUnboundedSender<Job>,
    stopping: watch::Receiver<bool>,
    broken: Arc<std::sync::Mutex<String>>,
}

impl Lane {
    async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let mut stopping = self.stopping.clone();
            let ended = tokio::select! {
                ended = self.one(&mut failures) => ended,
                () = stopped(&mut stopping) => return,
            };
            match ended {
                End::Closed => return,
                End::Broken(reason) => {
                    tracing::error!(program = self.number, "a stream helper is started again: {reason}");
                    *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = reason.to_string();
                }
            }
            failures += 1;
            tokio::select! {
                () = tokio::time::sleep(pause(failures)) => {}
                () = stopped(&mut self.stopping) => return,
            }
        }
    }

    /// From one start to the end of it.
    async fn one(&self, failures: &mut u32) -> End {
        let begun = match Process::start(&self.command, self.number).await {
            Ok(begun) => begun,
            Err(error) => return End::Broken(error.to_string()),
        };
        let mut process = match begun.hello(HELLO).await {
            Ok(process) => process,
            Err(reason) => return End::Broken(reason),
        };
        tracing::info!(
            program = self.number,
            concurrency = process.concurrency(),
            "a stream helper is there"
        );
        let end = process.serve(&self.queue, self.timeout, self.stopping.clone(), failures).await;
        for mut job in process.left() {
            job.died += 1;
            let died = job.died;
            // whether it was this node that killed it is not known: it has one more try
            match self.again.upgrade() {
                Some(again) if died == 1 => {
                    let _ = again.send(job);
                }
                _ => {
                    let text = "the program ended while it was asked, twice".to_owned();
                    let _ = job.answer.send(Err(HelperError::Failed(text)));
                }
            }
        }
        if matches!(end, End::Closed) {
            process.close(GOODBYE).await;
        }
        end
    }
}

/// Until we are told to stop, or whoever could tell is gone.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// 0.5, 1, 2, … 20 seconds, each up to a quarter shorter, that many do not fall into step.
fn pause(failures: u32) -> Duration {
    let whole = Duration::from_millis(250 << failures.clamp(1, 7)).min(LONGEST_PAUSE);
    whole.mul_f64(1.0 - fastrand::f64() / 4.0)
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
