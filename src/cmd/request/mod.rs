//! One action of one agent on many nodes, the way every command goes that asks
//! for one: words are checked, nodes are found and asked, replies are shown.

mod flags;
mod following;
mod staged;
mod until;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use choria::core::client::history::{Record, Recorder};
use choria::core::client::stages::Check;
use choria::core::client::{Client, LimitMethod, RpcCall, RpcOptions, Targets};
use choria::core::config::Config;
use choria::core::ddl::{Action, AgentDdl, Display, InputError};
use choria::core::discovery::LateAnswers;
use choria::core::protocol::filter::Filter;
use choria::core::rpc::RequestBody;
use choria::core::text::meant;
use serde_json::{Map, Value};

pub(crate) use flags::request_command;
pub use flags::{Batch, RequestFlags};
pub use following::{Followed, follow};
pub use staged::{Resumed, Staged, Wanted};
pub use until::{Until, keeping};

use super::Globals;
use super::context::{self, block_on};
use super::exit::{AfterAsking, Exit};
use super::fleet::Selection;
use super::history;
use super::interfaces;
use super::out::{self, Stdout, errln, outln};
use super::render::forms::{Asked, Form, Style};
use super::render::keep::Keep;
use super::render::text;
use super::render::view::View;
use super::result_file::ResultFile;
use super::trouble;

/// What is asked of whom, and how it is shown.
pub struct Request<'a> {
    pub agent: &'a str,
    pub action: &'a str,
    /// Inputs as words; their types are those of the interface.
    pub inputs: Vec<(String, String)>,
    /// Whether inputs the interface does not declare are sent as texts.
    pub undeclared: bool,
    pub selection: Selection,
    pub flags: RequestFlags,
    /// How people see it where they ask for no other form.
    pub layout: Option<&'a dyn Form>,
    /// Where replies are to go instead; nobody waits for them then.
    pub elsewhere: Option<Elsewhere>,
    /// A change in stages that goes on.
    pub resumed: Option<Resumed>,
    /// Nothing of it is kept: secrets are among its words, and no interface says so.
    pub unkept: bool,
    /// It waits for nodes that do not answer.
    pub until: Option<Until>,
    pub exit: Exit,
}

/// Replies that are not waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    /// They go to this subject.
    Subject(String),
    /// There are to be none.
    Nowhere,
}

/// What was found good before anything was connected.
struct Checked<'a> {
    ddl: &'a AgentDdl,
    action: &'a Action,
    data: Map<String, Value>,
    display: Display,
    keep: Keep,
    batch: Option<Batch>,
    stages: Option<Wanted>,
    check: Option<Check>,
    timeout: Duration,
    file: Option<ResultFile>,
    colour: bool,
}

