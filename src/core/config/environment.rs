//! The world around a process, as far as configuration and identity ask it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Environment variables, host name, home, user, and the three outside sources
/// of names: DNS, facter and Puppet. Tests bring their own.
pub trait Environment: Send + Sync {
    /// An environment variable; unset, not UTF-8 and empty are all `None`.
    fn var(&self, name: &str) -> Option<String>;
    /// The host name of the operating system.
    fn hostname(&self) -> Option<String>;
    /// `$HOME` and nothing else, as the original: never the passwd entry.
    fn home(&self) -> Option<PathBuf> {
        self.var("HOME").map(PathBuf::from)
    }
    /// Who runs this process, and what says so: `USER`, `LOGNAME`, else the user
    /// database. Cron sets only the second, systemd neither.
    fn user(&self) -> Option<(String, &'static str)> {
        let named = |name: &'static str| Some((self.var(name)?, name));
        named("USER").or_else(|| named("LOGNAME")).or_else(|| Some((self.user_by_id()?, "the user database")))
    }
    /// The name of the effective user in the user database.
    fn user_by_id(&self) -> Option<String>;
    /// Effective user id; 0 is root.
    fn euid(&self) -> u32;
    /// Where project files are looked for, down from the root.
    fn working_dir(&self) -> Option<PathBuf>;
    /// Name the reverse look-up of the host's first IPv4 address gives.
    fn name_by_dns(&self, hostname: &str) -> Option<String>;
    /// Value of a fact such as `networking.fqdn`.
    fn facter(&self, fact: &str) -> Option<String>;
    /// Value of a Puppet setting such as `ssldir`.
    fn puppet_setting(&self, setting: &str) -> Option<String>;
}

/// How long facter and puppet may take; both start a Ruby interpreter.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(30);
const DNS_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes read from such a program.
const MAX_OUTPUT: u64 = 64 * 1024;

/// The real world.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Environment for System {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn hostname(&self) -> Option<String> {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        (!name.is_empty()).then_some(name)
    }

    fn euid(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn user_by_id(&self) -> Option<String> {
        // As for DNS: getent asks what the C library would.
        let line =
            output_of(&["/usr/bin", "/bin"], "getent", &["passwd", &self.euid().to_string()], DNS_TIMEOUT)?;
        line.split(':').next().map(str::to_owned).filter(|name| !name.is_empty())
    }

    fn working_dir(&self) -> Option<PathBuf> {
        std::env::current_dir().ok()
    }

    fn name_by_dns(&self, hostname: &str) -> Option<String> {
        use std::net::{SocketAddr, ToSocketAddrs};
        let address = (hostname, 0).to_socket_addrs().ok()?.find_map(|a| match a {
            SocketAddr::V4(a) => Some(a.ip().to_string()),
            SocketAddr::V6(_) => None,
        })?;
        // The standard library has no reverse look-up; getent asks the same
        // sources (hosts file, DNS, whatever nsswitch.conf names) as the C library.
        let answer = output_of(&["/usr/bin", "/bin"], "getent", &["hosts", &address], DNS_TIMEOUT)?;
        let name = answer.split_whitespace().nth(1)?.trim_end_matches('.').to_string();
        (!name.is_empty()).then_some(name)
    }

    fn facter(&self, fact: &str) -> Option<String> {
        output_of(&["/opt/puppetlabs/bin"], "facter", &[fact], PROGRAM_TIMEOUT)
    }

    fn puppet_setting(&self, setting: &str) -> Option<String> {
        let arguments = ["apply", "--environment", "production", "--configprint", setting];
        output_of(&["/opt/puppetlabs/bin"], "puppet", &arguments, PROGRAM_TIMEOUT)
    }
}

/// First line of what `program` prints, looked for in `dirs`, then in `PATH`.
/// A program that is missing, fails, prints nothing or takes too long is `None`.
fn output_of(dirs: &[&str], program: &str, arguments: &[&str], timeout: Duration) -> Option<String> {
    let path = dirs.iter().map(|dir| Path::new(dir).join(program)).find(|path| path.is_file());
    let mut child = Command::new(path.unwrap_or_else(|| PathBuf::from(program)))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.take(MAX_OUTPUT).read_to_string(&mut text);
        let _ = done.send(read.map(|_| text));
    });
    let deadline = Instant::now() + timeout;
    let text = result.recv_timeout(timeout);
    // A program may close its output and stay: it has the rest of the time.
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if text.is_ok() && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            _ => {
                let _ = child.kill();
                break child.wait().ok()?;
            }
        }
    };
    let text = text.ok()?.ok()?;
    let line = text.lines().next()?.trim().to_string();
    (status.success() && !line.is_empty()).then_some(line)
}

/// A world made of values, for tests and embedders.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// Environment variables.
    pub vars: BTreeMap<String, String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Effective user id.
    pub euid: u32,
    /// Working directory.
    pub working_dir: Option<PathBuf>,
    /// Answer of the reverse look-up.
    pub dns: Option<String>,
    /// Facts.
    pub facts: BTreeMap<String, String>,
    /// Puppet settings.
    pub puppet: BTreeMap<String, String>,
}

impl Default for Fixed {
    fn default() -> Self {
        Fixed {
            vars: BTreeMap::new(),
            hostname: Some("node1.example.net".into()),
            euid: 1000,
            working_dir: None,
            dns: None,
            facts: BTreeMap::new(),
            puppet: BTreeMap::new(),
        }
    }
}

impl Fixed {
    /// Adds an environment variable.
    pub fn with_var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.into(), value.into());
        self
    }
}

impl Environment for Fixed {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn hostname(&self) -> Option<String> {
        self.hostname.clone()
    }

    fn euid(&self) -> u32 {
        self.euid
    }

    fn user_by_id(&self) -> Option<String> {
        None
    }

    fn working_dir(&self) -> Option<PathBuf> {
        self.working_dir.clone()
    }

    fn name_by_dns(&self, _: &str) -> Option<String> {
        self.dns.clone()
    }

    fn facter(&self, fact: &str) -> Option<String> {
        self.facts.get(fact).cloned()
    }

    fn puppet_setting(&self, setting: &str) -> Option<String> {
        self.puppet.get(setting).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_asked_and_not_waited_for_forever() {
        let ask = |program: &str, arguments: &[&str], timeout: u64| {
            output_of(&["/nowhere", "/bin"], program, arguments, Duration::from_millis(timeout))
        };
        assert_eq!(ask("echo", &["/etc/ssl"], 60_000).as_deref(), Some("/etc/ssl"));
        assert_eq!(ask("sh", &["-c", "echo a; exit 1"], 60_000), None, "it failed");
        assert_eq!(ask("true", &[], 60_000), None, "it said nothing");
        assert_eq!(ask("no-such-program-anywhere", &[], 60_000), None);
        assert_eq!(ask("sleep", &["600"], 10), None);
        assert_eq!(ask("sh", &["-c", "echo a; exec >&-; exec sleep 600"], 50), None);
    }

    #[test]
    fn the_system_has_a_name() {
        assert!(System.hostname().is_some());
        assert_eq!(System.var("CHORIA_TEST_NO_SUCH_VARIABLE"), None);
    }
}
