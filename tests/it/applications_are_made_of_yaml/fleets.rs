//! Nodes, values, tasks and plans.

use serde_json::json;

use super::{HEAD, N1, at_home, nodes, shell, written};
use crate::network::Network;
use crate::process::{program, run};
use crate::streams_are_used::Keeping;

#[test]
fn nodes_are_asked_by_applications() {
    let network = Network::start();
    let _running = nodes(&network);
    let alice = network.alice();
    network.file(
        "demo-app.yaml",
        &format!(
            r#"{HEAD}  - name: fact
    description: d
    type: rpc
    std_filters: true
    display_flag: true
    batch_flags: true
    arguments: [{{name: fact, required: true}}]
    flags:
      - {{name: eq, reply_filter: 'ok() && data("value") == "{{{{ .Flags.eq }}}}"'}}
      - {{name: ne, reply_filter: 'ok() && data("value") != "{{{{ .Flags.ne }}}}"'}}
    request: {{agent: rpcutil, action: get_fact, inputs: {{fact: "{{{{ .Arguments.fact }}}}"}}}}
    output_format: senders
  - name: all
    description: d
    type: rpc
    std_filters: true
    all_nodes_confirm_prompt: All?
    request: {{agent: rpcutil, action: ping}}
  - name: only
    description: d
    type: rpc
    arguments: [{{name: node, required: true}}]
    request:
      agent: rpcutil
      action: get_fact
      inputs: {{fact: country}}
      filter: {{identities: ["{{{{ .Arguments.node }}}}"]}}
    transform: {{template: {{contents: "{{{{ range .Input.replies }}}}{{{{ .sender }}}}={{{{ .data.value }}}}{{{{ end }}}}"}}}}
  - name: like
    description: d
    type: discover
    arguments: [{{name: node, required: true}}]
    filter: {{identities: ["/{{{{ .Arguments.node }}}}/"]}}
  - {{name: odd, description: d, type: rpc, request: {{agent: rpcutil, action: ping}}, transform: {{jq: {{query: .replies.none}}}}}}
  - {{name: bad, description: d, type: rpc, request: {{agent: rpcutil, action: nosuch}}}}
  - {{name: find, description: d, type: discover, std_filters: true, filter: {{facts: [country=mt]}}}}
"#
        ),
    );
    // our flags stand before the name, all behind it is the application's
    let config = alice.config.display().to_string();
    let run = |words: &[&str]| {
        let mut command = program(network.directory());
        command.env("MCOLLECTIVE_CERTNAME", &alice.name).env("USER", "tester");
        command.args(["--config", &config, "builder", "run", "./demo-app.yaml"]).args(words);
        run(command, None)
    };
    assert_eq!(run(&["fact", "country"]).code(0).sorted(), ["n1.example.net", "n2.example.net"]);
    assert_eq!(run(&["fact", "country", "--eq", "de"]).code(0).stdout, "n2.example.net\n");
    assert_eq!(
        run(&["fact", "country", "--ne=de", "--batch", "1", "--batch-sleep", "1"]).code(0).stdout,
        "n1.example.net\n"
    );
    assert_eq!(run(&["fact", "country", "-F", "country=mt"]).code(0).stdout, "n1.example.net\n");
    run(&["fact", "country", "--eq", "a", "--ne", "b"]).code(1).complains(&["exclude each other"]);
    run(&["all"]).code(1).complains(&["'All?' is asked first"]);
    run(&["all", "-I", N1]).code(0).says(&[N1]);
    assert_eq!(run(&["only", N1]).code(0).stdout, "n1.example.net=mt\n");
    run(&["only", "n9.example.net"]).code(3);
    run(&["odd"]).code(5).silent().complains(&["the request was sent: ", "the query fails"]);
    // who names nobody does not mean everybody
    run(&["only", ""]).code(1).silent().complains(&["filter: identities:", "comes out empty"]);
    run(&["like", ""]).code(1).silent().complains(&["filter: identities:", "expression that is empty"]);
    assert_eq!(run(&["like", "^n1"]).code(0).stdout, "n1.example.net\n");
    run(&["bad"]).code(1).complains(&["unknown action rpcutil#nosuch"]);
    assert_eq!(run(&["find"]).code(0).stdout, "n1.example.net\n");
    assert_eq!(run(&["find", "--json"]).code(0).json(), json!([N1]));
    run(&["find", "-C", "nosuch"]).code(0).silent();
}

#[test]
fn values_are_kept_by_applications() {
    let keeping = Keeping::start("");
    let Keeping { network, alice, root } = &keeping;
    at_home(network, alice);
    written(network.directory());
    let run = |words: &[&str]| {
        let line = format!("choria builder run ./deploy-app.yaml {}", words.join(" "));
        run(shell(network, &alice.name, &line), None)
    };
    run(&["set", "web", "1.2"]).code(1).complains(&["no bucket DEPLOY"]);
    root.run(&["kv", "add", "DEPLOY"]).fine();
    assert_eq!(run(&["set", "web", "1.2"]).fine().stdout, "Wrote revision 1\n");
    assert_eq!(run(&["set", "web", "1.3"]).fine().stdout, "Wrote revision 2\n");
    run(&["set", "WEB", "1.3"]).code(1).complains(&["does not meet is_regex"]);
    assert_eq!(run(&["show", "web"]).fine().stdout, "1.3\n");
    run(&["show", "db"]).code(1).complains(&["has no key db.version"]);
    run(&["past", "web"]).fine().says(&["Operation", "PUT", "{\"version\": \"1.2\"}"]);
    let past = run(&["past", "web", "--json"]).fine().json();
    let entries = past["DEPLOY"]["web.version"].as_array().expect("a list");
    assert_eq!((entries.len(), &entries[1]["revision"]), (2, &json!(2)), "{past}");
    assert_eq!(run(&["forget", "web"]).fine().stdout, "Deleted key web.version\n");
    run(&["show", "web"]).code(1).complains(&["has no key"]);
}

#[cfg(feature = "puppet")]
#[test]
fn tasks_and_plans_are_run_by_applications() {
    use crate::task_stage::Tasks;
    let echo = "#!/bin/sh\necho \"told: $PT_name\"\n";
    let about = r#"{"description": "Says it", "parameters": {"name": {"type": "String[1]"}}}"#;
    let tasks =
        Tasks::start(&["n1", "n2"], "", &[("demo/tasks/greet.sh", echo), ("demo/tasks/greet.json", about)]);
    let network = &tasks.network;
    at_home(network, &tasks.alice);
    written(network.directory());
    let run = |line: &str| run(shell(network, &tasks.alice.name, line), None);
    run("choria playbook new demo::first --modulepath modules").fine();
    run("choria builder run ./work-app.yaml greet n1.example.net 'good day'")
        .code(0)
        .says(&["told: good day"]);
    run("choria builder run ./work-app.yaml greet n9.example.net").code(3);
    let plan = run("choria builder run ./work-app.yaml first").code(0);
    let names: Vec<String> = plan.json().as_object().expect("an object").keys().cloned().collect();
    assert_eq!(names, ["n1.example.net", "n2.example.net"]);
    run("choria builder run ./work-app.yaml first --fact country=zz").code(1).complains(&["choria: "]);
    run("BUILDER_DRY_RUN=1 choria builder run ./work-app.yaml greet x")
        .code(0)
        .silent()
        .complains(&["would run the task"]);
}
