//! What the program says about itself.

use std::collections::BTreeSet;

use crate::network::Network;
use crate::process::{Ran, program, run};

fn choria(network: &Network, words: &[&str]) -> Ran {
    let mut command = program(&network.path(""));
    command.args(words);
    run(command, None)
}

#[test]
fn every_command_explains_itself() {
    let network = Network::without_broker();
    let commands = [
        "",
        "broker",
        "broker run",
        "buildinfo",
        "completion",
        "facts",
        "filemgr",
        "find",
        "history",
        "history show",
        "inventory",
        "iptables",
        "nettest",
        "nrpe",
        "package",
        "ping",
        "playbook",
        "playbook list",
        "playbook new",
        "playbook run",
        "playbook show",
        "playbook validate",
        "plugin",
        "plugin generate",
        "plugin generate client",
        "plugin generate ddl",
        "plugin new",
        "plugin test",
        "policy",
        "policy check",
        "policy test",
        "process",
        "puppet",
        "rpc",
        "req",
        "server",
        "server run",
        "service",
        "shell",
        "tasks",
        "tasks describe",
        "tasks kill",
        "tasks list",
        "tasks run",
        "tasks serve",
        "tasks status",
        "tool",
        "tool ca",
        "tool ca init",
        "tool ca issue",
        "tool ca revoke",
        "tool config",
        "tool event",
        "tool status",
    ];
    for command in commands {
        for help in ["--help", "-h"] {
            let words: Vec<&str> = command.split_whitespace().chain([help]).collect();
            choria(&network, &words).fine().says(&["Usage: choria"]);
        }
    }
    choria(&network, &["help", "ping"]).fine().says(&["Usage: choria ping"]);
    assert_eq!(choria(&network, &["--version"]).fine().stdout.trim(), env!("CARGO_PKG_VERSION"));
    choria(&network, &[]).code(1).silent().complains(&["choria --help"]);
}

#[test]
fn build_information_shows_no_secret() {
    let network = Network::without_broker();
    let text = choria(&network, &["buildinfo"]).fine();
    text.says(&[
        env!("CARGO_PKG_VERSION"),
        "Apache-2.0",
        "Provisioning Token: not set",
        "Broker Password: not set",
    ]);
    let document = choria(&network, &["buildinfo", "--json"]).fine().json();
    assert!(document.as_object().is_some_and(|d| d.len() > 2), "{document}");
}

#[test]
fn shells_complete_what_there_is() {
    let network = Network::without_broker();
    let list = |words: &[&str]| {
        let ran = choria(&network, &[&["completion", "--list"], words].concat()).code(0);
        ran.stdout.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert!(list(&["agents"]).is_superset(&["choria_util", "rpcutil"].map(str::to_owned).into()));
    assert!(list(&["actions", "--agent", "rpcutil"]).contains("get_fact"));
    assert!(
        list(&["inputs", "--agent", "rpcutil", "--action", "get_fact"]).iter().any(|w| w.contains("fact"))
    );
    assert!(list(&["words", "--"]).is_superset(&["ping", "rpc", "--config"].map(str::to_owned).into()));
    assert!(list(&["words", "--", "tool", "ca"]).contains("issue"));
    for shell in ["--bash", "--zsh", "--fish"] {
        choria(&network, &["completion", shell]).fine().says(&["choria"]);
    }
}

/// The scripts of other shells.
#[test]
fn other_shells_read_their_scripts() {
    let network = Network::without_broker();
    for (shell, flag) in [("zsh", "--zsh"), ("fish", "--fish")] {
        let script = network.file(shell, &choria(&network, &["completion", flag]).fine().stdout);
        let mut command = std::process::Command::new(shell);
        command.arg("-n").arg(script).env("HOME", network.path(""));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        run(command, None).fine();
    }
}

/// The script as bash runs it, where there is a bash.
#[test]
fn bash_completes_a_line() {
    let network = Network::without_broker();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_choria"));
    let complete = |line: &str| {
        let script = r#"
            compopt() { :; }
            source <(choria completion --bash)
            COMP_WORDS=($LINE "$LAST"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _choria && printf '%s\n' "${COMPREPLY[@]}"
        "#;
        let (words, last) = line.rsplit_once(' ').expect("a word");
        let path = format!("{}:/usr/bin:/bin", program.parent().expect("a directory").display());
        let mut command = std::process::Command::new("/bin/bash");
        command.args(["-c", script]).env_clear().envs([
            ("PATH", path.as_str()),
            ("LINE", words),
            ("LAST", last),
        ]);
        command.env("HOME", network.path("")).current_dir(network.path(""));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        run(command, None).fine().sorted()
    };
    if !std::path::Path::new("/bin/bash").exists() {
        return;
    }
    assert_eq!(complete("choria pi"), ["ping"]);
    assert_eq!(complete("choria tool ca is"), ["issue"]);
    assert_eq!(complete("choria ping --exp"), ["--expect"]);
    assert_eq!(complete("choria rpc rpc"), ["rpcutil"]);
    assert_eq!(complete("choria req rpcutil get_fa"), ["get_fact", "get_facts"]);
    assert_eq!(complete("choria rpc rpcutil get_fact f"), ["fact="]);
    // After flags with values, and values of flags.
    assert_eq!(complete("choria rpc --limit 5 -F country=mt rpcutil get_fa"), ["get_fact", "get_facts"]);
    assert_eq!(complete("choria find --dm inv"), ["inventory"]);
    assert_eq!(complete("mco rpc rpcutil ping --display a"), ["all"]);
    assert_eq!(complete("choria tool config plugin.choria.use_s"), ["plugin.choria.use_srv"]);
    assert_eq!(complete("mco puppet runa"), ["runall"]);
    assert_eq!(complete("choria package httpd inst"), ["install"]);
    assert_eq!(complete("choria service restart httpd --ye"), ["--yes"]);
    assert_eq!(complete("mco shel"), ["shell"]);
    #[cfg(feature = "builder")]
    {
        let command =
            "{name: say, description: d, type: exec, command: x, flags: [{name: loud, bool: true}]}";
        network.file("demo-app.yaml", &format!("name: demo\ncommands:\n  - {command}\n"));
        assert_eq!(complete("choria builder run de"), ["demo"]);
        assert_eq!(complete("choria builder run demo s"), ["say"]);
        assert_eq!(complete("choria builder run demo say --l"), ["--loud"]);
    }
    network.file("list-of-nodes.txt", "");
    assert_eq!(complete("choria ping --nodes list-"), ["list-of-nodes.txt"]);
    assert!(complete("choria ping --timeout 1").concat().is_empty());
}
