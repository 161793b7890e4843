//! `choria tool ca`: a CA of one's own, so that a first network needs no other
//! software.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::super::out::{errln, outln};
use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::files;
use choria::core::pki::{self, Entry, Kind, LEAF_DAYS, Options, PkiError};
use choria::core::security::tokens::{BrokerTrust, ProvisioningClaims, SigningKey};
use choria::core::text::{column, hex, meant};
use zeroize::Zeroizing;

use super::super::jwt;
use super::place::Place;

/// Where a CA is made.
const CA: &str = "ca";

/// Where a CA is: here, or where setup makes one. What lies here and is another user's, who has
/// its key, is not meant unless it is named.
fn usual_ca() -> String {
    let of_setup = crate::cmd::setup::machine::CA;
    let here = Path::new(CA);
    match here.exists() && !files::is_own(here) || !here.exists() && Path::new(of_setup).exists() {
        true => of_setup.to_owned(),
        false => CA.to_owned(),
    }
}

/// make the certificates of a first network
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "ca")]
pub struct Ca {
    #[argh(subcommand)]
    command: CaCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum CaCommand {
    Init(Init),
    Issue(Issue),
    List(List),
    ProvisioningToken(ProvisioningToken),
    Revoke(Revoke),
}

/// make a token for nodes that wait to be provisioned; it carries the CA
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "provisioning-token")]
struct ProvisioningToken {
    /// directory of the CA, default ca, or /etc/choria/ca where none is here
    #[argh(option, arg_name = "dir", default = "usual_ca()")]
    dir: String,
    /// brokers to wait at, comma separated
    #[argh(option, arg_name = "list", default = "String::new()")]
    urls: String,
    /// or the domain whose SRV records name them
    #[argh(option, arg_name = "domain", default = "String::new()")]
    srv: String,
    /// fact file of nodes while they wait
    #[argh(option, arg_name = "file", default = "String::new()")]
    facts: String,
    /// file they publish while they wait
    #[argh(option, arg_name = "file", default = "String::new()")]
    registration: String,
    /// nodes wait only where their configuration says so
    #[argh(switch)]
    no_default: bool,
    /// how long the token is valid, such as 30d or 1y, default 1y
    #[argh(option, arg_name = "time", default = "String::from(\"1y\")")]
    validity: String,
    /// file the token is written to, default provisioning.jwt beside the CA
    #[argh(option, arg_name = "file")]
    out: Option<PathBuf>,
}

/// list the certificates a CA has made, those of its provisioner included
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "list")]
struct List {
    /// directory of the CA, default ca, or /etc/choria/ca where none is here
    #[argh(option, arg_name = "dir", default = "usual_ca()")]
    dir: String,
    /// print JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

/// make a new CA
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "init")]
struct Init {
    /// directory of the CA, default ca
    #[argh(option, arg_name = "dir", default = "String::from(CA)")]
    dir: String,
    /// name in the CA certificate, default Choria CA
    #[argh(option, arg_name = "name", default = "String::from(\"Choria CA\")")]
    name: String,
}

/// make a key and a certificate
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "issue")]
struct Issue {
    /// directory of the CA, default ca, or /etc/choria/ca where none is here
    #[argh(option, arg_name = "dir", default = "usual_ca()")]
    dir: String,
    /// for a broker of this host name
    #[argh(option, arg_name = "name")]
    broker: Option<String>,
    /// for a node of this identity
    #[argh(option, arg_name = "name")]
    node: Option<String>,
    /// for a person or program; NAME.mcollective unless it ends in .mcollective or .choria
    #[argh(option, arg_name = "name")]
    client: Option<String>,
    /// another name or address the certificate is valid for
    #[argh(option, long = "alt", arg_name = "name")]
    alt_names: Vec<String>,
    /// also valid for localhost, 127.0.0.1 and ::1
    #[argh(switch)]
    loopback: bool,
    /// days it is valid, default 1825
    #[argh(option, arg_name = "days", default = "LEAF_DAYS")]
    days: u32,
    /// directory the files are written to, default the CA's
    #[argh(option, arg_name = "dir")]
    out: Option<String>,
    /// give the files, the CA's certificate among them, the names, modes and owners that daemons and commands look
    /// for, in /etc/choria/tls or ~/.choria unless --out says where
    #[argh(switch)]
    install: bool,
}

