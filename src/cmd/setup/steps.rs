//! What is to be done, as a list: shown before, or told as it is done.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use choria::core::config::{Config, Role, System};
use choria::core::files::{Reader, SECRET, make_directory, read_bounded, write_atomic, write_new_of};
use choria::core::pki::{Ca, Entry, Issued, Kind, Options};
use choria::core::provisioner::csr::CheckedCsr;
use choria::core::security::{Certificate, Provider, Trust, Usage, pem};
use choria::core::text::hex;
use zeroize::Zeroizing;

use super::super::out::outln;
use super::super::tool::place::Place;
use super::invitation::{Invitation, Who};
use super::{machine, request};

/// Largest file that is compared, in bytes.
const MAX: u64 = 1 << 20;

/// One thing to do.
pub enum Step {
    /// It is there already, and stays.
    Keep {
        what: String,
        why: &'static str,
    },
    Directory {
        path: PathBuf,
        mode: u32,
    },
    /// A file where there is none, or in the place of what a package brought.
    File {
        path: PathBuf,
        content: Zeroizing<String>,
        mode: u32,
        group: Option<u32>,
        before: Option<String>,
    },
    Link {
        path: PathBuf,
        target: PathBuf,
    },
    Ca {
        dir: PathBuf,
    },
    /// A key and a certificate of the CA in a directory.
    Certificate {
        ca: PathBuf,
        kind: Kind,
        name: String,
        options: Options,
        place: Place,
    },
    /// The same, of somebody who has it already.
    Install {
        place: Place,
        ca: String,
        issued: Issued,
    },
    /// A certificate and its key, out of the way of those that take their place.
    Aside {
        place: Place,
        name: String,
    },
    /// A file to be carried, for the person who is to carry it.
    Invite {
        ca: PathBuf,
        who: Who,
        name: String,
        broker: String,
        file: PathBuf,
        owner: Owner,
    },
    /// The same for a machine that has asked by a key of its own.
    Sign {
        ca: PathBuf,
        name: String,
        broker: String,
        file: PathBuf,
        owner: Owner,
        request: CheckedCsr,
    },
    /// A request for a certificate, and its key where there is none.
    Ask {
        name: String,
        key: PathBuf,
        file: PathBuf,
        owner: Owner,
    },
    /// A daemon's configuration, as it will be read.
    Check {
        role: Role,
        file: PathBuf,
    },
    Start {
        unit: &'static str,
    },
    /// Has a daemon that runs read its keys again.
    Reload {
        unit: &'static str,
    },
    Remove {
        path: PathBuf,
    },
    /// Somebody's own part, done as that person.
    As {
        person: machine::Person,
        /// What was read, `-` for nothing.
        file: PathBuf,
        invitation: Box<dyn FnOnce() -> anyhow::Result<Zeroizing<String>>>,
    },
}

/// User and group of a file, where they are not root's.
pub type Owner = (Option<u32>, Option<u32>);

/// What becomes of each step: what was done, what would be, and to what.
type Words = (&'static str, &'static str, String);

impl Step {
    fn words(&self) -> Words {
        let shown = |path: &Path| path.display().to_string();
        match self {
            Step::Keep { what, why } => ("kept", "keep", format!("{what}, {why}")),
            Step::Directory { path, .. } => ("made", "make", shown(path)),
            Step::File { path, before: None, .. } => ("wrote", "write", shown(path)),
            Step::File { path, before: Some(_), .. } => {
                ("wrote", "write", format!("{}, which nobody had changed", shown(path)))
            }
            Step::Link { path, target } => {
                ("linked", "link", format!("{} to {}", shown(path), shown(target)))
            }
            Step::Ca { dir } => ("made", "make", format!("a CA in {}: keep its key to yourself", shown(dir))),
            Step::Certificate { name, place, .. } => {
                ("issued", "issue", format!("a certificate of {name}, in {}", shown(place.dir())))
            }
            Step::Install { place, issued, .. } => (
                "installed",
                "install",
                format!("the certificate of {}, in {}", issued.name, shown(place.dir())),
            ),
            Step::Aside { place, name } => (
                "moved",
                "move",
                format!(
                    "the certificate of {name} before, and its key, to {}",
                    shown(&place.dir().join("*.old"))
                ),
            ),
            Step::Invite { who, name, file, .. } => {
                let what = who.word();
                ("wrote", "write", format!("{} for {what} {name}: a private key is in it", shown(file)))
            }
            Step::Sign { name, file, .. } => {
                ("wrote", "write", format!("{} for node {name}, by its own key", shown(file)))
            }
            Step::Ask { key, file, .. } => {
                ("wrote", "write", format!("{}, by the key {}, which stays here", shown(file), shown(key)))
            }
            Step::Check { file, .. } => ("checked", "check", shown(file)),
            Step::Start { unit } => ("started", "start", format!("{unit}, now and at every boot")),
            Step::Reload { unit } => ("reloaded", "reload", format!("{unit}, which has another key now")),
            Step::Remove { path } => ("removed", "remove", format!("{}, which is used up", shown(path))),
            Step::As { person, .. } => {
                ("went on", "go on", format!("as {}, in {}", person.name, person.home.display()))
            }
        }
    }

