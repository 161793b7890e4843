//! The README, line for line, on machines that have nothing but what it says.

use std::path::Path;

use crate::machine::{Machine, PERSON};
use crate::process::{Daemon, Ran, until};

const BROKER: &str = "choria.example.net";
const NODE: &str = "n1.example.net";

/// Command lines of a section with the paragraph before them.
fn commands(section: &str) -> Vec<(String, Vec<String>)> {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let (_, text) = readme.split_once(&format!("\n## {section}\n")).expect("the section");
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
        Some(command) => machine.root(&machine.home(), command).code(0),
        None => machine.person(line),
    }
}

#[test]
fn from_nothing_to_a_first_answer_and_on() {
    if !Machine::possible() {
        return;
    }
    let broker = Machine::start(BROKER, BROKER, None);
    let node = Machine::start(NODE, BROKER, Some(&broker));
    let [first, certificate, on_the_node, you] =
        commands("Your first network").try_into().expect("the four blocks of a first network");

    assert!(first.0.contains("On the machine that becomes the broker"), "{}", first.0);
    assert_eq!(first.1.first().map(String::as_str), Some("make"));
    first.1.iter().skip(1).for_each(|line| drop(follow(&broker, line).code(0)));
    until("the broker to listen", || broker.journal("choria-broker").contains("is listening").then_some(()));

    certificate.1.iter().for_each(|line| drop(follow(&broker, line).fine()));
    assert!(
        on_the_node.0.contains("On n1.example.net, after `sudo make install` there"),
        "{}",
        on_the_node.0
    );
    follow(&node, "sudo make install");
    broker.carry("n1", &node);
    on_the_node.1.iter().for_each(|line| drop(follow(&node, line)));
    until("the node to be there", || {
        node.journal("choria-server").contains("answering requests").then_some(())
    });
    let key = node.root(Path::new("/"), "stat -c '%a %U' /etc/choria/tls/key.pem");
    assert_eq!(key.stdout, "600 root\n");

    let [issue, ping] = <[String; 2]>::try_from(you.1).expect("two lines");
    follow(&broker, &issue).fine().says(&["choria ping"]);
    // The broker's machine has a user's files: what a person has done is the person's.
    assert_eq!(broker.root(&broker.home(), "stat -c %U .choria/key.pem").stdout, format!("{PERSON}\n"));
    follow(&broker, &ping).fine().says(&[NODE]);

    let [(_, using)] = <[_; 1]>::try_from(commands("Using it")).expect("a block");
    for line in using {
        let daemon = line == "choria tool event";
        if daemon {
            let mut command = broker.as_person(&line);
            command.env("TERM", "dumb");
            Daemon::start("events", command).says(&["Waiting"]);
            continue;
        }
        let ran = follow(&broker, &line).fine();
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
