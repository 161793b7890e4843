//! `choria tasks status`

use std::process::ExitCode;

use serde_json::Map;

use super::request::{How, ask, nodes};
use super::results::{Kind, Shown};
use crate::cmd::fleet::fleet_command;
use crate::cmd::{Globals, Personality, context};

fleet_command! {
    /// what became of a run, by the id that it was begun with
    #[argh(subcommand, name = "status")]
    pub struct Status {
        /// show sums only
        #[argh(switch)]
        summary: bool,
        /// show what runs are, not what they wrote
        #[argh(switch)]
        metadata: bool,
        /// show the output of nodes where it went well, too
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// show one JSON document
        #[argh(switch, short = 'j')]
        json: bool,
        /// id of the run
        #[argh(positional)]
        id: String,
    }
}

impl Status {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let selection = self.selection();
        selection.filter()?;
        check_id(&self.id)?;
        let config = context::client_config(globals)?;
        let mco = globals.personality == Personality::Mco;
        context::block_on(async {
            let client = context::connect(config).await?;
            let collective = client.collective(selection.target.as_deref())?;
            let found = nodes(&client, &selection).await?;
            let mut data = Map::new();
            data.insert("task_id".into(), self.id.as_str().into());
            let answers = ask(&client, ("task_status", data), found, &collective, How::default()).await?;
            let mut shown = Shown::new(String::new(), Kind::Status, vec![], &Map::new());
            shown.of_run(&self.id, self.metadata);
            shown.add(answers, &client, &collective);
            client.session().close().await;
            shown.show(self.json, self.summary, self.verbose, mco)
        })?
    }
}

/// Whether that is the id of a run.
pub fn check_id(id: &str) -> anyhow::Result<()> {
    match choria::core::tasks::spool::is_id(id) {
        true => Ok(()),
        false => anyhow::bail!("'{id}' is no id of a run: it is the 32 digits that choria tasks run told"),
    }
}
