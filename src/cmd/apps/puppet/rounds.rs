//! `choria puppet runall`: looks at nodes once a second, and starts who may.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use choria::core::client::RpcReply;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::runall::{Ended, Runall, State};
use crate::cmd::apps::talk::{Plan, Talk};
use crate::cmd::apps::{Application, Inputs};
use crate::cmd::context::block_on;
use crate::cmd::exit::INTERRUPTED;
use crate::cmd::out::outln;
use crate::cmd::render::text::clean;

/// Between two looks.
const ROUND: Duration = Duration::from_secs(1);
/// How long a node may take to say how it is.
const ANSWER: Duration = Duration::from_secs(5);

/// Runs all agents that are enabled, `most` at a time; again and again where that is
/// wanted.
pub fn run(
    application: &mut Application<'_>,
    inputs: Inputs,
    most: usize,
    again: Option<Duration>,
) -> anyhow::Result<ExitCode> {
    let flags = &application.flags;
    if !flags.is_text() || flags.batch.is_some() || flags.output_file.is_some() {
        bail!("runall tells what happens as it happens: it has no other form, batches or file of results");
    }
    let inputs = inputs.with("force", "true");
    let plan = Plan::new(application, "puppet")?;
    plan.check("runonce", &inputs)?;
    block_on(async {
        let talk = plan.connect(application).await?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let code = loop {
            let begun = Instant::now();
            let whole = once(application, &talk, &inputs, most, &mut interrupt).await?;
            let (Some(whole), Some(again)) = (whole, again) else {
                break match whole {
                    None => INTERRUPTED,
                    Some(true) => 0,
                    Some(false) => 2,
                };
            };
            let rest = again.saturating_sub(begun.elapsed());
            tell(format_args!("next round in {} s", rest.as_secs()));
            if sleep(rest, &mut interrupt).await.is_none() {
                break if whole { 0 } else { 2 };
            }
        };
        talk.close().await;
        Ok(ExitCode::from(code))
    })?
}

/// One round of all nodes: whether all ran; nothing when interrupted.
async fn once(
    application: &Application<'_>,
    talk: &Talk,
    inputs: &Inputs,
    most: usize,
    interrupt: &mut Signal,
) -> anyhow::Result<Option<bool>> {
    tell(format_args!("looking for nodes whose Puppet agent is enabled"));
    let found = talk.find(application).await?;
    let answers = talk.ask("status", &Inputs::default(), found, None).await?;
    if answers.interrupted {
        return Ok(None);
    }
    talk.report(&answers);
    let enabled = |reply: &&RpcReply| {
        reply.body.statuscode.is_ok() && reply.body.data.get("enabled").and_then(Value::as_bool) == Some(true)
    };
    let nodes: Vec<_> =
        answers.replies.iter().filter(enabled).map(|reply| (reply.sender.clone(), state(reply))).collect();
    let all = nodes.len();
    if nodes.is_empty() {
        bail!("none of {} nodes has a Puppet agent that is enabled", answers.replies.len());
    }
    tell(format_args!("running {all} nodes, {most} at a time"));
    let mut runall = Runall::new(nodes, most);
    let mut given_up = 0;
    while !runall.is_done() {
        let begun = Instant::now();
        let looked = round(talk, &mut runall, inputs, &mut given_up).await?;
        let slept = match looked && !runall.is_done() {
            true => sleep(ROUND.saturating_sub(begun.elapsed()), interrupt).await,
            false => looked.then_some(()),
        };
        if slept.is_none() {
            let (applying, waiting) = (runall.applying(), runall.waiting());
            tell(format_args!(
                "interrupted: {applying} nodes are applying and go on, {waiting} were not told to"
            ));
            return Ok(None);
        }
    }
    tell(format_args!("{} nodes ran, {given_up} were given up", all - given_up));
    Ok(Some(given_up == 0))
}

/// Starts who may, and looks at everybody; false when interrupted.
async fn round(
    talk: &Talk,
    runall: &mut Runall,
    inputs: &Inputs,
    given_up: &mut usize,
) -> anyhow::Result<bool> {
    let mut ended = |node: &str, how: Option<Ended>| match how {
        None => {}
        Some(Ended::Ran) => tell(format_args!("{node} has run")),
        Some(Ended::GivenUp(why)) => {
            *given_up += 1;
            tell(format_args!("{node} is given up: {why}"));
        }
    };
    let start = runall.start();
    if !start.is_empty() {
        let (applying, waiting) = (runall.applying(), runall.waiting());
        tell(format_args!(
            "{applying} nodes apply or begin to, {waiting} wait; starting {}",
            start.join(", ")
        ));
        let answers = talk.ask_nodes("runonce", inputs, start, Some(ANSWER)).await?;
        for reply in answers.replies.iter().filter(|reply| !reply.body.statuscode.is_ok()) {
            ended(&reply.sender, runall.refused(&reply.sender, &reply.body.statusmsg));
        }
        if answers.interrupted {
            return Ok(false);
        }
    }
    let nodes = runall.nodes();
    if nodes.is_empty() {
        return Ok(true);
    }
    let answers = talk.ask_nodes("status", &Inputs::default(), nodes.clone(), Some(ANSWER)).await?;
    if answers.interrupted {
        return Ok(false);
    }
    let mut missing: BTreeSet<String> = nodes.into_iter().collect();
    for reply in answers.replies.iter().filter(|reply| reply.body.statuscode.is_ok()) {
        missing.remove(&reply.sender);
        ended(&reply.sender, runall.saw(&reply.sender, state(reply)));
    }
    for node in missing {
        ended(&node, runall.missed(&node));
    }
    Ok(true)
}

fn state(reply: &RpcReply) -> State {
    let data = &reply.body.data;
    State {
        applying: data.get("applying").and_then(Value::as_bool).unwrap_or(false),
        last_run: data.get("lastrun").and_then(Value::as_i64).unwrap_or_default(),
    }
}

/// Nothing when a person does not want to wait.
async fn sleep(time: Duration, interrupt: &mut Signal) -> Option<()> {
    tokio::select! {
        biased;
        _ = interrupt.recv() => None,
        () = tokio::time::sleep(time) => Some(()),
    }
}

fn tell(what: std::fmt::Arguments<'_>) {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
    outln!("{now}: {}", clean(&what.to_string(), false));
}
