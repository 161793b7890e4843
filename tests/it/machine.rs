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
/// Where tests lay what machines have to see.
pub const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");
/// A person who may do nothing special.
pub const PERSON: &str = "newcomer";

/// Directories that are the machine's own, over what this one has.
const OWN: &str = "etc home root usr var";

/// What becomes of a first process: files of its own, a name, a network, then systemd with
/// the journal and nothing that would touch more than the machine. Of /tmp it sees what
/// tests need.
const SET_UP: &str = r#"
set -e
name=$1 broker=$2 person=$3
shift 3
mount --make-rprivate /
mount -t tmpfs machine /mnt
for dir in $OWN; do
    mkdir "/mnt/$dir" "/mnt/$dir.work"
    mount -t overlay machine -o "lowerdir=/$dir,upperdir=/mnt/$dir,workdir=/mnt/$dir.work" "/$dir"
done
number=0
for shared in "$@"; do
    number=$((number + 1))
    mkdir "/mnt/shared$number"
    mount --bind "$shared" "/mnt/shared$number"
done
mount -t tmpfs -o mode=1777 machine /tmp
mount -t tmpfs -o mode=0755 machine /run
number=0
for shared in "$@"; do
    number=$((number + 1))
    [ -d "$shared" ] || mkdir -p "$shared"
    mount --move "/mnt/shared$number" "$shared"
done
mount -t cgroup2 machine /sys/fs/cgroup
echo "$name" >/etc/hostname
ip link set lo up
rm -rf /etc/choria /etc/choria-provisioner
printf '127.0.0.1 localhost
127.0.0.1 %s
' "$broker" >/etc/hosts
useradd -m "$person"
rm -rf /usr/lib/systemd/system/*.wants/* /etc/systemd/system/*.wants/*
for unit in systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.service; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
for unit in systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service; do
    mkdir -p /etc/systemd/system/sysinit.target.wants
    ln -sf "/usr/lib/systemd/system/$unit" /etc/systemd/system/sysinit.target.wants/
done
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nReadKMsg=no\n' >/etc/systemd/journald.conf.d/machine.conf
ln -sf /usr/lib/systemd/system/multi-user.target /etc/systemd/system/default.target
export container=test
exec /lib/systemd/systemd --system --log-target=console --show-status=0
"#;

/// A machine. Its processes are killed when it goes.
pub struct Machine {
    holder: Daemon,
    init: u32,
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
        Machine::boot(command, name, broker, &[])
    }

    /// A machine called `name` on the network of this one, which sees `directory` of it.
    pub fn beside_us(name: &str, directory: &Path) -> Machine {
        Machine::boot(Command::new("unshare"), name, "localhost", &[directory])
    }

    fn boot(mut command: Command, name: &str, broker: &str, directories: &[&Path]) -> Machine {
        command.args([
            "--mount",
            "--uts",
            "--ipc",
            "--cgroup",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        command.args(["sh", "-c", SET_UP, "machine", name, broker, PERSON]);
        command.args(shared()).args(directories).env("OWN", OWN);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let holder = Daemon::start(name, command);
        let of_holder = format!("/proc/{pid}/task/{pid}/children", pid = holder.pid());
        let init = until("the machine's first process", || {
            std::fs::read_to_string(&of_holder).ok()?.split_whitespace().next()?.parse().ok()
        });
        let mut machine = Machine { holder, init };
        until("the machine to be up", || {
            machine.holder.still_runs();
            let up = machine.enter().args(["systemctl", "is-active", "multi-user.target"]).output().ok()?;
            up.status.success().then_some(())
        });
        machine
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--cgroup",
            "--pid",
            "-t",
            &self.init.to_string(),
            "--",
        ]);
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

    /// What a unit has logged.
    pub fn journal(&self, unit: &str) -> String {
        self.root(Path::new("/"), &format!("journalctl --no-pager -o cat -u {unit}")).stdout
    }

    /// Carries a directory from somebody's home here to theirs on `other`.
    pub fn carry(&self, directory: &str, other: &Machine) {
        let mut give = self.enter();
        let mut give =
            give.args(["tar", "cf", "-", "-C"]).arg(self.home()).arg(directory).spawn().expect("tar");
        let mut take = other.enter();
        take.args(["tar", "xf", "-", "-C"]).arg(other.home());
        take.stdin(give.stdout.take().expect("a pipe"));
        assert!(take.status().expect("tar").success() && give.wait().expect("tar").success());
    }
}

/// Directories below /tmp that a machine has to see: the program, the repository, scratch files.
fn shared() -> Vec<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_choria")).parent().expect("a directory").to_owned();
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    [program, PathBuf::from(SCRATCH), repository].into_iter().filter(|dir| dir.starts_with("/tmp")).collect()
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut command = self.enter();
            command.args(["journalctl", "--no-pager", "-o", "cat"]);
            let said = command.output().map(|output| output.stdout).unwrap_or_default();
            eprintln!("--- journal\n{}", String::from_utf8_lossy(&said));
        }
        // Its first process goes with it, and all others with that one.
        self.holder.signal(rustix::process::Signal::KILL);
    }
}
