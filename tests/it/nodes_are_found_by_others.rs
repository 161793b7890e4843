//! Nodes that somebody else knows: a program, an inventory, Puppet's database.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::installed::python_with;
use crate::network::{Network, node};
use crate::puppetdb::PuppetDb;

fn source(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agents")).join(name)
}

#[test]
fn a_program_finds_them() {
    let python = python_with("discovery", &source("discovery-requirements.txt"));
    let network = Network::start();
    let code = fs::read_to_string(source("crow.py")).expect("a file");
    let crow = network.file("crow", &format!("#!{}\n{code}", python.display()));
    fs::set_permissions(&crow, fs::Permissions::from_mode(0o755)).expect("a mode");
    let _nodes = network.nodes([node("n1"), node("n2"), node("n3")]);
    let command = format!("command={}", crow.display());
    // a start of Python may take longer than a discovery
    let by = ["--dm", "external", "--discovery-timeout", "30", "--do", &command];
    let alice = network.alice();
    let found = |more: &[&str]| alice.run(&[&["find"], &by[..], more].concat()).fine().sorted();
    assert_eq!(found(&["-F", "site=one"]), ["n1.example.net", "n2.example.net"]);
    let also = ["-F", "site=two", "--do", "also=n9.example.net"];
    assert_eq!(found(&also), ["n3.example.net", "n9.example.net"]);
    assert_eq!(found(&["-F", "site=three"]), [""; 0]);
    let ran = alice.run(&[&["find"], &by[..]].concat()).code(1);
    ran.silent().complains(&["external discovery failed: a crow flies to a site, give -F site=NAME"]);
    // as Ruby asks
    let json = alice.run(&[&["find", "-j", "--silent", "-F", "site=three"], &by[..]].concat()).fine();
    assert_eq!(json.json(), json!([]));
    for (command, why) in [
        ("command=/nonexistent/crow", "is not there"),
        ("command=/bin/sh -c 'echo I lost it >&2; exit 3'", "exit status 3; it said: I lost it"),
        ("command=/bin/sh -c 'echo \"<html>\" >$2' x", "cannot be read: expected value"),
    ] {
        alice.run(&["find", "--dm", "external", "--do", command]).code(1).complains(&[why]);
    }
    alice.run(&["find", "--dm", "external"]).code(1).complains(&["--do command=COMMAND"]);
    // and as it is configured
    let bob = network.caller_with(
        "alice.mcollective",
        &format!(
            "default_discovery_method = external\ndiscovery_timeout = 30\nplugin.choria.discovery.external.command = {}\n",
            crow.display()
        ),
    );
    let replies =
        bob.run(&["rpc", "rpcutil", "ping", "-F", "site=one", "--json", "-T", "mcollective"]).fine().json();
    assert_eq!(replies["request_stats"]["ok"], 2, "{replies}");
}

#[test]
fn an_inventory_is_written_and_read() {
    let network = Network::start();
    let facts = |country: &str| json!({"country": country});
    let nodes = network.nodes([
        node("n1").facts(facts("mt")).classes(&["apache"]),
        node("n2").facts(facts("uk")).classes(&["apache", "db"]),
    ]);
    let alice = network.alice();
    for name in ["fleet.yaml", "fleet.json"] {
        let file = network.path(name);
        let file = file.to_str().expect("a path");
        alice.run(&["tool", "inventory", file]).fine().says(&["has 2 nodes now"]);
        alice.run(&["tool", "inventory", file]).code(1).complains(&["is there already: --update"]);
        alice.run(&["tool", "inventory", "--validate", file]).fine().says(&["is good: 2 nodes, 0 groups"]);
        let option = format!("file={file}");
        let find = |words: &[&str]| {
            alice.run(&[&["find", "--dm", "inventory", "--do", &option], words].concat()).fine().sorted()
        };
        assert_eq!(find(&["-F", "country=mt"]), ["n1.example.net"]);
        assert_eq!(find(&["-C", "db"]), ["n2.example.net"]);
        assert_eq!(find(&["-S", "with('apache') && fact('country') != 'mt'"]), ["n2.example.net"]);
    }
    // groups of somebody stay when the nodes are renewed
    let file = network.path("fleet.json");
    let mut document: Value =
        serde_json::from_str(&fs::read_to_string(&file).expect("a file")).expect("JSON");
    document["groups"] = json!([{"name": "web", "filter": {"classes": ["apache"], "facts": ["country=uk"]}}]);
    document["nodes"] = json!([]);
    fs::write(&file, document.to_string()).expect("a file");
    let file = file.to_str().expect("a path");
    alice.run(&["tool", "inventory", "--update", file, "-C", "apache"]).fine().says(&["has 2 nodes now"]);
    let option = format!("file={file}");
    let rpc = |words: &[&str]| {
        alice.run(&[&["rpc", "rpcutil", "ping", "--dm", "inventory", "--do", &option], words].concat())
    };
    rpc(&["-I", "group:web", "--senders"]).fine().says(&["n2.example.net"]);
    rpc(&["-I", "group:nosuch"]).code(1).complains(&["group 'nosuch' is not in the inventory file"]);
    // who is meant is decided here: so many that they cannot be named in what is signed
    document["nodes"] = (0..70)
        .map(|n| {
            json!({"name": format!("n{n}.example.net"), "collectives": ["mcollective"], "facts": {},
            "classes": ["apache"], "agents": ["rpcutil"]})
        })
        .collect();
    document["groups"] = json!([{"name": "web", "filter": {"classes": ["apache"]}}]);
    fs::write(file, document.to_string()).expect("a file");
    let before: Vec<u64> = nodes.iter().map(|node| node.counter("replies")).collect();
    rpc(&["-I", "group:web", "--nr"]).fine();
    for (node, before) in nodes.iter().zip(before) {
        node.counts("replies", before + 1);
    }
    fs::write(file, "{\"nodes\": []}").expect("a file");
    alice.run(&["tool", "inventory", "--validate", file]).code(1).complains(&["is no inventory file"]);
}

