//! External data plugins: asked by `rpcutil#get_data`, and by filters of those who may.

use std::fs;

use serde_json::{Value, json};

use crate::network::{Network, node};
use crate::process::until;
use crate::shelf::Shelf;

const N1: &str = "n1.example.net";

/// `bare` takes no question.
fn interface(name: &str) -> Value {
    let query = json!({"prompt": "What", "description": "What is asked", "type": "string",
        "validation": "shellsafe", "maxlength": 20});
    json!({
        "metadata": {"name": name, "description": "A test", "author": "A", "license": "Apache-2.0",
            "version": "1.0.0", "url": "https://example.net", "timeout": 1, "provider": "external"},
        "query": if name == "bare" { Value::Null } else { query },
        "output": {"days": {"description": "D", "display_as": "Days"}, "asked": {"description": "A", "display_as": "A"}},
    })
}

fn runs(dir: &std::path::Path) -> usize {
    fs::read_to_string(dir.join("ran")).unwrap_or_default().lines().count()
}

#[test]
fn programs_answer_those_who_may_ask_them() {
    let network = Network::start();
    let shelf = Shelf::of(&network, "lib");
    let lines = shelf.lines() + "plugin.choria.filter_timeout = 5s\n";
    let allow = "policy default deny\nallow\tchoria=alice.mcollective\t*\t*\t*\n\
                 allow\tchoria=bob.mcollective\tping\t*\t*\n\
                 allow\tchoria=carol.mcollective\tping get_data\t*\t*\n";
    let mut nodes = network.nodes([node("n1").lines(&lines).policy("rpcutil", allow), node("n2")]);
    let ran = network.path("");
    let note = format!("echo ran >> {}/ran", ran.display());
    let program = format!(
        r#"{note}
        asked=$(sed -n 's/.*"query":"\([^"]*\)".*/\1/p' "$1")
        case $asked in
            hang) sleep 600 ;;
            junk) echo hello > "$2" ;;
            fail) echo no such thing >&2; exit 1 ;;
            flood) head -c 100000 /dev/zero > "$2" ;;
            *) echo "{{\"days\":42,\"asked\":\"$asked\",\"undeclared\":1}}" > "$2" ;;
        esac"#
    );
    for name in ["cert", "bare"] {
        shelf.shell(&format!("../data/{name}"), &program);
        shelf.put(&format!("../data/{name}.json"), &interface(name).to_string());
    }
    nodes[0].log().says(&["data plugins from disk", "names=bare,cert"]);
    let alice = network.caller_with("alice.mcollective", &shelf.libdir());
    let bob = network.caller_with("bob.mcollective", &shelf.libdir());

    let asked = alice.good(N1, &["rpcutil", "get_data", "source=cert", "query=x"]);
    assert_eq!(asked, json!({"days": 42, "asked": "x"}));
    assert_eq!(alice.good(N1, &["rpcutil", "get_data", "source=bare"])["days"], 42);
    let inventory = alice.good(N1, &["rpcutil", "inventory"]);
    assert!(inventory["data_plugins"].as_array().unwrap().contains(&json!("cert")), "{inventory}");
    for (query, problem) in [
        ("hang", "took longer than 1s and was killed"),
        ("junk", "failed to decode reply json"),
        ("fail", "exit status 1; it said: no such thing"),
        ("flood", "its answer has more than 65536 bytes"),
        ("$(reboot)", "invalid value for 'query'"),
        ("a text that is longer than it may be", "invalid value for 'query'"),
    ] {
        let text = alice.bad(N1, 1, &["rpcutil", "get_data", "source=cert", &format!("query={query}")]);
        assert!(text.starts_with("Data plugin cert: ") && text.contains(problem), "{text}");
    }

    // A filter asks once, whatever it says; where there is no such plugin it matches nothing.
    let before = runs(&ran);
    let filter = "cert('y').days > 40 and cert('y').asked == 'y' and cert('y').undeclared == nil";
    assert_eq!(alice.run(&["find", "-S", filter]).fine().sorted(), [N1]);
    assert_eq!(runs(&ran), before + 1);
    assert!(nodes[0].audit().iter().any(|line| line["action"] == "get_data" && line["data"]["query"] == "y"));
    assert_eq!(alice.run(&["find", "-S", "bare().days == 42"]).fine().sorted(), [N1]);
    alice.run(&["find", "-S", "cert('y').days > 50"]).silent();
    alice.run(&["find", "-S", "cert('hang').days > 50"]).silent();
    nodes[0].log().says(&["cert", "took longer than"]);

    // Who may not ask it has nothing run, by no filter.
    let before = runs(&ran);
    bob.run(&["find", "-S", "cert('z').days > 40"]).silent();
    nodes[0].log().says(&["choria=bob.mcollective", "may not ask it by rpcutil#get_data"]);
    assert_eq!(runs(&ran), before, "nothing ran");
    // He is found by what he may ask, and nodes do not run more programs than a filter may.
    assert_eq!(bob.run(&["find", "-S", "choria().cpus > 0", "-I", N1]).fine().sorted(), [N1]);
    let many = (0..9).map(|n| format!("cert('{n}').days == 42")).collect::<Vec<_>>().join(" and ");
    alice.run(&["find", "-S", &many]).silent();
    nodes[0].log().says(&["8 different questions at most"]);
    assert!(runs(&ran) <= before + 8);

    // A setting is told to whom get_config_item tells it, however it is asked for.
    let setting = format!("config_item('identity').value == '{N1}'");
    let asked = ["rpcutil", "get_data", "source=config_item", "query=identity"];
    assert_eq!(alice.run(&["find", "-S", &setting, "-I", N1]).fine().sorted(), [N1]);
    assert_eq!(alice.good(N1, &asked)["value"], N1);
    let audited = nodes[0].audit();
    assert!(
        audited.iter().any(|line| line["action"] == "get_config_item" && line["data"]["item"] == "identity")
    );
    let carol = network.caller("carol.mcollective");
    assert!(carol.good(N1, &["rpcutil", "get_data", "source=choria"])["cpus"].is_number());
    assert_eq!(carol.bad(N1, 1, &asked), "You are not authorized to call this agent or action");
    carol.run(&["find", "-S", &setting, "-I", N1]).silent();
    nodes[0].log().says(&["choria=carol.mcollective", "may not ask it by rpcutil#get_config_item"]);

    // What anybody may write is not run; what is gone is not there.
    let file = shelf.path("../data/cert");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let text = alice.bad(N1, 1, &["rpcutil", "get_data", "source=cert", "query=x"]);
    assert!(text.contains("anybody may write"), "{text}");
    shelf.remove("../data/cert.json");
    until("the plugin to go", || {
        (alice.reply(N1, &["rpcutil", "get_data", "source=cert", "query=x"])["statusmsg"]
            == "Unknown data plugin")
            .then_some(())
    });
    nodes[0].daemon().still_runs();
}
