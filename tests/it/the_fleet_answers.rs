//! A person asks a healthy fleet.

use serde_json::{Value, json};

use crate::network::{Caller, Network, Node, node};
use crate::process::run;

struct Fleet {
    network: Network,
    nodes: Vec<Node>,
    alice: Caller,
}

const ALL: [&str; 4] = ["db1.example.net", "db2.example.net", "web1.example.net", "web2.example.net"];

/// Two web servers and two databases in two countries.
fn fleet() -> Fleet {
    let network = Network::start();
    let facts = |country: &str, cpus: i64| json!({"country": country, "cpus": cpus, "os": {"name": "Debian", "release": {"major": 12}}});
    let secret = "plugin.choria.network.system.password = hush\nplugin.demo.password = hush\n";
    let nodes = network.nodes([
        node("web1").facts(facts("mt", 2)).classes(&["apache", "role::web"]).lines(secret),
        node("web2").facts(facts("de", 4)).classes(&["apache", "role::web"]),
        node("db1").facts(facts("mt", 8)).classes(&["mysql", "role::db"]),
        node("db2").facts(facts("de", 16)).classes(&["mysql", "role::db"]),
    ]);
    let alice = network.alice();
    Fleet { network, nodes, alice }
}

#[test]
fn ping_shows_every_node() {
    let Fleet { alice, network, .. } = &fleet();
    let ran = alice.run(&["ping"]).fine().says(&["---- ping statistics ----", "4 replies max: "]);
    for node in ALL {
        let line = ran.stdout.lines().find(|l| l.starts_with(node)).unwrap_or_else(|| panic!("{ran:?}"));
        assert!(line.contains(" time=") && line.ends_with(" ms"), "{line}");
    }
    assert_eq!(alice.run(&["ping", "--names"]).fine().sorted(), ALL);
    let silent = alice.run(&["ping", "--silent"]).fine();
    assert!(!silent.stdout.contains("example.net"), "{silent:?}");
    alice.run(&["ping", "--names", "--expect", "5", "-C", "apache"]).code(4);
    // who was named is missed, by whatever they were named
    let list = network.file("named.txt", "db1.example.net\nnobody.example.net\n");
    let list = list.to_string_lossy();
    let named: [&[&str]; 2] = [&["-I", "db1.example.net", "-I", "nobody.example.net"], &["--nodes", &list]];
    for words in named {
        let ran = alice.run(&[&["ping", "--names"], words].concat()).code(4);
        assert_eq!(ran.sorted(), ["db1.example.net"]);
        ran.complains(&["no answer of nobody.example.net"]);
        alice.run(&[&["ping", "--names", "--compat-exit"], words].concat()).code(0);
        alice.run(&[&["ping", "--names", "--expect", "1"], words].concat()).fine();
    }
    alice.run(&["ping", "-I", "db1.example.net", "-I", "db1.example.net"]).fine().says(&["1 replies"]);
    alice.run(&["ping", "--names", "-I", "/^db1/"]).fine();
    let filtered = alice.run(&["ping", "--names", "--expect", "2", "-F", "country=mt"]).fine();
    assert_eq!(filtered.sorted(), ["db1.example.net", "web1.example.net"]);
}

