//! `choria setup operator`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::config::{Config, Role, System};
use choria::core::pki::{Ca, Kind, Options};
use choria::core::security::Usage;
use zeroize::Zeroizing;

use super::invitation::{Invitation, Who, check_name, check_unissued};
use super::machine::{CA, ETC, FILE, Person};
use super::node::{brokers_machine, no_ca, read};
use super::steps::{Step, carry_out, install, standing, tell_next};
use super::texts::{self, Found, look};
use crate::cmd::tool::place::Place;

/// let somebody ask nodes: a certificate in ~/.choria, and a configuration that names the broker
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "operator")]
pub struct Operator {
    /// NAME.setup of the broker's machine, - reads it from standard input; none on the broker's machine itself
    #[argh(positional, arg_name = "file")]
    file: Option<PathBuf>,
    /// on the broker's machine, as root, for whom; default who has said sudo
    #[argh(option, arg_name = "name")]
    user: Option<String>,
    /// on the broker's machine, directory of the CA, default /etc/choria/ca
    #[argh(option, arg_name = "dir")]
    ca: Option<PathBuf>,
    /// show what would be done, and do nothing
    #[argh(switch, short = 'n')]
    dry_run: bool,
}

impl Operator {
    pub fn run(self, now: i64) -> anyhow::Result<()> {
        match &self.file {
            Some(file) => self.invited(file, now),
            None => self.on_the_brokers_machine(now),
        }
    }

    /// As whoever runs this, by what was carried here.
    fn invited(&self, file: &Path, now: i64) -> anyhow::Result<()> {
        if let Some(user) = &self.user {
            bail!("a file is for who uses it, as that person: leave --user {user} out");
        }
        if let Some(ca) = &self.ca {
            bail!("the file brings the certificate of its CA: leave --ca {} out", ca.display());
        }
        if rustix::process::geteuid().is_root() {
            return self.by_sudo(file, now);
        }
        // root has read it from that file
        let behind = std::env::var_os(FILE).map(PathBuf::from).filter(|_| file.as_os_str() == "-");
        let shown = behind.as_deref().unwrap_or(file).display();
        let made = "the broker's machine makes it, sudo choria setup broker --operator NAME";
        let invitation = read(file, Who::Operator, made, now)?;
        let place = Place::of(Kind::Client, None)?;
        let mut steps = Vec::new();
        match standing(&place, &invitation.ca, Usage::Client, now)? {
            Some(there) if there.common_name != invitation.name => {
                bail!(
                    "{shown} is for {}, and {} has the certificate of {}: {0} uses it, or move that away first",
                    invitation.name,
                    place.dir().display(),
                    there.common_name
                )
            }
            there => drop(install(&mut steps, place, &invitation, there.as_ref(), "which you have")?),
        }
        let config = own_configuration(&mut steps, &invitation, &Place::of(Kind::Client, None)?)?;
        steps.push(Step::Check { role: Role::Client, file: config });
        if file.as_os_str() != "-" {
            steps.push(Step::Remove { path: file.to_owned() });
        }
        carry_out(steps, self.dry_run, now)?;
        tell_next(&["choria ping".to_owned()]);
        Ok(())
    }

    /// Whoever has said `sudo` goes on as themselves: nobody asks as root.
    fn by_sudo(&self, file: &Path, now: i64) -> anyhow::Result<()> {
        let Some(person) = Person::behind(None)? else {
            bail!("say it as yourself, choria setup operator {}: nobody should ask as root", file.display());
        };
        let made = "the broker's machine makes it, sudo choria setup broker --operator NAME";
        let invitation = read(file, Who::Operator, made, now)?;
        let named = file.to_owned();
        let mut steps =
            vec![Step::As { person, file: named, invitation: Box::new(move || invitation.text()) }];
        if file.as_os_str() != "-" {
            steps.push(Step::Remove { path: file.to_owned() });
        }
        carry_out(steps, self.dry_run, now)
    }

