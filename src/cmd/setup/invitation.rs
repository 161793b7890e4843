//! The file that makes a machine a node, or a person an operator. It is made where the CA
//! is, carried once, and gone when it was used: there is a private key in it, unless the
//! machine made its own.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use choria::core::pki::{Entry, Issued, Kind, full_name, is_callers};
use choria::core::security::{CallerId, Certificate, Trust, Usage, pem};
use choria::core::text::shortened;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::texts;

/// Longest file that is read, in bytes.
pub const MAX: u64 = 64 << 10;

/// Whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    Node,
    Operator,
}

impl Who {
    pub fn kind(self) -> Kind {
        match self {
            Who::Node => Kind::Node,
            Who::Operator => Kind::Client,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Who::Node => "node",
            Who::Operator => "operator",
        }
    }
}

/// What stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Whom it is for,
    pub who: Who,
    /// and by what name.
    pub name: String,
    /// `HOST:PORT` of the broker.
    pub broker: String,
    /// The CA's certificate, PEM.
    pub ca: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM; empty where the machine has made its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    key: String,
}

impl Drop for Invitation {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("who", &self.who).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Invitation {
    /// With a key that was made for it.
    pub fn new(who: Who, broker: &str, ca: &str, issued: &Issued) -> Invitation {
        let certificate = issued.certificate_pem.clone();
        let mut invitation = Invitation::without_key(who, &issued.name, broker, ca, certificate);
        invitation.key = issued.key_pem.to_string();
        invitation
    }

    /// For a machine that has its key.
    pub fn without_key(who: Who, name: &str, broker: &str, ca: &str, certificate: String) -> Invitation {
        let [name, broker, ca] = [name, broker, ca].map(str::to_owned);
        Invitation { who, name, broker, ca, certificate, key: String::new() }
    }

    /// The file, for nobody else to read.
    pub fn text(&self) -> anyhow::Result<Zeroizing<String>> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(Zeroizing::new(text))
    }

    /// Reads and checks one for `who`. Nothing of it is believed but what fits together: a
    /// certificate of the CA beside it, for this name, of this key.
    pub fn read(text: &[u8], who: Who, now: i64) -> anyhow::Result<Invitation> {
        let invitation: Invitation = serde_json::from_slice(text)
            .map_err(|e| anyhow!("it is no file of 'choria setup broker': {e}"))?;
        if invitation.who != who {
            bail!("it is for {}: choria setup {0}", invitation.who.word());
        }
        check_name(who, &invitation.name)?;
        if texts::address(&invitation.broker)? != invitation.broker {
            bail!("its broker has no port");
        }
        let leaf = invitation.leaf()?;
        // A second one would be believed as well, whoever added it on the way.
        let authorities = pem::certificates(invitation.ca.as_bytes()).map_err(|e| anyhow!("its CA {e}"))?;
        if authorities.len() > 1 {
            bail!("it names {} CAs, not one", authorities.len());
        }
        let trust = Trust::from_pem(invitation.ca.as_bytes(), None).map_err(|e| anyhow!("its CA {e}"))?;
        trust
            .verify(&leaf, &[], now, Usage::Client)
            .map_err(|e| anyhow!("its certificate is none of its CA that is good now: {e}"))?;
        let certificate = invitation.parsed()?;
        if certificate.common_name != invitation.name {
            let found = shortened(&certificate.common_name, 100);
            bail!("its certificate is for {found:?}, not {:?}", invitation.name);
        }
        if let Some(key) = invitation.key() {
            invitation.check_key(&key)?;
        }
        Ok(invitation)
    }

    fn leaf(&self) -> anyhow::Result<rustls_pki_types::CertificateDer<'static>> {
        let chain =
            pem::certificates(self.certificate.as_bytes()).map_err(|e| anyhow!("its certificate {e}"))?;
        match <[_; 1]>::try_from(chain) {
            Ok([leaf]) => Ok(leaf),
            Err(_) => bail!("it holds not one certificate"),
        }
    }

    /// Its certificate.
    pub fn parsed(&self) -> anyhow::Result<Certificate> {
        Certificate::parse(&self.leaf()?).context("its certificate is malformed")
    }

    /// Its private key, PEM.
    pub fn key(&self) -> Option<Zeroizing<String>> {
        Some(Zeroizing::new(self.key.clone())).filter(|key| !key.is_empty())
    }

    /// That a key is that of the certificate.
    pub fn check_key(&self, key: &str) -> anyhow::Result<()> {
        let key = pem::private_key(key.as_bytes()).map_err(|e| anyhow!("the private key {e}"))?;
        CertifiedKey::from_der(vec![self.leaf()?], key, &default_provider())
            .map_err(|_| anyhow!("the private key is not that of the certificate of {}", self.name))?;
        Ok(())
    }

    /// What is to be installed, with the key of this machine where it has made its own.
    pub fn issued(&self, key: Zeroizing<String>) -> Issued {
        Issued { name: self.name.clone(), certificate_pem: self.certificate.clone(), key_pem: key }
    }
}

/// That the CA has made nothing for that name, or what it made is revoked.
pub fn check_unissued(who: Who, name: &str, issued: &[(Entry, bool)], ca: &Path) -> anyhow::Result<()> {
    let full = full_name(who.kind(), name)?;
    if issued.iter().any(|(entry, revoked)| entry.name == full && !revoked) {
        bail!(
            "{full} has a certificate already: revoke it first, choria tool ca revoke --dir {} {full}",
            ca.display()
        );
    }
    Ok(())
}

/// A name that a certificate of this kind may have.
pub fn check_name(who: Who, name: &str) -> anyhow::Result<()> {
    if CallerId::of_certname(name).is_none()
        || name.starts_with('-')
        || Path::new(name).components().count() != 1
    {
        bail!("{name:?} is no name: letters, digits, '_', '.' and '-'");
    }
    if who == Who::Node && is_callers(name) {
        bail!("{name} is the name of a caller, who may ask what nodes answer: no node is called so");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
