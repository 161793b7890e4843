//! One program that stays, and the nodes it is being asked about.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;

use super::super::HelperError;
use super::{CONCURRENCY, Job};
use crate::core::programs::{CommandLine, Group, Look, Pipe, Said, Started};
use crate::core::provisioner::answer::{Answer, MAX_ANSWER};
use crate::core::text::on_one_line;

/// What a program says it speaks.
const PROTOCOL: &str = "io.choria.provisioner.helper.v1";
/// Nodes in a row that get no answer before it is taken for dead.
const TIMEOUTS: u32 = 3;

/// What a pipe takes at once.
const PIPE: usize = 16 * 1024;

/// Why a program is no longer asked.
pub(super) enum End {
    /// We are to end.
    Closed,
    /// It ended, or is of no use.
    Broken(String),
}

/// Whatever a program writes.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default)]
    id: String,
    #[serde(borrow)]
    reply: Option<&'a RawValue>,
    error: Option<String>,
    hello: Option<Hello>,
}

#[derive(Deserialize)]
struct Hello {
    protocol: String,
    #[serde(default)]
    concurrency: usize,
}

/// A program that runs. Dropping it kills it and its children.
pub(super) struct Process {
    child: Child,
    group: Group,
    input: Option<ChildStdin>,
    output: Pipe,
    errors: Option<Pipe>,
    said: Said,
    name: String,
    read: Vec<u8>,
    /// Bytes of `read` known to hold no line end.
    looked_at: usize,
    concurrency: usize,
    asked: HashMap<String, Job>,
    /// When answers are due, in the order they were asked for.
    due: VecDeque<(Instant, String)>,
    timeouts: u32,
}

impl Process {
    pub(super) async fn start(command: &CommandLine, number: usize) -> Result<Process, HelperError> {
        let started = command.to_program().start().await;
        let Started { child, group, stdin, stdout, stderr } =
            started.map_err(|e| HelperError::Unreachable(e.to_string()))?;
        Ok(Process {
            group,
            input: Some(stdin),
            child,
            output: stdout,
            errors: Some(stderr),
            said: Said::default(),
            name: format!("(program {number})"),
            read: Vec::new(),
            looked_at: 0,
            concurrency: 1,
            asked: HashMap::new(),
            due: VecDeque::new(),
            timeouts: 0,
        })
    }

    fn log(&mut self, end: bool) {
        let node = self.name.as_str();
        self.said.heard(end, &mut |line| tracing::warn!(node, "helper: {line}"));
    }

    pub(super) fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Waits for its first line.
    pub(super) async fn hello(mut self, patience: Duration) -> Result<Process, String> {
        let waiting = async {
            loop {
                if let Some(line) = self.line()? {
                    return Ok(line);
                }
                self.hear().await?;
            }
        };
        let line: Result<Vec<u8>, String> = match tokio::time::timeout(patience, waiting).await {
            Ok(line) => line,
            Err(_) => Err(format!("it did not say hello within {patience:?}")),
        };
        self.log(true);
        let line = line?;
        let hello = serde_json::from_slice::<Line<'_>>(&line).ok().and_then(|line| line.hello);
        let Some(hello) = hello else {
            return Err("its first line is no hello, is helper_mode stream right?".into());
        };
        if hello.protocol != PROTOCOL {
            return Err(format!("it does not speak {PROTOCOL}"));
        }
        self.concurrency = hello.concurrency.clamp(1, CONCURRENCY);
        Ok(self)
    }

    /// Asks it until it breaks or we are to stop; `failures` is cleared by an answer.
    pub(super) async fn serve(
        &mut self,
        queue: &Mutex<mpsc::UnboundedReceiver<Job>>,
        timeout: Duration,
        mut stopping: watch::Receiver<bool>,
        failures: &mut u32,
    ) -> End {
        let mut writing: VecDeque<u8> = VecDeque::new();
        loop {
            loop {
                match self.line() {
                    Ok(Some(line)) => {
                        if self.answered(&line) {
                            *failures = 0;
                            self.timeouts = 0;
                        }
                    }
                    Ok(None) => break,
                    Err(reason) => return End::Broken(reason),
                }
            }
            if let Some(reason) = self.overdue(timeout) {
                return End::Broken(reason);
            }
            let due = self.due.front().map(|(due, _)| *due);
            // one line at a time: what is not read is not piled up here
            let free = writing.is_empty() && self.asked.len() < self.concurrency;
            let chunk: Vec<u8> = writing.iter().take(PIPE).copied().collect();
            tokio::select! {
                biased;
                () = super::stopped(&mut stopping) => return End::Closed,
                heard = self.output.readable() => {
                    let () = heard;
                    if self.output.look(&mut self.read) == Look::Closed {
                        return self.ended().await;
                    }
                }
                () = readable(&self.errors) => self.hear_errors(),
                () = sleep_until(due) => {}
                wrote = write(self.input.as_mut(), &chunk) => match wrote {
                    Ok(wrote) => drop(writing.drain(..wrote.min(chunk.len()))),
                    Err(e) => return End::Broken(format!("it does not read: {e}")),
                },
                job = async { queue.lock().await.recv().await }, if free => match job {
                    None => return End::Closed,
                    // nobody waits for it any more
                    Some(job) if job.answer.is_closed() => {}
                    Some(job) => {
                        let id = uuid::Uuid::new_v4().to_string();
                        let line = format!("{{\"id\":\"{id}\",\"request\":{}}}\n", job.request);
                        writing.extend(line.as_bytes());
                        self.due.push_back((Instant::now() + timeout, id.clone()));
                        self.asked.insert(id, job);
                    }
                },
            }
        }
    }

