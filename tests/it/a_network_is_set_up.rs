//! `choria setup`, on machines that have a package and nothing else.

use std::path::Path;

use crate::machine::{Machine, PERSON};
use crate::process::{Ran, until};

const BROKER: &str = "hub.example.org";
const NODE: &str = "n1.example.net";
const ROOT: &str = "/root";

/// A machine with what packages bring.
fn installed(name: &str, other: Option<&Machine>) -> Machine {
    let machine = Machine::start(name, BROKER, other);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let install = format!("make --no-print-directory install BINARY={}", env!("CARGO_BIN_EXE_choria"));
    machine.root(repository, &install).code(0);
    machine
}

fn root(machine: &Machine, line: &str) -> Ran {
    machine.root(Path::new(ROOT), line)
}

/// As [`PERSON`] says it by `sudo`.
fn sudo(machine: &Machine, line: &str) -> Ran {
    let who = format!("SUDO_USER={PERSON} SUDO_UID=$(id -u {PERSON}) SUDO_GID=$(id -g {PERSON})");
    machine.root(&machine.home(), &format!("env {who} {line}"))
}

/// Modes and owners of files.
fn stat(machine: &Machine, files: &str) -> String {
    root(machine, &format!("stat -c '%a %U %G %n' {files}")).code(0).stdout
}

#[test]
fn by_three_commands() {
    if !Machine::possible() {
        return;
    }
    let broker = installed(BROKER, None);
    let node = installed(NODE, Some(&broker));

    root(&broker, "mkdir -m 0700 /var/kept").code(0);
    // Who keeps much to themselves by their umask does not keep the broker from its files.
    sudo(&broker, "sh -c 'umask 077; exec choria setup broker --dry-run --ca /var/kept/ca'")
        .code(1)
        .silent()
        .complains(&[
            "the user choria, as whom the broker runs, gets no further than /var/kept",
            "chmod o+x /var/kept",
        ]);

    // Looked at first, nothing happens.
    let looked = sudo(&broker, &format!("choria setup broker --node {NODE} --dry-run")).fine();
    let looked = looked.says(&[
        "Nothing is changed",
        "make     a CA in /etc/choria/ca",
        "issue    a certificate of hub.example.org",
        "start    choria-broker",
        "n1.example.net.setup",
    ]);
    root(&broker, "test -e /etc/choria/ca -o -e /etc/choria/tls/key.pem").code(1);
    root(&broker, "systemctl is-active choria-broker").code(3);

    assert!(!looked.stdout.contains("does not answer"), "{looked:?}");

    let made = sudo(&broker, &format!("sh -c 'umask 077; exec choria setup broker --node {NODE}'")).fine();
    assert_eq!(
        stat(&broker, "/etc/choria/ca /etc/choria/ca/issued"),
        "755 root root /etc/choria/ca\n755 root root /etc/choria/ca/issued\n"
    );
    broker
        .person("choria tool ca list")
        .code(1)
        .complains(&["/etc/choria/ca is not yours to use, say it by sudo"]);
    assert!(!made.stdout.contains("does not answer"), "{made:?}");
    made.says(&[
        "made      a CA",
        "kept      /etc/choria/broker.conf",
        "started   choria-broker",
        "sudo choria setup node n1.example.net.setup",
    ]);
    assert_eq!(
        stat(&broker, "/etc/choria/ca/ca-key.pem /etc/choria/tls/key.pem"),
        "600 root root /etc/choria/ca/ca-key.pem\n640 root choria /etc/choria/tls/key.pem\n"
    );
    let file = broker.person(&format!("stat -c '%a %U' {NODE}.setup")).fine();
    assert_eq!(file.stdout, format!("600 {PERSON}\n"), "who carries it may read it, and nobody else");
    assert_eq!(root(&broker, "systemctl is-enabled choria-broker").stdout, "enabled\n");

    broker.carry(&format!("{NODE}.setup"), &node);
    let joined = sudo(&node, &format!("choria setup node {NODE}.setup")).fine();
    let joined = joined.says(&[
        "installed the certificate of n1.example.net",
        "wrote     /etc/choria/server.conf",
        "started   choria-server",
        "removed   n1.example.net.setup",
    ]);
    assert!(!joined.stdout.contains("does not answer"), "{joined:?}");
    node.person(&format!("test -e {NODE}.setup")).code(1);
    assert_eq!(
        stat(&node, "/etc/choria/tls/key.pem /etc/choria/tls/certificate.pem /etc/choria/server.conf"),
        "600 root root /etc/choria/tls/key.pem\n644 root root /etc/choria/tls/certificate.pem\n\
         640 root root /etc/choria/server.conf\n"
    );

    let operator = sudo(&broker, "choria setup operator").fine();
    operator.says(&[
        "wrote     /etc/choria/client.conf",
        "as newcomer",
        "installed the certificate of newcomer.mcollective",
        "choria ping",
    ]);
    let own = broker.person("stat -c '%a %U' .choria/key.pem").fine();
    assert_eq!(own.stdout, format!("600 {PERSON}\n"));

    let ping = until("the node to answer", || {
        let ping = broker.person("choria ping --expect 1");
        (ping.code == 0).then_some(ping)
    });
    ping.says(&[NODE]);
}

