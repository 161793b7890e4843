//! What all commands that address the fleet share: filters, and how the nodes
//! are found.

mod identity;
mod method;
mod piped;

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use super::interfaces;
use super::rpc::resolver;
use super::trouble;
use anyhow::bail;
use choria::core::client::Client;
use choria::core::config::{Config, System};
use choria::core::discovery::{
    Discovered, Format, Inventory, Wanted, Window, broadcast, external, literal_identities, puppetdb,
    read_names,
};
use choria::core::protocol::filter::{Expression, Filter, UnknownName};
use method::{BY_ASKING, Method};
use tokio::signal::unix::{SignalKind, signal};

/// Names in one filter, as many as nodes take.
const MOST_NAMED: usize = 10_000;

/// Adds the filter and discovery flags of the field to a command. argh has no
/// way to share fields between commands; one macro keeps them from drifting.
macro_rules! fleet_command {
    ($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* }) => {
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        $(#[$meta])*
        pub struct $name {
            /// match nodes with a fact, such as country=mt; all given must match
            #[argh(option, short = 'F', long = "wf", arg_name = "fact")]
            facts: Vec<String>,
            /// match nodes with a class, exact or /regex/; all given must match
            #[argh(option, short = 'C', long = "wc", arg_name = "class")]
            classes: Vec<String>,
            /// match nodes with an agent; all given must match
            #[argh(option, short = 'A', long = "wa", arg_name = "agent")]
            agents: Vec<String>,
            /// match nodes by name, exact or /regex/; any given may match
            #[argh(option, short = 'I', long = "wi", arg_name = "identity")]
            identities: Vec<String>,
            /// match facts and classes in one string, such as "apache country=mt"
            #[argh(option, short = 'W', long = "with", arg_name = "filter")]
            with: Vec<String>,
            /// match nodes with an expression, such as "with('apache') && fact('cpus') > 4"
            #[argh(option, short = 'S', long = "select", arg_name = "expression")]
            select: Option<String>,
            /// address this sub collective, default main_collective of the configuration
            #[argh(option, short = 'T', long = "target", arg_name = "collective")]
            target: Option<String>,
            /// discovery method: mc, flatfile, inventory, external or puppetdb, default mc, or default_discovery_method of the configuration
            #[argh(option, long = "dm", arg_name = "method")]
            discovery_method: Option<String>,
            /// discovery method option, key=value
            #[argh(option, long = "do", arg_name = "option")]
            discovery_options: Vec<String>,
            /// seconds to wait for discovery at most, default 2, or discovery_timeout of the configuration
            #[argh(option, long = "discovery-timeout", arg_name = "seconds")]
            discovery_timeout: Option<f64>,
            /// end discovery soon after the last answer, which is the default
            #[argh(switch, long = "discovery-window")]
            discovery_window: bool,
            /// always wait the whole discovery timeout
            #[argh(switch, long = "fixed-window")]
            fixed_window: bool,
            /// address the nodes named in this file, - reads standard input
            #[argh(option, long = "nodes", arg_name = "file")]
            nodes: Option<String>,
            $($body)*
        }

        impl $name {
            /// The shared flags.
            fn selection(&self) -> $crate::cmd::fleet::Selection {
                $crate::cmd::fleet::Selection {
                    facts: self.facts.clone(),
                    classes: self.classes.clone(),
                    agents: self.agents.clone(),
                    identities: self.identities.clone(),
                    with: self.with.clone(),
                    select: self.select.clone(),
                    target: self.target.clone(),
                    method: self.discovery_method.clone(),
                    options: self.discovery_options.clone(),
                    timeout: self.discovery_timeout,
                    sliding: self.discovery_window,
                    fixed: self.fixed_window,
                    nodes: self.nodes.clone(),
                    listed: None,
                }
            }
        }
    };
}
pub(crate) use fleet_command;

/// The shared flags as given.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub facts: Vec<String>,
    pub classes: Vec<String>,
    pub agents: Vec<String>,
    pub identities: Vec<String>,
    pub with: Vec<String>,
    pub select: Option<String>,
    pub target: Option<String>,
    pub method: Option<String>,
    pub options: Vec<String>,
    pub timeout: Option<f64>,
    pub sliding: bool,
    pub fixed: bool,
    pub nodes: Option<String>,
    /// Nodes that something else has chosen.
    pub listed: Option<Vec<String>>,
}