impl<'a> Request<'a> {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (form, exit) = (self.form(), self.exit);
        self.request(globals).or_else(|e| {
            let Some(text) = form.failure(&format!("{e:#}")) else { return Err(e) };
            outln!("{text}");
            if exit.is_original() { Ok(ExitCode::SUCCESS) } else { Err(e) }
        })
    }

    fn form(&self) -> &'a dyn Form {
        match self.layout {
            Some(layout) if self.flags.is_text() => layout,
            _ => self.flags.form(),
        }
    }

    /// Everything that can be wrong with the words is found before anything is
    /// sent, and most of it before anything is connected.
    fn request(mut self, globals: &Globals) -> anyhow::Result<ExitCode> {
        self.selection.filter()?;
        context::check_workers(self.flags.workers)?;
        let keep = self.keep()?;
        let batch = match self.resumed {
            // it has its own; how long it waits between them was heard
            Some(_) => None,
            None => self.flags.batch()?,
        };
        self.flags.limit()?;
        let stages = if self.resumed.is_some() { None } else { self.flags.stages()? };
        if stages.is_some() && self.elsewhere.is_some() {
            bail!("--stages judges by replies, and none are waited for here");
        }
        let mut config = context::client_config(globals)?;
        super::set_federations(&mut config, self.flags.federations.as_deref())?;
        choose(&mut self.selection, &self.flags, &config)?;
        let ddl = interfaces::of(&config, &self.selection, self.agent)?;
        let action = action_of(&ddl, self.action)?;
        if globals.personality == super::Personality::Mco {
            truths_of_ruby(action, &mut self.inputs);
        }
        let keep = keep.of(self.agent, action);
        let open = Action { open_inputs: true, ..action.clone() };
        let takes = if self.undeclared { &open } else { action };
        let data = takes.coerce(&self.inputs).map_err(|e| invalid(takes, &e))?;
        let display = self.flags.display(action)?;
        let check = match (&self.resumed, &self.flags.check) {
            (Some(resumed), _) => resumed.plan().check.clone(),
            (None, check) => check.clone(),
        };
        let check = check.map(|text| staged::check(&config, &self.selection, &text)).transpose()?;
        let file = self.flags.output_file.as_deref().map(ResultFile::open).transpose()?;
        let colour = text::coloured(config.color) && file.is_none();
        let timeout = self.flags.timeout(usual_timeout(&config, &ddl))?;
        let checked =
            Checked { ddl: &ddl, action, data, display, keep, batch, stages, check, timeout, file, colour };
        let (mut record, unkept) = (None, self.unkept);
        let called = block_on(self.call(config.clone(), checked, &mut record));
        record.iter().filter(|_| !unkept).for_each(|record| history::keep(&config, record));
        called?
    }

    fn keep(&self) -> anyhow::Result<Keep> {
        if self.flags.filter_replies.is_some() && self.elsewhere.is_some() {
            bail!("--filter-replies needs replies, and none are waited for here");
        }
        self.flags.keep()
    }

    async fn call(
        mut self,
        config: Config,
        checked: Checked<'_>,
        record: &mut Option<Record>,
    ) -> anyhow::Result<ExitCode> {
        let Checked { ddl, action, data, display, keep, batch, stages, check, timeout, file, colour } =
            checked;
        let out: Box<dyn Write> = match &file {
            Some(file) => Box::new(file.clone()),
            None => Box::new(Stdout),
        };
        let client = context::connect_workers(config, self.flags.workers).await?;
        let collective = client.collective(self.selection.target.as_deref())?;
        let style = Style { display, verbose: self.flags.verbose, colour };
        let asked = Asked { agent: self.agent, name: self.action, action, style };
        let mut view = View::new(out, self.form(), asked, self.flags.sort).keeping(keep);
        if ddl.metadata.service && self.elsewhere.is_some() {
            bail!("{} is a service, which answers whoever asks: its replies are waited for", self.agent);
        }
        if ddl.metadata.service && stages.is_some() {
            bail!("{} is a service, one node of which answers: there are no stages", self.agent);
        }
        let (nodes, took, mut late) = match ddl.metadata.service {
            true => (None, Duration::ZERO, LateAnswers::default()),
            false => self.find(&client, &collective, &mut view).await?,
        };
        let by_asking = late.asked();
        let looks_only = nodes.as_ref().is_some_and(Vec::is_empty);
        let mut recorder = Recorder::new(self.agent, action, &data, &collective);
        let waits = match &self.until {
            None => None,
            Some(until) => {
                let body = RequestBody {
                    agent: self.agent.to_owned(),
                    action: self.action.to_owned(),
                    data: data.clone(),
                };
                let service = ddl.metadata.service;
                Some(until.begin(&client, body, &collective, service, &recorder.asked().withheld).await?)
            }
        };
        let batch = batch.map(|batch| batch.of(nodes.as_ref().map_or(1, Vec::len)));
        let options = RpcOptions {
            agent: self.agent.to_owned(),
            action: self.action.to_owned(),
            data,
            collective: collective.clone(),
            timeout,
            batch,
        };
        if let Some(elsewhere) = self.elsewhere {
            out::nodes_are_asked();
            send_only(&client, options, nodes.unwrap_or_default(), elsewhere).await?;
            client.session().close().await;
            return Ok(ExitCode::SUCCESS);
        }
        let mut staged = None;
        let mut call = match nodes {
            Some(nodes) if let Some(wanted) = stages => {
                view.targets(&nodes);
                let (call, begun) = wanted
                    .begin(&client, options, nodes, recorder.asked(), check, self.flags.pause()?)
                    .await?;
                staged = Some(begun);
                call
            }
            Some(nodes) => {
                view.targets(&nodes);
                match self.resumed.take() {
                    Some(resumed) => {
                        let groups = resumed.groups();
                        staged = Some(Staged::resume(resumed, check));
                        RpcCall::held(&client, options, nodes, groups).await?
                    }
                    None => RpcCall::direct(&client, options, nodes).await?,
                }
            }
            None => RpcCall::service(&client, options).await?,
        };
        waits.iter().for_each(|waits| call.waits_until(waits.until()));
        view.asked(call.targets(), !self.flags.no_progress);
        out::nodes_are_asked();
        let followed = follow(&client, &mut call, &mut view, Some(&mut recorder), staged.as_mut()).await;
        let mut stats = call.stats();
        recorder.recount(&mut stats);
        stats.discover_time = took;
        stats.late_discoveries = late.names();
        let interrupted = matches!(followed, Ok(Followed::Interrupted));
        *record = call.sent().then(|| recorder.finish(&stats, interrupted));
        if let (Some(record), Some(staged)) = (record.as_mut(), &staged) {
            record.unwell = staged.unwell();
        }
        let shown = view.finish(&stats, interrupted).and_then(|()| file.map_or(Ok(()), |file| file.keep()));
        trouble::report(&client, &collective, &stats, by_asking, interrupted);
        if ddl.metadata.service && stats.responses == 0 {
            trouble::nobody_serves(self.agent);
        }
        let kept = match waits.filter(|_| matches!(followed, Ok(Followed::ToTheEnd))) {
            Some(waits) => waits.keep(&client, &stats).await,
            None => {
                if self.until.is_some() && !matches!(followed, Ok(Followed::ToTheEnd)) {
                    out::errln!(
                        "choria: it was ended before all had their time to answer, and is kept for nobody"
                    );
                }
                Ok(())
            }
        };
        client.session().close().await;
        let unwell = staged.is_some_and(Staged::end);
        match followed.and_then(|followed| Ok(shown.map(|()| followed)?)) {
            Ok(_) if kept.is_err() => {
                Err(AfterAsking(kept.err().map(|e| format!("{e:#}")).unwrap_or_default()).into())
            }
            Ok(Followed::Stopped) => Ok(self.exit.stopped()),
            // all were asked before, and are well
            Ok(Followed::ToTheEnd) if looks_only && !unwell => Ok(ExitCode::SUCCESS),
            Ok(_) if unwell => Ok(self.exit.unwell(&stats, interrupted, by_asking)),
            Ok(_) => Ok(self.exit.of(&stats, interrupted, by_asking)),
            Err(e) if call.sent() => Err(AfterAsking(format!("{e:#}")).into()),
            Err(e) => Err(e),
        }
    }

    /// The nodes to ask, how long it took to find them, and who comes late.
    async fn find(
        &self,
        client: &Client,
        collective: &str,
        view: &mut View<'_>,
    ) -> anyhow::Result<(Option<Vec<String>>, Duration, LateAnswers)> {
        if self.resumed.is_some() && self.selection.listed.as_ref().is_some_and(Vec::is_empty) {
            // only the check is to come to its end
            return Ok((Some(vec![]), Duration::ZERO, LateAnswers::default()));
        }
        let method = self.selection.method_name(client);
        view.discovering(&method)?;
        let mut found = self.selection.discover(client, Some(self.agent)).await?;
        if found.nodes.is_empty() {
            let why = trouble::nobody_found(client, collective, &found, Some(self.agent));
            bail!("did not discover any nodes{why}");
        }
        if let Some(limit) = self.flags.limit()? {
            found.nodes = limit.apply(found.nodes, limit_method(client.config(), self.flags.limit_seed))?;
        }
        view.discovered(&method, found.nodes.len(), found.took.as_secs_f64())?;
        Ok((Some(found.nodes), found.took, found.late))
    }
}

