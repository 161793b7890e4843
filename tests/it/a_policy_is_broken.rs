//! Mistakes in policy files: logged with file and line, and a rule that was to
//! deny denies.

use std::fs;

use crate::network::{Network, node};
use crate::process::{program, run};

#[test]
fn a_deny_rule_that_cannot_be_read_denies_and_is_logged_once_a_change() {
    let network = Network::start();
    let policy = "policy default allow\ndeny choria=bob.mcollective * * *\n";
    let nodes = network.nodes([node("n1").policy("rpcutil", policy)]);
    let file = nodes[0].dir.join("policies/rpcutil.policy");
    let log = nodes[0].log();
    // Read at the start, before anybody asked.
    log.says(&["error", "rpcutil.policy:2: ", "columns"]);

    let bob = network.caller("bob.mcollective");
    for _ in 0..3 {
        bob.run(&["rpc", "rpcutil", "ping"]).code(2).says(&["You are not authorized"]);
    }
    // Whom it was about cannot be told.
    network.alice().run(&["rpc", "rpcutil", "ping"]).code(2).says(&["You are not authorized"]);
    log.says(&["denied", "rpcutil.policy:2: "]);
    assert_eq!(log.matching(0, &["error", "rpcutil.policy:2: "]).len(), 1);

    // Columns by tabs, and a group that nobody has written down.
    let mark = log.mark();
    fs::write(&file, "policy default allow\ndeny\tcontractors\tget_fact\t*\t*\n").expect("a policy");
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
    network.alice().run(&["rpc", "rpcutil", "get_fact", "fact=x"]).code(2);
    log.says_after(mark, &["error", "rpcutil.policy:2: ", "contractors", "nor a group"]);
    network.alice().run(&["rpc", "rpcutil", "get_fact", "fact=x"]).code(2);
    assert_eq!(log.matching(mark, &["error", "contractors", "nor a group"]).len(), 1);

    // The group is written down: only its members are denied, nothing is wrong any more.
    let mark = log.mark();
    fs::write(nodes[0].dir.join("policies/groups"), "contractors choria=bob.mcollective\n").expect("groups");
    network.alice().run(&["rpc", "rpcutil", "get_fact", "fact=x"]).fine();
    bob.run(&["rpc", "rpcutil", "get_fact", "fact=x"]).code(2);
    assert!(log.matching(mark, &["error"]).is_empty(), "{:?}", log.matching(mark, &["error"]));
}

#[test]
fn policies_are_checked_by_hand() {
    let network = Network::without_broker();
    let config = network.file("node/server.conf", "identity = n1.example.net\n");
    let choria = |words: &[&str]| {
        let mut command = program(&network.path(""));
        command.args(words);
        run(command, None)
    };
    let of = config.to_str().expect("text");
    network.file(
        "node/policies/package.policy",
        "policy default deny\nallow\tchoria=a.mcollective\tstatus\t*\t*\n",
    );
    choria(&["policy", "check", "--config", of]).fine().says(&["no problems"]);
    let broken = network.file(
        "node/policies/service.policy",
        "policy default deny\nforbid\t*\tstop\t*\t*\nallow\t/[/\tstatus\t*\t*\nallow\tops\t*\t*\t*\n",
    );
    network.file("node/policies/groups", "ops choria=bob.mcollective\nall:of:us x\n");
    let all = choria(&["policy", "check", "--config", of]).code(1).silent();
    all.complains(&[
        "service.policy:2: \"forbid\" is neither allow, deny nor policy default",
        "service.policy:3: \"/[/\" is no regular expression",
        "groups:2: is no group",
    ]);
    choria(&["policy", "check", "package", "--config", of]).code(1).complains(&["groups:2: "]);
    choria(&["policy", "check", broken.to_str().expect("text")]).code(1).complains(&["service.policy:3: "]);
    choria(&["policy", "check", "nothing", "--config", of])
        .code(1)
        .complains(&["nothing.policy does not exist"]);
}