impl Selection {
    /// The filter of the flags. An empty value is refused: it is an unset shell
    /// variable far more often than a wish to address the whole fleet.
    pub fn filter(&self) -> anyhow::Result<Filter> {
        let mut filter = Filter::default();
        let named =
            |flag: &str, e: choria::core::protocol::filter::FilterError| anyhow::anyhow!("{flag}: {e}");
        for fact in &self.facts {
            filter.add_fact(fact).map_err(|e| named("-F", e))?;
        }
        for class in &self.classes {
            filter.add_class(class).map_err(|e| named("-C", e))?;
        }
        for agent in &self.agents {
            filter.add_agent(agent).map_err(|e| named("-A", e))?;
        }
        for identity in &self.identities {
            if !self.reads_itself(identity) {
                identity::check(identity)?;
            }
            filter.add_identity(identity).map_err(|e| named("-I", e))?;
        }
        for words in &self.with {
            filter.add_combined(words).map_err(|e| named("-W", e))?;
        }
        if let Some(expression) = &self.select {
            filter.set_expression(expression).map_err(|e| named("-S", e))?;
            // Functions are looked at when it is known where DDLs are.
            if let Some(unknown) = unknown_name(expression, &|_| true) {
                bail!("-S: {unknown}");
            }
        }
        if let Some(broken) = filter.broken_expression() {
            bail!("'{broken}' in a filter is not a valid regular expression, no node would match it");
        }
        Ok(filter)
    }

    /// Whether the expression has functions that nobody knows; before anything
    /// is sent.
    pub fn check_functions(&self, config: &Config) -> anyhow::Result<()> {
        let Some(expression) = &self.select else { return Ok(()) };
        let resolver = resolver(config);
        match unknown_name(expression, &|name| resolver.has_data(name)) {
            Some(unknown) => bail!("-S: {unknown}"),
            None => Ok(()),
        }
    }

    /// Whether no flag narrows the fleet down.
    pub fn is_unfiltered(&self) -> bool {
        let list = self.method.as_deref().is_some_and(|method| ["flatfile", "file"].contains(&method));
        let words = [&self.facts, &self.classes, &self.agents, &self.identities, &self.with];
        words.iter().all(|words| words.is_empty())
            && self.select.is_none()
            && self.nodes.is_none()
            && self.listed.is_none()
            && !list
    }

    /// Takes the nodes of results on standard input, if there are some: what is asked
    /// of them is for later.
    pub fn takes_piped(&mut self) -> anyhow::Result<bool> {
        if self.method.is_some() {
            return Ok(false);
        }
        self.listed = piped::results_on_stdin()?;
        Ok(self.listed.is_some())
    }

    /// The nodes that `--nodes` names, for commands that ask by a broadcast: it is
    /// narrowed down to them.
    pub fn named(&self) -> anyhow::Result<Option<Vec<String>>> {
        if let Some(method) = self.method.as_deref().filter(|method| !BY_ASKING.contains(method)) {
            bail!("--dm {method}: this command asks the nodes themselves; name them with -I or --nodes");
        }
        let names = match self.nodes.as_deref() {
            None => return Ok(None),
            Some("-") => piped::names_on_stdin()?,
            Some(file) => read_names(Path::new(file), Format::of(Path::new(file)))?,
        };
        match names.len() {
            0 => bail!("--nodes names nobody"),
            1..=MOST_NAMED => Ok(Some(self.only_named(names)?)),
            more => bail!(
                "--nodes names {more} nodes, a filter has {MOST_NAMED} at most: 'choria rpc rpcutil ping --nodes' asks \
                 any number"
            ),
        }
    }

    /// How long discovery waits.
    pub fn window(&self, client: &Client) -> anyhow::Result<Window> {
        let config = client.config();
        let timeout = match self.timeout {
            Some(seconds) if seconds > 0.0 && seconds < 86_400.0 => Duration::from_secs_f64(seconds),
            Some(seconds) => bail!("--discovery-timeout {seconds} is no time to wait, give seconds above 0"),
            None => Duration::from_secs(u64::try_from(config.discovery_timeout).unwrap_or(2).max(1)),
        };
        // The setting exists to switch the window on; whoever wrote "false" there means it.
        let configured_off = config.has("plugin.choria.discovery.broadcast.windowed_timeout")
            && !config.choria_discovery_broadcast_windowed_timeout;
        let fixed = self.fixed || configured_off && !self.sliding;
        Ok(if fixed { Window::Fixed(timeout) } else { Window::Sliding(timeout) })
    }

