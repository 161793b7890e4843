//! Fact files as people have them: one byte of another encoding, a name that misleads.

use std::fs;

use crate::network::{Network, node};
use crate::process::until;

#[test]
fn one_bad_byte_costs_no_other_fact() {
    let network = Network::start();
    let dir = tempfile::TempDir::new().expect("a directory");
    let file = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    // Latin-1, in both kinds.
    let yaml = file("one.yaml", b"country: mt\ncity: M\xfcnchen\n");
    let json = file("two.json", b"{\"country\": \"mt\", \"city\": \"M\xfcnchen\"}");
    let misleading = file("three.yml", b"---\ncountry: mt\nos:\n  name: Debian\n");
    let broken = file("four.json", b"- just a list\n");
    let with =
        |name: &str, file: &std::path::Path| node(name).lines(&format!("plugin.yaml = {}\n", file.display()));
    let mut nodes =
        network.nodes([with("n1", &yaml), with("n2", &json), with("n3", &misleading), with("n4", &broken)]);
    // Told at the start, before anybody asked for a fact, once.
    for (node, says) in [
        (&nodes[0], "one.yaml has bytes that are not UTF-8: each is read as U+FFFD"),
        (&nodes[1], "two.json has bytes that are not UTF-8: each is read as U+FFFD"),
        (&nodes[2], "three.yml is skipped: it is YAML by its content and JSON by its name"),
        (&nodes[3], "four.json is skipped: it is no JSON: "),
    ] {
        node.log().says(&["warning", says]);
    }
    let alice = network.alice();
    for _ in 0..2 {
        let found = alice.run(&["find", "-F", "country=mt"]).fine().sorted();
        assert_eq!(found, ["n1.example.net", "n2.example.net"]);
    }
    // As it says: by a name that does not mislead.
    let renamed = dir.path().join("three.yaml");
    fs::rename(&misleading, &renamed).expect("a file");
    let config = fs::read_to_string(&nodes[2].config).expect("a configuration");
    fs::write(&nodes[2].config, config.replace("three.yml", "three.yaml")).expect("a configuration");
    nodes[2].start();
    nodes[2].connected();
    let debian = || alice.run(&["find", "-F", "os.name=Debian"]).fine().sorted();
    until("its answer", || (debian() == ["n3.example.net"]).then_some(()));
    let city = alice.run(&["rpc", "rpcutil", "get_fact", "fact=city", "-I", "n1.example.net", "--json"]);
    assert_eq!(city.json()["replies"][0]["data"]["value"], "M\u{fffd}nchen");
    for node in nodes.iter().filter(|node| node.name != "n3.example.net") {
        assert_eq!(node.log().matching(0, &["warning", "fact file"]).len(), 1, "{}", node.name);
    }
}
