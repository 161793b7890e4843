//! `choria provision run` on real waiting nodes: from a token to `choria ping`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::network::Caller;
use crate::process::{Daemon, program, run, until};
use crate::waiting_room::{ACCESS, PASSWORD, Waiting, WaitingRoom};

/// A provisioner with a directory of its own.
pub struct Provisioning<'a> {
    room: &'a WaitingRoom,
    caller: Caller,
    name: String,
    daemon: Option<Daemon>,
}

impl<'a> Provisioning<'a> {
    /// With the network's own CA, `lines` added to its settings.
    pub fn new(room: &'a WaitingRoom, name: &str, identity: &str, lines: &str) -> Provisioning<'a> {
        let caller =
            room.network.caller_with(&format!("{name}.mcollective"), &format!("identity = {identity}\n"));
        let provisioning = Provisioning { room, caller, name: name.to_owned(), daemon: None };
        provisioning.settle(lines);
        provisioning
    }

    /// Writes its settings, `lines` added.
    fn settle(&self, lines: &str) {
        let Provisioning { room, name, .. } = self;
        let path = |file: &str| room.network.path(&format!("{name}/{file}"));
        let settings = format!(
            "token: {ACCESS}\nbroker_provisioning_password: {PASSWORD}\nloglevel: debug\n\
             state_dir: {}\nca_dir: {}\njwt_verify_cert: {}\nfeatures: {{jwt: true, pki: true}}\n{lines}",
            path("state").display(),
            room.network.path("ca").display(),
            room.key.public_hex().expect("ed25519"),
        );
        room.network.file(&format!("{name}/provisioner.yaml"), &settings);
    }

    /// The same under a running provisioner, which reads them.
    fn resettle(&self, lines: &str) {
        self.settle(lines);
        let mark = self.log().mark();
        self.log().signal(Signal::HUP);
        self.log().says_after(mark, &["read the settings again"]);
    }

    /// `choria provision` with its own settings.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = program(&self.room.network.path(""));
        command.env("MCOLLECTIVE_CERTNAME", &self.caller.name).arg("provision").args(words);
        command.arg("--config").arg(self.room.network.path(&format!("{}/provisioner.yaml", self.name)));
        command
    }

