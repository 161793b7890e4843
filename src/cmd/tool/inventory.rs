//! `choria tool inventory`: writes down what nodes tell of themselves, for `--dm inventory`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use choria::core::discovery::Inventory as Document;
use choria::core::discovery::InventoryNode;
use choria::core::files::write_atomic;
use choria::core::rpc::StatusCode;
use serde_json::{Map, Value};

use crate::cmd::Globals;
use crate::cmd::ask::ask;
use crate::cmd::context::{self, block_on};
use crate::cmd::exit::INTERRUPTED;
use crate::cmd::fleet::fleet_command;
use crate::cmd::out::{errln, outln};
use crate::cmd::render::text::clean;

/// Facts can hold what is nobody else's business.
const MODE: u32 = 0o640;

fleet_command! {
    /// write an inventory file of nodes, which --dm inventory reads
    #[argh(subcommand, name = "inventory")]
    pub struct Inventory {
        /// renew the nodes of a file that is there; its groups stay
        #[argh(switch)]
        update: bool,
        /// look for mistakes in the file, ask nobody
        #[argh(switch)]
        validate: bool,
        /// file; YAML if it is called so, else JSON
        #[argh(positional)]
        file: PathBuf,
    }
}

impl Inventory {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.validate {
            let document = Document::read(&self.file)?;
            let (nodes, groups) = (document.nodes.len(), document.groups.len());
            outln!("{} is good: {nodes} nodes, {groups} groups", self.file.display());
            return Ok(ExitCode::SUCCESS);
        }
        let mut document = self.begun()?;
        let selection = self.selection();
        selection.filter()?;
        let config = context::client_config(globals)?;
        block_on(async {
            let client = context::connect(config).await?;
            let collective = client.collective(selection.target.as_deref())?;
            let found = selection.discover(&client, Some("rpcutil")).await?;
            let asked = ask(&client, "rpcutil", "inventory", Map::new(), collective.clone(), found).await?;
            asked.report(&client, &collective);
            client.session().close().await;
            if asked.interrupted {
                errln!("interrupted, {} is as it was", self.file.display());
                return Ok(ExitCode::from(INTERRUPTED));
            }
            let mut failed = 0;
            document.nodes.clear();
            for reply in &asked.replies {
                match node(&reply.sender, reply.body.statuscode, &reply.body.data) {
                    Some(node) => document.nodes.push(node),
                    None => {
                        failed += 1;
                        errln!("{}: {}", clean(&reply.sender, false), clean(&reply.body.statusmsg, false));
                    }
                }
            }
            document.nodes.sort_by(|a, b| a.name.cmp(&b.name));
            if document.nodes.is_empty() {
                bail!("no node told what it is, {} is as it was", self.file.display());
            }
            write_atomic(&self.file, document.text(&self.file)?.as_bytes(), MODE)?;
            outln!("{} has {} nodes now", self.file.display(), document.nodes.len());
            let whole = failed == 0 && asked.stats.no_responses.is_empty();
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })?
    }

    /// What is written again with other nodes.
    fn begun(&self) -> anyhow::Result<Document> {
        let file: &Path = &self.file;
        match (file.exists(), self.update) {
            (true, true) => Ok(Document::read(file)?),
            (true, false) => {
                bail!("{} is there already: --update renews its nodes and keeps its groups", file.display())
            }
            (false, true) => bail!("--update: there is no {}", file.display()),
            (false, false) => Ok(Document::default()),
        }
    }
}

/// What a node told, if it did.
fn node(name: &str, code: StatusCode, data: &Map<String, Value>) -> Option<InventoryNode> {
    let list = |key: &str| -> Vec<String> {
        let items = data.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let facts = data.get("facts").and_then(Value::as_object).cloned().unwrap_or_default();
    (code == StatusCode::Ok).then(|| InventoryNode {
        name: name.to_owned(),
        collectives: list("collectives"),
        facts,
        classes: list("classes"),
        agents: list("agents"),
    })
}
