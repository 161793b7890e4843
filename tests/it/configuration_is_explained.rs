//! Settings: where they come from, which are mistakes, and which are refused.

use std::process::Command;

use choria::core::pki::Kind;

use crate::network::{Network, node};
use crate::process::{Ran, program, run};

/// Runs a daemon that is to refuse to start.
fn refused(network: &Network, role: &str, lines: &str, change: impl FnOnce(&mut Command)) -> Ran {
    let (kind, name) = match role {
        "broker" => (Kind::Broker, "b1.example.net"),
        _ => (Kind::Node, "n1.example.net"),
    };
    network.certify(kind, name);
    let text = format!(
        "identity = {name}\nplugin.choria.middleware_hosts = 127.0.0.1:1\nplugin.choria.broker_network = 1\n\
         plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = 0\n{}{lines}",
        network.security(name)
    );
    let config = network.file("daemon.conf", &text);
    let mut command = program(&network.path(""));
    command.args([role, "run", "--config"]).arg(config);
    change(&mut command);
    run(command, None).code(1)
}

#[test]
fn what_is_configured_and_where() {
    let network = Network::without_broker();
    let lines = "loglevel = warn\nplugin.choria.midleware_hosts = b1:4222\nplugin.nats.pass = hush\n\
                 plugin.choria.use_srv = perhaps\nplugin.mine.password = hush\nplugin.mine.colour = green\n";
    let alice = network.caller_with("alice.mcollective", lines);
    let file = alice.config.display().to_string();
    let text = std::fs::read_to_string(&alice.config).expect("a file");
    let line = |key: &str| 1 + text.lines().position(|l| l.starts_with(key)).expect("a line");

    let mut command = alice.command(&["tool", "config"]);
    command.env("MCOLLECTIVE_NATS_USERNAME", "someone");
    let ran = run(command, None).code(0);
    assert!(!ran.stdout.contains("hush") && !ran.stderr.contains("hush"), "{ran:?}");
    let ran = ran.says(&[
        "Read as client configuration from:",
        &file,
        &format!("loglevel = warn    ({file}:{})", line("loglevel")),
        "plugin.nats.pass = (hidden)",
        "plugin.mine.password = (hidden)",
        "plugin.mine.colour = green",
        "plugin.nats.user = someone    (env MCOLLECTIVE_NATS_USERNAME)",
    ]);
    let unknown = format!(
        "{file}:{}: unknown key plugin.choria.midleware_hosts, did you mean plugin.choria.middleware_hosts?",
        line("plugin.choria.midleware")
    );
    let ran = ran.complains(&[&unknown, &format!("{file}:{}", line("plugin.choria.use_srv")), "perhaps"]);
    assert!(!ran.stdout.contains("plugin.choria.use_srv"), "an ignored value sets nothing: {ran:?}");
    assert!(!ran.stdout.contains("registerinterval"), "defaults are not listed: {ran:?}");

    alice.run(&["tool", "config", "--list"]).code(0).says(&["registerinterval = 300    (default)"]);
    let one = alice.run(&["tool", "config", "discovery_timeout"]).code(0);
    one.says(&["discovery_timeout = 2    (default)", "seconds to wait for discovery", "type: Int"]);
    let rows = alice.run(&["tool", "config", "^loglevel$", "--json"]).code(0).json();
    assert_eq!((&rows[0]["key"], &rows[0]["value"]), (&"loglevel".into(), &"warn".into()));
    // so are keys that agents and adapters have, which stand in no table
    let agents = alice.run(&["tool", "config", "plugin.package.provider"]).code(0);
    agents.says(&["plugin.package.provider is not set", "apt, yum"]);
    let of_one = alice.run(&["tool", "config", "plugin.shell.activate_agent"]).code(0);
    of_one.says(&["plugin.shell.activate_agent is not set", "whether the agent is hosted"]);
    alice.run(&["tool", "config", "adapter"]).code(0).says(&["plugin.choria.adapter.NAME."]);
    // Commands say the same on their way, on standard error.
    alice.run(&["ping", "--no-such-flag"]).code(1);
}