    fn take(self, now: i64) -> anyhow::Result<()> {
        match self {
            Step::Keep { .. } => {}
            Step::Directory { path, mode } => make_directory(&path, mode)?,
            Step::File { path, content, mode, group, before: None } => {
                write_new_of(&path, content.as_bytes(), mode, (None, group))?;
            }
            Step::File { path, content, before: Some(before), .. } => replace(&path, &content, &before)?,
            Step::Link { path, target } => {
                symlink(&target, &path).with_context(|| format!("cannot make {}", path.display()))?;
            }
            Step::Ca { dir } => drop(Ca::create(&dir, "Choria CA", now)?),
            Step::Certificate { ca, kind, name, options, place } => {
                let ca = Ca::load(&ca)?;
                let issued = ca.issue(kind, &name, &options, now)?;
                place.put(ca.certificate_pem(), &issued)?;
            }
            Step::Install { place, ca, issued } => drop(place.put(&ca, &issued)?),
            Step::Invite { ca, who, name, broker, file, owner } => {
                let ca = Ca::load(&ca)?;
                let issued = ca.issue(who.kind(), &name, &Options::default(), now)?;
                let text = Invitation::new(who, &broker, ca.certificate_pem(), &issued).text()?;
                write_new_of(&file, text.as_bytes(), SECRET, owner)?;
            }
            Step::Sign { ca, name, broker, file, owner, request } => {
                let text = request::sign(&ca, &name, &broker, &request, now)?.text()?;
                write_new_of(&file, text.as_bytes(), SECRET, owner)?;
            }
            Step::Ask { name, key, file, owner } => request::ask(&name, &key, &file, owner)?,
            Step::Check { role, file } => check(role, &file, now)?,
            Step::Aside { place, .. } => {
                // the certificate first: without one the place is free for another try
                for file in [place.certificate(), place.key()] {
                    fs::rename(&file, file.with_extension("pem.old"))
                        .with_context(|| format!("cannot move {} away", file.display()))?;
                }
            }
            Step::Start { unit } => machine::enable(unit)?,
            Step::Reload { unit } => machine::reload(unit)?,
            Step::Remove { path } => {
                fs::remove_file(&path).with_context(|| format!("remove {} yourself", path.display()))?;
            }
            Step::As { person, file, invitation } => person.goes_on(&file, invitation()?.as_bytes())?,
        }
        Ok(())
    }
}

/// Does all of it and says so, or only says what would be done.
pub fn carry_out(steps: Vec<Step>, dry_run: bool, now: i64) -> anyhow::Result<()> {
    if dry_run {
        outln!("Nothing is changed; this would be done:");
    }
    for step in steps {
        let (done, to_do, what) = step.words();
        if dry_run {
            outln!("  {to_do:<8} {what}");
            continue;
        }
        // Another process tells its own part.
        let before = matches!(step, Step::As { .. });
        if before {
            outln!("{done:<9} {what}");
        }
        step.take(now)?;
        if !before {
            outln!("{done:<9} {what}");
        }
    }
    Ok(())
}

/// What comes next, for who reads it.
pub fn tell_next(lines: &[String]) {
    outln!("");
    outln!("Next:");
    for line in lines {
        outln!("  {line}");
    }
}

/// Puts another text in the place of one that nobody had changed a moment ago.
fn replace(path: &Path, content: &str, before: &str) -> anyhow::Result<()> {
    if read_bounded(path, MAX)? != before.as_bytes() {
        bail!("{} has just been changed by somebody: say this again", path.display());
    }
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    Ok(write_atomic(path, content.as_bytes(), mode)?)
}