#[test]
fn again_and_beside_what_is_there() {
    if !Machine::possible() {
        return;
    }
    let hub = installed(BROKER, None);
    // What cannot be is refused before anything is done, in a sentence.
    for (line, reason) in [
        ("choria setup broker --node ../n1", "no name"),
        ("choria setup broker --node bob.mcollective", "the name of a caller"),
        ("choria setup broker --node a --node a", "a.setup is there already"),
        ("choria setup broker --name 'a b'", "no name"),
        (
            "choria setup node",
            "sudo choria setup broker --node hub.example.org; carry hub.example.org.setup here",
        ),
        ("choria setup node none.setup", "there is no file none.setup: the broker's machine makes it"),
        ("choria setup operator", "there is no CA in /etc/choria/ca"),
    ] {
        sudo(&hub, line).code(1).silent().complains(&[reason]);
    }
    hub.person("choria setup broker").code(1).complains(&["sudo choria setup broker"]);
    hub.person("choria setup operator").code(1).complains(&["sudo choria setup operator"]);
    root(&hub, "test -e /etc/choria/ca").code(1);

    // The broker is not root.
    root(&hub, "chmod 0600 /etc/choria/broker.conf").code(0);
    sudo(&hub, "choria setup broker").code(1).complains(&["broker.conf cannot be read by the user choria"]);
    root(&hub, "chmod 0640 /etc/choria/broker.conf").code(0);

    // Broker and node on one machine, an operator of another one.
    sudo(&hub, "choria setup broker --operator carol").fine().says(&["carol.setup"]);
    let again = sudo(&hub, "choria setup broker").fine();
    again.says(&[
        "kept      the CA in /etc/choria/ca",
        "kept      the certificate of hub.example.org",
        "started   choria-broker",
    ]);
    sudo(&hub, "choria setup broker --operator carol").code(1).complains(&["carol.setup is there already"]);
    // What the certificate lacks that is there is no name of this broker yet, and the machine needs no file.
    for name in ["other.example.org", "192.0.2.7"] {
        sudo(&hub, &format!("choria setup broker --alt {name}")).code(1).complains(&[
            &format!("the certificate in /etc/choria/tls is not valid for {name}"),
            "--name hub.example.org",
        ]);
    }
    sudo(&hub, "choria setup broker --alt hub.example.org").fine();
    sudo(&hub, "choria setup broker --node hub.example.org")
        .code(1)
        .complains(&["is this machine, which becomes a node beside its broker by: sudo choria setup node"]);
    sudo(&hub, "choria setup node")
        .fine()
        .says(&["a certificate of hub.example.org, in /etc/choria/tls/node"]);
    sudo(&hub, "choria setup node").fine().says(&["kept      the certificate of hub.example.org"]);
    sudo(&hub, "choria setup node gone.setup").code(1).complains(&["there is no file gone.setup"]);
    sudo(&hub, "choria setup node --name other").code(1).complains(&["is the node hub.example.org already"]);
    let [config, key] = ["/etc/choria/server.conf", "/etc/choria/tls/node/key.pem"];
    assert_eq!(
        stat(&hub, &format!("{config} {key}")),
        format!("640 root root {config}\n600 root root {key}\n")
    );

    // Somebody with a configuration of their own keeps it.
    hub.person("echo 'plugin.choria.middleware_hosts = elsewhere:4222' >.choriarc").code(0);
    hub.person("choria setup operator carol.setup")
        .code(1)
        .complains(&[".choriarc is yours and stays", "hub.example.org:4222"]);
    hub.person("rm .choriarc").code(0);
    hub.root(&hub.home(), "choria setup operator carol.setup")
        .code(1)
        .silent()
        .complains(&["nobody should ask as root"]);
    sudo(&hub, "choria setup operator carol.setup").code(0).says(&["wrote     /home/newcomer/.choriarc"]);
    hub.person("test -e carol.setup").code(1);
    until("the node to answer", || (hub.person("choria ping --expect 1").code == 0).then_some(()));
    // Who is refused by way of sudo is told of the file.
    sudo(&hub, "choria setup broker --operator dora").fine();
    sudo(&hub, "choria setup operator dora.setup").code(1).complains(&["dora.setup is for dora.mcollective"]);
    sudo(&hub, "choria setup operator").code(1).complains(&["newcomer is an operator"]);
    root(&hub, "choria setup operator").code(1).complains(&["--user NAME"]);
    root(&hub, "choria setup operator --user root").code(1).complains(&["the name of a person", "useradd"]);
    root(&hub, "choria setup operator --user nobody-at-all")
        .code(1)
        .complains(&["knows nobody called nobody-at-all"]);

    // A CA that somebody left in the way is not the machine's.
    hub.person("choria tool ca init").code(0);
    hub.root(&hub.home(), "choria tool ca list").code(0).says(&["hub.example.org"]);
    hub.root(&hub.home(), "rm -r ca").code(0);

    // What was changed stays; it has to name the broker.
    root(&hub, &format!("echo loglevel = debug >>{config}")).code(0);
    sudo(&hub, "choria setup node")
        .fine()
        .says(&["kept      /etc/choria/server.conf, which you have changed"]);
    root(&hub, &format!("sed -i 's/hub.example.org:/x:/' {config}")).code(0);
    sudo(&hub, "choria setup node")
        .code(1)
        .complains(&["/etc/choria/server.conf has been changed", "hub.example.org:4222"]);
    root(&hub, &format!("grep -q 'x:4222' {config} && grep -q debug {config}")).code(0);

    // So it does where it names the broker and no keys, and nothing was written before.
    let bare = "identity = hub.example.org\\nplugin.choria.middleware_hosts = hub.example.org:4222\\n";
    root(&hub, &format!("printf '{bare}' >{config}")).code(0);
    sudo(&hub, "choria setup node").code(1).complains(&[
        "/etc/choria/server.conf stays as it is and leads to no keys",
        "plugin.security.file.key = /etc/choria/tls/node/key.pem",
    ]);

    // Nor do keys of somebody else fit, nor a configuration that a token would have thrown away.
    let keys = |certificate: &str, more: &str| {
        let [key, ca] = ["key", "ca"].map(|file| format!("/etc/choria/tls/node/{file}.pem"));
        let text = format!(
            "{bare}plugin.security.provider = file\\nplugin.security.file.certificate = {certificate}\\n\
             plugin.security.file.key = {key}\\nplugin.security.file.ca = {ca}\\n{more}"
        );
        root(&hub, &format!("printf '{text}' >{config}")).code(0);
    };
    root(&hub, "choria tool ca issue --dir /etc/choria/ca --out /etc/choria/other --node other.example.org")
        .code(0);
    keys("/etc/choria/other/other.example.org.pem", "");
    sudo(&hub, "choria setup node").code(1).complains(&[
        "leads to /etc/choria/other/other.example.org.pem, a certificate of \"other.example.org\", not hub.example.org",
        "plugin.security.file.certificate = /etc/choria/tls/node/certificate.pem",
    ]);
    keys("/etc/choria/tls/node/certificate.pem", "");
    sudo(&hub, "choria setup node").fine();
    let token = "choria tool ca provisioning-token --dir /etc/choria/ca --urls hub.example.org:4222 --out";
    root(&hub, &format!("{token} /etc/choria/provisioning.jwt")).code(0);
    sudo(&hub, "choria setup node")
        .code(1)
        .complains(&["have it say plugin.choria.server.provision = false"]);
    keys("/etc/choria/tls/node/certificate.pem", "plugin.choria.server.provision = false\\n");
    sudo(&hub, "choria setup node").fine();
    root(&hub, "rm /etc/choria/provisioning.jwt").code(0);

    // What the CA has taken back does not stay; what is to take its place does, once.
    root(&hub, &format!("rm {config}; choria tool ca revoke hub.example.org"))
        .code(0)
        .says(&["A broker's is among them"]);
    sudo(&hub, "choria setup broker").fine().says(&[
        "moved     the certificate of hub.example.org before, and its key, to /etc/choria/tls/*.old",
        "issued    a certificate of hub.example.org, in /etc/choria/tls",
        "reloaded  choria-broker",
    ]);
    let renewed = sudo(&hub, "choria setup node").fine();
    renewed.says(&["issued    a certificate of hub.example.org, in /etc/choria/tls/node", "reloaded"]);
    sudo(&hub, "choria setup node").fine().says(&["kept      the certificate of hub.example.org"]);
    until("the node to be back", || (hub.person("choria ping --expect 1").code == 0).then_some(()));
    root(&hub, "choria tool ca revoke carol").code(0);
    until("carol to be refused", || (hub.person("choria ping").code != 0).then_some(()));
    sudo(&hub, "choria setup broker --operator carol").fine();
    hub.person("cp carol.setup again.setup").code(0);
    hub.person("choria setup operator carol.setup")
        .fine()
        .says(&["moved     the certificate of carol.mcollective"]);
    hub.person("choria setup operator again.setup").fine().says(&["kept", "which you have"]);
    until("carol to be back", || (hub.person("choria ping --expect 1").code == 0).then_some(()));

    // A login may have a dot, and is a caller like any other.
    sudo(&hub, "choria setup broker --operator jane.doe").fine();
    root(&hub, "choria tool ca list").code(0).says(&["jane.doe.mcollective"]);
    root(&hub, "choria tool ca revoke jane.doe").code(0).says(&["jane.doe.mcollective"]);
    // and no node is called as one.
    root(&hub, "choria tool ca issue --out /tmp --node bob.mcollective")
        .code(1)
        .complains(&["a name of callers"]);
    root(&hub, "choria tool ca issue --out /etc/choria --broker bob.mcollective")
        .code(1)
        .silent()
        .complains(&["bob.mcollective is a name of callers"]);
    root(&hub, "USER=jane.doe choria plugin new --dir /etc/choria/dotted dotted --language shell").code(0);
    root(&hub, "grep -q choria=jane.doe.mcollective /etc/choria/dotted/policies/dotted.policy").code(0);

    // Who is no longer to ask is cut at once: the broker follows the list of its CA.
    root(&hub, "choria tool ca revoke --dir /etc/choria/ca carol").code(0);
    until("carol to be refused", || (hub.person("choria ping").code != 0).then_some(()));

    // What root may read the broker may not, and a check says so.
    let check = "choria broker run --check-config --config /etc/choria/broker.conf";
    assert_eq!(root(&hub, check).fine().stderr, "");
    root(&hub, "chmod 0600 /etc/choria/broker.conf").code(0);
    root(&hub, check).code(0).complains(&["broker.conf cannot be read by the user choria"]);
    root(&hub, "chmod 0640 /etc/choria/broker.conf").code(0);

    // A CA may be anywhere; who is told of it is told where.
    root(&hub, "mv /etc/choria/ca /etc/choria/authority && rm /etc/choria/tls/crl.pem").code(0);
    sudo(&hub, "choria setup broker").code(1).complains(&["say with --ca where it is"]);
    sudo(&hub, "choria setup broker --ca /etc/choria/authority").fine().says(&[
        "sudo choria setup broker --ca /etc/choria/authority --node NAME",
        "sudo choria setup operator --ca /etc/choria/authority",
    ]);
    sudo(&hub, "choria setup node").code(1);
    sudo(&hub, "choria setup node --ca /etc/choria/authority").fine().says(&["kept      the certificate"]);
    sudo(&hub, "choria setup operator --ca /etc/choria/authority")
        .code(1)
        .complains(&["newcomer is an operator"]);
    sudo(&hub, "choria setup operator --ca /etc/choria/none")
        .code(1)
        .complains(&["--ca /etc/choria/none: there is no CA there"]);
}

