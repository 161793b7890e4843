//! How nodes are found, decided before anything is asked (spec 03 §4.1).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use choria::core::client::Client;
use choria::core::discovery::{Format, literal_identities};

use super::{Selection, identity, piped};
use crate::cmd::render::text::clean;

/// What the method is called that asks the nodes themselves.
pub(super) const BY_ASKING: [&str; 2] = ["mc", "broadcast"];
/// The same of PuppetDB.
const PUPPETDB: [&str; 2] = ["puppetdb", "choria"];
/// Methods that know no expressions: the nodes are asked instead, as in the original. It
/// does so for lists, too, and addresses nodes that are not on them.
const BY_NODES: [&str; 3] = ["external", "puppetdb", "choria"];
/// What stands before the name of a group of an inventory.
const GROUP: &str = "group:";
/// What stands before a query of PuppetDB.
pub(super) const PQL: &str = "pql:";

/// How nodes are found.
pub(super) enum Method {
    Broadcast,
    Flatfile { file: String, format: Format },
    Results(Vec<String>),
    Inventory(String),
    External { command: String, options: BTreeMap<String, String> },
    PuppetDb,
}

impl Selection {
    /// Whether this method, or one that may yet be configured, reads more than names and
    /// patterns of an `-I`.
    pub(super) fn reads_itself(&self, identity: &str) -> bool {
        let may_be = |methods: &[&str]| self.method.as_deref().is_none_or(|method| methods.contains(&method));
        self.nodes.is_none()
            && (identity.starts_with(GROUP) && may_be(&["inventory"])
                || identity.starts_with(PQL) && may_be(&PUPPETDB))
    }

    /// What no other method reads is refused once the method is known.
    pub(super) fn check_identities(&self, method: &Method) -> anyhow::Result<()> {
        for name in &self.identities {
            match method {
                Method::Inventory(_) if name.starts_with(GROUP) => {}
                Method::PuppetDb if name.starts_with(PQL) => {}
                _ if name.starts_with(GROUP) => {
                    bail!("-I group:NAME is a group of an inventory file: give --dm inventory with it")
                }
                _ if name.starts_with(PQL) => {
                    bail!("-I {}: nodes are not found by pql but with --dm puppetdb", clean(name, false))
                }
                _ => identity::check(name)?,
            }
        }
        Ok(())
    }

    /// The same for what asks all nodes itself.
    pub fn check_broadcast(&self) -> anyhow::Result<()> {
        self.check_identities(&Method::Broadcast)?;
        match self.options.first() {
            None => Ok(()),
            Some(option) => bail!(
                "--do {}: this command asks the nodes themselves; name them with -I or --nodes",
                clean(option, false)
            ),
        }
    }

    /// What is given with `--do` is for a method that reads it: passed over, a list of a few nodes
    /// would be the whole fleet.
    fn check_options(&self, method: &str) -> anyhow::Result<()> {
        let named = self.nodes.is_some() || self.listed.is_some();
        let reads: Option<&[&str]> = match method {
            _ if named => Some(&[]),
            "flatfile" | "file" => Some(&["file", "format"]),
            "inventory" => Some(&["file", "novalidate", "noverify"]),
            _ if BY_ASKING.contains(&method) || PUPPETDB.contains(&method) => Some(&[]),
            // its own options, or a method that nobody knows
            _ => None,
        };
        for option in &self.options {
            let shown = clean(option, false);
            let Some((key, _)) = option.split_once(['=', ':']) else {
                bail!("--do {shown}: write it as KEY=VALUE");
            };
            match reads {
                None => {}
                Some(reads) if reads.contains(&key) => {}
                _ if named => {
                    bail!("--do {shown}: the nodes are named already, by --nodes or on standard input")
                }
                Some([]) => bail!(
                    "--do {shown}: the method {method} reads no options, say which does: --dm flatfile, inventory or \
                     external"
                ),
                Some(reads) => bail!("--do {shown}: the method {method} reads {}", reads.join(", ")),
            }
        }
        Ok(())
    }

    /// Name of the method for people, before standard input was looked at.
    pub fn method_name(&self, client: &Client) -> String {
        if self.listed.is_some() || self.nodes.is_some() {
            return "flatfile".to_owned();
        }
        let configured = &client.config().default_discovery_method;
        let name = self.method.as_ref().unwrap_or(configured);
        let by_nodes = self.select.is_some() && BY_NODES.contains(&name.as_str());
        if by_nodes { BY_ASKING[0].to_owned() } else { name.clone() }
    }

    fn options(&self, client: &Client) -> BTreeMap<String, String> {
        let configured = &client.config().default_discovery_options;
        let options = if self.options.is_empty() { configured } else { &self.options };
        let split =
            |option: &String| option.split_once(['=', ':']).map(|(k, v)| (k.to_owned(), v.to_owned()));
        options.iter().filter_map(split).collect()
    }

    pub(super) fn method(&self, client: &Client) -> anyhow::Result<Method> {
        let config = client.config();
        self.check_options(self.method.as_deref().unwrap_or(&config.default_discovery_method))?;
        if let Some(listed) = &self.listed {
            return Ok(Method::Results(listed.clone()));
        }
        if self.nodes.as_deref() == Some("-") {
            return Ok(Method::Results(piped::names_on_stdin()?));
        }
        if let Some(file) = &self.nodes {
            return Ok(Method::Flatfile { file: file.clone(), format: Format::of(Path::new(file)) });
        }
        let wanted = self.method.as_deref();
        let name = wanted.unwrap_or(&config.default_discovery_method);
        let by_asking = BY_ASKING.contains(&name);
        if self.select.is_some() && BY_NODES.contains(&name) {
            return Ok(Method::Broadcast);
        }
        // Whoever names nodes has said who is meant: in a `while read` loop the rest
        // of standard input is the loop's.
        if wanted.is_none()
            && literal_identities(&self.filter()?).is_none()
            && let Some(results) = piped::results_on_stdin()?
        {
            return Ok(Method::Results(results));
        }
        let mut options = self.options(client);
        let configured = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        match name {
            _ if by_asking => Ok(Method::Broadcast),
            "flatfile" | "file" => {
                let file = options
                    .remove("file")
                    .context("could not determine file to use as discovery source, give --nodes FILE or --do file=FILE")?;
                let format = options
                    .remove("format")
                    .map_or_else(|| Format::of(Path::new(&file)), |f| Format::parse(&f));
                Ok(Method::Flatfile { file, format })
            }
            "inventory" => {
                let configured = configured(&config.choria_discovery_inventory_source);
                let file = options.remove("file").or(configured).context(
                    "could not determine the inventory file, give --do file=FILE or set \
                     plugin.choria.discovery.inventory.source",
                )?;
                Ok(Method::Inventory(file))
            }
            "external" => {
                let configured = configured(&config.choria_discovery_external_command);
                let command = options.remove("command").or(configured).context(
                    "could not determine the command that finds nodes, give --do command=COMMAND or set \
                     plugin.choria.discovery.external.command",
                )?;
                Ok(Method::External { command, options })
            }
            _ if PUPPETDB.contains(&name) => Ok(Method::PuppetDb),
            other => bail!(
                "unsupported discovery method '{other}', use mc, flatfile, inventory, external or puppetdb"
            ),
        }
    }
}
