//! The agents that manage a machine, on machines of their own: packages are really
//! installed, services really started.

use std::path::Path;

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::network::{Caller, Network, Node, node};
use crate::process::{Ran, until};

const N1: &str = "n1.example.net";

/// The unit the package brings, with the configuration of a test.
const UNIT: &str = r#"
sed "s#^ExecStart=.*#ExecStart=$CHORIA server run --config=$CONFIG#" "$PACKAGED" \
    >/etc/systemd/system/choria-server.service
systemctl daemon-reload
systemctl start choria-server
"#;

struct Managed {
    network: Network,
    node: Node,
    machine: Machine,
    alice: Caller,
}

impl Managed {
    /// A node whose daemon is a service of a machine of its own.
    fn start(lines: &str) -> Managed {
        let network = Network::start();
        let node = network.node_elsewhere(node("n1").lines(lines));
        let machine = Machine::beside_us("n1", network.directory());
        let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/choria-server.service");
        let unit = UNIT
            .replace("$CHORIA", env!("CARGO_BIN_EXE_choria"))
            .replace("$CONFIG", &node.config.display().to_string())
            .replace("$PACKAGED", &packaged.display().to_string());
        machine.root(Path::new("/"), &unit).code(0);
        network.answered_by(&[N1]);
        let alice = network.alice();
        Managed { network, node, machine, alice }
    }

    fn shell(&self, line: &str) -> Ran {
        self.machine.root(Path::new("/"), line)
    }

    #[track_caller]
    fn good(&self, words: &[&str]) -> Value {
        self.alice.good(N1, words)
    }

    #[track_caller]
    fn bad(&self, code: i64, words: &[&str]) -> String {
        self.alice.bad(N1, code, words)
    }
}

/// A repository of Debian packages: two versions of one with a file people change, and one
/// that starts the node's daemon again while it is installed.
const REPOSITORY: &str = r#"
set -e
mkdir -p /var/repo
cd /var/repo
pack() {
    name=$1 version=$2
    mkdir -p "$name-$version/DEBIAN" "$name-$version/etc"
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@example.net>\nDescription: for a test\n' \
        "$name" "$version" >"$name-$version/DEBIAN/control"
    echo "version $version" >"$name-$version/etc/$name.conf"
    echo "/etc/$name.conf" >"$name-$version/DEBIAN/conffiles"
}
build() {
    dpkg-deb --root-owner-group --build "$1" >/dev/null
    {
        cat "$1/DEBIAN/control"
        printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$1" "$(stat -c %s "$1.deb")" \
            "$(sha256sum "$1.deb" | cut -d' ' -f1)"
    } >>Packages.new
}
pack hello 1:1.0-1; pack hello 1:1.1-1; pack again 1
printf '#!/bin/sh\nset -e\nsystemctl restart choria-server\nsleep 1\ntouch /var/was-there\n' >again-1/DEBIAN/postinst
chmod 0755 again-1/DEBIAN/postinst
for package in hello-1:1.0-1 again-1; do build "$package"; done
mv Packages.new Packages
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d
echo 'deb [trusted=yes] file:/var/repo ./' >/etc/apt/sources.list
"#;

