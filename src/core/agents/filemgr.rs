//! The `filemgr` agent (spec 02 §15.4): touches, removes and looks at files.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, openat, utimensat};
use serde_json::{Value, json};

use super::system::input::path;
use super::system::{Outputs, Places, turn, ways};
use super::{Agent, Call, Node, Outcome, Running};
use crate::core::ddl::{self, AgentDdl};
use crate::core::rpc::StatusCode;
use crate::core::text::hex;

/// The file of who names none, unless `plugin.filemgr.touch_file` does.
const TOUCHED: &str = "/var/run/mcollective.plugin.filemgr.touch";
/// Files looked at at once: each may be on a disk that hangs.
const AT_ONCE: usize = 8;
/// How long a file may be read for its checksum, below the 5 s the interface gives.
const READING: Duration = Duration::from_millis(3500);
/// Entries of a directory that are listed.
const MOST_LISTED: usize = 10_000;

/// The agent.
pub struct FileMgr {
    places: Places,
}

impl Default for FileMgr {
    fn default() -> FileMgr {
        FileMgr { places: Places::new(AT_ONCE) }
    }
}

impl FileMgr {
    async fn call(&self, call: &Call, node: &dyn Node) -> Outcome {
        let outputs = Outputs::of(self.ddl(), call);
        let configured = node.config().option("plugin.filemgr.touch_file").unwrap_or(TOUCHED);
        let file = match call.text("file") {
            "" => configured.to_owned(),
            given => given.to_owned(),
        };
        if let Err(refused) = path("file", &file) {
            return refused.answer(outputs);
        }
        let (action, list) = (call.action.clone(), call.data.get("dirlist") == Some(&Value::Bool(true)));
        let _turn = turn(call).await;
        let work = self.places.block(move || match action.as_str() {
            "touch" => touch(&file, outputs),
            "remove" => remove(&file, outputs),
            "status" => status(&file, list, outputs),
            other => {
                let message = format!("Unknown action {other} for agent filemgr");
                outputs.failed(StatusCode::UnknownAction, message)
            }
        });
        work.await.unwrap_or_else(|problem| Outcome::failed(StatusCode::UnknownError, problem))
    }
}

impl Agent for FileMgr {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("filemgr").expect("compiled in")
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(self.call(call, node))
    }
}

fn touch(file: &str, outputs: Outputs) -> Outcome {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    let set = ways::through(Path::new(file))
        .and_then(|(dir, name)| Ok(utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)?));
    let touched = match set {
        // a link that leads nowhere is not followed there
        Err(e) if e.kind() == io::ErrorKind::NotFound => ways::to(Path::new(file)).and_then(|(dir, name)| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(openat(dir, name, flags, Mode::from_raw_mode(0o644)).map(drop)?)
        }),
        other => other,
    };
    match touched {
        Ok(()) => outputs.done(),
        Err(e) => outputs.aborted(format!("Could not touch file '{file}': {e}")),
    }
}

fn remove(file: &str, outputs: Outputs) -> Outcome {
    match ways::remove(Path::new(file)) {
        Ok(()) => outputs.done(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            outputs.aborted(format!("Could not remove file '{file}' - it is not present"))
        }
        Err(e) => outputs.aborted(format!("Could not remove file '{file}': {e}")),
    }
}

fn status(file: &str, list: bool, mut outputs: Outputs) -> Outcome {
    outputs.set("name", file).set("output", "not present").set("type", "unknown").set("mode", "0000");
    for zero in [
        "present",
        "size",
        "mtime",
        "ctime",
        "atime",
        "mtime_seconds",
        "ctime_seconds",
        "atime_seconds",
        "md5",
        "uid",
        "gid",
    ] {
        outputs.set(zero, 0);
    }
    let about = match fs::symlink_metadata(file) {
        Ok(about) => about,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return outputs.aborted(format!("{file} does not exist"));
        }
        Err(e) => return outputs.aborted(format!("Could not look at '{file}': {e}")),
    };
    outputs.set("output", "present").set("present", 1).set("type", kind(&about));
    outputs.set("size", about.size()).set("mode", format!("{:o}", about.mode()));
    outputs.set("uid", about.uid()).set("gid", about.gid());
    for (name, seconds) in [("mtime", about.mtime()), ("ctime", about.ctime()), ("atime", about.atime())] {
        outputs.set(name, as_text(seconds)).set(&format!("{name}_seconds"), seconds);
    }
    if about.is_file() {
        match checksum(Path::new(file)) {
            Ok(sum) => outputs.set("md5", sum),
            Err(e) => return outputs.aborted(format!("Could not read '{file}': {e}")),
        };
    }
    if list && fs::metadata(file).is_ok_and(|about| about.is_dir()) {
        match listing(file) {
            Ok(names) => outputs.set("dir_listing", names),
            Err(e) => return outputs.aborted(format!("Could not list '{file}': {e}")),
        };
    }
    outputs.done()
}

fn kind(about: &Metadata) -> &'static str {
    let kind = about.file_type();
    match () {
        () if kind.is_file() => "file",
        () if kind.is_dir() => "directory",
        () if kind.is_symlink() => "symlink",
        () if kind.is_socket() => "socket",
        () if kind.is_char_device() => "chardev",
        () if kind.is_block_device() => "blockdev",
        () => "unknown",
    }
}

/// As Ruby writes times, in UTC.
fn as_text(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).map(|time| time.strftime("%Y-%m-%d %H:%M:%S +0000"));
    time.map_or_else(|_| seconds.to_string(), |text| text.to_string())
}

/// MD5 of what a file holds. It may have become something else since it was looked at, and
/// opening that is not to wait.
fn checksum(file: &Path) -> io::Result<String> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).unwrap_or_default();
    let mut open = OpenOptions::new().read(true).custom_flags(flags).open(file)?;
    if !open.metadata()?.is_file() {
        return Err(io::Error::other("it has just become something else"));
    }
    sum(&mut open, Instant::now() + READING)
}

fn sum(open: &mut File, until: Instant) -> io::Result<String> {
    let (mut sum, mut buffer) = (Md5::new(), vec![0; 256 * 1024]);
    loop {
        let read = open.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(sum.finalize().as_slice()));
        }
        sum.update(buffer.get(..read).unwrap_or_default());
        if Instant::now() > until {
            return Err(io::Error::other(format!("its checksum took longer than {READING:?}")));
        }
    }
}

fn listing(dir: &str) -> io::Result<Value> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        if names.len() == MOST_LISTED {
            return Err(io::Error::other(format!("it has more than {MOST_LISTED} entries")));
        }
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(json!(names))
}
