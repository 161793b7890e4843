//! What the agents that manage a machine share (spec 02 §15): programs of the system, run
//! without a shell's reading of any input; names that can be no option; work that outlives
//! its request; outputs that are all there.

pub(super) mod input;
mod jobs;
mod places;
pub(super) mod ways;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

pub use jobs::Jobs;
pub(super) use jobs::{Job, Kill, Piece, State};
pub(super) use places::Places;
use places::Turns;

use super::{Call, Node, Outcome};
use crate::core::config::parse_bool;
use crate::core::ddl::AgentDdl;
use crate::core::programs::{self, Program, how};
use crate::core::rpc::StatusCode;

/// Where a system, and Puppet's own packages, keep programs, whatever the daemon was started with.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/puppetlabs/bin";
/// Bytes a program that is asked something may answer.
const MOST: usize = 8 * 1024 * 1024;
/// Looks for programs at once, and how long one may take: a directory of [`PATH`] may be on a
/// disk that hangs.
static LOOKS: LazyLock<Places> = LazyLock::new(|| Places::new(8));
const LOOK: Duration = Duration::from_secs(2);
/// Of actions that start a program to look at something, which policies often allow to everybody,
/// one caller has two at work.
static TURNS: LazyLock<Turns> = LazyLock::new(|| Turns::new(2));

/// A program of the system, and what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tool {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What a program answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Its exit code; 128 and the number of the signal that ended it.
    pub code: i32,
    /// What it wrote to standard output,
    pub output: String,
    /// and to standard error.
    pub errors: String,
}

impl Told {
    /// Whether it says that it did what it was to do.
    pub fn well(&self) -> bool {
        self.code == 0
    }

    /// The last line of what it complained of, or else of what it said.
    pub fn complaint(&self) -> String {
        let last = |text: &str| {
            let lines = text.lines().map(str::trim).rev();
            lines.into_iter().find(|line| !line.is_empty()).map(str::to_owned)
        };
        let said = last(&self.errors).or_else(|| last(&self.output));
        said.unwrap_or_else(|| format!("it said nothing, exit status {}", self.code))
    }

    /// Everything it wrote.
    pub fn all(&self) -> String {
        let between = if self.output.is_empty() || self.output.ends_with('\n') { "" } else { "\n" };
        format!("{}{between}{}", self.output, self.errors).trim_end().to_owned()
    }
}

impl Tool {
    /// `program`, a name or a path, with these arguments, in the language C.
    pub fn new<A: Into<String>>(program: impl Into<String>, arguments: impl IntoIterator<Item = A>) -> Tool {
        let environment = [("LC_ALL", "C"), ("LANGUAGE", "C"), ("PATH", PATH)];
        Tool {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: environment.map(|(name, value)| (name.into(), value.into())).to_vec(),
        }
    }

    /// A command line that is meant for a shell: the `shell` agent's own, and nobody else's.
    pub fn shell(line: &str) -> Tool {
        let environment = vec![("PATH".to_owned(), PATH.to_owned())];
        Tool { program: "/bin/sh".to_owned(), arguments: vec!["-c".to_owned(), line.to_owned()], environment }
    }

    /// One argument more.
    pub fn arg(mut self, argument: impl Into<String>) -> Tool {
        self.arguments.push(argument.into());
        self
    }