/// What people write: each is another line in the log, and nobody is let in by it.
#[test]
fn each_mistake_has_its_own_line() {
    let network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let file = nodes[0].dir.join("policies/rpcutil.policy");
    let alice = network.alice();
    let mut told = std::collections::BTreeSet::new();
    for (line, says) in [
        ("allow choria=alice.mcollective * * *", "has no tabs between columns"),
        ("allow\tchoria=alice.mcollective\t*", "has 3 columns"),
        ("allow\tchoria=alice.mcollective\t*\t*\t*\t", "ends with a tab"),
        ("permit\tchoria=alice.mcollective\t*\t*\t*", "neither allow, deny nor policy default"),
        ("Allow\tchoria=alice.mcollective\t*\t*\t*", "neither allow nor deny"),
        ("allow\talice.mcollective\t*\t*\t*", "\"alice.mcollective\" is neither"),
        ("allow\tadmins\t*\t*\t*", "\"admins\" is neither"),
        ("allow\t/[/\t*\t*\t*", "\"/[/\" is no regular expression"),
        ("allow\tchoria=alice.mcollective\tping,inventory\t*\t*", "ping,inventory"),
        ("allow\tchoria=alice.mcollective\t*\tcountry\t*", "country"),
    ] {
        let mark = nodes[0].log().mark();
        fs::write(&file, format!("policy default deny\n{line}\n")).expect("a policy");
        alice.run(&["rpc", "rpcutil", "ping"]).code(2).says(&["You are not authorized"]);
        let line = nodes[0].log().says_after(mark, &["error", "rpcutil.policy:2: ", says]);
        let (_, reason) = line.split_once("rpcutil.policy:2: ").expect("a place");
        assert!(told.insert(reason.to_owned()), "{reason}");
        // A denial says which file decides.
        nodes[0].log().says_after(mark, &["denied", "policies/rpcutil.policy"]);
    }
}

#[test]
fn who_decides_about_a_call_is_told_and_tested() {
    let network = crate::network::Network::without_broker();
    network.file(
        "policies/package.policy",
        "policy default deny\n\
         allow\tchoria=rip.mcollective\t*\t*\t*\n\
         allow\tadmins\tstatus\t*\t*\n\
         allow\tadmins\tinstall\tcountry=mt\t/^apache/\n\
         deny\tchoria=temp.mcollective\t*\t*\t*\n",
    );
    network.file("policies/groups", "admins choria=bob.mcollective\n");
    network.file("facts.json", "{\"country\": \"de\"}");
    network.file("mt.yaml", "country: mt\n");
    network.file("classes.txt", "apache24\n");
    let dir = network.path("");
    let config = network.file(
        "server.conf",
        &format!(
            "identity = n1\nplugin.yaml = {0}/facts.json\nclassesfile = {0}/classes.txt\n",
            dir.display()
        ),
    );
    let policy = |words: &[&str]| {
        let mut command = crate::process::program(&dir);
        command.arg("policy").args(words).arg("--config").arg(&config);
        crate::process::run(command, None)
    };
    let call = |caller: &str, action: &str, more: &[&str]| {
        let words = [&["check", "--caller", caller, "--agent", "package", "--action", action], more].concat();
        policy(&words)
    };
    call("bob.mcollective", "status", &[]).fine().says(&[
        "allowed: ",
        "package.policy:3 allows choria=bob.mcollective package#status",
        "package.policy:2 is about other callers",
    ]);
    call("choria=bob.mcollective", "install", &[]).code(1).says(&[
        "denied: ",
        "its default counts",
        "package.policy:3 is about other actions",
        "package.policy:4 is about nodes with other facts or classes",
    ]);
    call("bob.mcollective", "install", &["--facts", "mt.yaml"]).fine().says(&["package.policy:4 allows"]);
    call("bob.mcollective", "install", &["--facts", "mt.yaml", "--class", "nginx"]).code(1);
    call("temp.mcollective", "status", &[]).code(1).says(&["package.policy:5 denies"]);
    policy(&["check", "--caller", "bob.mcollective"])
        .code(1)
        .complains(&["--caller, --agent and --action together"]);

    network.file(
        "cases",
        "# calls\nallow bob.mcollective package#status\nallow bob.mcollective package#install country=mt apache\n\
         deny bob.mcollective package#install country=de apache\ndeny temp.mcollective package#status\n",
    );
    policy(&["test", "cases"]).fine().says(&["4 calls, 0 not decided"]);
    network.file("cases", "deny bob.mcollective package#status\n\nallow temp.mcollective package#status\n");
    policy(&["test", "cases"]).code(1).says(&["2 calls, 2 not decided"]).complains(&[
        "cases:1: is to deny and is allowed",
        "cases:3: is to allow and is denied",
        "package.policy:5 denies",
    ]);
    // what no node takes is no case, however it is decided
    network.file("cases", "deny bob package#status\ndeny bob.mcollective package#sttaus\n");
    policy(&["test", "cases"])
        .code(1)
        .says(&["2 calls, 0 not decided", "2 that no node would take"])
        .complains(&[
            "cases:1: no node takes a request of bob",
            "did you mean bob.mcollective?",
            "cases:2: package has no action sttaus",
        ]);
    network.file("cases", "perhaps bob x\n");
    policy(&["test", "cases"]).code(1).complains(&["line 1 begins with \"perhaps\""]);
}
