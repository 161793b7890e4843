//! Whom a task runs as, and what of this process's surroundings it is given.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::core::agents::system::Tool;
use crate::core::tasks::runner::User;

/// Where Puppet's own packages keep programs.
const AIO: &str = "/opt/puppetlabs/puppet/bin";
/// Where a system keeps programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a service manager tells its service, and nobody else.
const OF_SERVICE: [&str; 11] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "CREDENTIALS_DIRECTORY",
    "SYSTEMD_EXEC_PID",
    "MEMORY_PRESSURE_WATCH",
];
/// How long a directory of users may take.
const LOOK: Duration = Duration::from_secs(10);

/// A user of this system, its directories of users included; nobody where it is who runs this
/// node.
///
/// # Errors
/// There is none, or this node cannot become it, as a sentence.
pub async fn find(name: &str) -> Result<Option<User>, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.@-\\$".contains(c);
    if name.starts_with('-') || !name.chars().all(plain) {
        return Err("run_as is no name of a user".to_owned());
    }
    let told = Tool::new("id", ["-u", "--", name]).ask(LOOK).await?;
    let none = || format!("there is no user {name} on this node");
    if !told.well() {
        return Err(none());
    }
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| none());
    let uid = number(&told.output)?;
    let own = rustix::process::geteuid();
    if own.as_raw() == uid {
        return Ok(None);
    }
    if !own.is_root() {
        return Err(format!("this node does not run as root and cannot run tasks as {name}"));
    }
    let gid = number(&Tool::new("id", ["-g", "--", name]).ask(LOOK).await?.output)?;
    let groups = Tool::new("id", ["-G", "--", name]).ask(LOOK).await?.output;
    let groups = groups.split_whitespace().map(number).collect::<Result<_, _>>()?;
    Ok(Some(User { uid, gid, groups }))
}

/// The environment a task begins with: that of this process, or for another user what says
/// which language to speak.
pub fn environment(of_another: bool) -> Vec<(OsString, OsString)> {
    surroundings(std::env::vars_os(), of_another, Path::new(AIO).is_dir())
}

fn surroundings(
    all: impl Iterator<Item = (OsString, OsString)>,
    of_another: bool,
    aio: bool,
) -> Vec<(OsString, OsString)> {
    let kept = |name: &str| match of_another {
        true => name.starts_with("LC_") || ["LANG", "LANGUAGE"].contains(&name),
        false => name != "PATH" && !OF_SERVICE.contains(&name),
    };
    let mut path = OsString::from(PATH);
    let mut given = vec![];
    for (name, value) in all {
        if name == "PATH" && !of_another && !value.is_empty() {
            path.clone_from(&value);
        }
        if name.to_str().is_some_and(kept) {
            given.push((name, value));
        }
    }
    if aio {
        let mut first = OsString::from(AIO);
        first.push(":");
        first.push(&path);
        path = first;
    }
    given.push(("PATH".into(), path));
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_theirs_is_not_given() {
        let own = [
            ("PATH", "/x"),
            ("LANG", "C"),
            ("SECRET", "s"),
            ("NOTIFY_SOCKET", "n"),
            ("LD_PRELOAD", "l"),
            ("LC_ALL", "C"),
        ];
        let all = || own.into_iter().map(|(name, value)| (name.into(), value.into()));
        let shown = |all: Vec<(OsString, OsString)>| {
            let mut words: Vec<String> =
                all.iter().map(|(n, v)| format!("{}={}", n.display(), v.display())).collect();
            words.sort();
            words.join(" ")
        };
        assert_eq!(shown(surroundings(all(), false, false)), "LANG=C LC_ALL=C LD_PRELOAD=l PATH=/x SECRET=s");
        assert_eq!(shown(surroundings(all(), true, true)), format!("LANG=C LC_ALL=C PATH={AIO}:{PATH}"));
    }

    #[tokio::test]
    async fn users_are_looked_for() {
        for bad in ["-u", "a b", "a;b", "no-such-user-here"] {
            assert!(find(bad).await.is_err(), "{bad}");
        }
        if rustix::process::geteuid().is_root() {
            assert_eq!(find("root").await.unwrap(), None);
            let nobody = find("nobody").await.unwrap().unwrap();
            assert!(nobody.uid > 0 && nobody.groups.contains(&nobody.gid));
        }
    }
}
