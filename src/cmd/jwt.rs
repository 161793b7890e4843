//! `choria jwt`: tokens.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::config::{System, parse_duration};
use choria::core::files::{self, SECRET};
use choria::core::security::tokens::vault::Vault;
use choria::core::security::tokens::{
    BrokerTrust, MAX_TOKEN, ProvisioningClaims, SigningKey, VerifyKey, unverified,
};
use choria::core::security::waiting::WaitingSecurity;
use choria::core::text::unhex;
use serde_json::{Map, Value};

use super::context;
use super::out::{errln, outln};
use super::render::text::escaped;

/// Largest CA file, in bytes.
const MAX_CA: u64 = 64 * 1024;

/// make tokens, and look at them
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "jwt")]
pub struct Jwt {
    #[argh(subcommand)]
    command: JwtCommand,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it in a process")]
enum JwtCommand {
    Provisioning(Provisioning),
    View(View),
}

/// show what a token says, whoever signed it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "view")]
struct View {
    /// file of the token
    #[argh(positional)]
    file: PathBuf,
}

impl View {
    /// Claims as JSON; secrets stay in the file.
    fn run(self) -> anyhow::Result<ExitCode> {
        let text = files::read_bounded(&self.file, MAX_TOKEN as u64)?;
        let text = String::from_utf8_lossy(&text);
        let named = || format!("{} is no token", self.file.display());
        let mut claims: Map<String, Value> = unverified(&text).with_context(named)?;
        for secret in ["cht", "chpwd"] {
            claims.entry(secret).and_modify(|value| *value = Value::from("*****"));
        }
        outln!("{}", escaped(&serde_json::to_string_pretty(&claims)?));
        let now = jiff::Timestamp::now().as_second();
        let time = |name: &str| claims.get(name).and_then(Value::as_i64);
        let date =
            |seconds: i64| jiff::Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default();
        match time("exp") {
            Some(exp) if exp <= now => errln!("choria: it has expired on {}", date(exp)),
            Some(exp) => errln!("choria: it is valid until {}; its signature was not checked", date(exp)),
            None => errln!("choria: it does not expire; its signature was not checked"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// make the token that unconfigured nodes wait with
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "provisioning")]
struct Provisioning {
    /// file the token is written to
    #[argh(positional)]
    file: PathBuf,
    /// key that signs it: an RSA key in PEM, or a file of 64 hex digits, an ed25519 seed; with --vault its name there
    #[argh(positional)]
    signkey: PathBuf,
    /// sign by an ed25519 key of HashiCorp Vault's transit engine; VAULT_ADDR, VAULT_TOKEN and VAULT_CACERT say where
    #[argh(switch)]
    vault: bool,
    /// nodes verify who asks them, which needs --ca; --insecure, the default, takes it back
    #[argh(switch)]
    no_insecure: bool,
    /// secret that a provisioner has to show
    #[argh(option, arg_name = "text")]
    token: String,
    /// brokers to wait at, comma separated
    #[argh(option, arg_name = "list", default = "String::new()")]
    urls: String,
    /// or the domain whose SRV records name them
    #[argh(option, arg_name = "domain", default = "String::new()")]
    srv: String,
    /// wait where the configuration does not say
    #[argh(switch)]
    default: bool,
    /// file published while waiting
    #[argh(option, arg_name = "file", default = "String::new()")]
    registration: String,
    /// fact file while waiting
    #[argh(option, arg_name = "file", default = "String::new()")]
    facts: String,
    /// broker user while waiting
    #[argh(option, arg_name = "name", default = "String::new()")]
    username: String,
    /// and its password
    #[argh(option, arg_name = "text", default = "String::new()")]
    password: String,
    /// further claims, a JSON object, default none
    #[argh(option, arg_name = "json", default = "String::new()")]
    extensions: String,
    /// organization, default choria
    #[argh(option, arg_name = "name", default = "String::from(\"choria\")")]
    org: String,
    /// wait by protocol v2, which nodes of the original understand
    #[argh(switch)]
    protocol_v2: bool,
    /// a provisioner may replace the binary
    #[argh(switch)]
    upgrade: bool,
    /// the same, as older scripts spell it
    #[argh(switch, hidden_help)]
    update: bool,
    /// how long the token is valid, such as 30d or 1y, default 1y
    #[argh(option, arg_name = "time", default = "String::from(\"1y\")")]
    validity: String,
    /// certificates of the CA that nodes know their broker by, PEM
    #[argh(option, arg_name = "file")]
    ca: Option<PathBuf>,
    /// or the SHA-256 of its public key, 64 hex digits
    #[argh(option, arg_name = "hex", default = "String::new()")]
    broker_key: String,
    /// ed25519 key that signs new binaries, 64 hex digits, see choria tool release
    #[argh(option, arg_name = "hex", default = "String::new()")]
    release_key: String,
}

impl Jwt {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            JwtCommand::Provisioning(token) => token.run(),
            JwtCommand::View(view) => view.run(),
        }
    }
}

impl Provisioning {
    fn run(self) -> anyhow::Result<ExitCode> {
        let upgrade = self.upgrade || self.update;
        let signer = match self.vault {
            true => Signer::Vault(Box::new(Vault::from_environment(&System)?), name_of(&self.signkey)?),
            false => Signer::Key(SigningKey::from_file(&self.signkey)?),
        };
        let ca = match &self.ca {
            Some(file) => String::from_utf8(files::read_bounded(file, MAX_CA)?)
                .with_context(|| format!("{} is not text", file.display()))?,
            None => String::new(),
        };
        let mut claims = ProvisioningClaims {
            token: self.token,
            secure: self.no_insecure,
            urls: self.urls,
            srv_domain: self.srv,
            by_default: self.default,
            registration_data: self.registration,
            facts: self.facts,
            username: self.username,
            password: self.password,
            organization: self.org,
            protocol_v2: self.protocol_v2,
            allow_update: upgrade,
            ..ProvisioningClaims::default()
        };
        if !self.extensions.is_empty() {
            claims.extensions =
                Some(serde_json::from_str(&self.extensions).context("--extensions is no JSON object")?);
        }
        if self.no_insecure && ca.is_empty() {
            bail!("--no-insecure needs --ca: nodes verify who asks them by the CA");
        }
        claims.set_trust(&BrokerTrust { ca, pin: self.broker_key });
        if !self.release_key.is_empty() {
            unhex::<32>(&self.release_key).context("--release-key is not 64 hex digits")?;
            claims.set_release_key(&self.release_key);
        } else if upgrade {
            outln!("Nodes will refuse new binaries without --release-key.");
        }
        let claims = dated(claims, &self.validity)?;
        let token = match &signer {
            Signer::Key(key) => key.sign(&claims)?,
            Signer::Vault(vault, key) => context::block_on(vault.sign(key, &claims))??,
        };
        files::write_atomic(&self.file, token.as_bytes(), SECRET)?;
        outln!("Saved provisioning token to {}.", self.file.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// Who signs.
enum Signer {
    Key(SigningKey),
    /// By the key of this name.
    Vault(Box<Vault>, String),
}

fn name_of(key: &Path) -> anyhow::Result<String> {
    key.to_str().map(str::to_owned).context("the name of a key in Vault is plain text")
}

/// Checks, dates, signs and writes a token.
pub fn write(
    file: &Path,
    claims: ProvisioningClaims,
    key: &SigningKey,
    validity: &str,
) -> anyhow::Result<()> {
    let token = key.sign(&dated(claims, validity)?)?;
    files::write_atomic(file, token.as_bytes(), SECRET)?;
    Ok(())
}

fn dated(claims: ProvisioningClaims, validity: &str) -> anyhow::Result<ProvisioningClaims> {
    let validity = parse_duration(validity).with_context(|| format!("--validity {validity}"))?;
    // What a node could not use is found here and not on a thousand machines.
    WaitingSecurity::new(&claims.trust(), claims.secure)?;
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).ok().context("no random numbers are to be had")?;
    let now = jiff::Timestamp::now().as_second();
    Ok(claims.dated(now, i64::try_from(validity.as_secs()).unwrap_or(i64::MAX), random)?)
}

/// What a broker is told of a key.
pub fn public(key: &SigningKey) -> Option<String> {
    key.public_hex().filter(|hex| VerifyKey::from_hex(hex).is_some())
}