/// That a configuration and the files it names are good for what they are for.
pub fn check(role: Role, file: &Path, now: i64) -> anyhow::Result<()> {
    let config = Config::load(role, Some(file), &System)?;
    if role == Role::Broker {
        crate::cmd::broker::check_features(&config)?;
    }
    let provider = Provider::new(&config, role, &System)?;
    if role == Role::Broker {
        broker_may_read_all(file, &provider)?;
    }
    match provider.misfit(now) {
        Some(reason) => bail!("{reason}"),
        None => Ok(()),
    }
}

/// That the user whom brokers run as gets to a configuration and to the keys it names.
pub fn broker_may_read_all(config: &Path, provider: &Provider) -> anyhow::Result<()> {
    let files = provider.files();
    let all = [config, &files.certificate, &files.key, &files.ca];
    all.into_iter().chain(files.crl.as_deref()).try_for_each(broker_may_read)
}

/// That the user whom brokers run as gets to a file; one that is not there yet, as far as the way to
/// it is. This process is root, who gets everywhere.
pub fn broker_may_read(file: &Path) -> anyhow::Result<()> {
    let reader = Reader::called(machine::USER);
    let Some(at) = reader.and_then(|reader| reader.kept_out_by(file)) else { return Ok(()) };
    let (user, file, shown) = (machine::USER, file.display(), at.display());
    match at.is_dir() {
        true => bail!(
            "the user {user}, as whom the broker runs, gets no further than {shown} on the way to {file}: chmod o+x \
             {shown}, or have it elsewhere"
        ),
        false => {
            bail!("{shown} cannot be read by the user {user}, as whom the broker runs: let it read the file")
        }
    }
}

/// Adds what brings the certificate of an invitation to its place, where that of the same name is
/// `there` already. Whether it takes the place of that one, which is revoked most likely.
pub fn install(
    steps: &mut Vec<Step>,
    place: Place,
    invitation: &Invitation,
    there: Option<&Certificate>,
    why: &'static str,
) -> anyhow::Result<bool> {
    if let Some(there) = there {
        let new = invitation.parsed()?;
        let is_older = new.not_before < there.not_before;
        if new.serial == there.serial || is_older {
            let what = format!("the certificate of {}, in {}", there.common_name, place.dir().display());
            let why = if is_older { "which is newer than the one of the file" } else { why };
            steps.push(Step::Keep { what, why });
            return Ok(false);
        }
    }
    let key = invitation.key().with_context(|| match there {
        Some(_) => {
            format!("there is no private key in it: move {} away first", place.certificate().display())
        }
        None => "there is no private key in it".to_owned(),
    })?;
    if let Some(there) = there {
        let (place, name) = (place.clone(), there.common_name.clone());
        steps.push(Step::Aside { place, name });
    }
    let issued = invitation.issued(key);
    steps.push(Step::Install { place, ca: invitation.ca.clone(), issued });
    Ok(there.is_some())
}

/// Whether the CA has taken back a certificate.
pub fn is_revoked(ca: &Ca, certificate: &Certificate) -> anyhow::Result<bool> {
    let serial = hex(&certificate.serial);
    let serial = serial.trim_start_matches('0');
    let revoked =
        |(entry, revoked): &(Entry, bool)| *revoked && entry.serial.trim_start_matches('0') == serial;
    Ok(ca.issued()?.iter().any(revoked))
}

/// The certificate that is at its place already, of this CA and for this use; none where the
/// place is free. Anything else there is somebody's, and stays.
pub fn standing(place: &Place, ca: &str, usage: Usage, now: i64) -> anyhow::Result<Option<Certificate>> {
    let there = |path: &Path| path.symlink_metadata().is_ok();
    let (certificate, key) = (place.certificate(), place.key());
    if !there(&certificate) && !there(&key) {
        place.is_free(ca)?;
        return Ok(None);
    }
    let shown = certificate.display();
    if !there(&certificate) || !there(&key) {
        bail!("of {shown} and {} only one is there: move it away first", key.display());
    }
    let text = read_bounded(&certificate, MAX)?;
    let chain = pem::certificates(&text).map_err(|e| anyhow!("{shown} {e}"))?;
    let leaf = chain.first().with_context(|| format!("{shown} holds no certificate"))?;
    let trust = Trust::from_pem(ca.as_bytes(), None).map_err(|e| anyhow!("the CA {e}"))?;
    trust.verify(leaf, &chain[1..], now, usage).map_err(|e| {
        anyhow!(
            "{shown} is there already and is none that this needs ({e}): move it and {} away first",
            key.display()
        )
    })?;
    Ok(Some(Certificate::parse(leaf).with_context(|| format!("{shown} is malformed"))?))
}
