//! `choria tasks run`

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use choria::core::client::Client;
use choria::core::discovery::Discovered;
use choria::core::tasks::TaskName;
use choria::core::tasks::metadata::Task;
use choria::core::tasks::parameters::Parameters;
use serde_json::{Map, Value, json};

use super::node::is_without_files;
use super::request::{AGENT, How, Kept, ask, environment, nodes, source};
use super::results::{Kind, Shown};
use super::words::{self, Words, check_flags};
use crate::cmd::apps::everybody;
use crate::cmd::fleet::fleet_command;
use crate::cmd::out::errln;
use crate::cmd::playbook::document;
use crate::cmd::render::text::clean;
use crate::cmd::request::{RequestFlags, choose, limit_method};
use crate::cmd::{Globals, Personality, context, set_federations};

/// Nodes that are asked to fetch files at a time, and the time between.
const FETCHING: (usize, Duration) = (50, Duration::from_secs(1));

fleet_command! {
    /// run a task on nodes; its parameters are flags, see 'choria tasks describe'. Nodes fetch the files they lack. Exit 0
    /// when it went well on all of them, 1 when nobody was asked, 2 when it failed somewhere, 3 when nobody answered, 4
    /// when some did not or it goes on there, 130 when it was interrupted
    #[argh(subcommand, name = "run")]
    pub struct Run {
        /// parameters as JSON, or @FILE with JSON or YAML; flags win over them, default none
        #[argh(option, arg_name = "json")]
        input: Option<String>,
        /// begin it and do not wait for its end
        #[argh(switch)]
        background: bool,
        /// show sums only
        #[argh(switch)]
        summary: bool,
        /// show the output of nodes where it went well, too
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// show one JSON document
        #[argh(switch, short = 'j')]
        json: bool,
        /// run it on every node where no filter is given, without asking
        #[argh(switch, short = 'y')]
        yes: bool,
        /// run it on so many nodes at a time, or a share of them such as 10%, default all at once
        #[argh(option, arg_name = "size")]
        batch: Option<String>,
        /// seconds between batches, or stages, default 1
        #[argh(option, arg_name = "seconds")]
        batch_sleep: Option<f64>,
        /// run it in stages, each when the one before did well, such as 1,1%,10%,100%; default all at once
        #[argh(option, arg_name = "sizes")]
        stages: Option<String>,
        /// nodes of a run in stages where it may fail: a number, or a share such as 2%, default 0
        #[argh(option, arg_name = "number")]
        abort: Option<String>,
        /// called on the nodes of a stage that did well, such as "service.status service=nginx if data('status') == 'running'"; who answers badly did badly
        #[argh(option, arg_name = "agent.action")]
        check: Option<String>,
        /// run it as this user of the nodes, default whoever runs their daemon
        #[argh(option, arg_name = "user")]
        run_as: Option<String>,
        /// environment of the task, default production
        #[argh(option, arg_name = "name")]
        environment: Option<String>,
        /// have all nodes fetch the files before any begins, and begin nowhere unless all have them
        #[argh(switch)]
        download_first: bool,
        /// seconds to wait for replies, default what the agent says and discovery_timeout
        #[argh(option, arg_name = "seconds")]
        timeout: Option<f64>,
        /// run it on a part of the nodes: a number, or a share such as 10%, default all
        #[argh(option, arg_name = "n")]
        limit: Option<String>,
        /// makes a random limit repeatable
        #[argh(option, arg_name = "seed")]
        limit_seed: Option<i64>,
        /// run it on nodes of an earlier request: ok, failed, missed or denied, and its id or last
        #[argh(option, arg_name = "which id")]
        only: Option<String>,
        /// federations to address, comma separated
        #[argh(option, arg_name = "list")]
        federations: Option<String>,
        /// the task, such as module::name, and its parameters, such as name=value
        #[argh(positional, arg_name = "task parameters")]
        words: Vec<String>,
    }
}

