//! Agents written with the libraries people use, as these are.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::installed::python_with;
use crate::network::{Network, node};
use crate::shelf::{Shelf, action, ddl, text};

fn source(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agents")).join(name)
}

#[test]
fn agents_in_python_answer() {
    let python = python_with("agents", &source("requirements.txt"));
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let output = |name: &str| json!({"description": name, "display_as": name});
    let message = json!({"message": text(false)});
    let outputs = json!({"message": output("Message"), "caller": output("Caller")});
    shelf.ddl(&ddl(
        "parrot",
        "1.0.0",
        20,
        json!([
            action("echo", message.clone(), outputs.clone()),
            action("fail", json!({}), json!({})),
            action("crash", json!({}), json!({})),
        ]),
    ));
    let outputs = json!({"glitters": output("Glitters"), "facts": output("Facts")});
    shelf.ddl(&ddl("magpie", "1.0.0", 20, json!([action("find", json!({"what": text(false)}), outputs)])));
    for agent in ["parrot", "magpie"] {
        let code = fs::read_to_string(source(&format!("{agent}.py"))).expect("a file");
        shelf.program(agent, &format!("#!{}\n{code}", python.display()));
    }
    // Read by the library: first the name without an extension, then .cfg.
    network.file("n1.example.net/plugin.d/parrot.cfg", "prefix = squawk \n");
    let nodes = network.nodes([node("n1").lines(&shelf.lines()).facts(json!({"country": "mt"}))]);
    for agent in ["parrot", "magpie"] {
        nodes[0].log().says(&["hosting an agent from disk", &format!("agent={agent}")]);
    }
    let alice = network.caller_with("alice.mcollective", &shelf.libdir());
    let ask = |words: &[&str]| -> Value {
        let words = [&["rpc"], words, &["-I", "n1.example.net", "--json"]].concat();
        alice.run(&words).json()["replies"][0].clone()
    };
    let reply = ask(&["parrot", "echo", "message=hello"]);
    assert_eq!(reply["statuscode"], 0, "{reply}");
    assert_eq!(reply["data"], json!({"message": "squawk hello", "caller": "choria=alice.mcollective"}));
    let reply = ask(&["parrot", "fail"]);
    assert_eq!((&reply["statuscode"], &reply["statusmsg"]), (&json!(3), &json!("no message, no echo")));
    let reply = ask(&["parrot", "crash"]);
    assert!(reply["statuscode"] == 1 && reply["statusmsg"].as_str().unwrap().contains("the perch broke"));
    let reply = ask(&["magpie", "find", "what=coin"]);
    assert_eq!(reply["data"]["glitters"], "coin", "{reply}");
    let facts: Value = serde_json::from_str(reply["data"]["facts"].as_str().expect("a text")).expect("JSON");
    assert_eq!(facts["country"], "mt");
}