    /// As root, where the CA is, for whoever has said `sudo`.
    fn on_the_brokers_machine(&self, now: i64) -> anyhow::Result<()> {
        let of_brokers_machine = "on the broker's machine: there, sudo choria setup operator; or for another machine, \
             sudo choria setup broker --operator NAME, and as yourself: choria setup operator NAME.setup";
        if !rustix::process::geteuid().is_root() {
            bail!("certificates are made {of_brokers_machine}");
        }
        let Some((ca, broker)) = brokers_machine(self.ca.as_deref().unwrap_or(Path::new(CA)), now)? else {
            no_ca(self.ca.as_deref())?;
            bail!(
                "there is no CA in {CA} with a broker beside it; certificates are made {of_brokers_machine}"
            );
        };
        let Some(person) = Person::behind(self.user.as_deref())? else {
            if self.user.is_some() {
                bail!(
                    "nobody should ask as root: say with --user the name of a person, who may have to be made first \
                     (useradd -m NAME)"
                );
            }
            bail!(
                "say for whom with --user NAME, or say it by sudo as yourself: nobody should ask as root; where there \
                 is nobody else, useradd -m NAME makes somebody"
            );
        };
        check_name(Who::Operator, &person.name)?;
        let place = Place::of(Kind::Client, person.home.join(".choria").to_str())?;
        let there =
            [place.certificate(), place.key()].into_iter().find(|path| path.symlink_metadata().is_ok());
        if let Some(there) = there {
            bail!(
                "{} is there already: {} is an operator, of this network or another; move it away for one of this network",
                there.display(),
                person.name
            );
        }
        check_unissued(Who::Operator, &person.name, &ca.issued()?, ca.dir())?;
        let mut steps = Vec::new();
        of_everybody(&mut steps, &broker)?;
        let (name, at) = (person.name.clone(), ca.dir().to_owned());
        let invitation = move || {
            let ca = Ca::load(&at)?;
            let issued = ca.issue(Kind::Client, &name, &Options::default(), now)?;
            Invitation::new(Who::Operator, &broker, ca.certificate_pem(), &issued).text()
        };
        let last = format!("choria ping                                  as {}", person.name);
        let file = PathBuf::from("-");
        steps.push(Step::As { person, file, invitation: Box::new(invitation) });
        carry_out(steps, self.dry_run, now)?;
        if self.dry_run {
            tell_next(&[last]);
        }
        Ok(())
    }
}

/// The configuration that everybody on this machine has; one that was changed is left, and
/// each operator gets one of their own.
fn of_everybody(steps: &mut Vec<Step>, broker: &str) -> anyhow::Result<()> {
    let path = Path::new(ETC).join("client.conf");
    let (sample, wanted) = texts::client(broker);
    let keep = |why| Step::Keep { what: path.display().to_string(), why };
    steps.push(match look(&path, sample, &wanted)? {
        Found::Free { before } => Step::File {
            path: path.clone(),
            content: Zeroizing::new(wanted),
            mode: 0o644,
            group: None,
            before,
        },
        Found::Ours => keep("which fits"),
        Found::Changed => keep("which you have changed"),
    });
    Ok(())
}

/// The configuration that this person's commands read, which has to name the broker.
fn own_configuration(
    steps: &mut Vec<Step>,
    invitation: &Invitation,
    place: &Place,
) -> anyhow::Result<PathBuf> {
    let broker = invitation.broker.as_str();
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).context("HOME is not set")?;
    let own = PathBuf::from(home).join(".choriarc");
    let read = Config::load(Role::Client, None, &System);
    if let Ok(config) = &read
        && texts::names(config, broker)
        && let Some(path) = config.file()
    {
        texts::leads_to_keys(Role::Client, config, path, place)?;
        texts::is_of(Role::Client, config, path, place, &invitation.name)?;
        // of that of everybody it was said already, or somebody else sees to it
        if !path.starts_with(ETC) {
            steps.push(Step::Keep { what: path.display().to_string(), why: "which names the broker" });
        }
        return Ok(path.to_owned());
    }
    if own.symlink_metadata().is_ok() {
        bail!(
            "{} is yours and stays: have it say plugin.choria.middleware_hosts = {broker}, or move it away, and say \
             this again",
            own.display()
        );
    }
    let content = Zeroizing::new(texts::client(broker).1);
    steps.push(Step::File { path: own.clone(), content, mode: 0o644, group: None, before: None });
    Ok(own)
}
