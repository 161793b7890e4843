//! A setting that guards something and cannot be read ends the start, whoever
//! starts, with one sentence.

use crate::network::{Network, node};
use crate::process::{program, run};

#[test]
fn a_node_does_not_start_unaudited_or_unauthorized() {
    let network = Network::start();
    for (line, says) in [
        ("rpcaudit = on", "rpcaudit: \"on\" is not a boolean"),
        ("rpcaudit =", "rpcaudit: has no value"),
        ("plugin.rpcaudit.mandatory = on", "plugin.rpcaudit.mandatory: \"on\" is not a boolean"),
        ("rpcauthorization = treu", "rpcauthorization: \"treu\" is not a boolean"),
        (
            "plugin.choria.security.certname_whitelist = [",
            "certname_whitelist: \"[\" is not a regular expression",
        ),
        ("plugin.actionpolicy.allow_unconfigured = never", "allow_unconfigured: \"never\" is not a boolean"),
        ("plugin.rpcaudit.logfile.mode = rw", "\"rw\" is not a file mode"),
    ] {
        let mut node = network.node(node("mute").lines(&format!("{line}\n")));
        assert!(!node.daemon().ended().success(), "{line}");
        let told = node.log().says(&["choria: ", says]);
        assert!(!told.contains('\n'));
        assert!(node.log().matching(0, &["connected"]).is_empty());
    }
    let config = network.file(
        "bare/server.conf",
        &format!("identity = n1.example.net\nrpcaudit = true\n{}", network.security("n1.example.net")),
    );
    network.certify(choria::core::pki::Kind::Node, "n1.example.net");
    let mut command = program(&network.path(""));
    command.arg("server").arg("run").arg("--config").arg(config);
    run(command, None)
        .code(1)
        .complains(&["server.conf:2: rpcaudit is on and plugin.rpcaudit.logfile names no file"]);
}

/// What the files of agents hold is a mistake, too, where nobody else can mean it.
#[test]
fn keys_of_agents_and_a_log_that_cannot_be_written_are_told() {
    let network = Network::start();
    let audit = "rpcaudit = true\nplugin.rpcaudit.logfile = /no/such/dir/audit.log\n";
    let keys = "plugin.package.provder = apt\nplugin.shell.activate_agnet = true\nplugin.puppet.splay = si\n\
                plugin.packages.provider = theirs\n";
    let node = network.node(node("n1").lines(&format!("{audit}{keys}")));
    node.connected();
    for told in [
        "unknown key plugin.package.provder, did you mean plugin.package.provider?",
        "unknown key plugin.shell.activate_agnet, did you mean plugin.shell.activate_agent?",
        "plugin.puppet.splay: \"si\" is not a boolean",
        "plugin.rpcaudit.logfile /no/such/dir/audit.log cannot be written, what runs is not audited: /no/such/dir: No such",
    ] {
        node.log().says(&["warn", told]);
    }
    assert_eq!(node.log().matching(0, &["plugin.packages."]), [] as [&str; 0]);

    let mut strict = network.node(node_of(&format!("{audit}plugin.rpcaudit.mandatory = true\n")));
    assert!(!strict.daemon().ended().success());
    strict.log().says(&["choria: ", "/no/such/dir/audit.log cannot be written, nothing would run"]);
}

fn node_of(lines: &str) -> crate::network::NodeSetup {
    node("n2").lines(lines)
}

/// A key is no file, whatever lies where the daemon was started.
#[test]
fn a_key_in_hex_is_not_looked_for_among_files() {
    let network = Network::without_broker();
    network.certify(choria::core::pki::Kind::Broker, "broker.example.net");
    let key = "0123456789abcdef".repeat(4);
    std::fs::create_dir(network.path(&key)).expect("a directory");
    let text = format!(
        "identity = broker.example.net\nplugin.choria.broker_network = true\n\
         plugin.choria.network.provisioning.signer_cert = {key}\n\
         plugin.choria.network.provisioning.client_password = secret\n{}",
        network.security("broker.example.net")
    );
    let config = network.file("broker2/broker.conf", &text);
    let mut command = program(&network.path(""));
    command.current_dir(network.path("")).args(["broker", "run", "--check-config", "--config"]).arg(config);
    run(command, None).code(0).says(&["is good"]);
}

#[test]
fn a_broker_and_a_client_do_not_start_either() {
    let network = Network::start();
    let caller = network.caller_with("carol.mcollective", "plugin.choria.require_client_filter = si\n");
    let told = caller.run(&["ping"]).code(1).silent();
    told.complains(&["carol.mcollective.conf:", "require_client_filter: \"si\" is not a boolean"]);
    for (line, says) in [
        (
            "plugin.choria.network.client_hosts = 10.0.0.0/33",
            "client_hosts: \"10.0.0.0/33\" is neither an address",
        ),
        (
            "plugin.choria.network.deny_server_connections = x",
            "deny_server_connections: \"x\" is not a boolean",
        ),
        ("plugin.choria.network.x509_permissions = byname", "x509_permissions: \"byname\" is not one of"),
        ("plugin.choria.network.client_certnames = (", "client_certnames: \"(\" is not a regular expression"),
    ] {
        let text = format!("identity = broker.example.net\nplugin.choria.broker_network = true\n{line}\n");
        let config = network.file("broker2/broker.conf", &text);
        let mut command = program(&network.path(""));
        command.arg("broker").arg("run").arg("--config").arg(config);
        run(command, None).code(1).complains(&["broker.conf:3: ", says]);
    }
}
