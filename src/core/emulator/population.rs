//! Who the emulated nodes are: names, certificates, facts, classes, policies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::Behaviour;
use crate::core::config::{Config, ConfigError, Role, System};
use crate::core::files;
use crate::core::pki::{self, Ca, Kind, PkiError};
use crate::core::security::{Provider, SecurityError};

/// Different sets of facts; nodes share the files.
const VARIETIES: usize = 16;
const COUNTRIES: [&str; 4] = ["mt", "uk", "de", "us"];
const ROLES: [&str; 4] = ["web", "db", "mail", "cache"];

/// A check of theirs.
const HEARTBEAT: &str = include_str!("heartbeat.yaml");

/// Everything the nodes have in common. Clones share it.
#[derive(Clone)]
pub struct Population {
    shared: Arc<Shared>,
    requests: Option<Arc<Path>>,
    /// Host and port of their server of tasks.
    tasks: Option<(Arc<str>, u16)>,
    /// Between two registrations, seconds.
    registering: Option<u32>,
    /// The store of their machines, which is one.
    checks: Option<Arc<Path>>,
}

struct Shared {
    count: usize,
    pattern: String,
    base: String,
    dir: tempfile::TempDir,
    ca: Ca,
    key: zeroize::Zeroizing<String>,
    provider: Provider,
    certificates: Certificates,
}

/// What the nodes show who they are with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificates {
    /// Each its own, under its own name.
    Many,
    /// All the first node's: quicker to make. Brokers that bind nodes to the
    /// names of their certificates let only one in by it.
    One,
}

