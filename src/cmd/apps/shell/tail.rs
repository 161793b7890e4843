//! `choria shell run --tail` and `watch`: output as it comes.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use choria::core::client::RequestStats;
use futures::{StreamExt, stream};
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output::Output;
use crate::cmd::apps::talk::{Plan, Talk};
use crate::cmd::apps::{Application, Inputs};
use crate::cmd::context::block_on;
use crate::cmd::exit::INTERRUPTED;
use crate::cmd::out::{errln, outln};
use crate::cmd::render::text::clean;

/// Between two looks.
const ROUND: Duration = Duration::from_secs(1);
/// How long a node may take to say what was written.
const ANSWER: Duration = Duration::from_secs(10);
/// Nodes that are asked at the same time: each has a handle of its own.
const AT_ONCE: usize = 32;
/// Looks in a row that a node may miss before it is given up.
const PATIENCE: u32 = 5;

/// A command on a node.
struct Job {
    node: String,
    handle: String,
    stdout: Output,
    stderr: Output,
    missed: u32,
    /// There is more than the last look showed.
    behind: bool,
    over: bool,
}

impl Job {
    fn new(node: &str, handle: &str) -> Job {
        let (stdout, stderr) = (Output::default(), Output::default());
        let (node, handle) = (node.to_owned(), handle.to_owned());
        Job { node, handle, stdout, stderr, missed: 0, behind: false, over: false }
    }
}

/// Starts a command and shows its output; an interrupt ends the command.
pub fn run(application: &mut Application<'_>, inputs: &Inputs) -> anyhow::Result<ExitCode> {
    let plan = plan(application)?;
    plan.check("start", inputs)?;
    block_on(async {
        let talk = plan.connect(application).await?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let found = talk.find(application).await?;
        let by_asking = found.late.asked();
        let started = talk.ask("start", inputs, found, None).await?;
        let mut jobs = vec![];
        for reply in &started.replies {
            let handle = reply.body.data.get("handle").and_then(Value::as_str);
            match handle.filter(|_| reply.body.statuscode.is_ok()) {
                Some(handle) => jobs.push(Job::new(&reply.sender, handle)),
                None => told(&reply.sender, "stderr", &reply.body.statusmsg),
            }
        }
        talk.report(&started);
        let interrupted = started.interrupted || follow(&talk, &mut jobs, &mut interrupt).await?;
        if interrupted {
            errln!("choria: ending the commands; another interrupt leaves them to themselves");
            kill(&talk, &jobs).await;
            follow(&talk, &mut jobs, &mut interrupt).await?;
        }
        talk.close().await;
        let stats = lost(started.stats, &jobs);
        Ok(application.exit.of(&stats, interrupted, by_asking))
    })?
}

/// Shows the output of commands that were started.
pub fn watch(application: &mut Application<'_>, handles: &[&str]) -> anyhow::Result<ExitCode> {
    let plan = plan(application)?;
    let status = |handle: &str| {
        Inputs::default().with("handle", handle).with("stdout_offset", "0").with("stderr_offset", "0")
    };
    handles.iter().try_for_each(|handle| plan.check("status", &status(handle)))?;
    block_on(async {
        let talk = plan.connect(application).await?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let nodes = talk.find(application).await?.nodes;
        let mut jobs = vec![];
        for handle in handles {
            let answers = talk.ask_nodes("status", &status(handle), nodes.clone(), Some(ANSWER)).await?;
            let of = answers.replies.iter().filter(|reply| reply.body.statuscode.is_ok());
            jobs.extend(of.map(|reply| Job::new(&reply.sender, handle)));
        }
        if jobs.is_empty() {
            talk.close().await;
            bail!("none of {} nodes has a command of that handle: choria shell list", nodes.len());
        }
        let interrupted = follow(&talk, &mut jobs, &mut interrupt).await?;
        talk.close().await;
        let code = match jobs.iter().any(|job| job.missed >= PATIENCE) {
            _ if interrupted => INTERRUPTED,
            true => 4,
            false => 0,
        };
        Ok(ExitCode::from(code))
    })?
}

fn plan(application: &mut Application<'_>) -> anyhow::Result<Plan> {
    let flags = &application.flags;
    if !flags.is_text() || flags.batch.is_some() || flags.output_file.is_some() {
        bail!("output is shown as it comes: there is no other form of it, no batches and no file");
    }
    Plan::new(application, "shell")
}

