//! Machines that nodes fetch by a signed manifest.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::Keeping;
use crate::a_node_mends_itself::{state, with_machines};
use crate::process::until;

const TOOL: &str = "name: tool\nversion: 1.0.0\ninitial_state: a\ntransitions:\n  - {name: go, from: [a], destination: \
                    b}\nwatchers:\n  - name: ran\n    type: exec\n    interval: 1s\n    state_match: [a]\n    \
                    success_transition: go\n    properties: {command: ./ran}\n";

fn sum(path: &Path) -> String {
    let out = Command::new("sha256sum").arg(path).output().expect("sha256sum");
    String::from_utf8(out.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// An archive with machine `tool`, and both checksums of it.
fn archive(dir: &Path) -> (PathBuf, String, String) {
    let tool = dir.join("tool");
    fs::create_dir_all(&tool).unwrap();
    fs::write(tool.join("machine.yaml"), TOOL).unwrap();
    fs::write(tool.join("ran"), "#!/bin/sh\ntrue\n").unwrap();
    let list: String =
        ["machine.yaml", "ran"].map(|name| format!("{}  {name}\n", sum(&tool.join(name)))).concat();
    fs::write(tool.join("SHA256SUMS"), list).unwrap();
    let packed = dir.join("tool.tgz");
    let script = "chmod 755 tool/ran && tar czf tool.tgz tool";
    assert!(Command::new("sh").args(["-c", script]).current_dir(dir).status().unwrap().success());
    let (sums, archive) = (sum(&tool.join("SHA256SUMS")), sum(&packed));
    (packed, archive, sums)
}

/// Serves one file to whoever asks, and counts.
fn serve(file: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked);
            let body = fs::read(&file).unwrap_or_default();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    format!("http://{address}/tool.tgz")
}

#[test]
fn nodes_fetch_what_a_signed_manifest_names_and_nothing_else() {
    let keeping = Keeping::start("plugin.choria.network.stream.node_buckets = CHORIA_PLUGINS\n");
    let Keeping { network, alice, root } = &keeping;
    let work = network.path("work");
    let (packed, checksum, sums) = archive(&work);
    let url = serve(packed);
    let key = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
    let seed: String = (0..32).map(|n| format!("{n:02x}")).collect();
    let seed = network.file("seed", &format!("{seed}\n")).display().to_string();
    let other = network.file("other-seed", &"07".repeat(32)).display().to_string();
    let manifest = network.path("plugins.json").display().to_string();
    let plugins = |words: &[&str]| alice.run(&[&["machine", "plugins"], words].concat());
    let named = |words: &[&str]| plugins(&[words, &["--manifest", &manifest]].concat());

    named(&["add", "../tool", &url, &checksum, &sums]).code(1).complains(&["no name that can be"]);
    named(&["add", "tool", "notaurl", &checksum, &sums]).code(1).complains(&["no http or https URL"]);
    named(&["add", "tool", &url, "abc", &sums]).code(1).complains(&["64 hex digits"]);
    named(&["add", "tool", &url, &checksum, &sums, "--matcher", "nosuch"])
        .code(1)
        .complains(&["nobody knows"]);
    named(&["add", "tool", &url, &checksum, &sums, "--matcher", "identity(\"^n1\")"])
        .fine()
        .says(&["Adding plugin tool"]);
    named(&["list"]).fine().says(&["tool", "identity(\"^n1\")"]);
    let pack = |seed: &[&str]| plugins(&[&["pack", &manifest], seed].concat()).code(0).stdout;
    let signed = pack(&[&seed]);
    let file = network.file("packed.json", &signed).display().to_string();
    plugins(&["verify", &file, key]).fine().says(&["is signed using"]);
    plugins(&["verify", &file, &"00".repeat(32)]).code(1).complains(&["not of the key"]);
    plugins(&["matcher", "identity(\"n1\")", "--identity", "n1.example.net"])
        .fine()
        .says(&["Matched plugin matcher"]);

    root.run(&["kv", "add", "CHORIA_PLUGINS", "--max-value-size", "0"]).fine();
    let lines = format!(
        "plugin.machines.download = true\nplugin.machines.signing_key = {key}\n\
         plugin.machines.poll_interval = 2s\nplugin.machines.check_interval = 10s\n"
    );
    let (first, store) = with_machines(network, "n1");
    let (second, others) = with_machines(network, "n2");
    let nodes = network.nodes([first.lines(&lines), second.lines(&lines)]);
    let put =
        |value: &str| drop(alice.run(&["kv", "put", "CHORIA_PLUGINS", "plugins", value.trim()]).code(0));

    // what somebody else has signed, or nobody, is left aside
    put(&pack(&[&other]));
    nodes[0].log().says(&["plugins_manager#manage_machines", "not of the key that is required"]);
    put(&pack(&[]));
    nodes[0].log().says(&["plugins_manager#manage_machines", "has no signature"]);
    assert!(!store.join("mm_tool").exists());

    put(&signed);
    until("the machine to be fetched and to have run", || {
        (state(network, &nodes[0], "tool")?["state"] == "b").then_some(())
    });
    assert!(store.join("mm_tool/machine.yaml").exists() && store.join("tool/machine.yaml").exists());
    // it is not for the other one
    nodes[1].log().says(&["plugins_manager"]);
    assert!(!others.join("mm_tool").exists() && !others.join("tool").exists());
    // what is changed by hand is put right by the archive
    fs::write(store.join("tool/ran"), "#!/bin/sh\nevil\n").unwrap();
    until("the archive to be fetched again", || {
        fs::read_to_string(store.join("tool/ran")).ok().filter(|text| text.contains("true")).map(drop)
    });

    // off the list it goes
    named(&["rm", "tool"]).fine().says(&["Removing plugin tool"]);
    plugins(&["pack", &manifest, &seed]).code(1).complains(&["--force"]);
    put(&pack(&[&seed, "--force"]));
    until("the machine to go", || {
        (!store.join("mm_tool").exists() && !store.join("tool").exists()).then_some(())
    });
    // and does not come back with the list it was on, whoever puts that back
    put(&signed);
    nodes[0].log().says(&["plugins_manager#manage_machines", "packed before the one that was followed last"]);
    assert!(!store.join("mm_tool").exists() && !store.join("tool").exists());
    assert!(state(network, &nodes[0], "plugins_manager").is_some());
    assert_eq!(json!(alice.run(&["kv", "keys", "CHORIA_PLUGINS"]).fine().stdout), json!("plugins\n"));
}
