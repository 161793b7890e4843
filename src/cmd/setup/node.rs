//! `choria setup node`.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::config::Role;
use choria::core::files::read_bounded;
use choria::core::pki::{Ca, Kind, Options};
use choria::core::security::Usage;
use zeroize::Zeroizing;

use super::broker::port;
use super::invitation::{self, Invitation, Who, check_name};
use super::machine::{self, CA, ETC, TLS};
use super::request;
use super::steps::{Step, carry_out, install, is_revoked, standing, tell_next};
use super::texts::{self, Found, agrees, look};
use crate::cmd::out::outln;
use crate::cmd::tool::place::Place;

const UNIT: &str = "choria-server";

/// make this machine a node of a network: certificate, configuration, policies, daemon
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "node")]
pub struct Node {
    /// NAME.setup of the broker's machine, - reads it from standard input; none on the broker's machine itself
    #[argh(positional, arg_name = "file")]
    file: Option<PathBuf>,
    /// with --request or on the broker's machine, name of the node, default the machine's
    #[argh(option, arg_name = "name")]
    name: Option<String>,
    /// on the broker's machine, directory of the CA, default /etc/choria/ca
    #[argh(option, arg_name = "dir")]
    ca: Option<PathBuf>,
    /// make the key here, and write NAME.request, to be carried to the broker's machine
    #[argh(switch)]
    request: bool,
    /// show what would be done, and do nothing
    #[argh(switch, short = 'n')]
    dry_run: bool,
}

/// What a node is made of.
struct Plan {
    steps: Vec<Step>,
    name: String,
    broker: String,
    tls: PathBuf,
    /// Another certificate takes the place of one.
    renewed: bool,
}

impl Node {
    pub fn run(self, now: i64) -> anyhow::Result<()> {
        machine::only_root("node")?;
        if self.request {
            return self.asks(now);
        }
        let Plan { mut steps, name, broker, tls, renewed } = match &self.file {
            Some(file) => self.invited(file, now)?,
            None => self.on_the_brokers_machine(now)?,
        };
        let config = configuration(&mut steps, &name, &broker, &tls)?;
        beside(&mut steps);
        steps.push(Step::Check { role: Role::Server, file: config });
        let lacks = machine::lacks_unit(UNIT);
        if lacks.is_none() {
            steps.push(Step::Start { unit: UNIT });
            steps.extend(renewed.then_some(Step::Reload { unit: UNIT }));
        }
        if let Some(file) = self.file.filter(|file| file.as_os_str() != "-") {
            steps.push(Step::Remove { path: file });
        }
        carry_out(steps, self.dry_run, now)?;
        let mut next = Vec::new();
        if let Some(reason) = machine::unreachable(&broker).filter(|_| !self.dry_run) {
            outln!("");
            outln!("{broker} does not answer from here yet ({reason}): the node keeps trying.");
        }
        if let Some(why) = lacks {
            next.push(("sudo choria server run".to_owned(), format!("here: {why}")));
        }
        next.push((format!("choria ping -I {name}"), "where an operator is".to_owned()));
        tell_next(&machine::aligned(next));
        Ok(())
    }

    /// A request for a certificate, by a key that never leaves this machine.
    fn asks(&self, now: i64) -> anyhow::Result<()> {
        if let Some(file) = &self.file {
            bail!("--request is for a machine that has no file yet: leave {} out", file.display());
        }
        let name = self.name.clone().map_or_else(machine::name, Ok)?;
        check_name(Who::Node, &name)?;
        let place = Place::of(Kind::Node, Some(TLS))?;
        let file = PathBuf::from(format!("{name}.request"));
        for there in [place.certificate(), file.clone()] {
            if there.symlink_metadata().is_ok() {
                bail!("{} is there already: move it away first", there.display());
            }
        }
        let mut steps = Vec::new();
        if !place.dir().is_dir() {
            steps.push(Step::Directory { path: place.dir().to_owned(), mode: 0o755 });
        }
        let next = [
            format!("carry {} to the broker's machine, and there:", file.display()),
            format!("sudo choria setup broker --node {name} --request {}", file.display()),
            format!("carry {name}.setup back, and here: sudo choria setup node {name}.setup"),
        ];
        steps.push(Step::Ask { name, key: place.key(), file, owner: machine::owner() });
        carry_out(steps, self.dry_run, now)?;
        tell_next(&next);
        Ok(())
    }

    /// By what was carried here.
    fn invited(&self, file: &Path, now: i64) -> anyhow::Result<Plan> {
        if let Some(name) = &self.name {
            bail!("the file says what the node is called: leave --name {name} out");
        }
        if let Some(ca) = &self.ca {
            bail!("the file brings the certificate of its CA: leave --ca {} out", ca.display());
        }
        let shown = file.display();
        let place = Place::of(Kind::Node, Some(TLS))?;
        let made = match place.certificate().exists() {
            true => "this machine is a node already, and a file is used up by the setup it is for",
            false => "the broker's machine makes it, sudo choria setup broker --node NAME",
        };
        let invitation = read(file, Who::Node, made, now)?;
        let (mut steps, mut renewed) = (Vec::new(), false);
        let (name, broker) = (invitation.name.clone(), invitation.broker.clone());
        if place.certificate().symlink_metadata().is_err() && invitation.key().is_none() {
            let steps = request::answered(&place, &invitation)?;
            return Ok(Plan { steps, name, broker, tls: TLS.into(), renewed });
        }
        match standing(&place, &invitation.ca, Usage::Client, now)? {
            Some(there) if there.common_name != invitation.name => {
                bail!(
                    "{TLS} has the certificate of {}, and {shown} is for {}: use it on that machine; the broker's own, where this is it, needs no file",
                    there.common_name,
                    invitation.name
                )
            }
            there => renewed = install(&mut steps, place, &invitation, there.as_ref(), "which the node has")?,
        }
        Ok(Plan { steps, name, broker, tls: TLS.into(), renewed })
    }

