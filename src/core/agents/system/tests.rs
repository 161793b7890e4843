//! Programs of the system and jobs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Map, json};
use tempfile::TempDir;

use super::input::{path, word};
use super::{Job, Jobs, State, Told, Tool};
use crate::core::agents::{Call, Outcome};
use crate::core::rpc::StatusCode;

const PATIENCE: Duration = Duration::from_secs(30);

fn call(request: &str) -> Call {
    Call {
        agent: "package".into(),
        action: "install".into(),
        data: Map::new(),
        request_id: request.into(),
        sender: "n1".into(),
        caller: "choria=alice".into(),
        collective: "mcollective".into(),
        ttl: 60,
        time: 0,
    }
}

async fn begin(jobs: &Jobs, request: &str, script: &str) -> Result<Job, String> {
    begin_by(jobs, "choria=alice", request, script).await
}

async fn begin_by(jobs: &Jobs, caller: &str, request: &str, script: &str) -> Result<Job, String> {
    let call = Call { caller: caller.into(), ..call(request) };
    let conclude = |told: Told| async move {
        Outcome::ok(json!({"code": told.code, "out": told.output, "err": told.errors}))
    };
    jobs.begin(Jobs::name_of(&call.caller, request), &call, Tool::shell(script), conclude).await
}

#[tokio::test]
async fn a_program_is_asked_in_the_language_c() {
    let told = Tool::new("env", [""; 0]).env("X", "1").ask(PATIENCE).await.unwrap();
    assert!(told.well() && told.output.contains("LC_ALL=C\n") && told.output.contains("X=1\n"));
    let told = Tool::new("sh", ["-c", "echo a; echo b >&2; exit 7"]).ask(PATIENCE).await.unwrap();
    assert_eq!((told.code, told.complaint().as_str(), told.all().as_str()), (7, "b", "a\nb"));
    let problem = Tool::new("no-such-program", [""; 0]).ask(PATIENCE).await.unwrap_err();
    assert_eq!(problem, "this node has no program no-such-program");
    assert!(Tool::new("sleep", ["600"]).ask(Duration::from_millis(50)).await.is_err());
}

