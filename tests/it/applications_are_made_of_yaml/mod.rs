//! Applications of YAML: what people write, call and pipe, on real nodes.

mod fleets;
mod programs;
mod secrets;
mod terminals;
mod whole;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::network::{Caller, Network, Node, node};
use crate::process::{Ran, named_program, program, run};

const N1: &str = "n1.example.net";

/// Blocks of a kind in the page of applications.
fn blocks(kind: &str) -> Vec<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/builder.md")).expect("a page");
    let begin = format!("```{kind}\n");
    let blocks = page.split(begin.as_str()).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

/// Definitions of the page, by the names they begin with.
fn written(directory: &Path) {
    for text in blocks("yaml") {
        let name = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a name");
        fs::write(directory.join(name), &text).expect("a file");
    }
}

/// The configuration of a caller is that of their home.
fn at_home(network: &Network, caller: &Caller) {
    fs::copy(&caller.config, network.path(".choriarc")).expect("a file");
}

/// A shell of a person whose home is the network's directory.
fn shell(network: &Network, caller: &str, line: &str) -> Command {
    let bin = Path::new(env!("CARGO_BIN_EXE_choria")).parent().expect("a directory").display().to_string();
    let home = network.directory().display().to_string();
    let mut command = Command::new("/bin/sh");
    command.args(["-euc", line]).env_clear();
    command.env("PATH", format!("{home}/.local/bin:{bin}:/usr/bin:/bin")).env("HOME", &home);
    command.env("MCOLLECTIVE_CERTNAME", caller).env("USER", "tester").env("NO_COLOR", "1");
    command.current_dir(&home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn nodes(network: &Network) -> Vec<Node> {
    network.nodes([node("n1").facts(json!({"country": "mt"})), node("n2").facts(json!({"country": "de"}))])
}

#[test]
fn the_documentation_is_true() {
    let network = Network::start();
    let running = nodes(&network);
    let alice = network.alice();
    at_home(&network, &alice);
    written(network.directory());
    let mut said = vec![];
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        said.push(run(shell(&network, &alice.name, line), None).code(0));
    }
    let mut said = said.into_iter();
    let mut next = || said.next().expect("another command");
    next().says(&["demo-app.yaml", "choria builder run demo hello you"]);
    next().says(&["is valid"]);
    assert_eq!(next().stdout, "Hello you\n");
    assert_eq!(next().stdout, "Halo you\n");
    let pings = next();
    assert_eq!(pings.sorted().len(), 2, "{pings:?}");
    pings.says(&["n1.example.net 1", "n2.example.net 1"]);
    next();
    next();
    assert_eq!(next().stdout, "Halo you\n");
    assert_eq!(next().stdout, format!("{N1}\n"));
    next().says(&["Usage: demo <command>", "A first application", "hello  Greets somebody"]);
    next().says(&["Usage: demo nodes ping", "Flags that choose nodes", "-F, --wf=FACT"]);
    next().says(&["ops-app.yaml is valid"]);
    assert_eq!(next().stdout, "sheep: HELLO YOU\nsheep: HELLO YOU\n");
    next().says(&[">>> Users are thrown out\nrestarted\n"]);
    assert_eq!(next().stdout, format!("{N1}\n"));
    let replies = next().json();
    assert_eq!(replies["replies"].as_array().map(Vec::len), Some(1), "{replies}");
    assert_eq!(replies["replies"][0]["data"]["value"], "de");
    assert_eq!(next().stdout, format!("{N1}\n"));
    next().says(&["Wrote "]).complains(&["Where it listens", "? listen (127.0.0.1:4222)"]);
    let made = next();
    made.says(&["certificate: /etc/ssl/listener.pem", "tls: true"]);
    next();
    next().says(&[">>> Testing in ", ">>> Checking in "]);
    assert!(said.next().is_none(), "the page has other commands");
    assert_eq!(running.len(), 2);
}

/// Somewhere with definitions, for what needs no network.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Place {
        let dir = tempfile::TempDir::new().expect("a temporary directory");
        let place = Place { dir };
        for (name, text) in files {
            let path = place.path(name);
            fs::create_dir_all(path.parent().expect("not the root")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `choria` by another name.
    fn linked(&self, name: &str) -> PathBuf {
        let link = self.path(&format!("bin-{name}/{name}"));
        if !link.exists() {
            fs::create_dir_all(link.parent().expect("a directory")).expect("a directory");
            symlink(env!("CARGO_BIN_EXE_choria"), &link).expect("a link");
        }
        link
    }

    fn command(&self, name: &str, words: &[&str]) -> Command {
        let mut command = match name {
            "choria" => program(self.dir.path()),
            name => named_program(&self.linked(name), self.dir.path()),
        };
        command.args(words).env("PATH", "/usr/bin:/bin");
        command
    }

    #[track_caller]
    fn run(&self, name: &str, words: &[&str]) -> Ran {
        run(self.command(name, words), None)
    }
}

const HEAD: &str = "name: demo\ndescription: d\nversion: 1.2.3\nauthor: a\ncommands:\n";

fn demo(commands: &str) -> Place {
    Place::new(&[("demo-app.yaml", &format!("{HEAD}{commands}"))])
}