#[test]
fn find_takes_every_kind_of_filter() {
    let Fleet { alice, .. } = &fleet();
    let [db1, db2, web1, web2] = ALL;
    for (filter, nodes) in [
        (&[][..], &ALL[..]),
        (&["-F", "country=mt"], &[db1, web1]),
        (&["-Fcountry=mt", "-F", "cpus=8"], &[db1]),
        (&["-F", "cpus>=4"], &[db1, db2, web2]),
        (&["-F", "cpus!=4"], &[db1, db2, web1]),
        (&["-F", "country=~^m"], &[db1, web1]),
        (&["-F", "os.release.major=12"], &ALL),
        (&["-F", "nosuch=1"], &[]),
        (&["-C", "apache"], &[web1, web2]),
        (&["-C", "/^role::/"], &ALL),
        (&["-C", "/^role::/", "-C", "mysql"], &[db1, db2]),
        (&["-A", "choria_util"], &ALL),
        (&["-A", "nosuch"], &[]),
        (&["-A", "/^rpc/"], &ALL),
        (&["-I", "/^web/"], &[web1, web2]),
        (&["-I", db1, "-I", web2], &[db1, web2]),
        (&["-W", "apache country=de"], &[web2]),
        (&["-W", "/mysql|apache/ country=mt"], &[db1, web1]),
        (&["-S", "with('apache') && fact('cpus') > 2"], &[web2]),
        (&["-S", "with('apache') || with('country=mt')"], &[db1, web1, web2]),
        (&["-S", "!with('/^role::web/')"], &[db1, db2]),
        (&["-T", "mcollective", "--wf=cpus=2"], &[web1]),
    ] {
        let words = [&["find"], filter].concat();
        assert_eq!(alice.run(&words).fine().sorted(), nodes, "{words:?}");
    }
    let array = alice.run(&["find", "-C", "apache", "--json"]).fine().json();
    assert_eq!(array.as_array().map(Vec::len), Some(2));
    let told = alice.run(&["find", "-v", "-C", "mysql"]).code(0);
    told.complains(&["Discovered 2 nodes using the mc method in "]);
    assert_eq!(alice.run(&["discover", "--fixed-window", "--discovery-timeout", "1"]).fine().sorted(), ALL);
}

#[test]
fn the_standard_agents_answer() {
    let Fleet { alice, nodes, .. } = &fleet();
    let ran = alice.run(&["rpc", "rpcutil", "ping"]).fine();
    let ran = ran.says(&["Finished processing 4 / 4 hosts in "]);
    ALL.iter().for_each(|node| assert!(ran.stdout.contains(node), "{ran:?}"));

    let one = |words: &[&str]| {
        let words = [&["rpc"], words, &["-I", "web1.example.net", "--json"]].concat();
        let document = alice.run(&words).json();
        let reply = document["replies"][0].clone();
        assert_eq!(reply["sender"], "web1.example.net", "{document}");
        reply
    };
    let inventory = one(&["rpcutil", "inventory"]);
    let agents = json!([
        "bolt_tasks",
        "choria_util",
        "discovery",
        "filemgr",
        "nettest",
        "package",
        "process",
        "puppet",
        "rpcutil",
        "service"
    ]);
    assert_eq!(inventory["data"]["agents"], agents);
    assert_eq!(inventory["data"]["classes"], json!(["apache", "role::web"]));
    assert_eq!(inventory["data"]["facts"]["os"]["release"]["major"], 12);
    assert_eq!(inventory["data"]["collectives"], json!(["mcollective"]));

    let fact = one(&["rpcutil", "get_fact", "fact=os.name"]);
    assert_eq!(fact["data"], json!({"fact": "os.name", "value": "Debian"}));

    let stats = one(&["rpcutil", "daemon_stats"]);
    assert_eq!(stats["data"]["pid"], nodes[0].log().pid());
    assert_eq!(stats["data"]["configfile"], json!(nodes[0].config));

    let hidden = one(&["rpcutil", "get_config_item", "item=plugin.choria.network.system.password"]);
    assert_eq!(hidden["data"]["value"], "*****");
    // A key that no table knows is not shown at all.
    let raw = one(&["rpcutil", "get_config_item", "item=plugin.demo.password"]);
    assert_eq!((&raw["statuscode"], &raw["data"]), (&json!(1), &json!({})));
    let item = one(&["rpcutil", "get_config_item", "item=identity"]);
    assert_eq!(item["data"]["value"], "web1.example.net");
    let unknown = one(&["rpcutil", "get_config_item", "item=no.such"]);
    assert_eq!((&unknown["statuscode"], &unknown["statusmsg"]), (&json!(1), &json!("Unknown key")));

    let info = one(&["choria_util", "info"]);
    assert_eq!(info["data"]["secure_protocol"], true);
    assert!(info["data"]["connected_server"].as_str().is_some_and(|s| s.starts_with("nats://127.0.0.1:")));
}

