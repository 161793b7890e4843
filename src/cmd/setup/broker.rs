//! `choria setup broker`.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::config::{Config, Role, System};
use choria::core::pki::{Ca, Kind, Options};
use choria::core::provisioner::csr::CheckedCsr;
use choria::core::security::Usage;
use zeroize::Zeroizing;

use super::invitation::{Who, check_name, check_unissued};
use super::machine::{self, CA, ETC, TLS};
use super::request;
use super::steps::{Step, broker_may_read, carry_out, is_revoked, standing, tell_next};
use super::texts::{self, Found, look};
use crate::cmd::out::outln;
use crate::cmd::tool::place::Place;

const UNIT: &str = "choria-broker";

/// make this machine the broker of a network: a CA, the broker's certificate, its configuration, its daemon; and files
/// that make machines nodes and people operators. Said again, it goes on from what is there
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "broker")]
pub struct Broker {
    /// name by which others reach this machine, default its own
    #[argh(option, arg_name = "host")]
    name: Option<String>,
    /// another name or address the broker's certificate is valid for
    #[argh(option, long = "alt", arg_name = "name")]
    alt_names: Vec<String>,
    /// write NAME.setup, which makes one machine the node NAME; may be given several times
    #[argh(option, long = "node", arg_name = "name")]
    nodes: Vec<String>,
    /// write NAME.setup, which makes somebody on another machine an operator; may be given several times
    #[argh(option, long = "operator", arg_name = "name")]
    operators: Vec<String>,
    /// NAME.request of the one node, which has made its own key; NAME.setup has none in it then
    #[argh(option, arg_name = "file")]
    request: Option<PathBuf>,
    /// directory of the CA, default /etc/choria/ca
    #[argh(option, arg_name = "dir", default = "PathBuf::from(CA)")]
    ca: PathBuf,
    /// show what would be done, and do nothing
    #[argh(switch, short = 'n')]
    dry_run: bool,
}

impl Broker {
    pub fn run(self, now: i64) -> anyhow::Result<()> {
        machine::only_root("broker")?;
        let group = machine::group()?;
        let (mut steps, ca) = self.ca()?;
        let (name, renewed) = self.certificate(&mut steps, ca.as_ref(), now)?;
        let config = Path::new(ETC).join("broker.conf");
        steps.push(match look(&config, texts::BROKER, texts::BROKER)? {
            Found::Free { .. } => Step::File {
                path: config.clone(),
                content: Zeroizing::new(texts::BROKER.to_owned()),
                mode: 0o640,
                group: Some(group),
                before: None,
            },
            Found::Ours => Step::Keep { what: config.display().to_string(), why: "which fits" },
            Found::Changed => {
                Step::Keep { what: config.display().to_string(), why: "which you have changed" }
            }
        });
        readable(&config, group)?;
        steps.push(Step::Check { role: Role::Broker, file: config.clone() });
        let lacks = machine::lacks_unit(UNIT);
        let runs = lacks.is_none();
        if runs {
            steps.push(Step::Start { unit: UNIT });
            steps.extend(renewed.then_some(Step::Reload { unit: UNIT }));
        }
        let broker = format!("{name}:{}", port(&config)?);
        let invited = self.invitations(&mut steps, ca.as_ref(), &broker)?;
        let crl = self.link_to_revocations()?;
        let before_check =
            steps.iter().position(|step| matches!(step, Step::Check { .. })).unwrap_or(steps.len());
        steps.splice(before_check..before_check, crl);
        carry_out(steps, self.dry_run, now)?;
        if runs
            && !self.dry_run
            && let Some(reason) = machine::unreachable(&broker)
        {
            outln!("");
            outln!("{broker} does not answer from here ({reason}): nodes look for it by that name.");
        }
        // Most often the name of a machine in its own network only.
        if !name.contains('.') || name.parse::<IpAddr>().is_ok() {
            outln!("");
            outln!(
                "{name} is the name in the broker's certificate: nodes have to reach it by that. For another, move \
                 {TLS}/certificate.pem and key.pem away, and say this again with --name."
            );
        }
        tell_next(&self.next(&invited, lacks));
        Ok(())
    }