    /// Whoever it was asked about and did not answer.
    pub(super) fn left(&mut self) -> Vec<Job> {
        self.due.clear();
        self.asked.drain().map(|(_, job)| job).collect()
    }

    /// Closes its input, as a sign to end, and waits a while.
    pub(super) async fn close(&mut self, patience: Duration) {
        drop(self.input.take());
        if tokio::time::timeout(patience, self.child.wait()).await.is_ok() {
            self.group.ended();
        }
    }

    /// Takes an answer; false if it is none.
    fn answered(&mut self, line: &[u8]) -> bool {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
            tracing::warn!(program = self.name, "a line of a stream helper is no JSON object and is ignored");
            return false;
        };
        let Some(job) = self.asked.remove(&line.id) else {
            tracing::debug!(program = self.name, "an answer that nobody waits for");
            return false;
        };
        let answer = match (line.reply, line.error) {
            (_, Some(error)) => Err(HelperError::Failed(on_one_line(&error).take(1000).collect())),
            (Some(reply), None) => Answer::decode(reply.get().as_bytes()).map_err(HelperError::Unreadable),
            (None, None) => Err(HelperError::Unreadable("it has neither reply nor error".into())),
        };
        let _ = job.answer.send(answer);
        true
    }

    /// Gives up on answers that are due; says why where it is to be given up as a whole.
    fn overdue(&mut self, timeout: Duration) -> Option<String> {
        let now = Instant::now();
        while let Some((due, id)) = self.due.front() {
            match self.asked.contains_key(id) {
                true if *due > now => break,
                true => {
                    if let Some(job) = self.asked.remove(id) {
                        tracing::debug!(node = job.node, "a stream helper did not answer");
                        let text = format!("it did not answer within {timeout:?}");
                        let _ = job.answer.send(Err(HelperError::Failed(text)));
                    }
                    self.timeouts += 1;
                }
                // answered
                false => {}
            }
            self.due.pop_front();
        }
        (self.timeouts >= TIMEOUTS).then(|| format!("it did not answer {TIMEOUTS} times in a row"))
    }

    async fn ended(&mut self) -> End {
        while let Some(errors) = &mut self.errors
            && matches!(errors.look(self.said.buffer()), Look::Read(_))
        {
            self.log(false);
        }
        self.log(true);
        let patience = Duration::from_secs(1);
        let how = match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(Ok(status)) => {
                self.group.ended();
                format!("it ended with {status}")
            }
            _ => "it closed its output".to_owned(),
        };
        End::Broken(format!("{how}{}", self.said.last_words()))
    }

    /// Waits for either pipe and reads it.
    async fn hear(&mut self) -> Result<(), String> {
        tokio::select! {
            () = self.output.readable() => {
                if self.output.look(&mut self.read) == Look::Closed
                    && let End::Broken(reason) = self.ended().await
                {
                    return Err(reason);
                }
            }
            () = readable(&self.errors) => self.hear_errors(),
        }
        Ok(())
    }

    fn hear_errors(&mut self) {
        if let Some(errors) = &mut self.errors {
            let look = errors.look(self.said.buffer());
            self.log(false);
            if look == Look::Closed {
                self.errors = None;
            }
        }
    }

    /// The next whole line that was read.
    fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        let unseen = self.read.get(self.looked_at..).unwrap_or_default();
        match memchr::memchr(b'\n', unseen) {
            Some(place) => {
                let line = self.read.drain(..=self.looked_at + place).collect();
                self.looked_at = 0;
                Ok(Some(line))
            }
            None if self.read.len() > MAX_ANSWER => {
                Err(format!("it wrote a line of more than {MAX_ANSWER} bytes"))
            }
            None => {
                self.looked_at = self.read.len();
                Ok(None)
            }
        }
    }
}

async fn readable(pipe: &Option<Pipe>) {
    match pipe {
        Some(pipe) => pipe.readable().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn write(input: Option<&mut ChildStdin>, bytes: &[u8]) -> std::io::Result<usize> {
    match input {
        Some(input) if !bytes.is_empty() => input.write(bytes).await,
        _ => std::future::pending().await,
    }
}