#[test]
fn packages_come_change_and_go_by_apt() {
    if !Machine::possible() {
        return;
    }
    let managed = Managed::start("");
    managed.shell(REPOSITORY).code(0);
    let refreshed = managed.good(&["package", "refresh"]);
    assert_eq!(refreshed["exitcode"], 0, "{refreshed:#}");
    let status = managed.good(&["package", "status", "package=hello"]);
    assert_eq!((&status["ensure"], &status["provider"]), (&json!("purged"), &json!("apt")));
    assert!(status.get("release").is_some_and(Value::is_null), "every output is there: {status:#}");
    assert_eq!(
        managed.bad(5, &["package", "update", "package=hello"]),
        "Package is not present on the system"
    );
    let before = managed.good(&["package", "count"])["output"].as_str().unwrap().parse::<u64>().unwrap();

    let installed = managed.good(&["package", "install", "package=hello"]);
    assert_eq!(installed["ensure"], "1:1.0-1", "{installed:#}");
    assert_eq!(
        (&installed["version"], &installed["epoch"], &installed["arch"]),
        (&json!("1.0"), &json!("1"), &json!("all"))
    );
    assert!(installed["output"].as_str().unwrap().contains("Setting up hello"));
    assert_eq!(managed.bad(5, &["package", "install", "package=hello"]), "Package is already installed");
    let after = managed.good(&["package", "count"])["output"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(after, before + 1);
    let md5 = managed.shell("dpkg --list | grep ^ii | head -c -1 | md5sum | cut -d' ' -f1").code(0).stdout;
    assert_eq!(managed.good(&["package", "md5"])["output"], md5.trim());

    // A newer version, a file somebody changed, and a hand that holds it back.
    managed
        .shell("cd /var/repo && echo changed >>/etc/hello.conf && sed -n '/^build()/,$!d;p' /dev/null")
        .code(0);
    managed.shell(NEWER).code(0);
    let updates = managed.good(&["package", "apt_update"]);
    assert_eq!(updates["outdated_packages"][0]["package"], "hello", "{updates:#}");
    assert_eq!(updates["outdated_packages"][0]["version"], "1:1.1-1");
    managed.shell("apt-mark hold hello").code(0);
    let held = managed.bad(5, &["package", "update", "package=hello"]);
    assert!(held.contains("Held packages were changed"), "{held}");
    managed.shell("apt-mark unhold hello").code(0);
    assert_eq!(managed.good(&["package", "update", "package=hello"])["ensure"], "1:1.1-1");
    managed.shell("grep changed /etc/hello.conf").code(0);
    let back = managed.good(&["package", "install", "package=hello", "version=1:1.0-1"]);
    assert_eq!(back["ensure"], "1:1.0-1");
    let found = managed.good(&["package", "search", "package=hell"]);
    assert_eq!(found["available_packages"], json!(["hello"]));

    assert_eq!(managed.good(&["package", "uninstall", "package=hello"])["ensure"], "absent");
    managed.shell("test -e /etc/hello.conf").code(0);
    assert_eq!(managed.good(&["package", "purge", "package=hello"])["ensure"], "purged");
    managed.shell("test ! -e /etc/hello.conf").code(0);
    assert_eq!(
        managed.bad(5, &["package", "purge", "package=hello"]),
        "Package is not present on the system"
    );
    let missing = managed.bad(5, &["package", "install", "package=nosuch"]);
    assert!(missing.contains("no version of nosuch is available"), "{missing}");

    what_restarts_the_daemon_is_finished(&managed);
}

const NEWER: &str = r#"
set -e
echo changed >>/etc/hello.conf
cd /var/repo
dpkg-deb --root-owner-group --build hello-1:1.1-1 >/dev/null
{
    cat hello-1:1.1-1/DEBIAN/control
    printf 'Filename: ./hello-1:1.1-1.deb\nSize: %s\nSHA256: %s\n\n' "$(stat -c %s hello-1:1.1-1.deb)" \
        "$(sha256sum hello-1:1.1-1.deb | cut -d' ' -f1)"
} >>Packages
"#;

/// A package whose installation ends the daemon that began it: it is finished, and what
/// became of it is known to whoever asked, and to nobody else.
fn what_restarts_the_daemon_is_finished(managed: &Managed) {
    let ran = managed.alice.run(&["rpc", "package", "install", "package=again", "-I", N1, "--json"]);
    let request = ran.json()["request_stats"]["requestid"].as_str().expect("an id").to_owned();
    assert_eq!(ran.json()["replies"][0]["statuscode"], 1, "{ran:?}");
    ran.says(&["Still at work, it goes on", &format!("result request={request}")]);
    until("the package to be installed", || {
        (managed.shell("test -e /var/was-there").code == 0).then_some(())
    });
    let ask = format!("request={request}");
    let told = until("the job to have ended", || {
        let ran =
            managed.alice.run(&["rpc", "choria_util", "result", &ask, "-I", N1, "--json", "--timeout", "3"]);
        let reply = ran.json()["replies"].get(0).cloned()?;
        (reply["data"]["state"] == "ended").then_some(reply)
    });
    assert_eq!(told["data"]["exitcode"], 0, "{told:#}");
    assert_eq!((&told["data"]["agent"], &told["data"]["action"]), (&json!("package"), &json!("install")));
    assert_eq!(managed.good(&["package", "status", "package=again"])["ensure"], "1");
    let restarts = managed.machine.journal("choria-server");
    assert!(
        restarts.matches("msg=starting").count() + restarts.matches("starting").count() >= 2,
        "{restarts}"
    );
}

#[test]
fn packages_come_and_go_by_rpm_dnf_and_zypper() {
    if !Machine::possible() {
        return;
    }
    let managed = Managed::start("plugin.package.provider = dnf\n");
    managed.shell(RPMS).code(0);
    for (manager, missing) in [("dnf", "purged"), ("zypper", "absent")] {
        if manager == "zypper" {
            let config = managed.node.config.display();
            managed.shell(&format!("sed -i 's/provider = dnf/provider = zypper/' {config}")).code(0);
            managed.shell("systemctl restart choria-server").code(0);
            managed.network.answered_by(&[N1]);
        }
        managed.good(&["package", "refresh"]);
        assert_eq!(managed.good(&["package", "status", "package=hello-choria"])["ensure"], missing);
        let installed = managed.good(&["package", "install", "package=hello-choria", "version=1.0"]);
        assert_eq!((&installed["ensure"], &installed["arch"]), (&json!("1.0-1"), &json!("noarch")));
        assert_eq!(installed["provider"], manager);
        let updates = managed.good(&["package", "checkupdates"]);
        assert_eq!(updates["outdated_packages"][0]["version"], "1.1-1", "{updates:#}");
        assert_eq!(updates["package_manager"], manager);
        assert_eq!(managed.good(&["package", "update", "package=hello-choria"])["ensure"], "1.1-1");
        let found = managed.good(&["package", "search", "package=hello-c"]);
        assert_eq!(found["available_packages"], json!(["hello-choria"]), "{found:#}");
        assert_eq!(managed.good(&["package", "count"])["output"], "2");
        assert_eq!(managed.good(&["package", "uninstall", "package=hello-choria"])["ensure"], missing);
        let nothing = managed.bad(5, &["package", "install", "package=nosuch"]);
        assert!(nothing.contains("nosuch"), "{nothing}");
    }
}

/// Packages of rpm, one that stays so that its database is not empty, and a repository.
const RPMS: &str = r#"
set -e
mkdir -p /var/rpms/repo /etc/rpm /etc/yum.repos.d /etc/zypp/repos.d
# Debian's rpm keeps a database for each home, its zypper another
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros
cd /var/rpms
spec() {
    printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: for a test\nLicense: none\nBuildArch: noarch\n' "$1" "$2"
    printf '%%description\nfor a test\n%%install\nmkdir -p %%{buildroot}/usr/share/%s\n' "$1"
    printf 'echo %s >%%{buildroot}/usr/share/%s/version\n%%files\n/usr/share/%s\n' "$2" "$1" "$1"
}
for package in 'hello-choria 1.0' 'hello-choria 1.1' 'stays 1'; do
    spec $package >spec
    rpmbuild --quiet -bb --define "_topdir /var/rpms/build" spec
done
mv build/RPMS/noarch/*.rpm repo/
createrepo_c -q repo
for dir in yum.repos.d zypp/repos.d; do
    printf '[here]\nname=here\nbaseurl=file:///var/rpms/repo\ngpgcheck=0\nenabled=1\n' >"/etc/$dir/here.repo"
done
dnf -y -q install stays
"#;

#[test]
fn services_start_and_stop_by_systemd_and_openrc() {
    if !Machine::possible() {
        return;
    }
    let managed = Managed::start("");
    managed.shell(SERVICES).code(0);
    start_and_stop(&managed, "sleeper", "systemctl is-active -q sleeper");
    let broken = managed.bad(5, &["service", "start", "service=broken"]);
    assert!(broken.starts_with("Could not start 'broken': "), "{broken}");
    let missing = managed.bad(5, &["service", "restart", "service=nosuch"]);
    assert!(missing.contains("nosuch.service"), "{missing}");
    assert_eq!(managed.good(&["service", "status", "service=nosuch"])["status"], "stopped");
    // what checks see of units, asked of systemd itself again and again
    let rules = "service: {choria-server: {running: true}, sleeper: {running: false}}";
    let tried = format!(
        "echo '{rules}' >/root/rules.yaml; for n in $(seq 20); do {} scout validate /root/rules.yaml --local || exit 1; done",
        env!("CARGO_BIN_EXE_choria")
    );
    managed.shell(&tried).code(0);
    // The daemon itself: whoever asked learns of it afterwards.
    let ran = managed.alice.run(&["rpc", "service", "restart", "service=choria-server", "-I", N1, "--json"]);
    let request = ran.json()["request_stats"]["requestid"].as_str().expect("an id").to_owned();
    ran.says(&["Still at work, it goes on"]);
    let ask = format!("request={request}");
    until("the daemon to be back and to know", || {
        let ran = managed.alice.run(&["rpc", "choria_util", "result", &ask, "-I", N1, "--json"]);
        (ran.json()["replies"].get(0)?["data"]["exitcode"] == 0).then_some(())
    });

    managed
        .shell(&format!("echo 'plugin.service.provider = openrc' >>{}", managed.node.config.display()))
        .code(0);
    managed.shell("systemctl restart choria-server").code(0);
    managed.network.answered_by(&[N1]);
    start_and_stop(&managed, "rcsleeper", "rc-service rcsleeper status");
}

fn start_and_stop(managed: &Managed, name: &str, runs: &str) {
    let service = format!("service={name}");
    let status = || managed.good(&["service", "status", &service])["status"].clone();
    assert_eq!(status(), "stopped");
    let already = format!("Could not stop '{name}': Service is already stopped");
    assert_eq!(managed.bad(1, &["service", "stop", &service]), already);
    assert_eq!(managed.good(&["service", "start", &service])["status"], "running");
    managed.shell(runs).code(0);
    assert_eq!(status(), "running");
    let already = format!("Could not start '{name}': Service is already running");
    assert_eq!(managed.bad(1, &["service", "start", &service]), already);
    assert_eq!(managed.good(&["service", "restart", &service])["status"], "running");
    assert_eq!(managed.good(&["service", "stop", &service])["status"], "stopped");
    assert_ne!(managed.shell(runs).code, 0);
}

const SERVICES: &str = r#"
set -e
unit() {
    printf '[Service]\nExecStart=%s\n' "$2" >"/etc/systemd/system/$1.service"
}
unit sleeper '/bin/sleep 6000'
printf '[Service]\nType=oneshot\nExecStart=/bin/false\n' >/etc/systemd/system/broken.service
systemctl daemon-reload
for dir in exclusive starting started inactive wasinactive failed hotplugged daemons options stopping scheduled tmp; do
    mkdir -p "/run/openrc/$dir"
done
touch /run/openrc/softlevel
cat >/etc/init.d/rcsleeper <<'SCRIPT'
#!/sbin/openrc-run
command=/bin/sleep
command_args=6000
command_background=true
pidfile=/run/rcsleeper.pid
SCRIPT
chmod 0755 /etc/init.d/rcsleeper
"#;
