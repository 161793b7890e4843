//! The real program, run and watched.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for anything; generous, because two cores run many tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test with an environment that holds nothing of ours.
pub fn program(home: &Path) -> Command {
    named_program(Path::new(env!("CARGO_BIN_EXE_choria")), home)
}

/// The same by another path, such as a link called `mco`.
pub fn named_program(path: &Path, home: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("HOME", home).env("PATH", "/nonexistent").env("NO_COLOR", "1");
    command.current_dir(home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same command by a user whose files are everybody's.
pub fn without_umask(command: &Command) -> Command {
    let mut lax = Command::new("/bin/sh");
    lax.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    lax.env_clear();
    lax.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        lax.current_dir(dir);
    }
    lax.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    lax
}

/// A finished command.
#[derive(Clone)]
pub struct Ran {
    pub command: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ran { command, code, stdout, stderr } = self;
        write!(f, "{command}\nexit code {code}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---")
    }
}

impl Ran {
    /// All went well and nothing was complained about.
    #[track_caller]
    pub fn fine(self) -> Ran {
        let ran = self.code(0);
        assert_eq!(ran.stderr, "", "{ran:?}");
        ran
    }

    #[track_caller]
    pub fn code(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Every text is on standard output.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Ran {
        texts.iter().for_each(|text| assert!(self.stdout.contains(text), "{text:?} is missing: {self:?}"));
        self
    }

    /// Every text is on standard error.
    #[track_caller]
    pub fn complains(self, texts: &[&str]) -> Ran {
        texts.iter().for_each(|text| assert!(self.stderr.contains(text), "{text:?} is missing: {self:?}"));
        self
    }

    #[track_caller]
    pub fn silent(self) -> Ran {
        assert_eq!(self.stdout, "", "{self:?}");
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// Lines of standard output, sorted.
    pub fn sorted(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

/// Runs a command to its end, `input` on its standard input.
#[track_caller]
pub fn run(command: Command, input: Option<&str>) -> Ran {
    run_within(command, input, PATIENCE)
}

/// The same for one that may take as long as that.
#[track_caller]
pub fn run_within(mut command: Command, input: Option<&str>, limit: Duration) -> Ran {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let words: Vec<String> =
        command.get_args().map(OsStr::to_string_lossy).map(std::borrow::Cow::into_owned).collect();
    let text = format!("{} {}", command.get_program().to_string_lossy(), words.join(" "));
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{text}: {e}"));
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        // A program that does not read its input is the test's business.
        let _ = pipe.write_all(input.as_bytes());
    }
    let drain = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = vec![];
            if let Some(mut stream) = stream {
                let _ = stream.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = drain(child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
    let stderr = drain(child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
    let status = exit_of(&mut child, limit);
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let ran = Ran {
        command: text,
        code: status.and_then(|s| s.code()).unwrap_or(-1),
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    };
    assert!(status.is_some(), "did not end in time: {ran:?}");
    ran
}

fn exit_of(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
}

/// Asks until the answer is there, or panics with what was waited for.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A size or duration of a test, as the environment wants it.
pub fn parameter(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A page of a web server of the program, its head included.
#[track_caller]
pub fn read_page(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("a listener");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("a connection");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer");
    text
}

/// The value of the first sample on a page of metrics whose line begins so.
pub fn sample(page: &str, start: &str) -> Option<f64> {
    page.lines().find(|line| line.starts_with(start))?.rsplit(' ').next()?.parse().ok()
}

#[derive(Default)]
struct Lines {
    lines: Mutex<(Vec<String>, usize)>,
    changed: Condvar,
}

/// A program that runs until told otherwise; its output is kept, and shown when
/// the test fails.
pub struct Daemon {
    name: String,
    child: Child,
    output: Arc<Lines>,
}

impl Daemon {
    #[track_caller]
    pub fn start(name: &str, mut command: Command) -> Daemon {
        Daemon::adopt(name, command.spawn().unwrap_or_else(|e| panic!("{name}: {e}")))
    }

    /// A program that was started, with what is left of its pipes.
    pub fn adopt(name: &str, mut child: Child) -> Daemon {
        let output = Arc::new(Lines::default());
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>),
            child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>),
        ];
        for stream in streams.into_iter().flatten() {
            let output = output.clone();
            output.lines.lock().unwrap_or_else(PoisonError::into_inner).1 += 1;
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = vec![];
                while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                    output.lines.lock().unwrap_or_else(PoisonError::into_inner).0.push(text);
                    output.changed.notify_all();
                    line.clear();
                }
                output.lines.lock().unwrap_or_else(PoisonError::into_inner).1 -= 1;
                output.changed.notify_all();
            });
        }
        Daemon { name: name.to_owned(), child, output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lines so far: a place to look from.
    pub fn mark(&self) -> usize {
        self.lines().len()
    }

    pub fn lines(&self) -> Vec<String> {
        self.output.lines.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Lines after `mark` that hold all of `texts`.
    pub fn matching(&self, mark: usize, texts: &[&str]) -> Vec<String> {
        let holds = |line: &String| texts.iter().all(|text| line.contains(text));
        self.lines().into_iter().skip(mark).filter(holds).collect()
    }

    /// Waits for a line after `mark` that holds all of `texts`.
    #[track_caller]
    pub fn says_after(&self, mark: usize, texts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = lines.0.iter().skip(mark).find(|l| texts.iter().all(|text| l.contains(text)))
            {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.1 == 0 {
                drop(lines);
                panic!("{} never said {texts:?}", self.name);
            }
            // The last lines may come with the end of the program.
            let waited = self.output.changed.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    #[track_caller]
    pub fn says(&self, texts: &[&str]) -> String {
        self.says_after(0, texts)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has a process id"), signal).expect("the child is ours");
    }

    /// Waits for the program to end by itself.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let status = exit_of(&mut self.child, PATIENCE);
        let status = status.unwrap_or_else(|| panic!("{} did not end", self.name));
        let mut lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        while lines.1 > 0 {
            lines = self.output.changed.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        status
    }

    /// Has it end in an orderly way, where it is still there, and waits for that.
    pub fn leave(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            exit_of(&mut self.child, PATIENCE);
        }
    }

    #[track_caller]
    pub fn still_runs(&mut self) {
        let status = self.child.try_wait().expect("the child is ours");
        assert!(status.is_none(), "{} has ended: {status:?}", self.name);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- output of {}", self.name);
            self.lines().iter().for_each(|line| eprintln!("{line}"));
            eprintln!("---");
        }
    }
}