#[test]
fn by_a_key_that_never_leaves_its_machine() {
    if !Machine::possible() {
        return;
    }
    let hub = installed(BROKER, None);
    let node = installed(NODE, Some(&hub));
    sudo(&hub, "choria setup broker").fine();
    let asked = sudo(&node, "choria setup node --request").fine();
    asked.says(&["which stays here", "--request n1.example.net.request"]);
    node.carry(&format!("{NODE}.request"), &hub);
    let sign = |name: &str| format!("choria setup broker --node {name} --request {NODE}.request");
    // Who signs says for whom.
    let other = sudo(&hub, &sign("n2.example.net")).code(1);
    other.complains(&["is for \"n1.example.net\", not \"n2.example.net\""]);
    sudo(&hub, &sign(NODE).replace("--node", "--operator")).code(1).complains(&["one --node NAME"]);
    sudo(&hub, &sign(NODE)).fine().says(&["n1.example.net.setup for node n1.example.net, by its own key"]);
    hub.person(&format!("grep -c 'PRIVATE KEY' {NODE}.setup")).code(1);
    hub.carry(&format!("{NODE}.setup"), &node);
    let joined = sudo(&node, &format!("choria setup node {NODE}.setup")).fine();
    joined.says(&["kept      /etc/choria/tls/key.pem, which was made here", "started   choria-server"]);
    assert_eq!(stat(&node, "/etc/choria/tls/key.pem"), "600 root root /etc/choria/tls/key.pem\n");
    sudo(&hub, "choria setup operator").fine();
    until("the node to answer", || (hub.person("choria ping --expect 1").code == 0).then_some(()));
    // The CA knows whom it signed.
    root(&hub, "choria tool ca list --dir /etc/choria/ca").fine().says(&[NODE]);
    sudo(&hub, &format!("choria setup broker --node {NODE}")).code(1).complains(&["there already"]);
    hub.person(&format!("rm {NODE}.setup")).fine();
    let again = sudo(&hub, &format!("choria setup broker --node {NODE}")).code(1);
    again.complains(&["choria tool ca revoke"]);
}
