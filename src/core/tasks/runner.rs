//! The runner: a process between a node and a task, so that the task outlives the daemon and
//! what becomes of it is kept. It is this program itself, started by words that are no command
//! of people, with the contract of Puppet's `task_wrapper` (spec 07 §A4.5).
//!
//! `task-runner start DIR [USER]` begins a runner for a spooled run and ends; whoever started
//! that has no child left. `task-runner run` is the runner: it reads what to run from its
//! standard input. Both are processes of one thread until they start something, so that the
//! identity of the thread is that of the process.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Gid, Uid};
use serde::Deserialize;

use super::process;
use super::spool::forget_secrets;
use crate::core::files::write_atomic;

/// The word that makes this program one.
pub const WORD: &str = "task-runner";
/// Bytes of standard output, and of standard error, that are kept.
const MOST: u64 = 10 << 20;
/// Bytes of what it is told.
const CONTRACT: u64 = 1 << 20;
/// How long what a task wrote last is waited for, where somebody it left running may write, too.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Bytes that are reserved on the disk for the exit code.
const RESERVED: usize = 4096;
/// How often, and how long, a full disk is tried for it all the same.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const TRIES: usize = 3600;
/// Mode of what a task leaves.
const KEPT: u32 = 0o640;

/// Whom a task runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User,
    pub uid: u32,
    /// main group,
    pub gid: u32,
    /// and all groups.
    pub groups: Vec<u32>,
}

impl User {
    /// As a word: `uid:gid:group,group`.
    pub fn to_word(&self) -> String {
        let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
        format!("{}:{}:{}", self.uid, self.gid, groups.join(","))
    }

    fn of_word(word: &str) -> Option<User> {
        let mut parts = word.splitn(3, ':');
        let mut number = || parts.next()?.parse().ok();
        let (uid, gid) = (number()?, number()?);
        let groups = parts.next()?.split(',').filter(|text| !text.is_empty());
        Some(User { uid, gid, groups: groups.map(|gid| gid.parse().ok()).collect::<Option<_>>()? })
    }

    fn become_it(&self) -> io::Result<()> {
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        rustix::thread::set_thread_groups(&groups)?;
        rustix::thread::set_thread_res_gid(
            Gid::from_raw(self.gid),
            Gid::from_raw(self.gid),
            Gid::from_raw(self.gid),
        )?;
        rustix::thread::set_thread_res_uid(
            Uid::from_raw(self.uid),
            Uid::from_raw(self.uid),
            Uid::from_raw(self.uid),
        )?;
        Ok(())
    }
}

/// What the runner is told.
#[derive(Debug, Deserialize)]
struct Contract {
    executable: PathBuf,
    #[serde(default)]
    arguments: Vec<String>,
    input: Option<String>,
    stdout: PathBuf,
    stderr: PathBuf,
    exitcode: PathBuf,
}

/// Does what the words behind [`WORD`] say; the exit code, and what to complain of.
pub fn main(words: &[OsString]) -> (u8, Option<String>) {
    let done = match words {
        [start, dir, user, wrapper @ ..] if start == "start" => {
            let user = user.to_str().unwrap_or_default();
            self::start(Path::new(dir), user, wrapper.first()).map(|()| 0)
        }
        [run] if run == "run" => self::run(io::stdin().lock()),
        _ => Err(io::Error::other("task-runner is for nodes, see docs/tasks.md")),
    };
    match done {
        Ok(code) => (code, None),
        Err(e) => (1, Some(e.to_string())),
    }
}

/// Begins a runner, ours or another, and says which process it is.
fn start(dir: &Path, user: &str, wrapper: Option<&OsString>) -> io::Result<()> {
    let new = |name: &str| OpenOptions::new().write(true).create_new(true).mode(KEPT).open(dir.join(name));
    if !user.is_empty() {
        let user = User::of_word(user).ok_or_else(|| io::Error::other("that is no user"))?;
        user.become_it()?;
    }
    // the directory is that user's, and so is what can be opened there
    let stdin = File::open(dir.join("wrapper_stdin"))?;
    // whoever reads it has it open: another runner than ours would leave it there
    forget_secrets(dir);
    let (stdout, stderr) = (new("wrapper_stdout")?, new("wrapper_stderr")?);
    let mut command = match wrapper {
        Some(wrapper) => Command::new(wrapper),
        // where this program is may be no place for that user
        None => {
            let mut command = Command::new("/proc/self/exe");
            command.arg0("choria").args([WORD, "run"]);
            command
        }
    };
    let spawned = command.current_dir("/").stdin(stdin).stdout(stdout).stderr(stderr).spawn();
    let program = wrapper.map_or_else(|| Path::new("the runner"), |path| Path::new(path));
    let child = spawned.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", program.display())))?;
    let (file, runner) = (dir.join("wrapper_pid"), dir.join("runner"));
    // first who it is for sure: what has only a number is looked at less closely
    let named = process::named(child.id()).unwrap_or_else(|| "gone".to_owned());
    write_atomic(&runner, named.as_bytes(), KEPT)?;
    write_atomic(&file, child.id().to_string().as_bytes(), KEPT)?;
    // it is init's from here on
    Ok(())
}