/// Seconds an agent's replies are waited for.
pub fn usual_timeout(config: &Config, ddl: &AgentDdl) -> u64 {
    let discovery = u64::try_from(config.discovery_timeout).unwrap_or(2);
    discovery.saturating_add(ddl.metadata.client_timeout())
}

/// The action of that name.
pub fn action_of<'d>(ddl: &'d AgentDdl, name: &str) -> anyhow::Result<&'d Action> {
    ddl.action(name).with_context(|| {
        let names = ddl.action_names();
        let meant = meant(name, names.iter().copied());
        format!("unknown action {}#{name}{meant}, it has {}", ddl.metadata.name, names.join(", "))
    })
}

/// What is said of inputs that will not do; of one nobody knows, which there are.
fn invalid(action: &Action, error: &InputError) -> anyhow::Error {
    let InputError::Undeclared(name) = error else { return anyhow!("invalid input: {error}") };
    let known: Vec<&str> = action.input.keys().map(String::as_str).collect();
    let takes = match known.is_empty() {
        true => "no inputs".to_owned(),
        false => known.join(", "),
    };
    let meant = meant(name, known.iter().copied());
    let sep = if meant.is_empty() { "," } else { "" };
    anyhow!("invalid input: {error}{meant}{sep} {} takes {takes}", action.action)
}

