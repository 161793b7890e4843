//! Jobs from their beginning to their end, and after.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, json};
use tempfile::TempDir;

use super::super::{Told, Tool};
use super::*;

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
            if record.state == State::Running && !record.last().await.0.is_empty() {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let record = tokio::time::timeout(PATIENCE, begun).await.unwrap();
    assert_eq!(record.said((3, 0)).await.0.text, "un\n");
    assert_eq!(record.kill().await, Kill::Told);
    assert_eq!(job.within(PATIENCE).await.unwrap().data["code"], 143);
    assert_eq!(jobs.look(&name).await.unwrap().kill().await, Kill::Over);
}

/// However much it says at once: what is kept on disk is bounded all the time.
#[tokio::test]
async fn a_job_that_floods_keeps_what_it_may() {
    let dir = TempDir::new().unwrap();
    let jobs_dir = dir.path().join("jobs");
    let jobs = Jobs::new(&jobs_dir);
    let script = "head -c 300000000 /dev/zero | tr '\\0' x; echo; echo end; echo done >&2";
    let job = begin(&jobs, "1", script).await.unwrap();
    let job_dir = jobs_dir.join(Jobs::name_of("choria=alice", "1"));
    let working = job.within(PATIENCE * 2);
    tokio::pin!(working);
    let mut most = 0;
    let outcome = loop {
        tokio::select! {
            outcome = &mut working => break outcome.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(1)) => most = most.max(on_disk(&job_dir)),
        }
    };
    assert_eq!((outcome.data["code"].as_i64(), outcome.data["err"].as_str()), (Some(0), Some("done\n")));
    let out = outcome.data["out"].as_str().unwrap();
    assert!(out.len() > 255 * 1024 && out.len() <= 256 * 1024 && out.ends_with("x\nend\n"), "{}", out.len());
    most = most.max(on_disk(&job_dir));
    assert!(most > 1024 * 1024 && most <= 4 * 1024 * 1024, "{most}");
    // later there is less
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().write(true).open(job_dir.join("exit")).unwrap().set_modified(long_ago).unwrap();
    begin(&jobs, "2", "true").await.unwrap().within(PATIENCE).await.unwrap();
    let left = on_disk(&job_dir);
    assert!(left < 1024 * 1024, "{left}");
    let record = jobs.look(&Jobs::name_of("choria=alice", "1")).await.unwrap();
    assert_eq!(record.last().await.0, out);
}