#[test]
fn files_beside_it_and_toml_count_too() {
    let network = Network::without_broker();
    network.file("plugin.d/choria.conf", "srv_domain = example.net\n");
    let alice = network.alice();
    let row = alice.run(&["tool", "config", "srv_domain"]).code(0);
    row.says(&["plugin.choria.srv_domain = example.net", "plugin.d/choria.conf:1"]);

    let toml =
        network.file("alice.toml", "identity = \"console.example.net\"\n[plugin.choria]\nuse_srv = false\n");
    let mut command = program(&network.path(""));
    command.args(["tool", "config", "use_srv", "--config"]).arg(toml).env("USER", "tester");
    run(command, None).code(0).says(&["plugin.choria.use_srv = false"]);
}

#[test]
fn daemons_refuse_to_run_without_security() {
    let network = Network::without_broker();
    for role in ["server", "broker"] {
        for name in ["INSECURE_YES_REALLY", "INSECURE_DISABLE_TLS"] {
            let ran = refused(&network, role, "", |command| {
                command.env(name, "true");
            });
            ran.complains(&[name, "is refused", "requests nobody has signed"]);
        }
        let ran = refused(&network, role, "plugin.security.server_anon_tls = true\n", |_| {});
        ran.complains(&["plugin.security.server_anon_tls is refused", "requests nobody has signed"]);
        let ran = refused(&network, role, "plugin.security.provider = pkcs11\n", |_| {});
        ran.complains(&["\"pkcs11\" is not supported", "puppet or file"]);
        let ran = refused(&network, role, "plugin.security.provider = nonesuch\n", |_| {});
        ran.complains(&["plugin.security.provider", "nonesuch"]);
    }
    let alice = network.alice();
    let mut command = alice.command(&["ping"]);
    command.env("INSECURE_YES_REALLY", "true");
    run(command, None).code(1).silent().complains(&["INSECURE_YES_REALLY is refused"]);
}

