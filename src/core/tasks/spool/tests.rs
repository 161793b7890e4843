use std::os::unix::fs::symlink;

use aws_lc_rs::digest::{SHA256, digest};
use tempfile::TempDir;

use super::*;
use crate::core::tasks::records::{executable, parse};
use crate::core::text::hex;

const ID: &str = "0123456789abcdef0123456789abcdef";

struct Stage {
    dir: TempDir,
    cache: Cache,
    spool: Spool,
    records: Vec<FileRecord>,
    name: TaskName,
}

fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let content = "#!/bin/sh\necho hello\n";
    let hash = hex(digest(&SHA256, content.as_bytes()).as_ref());
    let file = |name: &str| json!({"filename": name, "sha256": hash, "size_bytes": content.len(), "uri": {"path": "/puppet/v3/x", "params": {}}});
    let records = parse(&json!([file("init.sh"), file("other/lib/puppet_x/h.rb")]).to_string()).unwrap();
    fs::create_dir(dir.path().join("cache")).unwrap();
    fs::write(dir.path().join("cache").join(&hash), content).unwrap();
    Stage {
        cache: Cache::new(dir.path().join("cache")),
        spool: Spool::new(dir.path().join("spool")),
        records,
        name: TaskName::parse("demo").unwrap(),
        dir,
    }
}

impl Stage {
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            id: ID,
            name: &self.name,
            task: "demo",
            caller: "choria=alice",
            records: &self.records,
            executable: executable(&self.records, &self.name, |_| true).unwrap(),
            stdin: Some(r#"{"password":"hunter2"}"#),
            secret: false,
            user: None,
        }
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.spool.run(ID).join(name), text).unwrap();
    }

    fn status(&self) -> Status {
        self.spool.status(ID).unwrap().expect("it is known")
    }
}

#[test]
fn a_run_has_the_layout_of_the_original() {
    let stage = stage();
    let dir = stage.spool.prepare(&stage.wanted(), &stage.cache).unwrap();
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let about: Value = serde_json::from_str(&read("choria.json")).unwrap();
    assert_eq!(about["caller"], "choria=alice");
    assert_eq!(about["request"]["executable"], dir.join("files/demo/tasks/init.sh").display().to_string());
    let contract: Value = serde_json::from_str(&read("wrapper_stdin")).unwrap();
    assert_eq!(contract["input"], r#"{"password":"hunter2"}"#);
    for file in ["files/demo/tasks/init.sh", "files/other/lib/puppet_x/h.rb"] {
        assert_eq!(fs::metadata(dir.join(file)).unwrap().mode() & 0o777, 0o750, "{file}");
    }
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o750);
    // once is once
    assert!(matches!(stage.spool.prepare(&stage.wanted(), &stage.cache), Err(SpoolError::Before(_))));
    assert_eq!(read("choria.json"), about.to_string(), "what was there stays");
}

