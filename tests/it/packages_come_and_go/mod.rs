//! Our packages, installed, upgraded, downgraded and removed by the tools that do so.

mod carried;
mod debian;
mod judged;
mod rpm;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::machine::{Machine, PERSON, SCRATCH};
use crate::process::{Ran, until};

/// A machine that is broker, node and somebody's desk.
const NAME: &str = "choria.example.net";
const ROOT: &str = "/root";

/// Packages of the program under test, in two versions.
static PACKAGES: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(SCRATCH).join("packages");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a directory");
    for version in ["0.1.0", "0.2.0"] {
        let mut build = Command::new("packaging/packages/build.sh");
        build.current_dir(env!("CARGO_MANIFEST_DIR")).arg(&dir).args(["deb", "rpm"]);
        build.env("BINARY", env!("CARGO_BIN_EXE_choria")).env("VERSION", version).env("COMPRESS", "gzip");
        crate::installed::must(&mut build, "it needs binutils, dpkg and rpm");
    }
    dir
});

/// The package file whose name ends so.
fn package(version: &str, kind: &str) -> PathBuf {
    let holds = |name: &str| name.contains(&format!("{version}-1")) && name.ends_with(kind);
    let entries = fs::read_dir(&*PACKAGES).expect("a directory").flatten();
    let mut found = entries.filter(|entry| entry.file_name().to_str().is_some_and(holds));
    found.next().unwrap_or_else(|| panic!("no {kind} of {version}")).path()
}

/// A machine on which a package manager is at work.
struct Station {
    machine: Machine,
}

impl Station {
    fn start() -> Station {
        let station = Station { machine: Machine::start(NAME, NAME, None) };
        // Images for containers forbid packages to start or stop anything.
        station.root("rm -f /usr/sbin/policy-rc.d").code(0);
        station
    }

    #[track_caller]
    fn root(&self, line: &str) -> Ran {
        self.machine.root(Path::new(ROOT), line)
    }

    /// Standard output of what has to go well.
    #[track_caller]
    fn asked(&self, line: &str) -> String {
        self.root(line).code(0).stdout.trim().to_owned()
    }

    /// That zsh completes, as it is started for a person.
    fn completes(&self) {
        if self.machine.root(Path::new(ROOT), "command -v zsh").code == 0 {
            let line = "zsh -c 'autoload -Uz compinit; compinit -u -D; print $_comps[choria]'";
            assert_eq!(self.asked(line), "_choria");
        }
    }

    /// Certificates and a changed configuration, and both daemons by their units.
    fn becomes_a_network(&self) {
        for line in [
            "choria setup broker",
            "choria setup node --name n1.example.net",
            "sed -i 's/^loglevel = .*/loglevel = debug/' /etc/choria/server.conf",
            &format!("choria setup operator --user {PERSON}"),
        ] {
            self.root(line).code(0);
        }
        self.answers();
        let pid = &self.processes()[1];
        assert_eq!(
            self.asked(&format!("grep Umask /proc/{pid}/status")),
            "Umask:\t0022",
            "agents inherit it"
        );
        self.machine.person("choria rpc rpcutil ping").code(0);
        let written = "stat -c '%a %n' /var/log/choria-audit.log /var/lib/choria-status.json";
        assert_eq!(self.asked(written), "600 /var/log/choria-audit.log\n644 /var/lib/choria-status.json");
    }

    #[track_caller]
    fn answers(&self) {
        until("the node to answer", || {
            let ping = self.machine.person("choria ping --expect 1");
            (ping.code == 0 && ping.stdout.contains("n1.example.net")).then_some(())
        });
    }

    /// First processes of both units.
    #[track_caller]
    fn processes(&self) -> Vec<String> {
        let units = ["choria-broker", "choria-server"];
        let pids = units.map(|unit| self.asked(&format!("systemctl show -p MainPID --value {unit}")));
        let status = || self.root("systemctl status choria-broker choria-server").stdout;
        assert!(pids.iter().all(|pid| pid != "0"), "{}", status());
        pids.to_vec()
    }

    /// Does something to the package that has both daemons go on with another program: they
    /// say goodbye and come back, and what somebody has changed stays.
    #[track_caller]
    fn goes_on_after(&self, line: &str) {
        let goodbyes = || {
            ["choria-broker", "choria-server"].map(|unit| {
                self.machine.journal(unit).lines().filter(|said| said.ends_with("stopped")).count()
            })
        };
        let (configuration, processes, said) =
            (self.asked("cat /etc/choria/server.conf"), self.processes(), goodbyes());
        let done = self.root(line).code(0);
        let after = self.processes();
        assert!(processes.iter().zip(&after).all(|(before, after)| before != after), "{after:?} {done:?}");
        assert_eq!(goodbyes(), said.map(|count| count + 1), "an orderly end of each: {done:?}");
        assert_eq!(self.asked("cat /etc/choria/server.conf"), configuration);
        assert_eq!(self.asked("systemctl is-enabled choria-broker choria-server"), "enabled\nenabled");
        self.answers();
    }

    /// Nothing of ours runs, and no program is left that could.
    #[track_caller]
    fn is_quiet(&self) {
        self.root("pgrep -x choria").code(1);
        self.root(
            "test -e /usr/bin/choria -o -e /usr/bin/mco -o -e /usr/lib/systemd/system/choria-server.service",
        )
        .code(1);
    }

    /// Modes and owners of what secrets stand in.
    #[track_caller]
    fn guards_its_files(&self) {
        let stat = "stat -c '%a %U %G' /etc/choria/broker.conf /etc/choria/server.conf \
                    /etc/choria-provisioner /etc/choria-provisioner/provisioner.yaml";
        assert_eq!(self.asked(stat), "640 root choria\n640 root root\n750 root choria\n640 root choria");
        assert_eq!(self.asked("getent passwd choria | cut -d : -f 6,7"), "/:/usr/sbin/nologin");
    }
}
