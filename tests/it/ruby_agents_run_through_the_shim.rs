//! Ruby agents, with the classes they were written for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::network::{Network, node};
use crate::process::until;
use crate::shelf::{Shelf, action, processes, text};

const N1: &str = "n1.example.net";

#[test]
fn ruby_agents_answer_as_they_did() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let source = |name: &str| {
        fs::read_to_string(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agents")).join(name))
            .expect("a file")
    };
    // What the converted interface says; the shim reads the one in Ruby.
    let actions: Vec<Value> = ["echo", "fail", "crash", "leave", "hang"]
        .map(|name| {
            let input = if name == "echo" { json!({"message": text(false)}) } else { json!({}) };
            action(name, input, json!({"message": {"description": "M", "display_as": "Message"}}))
        })
        .into();
    let mut interface = crate::shelf::ddl("rubydemo", "1.0.0", 5, json!(actions));
    interface["metadata"]["provider"] = json!("ruby");
    shelf.put("rubydemo.ddl", &source("rubydemo.ddl"));
    shelf.put("rubydemo.rb", &source("rubydemo.rb"));
    shelf.ddl(&interface);
    // An interface without code is no agent.
    let mut without = interface.clone();
    without["metadata"]["name"] = json!("without");
    shelf.ddl(&without);
    let shim = network.file("shim.rb", &source("shim.rb"));
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).expect("a mode");
    let settings = format!(
        "collectives = mcollective\nmain_collective = mcollective\nlibdir = {}\nlogger_type = console\n\
         loglevel = fatal\ndaemonize = 0\nconnector = activemq\nsecurityprovider = psk\nplugin.psk = unused\n\
         factsource = yaml\nplugin.yaml = /dev/null\nrpcauthorization = 0\nrpcaudit = 0\nidentity = {N1}\n",
        network.path("lib").display()
    );
    let settings = network.file("shim.cfg", &settings);
    let lines = format!(
        "{}plugin.choria.agent_provider.mcorpc.agent_shim = {}\nplugin.choria.agent_provider.mcorpc.config = {}\n",
        shelf.lines(),
        shim.display(),
        settings.display()
    );
    let gone = lines.replace("shim.rb", "no-shim.rb");
    let only = "policy default deny\nallow\tchoria=alice.mcollective\techo fail crash leave hang\t*\t*\n";
    let nodes = network.nodes([
        node("n1").lines(&lines).policy("rubydemo", only),
        node("n2").lines(&shelf.lines()),
        node("n3").lines(&gone),
    ]);
    nodes[2].log().says(&[
        "warning",
        "this Ruby agent answers no call: the shim ",
        "no-shim.rb does not exist",
    ]);
    nodes[0].log().says(&["hosting an agent from disk", "agent=rubydemo"]);
    let alice = network.caller_with("alice.mcollective", &shelf.libdir());
    let ask = |words: &[&str]| {
        let words = [&["rpc", "rubydemo"], words, &["-I", N1, "--json"]].concat();
        let reply = alice.run(&words).json()["replies"][0].clone();
        (reply["statuscode"].as_i64().expect("a code"), reply["statusmsg"].clone(), reply["data"].clone())
    };
    let (code, message, data) = ask(&["echo", "message=hello"]);
    assert_eq!((code, message), (0, json!("OK")));
    // Every output its interface in Ruby declares is there.
    assert_eq!(data, json!({"message": "hello", "caller": "choria=alice.mcollective"}));
    let (code, message, data) = ask(&["fail"]);
    assert_eq!((code, message), (1, json!("It cannot be done")));
    assert_eq!(data, json!({"message": "before", "caller": "nobody"}));
    assert_eq!(ask(&["crash"]).0, 5);
    let (code, message, _) = ask(&["leave"]);
    let text = "Cannot decode output from Shim for Ruby action rubydemo#leave: ";
    let message = message.as_str().expect("a text").to_owned();
    assert!(code == 1 && message.starts_with(text) && message.contains("it said: leaving"), "{message}");
    let (code, message, _) = ask(&["hang"]);
    let message = message.as_str().expect("a text").to_owned();
    assert!(code == 1 && message.contains("it took longer than 5s and was killed"), "{message}");
    let shim_text = shim.display().to_string();
    until("the shim to be gone", || processes(&shim_text).is_empty().then_some(()));
    // Who may is the node's business, and what was done.
    let bob = network.caller_with("bob.mcollective", &shelf.libdir());
    bob.run(&["rpc", "rubydemo", "echo", "message=x", "-I", N1]).code(2).says(&["You are not authorized"]);
    assert_eq!(nodes[0].audit().iter().filter(|line| line["agent"] == "rubydemo").count(), 5);
    // The interface in Ruby holds, whatever the caller's says.
    let liar = Shelf::of(&network, "lax");
    let any = json!({"message": {"prompt": "P", "description": "D", "type": "string", "optional": true,
        "validation": "", "maxlength": 0}});
    let mut lax = interface.clone();
    lax["actions"] = json!([action("echo", any, json!({}))]);
    liar.ddl(&lax);
    let alice = network.caller_with("alice.mcollective", &liar.libdir());
    let reply = alice.run(&["rpc", "rubydemo", "echo", "message=a;b", "-I", N1, "--json"]).json();
    assert_eq!(reply["replies"][0]["statuscode"], 4, "{reply}");
    // A shim that is gone.
    fs::remove_file(&shim).expect("it was there");
    let reply = alice.run(&["rpc", "rubydemo", "echo", "message=a", "-I", N1, "--json"]).json();
    let message = reply["replies"][0]["statusmsg"].as_str().expect("a text").to_owned();
    assert!(message.starts_with("Cannot call Ruby action rubydemo#echo: the shim "), "{message}");
    // Without a shim they are named and do not run.
    nodes[1].log().says(&[
        "these agents are in a library directory and do not run",
        "rubydemo",
        "agent_shim",
    ]);
}
