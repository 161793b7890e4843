//! The README, line for line, on machines that have nothing but what it says.

use std::path::Path;

use crate::machine::{Machine, PERSON};
use crate::process::{Daemon, Ran, until};

const BROKER: &str = "choria.example.net";
const NODE: &str = "n1.example.net";

/// Command lines of a section of a document with the paragraph before them.
fn commands(document: &str, section: &str) -> Vec<(String, Vec<String>)> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let document = std::fs::read_to_string(document).expect("a document");
    let (_, text) = document.split_once(&format!("\n## {section}\n")).expect("the section");
    let text = text.split("\n## ").next().unwrap_or(text);
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    let mut before = String::new();
    for part in text.split("\n\n") {
        if part.trim_start_matches('\n').starts_with("    ") {
            let lines = part.lines().map(|line| line.split("  #").next().unwrap_or(line).trim().to_owned());
            blocks.push((std::mem::take(&mut before), lines.filter(|line| !line.is_empty()).collect()));
        } else {
            before = part.to_owned();
        }
    }
    blocks
}

/// A line as the README's reader runs it: root's work by root, all else by a person at home.
fn follow(machine: &Machine, line: &str) -> Ran {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    match line.strip_prefix("sudo ") {
        // What `make` built is what is tested.
        Some("make install") => {
            let install =
                format!("make --no-print-directory install BINARY={}", env!("CARGO_BIN_EXE_choria"));
            machine.root(repository, &install).code(0)
        }
        Some(command) => {
            let who = format!("SUDO_USER={PERSON} SUDO_UID=$(id -u {PERSON}) SUDO_GID=$(id -g {PERSON})");
            machine.root(&machine.home(), &format!("env {who} {command}")).code(0)
        }
        None => machine.person(line),
    }
}

/// From the broker that `choria setup` made to nodes that need a token and nothing else.
#[test]
fn a_provisioner_beside_it() {
    if !Machine::possible() {
        return;
    }
    let (broker, node) = installed();
    for line in ["sudo choria setup broker", "sudo choria setup operator"] {
        follow(&broker, line);
    }
    let lines = commands("docs/provisioning.md", "After `choria setup broker`");
    for line in lines.into_iter().flat_map(|(_, lines)| lines) {
        let ran = follow(&broker, &line);
        if line.contains("provisioning-token") {
            let key = ran
                .stdout
                .split("signer_cert = ")
                .nth(1)
                .and_then(|rest| rest.lines().next())
                .expect("a key");
            let edit = format!(
                "printf 'plugin.choria.network.provisioning.signer_cert = %s\\n\
                 plugin.choria.network.provisioning.client_password = secret\\n' {key} >>/etc/choria/broker.conf && \
                 sed -i -e \"s/^token:.*/token: $(cat /etc/choria/ca/provisioning-access.txt)/\" \
                 -e 's/^broker_provisioning_password:.*/broker_provisioning_password: secret/' \
                 /etc/choria-provisioner/provisioner.yaml && \
                 printf 'jwt_verify_cert: %s\\nfeatures: {{pki: true, jwt: true}}\\n' {key} >>/etc/choria-provisioner/provisioner.yaml && \
                 install -o {PERSON} /etc/choria/ca/provisioning.jwt {}",
                broker.home().display()
            );
            broker.root(Path::new("/root"), &edit).code(0);
        }
        if line.contains("--check-config") {
            assert!(!ran.stderr.contains("warning"), "{ran:?}");
            ran.says(&["is good"]);
        }
    }
    broker.carry("provisioning.jwt", &node);
    let waits = format!(
        "rm /etc/choria/server.conf && cp {}/provisioning.jwt /etc/choria && systemctl enable --now choria-server",
        node.home().display()
    );
    node.root(Path::new("/root"), &waits).code(0);
    until("the node to be a member", || {
        let ping = broker.person("choria ping --expect 1");
        (ping.code == 0).then_some(())
    });
    broker.person("choria rpc rpcutil ping").fine();
    // It is audited, as the README says of every node.
    node.root(Path::new("/root"), "grep -q rpcutil /var/log/choria-audit.log").code(0);
    // And the broker's machine goes on to make nodes by hand.
    follow(&broker, "sudo choria setup broker --node n2.example.net").says(&["n2.example.net.setup"]);
}

/// A broker's machine and a node's, with nothing but the program.
fn installed() -> (Machine, Machine) {
    let broker = Machine::start(BROKER, BROKER, None);
    let node = Machine::start(NODE, BROKER, Some(&broker));
    for machine in [&broker, &node] {
        follow(machine, "sudo make install");
    }
    (broker, node)
}

