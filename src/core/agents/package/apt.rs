//! apt and dpkg.

use super::LOOK;
use super::manager::Properties;
use super::update::Update;
use crate::core::agents::system::{Told, Tool};

/// Asks dpkg for a package: status, version and architecture, a line an architecture.
pub(super) fn query(name: &str) -> Tool {
    let format = "-f=${db:Status-Status}\t${Version}\t${Architecture}\t${Package}\n";
    Tool::new("dpkg-query", ["-W", format, "--", name])
}

/// Reads what [`query`] is told. A package that dpkg never heard of is purged.
pub(super) fn properties(name: &str, told: &Told) -> Result<Properties, String> {
    let none = |ensure: &str| Properties::none(name, ensure, "apt");
    if !told.well() && told.output.trim().is_empty() {
        return match told.errors.contains("no packages found matching") {
            true => Ok(none("purged")),
            false => Err(format!("dpkg-query: {}", told.complaint())),
        };
    }
    let mut left = "purged";
    for line in told.output.lines() {
        let mut fields = line.split('\t').map(str::trim);
        let (Some(status), Some(version), Some(arch)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        match status {
            "installed" | "triggers-awaited" | "triggers-pending" => {
                let (epoch, rest) = version.split_once(':').map_or((None, version), |(e, r)| (Some(e), r));
                let (upstream, release) = rest
                    .rsplit_once('-')
                    .map_or((rest, None), |(upstream, release)| (upstream, Some(release)));
                return Ok(Properties {
                    ensure: version.to_owned(),
                    version: Some(upstream.to_owned()),
                    release: release.map(str::to_owned),
                    epoch: epoch.map(str::to_owned),
                    arch: Some(arch.to_owned()),
                    ..none("")
                });
            }
            "config-files" | "half-installed" | "unpacked" | "half-configured" => left = "absent",
            _ => {}
        }
    }
    Ok(none(left))
}

/// apt-get, that asks nobody, keeps files people have changed, and waits two minutes for
/// whoever else is at work.
pub(super) fn get<const N: usize>(words: [&str; N]) -> Tool {
    let options = ["-q", "-y", "-o", "DPkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=120"];
    Tool::new("apt-get", options.into_iter().chain(words))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("APT_LISTCHANGES_FRONTEND", "none")
        .env("APT_LISTBUGS_FRONTEND", "none")
        .env("NEEDRESTART_MODE", "l")
}

/// Installs just that. apt reads patterns into names that are none: see [`candidate`].
pub(super) fn install(name: &str, version: &str) -> Tool {
    get(["install"]).arg(format!("{name}={version}"))
}

/// Removes what is installed; a name that is, is read as nothing else.
pub(super) fn remove(verb: &str, name: &str) -> Tool {
    get([verb, name])
}

/// The version apt would install.
pub(super) async fn candidate(name: &str) -> Result<String, String> {
    let told = Tool::new("apt-cache", ["policy", name]).ask(LOOK).await?;
    read_candidate(name, &told.output).ok_or_else(|| {
        format!("no version of {name} is available; is its repository set up, and are its lists fresh?")
    })
}

/// Of that very package: apt takes a name that is none for a pattern, and tells of all that
/// match.
pub(super) fn read_candidate(name: &str, policy: &str) -> Option<String> {
    let first = policy.lines().next()?.strip_suffix(':')?;
    let bare = |name: &str| name.split(':').next().map(str::to_owned);
    if bare(first) != bare(name) || policy.lines().skip(1).any(|line| !line.starts_with(' ')) {
        return None;
    }
    let line = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?;
    Some(line.trim()).filter(|version| *version != "(none)").map(str::to_owned)
}

/// Packages in what a simulated upgrade says. As the original, only what is installed has
/// an update: what would come anew does not count.
pub(super) fn updates(simulated: &str) -> Vec<Update> {
    let update = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(" [")?;
        let (_, rest) = rest.split_once("] (")?;
        let (version, rest) = rest.split_once(' ')?;
        let (repo, _) = rest.split_once(')')?;
        Some(Update::new(name, version, repo))
    };
    simulated.lines().filter_map(update).collect()
}