    /// `choria provision run`.
    fn run_command(&self) -> Command {
        let mut command = self.command(&["run"]);
        command.arg("--choria-config").arg(&self.caller.config);
        // helpers are programs like any other
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    pub fn start(&mut self) {
        self.daemon = None;
        let daemon = Daemon::start(&self.name, self.run_command());
        daemon.says(&["watching for nodes"]);
        self.daemon = Some(daemon);
    }

    pub fn log(&self) -> &Daemon {
        self.daemon.as_ref().expect("it was started")
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    pub fn status(&self) -> Value {
        run(self.command(&["status", "--json"]), None).fine().json()
    }
}

/// A helper that signs by the network's CA, after `script` has had its say.
pub fn helper(room: &WaitingRoom, script: &str) -> String {
    let ca = room.network.path("ca");
    let text = format!(
        "#!/bin/sh\n\
         in=$(cat)\n\
         {script}\n\
         printf %s \"$in\" | python3 -c '\n\
         import json, subprocess, sys, tempfile\n\
         told = json.load(sys.stdin)\n\
         name, csr = told[\"identity\"], told[\"csr\"]\n\
         ca, ssl = \"{ca}\", csr[\"ssldir\"]\n\
         extensions = tempfile.NamedTemporaryFile(\"w+\")\n\
         extensions.write(\"subjectAltName = DNS:\" + name + \"\\n\")\n\
         extensions.flush()\n\
         out = subprocess.run([\"openssl\", \"x509\", \"-req\", \"-days\", \"2\", \"-CA\", ca + \"/ca.pem\", \"-CAkey\", ca + \"/ca-key.pem\", \"-extfile\", extensions.name],\n\
             input=csr[\"csr\"], capture_output=True, text=True, check=True).stdout\n\
         print(json.dumps({{\"certificate\": out, \"ca\": open(ca + \"/ca.pem\").read(), \"configuration\": {{\n\
             \"identity\": name, \"plugin.choria.server.provision\": \"false\",\n\
             \"plugin.choria.middleware_hosts\": \"{broker}\", \"plugin.security.provider\": \"file\",\n\
             \"plugin.security.file.certificate\": ssl + \"/certificate.pem\", \"plugin.security.file.key\": ssl + \"/private.pem\",\n\
             \"plugin.security.file.ca\": ssl + \"/ca.pem\"}}}}))\n\
         '\n",
        ca = ca.display(),
        broker = room.network.address(),
    );
    // lines of the small program must not be indented
    let text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
    let file = room.network.file("helper.sh", &text);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("an executable file");
    file.display().to_string()
}

pub fn waiting(room: &WaitingRoom, names: &[&str]) -> Vec<Waiting> {
    let mut nodes: Vec<Waiting> = names.iter().map(|name| room.node(name)).collect();
    nodes.iter_mut().for_each(Waiting::start);
    nodes
}

/// Everybody answers as a member.
pub fn all_are_members(room: &WaitingRoom, names: &[&str]) {
    let alice = room.network.alice();
    until("all nodes to answer as members", || {
        let found = alice.run(&["find", "--json"]);
        let mut found: Vec<String> = serde_json::from_str(&found.stdout).unwrap_or_default();
        found.sort();
        (found == names).then_some(())
    });
}

const NAMES: [&str; 5] =
    ["n1.example.net", "n2.example.net", "n3.example.net", "n4.example.net", "n5.example.net"];

#[test]
fn by_our_own_ca_and_the_default_template() {
    let room = WaitingRoom::open();
    let mut provisioner = Provisioning::new(&room, "p1", "p1.example.net", "");
    let before = waiting(&room, &NAMES[..3]);
    before.iter().for_each(|node| node.waits(0));
    // those that wait already are found by asking, those that come by their events
    provisioner.start();
    let _after = waiting(&room, &NAMES[3..]);
    all_are_members(&room, &NAMES);
    let alice = room.network.alice();
    alice.run(&["rpc", "rpcutil", "ping"]).fine().says(&["5 / 5"]);
    // nothing that changes a node was allowed by saying nothing
    alice.run(&["rpc", "choria_provision", "restart", "token=x"]).says(&["not authorized"]);
    until("the provisioner to count them", || (provisioner.status()["provisioned"] == 5).then_some(()));
    let status = provisioner.status();
    assert_eq!(status["helper"], "builtin");
    assert!(status["recent"].as_array().is_some_and(|recent| recent.len() >= 5), "{status}");
    let text = provisioner.log().lines().join("\n");
    assert!(!text.contains(ACCESS) && !text.contains("PRIVATE KEY"), "no secrets in the log");
    // told to end, it ends
    provisioner.log().signal(Signal::TERM);
    assert!(provisioner.daemon.as_mut().expect("it was started").ended().success());
}

#[test]
fn killed_at_any_step_it_gives_nobody_two_answers() {
    let room = WaitingRoom::open();
    let signed = room.network.path("signed");
    fs::create_dir(&signed).expect("a directory");
    // remembers every node it was asked about, and takes a moment
    let script = format!("mktemp {}/asked.XXXXXX > /dev/null; sleep 0.3", signed.display());
    let lines = format!("helper: {}\nworkers: 2\n", helper(&room, &script));
    let mut provisioner = Provisioning::new(&room, "p1", "p1.example.net", &lines);
    let nodes = waiting(&room, &NAMES);
    nodes.iter().for_each(|node| node.waits(0));
    for kills in 1..=4 {
        provisioner.start();
        // each time a little further
        until("some more nodes to be asked about", || {
            let asked = fs::read_dir(&signed).expect("a directory").count();
            (asked >= kills).then_some(())
        });
        provisioner.kill();
    }
    provisioner.start();
    all_are_members(&room, &NAMES);
    for node in &nodes {
        let written = node.log().matching(0, &["configured"]);
        assert!(written.len() <= 1, "{} was configured more than once: {written:?}", node.name);
    }
}

#[test]
fn two_provisioners_share_a_fleet_also_by_one_name() {
    for identities in [["p1.example.net", "p2.example.net"], ["p.example.net", "p.example.net"]] {
        let room = WaitingRoom::open();
        let mut first = Provisioning::new(&room, "p1", identities[0], "");
        let mut second = Provisioning::new(&room, "p2", identities[1], "");
        first.start();
        second.start();
        let nodes = waiting(&room, &NAMES);
        all_are_members(&room, &NAMES);
        let count = |provisioning: &Provisioning<'_>| {
            provisioning.status()["provisioned"].as_u64().expect("a number")
        };
        assert_eq!(count(&first) + count(&second), 5, "each of them once");
        drop(nodes);
    }
}

#[test]
fn two_machines_of_one_name_are_left_alone_and_told_of() {
    let room = WaitingRoom::open();
    let mut provisioner = Provisioning::new(&room, "p1", "p1.example.net", "");
    let mut nodes = [room.node("n1.example.net"), room.node("n1.example.net")];
    nodes[1].dir = room.network.path("another");
    fs::create_dir_all(&nodes[1].dir).expect("a directory");
    for (node, serial) in nodes.iter_mut().zip(["C02X", "C02Y"]) {
        let facts = format!("{{\"site\": \"mt\", \"board\": {{\"serial\": \"{serial}\"}}}}");
        let mut claims = room.claims();
        claims.facts = room.network.file(&format!("{serial}.json"), &facts).display().to_string();
        claims.standard.id = format!("token-{serial}");
        node.token = room.token(&format!("{serial}.jwt"), &claims);
    }
    nodes.iter_mut().for_each(Waiting::start);
    nodes.iter().for_each(|node| node.waits(0));
    provisioner.start();
    provisioner.log().says(&["error", "two machines claim this name"]);
    assert!(nodes.iter().all(|node| !node.config().exists()), "neither is configured");
    assert_eq!(provisioner.status()["provisioned"], 0);
    assert_eq!(provisioner.status()["reasons"]["doubled"], 1);

    // rules that decide nothing
    let rule = |text: &str| format!("machines: [{{identity: n1.example.net, {text}}}]\n");
    let told = |text: &str, why: &[&str]| {
        let mark = provisioner.log().mark();
        provisioner.resettle(&rule(text));
        provisioner.log().says_after(mark, why);
        assert!(nodes.iter().all(|node| !node.config().exists()), "neither is configured");
    };
    told("facts: [site=mt]", &["error", "two machines claim this name and its row in machines"]);
    told("facts: [site=de]", &["no answer", "only the machine its row in machines describes is asked"]);
    told("token_id: token-C02X", &["error", "two machines claim this name"]);
    told("facts: [board.serial=C02X], token_id: token-C02Y", &["provisioning token is not the one"]);
    // and one that does
    provisioner.resettle(&rule("facts: [board.serial=C02X], token_id: token-C02X"));
    all_are_members(&room, &["n1.example.net"]);
    assert!(nodes[0].config().exists() && !nodes[1].config().exists());
    nodes[1].daemon().still_runs();
}

/// What would strand nodes, or end the start, is told before there are any.
#[test]
fn a_check_looks_at_everything() {
    let room = WaitingRoom::open();
    let check = |lines: &str, without: &str| {
        let mut command = crate::provisioning::provision(&room, lines);
        let file = room.network.path("provisioner/provisioner.yaml");
        let text = std::fs::read_to_string(&file).expect("a file");
        let kept: String =
            text.lines().filter(|line| !line.starts_with(without)).map(|line| format!("{line}\n")).collect();
        std::fs::write(&file, kept).expect("a file");
        command.arg("--check-config");
        run(command, None)
    };
    check("", "nothing").fine().says(&["is good"]);
    // A CA that would be made now is one that no broker knows.
    check("", "ca_dir").code(0).complains(&["there is no CA in ca_dir", "nodes would be turned away"]);
    let told =
        check("state_dir: /dev/null/state\n", &format!("state_dir: {}", room.network.path("").display()))
            .code(1);
    told.complains(&["state_dir /dev/null/state cannot be written (/dev/null: "]);
    let backplane = "management: {name: prov, brokers: [\"127.0.0.1:1\"], auth: {full: [a]}, tls: {identity: prov.example.net, \
                     scheme: file, ca: /no/ca.pem, cert: /no/cert.pem, key: /no/key.pem}}\n";
    check(backplane, "nothing").code(1).complains(&["management", "/no/cert.pem"]);
}

#[test]
fn what_would_be_done_is_shown_and_one_node_is_done_by_hand() {
    let room = WaitingRoom::open();
    let provisioner = Provisioning::new(&room, "p1", "p1.example.net", "");
    let nodes = waiting(&room, &["n1.example.net"]);
    nodes[0].waits(0);
    let asked = |words: &[&str]| {
        let mut command = provisioner.run_command();
        command.args(words);
        run(command, None)
    };
    asked(&["--check-config"]).fine().says(&["is good", "builtin"]);
    asked(&["--dry-run", "n1.example.net"]).fine().says(&[
        "\"cht\": \"*****\"",
        "identity = n1.example.net",
        "Nothing was changed.",
    ]);
    assert!(!nodes[0].config().exists());
    asked(&["--once", "n1.example.net"]).fine().says(&["n1.example.net is provisioned and restarts"]);
    all_are_members(&room, &["n1.example.net"]);
    asked(&["--once", "nobody.example.net"])
        .code(1)
        .complains(&["nobody.example.net was not provisioned", "no answer"]);
    run(provisioner.command(&["status"]), None).code(1).complains(&["no provisioner runs"]);
}