#[test]
fn trust_that_cannot_be_read_is_no_trust() {
    let network = Network::without_broker();
    let path = |name: &str| network.path(name).display().to_string();
    network.file("empty.pem", "");
    network.file("garbage.pem", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    for role in ["server", "broker"] {
        for (lines, texts) in [
            (format!("plugin.security.crl = {}\n", path("none.pem")), ["revocation list", "none.pem"]),
            (
                format!("plugin.security.crl = {}\n", path("empty.pem")),
                ["empty.pem", "holds no revocation list"],
            ),
            (format!("plugin.security.crl = {}\n", path("garbage.pem")), ["revocation list", "garbage.pem"]),
            (format!("plugin.security.file.ca = {}\n", path("empty.pem")), ["CA file", "empty.pem"]),
            (format!("plugin.security.file.ca = {}\n", path("none.pem")), ["CA file", "none.pem"]),
            (format!("plugin.security.file.key = {}\n", path("empty.pem")), ["private key", "empty.pem"]),
            (
                format!("plugin.security.file.certificate = {}\n", path("none.pem")),
                ["certificate", "none.pem"],
            ),
        ] {
            let ran = refused(&network, role, &lines, |_| {});
            let ran = ran.complains(&texts);
            assert!(ran.stderr.starts_with("choria: ") || ran.stderr.contains("\nchoria: "), "{ran:?}");
        }
    }
    // The list beside the CA counts without being named.
    std::fs::write(network.ca.crl_file(), "").expect("a list");
    refused(&network, "server", "", |_| {}).complains(&["crl.pem", "holds no revocation list"]);
}

#[test]
fn daemons_name_what_they_cannot_do() {
    let network = Network::without_broker();
    for (role, lines, texts) in [
        ("broker", "plugin.choria.broker_network = 0\n", "plugin.choria.broker_network = true"),
        (
            "broker",
            "plugin.choria.broker_federation = 1\nplugin.choria.federation.cluster = a.b\n",
            "plugin.choria.federation.cluster 'a.b' is no name",
        ),
        ("broker", "plugin.choria.network.leafnode_port = 7422\n", "plugin.choria.network.leafnode_port"),
        (
            "broker",
            "plugin.choria.network.listen_address = here\n",
            "'here' is neither an address nor a host name",
        ),
        (
            "broker",
            "plugin.choria.network.listen_address = 192.0.2.1\n",
            "'192.0.2.1' is no address of this machine",
        ),
        (
            "broker",
            "plugin.choria.stats_port = 1\nplugin.choria.stats_address = 192.0.2.1\n",
            "stats_address",
        ),
        ("broker", "plugin.choria.network.client_port = 99999\n", "99999 is no port"),
        ("broker", "plugin.choria.network.tls_timeout = 10m\n", "plugin.choria.network.tls_timeout"),
        (
            "broker",
            "plugin.choria.adapters = a\nplugin.choria.adapter.a.type = http\nplugin.choria.adapter.a.ingest.topic = \
             x\nplugin.choria.adapter.a.http.url = http://x.example.net/\n",
            "neither https nor on this machine",
        ),
        ("server", "registration = gossip\n", "unknown registration plugin 'gossip'"),
        ("server", "registration = file_content\n", "plugin.choria.registration.file_content.data"),
        ("server", "plugin.choria.middleware_hosts = b1\n", "'b1' has no port"),
        ("server", "identity = n1 *\n", "identity"),
        ("server", "logfile = /no/such/dir/log\n", "/no/such/dir/log"),
    ] {
        refused(&network, role, lines, |_| {}).complains(&[texts]);
    }
}

#[test]
fn a_bad_reload_keeps_what_worked() {
    use rustix::process::Signal;
    let mut network = Network::start();
    let nodes = network.nodes([node("n1")]);
    let file = network.ca.crl_file();
    let good = std::fs::read(&file).expect("a list");
    std::fs::write(&file, "broken").expect("a list");
    nodes[0].log().signal(Signal::HUP);
    nodes[0].log().says(&["error", "keeping the previous keys and trust", "crl.pem"]);
    network.broker().signal(Signal::HUP);
    network.broker().says(&["error", "keeping the previous keys and trust", "crl.pem"]);
    std::fs::write(&file, good).expect("a list");
    network.alice().run(&["rpc", "rpcutil", "ping"]).fine();
}

/// A node that leaves out half of what its file says tells so.
#[test]
fn settings_for_what_is_not_there_are_named_at_the_start() {
    let network = Network::start();
    let node =
        network.node(node("n1").lines("direct_addressing = 0\nplugin.choria.executor.enabled = true\n"));
    let told = node.log().says(&["warning", "server.conf: this version does not act on "]);
    for key in ["direct_addressing (line ", "executor.enabled (line "] {
        assert!(told.contains(key), "{key} in {told}");
    }
    node.connected();
    let caller = network.caller_with(
        "carol.mcollective",
        "plugin.choria.security.request_signer.url = https://signer.example.net\nplugin.choria.use_srv_records = 0\n",
    );
    let ran = caller.run(&["ping"]).code(0);
    ran.complains(&["this version does not act on plugin.choria.security.request_signer.url (line "]);
    let shown = caller.run(&["tool", "config", "request_signer.url|use_srv$"]).code(0);
    shown.says(&["not acted on by this version", "plugin.choria.use_srv = false", "carol.mcollective.conf:"]);
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/man/choria.conf.5")).expect("a page");
    let (_, row) = page.split_once(".B plugin.choria.executor.enabled\n").expect("a row");
    assert!(row.lines().next().is_some_and(|line| line.contains("Not acted on by this version")));
}
