//! One action, all replies: for commands that show the answers in a form of
//! their own.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::client::history::Recorder;
use choria::core::client::stages::Check;
use choria::core::client::{Client, RequestStats, RpcCall, RpcOptions, RpcReply};
use choria::core::discovery::Discovered;
use serde_json::{Map, Value};

use super::exit::{AfterAsking, Exit};
use super::history;
use super::out;
use super::request::{Followed, Staged, Wanted, follow, usual_timeout};
use super::rpc::resolver;
use super::trouble;

/// What came back.
pub struct Answers {
    pub replies: Vec<RpcReply>,
    pub stats: RequestStats,
    /// A person ended it before everybody had answered.
    pub interrupted: bool,
    /// It stopped before its last stage, or the check found something.
    pub badly: bool,
    /// What the check of a stage said, by node.
    pub unwell: BTreeMap<String, String>,
    /// The nodes have answered when they were looked for.
    found: bool,
    agent: String,
}

impl Answers {
    /// The code of a command of these answers, of which `well` says whether all are by what is in them.
    pub fn code(&self, exit: Exit, well: bool) -> ExitCode {
        match (self.replies.is_empty(), well) {
            _ if self.interrupted => exit.interrupted(),
            (true, _) => exit.nobody_answered(),
            (false, false) if !exit.is_original() => ExitCode::FAILURE,
            _ => exit.of(&self.stats, false, self.found),
        }
    }

    /// Says what is known about those who did not answer, or do not let us.
    pub fn report(&self, client: &Client, collective: &str) {
        let denied = self.replies.iter().filter(|reply| trouble::is_denial(&reply.body)).count();
        trouble::denied(denied, &self.agent);
        trouble::report(client, collective, &self.stats, self.found, self.interrupted);
        trouble::late(&self.stats.late_discoveries);
    }

    /// Whether the nodes were looked for by asking them.
    pub fn by_asking(&self) -> bool {
        self.found
    }
}

/// Calls `agent#action` on `found` and collects the replies; stops early when
/// interrupted, with what is known.
pub async fn ask(
    client: &Client,
    agent: &str,
    action: &str,
    data: Map<String, Value>,
    collective: String,
    found: Discovered,
) -> anyhow::Result<Answers> {
    if found.nodes.is_empty() {
        bail!(
            "did not discover any nodes{}",
            trouble::nobody_found(client, &collective, &found, Some(agent))
        );
    }
    let ddl = resolver(client.config()).agent(agent)?;
    ddl.action(action).with_context(|| format!("unknown action {agent}#{action}"))?;
    let options = RpcOptions {
        agent: agent.to_owned(),
        action: action.to_owned(),
        data,
        collective,
        timeout: Duration::from_secs(usual_timeout(client.config(), &ddl)),
        batch: None,
    };
    collect(client, options, found).await
}

/// What else becomes of a request than that its replies are collected.
#[derive(Default)]
pub struct Course {
    /// It is kept for `choria history`.
    pub recorder: Option<Recorder>,
    /// It goes in stages, with what looks at nodes after each, and a pause between them. What is kept of it says
    /// how it goes on later.
    pub stages: Option<(Wanted, Option<Check>, Duration)>,
}

/// All replies of the nodes that were found; stops early when interrupted, with what
/// is known.
pub async fn collect(client: &Client, options: RpcOptions, found: Discovered) -> anyhow::Result<Answers> {
    collect_by(client, options, found, Course::default()).await
}

/// The same, on a course of its own.
pub async fn collect_by(
    client: &Client,
    options: RpcOptions,
    mut found: Discovered,
    course: Course,
) -> anyhow::Result<Answers> {
    let Course { mut recorder, stages } = course;
    let agent = options.agent.clone();
    let nodes = std::mem::take(&mut found.nodes);
    let (mut call, mut staged) = match (stages, &recorder) {
        (Some((wanted, check, pause)), Some(recorder)) => {
            let (call, staged) = wanted.begin(client, options, nodes, recorder.asked(), check, pause).await?;
            (call, Some(staged))
        }
        (Some(_), None) => bail!("what goes in stages has to be kept"),
        (None, _) => (RpcCall::direct(client, options, nodes).await?, None),
    };
    out::nodes_are_asked();
    let mut replies = vec![];
    let followed = follow(client, &mut call, &mut replies, recorder.as_mut(), staged.as_mut()).await;
    let mut stats = call.stats();
    recorder.iter().for_each(|recorder| recorder.recount(&mut stats));
    stats.discover_time = found.took;
    stats.late_discoveries = found.late.names();
    let interrupted = matches!(followed, Ok(Followed::Interrupted));
    if let Some(recorder) = recorder.filter(|_| call.sent()) {
        history::keep(client.config(), &recorder.finish(&stats, interrupted));
    }
    let unwell = staged.as_ref().map(Staged::said).unwrap_or_default();
    let found_bad = staged.is_some_and(Staged::end);
    match followed {
        Ok(followed) => {
            let badly = found_bad || matches!(followed, Followed::Stopped);
            Ok(Answers { replies, stats, interrupted, badly, unwell, found: found.late.asked(), agent })
        }
        Err(e) if call.sent() => Err(AfterAsking(format!("{e:#}")).into()),
        Err(e) => Err(e),
    }
}
