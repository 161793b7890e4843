//! `choria tasks kill`

use std::process::ExitCode;

use choria::core::rpc::StatusCode;
use serde_json::Map;

use super::request::{How, ask, nodes};
use super::status::check_id;
use crate::cmd::exit::Exit;
use crate::cmd::fleet::fleet_command;
use crate::cmd::out::{errln, outln};
use crate::cmd::render::text::clean;
use crate::cmd::{Globals, context};

fleet_command! {
    /// end a run on the nodes where it goes on, with what it started, but for what has a group or a session of its own.
    /// Exit 2 when a node could not, or nobody knows the run
    #[argh(subcommand, name = "kill")]
    pub struct Kill {
        /// id of the run
        #[argh(positional)]
        id: String,
    }
}

impl Kill {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let selection = self.selection();
        selection.filter()?;
        check_id(&self.id)?;
        let config = context::client_config(globals)?;
        context::block_on(async {
            let client = context::connect(config).await?;
            let collective = client.collective(selection.target.as_deref())?;
            let found = nodes(&client, &selection).await?;
            let mut data = Map::new();
            data.insert("task_id".into(), self.id.as_str().into());
            let mut answers = ask(&client, ("kill", data), found, &collective, How::default()).await?;
            client.session().close().await;
            // who never ran it is no failure of this
            let known = |code: &StatusCode| *code != StatusCode::MissingData;
            let unknown = answers.replies.iter().filter(|reply| !known(&reply.body.statuscode)).count();
            answers.stats.failed = answers.stats.failed.saturating_sub(unknown);
            answers.replies.sort_by(|a, b| a.sender.cmp(&b.sender));
            for reply in answers.replies.iter().filter(|reply| known(&reply.body.statuscode)) {
                let node = clean(&reply.sender, false);
                match reply.body.statuscode.is_ok() {
                    true => outln!("{node}: ended"),
                    false => outln!("{node}: {}", clean(&reply.body.statusmsg, false)),
                }
            }
            let nobody = unknown > 0 && unknown == answers.replies.len();
            if nobody {
                errln!("choria: no node knows the run {}", self.id);
            }
            answers.report(&client, &collective);
            let exit = Exit::of_application(globals, false);
            anyhow::Ok(match nobody && !answers.interrupted && !exit.is_original() {
                // nothing was ended: who looks at the code alone is to hear of it
                true => ExitCode::from(2),
                false => exit.of(&answers.stats, answers.interrupted, true),
            })
        })?
    }
}