    /// The CA of the network, which is made where there is none.
    fn ca(&self) -> anyhow::Result<(Vec<Step>, Option<Ca>)> {
        let there = |name: &str| self.ca.join(name).symlink_metadata().is_ok();
        if there("ca.pem") || there("ca-key.pem") {
            let ca = Ca::load(&self.ca)?;
            let what = format!("the CA in {}", self.ca.display());
            return Ok((vec![Step::Keep { what, why: "which signs what is made now" }], Some(ca)));
        }
        let installed = Path::new(TLS).join("ca.pem");
        if installed.symlink_metadata().is_ok() {
            bail!(
                "{} is the certificate of a CA that is not in {}: say with --ca where it is, or move it away first",
                installed.display(),
                self.ca.display()
            );
        }
        Ok((vec![Step::Ca { dir: self.ca.clone() }], None))
    }

    /// The broker's certificate; returns the name it has or gets, and whether it takes the place of
    /// one that was revoked.
    fn certificate(
        &self,
        steps: &mut Vec<Step>,
        ca: Option<&Ca>,
        now: i64,
    ) -> anyhow::Result<(String, bool)> {
        let place = Place::of(Kind::Broker, None)?;
        let there = match ca {
            Some(ca) => standing(&place, ca.certificate_pem(), Usage::Server, now)?,
            None if place.certificate().symlink_metadata().is_ok()
                || place.key().symlink_metadata().is_ok() =>
            {
                bail!("{} or its key is there already: move both away first", place.certificate().display())
            }
            None => None,
        };
        let mut before = None;
        if let Some(there) = there {
            let named = self.name.as_deref().filter(|name| *name != there.common_name);
            if let Some(name) = named {
                bail!(
                    "the certificate in {TLS} is of {}, not {name}: move it and its key away for another",
                    there.common_name
                );
            }
            if !ca.map(|ca| is_revoked(ca, &there)).transpose()?.unwrap_or_default() {
                if let Some(name) = self.alt_names.iter().find(|name| !there.is_for(name)) {
                    bail!(
                        "the certificate in {TLS} is not valid for {name}: move it and its key away for one that is, \
                         and say this again with --name {} and every --alt",
                        there.common_name
                    );
                }
                let what = format!("the certificate of {}, in {TLS}", there.common_name);
                steps.push(Step::Keep { what, why: "which the broker has" });
                return Ok((there.common_name, false));
            }
            steps.push(Step::Aside { place: place.clone(), name: there.common_name.clone() });
            before = Some(there);
        }
        let renewed = before.is_some();
        // what took over the place of a revoked one has its names
        let (name, mut alt_names) = match before {
            Some(there) => {
                let addresses = there.addresses.iter().map(ToString::to_string);
                (there.common_name, there.dns_names.into_iter().chain(addresses).collect())
            }
            None => (self.name.clone().map_or_else(machine::name, Ok)?, vec![]),
        };
        check_name(Who::Node, &name).with_context(|| "--name")?;
        alt_names.retain(|alt| *alt != name);
        let more = self.alt_names.iter().filter(|alt| !alt_names.contains(alt)).cloned().collect::<Vec<_>>();
        alt_names.extend(more);
        steps.push(Step::Certificate {
            ca: self.ca.clone(),
            kind: Kind::Broker,
            name: name.clone(),
            options: Options { alt_names, ..Options::default() },
            place,
        });
        Ok((name, renewed))
    }

    /// The broker follows the CA's revocation list where that is.
    fn link_to_revocations(&self) -> anyhow::Result<Option<Step>> {
        let path = Path::new(TLS).join("crl.pem");
        if path.symlink_metadata().is_ok() {
            return Ok(None);
        }
        let target = std::path::absolute(&self.ca)?.join("crl.pem");
        broker_may_read(&target)?;
        Ok(Some(Step::Link { path, target }))
    }