#[test]
fn answers_come_in_the_form_asked_for() {
    let Fleet { alice, network, .. } = &fleet();
    let fact =
        |flags: &[&str]| alice.run(&[&["rpc", "rpcutil", "get_fact", "fact=country"], flags].concat()).fine();

    let document = fact(&["--json"]).json();
    assert_eq!((&document["agent"], &document["action"]), (&json!("rpcutil"), &json!("get_fact")));
    assert_eq!(document["replies"].as_array().map(Vec::len), Some(4));
    assert_eq!(document["request_stats"]["ok"], 4);
    assert_eq!(document["request_stats"]["no_responses"], json!([]));
    assert_eq!(document["summaries"]["value"], json!({"mt": 2, "de": 2}));

    let lines = fact(&["--jsonl"]);
    let lines: Vec<Value> =
        lines.stdout.lines().map(|l| serde_json::from_str(l).expect("a document a line")).collect();
    let kinds: Vec<&str> = lines.iter().filter_map(|l| l["k"].as_str()).collect();
    let result = "result";
    assert_eq!(kinds, ["discovery", "discovery", result, result, result, result, "summaries", "stats"]);
    assert_eq!(lines[2]["pr"]["protocol"], "choria:reply:1");

    let table = fact(&["--table"]);
    assert_eq!(table.stdout.lines().filter(|l| l.contains(".example.net")).count(), 4, "{table:?}");
    table.says(&["Sender", "Fact", "Value"]);

    assert_eq!(fact(&["--senders"]).sorted(), ALL);
    let senders = fact(&["--senders", "--json"]).json();
    assert_eq!(senders.as_array().map(Vec::len), Some(4));

    fact(&["-v"]).says(&[
        "---- request stats ----",
        "Nodes: 4 / 4",
        "Pass / Fail: 4 / 0",
        "\"value\": \"de\"",
    ]);
    fact(&[]).says(&["Summary of Value:", "Fact: country", "Value: mt"]);

    let sorted = fact(&["--sort"]);
    let order: Vec<&str> =
        sorted.stdout.lines().filter(|l| l.contains(".example.net")).map(str::trim).collect();
    assert_eq!(order, ALL);
    let sorted = fact(&["--sort", "--json"]).json();
    let order = sorted["replies"].as_array().expect("replies").iter().map(|r| r["sender"].as_str());
    assert_eq!(order.collect::<Vec<_>>(), ALL.map(Some));

    for (mode, shown) in [("ok", 4), ("failed", 0), ("all", 4), ("none", 0)] {
        let ran = fact(&["--display", mode]).says(&["Finished processing 4 / 4"]);
        assert_eq!(ran.stdout.lines().filter(|l| l.ends_with(".example.net")).count(), shown, "{ran:?}");
    }

    let file = network.path("results.json");
    fact(&["--json", "-o", &file.to_string_lossy()]).silent();
    let saved = std::fs::read_to_string(&file).expect("results");
    assert_eq!(serde_json::from_str::<Value>(&saved).expect("JSON")["request_stats"]["responses"], 4);
}

#[test]
fn part_of_the_fleet_is_asked() {
    let Fleet { alice, .. } = &fleet();
    let asked = |flags: &[&str]| {
        let ran = alice.run(&[&["rpc", "rpcutil", "ping", "--senders"], flags].concat()).fine();
        ran.sorted().len()
    };
    for (flags, count) in [
        (&["--limit", "1"][..], 1),
        (&["--limit=50%"], 2),
        (&["--limit", "10%"], 1),
        (&["--limit", "75%"], 3),
        (&["--limit", "99"], 4),
        (&["--limit", "100%"], 4),
        (&["--limit", "2", "--limit-seed", "7"], 2),
        (&["--batch", "1", "--batch-sleep", "0.01"], 4),
        (&["--batch", "3", "--batch-sleep", "0.01"], 4),
        (&["--batch", "100"], 4),
    ] {
        assert_eq!(asked(flags), count, "{flags:?}");
    }
    alice.run(&["rpc", "rpcutil", "ping", "--limit", "0%"]).code(1).silent().complains(&["no targets left"]);
}

