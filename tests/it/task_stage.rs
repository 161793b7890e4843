//! A network with tasks: modules in a directory, our server of them, nodes that run them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::network::{Caller, Network, Node, NodeSetup, node};
use crate::process::{Daemon, Ran, program, until};

pub const N1: &str = "n1.example.net";

pub struct Tasks {
    pub network: Network,
    pub nodes: Vec<Node>,
    pub alice: Caller,
    pub server: Option<Daemon>,
    pub port: u16,
}

/// Lines of a configuration that knows the server of tasks.
pub fn known(port: u16) -> String {
    format!("plugin.choria.puppetserver_host = 127.0.0.1\nplugin.choria.puppetserver_port = {port}\n")
}

/// A node whose tasks are its own.
pub fn with_tasks(network: &Network, setup: NodeSetup, name: &str, port: u16) -> NodeSetup {
    let dir = network.path(&format!("{name}-tasks"));
    setup.lines(&format!(
        "{}plugin.choria.tasks.cache_dir = {dir}/cache\nplugin.choria.tasks.spool_dir = {dir}/spool\n",
        known(port),
        dir = dir.display()
    ))
}

impl Tasks {
    /// Nodes of these names with `lines` of configuration; the server has these files below its
    /// modules.
    pub fn start(names: &[&str], lines: &str, files: &[(&str, &str)]) -> Tasks {
        Tasks::start_signed(names, lines, files, &[])
    }

    /// The same with more words for the server.
    pub fn start_signed(names: &[&str], lines: &str, files: &[(&str, &str)], words: &[&str]) -> Tasks {
        let network = Network::start();
        for (name, text) in files {
            put(&network, name, text);
        }
        fs::create_dir_all(network.path("modules")).expect("a directory");
        let mut command = program(network.directory());
        command.args(["tasks", "serve", "--listen", "127.0.0.1", "--port", "0"]).args(words);
        command.arg("--config").arg(network.path("broker.conf")).arg(network.path("modules"));
        let server = Daemon::start("tasks", command);
        let line = server.says(&["the server of tasks is listening"]);
        let port = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
        let port: u16 = port.and_then(|at| at.rsplit(':').next()?.parse().ok()).expect("a port");
        let nodes =
            network.nodes(names.iter().map(|name| with_tasks(&network, node(name).lines(lines), name, port)));
        let alice = network.caller_with("alice.mcollective", &known(port));
        Tasks { network, nodes, alice, server: Some(server), port }
    }

    /// Somebody else who knows the server.
    pub fn caller(&self, name: &str) -> Caller {
        self.network.caller_with(name, &known(self.port))
    }

    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Ran {
        self.alice.run(&[&["tasks"], words].concat())
    }

    /// The files of a task as the server tells them, as text.
    #[track_caller]
    pub fn files(&self, task: &str) -> String {
        let told = self.run(&["describe", task, "--json"]).code(0).json();
        told["files"].to_string()
    }

    /// What the first node has of a run.
    pub fn spooled(&self, id: &str, name: &str) -> Option<String> {
        fs::read_to_string(self.network.path("n1-tasks/spool").join(id).join(name)).ok()
    }

    /// Waits until a run on the first node has ended, and tells how.
    #[track_caller]
    pub fn ended(&self, id: &str) -> Value {
        until("the run to end", || {
            let reply = self.alice.reply(N1, &["bolt_tasks", "task_status", &format!("task_id={id}")]);
            (reply["data"]["completed"] == true).then_some(reply)
        })
    }

    /// Begins a task on the first node; the id of its run.
    #[track_caller]
    pub fn begin(&self, words: &[&str]) -> String {
        let ran = self.run(&[&["run"], words, &["--background", "--json", "-I", N1]].concat()).code(0).json();
        ran["summary"]["taskid"].as_str().expect("an id").to_owned()
    }
}

fn put(network: &Network, name: &str, text: &str) {
    let file = network.file(&format!("modules/{name}"), text);
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("a mode");
}

/// What a task wrote, as an object.
pub fn output(reply: &Value) -> Value {
    serde_json::from_str(reply["data"]["stdout"].as_str().unwrap_or("null")).unwrap_or(json!(null))
}
