//! External agents that run as long as their node.

use serde_json::json;

use crate::network::{Network, node};
use crate::process::until;
use crate::shelf::{Shelf, action, ddl, left_behind, processes, text};

const N1: &str = "n1.example.net";

#[test]
fn a_program_that_stays_up_answers_many() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let starts = network.path("starts");
    let mut interface = ddl(
        "lines",
        "1.0.0",
        3,
        json!([action(
            "echo",
            json!({"msg": text(false)}),
            json!({"msg": {"description": "M", "display_as": "M"}})
        )]),
    );
    interface["metadata"]["persistent"] = json!(true);
    shelf.ddl(&interface);
    // One program for both ways: nodes that know no lines run it for each request.
    let program_text = format!(
        r#"#!/usr/bin/python3
import json, os, sys, time

def answer(request):
    if request["protocol"].endswith("activation_request"):
        return {{"activate": True}}
    msg = request["data"]["msg"]
    if msg == "die": sys.exit("dying")
    if msg == "hang": time.sleep(600.25)
    return {{"statuscode": 0, "data": {{"msg": msg}}}}

open("{}", "a").write("start\n")
if os.environ["CHORIA_EXTERNAL_PROTOCOL"] == "io.choria.mcorpc.external.v1.lines":
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({{"id": asked["id"], "reply": answer(asked["request"])}}), flush=True)
else:
    request = json.load(open(os.environ["CHORIA_EXTERNAL_REQUEST"]))
    json.dump(answer(request), open(os.environ["CHORIA_EXTERNAL_REPLY"], "w"))
"#,
        starts.display()
    );
    shelf.program("lines", &program_text);
    let mut nodes = network.nodes([node("n1").lines(&shelf.lines())]);
    nodes[0].log().says(&["hosting an agent from disk", "agent=lines"]);
    let alice = network.caller_with("alice.mcollective", &shelf.libdir());
    let ask = |msg: &str| {
        let words = ["rpc", "lines", "echo", &format!("msg={msg}"), "-I", N1, "--json"];
        alice.run(&words).json()["replies"][0].clone()
    };
    for n in 0..5 {
        assert_eq!(ask(&n.to_string())["data"], json!({"msg": n.to_string()}));
    }
    let starts = || std::fs::read_to_string(&starts).unwrap_or_default().lines().count();
    assert_eq!(starts(), 1);
    // Its end is told, and it is there again.
    let message = ask("die")["statusmsg"].as_str().expect("a text").to_owned();
    assert_eq!(
        message,
        "Could not call external agent lines#echo: executing lines failed: exit status 1; it said: dying"
    );
    assert_eq!(ask("again")["statuscode"], 0);
    let message = ask("hang")["statusmsg"].as_str().expect("a text").to_owned();
    assert!(message.ends_with("executing lines failed: it took longer than 3s and was killed"), "{message}");
    assert_eq!(ask("again")["statuscode"], 0);
    // It goes with its interface, and with the node.
    let mark = nodes[0].log().mark();
    let program = shelf.path("lines").display().to_string();
    assert_eq!(processes(&program).len(), 1);
    shelf.remove("lines.json");
    nodes[0].log().says_after(mark, &["gone from disk", "agent=lines"]);
    until("the program to be gone", || processes(&program).is_empty().then_some(()));
    // Where it is an agent for each request, the same program answers.
    let mark = nodes[0].log().mark();
    interface["metadata"]["persistent"] = json!(false);
    shelf.ddl(&interface);
    nodes[0].log().says_after(mark, &["hosting an agent from disk", "agent=lines"]);
    let before = starts();
    assert_eq!((ask("a")["statuscode"].clone(), ask("b")["statuscode"].clone()), (json!(0), json!(0)));
    assert_eq!(starts(), before + 2);
    // One that does not listen ends with its node, too.
    let mark = nodes[0].log().mark();
    interface["metadata"]["persistent"] = json!(true);
    shelf.program(
        "lines",
        &program_text.replace(
            "for line in sys.stdin:",
            "import signal; signal.signal(15, signal.SIG_IGN)\n    for line in sys.stdin:",
        ),
    );
    shelf.ddl(&interface);
    nodes[0].log().says_after(mark, &["hosting an agent from disk", "agent=lines"]);
    until("the program to be up", || (processes(&program).len() == 1).then_some(()));
    let pid = nodes[0].log().pid();
    nodes[0].daemon().leave();
    until("the program to be gone", || processes(&program).is_empty().then_some(()));
    assert_eq!(left_behind(pid), [] as [std::path::PathBuf; 0]);
}