#[test]
fn secrets_are_kept_for_the_runner_alone() {
    let stage = stage();
    let dir = stage.spool.prepare(&Wanted { secret: true, ..stage.wanted() }, &stage.cache).unwrap();
    assert!(!fs::read_to_string(dir.join("choria.json")).unwrap().contains("hunter2"));
    assert_eq!(fs::metadata(dir.join("wrapper_stdin")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn nothing_is_left_of_a_run_whose_files_are_not_there() {
    let mut stage = stage();
    stage.records[1].sha256 = "0".repeat(64);
    let refused = stage.spool.prepare(&stage.wanted(), &stage.cache).unwrap_err();
    assert!(matches!(refused, SpoolError::Cache(CacheError::Absent(_))), "{refused}");
    assert!(!stage.spool.run(ID).exists());
}

#[test]
fn what_became_of_a_run() {
    let stage = stage();
    assert_eq!(stage.spool.status(ID).unwrap(), None);
    assert_eq!(stage.spool.status("../../../etc/passwd").unwrap(), None);
    stage.spool.prepare(&stage.wanted(), &stage.cache).unwrap();
    let begun = stage.status();
    assert!(!begun.completed && begun.exitcode == -1 && begun.failure().is_none(), "{begun:?}");
    // somebody is at it: this process
    stage.put("wrapper_stderr", "");
    stage.put("wrapper_pid", &std::process::id().to_string());
    stage.put("runner", &process::named(std::process::id()).unwrap());
    stage.put("stdout", "part");
    let running = stage.status();
    assert!(!running.completed && running.wrapper_spawned, "{running:?}");
    assert_eq!(running.stdout["_output"], "part");
    stage.spool.tidy(Duration::ZERO);
    assert!(stage.spool.run(ID).exists(), "what is at work stays");
    for (written, code, failure) in [
        ("", None, None),
        ("1x", None, None),
        ("-", None, None),
        ("0", Some(0), None),
        (
            "0\nno room",
            Some(0),
            Some(
                "choria.tasks/output-lost: The task ended with a code 0, and not all it wrote could be kept: no room",
            ),
        ),
        ("3", Some(3), Some("choria.tasks/task-error: The task errored with a code 3")),
    ] {
        stage.put("exitcode", written);
        let status = stage.status();
        assert_eq!((status.completed, status.exitcode), (code.is_some(), code.unwrap_or(-1)), "{written:?}");
        assert_eq!(status.failure().as_deref(), failure);
    }
    stage.put("killed_by", "choria=bob");
    assert_eq!(
        stage.status().failure().as_deref(),
        Some("choria.tasks/killed: The task was ended by choria=bob")
    );
    stage.put("stdout", r#"{"_error":{"kind":"demo/e","msg":"no"}}"#);
    stage.put("exitcode", "0");
    assert_eq!(stage.status().failure().as_deref(), Some("demo/e: no"));
    stage.put("wrapper_stderr", "cannot start\n");
    let failed = stage.status();
    assert_eq!(
        failed.failure().as_deref(),
        Some("choria.tasks/wrapper-error: The task wrapper failed to run")
    );
    assert_eq!(
        (failed.exitcode, failed.wrapper_spawned, failed.wrapper_error.as_str()),
        (-1, false, "cannot start\n")
    );
    // what it was made of goes before what came of it
    let run = stage.spool.run(ID);
    let ended = std::time::SystemTime::now() - FILES_KEPT - Duration::from_secs(1);
    stage.spool.tidy(Duration::from_secs(86_400));
    assert!(run.join("files").exists());
    fs::File::open(run.join("exitcode")).unwrap().set_modified(ended).unwrap();
    stage.spool.tidy(Duration::from_secs(86_400));
    assert!(!run.join("files").exists() && run.join("exitcode").exists());
    stage.spool.tidy(Duration::ZERO);
    assert!(!run.exists());
}

#[test]
fn a_runner_that_was_killed_ends_the_run() {
    let stage = stage();
    stage.spool.prepare(&stage.wanted(), &stage.cache).unwrap();
    stage.put("wrapper_stderr", "");
    stage.put("wrapper_pid", "4194303");
    stage.put("runner", "4194303 1 boot");
    let status = stage.status();
    assert!(status.completed && !status.wrapper_spawned, "{status:?}");
    assert!(status.failure().unwrap().contains("The runner of the task was killed"));
    stage.put("exitcode", "1");
    assert_eq!(stage.status().exitcode, 1, "what it wrote before counts");
}

/// A run as another user writes into its own directory.
#[test]
fn what_a_stranger_may_have_put_there_is_not_read() {
    let stage = stage();
    let dir = stage.spool.prepare(&stage.wanted(), &stage.cache).unwrap();
    stage.put("exitcode", "0");
    let secret = stage.dir.path().join("shadow");
    fs::write(&secret, "root:secret").unwrap();
    for kind in 0..3 {
        for name in ["stdout", "stderr", "wrapper_stderr"] {
            let _ = fs::remove_file(dir.join(name));
            match kind {
                0 => symlink(&secret, dir.join(name)).unwrap(),
                1 => fs::hard_link(&secret, dir.join(name)).unwrap(),
                _ => rustix::fs::mknodat(CWD, dir.join(name), rustix::fs::FileType::Fifo, Mode::RUSR, 0)
                    .unwrap(),
            }
        }
        let status = stage.status();
        assert!(!format!("{status:?}").contains("secret"), "{kind} {status:?}");
    }
    // nor is it written to
    symlink(&secret, dir.join("killed_by")).unwrap();
    stage.put("exitcode", "");
    let mut task = std::process::Command::new("/bin/sleep");
    let mut task = std::os::unix::process::CommandExt::process_group(&mut task, 0).arg("60").spawn().unwrap();
    stage.put("task_pid", &process::named(task.id()).unwrap());
    assert!(stage.spool.kill(ID, "choria=alice", Signal::KILL).unwrap());
    task.wait().unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "root:secret");
    assert!(!stage.spool.kill(ID, "choria=alice", Signal::KILL).unwrap(), "it has ended");
    symlink(&secret, stage.dir.path().join("spool").join("f".repeat(32))).unwrap();
    assert_eq!(stage.spool.status(&"f".repeat(32)).unwrap(), None);
}

#[test]
fn why_a_runner_did_not_begin_is_written_through_no_link() {
    let stage = stage();
    let dir = stage.spool.prepare(&stage.wanted(), &stage.cache).unwrap();
    let victim = stage.dir.path().join("victim");
    fs::write(&victim, "keep").unwrap();
    let file = dir.join("wrapper_stderr");
    let told = || stage.status().wrapper_error;
    // as its runner leaves it
    stage.put("wrapper_stderr", "");
    stage.spool.not_begun(ID, "no room");
    assert_eq!(told(), "no room");
    // links of whoever owns the directory, also to nothing
    for target in [&victim, &stage.dir.path().join("new")] {
        fs::remove_file(&file).unwrap();
        symlink(target, &file).unwrap();
        stage.spool.not_begun(ID, "it was killed");
        assert_eq!(told(), "it was killed");
    }
    fs::remove_file(&file).unwrap();
    fs::hard_link(&victim, &file).unwrap();
    stage.spool.not_begun(ID, "again");
    assert_eq!((told().as_str(), fs::read_to_string(&victim).unwrap().as_str()), ("again", "keep"));
    assert!(!stage.dir.path().join("new").exists());
}

#[test]
fn one_caller_leaves_room_for_others() {
    let stage = stage();
    let id = |at: usize| format!("{at:032}");
    let begin = |at: usize, caller: &str| {
        let id = id(at);
        let dir = stage.spool.prepare(&Wanted { id: &id, caller, ..stage.wanted() }, &stage.cache)?;
        fs::write(dir.join("runner"), process::named(std::process::id()).unwrap())?;
        Ok::<_, SpoolError>(())
    };
    for at in 0..OF_CALLER {
        begin(at, "choria=alice").unwrap();
    }
    assert!(begin(100, "choria=alice").unwrap_err().to_string().contains("32 tasks of yours"));
    for at in OF_CALLER..AT_ONCE {
        begin(at, if at % 2 == 0 { "choria=bob" } else { "choria=carol" }).unwrap();
    }
    assert!(begin(100, "choria=dan").unwrap_err().to_string().contains("64 tasks are at work"));
    fs::write(stage.spool.run(&id(0)).join("exitcode"), "0").unwrap();
    begin(100, "choria=dan").unwrap();
}

#[test]
fn ids_are_of_requests() {
    for good in [ID, "1FZ6x9Q5pYzYvXw2Kq0pQh3Zl0a"] {
        assert!(is_id(good), "{good}");
    }
    for bad in ["", "..", "0123456789ABCDEF0123456789ABCDEF", "1FZ6x9Q5pYzYvXw2Kq0pQh3Zl0/", &"a".repeat(33)]
    {
        assert!(!is_id(bad), "{bad}");
    }
}