    /// The request of the one node.
    fn request(&self) -> anyhow::Result<Option<CheckedCsr>> {
        let Some(file) = &self.request else { return Ok(None) };
        match self.nodes.as_slice() {
            [name] => Ok(Some(request::read(file, name)?)),
            _ => bail!("say with one --node NAME whose request {} is", file.display()),
        }
    }

    /// Files to be carried; returns whom they are for.
    fn invitations(
        &self,
        steps: &mut Vec<Step>,
        ca: Option<&Ca>,
        broker: &str,
    ) -> anyhow::Result<Vec<(Who, String)>> {
        let mut request = self.request()?;
        let issued = ca.map(Ca::issued).transpose()?.unwrap_or_default();
        let nodes = self.nodes.iter().map(|name| (Who::Node, name));
        let all: Vec<_> = nodes.chain(self.operators.iter().map(|name| (Who::Operator, name))).collect();
        for (number, (who, name)) in all.iter().enumerate() {
            check_name(*who, name)?;
            let file = PathBuf::from(format!("{name}.setup"));
            if file.symlink_metadata().is_ok() || all[..number].iter().any(|(_, other)| other == name) {
                bail!("{} is there already: carry it, or remove it first", file.display());
            }
            if *who == Who::Node && broker.rsplit_once(':').is_some_and(|(own, _)| own == name.as_str()) {
                let at = ca_option(&self.ca);
                bail!(
                    "{name} is this machine, which becomes a node beside its broker by: sudo choria setup node{at}"
                );
            }
            check_unissued(*who, name, &issued, &self.ca)?;
            let (ca, name, broker) = (self.ca.clone(), (*name).clone(), broker.to_owned());
            let owner = machine::owner();
            steps.push(match request.take_if(|_| *who == Who::Node) {
                Some(request) => Step::Sign { ca, name, broker, file, owner, request },
                None => Step::Invite { ca, who: *who, name, broker, file, owner },
            });
        }
        Ok(all.into_iter().map(|(who, name)| (who, name.clone())).collect())
    }

    fn next(&self, invited: &[(Who, String)], lacks: Option<&str>) -> Vec<String> {
        let mut carried = Vec::new();
        for (who, name) in invited {
            carried.push(match who {
                Who::Node => {
                    format!("carry {name}.setup to {name}, leave none here, and there: sudo choria setup node {name}.setup")
                }
                Who::Operator => {
                    format!("carry {name}.setup to {name}, who says: choria setup operator {name}.setup")
                }
            });
        }
        let mut rows = Vec::new();
        let ca = ca_option(&self.ca);
        if let Some(why) = lacks {
            rows.push(("sudo -u choria choria broker run".to_owned(), format!("here: {why}")));
        }
        if invited.is_empty() {
            rows.push((format!("sudo choria setup broker{ca} --node NAME"), "for each node".to_owned()));
        }
        rows.push((format!("sudo choria setup operator{ca}"), "lets you ask them, from here".to_owned()));
        [carried, machine::aligned(rows)].concat()
    }
}

/// Where the CA is, as commands are told where it is not in its usual place.
fn ca_option(at: &Path) -> String {
    match at == Path::new(CA) {
        true => String::new(),
        false => format!(" --ca {}", at.display()),
    }
}

/// That a configuration which is there is one the broker may read, who is not root.
fn readable(config: &Path, group: u32) -> anyhow::Result<()> {
    let Ok(found) = config.metadata() else { return Ok(()) };
    let others = found.mode() & 0o004 != 0;
    if others || found.uid() != 0 || found.gid() == group && found.mode() & 0o040 != 0 {
        return Ok(());
    }
    bail!(
        "{0} cannot be read by the user choria, as whom the broker runs: chgrp choria {0} and chmod 0640 {0}",
        config.display()
    )
}

/// The port of the broker that a configuration makes.
pub fn port(config: &Path) -> anyhow::Result<i64> {
    match config.exists() {
        true => Ok(Config::load(Role::Broker, Some(config), &System)?.choria_network_client_port),
        false => Ok(4222),
    }
}