/// What is in a directory of a job.
fn on_disk(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
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
            if !record.last().await.0.is_empty() && record.kill().await == Kill::Told {
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
                until_it(&before, &name(request), |state| state == State::Running).await;
            }
        });
        runtime.shutdown_background();
    });
    life.join().unwrap();
    // one was begun long ago: it has had its time
    let about = place.join(name("1")).join("job.json");
    let text = fs::read_to_string(&about).unwrap();
    let (head, _) = text.split_once("\"begun\":").unwrap();
    fs::write(&about, format!("{head}\"begun\":0}}")).unwrap();
    // one ends while no daemon is there
    let meanwhile = Jobs::new(&place);
    kill_once_begun(&meanwhile, &name("2")).await;
    let over = |state| !matches!(state, State::Running | State::Starting);
    until_it(&meanwhile, &name("2"), over).await;
    // what has ended has no place; three are left, and one more counts once, however early it
    // comes
    let jobs = Jobs::new(&place);
    let (fifth, ()) = tokio::join!(begin(&jobs, "5", "echo begun; exec sleep 600"), jobs.adopt());
    fifth.unwrap();
    // hers that has had its time gives its place back, soon after
    let sixth = async {
        loop {
            match begin(&jobs, "6", "echo begun; exec sleep 600").await {
                Ok(_) => return,
                Err(refused) => assert!(refused.contains("4 pieces of work of yours"), "{refused}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, sixth).await.unwrap();
    assert!(begin(&jobs, "7", "true").await.unwrap_err().contains("4 pieces of work of yours"));
    for request in ["3", "4", "5", "6"] {
        assert!(on_disk(&place.join(name(request))) <= 4 * 1024 * 1024);
        kill_once_begun(&jobs, &name(request)).await;
    }
}

async fn until_it(jobs: &Jobs, name: &str, is: impl Fn(State) -> bool) {
    let state = async {
        while !is(jobs.look(name).await.unwrap().state) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, state).await.unwrap();
}

/// Four that a daemon finds count before anything begins, whoever comes first.
#[tokio::test]
async fn jobs_of_a_life_before_count_from_the_first_moment() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join("jobs");
    let before = Jobs::new(&place);
    for request in ["1", "2", "3", "4"] {
        begin(&before, request, "echo begun; exec sleep 600").await.unwrap();
        until_it(&before, &Jobs::name_of("choria=alice", request), |state| state == State::Running).await;
    }
    let jobs = Jobs::new(&place);
    let (refused, ()) = tokio::join!(begin(&jobs, "5", "true"), jobs.adopt());
    assert!(refused.unwrap_err().contains("4 pieces of work of yours"));
    for request in ["1", "2", "3", "4"] {
        kill_once_begun(&jobs, &Jobs::name_of("choria=alice", request)).await;
    }
}

/// All that is known of its end is what its first process said: there was no room for more.
#[tokio::test]
async fn a_job_that_cannot_keep_its_exit_code_tells_it() {
    let dir = TempDir::new().unwrap();
    let jobs = Jobs::new(dir.path().join("jobs"));
    let exit = dir.path().join("jobs").join(Jobs::name_of("choria=alice", "1")).join("exit");
    let script = format!("rm {0}; mkdir {0}; echo well; exit 4", exit.display());
    let outcome = begin(&jobs, "1", &script).await.unwrap().within(PATIENCE).await.unwrap();
    assert_eq!((outcome.data["code"].as_i64(), outcome.data["out"].as_str()), (Some(4), Some("well\n")));
}

/// A directory that takes nothing, as a full disk does not.
#[tokio::test]
async fn what_cannot_be_written_down_ends_nothing() {
    let dir = TempDir::new().unwrap();
    let jobs = Jobs::new(dir.path().join("jobs"));
    let own = dir.path().join("jobs").join(Jobs::name_of("choria=alice", "1"));
    let part = own.join("stdout.0");
    let script = format!("rm {0}; mkdir {0} && head -c 2000000 /dev/zero; echo fine >&2", part.display());
    let outcome = begin(&jobs, "1", &script).await.unwrap().within(PATIENCE).await.unwrap();
    assert_eq!((outcome.data["code"].as_i64(), outcome.data["err"].as_str()), (Some(0), Some("fine\n")));
}

/// A fault of ours is told, and no reason to wait.
#[tokio::test]
async fn a_job_that_nobody_looks_after_is_no_longer_at_work() {
    let dir = TempDir::new().unwrap();
    let jobs = Jobs::new(dir.path().join("jobs"));
    let call = call("1");
    let name = Jobs::name_of(&call.caller, "1");
    async fn breaks(told: Told) -> Outcome {
        panic!("a fault, after {}", told.code)
    }
    let job = jobs.begin(name.clone(), &call, Tool::shell("exit 5"), breaks).await.unwrap();
    let outcome = job.within(PATIENCE).await.unwrap();
    assert!(outcome.message.contains("exit status 5") && outcome.message.contains("fault"), "{outcome:?}");
    let kept = jobs.look(&name).await.unwrap().outcome.unwrap();
    assert_eq!(kept.message, outcome.message);
    let (lost, outcome) = oneshot::channel();
    drop(lost);
    let outcome = Job { outcome, otherwise: Arc::default() }.within(PATIENCE).await.unwrap();
    assert_eq!(outcome.code, StatusCode::UnknownError);
    assert!(outcome.message.contains("lost sight"), "{outcome:?}");
}

/// Who ends a job that is only just beginning ends it.
#[tokio::test]
async fn a_job_is_killed_however_early() {
    let dir = TempDir::new().unwrap();
    let jobs = Jobs::new(dir.path().join("jobs"));
    let job = begin(&jobs, "1", "exec sleep 600").await.unwrap();
    let record = jobs.look(&Jobs::name_of("choria=alice", "1")).await.unwrap();
    assert_eq!(record.kill().await, Kill::Told);
    assert_eq!(job.within(PATIENCE).await.unwrap().data["code"], 143);
}

/// Also those in its process group that stay when it ends.
#[tokio::test]
async fn a_job_that_does_not_want_to_end_is_ended() {
    let dir = TempDir::new().unwrap();
    let jobs = Jobs::new(dir.path().join("jobs"));
    let left = dir.path().join("left");
    let stubborn =
        format!("sh -c 'trap \"\" TERM; echo $$ >{}; while :; do sleep 0.1; done'", left.display());
    for (request, script) in [("1", format!("exec {stubborn}")), ("2", format!("{stubborn} & sleep 600"))] {
        let _ = fs::remove_file(&left);
        let job = begin(&jobs, request, &script).await.unwrap();
        let pid = async {
            loop {
                match fs::read_to_string(&left).ok().and_then(|pid| pid.trim().parse().ok()) {
                    Some(pid) => return rustix::process::Pid::from_raw(pid).unwrap(),
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let pid = tokio::time::timeout(PATIENCE, pid).await.unwrap();
        let record = jobs.look(&Jobs::name_of("choria=alice", request)).await.unwrap();
        assert_eq!(record.kill().await, Kill::Told);
        // the first goes on; the second ends, and leaves somebody
        let patience = if request == "1" { Duration::from_secs(1) } else { PATIENCE };
        let job = job.within(patience).await.err();
        assert_eq!(job.is_some(), request == "1");
        rustix::process::test_kill_process(pid).expect("it does not want to");
        record.end().await;
        let gone = async {
            while rustix::process::test_kill_process(pid).is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
        if let Some(job) = job {
            assert!(job.within(PATIENCE).await.unwrap().message.contains("killed"));
        }
    }
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