/// Nodes that were given up did not answer.
fn lost(mut stats: RequestStats, jobs: &[Job]) -> RequestStats {
    let lost = jobs.iter().filter(|job| job.missed >= PATIENCE).count();
    stats.responses = stats.responses.saturating_sub(lost);
    stats.ok = stats.ok.saturating_sub(lost);
    stats
}

/// Shows output until all commands are over; true when interrupted before.
async fn follow(talk: &Talk, jobs: &mut [Job], interrupt: &mut Signal) -> anyhow::Result<bool> {
    let mut round = Instant::now();
    while !jobs.iter().all(|job| job.over) {
        let all = Instant::now() >= round;
        if all {
            round = Instant::now() + ROUND;
        }
        let due = jobs.iter_mut().filter(|job| !job.over && (all || job.behind));
        let looks: Vec<_> = due.map(|job| look(talk, job)).collect();
        let looked = stream::iter(looks).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        let looked = tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(true),
            looked = looked => looked,
        };
        looked.into_iter().collect::<anyhow::Result<()>>()?;
        // who is behind catches up at once
        let behind = jobs.iter().any(|job| job.behind);
        let pause = if behind { Duration::ZERO } else { round.saturating_duration_since(Instant::now()) };
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(true),
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(false)
}

/// What a command has written since the last look.
async fn look(talk: &Talk, job: &mut Job) -> anyhow::Result<()> {
    let inputs = Inputs::default()
        .with("handle", &job.handle)
        .with("stdout_offset", job.stdout.offset.to_string())
        .with("stderr_offset", job.stderr.offset.to_string());
    let answers = talk.ask_nodes("status", &inputs, vec![job.node.clone()], Some(ANSWER)).await?;
    job.behind = false;
    let Some(reply) = answers.replies.first() else {
        job.missed += 1;
        if job.missed >= PATIENCE {
            job.over = true;
            told(&job.node, "stderr", "the node does not answer any more");
        }
        return Ok(());
    };
    job.missed = 0;
    if !reply.body.statuscode.is_ok() {
        job.over = true;
        told(&job.node, "stderr", &reply.body.statusmsg);
        return Ok(());
    }
    let data = &reply.body.data;
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    let before = (job.stdout.offset, job.stderr.offset);
    // the public agent tells all there is at once, and not where the next piece begins
    for (name, output) in [("stdout", &mut job.stdout), ("stderr", &mut job.stderr)] {
        let next = data.get(&format!("{name}_next")).and_then(Value::as_u64);
        output.take(text(name), next).iter().for_each(|line| told(&job.node, name, line));
    }
    let more = data.get("more").and_then(Value::as_bool).unwrap_or_default();
    job.behind = more && (job.stdout.offset, job.stderr.offset) != before;
    let over = !["starting", "running"].contains(&text("status")) && !job.behind;
    for (name, output) in [("stdout", &mut job.stdout), ("stderr", &mut job.stderr)] {
        if over {
            output.end().iter().for_each(|line| told(&job.node, name, line));
        }
    }
    if over {
        job.over = true;
        match data.get("exitcode").filter(|code| !code.is_null()) {
            Some(code) if code.as_i64() != Some(0) => told(&job.node, "exitcode", &code.to_string()),
            _ => {}
        }
    }
    Ok(())
}

/// Has all that still run end, and says where that may not have happened.
async fn kill(talk: &Talk, jobs: &[Job]) {
    let kills = jobs.iter().filter(|job| !job.over).map(|job| async {
        let inputs = Inputs::default().with("handle", &job.handle);
        let answers = talk.ask_nodes("kill", &inputs, vec![job.node.clone()], Some(ANSWER)).await;
        let problem = match answers.as_ref().map(|answers| answers.replies.first()) {
            Ok(Some(reply)) if reply.body.statuscode.is_ok() => return,
            Ok(Some(reply)) => reply.body.statusmsg.clone(),
            Ok(None) => format!(
                "no answer, the command may run on; choria shell kill {} -I {} ends it",
                job.handle, job.node
            ),
            Err(e) => e.to_string(),
        };
        errln!("choria: {}: {}", clean(&job.node, false), clean(&problem, false));
    });
    stream::iter(kills.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

fn told(node: &str, output: &str, line: &str) {
    outln!("{} {output}: {}", clean(node, false), clean(line, false));
}