    /// Finds the nodes; with `agent` only those that have it. Interrupted, it
    /// says who was found so far.
    pub async fn discover(&self, client: &Client, agent: Option<&str>) -> anyhow::Result<Discovered> {
        let known = RefCell::new(vec![]);
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            found = self.find(client, agent, &known) => return found,
        }
        Err(Interrupted { known: known.into_inner() }.into())
    }

    async fn find(
        &self,
        client: &Client,
        agent: Option<&str>,
        known: &RefCell<Vec<String>>,
    ) -> anyhow::Result<Discovered> {
        let mut filter = self.filter()?;
        self.check_functions(client.config())?;
        if let Some(agent) = agent {
            filter.add_agent(agent)?;
        }
        let collective = client.collective(self.target.as_deref())?;
        let begun = Instant::now();
        let method = self.method(client)?;
        self.check_identities(&method)?;
        let nodes = match method {
            Method::Broadcast => match literal_identities(&filter) {
                Some(nodes) => {
                    return Ok(Discovered { named: true, ..Discovered::known(nodes, begun.elapsed()) });
                }
                None => {
                    let window = self.window(client)?;
                    let keep = |name: &str, _| {
                        known.borrow_mut().push(name.to_owned());
                        true
                    };
                    let found = broadcast(client, collective, filter, window, keep).await?;
                    trouble::overflowed(found.overflowed);
                    trouble::down(&found.federations_down);
                    return Ok(found);
                }
            },
            Method::Flatfile { file, format } => self.only_named(read_names(Path::new(&file), format)?)?,
            Method::Results(nodes) => self.only_named(nodes)?,
            Method::Inventory(file) => {
                let cache = interfaces::inventories();
                Inventory::select_in(Path::new(&file), cache.as_deref(), &collective, &filter)?
            }
            Method::External { command, options } => {
                let (Window::Fixed(timeout) | Window::Sliding(timeout)) = self.window(client)?;
                let federations = &client.config().choria_federation_collectives;
                let wanted =
                    Wanted { collective: &collective, filter: &filter, federations, options, timeout };
                external(&command, &wanted).await?
            }
            Method::PuppetDb => match literal_identities(&filter) {
                Some(nodes) if !nodes.iter().any(|name| name.starts_with(method::PQL)) => nodes,
                _ => puppetdb(client, &System, &collective, &filter).await?,
            },
        };
        Ok(Discovered::known(nodes, begun.elapsed()))
    }

    /// A list of names knows nothing of facts and classes: -I narrows it down,
    /// and what cannot be checked is refused instead of ignored.
    fn only_named(&self, nodes: Vec<String>) -> anyhow::Result<Vec<String>> {
        let given: Vec<&str> = [
            ("-F", !self.facts.is_empty()),
            ("-C", !self.classes.is_empty()),
            ("-A", !self.agents.is_empty()),
            ("-W", !self.with.is_empty()),
            ("-S", self.select.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect();
        if !given.is_empty() {
            bail!("a list of nodes cannot be filtered by {}, only by -I", given.join(" and "));
        }
        if self.identities.is_empty() {
            return Ok(nodes);
        }
        let mut filter = Filter::default();
        for identity in &self.identities {
            filter.add_identity(identity)?;
        }
        use choria::core::protocol::filter::{Facts, NoData, NodeView};
        let facts = Facts::default();
        let keep = |name: &String| {
            let view = NodeView { identity: name, agents: &[], classes: &[], facts: &facts, data: &NoData };
            filter.matches(&view).unwrap_or(false)
        };
        Ok(nodes.into_iter().filter(keep).collect())
    }
}

fn unknown_name(expression: &str, is_data: &dyn Fn(&str) -> bool) -> Option<UnknownName> {
    Expression::compile(expression, &[]).ok()?.unknown_name(is_data)
}

/// Discovery was interrupted, nobody was asked.
#[derive(Debug, thiserror::Error)]
#[error("interrupted before discovery was complete, {} nodes were found so far", .known.len())]
pub struct Interrupted {
    /// Nodes found so far.
    pub known: Vec<String>,
}