/// Runs what it is told to, and keeps what becomes of it.
fn run(told: impl Read) -> io::Result<u8> {
    // ends with nobody: neither a terminal nor a group of whoever started it
    let _ = rustix::process::setsid();
    let contract: Contract = serde_json::from_reader(told.take(CONTRACT))?;
    let out = |file: &Path| OpenOptions::new().write(true).create(true).truncate(true).mode(KEPT).open(file);
    let (stdout, mut stderr) = (out(&contract.stdout)?, out(&contract.stderr)?);
    let place = Place::reserve(&contract.exitcode);
    let spawned = Command::new(&contract.executable)
        .args(&contract.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // whoever ends the task does not end who keeps what became of it
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(e) => {
            let shown = contract.executable.display();
            let _ = write!(stderr, "Executable '{shown}' failed to run: {}", why(&contract.executable, &e));
            place.keep("127")?;
            return Ok(127);
        }
    };
    if let (Some(named), Some(dir)) = (process::named(child.id()), contract.exitcode.parent()) {
        // it has begun, whether or not that can be written down
        let _ = write_atomic(&dir.join("task_pid"), named.as_bytes(), KEPT);
    }
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), contract.input) {
        // it may not read it
        std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    }
    let lost: Arc<Mutex<Option<String>>> = Arc::default();
    let (ended, copies) = mpsc::channel();
    let mut copiers = vec![];
    let outputs: [(Option<Box<dyn Read + Send>>, File); 2] = [
        (child.stdout.take().map(|pipe| Box::new(pipe) as _), stdout),
        (child.stderr.take().map(|pipe| Box::new(pipe) as _), stderr),
    ];
    for (pipe, file) in outputs {
        let Some(pipe) = pipe else { continue };
        let (ended, lost) = (ended.clone(), lost.clone());
        copiers.push(std::thread::spawn(move || {
            keep(pipe, file, &lost);
            // who waits for it may have gone on
            let _ = ended.send(());
        }));
    }
    let status = child.wait()?;
    for _ in &copiers {
        let _ = copies.recv_timeout(LAST_WORDS);
    }
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    let lost = lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
    place.keep(&lost.map_or_else(|| code.to_string(), |lost| format!("{code}\n{lost}")))?;
    // whom it left running keeps whoever reads it
    for copier in copiers {
        let _ = copier.join();
    }
    Ok(u8::try_from(code).unwrap_or(255))
}

/// Writes down the beginning of what comes and throws the rest away: whoever writes is neither
/// stopped nor does it fill the disk. Why something is `lost` that was to be kept is said there.
fn keep(mut pipe: impl Read, mut file: File, lost: &Mutex<Option<String>>) {
    let mut left = MOST;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = match pipe.read(&mut piece) {
            Ok(0) => return,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let kept = read.min(usize::try_from(left).unwrap_or(usize::MAX));
        // a byte more than is kept says that there was more
        left -= kept as u64;
        if let Some(piece) = piece.get(..kept)
            && let Err(e) = file.write_all(piece)
        {
            left = 0;
            lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| e.to_string());
        }
    }
}

/// Where the exit code is to be, with room on the disk that is taken before the task may fill it.
struct Place {
    to: PathBuf,
    reserved: Option<(File, PathBuf)>,
}

impl Place {
    fn reserve(to: &Path) -> Place {
        let path = to.with_extension("reserved");
        let made = OpenOptions::new().write(true).create_new(true).mode(KEPT).open(&path);
        let made = made.and_then(|mut file| file.write_all(&[b' '; RESERVED]).map(|()| file));
        Place { to: to.to_owned(), reserved: made.ok().map(|file| (file, path)) }
    }

