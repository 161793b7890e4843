//! A program that stays up and speaks lines of JSON: ours, for agents that are asked
//! often.
//!
//! We write `{"id":7,"request":…}`, it answers `{"id":7,"reply":…}`, with the messages of
//! a program that is run for each request. One request is under way at a time, others
//! wait. A program that takes too long, writes what is no reply or ends is started again
//! for the next request, later and later if it does not come to answer any.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::sync::{Mutex, Semaphore};

use super::exchange::{self, MAX_REPLY, last_words, tell};
use super::messages::{self, LINES};
use crate::core::files;
use crate::core::programs::{Group, Look, Pipe, Program, ProgramError, Said, Started, Stream, how};
use crate::core::text::shortened;

/// Requests that may wait for the one under way.
const WAITING: usize = 64;
/// How long it is waited before a program that ended is started again: at first, at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// A program that is kept.
pub struct Persistent {
    agent: String,
    program: PathBuf,
    config: PathBuf,
    memory: Option<u64>,
    places: Semaphore,
    state: Mutex<State>,
    next: AtomicU64,
}

#[derive(Default)]
struct State {
    worker: Option<Worker>,
    /// Starts since it answered last, and when the next may be.
    failures: u32,
    not_before: Option<Instant>,
}

impl Persistent {
    /// Of the agent, not started yet.
    pub fn new(agent: &str, program: &Path, config: &Path, memory: Option<u64>) -> Persistent {
        Persistent {
            agent: agent.to_owned(),
            program: program.to_owned(),
            config: config.to_owned(),
            memory,
            places: Semaphore::new(WAITING + 1),
            state: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    /// The reply to a request, within `limit`, waiting for others included.
    ///
    /// # Errors
    /// As the end of a sentence, with the program's last words.
    pub async fn ask(
        &self,
        request: Value,
        facts: String,
        limit: Duration,
    ) -> Result<Map<String, Value>, String> {
        let failed = |problem: &str| format!("executing {} failed: {problem}", self.agent);
        let Ok(_place) = self.places.try_acquire() else {
            return Err(failed(&format!("{WAITING} requests wait for it already")));
        };
        let deadline = tokio::time::Instant::now() + limit;
        let Ok(mut state) = tokio::time::timeout_at(deadline, self.state.lock()).await else {
            return Err(failed(&format!("it was busy with others for {limit:?}")));
        };
        // Taken out, and put back when it has answered: whatever else happens ends it.
        let mut worker = match state.worker.take().and_then(Worker::alive) {
            Some(worker) => worker,
            None => {
                let now = Instant::now();
                if let Some(wait) = state.not_before.map(|at| at.saturating_duration_since(now))
                    && !wait.is_zero()
                {
                    return Err(failed(&format!("it ended, and is started again in {wait:.1?}")));
                }
                let factor = 1u32.checked_shl(state.failures.min(16)).unwrap_or(u32::MAX);
                state.not_before = Some(now + BACKOFF.0.saturating_mul(factor).min(BACKOFF.1));
                state.failures = state.failures.saturating_add(1);
                Worker::start(self).await.map_err(|e| failed(&e))?
            }
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let asked = tokio::time::timeout_at(deadline, worker.ask(&self.agent, id, request, facts)).await;
        match asked {
            Ok(Ok(reply)) => {
                (state.failures, state.not_before) = (0, None);
                state.worker = Some(worker);
                Ok(reply)
            }
            Ok(Err(problem)) => {
                let how = worker.ended().await.filter(|_| problem.is_empty());
                let problem = how.unwrap_or(problem);
                Err(format!("{}{}", failed(&problem), worker.last_words(&self.agent)))
            }
            Err(_) => {
                let words = worker.last_words(&self.agent);
                Err(format!("{}{words}", failed(&format!("it took longer than {limit:?} and was killed"))))
            }
        }
    }
}

/// The program at work. Dropping it kills its whole process group.
struct Worker {
    child: Child,
    group: Group,
    stdin: ChildStdin,
    stdout: Pipe,
    stderr: Option<Pipe>,
    waiting: Vec<u8>,
    said: Said,
    scratch: TempDir,
    facts: String,
}

impl Worker {
    async fn start(of: &Persistent) -> Result<Worker, String> {
        super::place::runnable(&of.program)?;
        let scratch = exchange::scratch().map_err(|e| e.to_string())?;
        let facts = scratch.path().join("facts");
        files::write_atomic(&facts, b"", files::SECRET).map_err(|e| e.to_string())?;
        let program = Program::new(&of.program)
            .bare()
            .env("CHORIA_EXTERNAL_PROTOCOL", LINES)
            .env("CHORIA_EXTERNAL_CONFIG", &of.config)
            .env("CHORIA_EXTERNAL_FACTS", &facts)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .memory(of.memory)
            .directory(scratch.path());
        let Started { child, group, stdin, stdout, stderr } = program.start().await.map_err(|e| match e {
            ProgramError::Start { problem, .. } => problem.to_string(),
            e => e.to_string(),
        })?;
        Ok(Worker {
            stdout,
            stderr: Some(stderr),
            child,
            group,
            stdin,
            waiting: Vec::new(),
            said: Said::default(),
            scratch,
            facts: String::new(),
        })
    }

    /// Itself, unless the program has ended meanwhile.
    fn alive(mut self) -> Option<Worker> {
        if matches!(self.child.try_wait(), Ok(None)) {
            return Some(self);
        }
        self.group.ended();
        None
    }

    async fn ask(
        &mut self,
        agent: &str,
        id: u64,
        request: Value,
        facts: String,
    ) -> Result<Map<String, Value>, String> {
        if facts != self.facts {
            let path = self.scratch.path().join("facts");
            let text = facts.clone();
            let written = tokio::task::spawn_blocking(move || {
                files::write_atomic(&path, text.as_bytes(), files::SECRET)
            });
            written.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
            self.facts = facts;
        }
        let mut line = json!({"id": id, "request": request}).to_string();
        line.push('\n');
        let Worker { stdin, stdout, stderr, waiting, said, .. } = self;
        let mut fed = 0;
        loop {
            if let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                return reply(&line, id);
            }
            if waiting.len() as u64 > MAX_REPLY {
                return Err(format!("it wrote a line of more than {MAX_REPLY} bytes and was killed"));
            }
            tokio::select! {
                biased;
                () = stdout.readable() => {
                    if stdout.look(waiting) == Look::Closed {
                        return Err(String::new());
                    }
                }
                () = hears(stderr) => {
                    if let Some(pipe) = stderr && pipe.look(said.buffer()) == Look::Closed {
                        *stderr = None;
                    }
                    said.heard(false, &mut |line| tell(agent, Stream::Error, line));
                }
                written = stdin.write(line.as_bytes().get(fed..).unwrap_or_default()), if fed < line.len() => {
                    // who does not listen any more may still have answered
                    match written {
                        Ok(0) | Err(_) => fed = line.len(),
                        Ok(more) => fed += more,
                    }
                }
            }
        }
    }

    /// How it ended, when it did.
    async fn ended(&mut self) -> Option<String> {
        let status = tokio::time::timeout(Duration::from_millis(200), self.child.wait()).await.ok()?.ok()?;
        self.group.ended();
        Some(how(status))
    }

    fn last_words(&mut self, agent: &str) -> String {
        let mut left = 16;
        while let Some(pipe) = &mut self.stderr
            && left > 0
            && matches!(pipe.look(self.said.buffer()), Look::Read(_))
        {
            left -= 1;
        }
        self.said.heard(true, &mut |line| tell(agent, Stream::Error, line));
        last_words(&self.said.kept())
    }
}

async fn hears(pipe: &Option<Pipe>) {
    match pipe {
        Some(pipe) => pipe.readable().await,
        None => std::future::pending().await,
    }
}

/// The reply in a line, which has to be that to request `id`.
fn reply(line: &[u8], id: u64) -> Result<Map<String, Value>, String> {
    let shown = || shortened(String::from_utf8_lossy(line).trim(), 100);
    let mut members =
        messages::read(line).map_err(|_| format!("it wrote what is no reply and was killed: {}", shown()))?;
    if members.get("id").and_then(Value::as_u64) != Some(id) {
        return Err(format!("it answered what it was not asked and was killed: {}", shown()));
    }
    match members.remove("reply") {
        Some(Value::Object(reply)) => Ok(reply),
        _ => Err(format!("its reply is no object, it was killed: {}", shown())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;

    fn agent(dir: &TempDir, script: &str) -> Persistent {
        let program = dir.path().join("demo");
        fs::write(&program, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Persistent::new("demo", &program, Path::new("/etc/choria/plugin.d/demo"), None)
    }

    const ECHO: &str = r#"echo up >> "$0.starts"
        while read -r line; do
            id=${line#*:}; id=${id%%,*}
            case $line in
            *die*) echo dying >&2; exit 7 ;;
            *hang*) sleep 600 ;;
            *garbage*) echo hello ;;
            *flood*) yes | tr -d '\n' ;;
            *another*) echo '{"id":9999,"reply":{}}' ;;
            *) echo "{\"id\":$id,\"reply\":{\"data\":{\"facts\":$(cat $CHORIA_EXTERNAL_FACTS)}}}" ;;
            esac
        done"#;