    /// A node beside the broker: the CA is at hand.
    fn on_the_brokers_machine(&self, now: i64) -> anyhow::Result<Plan> {
        let name = self.name.clone().map_or_else(machine::name, Ok)?;
        check_name(Who::Node, &name)?;
        let at = self.ca.as_deref().unwrap_or(Path::new(CA));
        let Some((ca, broker)) = brokers_machine(at, now)? else {
            no_ca(self.ca.as_deref())?;
            bail!(
                "a node needs a file of its broker's machine: there, sudo choria setup broker --node {name}; carry \
                 {name}.setup here, and here: sudo choria setup node {name}.setup"
            );
        };
        // Beside the broker's own.
        let tls = Path::new(TLS).join("node");
        let place = Place::of(Kind::Node, tls.to_str())?;
        let there = standing(&place, ca.certificate_pem(), Usage::Client, now)?;
        if let Some(there) = there.as_ref().filter(|there| there.common_name != name) {
            bail!("this machine is the node {} already: leave --name {name} out", there.common_name);
        }
        let renewed = there.as_ref().map(|there| is_revoked(&ca, there)).transpose()?.unwrap_or_default();
        let mut steps = Vec::new();
        if there.is_some() && !renewed {
            let what = format!("the certificate of {name}, in {}", tls.display());
            steps.push(Step::Keep { what, why: "which the node has" });
        } else {
            steps.extend(renewed.then(|| Step::Aside { place: place.clone(), name: name.clone() }));
            let (kind, name, options) = (Kind::Node, name.clone(), Options::default());
            steps.push(Step::Certificate { ca: at.to_owned(), kind, name, options, place });
        }
        Ok(Plan { steps, name, broker, tls, renewed })
    }
}

/// Whoever says where the CA is, is told that it is not there, or that there is no broker beside it.
pub fn no_ca(named: Option<&Path>) -> anyhow::Result<()> {
    match named.map(Path::display) {
        Some(at) => {
            bail!("--ca {at}: there is no CA there that has given this machine a broker's certificate")
        }
        None => Ok(()),
    }
}

/// The CA and the broker of this machine, where it has both.
pub fn brokers_machine(ca: &Path, now: i64) -> anyhow::Result<Option<(Ca, String)>> {
    if ca.join("ca.pem").symlink_metadata().is_err() {
        return Ok(None);
    }
    let ca = Ca::load(ca)?;
    let place = Place::of(Kind::Broker, None)?;
    let Some(broker) = standing(&place, ca.certificate_pem(), Usage::Server, now)? else { return Ok(None) };
    let broker = format!("{}:{}", broker.common_name, port(&Path::new(ETC).join("broker.conf"))?);
    Ok(Some((ca, broker)))
}

/// What was carried here, by file or by pipe; `made` says of a file that is not there where it
/// comes from.
pub fn read(file: &Path, who: Who, made: &str, now: i64) -> anyhow::Result<Invitation> {
    let shown = file.display();
    let text = match text_of(file) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => bail!("there is no file {shown}: {made}"),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            bail!("{shown} is not yours to read: sudo chown $USER {shown} makes it so")
        }
        Err(e) => bail!("{e}"),
    };
    Invitation::read(&text, who, now).context(shown.to_string())
}

fn text_of(file: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    if file.as_os_str() != "-" {
        return read_bounded(file, invitation::MAX).map(Zeroizing::new);
    }
    let mut text = Zeroizing::new(Vec::new());
    std::io::stdin().take(invitation::MAX + 1).read_to_end(&mut text)?;
    match text.len() as u64 > invitation::MAX {
        true => Err(std::io::Error::other(format!("it is longer than {} bytes", invitation::MAX))),
        false => Ok(text),
    }
}

/// The node's configuration; returns where it is.
fn configuration(steps: &mut Vec<Step>, name: &str, broker: &str, tls: &Path) -> anyhow::Result<PathBuf> {
    let path = Path::new(ETC).join("server.conf");
    let (sample, wanted) = texts::server(name, broker, tls);
    let keep = |why| Step::Keep { what: path.display().to_string(), why };
    steps.push(match look(&path, sample, &wanted)? {
        Found::Free { before } => Step::File {
            path: path.clone(),
            content: Zeroizing::new(wanted),
            mode: 0o640,
            group: None,
            before,
        },
        Found::Ours => keep("which fits"),
        Found::Changed => {
            agrees(Role::Server, &path, broker, Some(name), &Place::of(Kind::Node, tls.to_str())?)?;
            keep("which you have changed")
        }
    });
    Ok(path)
}

/// What packages bring beside it, where there was no package.
fn beside(steps: &mut Vec<Step>) {
    for dir in ["policies", "plugins"].map(|name| Path::new(ETC).join(name)) {
        if !dir.is_dir() {
            steps.push(Step::Directory { path: dir, mode: 0o755 });
        }
    }
    for (name, text) in texts::OF_NODES {
        let path = Path::new(ETC).join(name);
        if path.symlink_metadata().is_err() {
            let content = Zeroizing::new(text.to_owned());
            steps.push(Step::File { path, content, mode: 0o644, group: None, before: None });
        }
    }
}