impl Run {
    /// Says which flags of the command have the name of a parameter: they are no inputs.
    fn tell_apart(&self, parameters: &Parameters) {
        let given = [
            ("limit", self.limit.is_some()),
            ("limit-seed", self.limit_seed.is_some()),
            ("only", self.only.is_some()),
            ("federations", self.federations.is_some()),
            ("nodes", self.nodes.is_some()),
            ("target", self.target.is_some()),
            ("environment", self.environment.is_some()),
            ("timeout", self.timeout.is_some()),
            ("batch", self.batch.is_some()),
            ("check", self.check.is_some()),
        ];
        for (name, _) in given.iter().filter(|(name, given)| *given && parameters.has(name)) {
            errln!(
                "choria: --{name} is a flag of choria tasks run; the task has a parameter of that name, {name}=VALUE"
            );
        }
    }

    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        self.run_kept(globals, Kept::Known, &[])
    }

    /// The same, of which so much is kept; these parameters are secrets, too.
    pub fn run_kept(self, globals: &Globals, kept: Kept, others: &[String]) -> anyhow::Result<ExitCode> {
        let Words { name, given, flags: typed } = Words::of(&self.words)?;
        let document = self.input.as_deref().map(document).transpose()?.unwrap_or_default();
        let flags = RequestFlags {
            batch: self.batch.clone(),
            batch_sleep: self.batch_sleep,
            stages: self.stages.clone(),
            abort: self.abort.clone(),
            check: self.check.clone(),
            limit: self.limit.clone(),
            limit_seed: self.limit_seed,
            only: self.only.clone(),
            ..RequestFlags::default()
        };
        let limit = flags.limit()?;
        let (batch, environment) = (flags.batch()?, environment(self.environment.as_deref())?);
        let stages = flags.stages()?;
        if stages.is_some() && self.background {
            bail!("--stages waits for what became of each stage: it does not go with --background");
        }
        let timeout = match self.timeout {
            None => None,
            Some(_) => Some(RequestFlags { timeout: self.timeout, ..RequestFlags::default() }.timeout(0)?),
        };
        let mut selection = self.selection();
        selection.filter()?;
        let mut config = context::client_config(globals)?;
        set_federations(&mut config, self.federations.as_deref())?;
        choose(&mut selection, &flags, &config)?;
        let stages = match stages {
            None => None,
            Some(wanted) => {
                let check = wanted.check(&config, &selection)?;
                Some((wanted, check, flags.pause()?))
            }
        };
        let mco = globals.personality == Personality::Mco;
        context::block_on(async {
            let task = source(&config).await?.task(&name, environment).await?;
            let parameters = parameters(&task)?;
            check_flags(&name, &parameters, &typed)?;
            self.tell_apart(&parameters);
            let input = inputs(&name, &task, &parameters, document, (given, &typed))?;
            everybody(&mut selection, self.yes, &format!("run the task {name}"), "choria tasks run")?;
            let client = context::connect(config).await?;
            let collective = client.collective(selection.target.as_deref())?;
            let mut found = nodes(&client, &selection).await?;
            if let Some(limit) = limit {
                found.nodes = limit.apply(found.nodes, limit_method(client.config(), self.limit_seed))?;
            }
            let plain = |name: &str| name.to_lowercase().replace('-', "_");
            let is_other = |name: &String| others.iter().any(|other| plain(other) == plain(name));
            let mut secrets = task.metadata.secrets();
            secrets.extend(input.keys().filter(|name| is_other(name)).cloned());
            secrets.sort();
            secrets.dedup();
            let by = By {
                secrets: &secrets,
                client: &client,
                name: &name,
                task: &task,
                collective: &collective,
                environment,
                timeout,
            };
            // of a stage nobody is asked twice
            if self.download_first || mco || stages.is_some() {
                by.download(found.nodes.clone(), true).await?;
            }
            if std::io::stderr().is_terminal() {
                let wait =
                    if self.background { "" } else { ", and waits for its end, nearly a minute at most" };
                errln!("Runs the task {name} on {} nodes{wait}", found.nodes.len());
            }
            let kind = if self.background { Kind::Begun } else { Kind::Run };
            let data = by.data(&input, self.run_as.as_deref())?;
            let mut shown = Shown::new(name.to_string(), kind, secrets.clone(), &input);
            let batch = batch.map(|batch| batch.of(found.nodes.len()));
            let how = How { batch, timeout, kept: Some(kept), stages };
            by.ask(kind, data, found, how, &mut shown).await?;
            client.session().close().await;
            shown.show(self.json, self.summary, self.verbose, mco)
        })?
    }
}

/// What a run is done by.
struct By<'a> {
    client: &'a Client,
    name: &'a TaskName,
    task: &'a Task,
    /// Names of parameters whose values nobody may see.
    secrets: &'a [String],
    collective: &'a str,
    environment: &'a str,
    timeout: Option<Duration>,
}