    /// With a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Tool {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As people read it.
    pub fn shown(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.arguments).map(String::as_str);
        shlex::try_join(words).unwrap_or_else(|_| self.program.clone())
    }

    /// Where it is.
    ///
    /// # Errors
    /// There is no such program, as a sentence.
    pub async fn path(&self) -> Result<PathBuf, String> {
        let program = self.program.clone();
        let found = looked(move || programs::find(&program, Some(OsStr::new(PATH)))).await?;
        found.ok_or_else(|| format!("this node has no program {}", self.program))
    }

    fn arguments(&self) -> &[String] {
        &self.arguments
    }

    fn with_environment(&self, program: Program) -> Program {
        self.environment.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    /// Asks it something: for programs that answer soon and change nothing.
    ///
    /// # Errors
    /// It could not be run to its end, as a sentence.
    pub async fn ask(&self, limit: Duration) -> Result<Told, String> {
        let program = Program::new(self.path().await?).args(&self.arguments).directory("/");
        let program = self.with_environment(program).limit(limit).most(MOST).stands_back();
        let ended = program.run().await.map_err(|e| format!("{}: {e}", self.program))?;
        let Some(code) = ended.status.code() else {
            return Err(format!("{}: {}", self.program, how(ended.status)));
        };
        let output = String::from_utf8_lossy(&ended.output).into_owned();
        Ok(Told { code, output, errors: ended.errors })
    }
}

/// Waits until this caller may start programs that look at something, for as long as what is
/// returned is kept.
pub(super) async fn turn(call: &Call) -> Option<impl Send + use<>> {
    TURNS.of(&call.caller).await
}

/// Looks at what the system has, where nobody waits.
///
/// # Errors
/// Its disks do not answer, as a sentence.
pub(super) async fn looked<T: Send + 'static>(
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let found = LOOKS.block_within(LOOK, look).await;
    found.ok_or_else(|| "the directories of programs of this node do not answer".to_owned())
}

/// Whether the system has a program of that name; for who is [looking](looked).
pub(super) fn has(program: &str) -> bool {
    programs::find(program, Some(OsStr::new(PATH))).is_some()
}

/// The outputs an action declares, all of them: what is not known is its default or null.
#[derive(Debug, Clone)]
pub(super) struct Outputs(Map<String, Value>);

impl Outputs {
    /// Of an action, with nothing known yet.
    pub fn of(ddl: &AgentDdl, call: &Call) -> Outputs {
        let declared = ddl.action(&call.action).map(|action| &action.output);
        let outputs = declared.into_iter().flatten();
        Outputs(
            outputs
                .map(|(name, output)| (name.clone(), output.default.clone().unwrap_or_default()))
                .collect(),
        )
    }

    /// What is known of one.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> &mut Outputs {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Whether the action has such an output.
    pub fn declares(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// It went well.
    pub fn done(self) -> Outcome {
        Outcome::ok(Value::Object(self.0))
    }

    /// It did not; the outputs are told all the same.
    pub fn failed(self, code: StatusCode, message: impl Into<String>) -> Outcome {
        Outcome { data: self.0, ..Outcome::failed(code, message) }
    }

    /// It goes on, and what becomes of it can be asked for.
    pub fn still_at_work(self, call: &Call) -> Outcome {
        let message = format!(
            "Still at work, it goes on; choria rpc choria_util result request={} tells what becomes of it",
            call.request_id
        );
        self.aborted(message)
    }

    /// It was not done, for a reason that is no fault.
    pub fn aborted(self, message: impl Into<String>) -> Outcome {
        self.failed(StatusCode::Aborted, message)
    }

    /// Something went wrong.
    pub fn broken(self, message: impl Into<String>) -> Outcome {
        self.failed(StatusCode::UnknownError, message)
    }
}

/// What the caller of a job is told: its outcome, or, when it is still at work at the time
/// `until`, counted from the beginning of the call, or when the node ends, that it goes on.
pub(super) async fn told_of(
    job: Job,
    until: Instant,
    call: &Call,
    node: &dyn Node,
    unfinished: Outputs,
) -> Outcome {
    let control = node.control();
    tokio::select! {
        outcome = job.by(until) => outcome.unwrap_or_else(|_| unfinished.still_at_work(call)),
        _ = control.ended() => unfinished.still_at_work(call),
    }
}

/// A boolean setting of an agent, `plugin.AGENT.NAME`; what is no boolean switches off.
pub(super) fn switch(value: Option<&str>, default: bool) -> bool {
    value.map_or(default, |text| parse_bool(text).unwrap_or(false))
}

#[cfg(test)]
mod tests;