#[test]
fn a_list_is_not_widened_by_an_expression() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1"), node("n2")]);
    let list = network.file("list", "n1.example.net\n");
    let option = format!("file={}", list.display());
    let words = ["find", "--dm", "flatfile", "--do", &option, "-S", "with('rpcutil')"];
    network.alice().run(&words).code(1).complains(&["cannot be filtered by -S"]);
    network
        .alice()
        .run(&["find", "--dm", "nosuch", "-S", "true"])
        .code(1)
        .complains(&["unsupported discovery method"]);
}

#[test]
fn puppets_database_finds_them() {
    let network = Network::start();
    let database = PuppetDb::start(&network);
    database.knows(
        "n1.example.net",
        json!({"country": "mt", "cpus": 1, "os": {"name": "Debian"}}),
        &["Roles::Apache"],
    );
    database.knows("n2.example.net", json!({"country": "uk", "cpus": 2, "virtual": true}), &["Roles::Db"]);
    database.knows("n3.example.net", json!({"country": "mt", "cpus": 3, "odd": "a\"b\\c"}), &["Roles::Db"]);
    database.forgets("n4.example.net");
    let alice = network.caller_with(
        "alice.mcollective",
        &format!(
            "plugin.choria.puppetdb_host = 127.0.0.1\nplugin.choria.puppetdb_port = {}\n",
            database.port
        ),
    );
    let found = |words: &[&str]| alice.run(&[&["find", "--dm", "puppetdb"], words].concat()).fine().sorted();
    let named =
        |numbers: &[u8]| -> Vec<String> { numbers.iter().map(|n| format!("n{n}.example.net")).collect() };
    for (words, numbers) in [
        (&[][..], &[1, 2, 3][..]),
        (&["-F", "country=mt"], &[1, 3]),
        (&["-F", "country!=mt"], &[2]),
        (&["-F", "country=/^M/"], &[1, 3]),
        (&["-F", "os.name=/deb\\w+/"], &[1]),
        (&["-F", "cpus>=2"], &[2, 3]),
        (&["-F", "cpus=2"], &[2]),
        (&["-F", "virtual=true"], &[2]),
        (&["-F", "odd=a\"b\\c"], &[3]),
        (&["-F", "odd=x\" or \""], &[]),
        (&["-C", "roles::db"], &[2, 3]),
        (&["-C", "/apache/", "-F", "cpus=1"], &[1]),
        (&["-C", "/apache/", "-F", "cpus=2"], &[]),
        (&["-A", "package"], &[1, 2, 3]),
        (&["-A", "nosuch"], &[]),
        (&["-I", "/n[12]\\./"], &[1, 2]),
        (&["-I", "pql: nodes[certname] { certname = \"n3.example.net\" }"], &[3]),
    ] {
        assert_eq!(found(words), named(numbers), "{words:?}");
    }
    alice.run(&["find", "--dm", "puppetdb", "-F", "a b=1"]).code(1).complains(&["cannot be asked for fact"]);
    alice
        .run(&["find", "--dm", "puppetdb", "-I", "pql: no query"])
        .code(1)
        .complains(&["PuppetDB refuses the query"]);
    alice
        .run(&["find", "-I", "pql: x"])
        .code(1)
        .complains(&["-I pql: x: nodes are not found by pql but with --dm puppetdb"]);
    // a page that is none, and a server that is not there
    let wrong = |host: &str, port: u16| {
        let lines = format!("plugin.choria.puppetdb_host = {host}\nplugin.choria.puppetdb_port = {port}\n");
        network.caller_with("alice.mcollective", &lines).run(&["find", "--dm", "puppetdb"]).code(1)
    };
    wrong("127.0.0.1", 1).complains(&["PuppetDB at 127.0.0.1:1", "refused"]);
    wrong("127.0.0.2", database.port).complains(&["PuppetDB at 127.0.0.2"]);
}