impl By<'_> {
    fn files(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(&self.task.files)?)
    }

    /// What nodes are asked for.
    fn data(&self, input: &Map<String, Value>, run_as: Option<&str>) -> anyhow::Result<Map<String, Value>> {
        let mut data = Map::new();
        data.insert("task".into(), self.name.to_string().into());
        data.insert("files".into(), self.files()?.into());
        data.insert("input".into(), Value::Object(input.clone()).to_string().into());
        let about = &self.task.metadata;
        if let Some(method) = about.method() {
            data.insert("input_method".into(), method.into());
        }
        if let Some(user) = run_as {
            data.insert("run_as".into(), user.into());
        }
        if !self.secrets.is_empty() {
            data.insert("sensitive".into(), json!(self.secrets).to_string().into());
        }
        Ok(data)
    }

    /// Asks nodes to run it; those of the original that lack its files fetch them then, and are
    /// asked again.
    async fn ask(
        &self,
        kind: Kind,
        data: Map<String, Value>,
        found: Discovered,
        how: How,
        shown: &mut Shown,
    ) -> anyhow::Result<()> {
        let staged = how.stages.is_some();
        let again = How { batch: how.batch, timeout: how.timeout, kept: how.kept, stages: None };
        let mut answers =
            ask(self.client, (kind.action(), data.clone()), found, self.collective, how).await?;
        let without: Vec<String> = answers
            .replies
            .iter()
            .filter(|reply| is_without_files(reply))
            .map(|reply| reply.sender.clone())
            .collect();
        // in stages they have done badly, and it is over
        if !staged {
            answers.replies.retain(|reply| !is_without_files(reply));
        }
        let interrupted = answers.interrupted || staged;
        shown.add(answers, self.client, self.collective);
        if without.is_empty() || interrupted {
            return Ok(());
        }
        errln!("choria: {} node(s) fetch the files of the task and are asked again", without.len());
        self.download(without.clone(), false).await?;
        let found = Discovered::known(without, Duration::ZERO);
        let answers = ask(self.client, (kind.action(), data), found, self.collective, again).await?;
        shown.add(answers, self.client, self.collective);
        Ok(())
    }

    /// Has nodes fetch the files; where `all` have to, the first that cannot ends the run.
    async fn download(&self, nodes: Vec<String>, all: bool) -> anyhow::Result<()> {
        let mut data = Map::new();
        data.insert("task".into(), self.name.to_string().into());
        data.insert("environment".into(), self.environment.into());
        data.insert("files".into(), self.files()?.into());
        let found = Discovered::known(nodes, Duration::ZERO);
        let how = How { batch: Some(FETCHING), timeout: self.timeout, ..How::default() };
        let answers = ask(self.client, ("download", data), found, self.collective, how).await?;
        let failed: Vec<_> = answers.replies.iter().filter(|reply| !reply.body.statuscode.is_ok()).collect();
        for reply in &failed {
            errln!("choria: {}: {}", clean(&reply.sender, false), clean(&reply.body.statusmsg, false));
        }
        answers.report(self.client, self.collective);
        if all && (!failed.is_empty() || !answers.stats.no_responses.is_empty() || answers.interrupted) {
            bail!("Could not download the task {} onto all nodes, it was run on none", self.name);
        }
        Ok(())
    }
}

/// What the task takes.
fn parameters(task: &Task) -> anyhow::Result<Parameters> {
    let parameters = Parameters::new(&task.metadata).map_err(anyhow::Error::msg)?;
    for unknown in &parameters.unknown {
        errln!(
            "choria: the type {} of a parameter is not known here, its value is not checked",
            clean(unknown, false)
        );
    }
    Ok(parameters)
}

/// The inputs of a run, checked.
fn inputs(
    name: &TaskName,
    task: &Task,
    parameters: &Parameters,
    document: Map<String, Value>,
    (given, typed): (Vec<(String, String)>, &[String]),
) -> anyhow::Result<Map<String, Value>> {
    let mut input = document;
    input.extend(parameters.of_words(&parameters.apart(given)).map_err(anyhow::Error::msg)?);
    let input = task.metadata.filled(input);
    let mistakes = parameters.mistakes(&input).map_err(anyhow::Error::msg)?;
    if !mistakes.is_empty() {
        let slips = typed.iter().filter(|flag| !parameters.has(flag)).map(|flag| words::meant(flag));
        bail!(
            "Invalid input: {}{}; choria tasks describe {name} tells what it takes",
            clean(&mistakes.join("; "), false),
            clean(&slips.collect::<String>(), false)
        );
    }
    if task.files.is_empty() {
        bail!("the server of tasks knows no files of the task {name}, which agents of {AGENT} could run");
    }
    Ok(input)
}
