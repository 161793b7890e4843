//! A throw-away network on loopback: its own CA, the real broker, real nodes,
//! people who call.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use choria::core::pki::{Ca, Kind, Options, is_callers};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Daemon, Ran, named_program, program, run, until};

/// One RSA key for all nodes and callers of all networks: finding keys is slow,
/// and what is tested hangs on certificates.
static KEY: LazyLock<String> = LazyLock::new(|| {
    let dir = TempDir::new().expect("a temporary directory");
    let ca = Ca::create(dir.path(), "Key CA", now()).expect("a CA");
    let issued = ca.issue(Kind::Node, "anybody", &Options::default(), now()).expect("a key");
    issued.key_pem.to_string()
});

pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A CA and a directory; with a broker it is a network.
pub struct Network {
    broker: Option<Daemon>,
    address: Option<SocketAddr>,
    broker_lines: String,
    pub ca: Ca,
    dir: TempDir,
}

impl Network {
    /// A network as we recommend it: `by-name`.
    pub fn start() -> Network {
        Network::start_with("plugin.choria.network.x509_permissions = by-name\n")
    }

    /// A network whose broker has `lines` in its configuration.
    pub fn start_with(lines: &str) -> Network {
        let mut network = Network::without_broker();
        network.broker_lines = lines.to_owned();
        network.start_broker();
        network
    }