/// revoke a certificate; brokers and nodes follow when they have the new crl.pem
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "revoke")]
struct Revoke {
    /// directory of the CA, default ca, or /etc/choria/ca where none is here
    #[argh(option, arg_name = "dir", default = "usual_ca()")]
    dir: String,
    /// name of the certificate
    #[argh(positional)]
    name: String,
}

impl Ca {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let now = jiff::Timestamp::now().as_second();
        match self.command {
            CaCommand::Init(init) => {
                let ca = pki::Ca::create(Path::new(&init.dir), &init.name, now)?;
                outln!("CA certificate: {}", ca.certificate_file().display());
                outln!(
                    "Give this certificate to every broker, node and client; keep the key in {} to yourself.",
                    init.dir
                );
            }
            CaCommand::Issue(issue) => issue.run(now)?,
            CaCommand::ProvisioningToken(token) => token.run()?,
            CaCommand::List(list) => list.run(now)?,
            CaCommand::Revoke(revoke) => {
                let ca = load(&revoke.dir)?;
                let of_broker = ca.is_of_broker(&revoke.name)?;
                let (name, revoked) = revoke.run(&ca, now)?;
                outln!("Revoked {revoked} certificates of {name}.");
                if of_broker {
                    outln!(
                        "A broker's is among them, which whoever has the list refuses: on {name} 'sudo choria setup \
                         broker' gives it another."
                    );
                }
                outln!("{}", followed(&ca.crl_file(), Path::new(crate::cmd::setup::machine::TLS)));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is to be done so that everybody follows; the broker that setup made has the list by a link.
fn followed(list: &Path, tls: &Path) -> String {
    let linked = tls.join("crl.pem").canonicalize().ok();
    let here = linked.is_some_and(|linked| list.canonicalize().is_ok_and(|list| list == linked));
    let (who, too) =
        if here { ("every other", ", as the broker of this machine does already") } else { ("every", "") };
    format!(
        "Copy {} beside the CA certificate of {who} broker and node (/etc/choria/tls/crl.pem): they follow{too}.",
        list.display()
    )
}

impl Revoke {
    /// The name in full, and how many certificates of it were revoked. `issue`
    /// makes NAME.mcollective of a client's NAME, and so it is found here.
    fn run(&self, ca: &pki::Ca, now: i64) -> anyhow::Result<(String, usize)> {
        let of_client = format!("{}.mcollective", self.name);
        let names = [Some(self.name.clone()), (!pki::is_callers(&self.name)).then(|| of_client.clone())];
        for name in names.into_iter().flatten() {
            match ca.revoke(&name, now) {
                Ok(revoked) => return Ok((name, revoked)),
                Err(PkiError::NothingToRevoke(_)) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let issued = ca.issued()?;
        if issued
            .iter()
            .any(|(entry, revoked)| *revoked && (entry.name == self.name || entry.name == of_client))
        {
            bail!("{} is revoked already; see 'choria tool ca list'", self.name);
        }
        let known = issued.iter().filter(|(_, revoked)| !revoked).map(|(entry, _)| entry.name.as_str());
        let meant = meant(&self.name, known);
        bail!("no certificate of {} that is not revoked already{meant}; see 'choria tool ca list'", self.name)
    }
}

fn load(dir: &str) -> anyhow::Result<pki::Ca> {
    pki::Ca::load(Path::new(dir)).map_err(|e| {
        let denied =
            matches!(&e, PkiError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied);
        let what = match denied {
            true => format!("the CA in {dir} is not yours to use, say it by sudo"),
            false => format!("no CA in {dir}, make one with 'choria tool ca init --dir {dir}'"),
        };
        anyhow::Error::new(e).context(what)
    })
}

impl ProvisioningToken {
    fn run(self) -> anyhow::Result<()> {
        if self.urls.is_empty() == self.srv.is_empty() {
            bail!("say where nodes wait: one of --urls HOST:4222,… and --srv DOMAIN");
        }
        let ca = load(&self.dir)?;
        let file = |name: &str| ca.dir().join(name);
        once(&file("provisioning-signer.seed"))?;
        let access = once(&file("provisioning-access.txt"))?;
        let key = SigningKey::from_file(&file("provisioning-signer.seed"))?;
        let public =
            jwt::public(&key).context("the key that signs provisioning tokens is no ed25519 seed")?;
        let mut claims = ProvisioningClaims {
            token: access.to_string(),
            secure: true,
            urls: self.urls,
            srv_domain: self.srv,
            by_default: !self.no_default,
            facts: self.facts,
            registration_data: self.registration,
            organization: "choria".to_owned(),
            ..ProvisioningClaims::default()
        };
        claims.set_trust(&BrokerTrust { ca: ca.certificate_pem().to_owned(), pin: String::new() });
        let out = self.out.unwrap_or_else(|| file("provisioning.jwt"));
        jwt::write(&out, claims, &key, &self.validity)?;
        outln!("provisioning token: {}", out.display());
        outln!("It ends after {}: nodes need another by then.", self.validity);
        outln!("");
        outln!("The broker lets nodes with it wait once its configuration has");
        outln!("  plugin.choria.network.provisioning.signer_cert = {public}");
        outln!("  plugin.choria.network.provisioning.client_password = (a password of your choice)");
        outln!("and the provisioner's has");
        outln!("  broker_provisioning_password: (that password)");
        outln!("  token: (what is in {})", file("provisioning-access.txt").display());
        outln!("  jwt_verify_cert: {public}");
        outln!("  features: {{pki: true, jwt: true}}");
        Ok(())
    }
}

impl List {
    fn run(self, now: i64) -> anyhow::Result<()> {
        let mut issued = load(&self.dir)?.issued()?;
        issued.sort_by(|(a, _), (b, _)| (&a.name, a.from).cmp(&(&b.name, b.from)));
        if !self.json && issued.is_empty() {
            errln!("choria: the CA in {} has made no certificates", self.dir);
        }
        let width = column(issued.iter().map(|(entry, _)| entry.name.len())).max(4);
        if !self.json && !issued.is_empty() {
            outln!("{:<width$} {:<7} {:<10} {:<10} SERIAL", "NAME", "STATE", "FROM", "UNTIL");
        }
        for (Entry { name, serial, key, from, until }, revoked) in issued {
            if self.json {
                let entry = serde_json::json!({
                    "name": name, "serial": serial, "key": key, "from": from, "until": until, "revoked": revoked,
                });
                outln!("{entry}");
                continue;
            }
            let day = |unix| jiff::Timestamp::from_second(unix).map(|time| time.strftime("%F").to_string());
            let state = if revoked {
                "revoked"
            } else if until < now {
                "expired"
            } else {
                "good"
            };
            outln!("{name:<width$} {state:<7} {} {} {serial}", day(from)?, day(until)?);
        }
        Ok(())
    }
}

/// 64 random hex digits, made on first use and kept 0600.
fn once(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    if !file.exists() {
        let mut random = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *random).ok().context("no random numbers are to be had")?;
        files::write_atomic(file, Zeroizing::new(hex(&*random)).as_bytes(), files::SECRET)?;
    }
    let text = Zeroizing::new(files::read_bounded(file, 1024)?);
    Ok(Zeroizing::new(String::from_utf8_lossy(&text).trim().to_owned()))
}

impl Issue {
    fn run(self, now: i64) -> anyhow::Result<()> {
        let (kind, name) = match (&self.broker, &self.node, &self.client) {
            (Some(name), None, None) => (Kind::Broker, name),
            (None, Some(name), None) => (Kind::Node, name),
            (None, None, Some(name)) => (Kind::Client, name),
            _ => bail!("say for whom the certificate is: one of --broker, --node or --client NAME"),
        };
        if kind == Kind::Broker && pki::is_callers(name) {
            bail!("{name} is a name of callers: give the broker that of its machine");
        }
        let options = Options { alt_names: self.alt_names.clone(), loopback: self.loopback, days: self.days };
        let ca = load(&self.dir)?;
        if self.install {
            let place = Place::of(kind, self.out.as_deref())?;
            place.is_free(ca.certificate_pem())?;
            let issued = ca.issue(kind, name, &options, now)?;
            return place.take(&ca, &issued);
        }
        let issued = ca.issue(kind, name, &options, now)?;
        let out = PathBuf::from(self.out.as_deref().unwrap_or(&self.dir));
        let (certificate, key) = issued.write(&out)?;
        outln!("certificate: {}", certificate.display());
        outln!("private key: {}", key.display());
        Ok(())
    }
}
