//! Package managers, as one.

use std::time::Duration;

use super::update::Update;
use super::{LOOK, apk, apt, pkg, rpm, yum, zypper};
use crate::core::agents::system::input::{Refused, word};
use crate::core::agents::system::{Outputs, Told, Tool, has, looked};
use crate::core::config::Config;

/// Longest name and version (spec 02 §15.1).
const MOST: usize = 90;
/// Packages a search tells of.
const MOST_FOUND: usize = 1000;

/// What manages the packages of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    /// Debian's.
    Apt,
    /// Red Hat's, before dnf.
    Yum,
    /// Red Hat's.
    Dnf,
    /// SUSE's.
    Zypper,
    /// Alpine's.
    Apk,
    /// FreeBSD's.
    Pkg,
}

/// What is known of a package on a node; the interface's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Properties {
    /// Its name.
    pub name: String,
    /// Its version, or `absent` or `purged`.
    pub ensure: String,
    /// Parts of the version, where the manager has such parts.
    pub version: Option<String>,
    pub release: Option<String>,
    pub epoch: Option<String>,
    /// What it is built for.
    pub arch: Option<String>,
    /// Who was asked.
    pub provider: &'static str,
}

impl Properties {
    /// Of a package that is not there; `ensure` says in which way.
    pub fn none(name: &str, ensure: &str, provider: &'static str) -> Properties {
        Properties {
            name: name.to_owned(),
            ensure: ensure.to_owned(),
            version: None,
            release: None,
            epoch: None,
            arch: None,
            provider,
        }
    }

    /// Whether it is not installed.
    pub fn absent(&self) -> bool {
        self.ensure == "absent" || self.ensure == "purged"
    }

    /// Whether nothing of it is left, as far as its manager can know.
    pub fn purged(&self, manager: Manager) -> bool {
        self.ensure == "purged" || self.absent() && manager != Manager::Apt
    }

    /// Whether that is its version, written in any of the usual ways.
    pub fn is_version(&self, wanted: &str) -> bool {
        let without_epoch = self.ensure.split_once(':').map_or(self.ensure.as_str(), |(_, rest)| rest);
        [Some(self.ensure.as_str()), Some(without_epoch), self.version.as_deref()].contains(&Some(wanted))
    }

    /// As outputs.
    pub fn tell(&self, outputs: &mut Outputs) {
        outputs.set("name", self.name.as_str()).set("ensure", self.ensure.as_str());
        outputs.set("version", self.version.clone()).set("release", self.release.clone());
        outputs.set("epoch", self.epoch.clone()).set("arch", self.arch.clone());
        outputs.set("provider", self.provider);
    }
}

impl Manager {
    /// What a node is told to use, or else has.
    pub async fn of(config: &Config) -> Result<Manager, String> {
        let provider = config.option("plugin.package.provider").unwrap_or("puppet").trim();
        if let Some(named) = Manager::ALL.into_iter().find(|manager| manager.name() == provider) {
            return Ok(named);
        }
        // The original asks Puppet, which looks at the same things.
        if provider != "puppet" {
            return Err(format!(
                "plugin.package.provider = {provider} is nothing this node can use: \
                 apt, yum, dnf, zypper, apk or pkg, or leave it away"
            ));
        }
        let found = Manager::first(&Manager::ALL).await?;
        found.ok_or_else(|| "this node has none of apt, yum, dnf, zypper, apk and pkg".to_owned())
    }

    /// In the order the original looks for them, then those it does not know.
    const ALL: [Manager; 6] =
        [Manager::Yum, Manager::Apt, Manager::Zypper, Manager::Pkg, Manager::Dnf, Manager::Apk];

    /// What manages rpm packages here by yum's commands.
    pub async fn like_yum() -> Result<Manager, String> {
        let found = Manager::first(&[Manager::Yum, Manager::Dnf]).await?;
        found.ok_or_else(|| "Cannot find yum at /usr/bin/yum".to_owned())
    }

    /// apt, where it is there.
    pub async fn apt() -> Result<Manager, String> {
        let found = Manager::first(&[Manager::Apt]).await?;
        found.ok_or_else(|| "Cannot find apt-get at /usr/bin/apt-get".to_owned())
    }

    /// The first of them that is there.
    async fn first(of: &'static [Manager]) -> Result<Option<Manager>, String> {
        looked(|| of.iter().copied().find(|manager| manager.is_there())).await
    }