#[test]
fn nodes_come_from_lists() {
    let Fleet { alice, network, .. } = &fleet();
    let [db1, db2, web1, web2] = ALL;
    let senders = |words: &[&str]| alice.run(&[&["rpc", "rpcutil", "ping", "--senders"], words].concat());

    let text = network.file("nodes.txt", &format!("{db1}\n{web2}\n"));
    let yaml = network.file("nodes.yaml", &format!("- {db1}\n- {web2}\n"));
    let json = network.file("nodes.json", &json!([db1, web2]).to_string());
    for file in [&text, &yaml, &json] {
        assert_eq!(senders(&["--nodes", &file.to_string_lossy()]).fine().sorted(), [db1, web2]);
    }
    let file = format!("file={}", text.display());
    assert_eq!(senders(&["--dm", "flatfile", "--do", &file, "-I", "/^db/"]).fine().sorted(), [db1]);
    let facts = senders(&["--nodes", &text.to_string_lossy(), "-F", "country=mt"]);
    facts.code(1).silent().complains(&["cannot be filtered by -F, only by -I"]);
    // what no method reads would leave the whole fleet
    let list = text.to_string_lossy();
    for (words, why) in [
        (&["--do", &file] as &[&str], "the method mc reads no options"),
        (&["--dm", "broadcast", "--do", &file], "the method broadcast reads no options"),
        (
            &["--dm", "flatfile", "--do", &file, "--do", "fil=x"],
            "--do fil=x: the method flatfile reads file, format",
        ),
        (&["--dm", "flatfile", "--do", "nodes.txt"], "write it as KEY=VALUE"),
        (&["--nodes", &list, "--do", &file], "named already"),
    ] {
        senders(words).code(1).silent().complains(&[why]);
    }
    alice.run(&["ping", "--do", &file]).code(1).silent().complains(&["asks the nodes themselves"]);
    senders(&["--nodes", "/no/such/file"]).code(1).silent().complains(&["/no/such/file"]);

    let first = alice.run(&["rpc", "rpcutil", "ping", "-C", "mysql", "--json"]).fine();
    let again = alice.run_with_input(&["rpc", "rpcutil", "ping", "--senders"], &first.stdout).fine();
    assert_eq!(again.sorted(), [db1, db2]);
    let nothing = alice.run_with_input(&["rpc", "rpcutil", "ping", "--senders"], "").fine();
    assert_eq!(nothing.sorted(), ALL, "empty input is no list");

    let inventory = network.file(
        "inventory.yaml",
        &format!(
            "$schema: https://choria.io/schemas/choria/discovery/v1/inventory_file.json\n\
             groups:\n- name: web\n  filter:\n    classes: [apache]\n\
             nodes:\n\
             - {{name: {web1}, collectives: [mcollective], facts: {{country: mt}}, classes: [apache], agents: [rpcutil]}}\n\
             - {{name: {db1}, collectives: [mcollective], facts: {{country: mt}}, classes: [mysql], agents: [rpcutil]}}\n\
             - {{name: {db2}, collectives: [other], facts: {{country: de}}, classes: [mysql], agents: [rpcutil]}}\n"
        ),
    );
    let file = format!("file={}", inventory.display());
    let find = |words: &[&str]| {
        alice.run(&[&["find", "--dm", "inventory", "--do", &file], words].concat()).fine().sorted()
    };
    assert_eq!(find(&[]), [db1, web1]);
    assert_eq!(find(&["-C", "mysql"]), [db1]);
    assert_eq!(find(&["-I", "group:web"]), [web1]);
    assert_eq!(find(&["-S", "fact('country') == 'mt' && with('apache')"]), [web1]);
    assert_eq!(
        senders(&["--dm", "inventory", "--do", &file, "-F", "country=mt"]).fine().sorted(),
        [db1, web1]
    );
}

