//! Certificates for brokers, nodes and people.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    PublicKeyData, RsaKeySize, SanType,
};
use zeroize::Zeroizing;

use super::ca::{at, new_serial, purposes, write_new};
use super::{BACKDATED, Ca, LEAF_DAYS, PkiError};
use crate::core::files::{PUBLIC, SECRET, make_directory};
use crate::core::security::CallerId;
use crate::core::text::hex;

/// 2049-12-31, the last day of the short form of dates in certificates.
const LAST_DATE: i64 = 2_524_521_600;

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A network broker: server and client, ECDSA key.
    Broker,
    /// A managed node: client only, named by its identity, RSA key.
    Node,
    /// A person or program that calls: client only, RSA key. A name that ends neither in
    /// `.mcollective` nor in `.choria` gets `.mcollective`, which servers accept by default.
    Client,
}

/// What may differ from certificate to certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Further names and addresses it is valid for, such as a DNS alias.
    pub alt_names: Vec<String>,
    /// Whether it is also valid for `localhost`, 127.0.0.1 and ::1.
    pub loopback: bool,
    /// Days it is valid.
    pub days: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { alt_names: Vec::new(), loopback: false, days: LEAF_DAYS }
    }
}

/// A new certificate with its key, not written anywhere yet except for the
/// CA's own copy of the certificate.
pub struct Issued {
    /// The name it carries.
    pub name: String,
    /// The certificate.
    pub certificate_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Issued {
    /// Writes `NAME-key.pem` (0600) and `NAME.pem` (0644) into `dir`, created
    /// (0755) if need be, and returns the paths of certificate and key.
    ///
    /// # Errors
    /// [`PkiError::Exists`] when either is there.
    pub fn write(&self, dir: &Path) -> Result<(PathBuf, PathBuf), PkiError> {
        make_directory(dir, 0o755).map_err(at(dir))?;
        let certificate = dir.join(format!("{}.pem", self.name));
        let key = dir.join(format!("{}-key.pem", self.name));
        self.write_to(&certificate, &key)?;
        Ok((certificate, key))
    }

    /// [`Issued::write`] to given paths, in existing directories.
    ///
    /// # Errors
    /// [`PkiError::Exists`] when either is there; nothing is written then.
    pub fn write_to(&self, certificate: &Path, key: &Path) -> Result<(), PkiError> {
        if certificate.exists() {
            return Err(PkiError::Exists(certificate.to_path_buf()));
        }
        write_new(key, self.key_pem.as_bytes(), SECRET)?;
        write_new(certificate, self.certificate_pem.as_bytes(), PUBLIC)
    }
}

/// A certificate, and what is to be remembered of it.
pub(super) struct Signed {
    /// Serial number, hex.
    pub(super) serial: String,
    pub(super) pem: String,
    /// Unix seconds.
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Ca {
    /// Makes a key and a certificate for `name`. RSA keys take some hundred
    /// milliseconds of CPU to find.
    ///
    /// # Errors
    /// A name that cannot be one, or a CA directory that cannot be written.
    pub fn issue(
        &self,
        kind: Kind,
        name: &str,
        options: &Options,
        now_unix: i64,
    ) -> Result<Issued, PkiError> {
        let name = full_name(kind, name)?;
        if options.days == 0 {
            return Err(PkiError::NoDays);
        }
        let key = match kind {
            Kind::Broker => KeyPair::generate()?,
            Kind::Node | Kind::Client => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
        };
        self.certify(kind, name, options, &key, now_unix)
    }

    /// [`Ca::issue`] for a key that exists, PEM: renewals, and the thousands of
    /// nodes of an emulator, which share one.
    ///
    /// # Errors
    /// As [`Ca::issue`], or a key that cannot be read.
    pub fn issue_for_key(
        &self,
        kind: Kind,
        name: &str,
        options: &Options,
        key_pem: &str,
        now_unix: i64,
    ) -> Result<Issued, PkiError> {
        let name = full_name(kind, name)?;
        self.certify(kind, name, options, &KeyPair::from_pem(key_pem)?, now_unix)
    }

    fn certify(
        &self,
        kind: Kind,
        name: String,
        options: &Options,
        key: &KeyPair,
        now_unix: i64,
    ) -> Result<Issued, PkiError> {
        let until = now_unix + i64::from(options.days) * 86_400;
        let Signed { serial, pem, .. } = self.sign(kind, &name, options, key, now_unix, until)?;
        write_new(&self.dir.join("issued").join(format!("{serial}.pem")), pem.as_bytes(), PUBLIC)?;
        Ok(Issued { name, certificate_pem: pem, key_pem: Zeroizing::new(key.serialize_pem()) })
    }

    /// Signs a certificate of these names and no others. Writes nothing.
    pub(super) fn sign(
        &self,
        kind: Kind,
        name: &str,
        options: &Options,
        key: &impl PublicKeyData,
        now_unix: i64,
        until: i64,
    ) -> Result<Signed, PkiError> {
        let serial = new_serial()?;
        // beyond it dates have another form, which few have seen
        let (from, until) = (now_unix - BACKDATED, until.min(LAST_DATE));
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = alt_names(name, options)?;
        params.not_before = date!(from);
        params.not_after = date!(until);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if kind != Kind::Broker {
            // RSA key exchange of TLS before 1.2 is gone; some verifiers still ask.
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = purposes(kind == Kind::Broker);
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial.clone());
        let pem = params.signed_by(key, &self.issuer)?.pem();
        Ok(Signed { serial: hex(&serial.to_bytes()), pem, from, until })
    }
}

/// The name a certificate of `kind` carries for `name`.
///
/// # Errors
/// It can carry none.
pub fn full_name(kind: Kind, name: &str) -> Result<String, PkiError> {
    if kind == Kind::Node && is_callers(name) {
        return Err(PkiError::CallerName(name.to_owned()));
    }
    let name = match kind {
        Kind::Client if !is_callers(name) => format!("{name}.mcollective"),
        _ => name.to_string(),
    };
    // Names become subjects, where nothing between two dots is not allowed.
    let gap = name.split('.').any(str::is_empty);
    if CallerId::of_certname(&name).is_none() || gap || name.starts_with('-') || name.len() > 64 {
        return Err(PkiError::Name(name));
    }
    Ok(name)
}

/// How names of callers end, which servers accept by default.
const CALLERS: [&str; 2] = [".mcollective", ".choria"];

/// Whether a name is that of a caller, in any case of its letters.
pub fn is_callers(name: &str) -> bool {
    CALLERS.iter().any(|end| name.to_ascii_lowercase().ends_with(end))
}

fn alt_names(name: &str, options: &Options) -> Result<Vec<SanType>, PkiError> {
    let loopback: &[&str] = if options.loopback { &["localhost", "127.0.0.1", "::1"] } else { &[] };
    let mut names: Vec<&str> = vec![name];
    if let Some(alt) = options.alt_names.iter().find(|alt| is_callers(alt) && !is_callers(name)) {
        return Err(PkiError::CallerName(alt.clone()));
    }
    for alt in options.alt_names.iter().map(String::as_str).chain(loopback.iter().copied()) {
        if !names.contains(&alt) {
            names.push(alt);
        }
    }
    let names = names.into_iter().map(|text| match text.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) if CallerId::of_certname(text).is_some() => {
            Ok(SanType::DnsName(text.try_into().map_err(|_| PkiError::Name(text.into()))?))
        }
        Err(_) => Err(PkiError::Name(text.to_string())),
    });
    names.collect()
}
