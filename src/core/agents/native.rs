//! The agents that manage a machine: which of them a member of a network hosts.

use std::path::PathBuf;
use std::sync::Arc;

use super::filemgr::FileMgr;
use super::nettest::NetTest;
use super::package::Package;
use super::process::Process;
use super::puppet::Puppet;
use super::service::Service;
use super::shell::Shell;
use super::system::{Jobs, switch};
use super::{Agent, ChoriaUtil};
use crate::core::config::Config;

/// Names of the agents that manage a machine, sorted.
pub const NATIVE: [&str; 7] = ["filemgr", "nettest", "package", "process", "puppet", "service", "shell"];
/// Where jobs are kept when nothing else is said.
const JOBS: &str = "/var/lib/choria/jobs";

/// The agents that manage a machine, as far as this node hosts them, and the one that
/// tells what became of their jobs.
///
/// `plugin.NAME.activate_agent = false` keeps one away. Only where it is `true` is there
/// `shell`, which runs what it is told, and where requests are not authorized any of them.
pub fn native(config: &Config) -> Vec<Arc<dyn Agent>> {
    let jobs = Jobs::new(directory(config));
    let mut agents: Vec<Arc<dyn Agent>> = vec![Arc::new(ChoriaUtil::telling(jobs.clone()))];
    for name in NATIVE {
        let told = config.option(&format!("plugin.{name}.activate_agent"));
        if !switch(told, name != "shell" && config.rpcauthorization) {
            continue;
        }
        agents.push(match name {
            "filemgr" => Arc::new(FileMgr::default()),
            "nettest" => Arc::new(NetTest),
            "package" => Arc::new(Package::new(jobs.clone())),
            "process" => Arc::new(Process),
            "puppet" => Arc::new(Puppet::new(jobs.clone())),
            "service" => Arc::new(Service::new(jobs.clone())),
            _ => Arc::new(Shell::new(jobs.clone())),
        });
    }
    agents
}

/// As configured, or else beside the status file.
fn directory(config: &Config) -> PathBuf {
    let (configured, status) = (&config.choria_jobs_dir, &config.choria_status_file_path);
    match (configured.is_empty(), status.is_empty()) {
        (false, _) => configured.into(),
        (true, false) => format!("{status}.jobs").into(),
        (true, true) => JOBS.into(),
    }
}