#[test]
fn facts_and_inventory_report() {
    let Fleet { alice, .. } = &fleet();
    let report = alice.run(&["facts", "country"]).fine();
    report.says(&[
        "Report for fact: country",
        "mt found 2 times",
        "de found 2 times",
        "Finished processing 4 / 4",
    ]);
    let document = alice.run(&["facts", "os.release.major", "--json"]).fine().json();
    assert_eq!(document["12"]["count"], 4);
    let missing = alice.run(&["facts", "nosuch", "-C", "apache"]).fine();
    missing.says(&["nil found 2 times"]);
    alice.run(&["facts", "cpus", "--table"]).fine().says(&["Fact", "Matches", "16"]);
    alice.run(&["facts", "country", "-n", "-F", "cpus=8"]).fine().says(&["    db1.example.net"]);

    let page = alice.run(&["inventory", "web1.example.net"]).fine();
    page.says(&[
        "Inventory for web1.example.net:",
        "Choria Server Statistics:",
        "Main Collective: mcollective",
        "rpcutil",
        "Tagged Classes:",
        "role::web",
        "\"country\": \"mt\"",
    ]);
    let page = alice.run(&["inventory", "web1.example.net", "--no-facts"]).fine();
    assert!(!page.stdout.contains("country"), "{page:?}");
    let collectives = alice.run(&["inventory", "--collectives"]).fine();
    collectives.says(&["Collective Report for 4 nodes", "mcollective"]);
    let nobody = alice.run(&["inventory", "nobody.example.net"]).code(1).silent();
    nobody.complains(&["nobody.example.net did not answer"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn replies_go_where_they_are_sent() {
    use crate::wire::{self, Wire};
    let Fleet { alice, network, .. } = &fleet();
    let ear = Wire::connect(network, alice).await;
    let subject = ear.reply_subject();
    let mut replies = ear.subscribe(&subject).await;
    ear.served().await;
    let words = ["rpc", "rpcutil", "ping", "-C", "apache", "--reply-to", &subject];
    let ran = tokio::task::block_in_place(|| alice.run(&words)).fine();
    let id = ran.stdout.trim();
    assert_eq!(id.len(), 32, "the request id: {ran:?}");
    let mut senders = vec![];
    for _ in 0..2 {
        let message = wire::next(&mut replies).await;
        senders.push(wire::reply(&message.payload).0);
    }
    senders.sort();
    assert_eq!(senders, ["web1.example.net", "web2.example.net"]);
}

/// What Ruby's `mco` runs for every discovery: one JSON array and nothing else.
#[test]
fn discovery_for_programs_is_json_alone() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1")]);
    let lines = "logfile = stdout\nloglevel = debug\nno_such_key = 1\n";
    let alice = network.caller_with("alice.mcollective", lines);
    let ran = alice.run(&["discover", "-j", "--silent", "--dm", "mc"]).fine();
    assert_eq!(ran.json(), serde_json::json!(["n1.example.net"]));
    let ran = alice.run(&["discover", "-j", "--silent", "-F", "country=nowhere"]).fine();
    assert_eq!(ran.json(), serde_json::json!([]));
    // Without --silent the log is on standard error.
    let ran = alice.run(&["discover", "-j"]).code(0);
    assert_eq!(ran.json(), serde_json::json!(["n1.example.net"]));
    ran.complains(&["no_such_key"]);
}

/// Replies that are spread over connections are all taken, and once.
#[test]
fn replies_may_come_on_several_connections() {
    let network = Network::start();
    let _nodes = network.nodes([node("n1"), node("n2")]);
    let alice = network.alice();
    for _ in 0..5 {
        let ran = alice.run(&["rpc", "rpcutil", "ping", "--workers", "3", "--json"]).code(0).json();
        assert_eq!(ran["request_stats"]["ok"], 2, "{ran}");
        assert_eq!(ran["request_stats"]["unexpected_responses"], serde_json::json!([]), "{ran}");
    }
    alice.run(&["ping", "--workers", "3"]).code(0).says(&["2 replies"]);
    alice.run(&["ping", "--workers", "0"]).code(1).complains(&["--workers 0 is not between 1 and 16"]);
}

/// The library below reads the system's CAs at each connect and gives up where it
/// cannot; see packaging/patches.
#[test]
fn the_systems_cas_are_nobodys_business() {
    let Fleet { alice, .. } = &fleet();
    let mut command = alice.command(&["ping", "--names"]);
    command.env("SSL_CERT_DIR", "/nonexistent").env("SSL_CERT_FILE", "/nonexistent/ca.pem");
    assert_eq!(run(command, None).fine().sorted(), ALL);
}