/// `yes` and `no` are booleans to the Ruby world.
fn truths_of_ruby(action: &Action, inputs: &mut [(String, String)]) {
    for (name, text) in inputs {
        let is_boolean = |kind: &str| kind.eq_ignore_ascii_case("boolean");
        if !action.input.get(name.as_str()).is_some_and(|input| is_boolean(&input.kind)) {
            continue;
        }
        match text.to_ascii_lowercase().as_str() {
            "y" | "yes" => *text = "true".to_owned(),
            "n" | "no" => *text = "false".to_owned(),
            _ => {}
        }
    }
}

/// Takes the nodes that `--only` chooses from an earlier request.
pub fn choose(selection: &mut Selection, flags: &RequestFlags, config: &Config) -> anyhow::Result<()> {
    if let Some(words) = &flags.only {
        if selection.listed.is_some() || selection.nodes.is_some() {
            bail!("--only says which nodes are meant: another list of them makes no sense");
        }
        let (which, id) = history::chosen("--only", words)?;
        selection.listed = Some(history::nodes(&history::find(config, &id)?, which)?);
    }
    Ok(())
}

/// How a limit chooses, by configuration or by a seed.
pub fn limit_method(config: &Config, seed: Option<i64>) -> LimitMethod {
    let seed = seed.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
    if config.rpclimitmethod == "random" || seed.is_some() {
        LimitMethod::Random { seed }
    } else {
        LimitMethod::First
    }
}

/// Asks, says by which id, and waits for nothing.
async fn send_only(
    client: &Client,
    mut options: RpcOptions,
    nodes: Vec<String>,
    elsewhere: Elsewhere,
) -> anyhow::Result<()> {
    // who is asked has been decided, and is named by subject
    let mut filter = Filter::default();
    filter.add_agent(&options.agent)?;
    if elsewhere == Elsewhere::Nowhere {
        // What keeps nodes of the Ruby world from answering.
        options.data.insert("process_results".to_owned(), Value::Bool(false));
    }
    let body =
        RequestBody { agent: options.agent.clone(), action: options.action, data: options.data }.encode();
    let below = format!("{}.reply.", options.collective);
    let mut conversation = client.converse(&options.agent, body, options.collective, filter).await?;
    if let Elsewhere::Subject(subject) = &elsewhere {
        if !subject.starts_with(&below) {
            errln!(
                "choria: {} is not below {below}, where alone nodes of this kind answer",
                text::clean(subject, false)
            );
        }
        conversation.reply_to(subject.clone());
    }
    conversation.send(Targets::Direct(nodes.into())).await?;
    match elsewhere {
        Elsewhere::Subject(_) => outln!("{}", conversation.request_id()),
        Elsewhere::Nowhere => outln!("Request sent with id: {}", conversation.request_id()),
    }
    Ok(())
}