    /// Puts it there, whole: who looks sees all of it or nothing.
    fn keep(mut self, text: &str) -> io::Result<()> {
        if let Some((file, path)) = &mut self.reserved {
            let written = file
                .rewind()
                .and_then(|()| file.write_all(text.as_bytes()))
                .and_then(|()| file.set_len(text.len() as u64))
                // a machine that loses its power keeps it too
                .and_then(|()| file.sync_all())
                .and_then(|()| std::fs::rename(&*path, &self.to));
            if written.is_ok() {
                if let Some(Ok(directory)) = self.to.parent().map(File::open) {
                    let _ = directory.sync_all();
                }
                return Ok(());
            }
        }
        for _ in 1..TRIES {
            match write_atomic(&self.to, text.as_bytes(), KEPT) {
                Err(e)
                    if e.kind() == io::ErrorKind::StorageFull || e.kind() == io::ErrorKind::QuotaExceeded =>
                {
                    std::thread::sleep(TRY_AGAIN);
                }
                kept => return kept,
            }
        }
        write_atomic(&self.to, text.as_bytes(), KEPT)
    }
}

/// Why a program does not start, as far as that can be told: its interpreter may be missing.
fn why(executable: &Path, e: &io::Error) -> String {
    let said = match e.kind() {
        io::ErrorKind::NotFound => "No such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "Permission denied".to_owned(),
        _ => e.to_string(),
    };
    let mut first = [0; 256];
    let read = File::open(executable).and_then(|mut file| file.read(&mut first)).unwrap_or_default();
    let text = String::from_utf8_lossy(first.get(..read).unwrap_or_default()).into_owned();
    let interpreter =
        text.strip_prefix("#!").and_then(|line| line.split_whitespace().next().map(str::to_owned));
    match interpreter {
        Some(interpreter) if !Path::new(&interpreter).exists() => {
            format!("its interpreter {interpreter} is not on this node")
        }
        None if e.raw_os_error() == Some(8) => {
            "it is no program of this system, and has no line #!".to_owned()
        }
        _ => format!("{said} - {}", executable.display()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is left of a program of that text.
    fn left(text: &str, input: Option<&str>) -> (u8, String, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o750).open(at("task")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        drop(file);
        let contract = json!({"executable": at("task"), "arguments": [], "input": input, "stdout": at("stdout"),
                              "stderr": at("stderr"), "exitcode": at("exitcode")});
        let code = run(contract.to_string().as_bytes()).unwrap();
        let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
        (code, read("exitcode"), read("stdout"), read("stderr"))
    }

    #[test]
    fn what_a_task_says_and_how_it_ends_is_kept() {
        assert_eq!(
            left("#!/bin/sh\ncat; echo no >&2; exit 3\n", Some("{}")),
            (3, "3".into(), "{}".into(), "no\n".into())
        );
        // a closed output, an input that nobody reads, a signal
        let (code, kept, out, _) =
            left("#!/bin/sh\nexec >&- 2>&- <&-\nkill -9 $$\n", Some(&"x".repeat(200_000)));
        assert_eq!((code, kept.as_str(), out.as_str()), (137, "137", ""));
    }

    /// What a full disk does not take is said to be lost, and the exit code is kept.
    #[test]
    fn what_could_not_be_kept_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (stdout, kept) in [("/dev/full".into(), "0\nNo space left"), (at("stdout"), "0")] {
            let contract = json!({"executable": "/bin/sh", "arguments": ["-c", "echo much"], "input": null,
                                  "stdout": stdout, "stderr": at("stderr"), "exitcode": at("exitcode")});
            assert_eq!(run(contract.to_string().as_bytes()).unwrap(), 0);
            let code = std::fs::read_to_string(at("exitcode")).unwrap();
            assert!(code.starts_with(kept) && code.contains('\n') == kept.contains('\n'), "{code:?}");
            assert!(!at("exitcode.reserved").exists());
        }
    }

    #[test]
    fn a_flood_is_let_go() {
        let (code, _, out, _) = left("#!/bin/sh\nhead -c 30000000 /dev/zero; exit 4\n", None);
        assert_eq!((code, out.len() as u64), (4, MOST));
    }

    #[test]
    fn an_interpreter_that_is_missing_is_named() {
        let (code, kept, _, errors) = left("#!/opt/none/ruby -w\nputs 1\n", None);
        assert_eq!((code, kept.as_str()), (127, "127"));
        assert!(errors.ends_with("its interpreter /opt/none/ruby is not on this node"), "{errors}");
        let (_, _, _, errors) = left("echo 1\n", None);
        assert!(errors.contains("has no line #!"), "{errors}");
    }

    #[test]
    fn users_are_words() {
        let user = User { uid: 1000, gid: 100, groups: vec![100, 27] };
        assert_eq!(user.to_word(), "1000:100:100,27");
        assert_eq!(User::of_word("1000:100:100,27"), Some(user));
        for bad in ["", "1", "1:2", "a:1:", "1:2:x", "-1:0:"] {
            assert_eq!(User::of_word(bad), None, "{bad}");
        }
    }
}
