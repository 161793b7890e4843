//! The name `mco`: its flags, its environment, its list of commands.

use serde_json::json;

use crate::network::{Caller, Network, node};
use crate::process::{Ran, run};

struct Mco {
    network: Network,
    alice: Caller,
    _nodes: Vec<crate::network::Node>,
}

impl Mco {
    fn start() -> Mco {
        let network = Network::start();
        let facts = |country: &str| json!({"country": country});
        let nodes = network.nodes([
            node("n1").facts(facts("mt")).classes(&["web"]),
            node("n2").facts(facts("de")).classes(&["db"]),
        ]);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_choria"), network.path("mco")).expect("a link");
        let alice = network.alice();
        Mco { network, alice, _nodes: nodes }
    }

    fn run(&self, words: &[&str]) -> Ran {
        run(self.alice.command_by(&self.network.path("mco"), words), None)
    }

    fn run_with(&self, words: &[&str], extra: &str) -> Ran {
        let mut command = self.alice.command_by(&self.network.path("mco"), words);
        command.env("MCOLLECTIVE_EXTRA_OPTS", extra);
        run(command, None)
    }
}

#[test]
fn flags_of_the_ruby_world_are_understood() {
    let mco = Mco::start();
    for (words, nodes) in [
        (&["find", "--with-fact", "country=mt"][..], &["n1.example.net"][..]),
        (&["find", "--with-class=db"], &["n2.example.net"]),
        (
            &["find", "--with-identity", "/n[12]/", "--with-agent", "rpcutil"],
            &["n1.example.net", "n2.example.net"],
        ),
        (&["find", "--disc-method", "mc", "--dt", "2", "-F", "country=mt"], &["n1.example.net"]),
        (
            &["find", "--threaded", "--publish_timeout", "2", "--ttl", "60", "-q", "-C", "web"],
            &["n1.example.net"],
        ),
        (
            &["rpc", "rpcutil", "ping", "--senders", "--no-progress", "-t", "5", "-C", "db"],
            &["n2.example.net"],
        ),
        (
            &[
                "rpc",
                "--agent",
                "rpcutil",
                "--action",
                "get_fact",
                "--arg",
                "fact=country",
                "--senders",
                "-C",
                "web",
            ],
            &["n1.example.net"],
        ),
        (&["rpc", "-a", "rpcutil", "ping", "--senders", "-C", "web"], &["n1.example.net"]),
    ] {
        assert_eq!(mco.run(words).fine().sorted(), nodes, "{words:?}");
    }
    for one in ["-1", "--one", "--ln=1", "--limit-nodes=50%"] {
        assert_eq!(mco.run(&["rpc", "rpcutil", "ping", "--senders", one]).fine().sorted().len(), 1, "{one}");
    }
    mco.run(&["find", "-C", "nosuch"]).code(1);
    // They are nothing to choria.
    for words in [&["find", "--with-fact", "a=b"][..], &["rpc", "--agent", "rpcutil"], &["ping", "-q"]] {
        mco.alice.run(words).code(1).complains(&["unknown flag"]);
    }
    mco.run(&["find", "--ttl", "soon"]).code(1).silent().complains(&["ttl"]);
    // `mco rpc` is the original's request: its code tells nothing of the fleet.
    mco.run(&["rpc", "rpcutil", "nosuch", "-C", "web"]).code(1).complains(&["unknown action"]);
    mco.run(&["rpc", "rpcutil", "ping", "-I", "gone.example.net"]).code(0);
    let id = mco.run(&["rpc", "rpcutil", "ping", "--nr", "-C", "web"]).fine().stdout;
    assert!(id.starts_with("Request sent with id: ") && id.len() == 22 + 33, "{id:?}");
    // Configuration by its other letter, and what is typed comes after what is always so.
    let config = mco.alice.config.to_str().expect("text").to_owned();
    let mut command = crate::process::named_program(&mco.network.path("mco"), &mco.network.path(""));
    command.env("MCOLLECTIVE_CERTNAME", "alice.mcollective").args(["find", "-c", &config, "-C", "web"]);
    assert_eq!(run(command, None).fine().stdout, "n1.example.net\n");
    assert_eq!(mco.run_with(&["find"], "-C web -F 'country=mt'").fine().stdout, "n1.example.net\n");
    mco.run_with(&["find"], "'").code(1).complains(&["MCOLLECTIVE_EXTRA_OPTS", "quote"]);
}

#[test]
fn what_there_is_and_what_is_meant() {
    let mco = Mco::start();
    let bare = |words: &[&str]| {
        let mut command = crate::process::named_program(&mco.network.path("mco"), &mco.network.path(""));
        command.args(words);
        run(command, None)
    };
    bare(&[]).fine().says(&["The Marionette Collective version", "Known commands:", "puppet", "mco help"]);
    bare(&["pupet"]).code(1).silent().complains(&["no command 'pupet'", "did you mean puppet?"]);
    for help in [&["help", "package"][..], &["package", "--help"]] {
        bare(help).fine().says(&["Usage: mco package", "--version", "install"]);
    }
    bare(&["plugin", "doc", "rpcutil"]).fine().says(&["rpcutil", "get_fact"]);
    let list = |words: &[&str]| bare(&[&["completion"], words].concat()).code(0).sorted();
    assert!(list(&["--list-applications"]).contains(&"puppet".to_owned()));
    assert!(list(&["--list-agents"]).contains(&"rpcutil".to_owned()));
    assert!(list(&["--list-actions", "--agent", "rpcutil"]).contains(&"get_fact".to_owned()));
    // Times as they were.
    let ping = mco.run(&["ping", "-C", "web"]).fine().stdout;
    let time = ping.lines().next().and_then(|line| line.split("time=").nth(1)).expect("a time");
    let (number, unit) = time.split_once(' ').expect("a unit");
    assert!(unit == "ms" && number.split('.').nth(1).is_some_and(|places| places.len() == 2), "{ping}");
    assert!(ping.contains("1 replies max: ") && !ping.contains("overhead"), "{ping}");
}
