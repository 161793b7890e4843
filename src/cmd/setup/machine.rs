//! The machine that is set up: who may do it, its daemons, its people.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use choria::core::config::{Config, Role, System};
use choria::core::files::group_id;
use choria::core::programs::{Program, find, how};

use super::super::context::block_on;
use super::super::out::out;
use super::super::render::text::clean;
use super::steps::Owner;

/// Where packages put configuration.
pub const ETC: &str = "/etc/choria";
/// The CA of a first network, on its broker's machine.
pub const CA: &str = "/etc/choria/ca";
/// Certificate, key and CA of a daemon.
pub const TLS: &str = "/etc/choria/tls";
/// The user that brokers run as, and its group.
pub const USER: &str = "choria";
/// Where programs of the system are, whatever the PATH of who asks.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a daemon may take to start.
const START: Duration = Duration::from_secs(120);

/// That this process may change the machine.
pub fn only_root(command: &str) -> anyhow::Result<()> {
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => bail!("it changes this machine, so root has to do it: sudo choria setup {command}"),
    }
}

/// The group that brokers read their key by.
pub fn group() -> anyhow::Result<u32> {
    group_id(USER).with_context(|| {
        format!(
            "there is no group {USER}, which the broker runs as: install the package, or systemd-sysusers"
        )
    })
}

/// The name of this machine in full, as a node would say it.
pub fn name() -> anyhow::Result<String> {
    let name = Config::from_text_in(Role::Server, "", &System)?.identity.clone();
    if name.is_empty() || name == "localhost" || name.starts_with("localhost.") {
        bail!("this machine is called {name:?}: give it a name, or say with --name by which others reach it");
    }
    Ok(name)
}

/// Why a unit cannot be started here.
pub fn lacks_unit(unit: &str) -> Option<&'static str> {
    let places = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    if !places.iter().any(|dir| Path::new(dir).join(format!("{unit}.service")).exists()) {
        return Some("no unit of it was found");
    }
    (!Path::new("/run/systemd/system").is_dir()).then_some("systemd does not run here, which would start it")
}

/// Lines of a command and what it does, one below the other.
pub fn aligned(rows: Vec<(String, String)>) -> Vec<String> {
    let width = rows.iter().map(|(command, _)| command.chars().count()).max().unwrap_or_default();
    rows.into_iter()
        .map(|(command, what)| format!("{command:<width$}   {what}").trim_end().to_owned())
        .collect()
}

/// Starts a unit, now and at every boot.
pub fn enable(unit: &str) -> anyhow::Result<()> {
    let done = said("systemctl", &["enable", "--now", "--quiet", unit], b"")?;
    if let Err(reason) = done {
        bail!("{unit} does not start ({reason}): journalctl -u {unit} says why; then say this again");
    }
    Ok(())
}

/// Has a unit that runs read again what it reads at such times.
pub fn reload(unit: &str) -> anyhow::Result<()> {
    if let Err(reason) = said("systemctl", &["try-reload-or-restart", unit], b"")? {
        bail!("{unit} does not take its new key ({reason}): systemctl restart {unit}");
    }
    Ok(())
}

/// What a program of the system prints, or how it failed. `input` is what it reads.
pub fn said(program: &str, words: &[&str], input: &[u8]) -> anyhow::Result<Result<String, String>> {
    let path =
        find(program, Some(PATH.as_ref())).with_context(|| format!("{program} is not on this machine"))?;
    let run = Program::new(path).args(words.iter().copied()).input(input).directory("/").limit(START).run();
    let ended = block_on(run)?.with_context(|| program.to_owned())?;
    Ok(match ended.status.success() {
        true => Ok(String::from_utf8_lossy(&ended.output).into_owned()),
        false if ended.errors.is_empty() => Err(how(ended.status)),
        false => Err(ended.errors.trim().to_owned()),
    })
}

/// Somebody of this machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub home: PathBuf,
}

/// Variable that tells whoever goes on which file it was that comes by a pipe.
pub const FILE: &str = "CHORIA_SETUP_FILE";

impl Person {
    /// Who has said `sudo`, or whom root has named.
    pub fn behind(named: Option<&str>) -> anyhow::Result<Option<Person>> {
        let sudo = std::env::var("SUDO_USER").ok();
        let Some(name) = named.or(sudo.as_deref()).filter(|name| !name.is_empty() && *name != "root") else {
            return Ok(None);
        };
        let found = said("getent", &["passwd", "--", name], b"")?;
        let person = found.ok().as_deref().and_then(Person::of_line);
        person.map(Some).with_context(|| format!("this machine knows nobody called {name}"))
    }

    /// A line of the user database.
    fn of_line(line: &str) -> Option<Person> {
        let mut fields = line.lines().next()?.split(':');
        let (name, home) = (fields.next()?, fields.nth(4)?);
        let good = !name.is_empty() && home.starts_with('/');
        good.then(|| Person { name: name.to_owned(), home: PathBuf::from(home) })
    }
}

impl Person {
    /// This person's own part, by another process of theirs: root writes nothing into a home
    /// directory, where names lead whither somebody else wants.
    pub fn goes_on(&self, file: &Path, invitation: &[u8]) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("the path of this program")?;
        let home = format!("HOME={}", self.home.display());
        let (user, path) = (format!("USER={}", self.name), format!("PATH={PATH}"));
        let program = program.to_str().context("the path of this program is no text")?;
        // In a session of its own: root's terminal is none of theirs.
        let file = format!("{FILE}={}", file.display());
        let words = ["--wait", "runuser", "-u", &self.name, "--", "env", "-i", &home, &user, &path, &file];
        let words = [&words[..], &[program, "setup", "operator", "-"]].concat();
        match said("setsid", &words, invitation)? {
            Ok(text) => out!("{}", clean(&text, true)),
            Err(reason) => {
                bail!("as {}: {}", self.name, clean(reason.trim_start_matches("choria: "), true))
            }
        }
        Ok(())
    }
}

/// Whose files are that somebody is to carry: who has said `sudo`.
pub fn owner() -> Owner {
    let id = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (id("SUDO_UID"), id("SUDO_GID"))
}

/// Why nobody answers at an address, from here and now.
pub fn unreachable(address: &str) -> Option<String> {
    let addresses = match address.to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(e) => return Some(e.to_string()),
    };
    let mut reason = "it has no address".to_owned();
    for address in addresses.take(4) {
        match TcpStream::connect_timeout(&address, Duration::from_secs(3)) {
            Ok(_) => return None,
            Err(e) => reason = e.to_string(),
        }
    }
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_found_in_lines() {
        let bob = Person { name: "bob".into(), home: "/home/bob".into() };
        assert_eq!(Person::of_line("bob:x:1000:1000:Bob:/home/bob:/bin/sh\n"), Some(bob));
        for line in
            ["", "bob", "bob:x:1000:1000:Bob", "bob:x:1000:1000:Bob::/bin/sh", ":x:0:0::/root:/bin/sh"]
        {
            assert_eq!(Person::of_line(line), None, "{line:?}");
        }
    }
}