    async fn ask(agent: &Persistent, word: &str) -> Result<Value, String> {
        let limit = Duration::from_secs(if word == "hang" { 1 } else { 30 });
        agent.ask(json!(word), r#"{"f":1}"#.to_owned(), limit).await.map(Value::Object)
    }

    #[tokio::test]
    async fn one_program_answers_many() {
        let dir = tempfile::tempdir().unwrap();
        let agent = Arc::new(agent(&dir, ECHO));
        let asking: Vec<_> = (0..20)
            .map(|n| {
                let agent = agent.clone();
                tokio::spawn(async move { ask(&agent, &n.to_string()).await })
            })
            .collect();
        for asked in asking {
            assert_eq!(asked.await.unwrap(), Ok(json!({"data": {"facts": {"f": 1}}})));
        }
        assert_eq!(fs::read_to_string(dir.path().join("demo.starts")).unwrap(), "up\n");
    }

    #[tokio::test]
    async fn who_fails_is_started_again_later_and_later() {
        let dir = tempfile::tempdir().unwrap();
        let agent = agent(&dir, ECHO);
        for (word, problem) in [
            ("die", "exit status 7; it said: dying"),
            ("hang", "it took longer than 1s and was killed"),
            ("garbage", "it wrote what is no reply and was killed: hello"),
            ("flood", "it wrote a line of more than 1048576 bytes and was killed"),
            ("another", "it answered what it was not asked and was killed: {\"id\":9999,\"reply\":{}}"),
        ] {
            assert!(ask(&agent, "fine").await.is_ok());
            assert_eq!(ask(&agent, word).await.unwrap_err(), format!("executing demo failed: {problem}"));
        }
        // dead at once, twice: the second time it has to wait
        assert!(ask(&agent, "die").await.unwrap_err().contains("exit status 7"));
        let waits = ask(&agent, "die").await.unwrap_err();
        assert!(waits.contains("is started again in"), "{waits}");
        let mut answered = ask(&agent, "fine").await;
        while answered.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            answered = ask(&agent, "fine").await;
        }
    }

    #[tokio::test]
    async fn waiting_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let agent = Arc::new(agent(&dir, ECHO));
        let asking: Vec<_> = (0..WAITING + 10)
            .map(|_| {
                let agent = agent.clone();
                tokio::spawn(async move { ask(&agent, "hang").await })
            })
            .collect();
        let mut full = 0;
        for asked in asking {
            let problem = asked.await.unwrap().unwrap_err();
            full += usize::from(problem.contains("64 requests wait"));
        }
        // One at work and those that wait; the rest is told at once.
        assert_eq!(full, 9);
    }
}
