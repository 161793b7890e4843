//! The agents that manage a machine: which of them a member of a network hosts.

use std::path::PathBuf;
use std::sync::Arc;

use super::bolt_tasks::BoltTasks;
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
use crate::core::ddl::REPLACEABLE;

/// Settings of these agents, and what each is; all are the original's but for values of
/// the providers.
pub const SETTINGS: [(&str, &str); 17] = [
    (
        "plugin.AGENT.activate_agent",
        "whether the agent is hosted; default true, but false of shell, and of all that manage machines where \
         rpcauthorization is false",
    ),
    (
        "plugin.package.provider",
        "apt, yum, dnf, zypper, apk or pkg; default what the node has, which puppet means, too",
    ),
    ("plugin.package.yum_clean_mode", "what package yum_clean throws away when nothing is said, default all"),
    (
        "plugin.service.provider",
        "systemd, openrc or service; default what the node runs, which puppet means, too",
    ),
    (
        "plugin.service.service.servicecmd",
        "program that is given a service and start, stop, restart or status; default /sbin/service or /usr/sbin/service",
    ),
    (
        "plugin.filemgr.touch_file",
        "file of requests that name none, default /var/run/mcollective.plugin.filemgr.touch",
    ),
    ("plugin.puppet.command", "how Puppet is run, default puppet agent"),
    ("plugin.puppet.config", "configuration of Puppet, default its own"),
    ("plugin.puppet.splay", "whether a run waits a random time, default true"),
    ("plugin.puppet.splaylimit", "longest such time in seconds, default 30"),
    (
        "plugin.puppet.signal_daemon",
        "whether a daemon of Puppet is woken instead of another being run, default true",
    ),
    ("plugin.puppet.allow_server_override", "whether callers may name another Puppet server, default false"),
    (
        "plugin.puppet.resource_type_whitelist",
        "types whose resources puppet resource may set, comma separated, each as good as root to who may call it; \
         default none",
    ),
    ("plugin.puppet.resource_type_blacklist", "types it may not set, where all others are allowed"),
    (
        "plugin.puppet.resource_name_whitelist.TYPE",
        "names of that type it may set, comma separated; default all",
    ),
    ("plugin.puppet.resource_name_blacklist.TYPE", "names of that type it may not set"),
    (
        "plugin.puppet.resource_allow_managed_resources",
        "whether it may set what Puppet manages, default false",
    ),
];

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
    for name in REPLACEABLE {
        let told = config.option(&format!("plugin.{name}.activate_agent"));
        if !switch(told, name != "shell" && config.rpcauthorization) {
            continue;
        }
        agents.push(match name {
            "bolt_tasks" => tasks(config),
            "filemgr" => Arc::new(FileMgr::default()),
            "nettest" => Arc::new(NetTest::default()),
            "package" => Arc::new(Package::new(jobs.clone())),
            "process" => Arc::new(Process::default()),
            "puppet" => Arc::new(Puppet::new(jobs.clone())),
            "service" => Arc::new(Service::new(jobs.clone())),
            _ => Arc::new(Shell::new(jobs.clone())),
        });
    }
    agents
}

/// The agent that runs Puppet Tasks.
pub fn tasks(config: &Config) -> Arc<dyn Agent> {
    Arc::new(BoltTasks::new(config))
}

/// As configured, or else beside the status file.
fn directory(config: &Config) -> PathBuf {
    config.beside_status(&config.choria_jobs_dir, ".jobs").unwrap_or_else(|| JOBS.into())
}
