//! One program for one request: files in, a file out (spec 02 §4).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::messages::RPC_REQUEST;
use crate::core::files;
use crate::core::programs::{Ended, Program, ProgramError, Stream, how};

/// Largest answer, in bytes; a larger one fits no message.
pub const MAX_REPLY: u64 = 1024 * 1024;
/// Characters of a program's last words in a reply.
const WORDS: usize = 500;
/// Lines of them.
const LINES: usize = 3;
/// How directories of requests are called, and which process they are of.
pub const SCRATCH: &str = "choria-agent-";

/// What is handed to a program beside its request.
pub struct Exchange<'a> {
    /// Name of the agent.
    pub agent: &'a str,
    /// The program.
    pub program: &'a Path,
    /// `CHORIA_EXTERNAL_CONFIG`.
    pub config: &'a Path,
    /// Bytes of data that each of its processes may have.
    pub memory: Option<u64>,
    /// What kind of request it is.
    pub protocol: &'static str,
    /// How long the program may take.
    pub limit: Duration,
}

/// The answer and what was said meanwhile, or why there is none.
pub type Answer = Result<(Vec<u8>, String), String>;

impl Exchange<'_> {
    /// Runs the program with this request, and `facts` in a file; its answer is what it
    /// wrote to the file of replies.
    ///
    /// # Errors
    /// As the end of a sentence, with the program's last words.
    pub async fn run(self, request: &Value, facts: String) -> Answer {
        let failed = |problem: String| format!("executing {} failed: {problem}", self.agent);
        let request = request.to_string();
        let laid_out = spawn_blocking(move || {
            Files::lay_out(&[("request", &request), ("reply", ""), ("facts", &facts)])
        })
        .await;
        let files = laid_out.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
        let ran = self.program(&files).run_heard(|stream, line| tell(self.agent, stream, line)).await;
        let ended = ran.map_err(|e| {
            let said = last_words(e.errors());
            match e {
                ProgramError::Start { problem, .. } => failed(problem.to_string()),
                e => format!("{}{said}", failed(e.to_string())),
            }
        })?;
        if !ended.status.success() {
            return Err(format!("{}{}", failed(how(ended.status)), last_words(&ended.errors)));
        }
        let Ended { errors, .. } = ended;
        let read = spawn_blocking(move || files.reply(MAX_REPLY)).await;
        let read = read.map_err(|e| failed(e.to_string()))?;
        let answer = read.map_err(|e| format!("failed to read reply: {e}{}", last_words(&errors)))?;
        Ok((answer, last_words(&errors)))
    }

    fn program(&self, files: &Files) -> Program {
        let (request, reply) = (files.path("request"), files.path("reply"));
        let program = Program::new(self.program)
            .args([request.as_os_str(), reply.as_os_str(), RPC_REQUEST.as_ref()])
            .bare()
            .env("CHORIA_EXTERNAL_REQUEST", &request)
            .env("CHORIA_EXTERNAL_REPLY", &reply)
            .env("CHORIA_EXTERNAL_PROTOCOL", self.protocol)
            .env("CHORIA_EXTERNAL_CONFIG", self.config)
            .env("CHORIA_EXTERNAL_FACTS", files.path("facts"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .directory(files.directory())
            .limit(self.limit)
            .memory(self.memory)
            .talks();
        match self.protocol == RPC_REQUEST {
            // an action that was begun is finished, though this node may be stopped by it
            true => program.outlives(),
            // what only looks ends with who wanted to know
            false => program,
        }
    }
}

/// Writes a line of a program to the log.
pub fn tell(agent: &str, stream: Stream, line: &str) {
    match stream {
        Stream::Output => tracing::info!(agent, "said: {line}"),
        Stream::Error => tracing::error!(agent, "said: {line}"),
    }
}

/// The last lines of a standard error, as the end of a sentence; empty when there are none.
pub fn last_words(errors: &str) -> String {
    let lines: Vec<&str> = errors.lines().collect();
    if lines.is_empty() {
        return String::new();
    }
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join(" / ");
    let count = last.chars().count();
    let cut: String = last.chars().skip(count.saturating_sub(WORDS)).collect();
    format!("; it said: {}{cut}", if count > WORDS { "…" } else { "" })
}

/// A directory of this process that nobody else can look into, and that goes with it.
pub fn scratch() -> io::Result<TempDir> {
    files::own_scratch(&std::env::temp_dir(), SCRATCH)
}

/// The files of a request, in a directory nobody else can look into; they go with it.
#[derive(Debug)]
pub struct Files(TempDir);

impl Files {
    /// Writes them, each by its name.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn lay_out(named: &[(&str, &str)]) -> io::Result<Files> {
        let files = Files(scratch()?);
        for (name, content) in named {
            let mut options = File::options();
            options.write(true).create_new(true).mode(files::SECRET);
            options.open(files.path(name))?.write_all(content.as_bytes())?;
        }
        Ok(files)
    }

    /// Where they are, and where a program that is given them starts: what it takes from its
    /// working directory, such as modules of its language, nobody else can have put there.
    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    /// Where the file of that name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What was written for us. Whatever else the program put there, such as a pipe or a
    /// link, is not opened, or not read.
    ///
    /// # Errors
    /// There is no reply of `most` bytes or fewer.
    pub fn reply(self, most: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let file = File::options().read(true).custom_flags(flags).open(self.path("reply")).map_err(|e| {
            let link = e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
            if link { io::Error::other("the reply is a link") } else { e }
        })?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::other("the reply is no regular file"));
        }
        if about.len() > most {
            return Err(io::Error::other(format!("the reply is larger than {most} bytes")));
        }
        let mut content = Vec::new();
        file.take(most).read_to_end(&mut content)?;
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use serde_json::json;

    async fn run(script: &str, limit: Duration) -> Answer {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("demo");
        fs::write(&program, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let exchange = Exchange {
            agent: "demo",
            program: &program,
            config: Path::new("/etc/choria/plugin.d/demo"),
            memory: Some(64 * 1024 * 1024),
            protocol: RPC_REQUEST,
            limit,
        };
        exchange.run(&json!({"a": 1}), r#"{"f":2}"#.to_owned()).await
    }

    const LONG: Duration = Duration::from_secs(30);

    /// Whoever has waited long enough leaves nothing running that only looks.
    #[tokio::test]
    async fn a_question_ends_with_who_asked_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, pid) = (dir.path().join("demo"), dir.path().join("pid"));
        let script = format!(
            "#!/bin/sh\necho $$ >{0}.new && /bin/mv {0}.new {0}\nexec /bin/sleep 60\n",
            pid.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let asking = tokio::spawn(async move {
            let exchange = Exchange {
                agent: "demo",
                program: &path,
                config: Path::new("/etc/choria/plugin.d/demo"),
                memory: None,
                protocol: "io.choria.mcorpc.external.v1.data_request",
                limit: LONG,
            };
            exchange.run(&json!({}), String::new()).await
        });
        let until = std::time::Instant::now() + LONG;
        while !pid.exists() && std::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let process = format!("/proc/{}", fs::read_to_string(&pid).unwrap().trim());
        asking.abort();
        while Path::new(&process).exists() && std::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!Path::new(&process).exists());
    }

    #[tokio::test]
    async fn a_program_sees_what_it_is_promised() {
        let script = r#"
            test "$#" = 3 && test "$1" = "$CHORIA_EXTERNAL_REQUEST" && test "$2" = "$CHORIA_EXTERNAL_REPLY" || exit 1
            test "$3" = io.choria.mcorpc.external.v1.rpc_request || exit 2
            test "$(cat $1)" = '{"a":1}' && test "$(cat $CHORIA_EXTERNAL_FACTS)" = '{"f":2}' || exit 3
            test "$CHORIA_EXTERNAL_CONFIG" = /etc/choria/plugin.d/demo && test -z "$HOME" || exit 4
            test -f "$2" && ! test -s "$2" && test "$(stat -c %a "$2")" = 600 || exit 5
            test "$(readlink /proc/self/fd/0)" = /dev/null || exit 6
            test "$(stat -c %a "$(dirname "$2")")" = 700 || exit 7
            echo talk; echo more >&2
            printf done > "$2""#;
        assert_eq!(run(script, LONG).await, Ok((b"done".to_vec(), "; it said: more".to_owned())));
    }

    #[tokio::test]
    async fn whatever_a_program_does_there_is_one_sentence() {
        for (script, problem) in [
            ("exit 3", "executing demo failed: exit status 3"),
            (
                "echo one >&2; echo two >&2; exit 1",
                "executing demo failed: exit status 1; it said: one / two",
            ),
            ("kill -SEGV $$", "executing demo failed: signal 11"),
            (
                "head -c 200m /dev/zero | tail -c 150m | wc -c >&2; exit 1",
                "executing demo failed: exit status 1; it said: tail: memory exhausted / 0",
            ),
            ("rm $2; mkfifo $2", "failed to read reply: the reply is no regular file"),
            ("rm $2; mkdir $2", "failed to read reply: the reply is no regular file"),
            ("rm $2; ln -s /etc/passwd $2", "failed to read reply: the reply is a link"),
            ("rm $2", "failed to read reply: No such file or directory (os error 2)"),
            ("truncate -s 2G $2", "failed to read reply: the reply is larger than 1048576 bytes"),
        ] {
            assert_eq!(run(script, LONG).await.unwrap_err(), problem, "{script}");
        }
        let slow = run("echo asking >&2; sleep 600 & sleep 600", Duration::from_millis(300)).await;
        assert_eq!(
            slow.unwrap_err(),
            "executing demo failed: it took longer than 300ms and was killed; it said: asking"
        );
        let gone = Exchange {
            agent: "demo",
            program: Path::new("/nonexistent/demo"),
            config: Path::new("/"),
            memory: Some(64 * 1024 * 1024),
            protocol: RPC_REQUEST,
            limit: LONG,
        };
        let problem = gone.run(&json!({}), String::new()).await.unwrap_err();
        assert!(problem.starts_with("executing demo failed: No such file"), "{problem}");
    }

    #[test]
    fn last_words_are_few() {
        assert_eq!(last_words(""), "");
        assert_eq!(last_words("a\nb\nc\nd"), "; it said: b / c / d");
        assert_eq!(last_words(&"x".repeat(2000)).chars().count(), WORDS + 12);
    }
}