    fn is_there(self) -> bool {
        has(match self {
            Manager::Yum => "/usr/bin/yum",
            Manager::Apt => "/usr/bin/apt-get",
            Manager::Zypper => "/usr/bin/zypper",
            Manager::Pkg => "/usr/sbin/pkg",
            Manager::Dnf => "/usr/bin/dnf",
            Manager::Apk => "/sbin/apk",
        })
    }

    /// As the interface names it.
    pub fn name(self) -> &'static str {
        match self {
            Manager::Apt => "apt",
            Manager::Yum => "yum",
            Manager::Dnf => "dnf",
            Manager::Zypper => "zypper",
            Manager::Apk => "apk",
            Manager::Pkg => "pkg",
        }
    }

    /// Whether name and version, which may be empty, can be those of a package. What a
    /// manager reads as an option, a pattern, a path or another command is neither.
    pub fn checked(self, name: &str, version: &str) -> Result<(), Refused> {
        for (input, text) in [("package", name), ("version", version)] {
            if text.len() > MOST {
                return Err(Refused::new(input, text, "is longer than any such name"));
            }
        }
        let others = match self {
            Manager::Apt => "+.-:",
            Manager::Pkg => "+.-_/",
            Manager::Yum | Manager::Dnf | Manager::Zypper | Manager::Apk => "+.-_",
        };
        word("package", name, others)?;
        if name.contains("..") || name.contains("//") {
            return Err(Refused::new("package", name, "has a character that no such name has"));
        }
        if self == Manager::Apt && name.ends_with('-') {
            return Err(Refused::new("package", name, "could be read as another command"));
        }
        let file = |text: &str| [".rpm", ".apk", ".deb", ".pkg"].iter().any(|end| text.ends_with(end));
        if file(name) || file(version) {
            return Err(Refused::new("package", name, "could be read as a file"));
        }
        // words of apt for any version
        if ["candidate", "newest", "installed"].contains(&version) {
            return Err(Refused::new("version", version, "is no version"));
        }
        let others = if self == Manager::Pkg { "+.-:~_^," } else { "+.-:~_^" };
        if version.is_empty() { Ok(()) } else { word("version", version, others) }
    }

    /// Whether an exit code of a change says that it went well.
    pub fn well(self, code: i32) -> bool {
        code == 0 || self == Manager::Zypper && zypper::well(code)
    }

    /// What is known of a package.
    pub async fn status(self, name: &str) -> Result<Properties, String> {
        let told = match self {
            Manager::Apt => apt::query(name),
            Manager::Yum | Manager::Dnf | Manager::Zypper => rpm::query(name),
            Manager::Apk => apk::query(name),
            Manager::Pkg => pkg::query(name),
        };
        let told = told.ask(LOOK).await?;
        match self {
            Manager::Apt => apt::properties(name, &told),
            Manager::Yum | Manager::Dnf => rpm::properties(name, &told, "purged", self.name()),
            Manager::Zypper => rpm::properties(name, &told, "absent", self.name()),
            Manager::Apk => Ok(apk::properties(name, &told)),
            Manager::Pkg => Ok(pkg::properties(name, &told)),
        }
    }

    /// What installs a package; without a version, or with `latest`, the newest.
    pub async fn install(self, name: &str, version: &str) -> Result<Tool, String> {
        let version = Some(version).filter(|version| !["", "latest"].contains(version));
        match self {
            Manager::Apt => match version {
                Some(version) => {
                    apt::candidate(name).await?;
                    Ok(apt::install(name, version).arg("--allow-downgrades"))
                }
                None => Ok(apt::install(name, &apt::candidate(name).await?)),
            },
            Manager::Yum | Manager::Dnf => Ok(yum::install(self, name, version)),
            Manager::Zypper => Ok(zypper::install(name, version)),
            Manager::Apk => Ok(apk::install(name, version)),
            Manager::Pkg => Ok(pkg::install(name, version)),
        }
    }

    /// What brings a package to its newest version.
    pub async fn update(self, name: &str) -> Result<Tool, String> {
        match self {
            Manager::Apt => Ok(apt::install(name, &apt::candidate(name).await?)),
            Manager::Yum | Manager::Dnf => Ok(yum::change(self, "upgrade", name)),
            Manager::Zypper => Ok(zypper::change("update", name)),
            Manager::Apk => Ok(apk::update(name)),
            Manager::Pkg => Ok(pkg::change("upgrade", name)),
        }
    }

    /// What removes a package.
    pub fn remove(self, name: &str) -> Tool {
        match self {
            Manager::Apt => apt::remove("remove", name),
            Manager::Yum | Manager::Dnf => yum::change(self, "remove", name),
            Manager::Zypper => zypper::change("remove", name),
            Manager::Apk => apk::remove(name),
            Manager::Pkg => pkg::change("delete", name),
        }
    }

    /// What removes a package with what it leaves.
    pub fn purge(self, name: &str) -> Tool {
        match self {
            Manager::Apt => apt::remove("purge", name),
            Manager::Apk => apk::remove(name).arg("--purge"),
            other => other.remove(name),
        }
    }

    /// What lists all that is installed, a line each.
    pub fn list(self) -> Tool {
        match self {
            Manager::Apt => Tool::new("dpkg", ["--list"]),
            Manager::Yum | Manager::Dnf | Manager::Zypper => Tool::new("rpm", ["-qa"]),
            Manager::Apk => Tool::new("apk", ["info", "-v"]),
            Manager::Pkg => Tool::new("pkg", ["query", "%n"]),
        }
    }

    /// The program that lists.
    pub fn lister(self) -> &'static str {
        match self {
            Manager::Apt => "dpkg",
            Manager::Yum | Manager::Dnf | Manager::Zypper => "rpm",
            Manager::Apk => "apk",
            Manager::Pkg => "pkg",
        }
    }

    /// What the original counts and takes the MD5 of.
    pub fn listed(self, output: &str) -> String {
        match self {
            Manager::Apt => {
                output.lines().filter(|line| line.starts_with("ii")).collect::<Vec<_>>().join("\n")
            }
            Manager::Pkg | Manager::Apk => output.strip_suffix('\n').unwrap_or(output).to_owned(),
            Manager::Yum | Manager::Dnf | Manager::Zypper => output.to_owned(),
        }
    }

    /// What gets the lists of available packages anew.
    pub fn refresh(self) -> Tool {
        match self {
            Manager::Apt => apt::get(["update"]),
            Manager::Yum | Manager::Dnf => Tool::new(self.name(), ["clean", "metadata"]),
            Manager::Zypper => Tool::new("zypper", ["--non-interactive", "refresh"]),
            Manager::Apk => Tool::new("apk", ["update"]),
            Manager::Pkg => Tool::new("pkg", ["update"]),
        }
    }

    /// Packages that have an update, and what the manager said.
    pub async fn updates(self, limit: Duration) -> Result<(Told, Vec<Update>), String> {
        let tool = match self {
            Manager::Apt => apt::get(["--simulate", "dist-upgrade"]),
            Manager::Yum | Manager::Dnf => Tool::new(self.name(), ["-q", "check-update"]),
            Manager::Zypper => Tool::new("zypper", ["--non-interactive", "-q", "list-updates"]),
            Manager::Apk => Tool::new("apk", ["version", "-v", "-l", "<"]),
            Manager::Pkg => return pkg::updates(limit).await,
        };
        let told = tool.ask(limit).await?;
        let (well, updates) = match self {
            Manager::Apt => (told.well(), apt::updates(&told.output)),
            // 100 says that there are some
            Manager::Yum | Manager::Dnf => (told.well() || told.code == 100, yum::updates(&told.output)),
            Manager::Zypper => (zypper::well(told.code), zypper::updates(&told.output)),
            Manager::Apk => (told.well(), apk::updates(&told.output)),
            Manager::Pkg => (told.well(), Vec::new()),
        };
        if well {
            return Ok((told, updates));
        }
        Err(format!("{} failed, exit code was {}: {}", tool.shown(), told.code, told.complaint()))
    }

    /// Names of packages that begin with `name`.
    pub async fn search(self, name: &str) -> Result<Vec<String>, String> {
        let pattern = format!("{name}*");
        let tool = match self {
            Manager::Apt => Tool::new("apt-cache", ["pkgnames", name]),
            Manager::Yum | Manager::Dnf => Tool::new(self.name(), ["-q", "list", "all", &pattern]),
            Manager::Zypper => {
                Tool::new("zypper", ["--non-interactive", "-q", "search", "--type", "package", &pattern])
            }
            Manager::Apk => Tool::new("apk", ["search", &pattern]),
            Manager::Pkg => Tool::new("pkg", ["search", "-q", "-g", &pattern]),
        };
        let told = tool.ask(LOOK).await?;
        let mut found: Vec<String> = match self {
            Manager::Yum | Manager::Dnf => yum::names(&told.output),
            Manager::Zypper => zypper::names(&told.output),
            Manager::Apt | Manager::Apk | Manager::Pkg => told.output.lines().map(str::to_owned).collect(),
        };
        found.retain(|found| found.starts_with(name));
        found.sort();
        found.dedup();
        found.truncate(MOST_FOUND);
        Ok(found)
    }
}
