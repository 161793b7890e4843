//! Machines of their own on this one: a host name, files that nobody else sees, and
//! processes that end with it. What a machine changes below /etc, /home, /root, /usr and
//! /var is gone with it.
//!
//! That takes root; whoever is not is told what was left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Daemon, Ran, run, until};

/// What a user finds on the machine's PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A person who may do nothing special.
pub const PERSON: &str = "newcomer";

/// Starts units as systemd does, as far as the program they start and its user go.
const SYSTEMCTL: &str = r#"#!/bin/sh
[ "$1 $2" = "enable --now" ] || { echo "systemctl $*: not on this machine" >&2; exit 1; }
unit=/usr/lib/systemd/system/$3.service
command=$(sed -n 's/^ExecStart=//p' "$unit")
user=$(sed -n 's/^User=//p' "$unit")
# shellcheck disable=SC2086 # a command line
setsid runuser -u "${user:-root}" -- $command >"/var/log/$3.out" 2>&1 </dev/null &
"#;

const SET_UP: &str = r#"
set -e
mount -t tmpfs machine "$1"
for dir in etc home root usr var; do
    mkdir "$1/$dir" "$1/$dir.work"
    mount -t overlay machine -o "lowerdir=/$dir,upperdir=$1/$dir,workdir=$1/$dir.work" "/$dir"
done
hostname "$2"
ip link set lo up
rm -rf /etc/choria /etc/choria-provisioner
printf '127.0.0.1 localhost\n127.0.0.1 %s\n' "$3" >/etc/hosts
useradd -m "$4"
mkdir -p /usr/local/bin
cat >/usr/local/bin/systemctl
chmod 0755 /usr/local/bin/systemctl
echo ready
exec sleep infinity
"#;

/// A machine. Its processes are killed when it goes.
pub struct Machine {
    holder: Daemon,
    init: u32,
    _files: tempfile::TempDir,
}

impl Machine {
    /// Whether this process may make one; says so where not.
    pub fn possible() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            eprintln!("not root: what is done on machines of their own was NOT tried");
        }
        root
    }

    /// A machine called `name`, where `broker` is a name of it. It shares the network with `other`.
    pub fn start(name: &str, broker: &str, other: Option<&Machine>) -> Machine {
        let files = tempfile::TempDir::new().expect("a directory");
        let mut command = match other {
            None => Command::new("unshare"),
            Some(other) => {
                let mut command = Command::new("nsenter");
                command.args(["--net", "-t", &other.init.to_string(), "--", "unshare"]);
                command
            }
        };
        if other.is_none() {
            command.arg("--net");
        }
        command.args([
            "--mount",
            "--uts",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            SET_UP,
        ]);
        command.arg("machine").arg(files.path()).args([name, broker, PERSON]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("unshare and nsenter, of util-linux");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), SYSTEMCTL.as_bytes())
            .expect("a pipe");
        let holder = Daemon::adopt(name, child);
        holder.says(&["ready"]);
        let of_holder = format!("/proc/{pid}/task/{pid}/children", pid = holder.pid());
        let init = until("the machine's first process", || {
            std::fs::read_to_string(&of_holder).ok()?.split_whitespace().next()?.parse().ok()
        });
        Machine { holder, init, _files: files }
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--uts", "--net", "--pid", "-t", &self.init.to_string(), "--"]);
        command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A line of shell as root, started in `dir`.
    pub fn root(&self, dir: &Path, line: &str) -> Ran {
        let mut command = self.enter();
        command.args(["sh", "-c", &format!("cd \"$0\" && HOME=/root && export HOME && {line}")]).arg(dir);
        run(command, None)
    }

    /// A line of shell as [`PERSON`], at home.
    pub fn person(&self, line: &str) -> Ran {
        run(self.as_person(line), None)
    }

    /// The same, not started yet.
    pub fn as_person(&self, line: &str) -> Command {
        let mut command = self.enter();
        let home = self.home();
        command.args(["runuser", "-u", PERSON, "--", "env", "-i", &format!("PATH={PATH}"), "LANG=C.UTF-8"]);
        command.args([&format!("USER={PERSON}"), &format!("HOME={}", home.display())]);
        command.args(["sh", "-c", &format!("cd \"$HOME\" && {line}")]);
        command
    }

    /// Where [`PERSON`] lives.
    pub fn home(&self) -> PathBuf {
        Path::new("/home").join(PERSON)
    }

    /// A file as this machine sees it.
    pub fn read(&self, file: &str) -> String {
        self.root(Path::new("/"), &format!("cat {file}")).stdout
    }

    /// Carries a directory from somebody's home here to theirs on `other`.
    pub fn carry(&self, directory: &str, other: &Machine) {
        let home = self.home();
        let bag = tempfile::NamedTempFile::new().expect("a file");
        let bag = bag.path().display();
        self.root(&home, &format!("tar cf {bag} {directory}")).code(0);
        other.root(&home, &format!("tar xf {bag}")).code(0);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for unit in ["choria-broker", "choria-server"] {
                let mut command = self.enter();
                command.args(["cat", &format!("/var/log/{unit}.out")]);
                let said = command.output().map(|output| output.stdout).unwrap_or_default();
                eprintln!("--- {unit}\n{}", String::from_utf8_lossy(&said));
            }
        }
        // Its first process goes with it, and all others with that one.
        self.holder.signal(rustix::process::Signal::KILL);
    }
}
