//! `choria puppet`: the Puppet agents of a fleet.

mod count;
mod rounds;
mod runall;
mod summary;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::client::RpcReply;

use super::layout::Place;
use super::{Application, Inputs, Kind, Verb, application_command, output};
use crate::cmd::Globals;
use crate::cmd::render::text::clean;
use crate::cmd::rpc::pairs;

application_command! {
    /// run, enable, disable and look at Puppet agents
    #[argh(subcommand, name = "puppet")]
    pub struct Puppet {
        /// run at once, without splay
        #[argh(switch)]
        force: bool,
        /// use this server, NAME or NAME:PORT, default the one that is configured
        #[argh(option, arg_name = "server")]
        server: Option<String>,
        /// only resources with these tags
        #[argh(option, arg_name = "tag")]
        tags: Vec<String>,
        /// all but resources with these tags
        #[argh(option, arg_name = "tag")]
        skip_tags: Vec<String>,
        /// change nothing, tell what would be changed
        #[argh(switch)]
        noop: bool,
        /// change things also where the agent is configured not to
        #[argh(switch, long = "no-noop")]
        no_noop: bool,
        /// use this environment, default the one that is configured
        #[argh(option, short = 'E', arg_name = "environment")]
        environment: Option<String>,
        /// wait a random time before the run
        #[argh(switch)]
        splay: bool,
        /// do not wait before the run
        #[argh(switch, long = "no-splay")]
        no_splay: bool,
        /// seconds a random wait may take, default what is configured
        #[argh(option, arg_name = "seconds")]
        splaylimit: Option<u64>,
        /// use the catalog of the last run
        #[argh(switch)]
        use_cached_catalog: bool,
        /// ask for a new catalog
        #[argh(switch, long = "no-use-cached-catalog")]
        no_use_cached_catalog: bool,
        /// run whatever the schedules of resources say
        #[argh(switch)]
        ignoreschedules: bool,
        /// of runall: again and again, each time after so many seconds at the earliest, default once
        #[argh(option, arg_name = "seconds")]
        rerun: Option<f64>,
        /// count, enable, disable [MESSAGE], status, summary, runonce, runall CONCURRENCY, or
        /// resource TYPE NAME [PROPERTY=VALUE ...]
        #[argh(positional, arg_name = "words")]
        words: Vec<String>,
    }
}

pub const VERBS: [Verb; 8] = [
    Verb::alone("count").looking(),
    Verb::alone("disable"),
    Verb::alone("enable"),
    Verb::alone("resource"),
    Verb::alone("runall"),
    Verb::alone("runonce"),
    Verb::alone("status").looking(),
    Verb::alone("summary").looking(),
];

pub const KIND: Kind = Kind { command: "puppet", deed: "operate on Puppet agents", verbs: &VERBS };

impl Puppet {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        self.check()?;
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let verb = words.first().with_context(|| format!("say what to do: {}", known()))?;
        let mut application = self.application(globals, KIND.verb(verb)?);
        let nothing = Inputs::default;
        match words.as_slice() {
            ["count"] => application.call("puppet", "status", nothing(), Some(&count::Count)),
            ["summary"] => {
                let inputs = nothing().with("logs", "false");
                application.call("puppet", "last_run_summary", inputs, Some(&summary::Summary))
            }
            ["status"] => {
                let message = |reply: &RpcReply| Some(output(reply, "message").unwrap_or_default());
                application.lines("puppet", "status", nothing(), Place::Right, &message)
            }
            ["enable"] => application.blocks("puppet", "enable", nothing()),
            ["disable"] => application.blocks("puppet", "disable", nothing()),
            ["disable", message] => {
                application.blocks("puppet", "disable", nothing().with("message", *message))
            }
            ["runonce"] => application.blocks("puppet", "runonce", self.run_inputs()),
            ["runall"] => {
                bail!("runall needs to know how many nodes may run at a time: choria puppet runall 10")
            }
            ["runall", most] => {
                let most = most.parse().ok().filter(|most| *most > 0);
                let most =
                    most.context("runall needs the number of nodes that may run at a time, 1 or more")?;
                let rerun = self.rerun.map(Duration::from_secs_f64);
                rounds::run(&mut application, self.run_inputs(), most, rerun)
            }
            ["resource"] | ["resource", _] => {
                bail!("resource needs a type and a name: choria puppet resource service httpd ensure=running")
            }
            ["resource", kind, name, ..] => {
                let inputs = nothing().with("type", *kind).with("name", *name);
                let properties = pairs(self.words.get(3..).unwrap_or_default())?;
                let inputs =
                    properties.into_iter().fold(inputs, |inputs, (key, value)| inputs.with(&key, value));
                application.resource(inputs)
            }
            [_, more, ..] => bail!("cannot use '{}' after choria puppet {verb}", clean(more, false)),
            _ => bail!("say what to do: {}", known()),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.force && (self.splay || self.splaylimit.is_some()) {
            bail!("--force runs at once: it excludes --splay and --splaylimit");
        }
        for (name, yes, no) in [
            ("noop", self.noop, self.no_noop),
            ("splay", self.splay, self.no_splay),
            ("use_cached_catalog", self.use_cached_catalog, self.no_use_cached_catalog),
        ] {
            if yes && no {
                bail!("--{name} and --no-{name} exclude each other");
            }
        }
        let all = self.words.first().is_some_and(|verb| verb == "runall");
        match self.rerun {
            Some(_) if !all => bail!("--rerun is for runall only"),
            Some(seconds) if !(0.0..86_400.0 * 365.0).contains(&seconds) => {
                bail!("--rerun {seconds} is no time to wait, give seconds")
            }
            _ => Ok(()),
        }
    }

    /// What a run is asked to be.
    fn run_inputs(&self) -> Inputs {
        let switch = |yes: bool, no: bool| (yes || no).then(|| yes.to_string());
        let list = |tags: &[String]| Some(tags.join(",")).filter(|tags| !tags.is_empty());
        Inputs::default()
            .maybe("force", switch(self.force, false))
            .maybe("server", self.server.clone())
            .maybe("tags", list(&self.tags))
            .maybe("skip_tags", list(&self.skip_tags))
            .maybe("noop", switch(self.noop, self.no_noop))
            .maybe("environment", self.environment.clone())
            .maybe("splay", switch(self.splay, self.no_splay))
            .maybe("splaylimit", self.splaylimit.map(|seconds| seconds.to_string()))
            .maybe("use_cached_catalog", switch(self.use_cached_catalog, self.no_use_cached_catalog))
            .maybe("ignoreschedules", switch(self.ignoreschedules, false))
    }
}

impl Application<'_> {
    /// A resource has properties that no interface declares: the agent judges them.
    fn resource(self, inputs: Inputs) -> anyhow::Result<ExitCode> {
        self.undeclared("puppet", "resource", inputs)
    }
}

fn known() -> String {
    VERBS.iter().map(|verb| verb.name).collect::<Vec<_>>().join(", ")
}