#[tokio::test]
async fn a_job_ends_and_is_kept() {
    let dir = TempDir::new().unwrap();
    let jobs = Jobs::new(dir.path().join("jobs"));
    let outcome =
        begin(&jobs, "1", "echo out; echo err >&2; umask; exit 3").await.unwrap().within(PATIENCE).await;
    let outcome = outcome.unwrap();
    assert_eq!(outcome.data["code"], 3);
    assert_eq!(
        (outcome.data["out"].as_str(), outcome.data["err"].as_str()),
        (Some("out\n0022\n"), Some("err\n"))
    );
    let record = jobs.look(&Jobs::name_of("choria=alice", "1")).await.unwrap();
    assert_eq!((record.state, record.outcome.unwrap().code), (State::Ended(3), StatusCode::Ok));
    // another caller's is another's
    assert!(jobs.look(&Jobs::name_of("choria=bob", "1")).await.is_none());
    assert!(jobs.look("../jobs").await.is_none() && jobs.look("").await.is_none());
    let mode = fs::metadata(dir.path().join("jobs")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // once is once
    assert!(begin(&jobs, "1", "true").await.unwrap_err().contains("begun before"));
}

/// As a service's start script: what it leaves running holds its outputs.
#[tokio::test]
async fn what_a_job_leaves_running_is_not_waited_for() {
    let dir = TempDir::new().unwrap();
    let jobs = Jobs::new(dir.path().join("jobs"));
    let pid = dir.path().join("pid");
    let script = format!("sleep 600 & echo $! >{}; echo started", pid.display());
    let outcome = begin(&jobs, "1", &script).await.unwrap().within(Duration::from_secs(20)).await.unwrap();
    assert_eq!(outcome.data["out"], "started\n");
    let left: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    let left = rustix::process::Pid::from_raw(left).unwrap();
    rustix::process::test_kill_process(left).expect("it still runs");
    rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_job_goes_on_when_nobody_waits_and_is_killed_when_told() {
    let dir = TempDir::new().unwrap();
    let jobs = Jobs::new(dir.path().join("jobs"));
    let job = begin(&jobs, "1", "echo begun; exec sleep 600").await.unwrap();
    let job = job.within(Duration::from_millis(100)).await.unwrap_err();
    let name = Jobs::name_of("choria=alice", "1");
    let begun = async {
        loop {
            let record = jobs.look(&name).await.unwrap();
            if record.state == State::Running && !record.said((0, 0)).await.0.is_empty() {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let record = tokio::time::timeout(PATIENCE, begun).await.unwrap();
    assert_eq!(record.said((3, 0)).await.0, "un\n");
    assert!(record.kill().await);
    assert_eq!(job.within(PATIENCE).await.unwrap().data["code"], 143);
    assert!(!jobs.look(&name).await.unwrap().kill().await, "it has ended");
}

#[tokio::test]
async fn a_job_that_floods_keeps_what_it_may() {
    let dir = TempDir::new().unwrap();
    let jobs_dir = dir.path().join("jobs");
    let jobs = Jobs::new(&jobs_dir);
    let script = "head -c 20000000 /dev/zero | tr '\\0' x; echo >&2 done; sleep 0.6; echo end";
    let outcome = begin(&jobs, "1", script).await.unwrap().within(PATIENCE).await.unwrap();
    assert_eq!((outcome.data["code"].as_i64(), outcome.data["err"].as_str()), (Some(0), Some("done\n")));
    let out = outcome.data["out"].as_str().unwrap();
    assert!(out.len() <= 256 * 1024 && out.ends_with("end\n"), "{}", out.len());
    let file = jobs_dir.join(Jobs::name_of("choria=alice", "1")).join("stdout");
    assert!(fs::metadata(file).unwrap().len() < 4 * 1024 * 1024);
}

#[tokio::test]
async fn jobs_are_bounded_in_number() {
    let dir = TempDir::new().unwrap();
    let jobs = Jobs::new(dir.path().join("jobs"));
    let (mut begun, mut names) = (Vec::new(), Vec::new());
    let script = "echo begun; exec sleep 600";
    for caller in ["choria=a", "choria=b", "choria=c", "choria=d"] {
        for request in ["1", "2", "3", "4"] {
            begun.push(begin_by(&jobs, caller, request, script).await.unwrap());
            names.push(Jobs::name_of(caller, request));
        }
        let refused = begin_by(&jobs, caller, "5", "true").await.unwrap_err();
        assert!(refused.contains("4 pieces of work of yours"), "{refused}");
    }
    assert!(begin(&jobs, "more", "true").await.unwrap_err().contains("16 pieces of work"));
    for name in &names {
        kill_once_begun(&jobs, name).await;
    }
    for job in begun {
        job.within(PATIENCE).await.unwrap();
    }
    // what is no job stays, whatever its age and the number of jobs
    let other = dir.path().join("jobs").join("a".repeat(64));
    fs::create_dir(&other).unwrap();
    for request in 100..170 {
        begin(&jobs, &request.to_string(), "true").await.unwrap().within(PATIENCE).await.unwrap();
    }
    let kept = fs::read_dir(dir.path().join("jobs")).unwrap().count();
    assert_eq!(kept, 64 + 1, "the oldest have gone");
    assert!(other.exists());
    // hers are the most, so others' stay
    for name in names {
        assert!(jobs.look(&name).await.is_some());
    }
}

async fn kill_once_begun(jobs: &Jobs, name: &str) {
    let killed = async {
        loop {
            let record = jobs.look(name).await.unwrap();
            if !record.said((0, 0)).await.0.is_empty() && record.kill().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, killed).await.unwrap();
}

/// A daemon that comes back bounds what the one before it began.
#[tokio::test]
async fn jobs_of_a_life_before_are_looked_after() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join("jobs");
    let before = Jobs::new(&place);
    let name = |request: &str| Jobs::name_of("choria=alice", request);
    // a runtime that goes, as a daemon does
    let life = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let flood = "head -c 20000000 /dev/zero; exec sleep 600";
        runtime.block_on(async {
            for request in ["1", "2", "3", "4"] {
                begin(&before, request, flood).await.unwrap();
                until_it_runs(&before, &name(request)).await;
            }
        });
        runtime.shutdown_background();
    });
    life.join().unwrap();
    // that one was begun long ago: it has had its time
    let about = place.join(name("1")).join("job.json");
    let text = fs::read_to_string(&about).unwrap();
    let (head, _) = text.split_once("\"begun\":").unwrap();
    fs::write(&about, format!("{head}\"begun\":0}}")).unwrap();
    let jobs = Jobs::new(&place);
    let adopting = tokio::spawn({
        let jobs = jobs.clone();
        async move { jobs.adopt().await }
    });
    let ended = async {
        while matches!(jobs.look(&name("1")).await.unwrap().state, State::Running | State::Starting) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    // the other three count as hers, and that one soon no longer
    let fifth = async {
        while begin(&jobs, "5", "echo begun; exec sleep 600").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, fifth).await.unwrap();
    assert!(begin(&jobs, "6", "true").await.unwrap_err().contains("4 pieces of work of yours"));
    for request in ["2", "3", "4"] {
        until_short(&place.join(name(request)).join("stdout")).await;
    }
    for request in ["2", "3", "4", "5"] {
        kill_once_begun(&jobs, &name(request)).await;
    }
    tokio::time::timeout(PATIENCE, adopting).await.unwrap().unwrap();
}

async fn until_it_runs(jobs: &Jobs, name: &str) {
    let runs = async {
        while jobs.look(name).await.unwrap().state != State::Running {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, runs).await.unwrap();
}

/// Until what was written too much has been thrown away.
async fn until_short(file: &std::path::Path) {
    let short = async {
        while !fs::read(file).unwrap().starts_with(b"(what was said before is not kept)") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, short).await.unwrap();
}

/// Somebody laid out the directory before us.
#[tokio::test]
async fn a_directory_of_others_is_not_used() {
    let dir = TempDir::new().unwrap();
    let theirs = dir.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o777)).unwrap();
    let problem = begin(&Jobs::new(&theirs), "1", "true").await.unwrap_err();
    assert!(problem.contains("nobody else may write to"), "{problem}");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&theirs, &link).unwrap();
    assert!(begin(&Jobs::new(&link), "1", "true").await.is_err());
}

#[test]
fn words_and_paths() {
    for good in ["a", "0x", "a.b-c"] {
        assert!(word("x", good, ".-").is_ok());
    }
    for bad in ["", "-a", ".a", "a b", "a/b", "a\0"] {
        assert!(word("x", bad, ".-").is_err(), "{bad:?}");
    }
    for good in ["/etc/motd", "//etc/./motd", "/a b"] {
        assert!(path("x", good).is_ok(), "{good}");
    }
    for bad in ["", "etc", "/", "//", "/.", "/a/../b", "/a\nb", "..", "/a\0"] {
        assert!(path("x", bad).is_err(), "{bad:?}");
    }
    let text = path("file", "a\u{1b}[2J").unwrap_err().to_string();
    assert!(!text.contains('\u{1b}'), "{text}");
}