    pub fn without_broker() -> Network {
        let dir = TempDir::new().expect("a temporary directory");
        let ca = Ca::create(&dir.path().join("ca"), "Test CA", now()).expect("a CA");
        fs::create_dir(dir.path().join("ssl")).expect("a directory");
        Network { broker: None, address: None, broker_lines: String::new(), ca, dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Another network of the same CA, whose broker has `lines` in its configuration.
    pub fn beside(&self, lines: &str) -> Network {
        let mut network = self.without_broker_beside();
        network.broker_lines = lines.to_owned();
        network.start_broker();
        network
    }

    /// The same without starting its broker.
    pub fn without_broker_beside(&self) -> Network {
        let dir = TempDir::new().expect("a temporary directory");
        fs::create_dir(dir.path().join("ssl")).expect("a directory");
        let ca = Ca::load(self.ca.dir()).expect("a CA");
        Network { broker: None, address: None, broker_lines: String::new(), ca, dir }
    }

    /// Where everything of it is.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of the network and says where it is.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("not the root")).expect("a directory");
        fs::write(&path, text).expect("a file");
        path
    }

    pub fn address(&self) -> SocketAddr {
        self.address.expect("the broker was started")
    }

    pub fn broker(&mut self) -> &mut Daemon {
        self.broker.as_mut().expect("the broker was started")
    }

    /// Lines for the configuration of the broker's next start.
    pub fn configure_broker(&mut self, lines: &str) {
        self.broker_lines = lines.to_owned();
    }

    /// Starts the broker: at a port of the system's choice, later at the same.
    pub fn start_broker(&mut self) {
        self.broker = None;
        if !self.path("ssl/broker.example.net.pem").exists() {
            let loopback = Options { loopback: true, ..Options::default() };
            let issued = self.ca.issue(Kind::Broker, "broker.example.net", &loopback, now());
            issued.and_then(|i| i.write(&self.path("ssl"))).expect("a certificate");
        }
        let port = self.address.map_or(0, |a| a.port());
        let text = format!(
            "identity = broker.example.net\nplugin.choria.broker_network = true\n\
             plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = {port}\n{}{}",
            self.security("broker.example.net"),
            self.broker_lines,
        );
        let config = self.file("broker.conf", &text);
        let (daemon, address) = until("the broker to start", || {
            let mut command = program(self.dir.path());
            command.arg("broker").arg("run").arg("--config").arg(&config);
            let daemon = Daemon::start("broker", command);
            // Between two lives somebody else may hold the port for a moment.
            let line = until("the broker to listen or to give up", || {
                let word = |text| daemon.matching(0, &[text]).pop();
                word("the broker is listening").or_else(|| word("choria: "))
            });
            if line.contains("in use") {
                return None;
            }
            let address = line.split("address=").nth(1).and_then(|t| t.split(' ').next()?.parse().ok());
            Some((daemon, address.expect("an address in the log line")))
        });
        self.broker = Some(daemon);
        self.address = Some(address);
    }

    /// The broker comes back at another port.
    pub fn move_broker(&mut self) {
        self.broker = None;
        let before = self.address.take();
        while self.address.is_none() || self.address == before {
            self.address = None;
            self.start_broker();
        }
    }

    /// Ends the broker at once.
    pub fn kill_broker(&mut self) {
        self.broker = None;
    }

    /// Certificate and key of `name` below `ssl/`.
    pub fn certify(&self, kind: Kind, name: &str) {
        self.certify_by(&self.ca, kind, name, now(), &Options::default());
    }

    /// The same of another CA, another time, for other days.
    pub fn certify_by(&self, ca: &Ca, kind: Kind, name: &str, at: i64, options: &Options) {
        if !self.path(&format!("ssl/{name}.pem")).exists() {
            let issued = ca.issue_for_key(kind, name, options, &KEY, at).expect("a certificate");
            issued.write(&self.path("ssl")).expect("certificate files");
        }
    }

    /// The certificate of the CA.
    pub fn ca_file(&self) -> PathBuf {
        self.ca.certificate_file()
    }

    /// The security lines of a configuration.
    pub fn security(&self, name: &str) -> String {
        format!(
            "plugin.security.provider = file\nplugin.security.file.ca = {}\n\
             plugin.security.file.certificate = {}\nplugin.security.file.key = {}\n",
            self.ca.certificate_file().display(),
            self.path(&format!("ssl/{name}.pem")).display(),
            self.path(&format!("ssl/{name}-key.pem")).display(),
        )
    }

    /// Somebody who calls; `name` is that of the certificate.
    pub fn caller(&self, name: &str) -> Caller {
        self.caller_with(name, "")
    }

    /// The same with more configuration.
    pub fn caller_with(&self, name: &str, lines: &str) -> Caller {
        // by the name of a machine, as that machine
        let is_machine = name.contains('.') && !is_callers(name);
        self.certify(if is_machine { Kind::Node } else { Kind::Client }, name);
        let hosts = self.address.map_or(String::from("127.0.0.1:1"), |a| a.to_string());
        let text = format!(
            "identity = console.example.net\nplugin.choria.middleware_hosts = {hosts}\n{}{lines}",
            self.security(name),
        );
        let config = self.file(&format!("{name}.conf"), &text);
        Caller { name: name.to_owned(), config, home: self.dir.path().to_owned() }
    }

    pub fn alice(&self) -> Caller {
        self.caller("alice.mcollective")
    }

    /// Starts a node, without waiting for it.
    pub fn node(&self, setup: NodeSetup) -> Node {
        let mut node = self.node_elsewhere(setup);
        node.start();
        node
    }

    /// Everything a node needs, to be started by somebody else.
    pub fn node_elsewhere(&self, setup: NodeSetup) -> Node {
        let NodeSetup { name, facts, classes, lines, policies } = setup;
        self.certify(Kind::Node, &name);
        let dir = self.path(&name);
        let file = |path: &str, text: &str| self.file(&format!("{name}/{path}"), text);
        file("classes.txt", &classes);
        file("facts.json", &facts.to_string());
        for (agent, text) in &policies {
            file(&format!("policies/{agent}.policy"), text);
        }
        let hosts = self.address.map_or(String::from("127.0.0.1:1"), |a| a.to_string());
        let text = format!(
            "identity = {name}\nplugin.choria.middleware_hosts = {hosts}\nclassesfile = {dir}/classes.txt\n\
             plugin.yaml = {dir}/facts.json\nrpcaudit = 1\nplugin.rpcaudit.logfile = {dir}/audit.log\n\
             plugin.choria.status_file_path = {dir}/status.json\nplugin.choria.status_update_interval = 1\n\
             plugin.actionpolicy.enable_default = 1\n{security}{lines}",
            dir = dir.display(),
            security = self.security(&name),
        );
        let config = file("server.conf", &text);
        Node { name, dir, config, home: self.dir.path().to_owned(), daemon: None }
    }

    /// Starts nodes and waits until all answer.
    pub fn nodes(&self, setups: impl IntoIterator<Item = NodeSetup>) -> Vec<Node> {
        let nodes: Vec<Node> = setups.into_iter().map(|setup| self.node(setup)).collect();
        nodes.iter().for_each(|node| node.connected());
        let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
        self.answered_by(&names);
        nodes
    }

    /// Waits until exactly these nodes answer a ping.
    pub fn answered_by(&self, names: &[&str]) {
        let alice = self.alice();
        let count = names.len().to_string();
        let mut names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        names.sort();
        until(&format!("an answer of {}", names.join(", ")), || {
            let ran = alice.run(&["ping", "--names", "--expect", &count]);
            (ran.sorted() == names).then_some(())
        });
    }
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Caller {
    pub name: String,
    pub config: PathBuf,
    home: PathBuf,
}

impl Caller {
    /// The command, for tests that change it.
    pub fn command(&self, words: &[&str]) -> Command {
        self.prepared(program(&self.home), words)
    }

    /// The command by another path.
    pub fn command_by(&self, path: &Path, words: &[&str]) -> Command {
        self.prepared(named_program(path, &self.home), words)
    }

    fn prepared(&self, mut command: Command, words: &[&str]) -> Command {
        command.env("MCOLLECTIVE_CERTNAME", &self.name).env("USER", "tester");
        command.args(words).arg("--config").arg(&self.config);
        command
    }

    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Ran {
        run(self.command(words), None)
    }

    #[track_caller]
    pub fn run_with_input(&self, words: &[&str], input: &str) -> Ran {
        run(self.command(words), Some(input))
    }

    /// What one node replies to `rpc`.
    #[track_caller]
    pub fn reply(&self, node: &str, words: &[&str]) -> Value {
        let ran = self.run(&[&["rpc"], words, &["-I", node, "--json"]].concat());
        let replies = ran.json();
        assert_eq!(replies["replies"].as_array().map(Vec::len), Some(1), "{ran:?}");
        replies["replies"][0].clone()
    }

    /// The outputs of an action that works.
    #[track_caller]
    pub fn good(&self, node: &str, words: &[&str]) -> Value {
        let reply = self.reply(node, words);
        assert_eq!(reply["statuscode"], 0, "{reply:#}");
        reply["data"].clone()
    }

    /// The text of one that does not, with its code.
    #[track_caller]
    pub fn bad(&self, node: &str, code: i64, words: &[&str]) -> String {
        let reply = self.reply(node, words);
        assert_eq!(reply["statuscode"], code, "{reply:#}");
        reply["statusmsg"].as_str().expect("a text").to_owned()
    }

    /// A command that keeps running.
    #[track_caller]
    pub fn start(&self, words: &[&str]) -> Daemon {
        Daemon::start(&words.join(" "), self.command(words))
    }
}

/// What a node is to be.
pub struct NodeSetup {
    name: String,
    facts: Value,
    classes: String,
    lines: String,
    policies: Vec<(String, String)>,
}

/// `NAME.example.net`, where alice may call everything and nobody else anything.
pub fn node(name: &str) -> NodeSetup {
    let allow = "policy default deny\nallow\tchoria=alice.mcollective\t*\t*\t*\n";
    NodeSetup {
        name: format!("{name}.example.net"),
        facts: Value::Object(Default::default()),
        classes: String::new(),
        lines: String::new(),
        policies: vec![("default".to_owned(), allow.to_owned())],
    }
}

impl NodeSetup {
    pub fn facts(mut self, facts: Value) -> NodeSetup {
        self.facts = facts;
        self
    }

    pub fn classes(mut self, classes: &[&str]) -> NodeSetup {
        self.classes = classes.join("\n");
        self
    }

    /// More configuration.
    pub fn lines(mut self, lines: &str) -> NodeSetup {
        self.lines.push_str(lines);
        self
    }

    pub fn policy(mut self, agent: &str, text: &str) -> NodeSetup {
        self.policies.push((agent.to_owned(), text.to_owned()));
        self
    }
}

/// A running node.
pub struct Node {
    pub name: String,
    pub dir: PathBuf,
    pub config: PathBuf,
    home: PathBuf,
    daemon: Option<Daemon>,
}

impl Node {
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same in an environment with these variables.
    pub fn start_with(&mut self, environment: &[(&str, String)]) {
        self.daemon = None;
        let mut command = program(&self.home);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.arg("server").arg("run").arg("--config").arg(&self.config);
        self.daemon = Some(Daemon::start(&self.name, command));
    }

    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it was started")
    }

    pub fn log(&self) -> &Daemon {
        self.daemon.as_ref().expect("it was started")
    }

    #[track_caller]
    pub fn connected(&self) {
        self.log().says(&["connected", "broker="]);
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// Lines of the audit log.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.join("audit.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The status file, when there is one.
    pub fn status(&self) -> Option<Value> {
        let text = fs::read_to_string(self.dir.join("status.json")).ok()?;
        Some(serde_json::from_str(&text).expect("JSON"))
    }

    /// A counter of the status file.
    pub fn counter(&self, name: &str) -> u64 {
        self.status().and_then(|s| s["stats"][name].as_u64()).unwrap_or(0)
    }

    /// Waits until a counter of the status file is at least `least`.
    #[track_caller]
    pub fn counts(&self, name: &str, least: u64) {
        until(&format!("{name} of {} to reach {least}", self.name), || {
            (self.counter(name) >= least).then_some(())
        });
    }

    /// Most memory it ever used, in bytes.
    pub fn peak_memory(&self) -> u64 {
        peak_of(self.log().pid())
    }
}

/// Most memory a process ever used, in bytes.
pub fn peak_of(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = text.lines().find(|l| l.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("a number") * 1024
}