/// A population that cannot be.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum PopulationError {
    #[error("the name pattern '{0}' has no {{}} where the number goes")]
    Pattern(String),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Security(#[from] SecurityError),
    #[error("cannot write the nodes' files: {0}")]
    Files(#[from] std::io::Error),
}

/// The name of a node: `{}` in the pattern is its number, from 1.
pub fn name_of(pattern: &str, index: usize) -> String {
    pattern.replace("{}", &(index + 1).to_string())
}

impl Population {
    /// `count` nodes named by `pattern`, with certificates of the CA in `ca`
    /// that share one key (or share one certificate), on a network described by `base`: lines of a server
    /// configuration such as `plugin.choria.middleware_hosts`.
    pub fn new(
        count: usize,
        pattern: &str,
        base: &str,
        ca: &Path,
        certificates: Certificates,
    ) -> Result<Population, PopulationError> {
        if !pattern.contains("{}") {
            return Err(PopulationError::Pattern(pattern.to_owned()));
        }
        let ca = Ca::load(ca)?;
        let dir = files::scratch(&std::env::temp_dir(), "choria-emulate-")?;
        files_of(dir.path())?;
        let now = jiff::Timestamp::now().as_second();
        let first = ca.issue(Kind::Node, &name_of(pattern, 0), &pki::Options::default(), now)?;
        let (certificate, key) = first.write(dir.path())?;
        let base = format!(
            "{base}\nplugin.security.provider = file\nplugin.security.file.certificate = {}\n\
             plugin.security.file.key = {}\nplugin.security.file.ca = {}\nplugin.choria.use_srv = false\n",
            certificate.display(),
            key.display(),
            ca.certificate_file().display(),
        );
        let text = format!("identity = {}\n{base}", name_of(pattern, 0));
        let config = Config::from_text_at(Role::Server, &text, &dir.path().join("server.conf"))?;
        let provider = Provider::new(&config, Role::Server, &System)?;
        let shared = Shared {
            count,
            pattern: pattern.to_owned(),
            base,
            dir,
            ca,
            key: first.key_pem,
            provider,
            certificates,
        };
        Ok(Population {
            shared: Arc::new(shared),
            requests: None,
            tasks: None,
            registering: None,
            checks: None,
        })
    }

    /// The same nodes, which run requests that were made while they were away, and remember them in files below this
    /// directory.
    pub fn taking_requests(self, dir: PathBuf) -> Population {
        Population { requests: Some(dir.into()), ..self }
    }

    /// The same nodes, which run Puppet Tasks of this server, each with a cache and a spool of its own.
    pub fn running_tasks(self, host: &str, port: u16) -> Population {
        Population { tasks: Some((host.into(), port)), ..self }
    }

    /// The same nodes, which publish their inventory every so many seconds.
    pub fn registering(self, seconds: u32) -> Population {
        Population { registering: Some(seconds), ..self }
    }

    /// The same nodes, each of which looks at so many checks every minute: heartbeats, whose programs are none.
    ///
    /// # Errors
    /// Their machines cannot be written.
    pub fn checking(self, checks: usize) -> Result<Population, PopulationError> {
        let store = self.shared.dir.path().join("machines");
        for number in 1..=checks {
            let name = format!("check_{number:02}");
            let directory = store.join(&name);
            std::fs::create_dir_all(&directory)?;
            files::write_atomic(
                &directory.join("machine.yaml"),
                HEARTBEAT.replace("NAME", &name).as_bytes(),
                files::PUBLIC,
            )?;
        }
        Ok(Population { checks: Some(store.into()), ..self })
    }

    /// Whether they run Puppet Tasks.
    pub fn runs_tasks(&self) -> bool {
        self.tasks.is_some()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.shared.count
    }

    /// Configuration and keys of node `index`.
    pub(super) fn node(
        &self,
        index: usize,
        behaviour: Behaviour,
    ) -> Result<(Config, Provider), PopulationError> {
        let shared = &*self.shared;
        let name = name_of(&shared.pattern, index);
        let variety = index % VARIETIES;
        let home: PathBuf =
            shared.dir.path().join(if behaviour == Behaviour::Denying { "deny" } else { "allow" });
        let file = |what: &str| shared.dir.path().join(format!("{what}-{variety}"));
        let text = format!(
            "{}identity = {name}\nplugin.yaml = {}.json\nclassesfile = {}.txt\n",
            shared.base,
            file("facts").display(),
            file("classes").display(),
        );
        let text = match &self.requests {
            None => text,
            Some(dir) => format!(
                "{text}plugin.choria.requests.enabled = true\nplugin.choria.requests.file = {}\n",
                dir.join(format!("{name}.requests")).display()
            ),
        };
        let text = match &self.tasks {
            None => text,
            Some((host, port)) => format!(
                "{text}plugin.choria.puppetserver_host = {host}\nplugin.choria.puppetserver_port = {port}\n\
                 plugin.choria.tasks.cache_dir = {dir}/cache\nplugin.choria.tasks.spool_dir = {dir}/spool\n",
                dir = shared.dir.path().join("tasks").join(&name).display()
            ),
        };
        let text = match self.registering {
            None => text,
            Some(seconds) => format!(
                "{text}registration = inventory_content\nregisterinterval = {seconds}\nregistration_splay = true\n"
            ),
        };
        let text = match &self.checks {
            None => text,
            Some(store) => format!("{text}plugin.choria.machine.store = {}\n", store.display()),
        };
        let config = Config::from_text_at(Role::Server, &text, &home.join("server.conf"))?;
        if shared.certificates == Certificates::One {
            return Ok((config, shared.provider.alias(&name)));
        }
        let now = jiff::Timestamp::now().as_second();
        let options = pki::Options::default();
        let issued = shared.ca.issue_for_key(Kind::Node, &name, &options, &shared.key, now)?;
        Ok((config, shared.provider.twin(&name, &issued.certificate_pem)?))
    }
}

fn files_of(dir: &Path) -> std::io::Result<()> {
    for (home, verdict) in [("allow", "allow"), ("deny", "deny")] {
        let policies = dir.join(home).join("policies");
        std::fs::create_dir_all(&policies)?;
        for agent in ["rpcutil", "choria_util", "bolt_tasks", "scout"] {
            let text = format!("policy default {verdict}\n");
            files::write_atomic(&policies.join(format!("{agent}.policy")), text.as_bytes(), files::PUBLIC)?;
        }
    }
    for variety in 0..VARIETIES {
        let (country, role) = (COUNTRIES[variety % 4], ROLES[variety / 4]);
        let facts = json!({
            "country": country, "role": role, "cpus": 1 << (variety % 6), "variety": variety,
            "os": {"family": "Debian", "name": "Debian", "release": {"major": 12}},
            "emulated": true,
        });
        let classes = format!("base\nroles::{role}\n");
        files::write_atomic(
            &dir.join(format!("facts-{variety}.json")),
            facts.to_string().as_bytes(),
            files::PUBLIC,
        )?;
        files::write_atomic(&dir.join(format!("classes-{variety}.txt")), classes.as_bytes(), files::PUBLIC)?;
    }
    Ok(())
}