fn answers_requests(node: &Machine) {
    until("the node to be there", || {
        node.journal("choria-server").contains("answering requests").then_some(())
    });
    let key = node.root(Path::new("/"), "stat -c '%a %U' /etc/choria/tls/key.pem");
    assert_eq!(key.stdout, "600 root\n");
}

/// The broker's machine has a user's files: what a person has done is the person's.
fn asks(machine: &Machine, certificate: &str, ping: &str) {
    follow(machine, certificate).fine().says(&["choria ping"]);
    assert_eq!(machine.root(&machine.home(), "stat -c %U .choria/key.pem").stdout, format!("{PERSON}\n"));
    follow(machine, ping).fine().says(&[NODE]);
}

#[test]
fn from_nothing_to_a_first_answer_and_on() {
    if !Machine::possible() {
        return;
    }
    let [install, first, second, you] =
        commands("README.md", "Your first network").try_into().expect("the four blocks of a first network");
    assert_eq!(install.1, ["make", "sudo make install"]);
    let (broker, node) = installed();

    assert!(first.0.contains("becomes the broker"), "{}", first.0);
    first.1.iter().for_each(|line| drop(follow(&broker, line).fine()));
    assert!(second.0.contains("On n1.example.net, with the file `n1.example.net.setup`"), "{}", second.0);
    broker.carry("n1.example.net.setup", &node);
    second.1.iter().for_each(|line| drop(follow(&node, line).fine()));
    answers_requests(&node);
    let [certificate, ping] = <[String; 2]>::try_from(you.1).expect("two lines");
    asks(&broker, &certificate, &ping);
    uses(&broker);
}

#[test]
fn by_hand() {
    if !Machine::possible() {
        return;
    }
    let [first, certificate, second, you] =
        commands("docs/by-hand.md", "Step by step").try_into().expect("the four blocks of a network by hand");
    let (broker, node) = installed();
    first.1.iter().for_each(|line| drop(follow(&broker, line).code(0)));
    until("the broker to listen", || broker.journal("choria-broker").contains("is listening").then_some(()));
    certificate.1.iter().for_each(|line| drop(follow(&broker, line).fine()));
    broker.carry("n1", &node);
    second.1.iter().for_each(|line| drop(follow(&node, line)));
    answers_requests(&node);
    let [certificate, ping] = <[String; 2]>::try_from(you.1).expect("two lines");
    asks(&broker, &certificate, &ping);
}

/// A first check, as docs/scout.md has it.
#[test]
fn a_first_check() {
    if !Machine::possible() {
        return;
    }
    let (broker, node) = installed();
    for line in ["sudo choria setup broker --node n1.example.net", "sudo choria setup operator"] {
        follow(&broker, line).fine();
    }
    broker.carry("n1.example.net.setup", &node);
    follow(&node, "sudo choria setup node n1.example.net.setup").fine();
    answers_requests(&node);
    let [allowed, made, asked] =
        commands("docs/scout.md", "A first check").try_into().expect("the three blocks of a first check");
    allowed.1.iter().for_each(|line| drop(follow(&node, line)));
    made.1.iter().for_each(|line| drop(follow(&node, line).fine()));
    until("the node to have the check", || {
        node.journal("choria-server").contains("machine disk 1.0.0 loaded").then_some(())
    });
    let [trigger, status] = <[String; 2]>::try_from(asked.1).expect("two lines");
    until("the check to be asked for", || {
        broker.person(&trigger).stdout.contains("Triggered 1 check on 1 node").then_some(())
    });
    until("the check to be done", || broker.person(&status).stdout.contains(" OK ").then_some(()));
    follow(&broker, &status).fine().says(&["disk", "1 check on n1.example.net"]);
}

/// What the README shows of a network that is there.
fn uses(broker: &Machine) {
    let [(_, using)] = <[_; 1]>::try_from(commands("README.md", "Using it")).expect("a block");
    for line in using {
        let daemon = line == "choria tool event";
        if daemon {
            let mut command = broker.as_person(&line);
            command.env("TERM", "dumb");
            Daemon::start("events", command).says(&["Waiting"]);
            continue;
        }
        let ran = follow(broker, &line).fine();
        assert!(!ran.stdout.is_empty(), "{ran:?}");
        if !["choria doc", "choria tool"].iter().any(|about| line.starts_with(about))
            && !line.contains("facts")
        {
            ran.says(&[NODE]);
        }
    }
    // What nobody allowed is denied, and says where that stands.
    let denied = broker.person("choria rpc choria_util machine_states");
    denied.code(2).complains(&["policies/choria_util.policy"]);
}
