//! The directory of a CA.

use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use zeroize::Zeroizing;

use super::{BACKDATED, CA_DAYS, PkiError};
use crate::core::files::{self, PUBLIC, SECRET, read_bounded};

/// Largest file of a CA directory that is read, in bytes.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// A certificate authority that lives in one directory.
#[derive(Debug)]
pub struct Ca {
    pub(super) dir: PathBuf,
    pub(super) certificate_pem: String,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// Makes a CA called `name` in `dir`, which is created (0755: nodes read `ca.pem` and
    /// `crl.pem` there) if need be,
    /// with an empty revocation list.
    ///
    /// # Errors
    /// [`PkiError::Exists`] when there is one already.
    pub fn create(dir: &Path, name: &str, now_unix: i64) -> Result<Ca, PkiError> {
        files::make_directory(&dir.join("issued"), 0o755).map_err(at(dir))?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(new_serial()?);
        params.not_before = date!(now_unix - BACKDATED);
        params.not_after = date!(now_unix + i64::from(CA_DAYS) * 86_400);
        // It signs leaves only.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate_pem = params.self_signed(&key)?.pem();
        write_new(&dir.join("ca-key.pem"), Zeroizing::new(key.serialize_pem()).as_bytes(), SECRET)?;
        write_new(&dir.join("ca.pem"), certificate_pem.as_bytes(), PUBLIC)?;
        let ca = Ca { dir: dir.to_path_buf(), certificate_pem, issuer: Issuer::new(params, key) };
        ca.write_first_list(now_unix)?;
        Ok(ca)
    }

    /// Opens the CA in `dir`.
    ///
    /// # Errors
    /// A file that is missing or not what it should be.
    pub fn load(dir: &Path) -> Result<Ca, PkiError> {
        let certificate_pem = read_text(&dir.join("ca.pem"))?;
        let key_file = dir.join("ca-key.pem");
        let key = Zeroizing::new(read_text(&key_file)?);
        let malformed = |path: PathBuf, e: rcgen::Error| PkiError::Malformed { path, reason: e.to_string() };
        let key = KeyPair::from_pem(&key).map_err(|e| malformed(key_file, e))?;
        let issuer =
            Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(|e| malformed(dir.join("ca.pem"), e))?;
        Ok(Ca { dir: dir.to_path_buf(), certificate_pem, issuer })
    }

    /// Opens the CA in `dir`, or makes it where there is none; true: it was made.
    ///
    /// # Errors
    /// As [`Ca::load`] and [`Ca::create`]: half a CA is not replaced.
    pub fn load_or_create(dir: &Path, name: &str, now_unix: i64) -> Result<(Ca, bool), PkiError> {
        if dir.join("ca.pem").exists() || dir.join("ca-key.pem").exists() {
            return Ok((Ca::load(dir)?, false));
        }
        Ok((Ca::create(dir, name, now_unix)?, true))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The CA certificate file, for `plugin.security.file.ca`.
    pub fn certificate_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The revocation list, beside the CA certificate, where it is found by
    /// default.
    pub fn crl_file(&self) -> PathBuf {
        self.dir.join("crl.pem")
    }

    /// The CA certificate as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }
}

/// What a leaf may be used for.
pub(super) fn purposes(server: bool) -> Vec<ExtendedKeyUsagePurpose> {
    let client = [ExtendedKeyUsagePurpose::ClientAuth];
    let server = server.then_some(ExtendedKeyUsagePurpose::ServerAuth);
    server.into_iter().chain(client).collect()
}

/// 128 random bits, positive and never zero.
pub(super) fn new_serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PkiError::Randomness)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> PkiError + use<'_> {
    move |source| PkiError::File { path: path.to_path_buf(), source }
}

pub(super) fn read_text(path: &Path) -> Result<String, PkiError> {
    let bytes = read_bounded(path, MAX_BYTES).map_err(at(path))?;
    String::from_utf8(bytes)
        .map_err(|_| PkiError::Malformed { path: path.into(), reason: "is not text".into() })
}

/// Writes a file that must not exist, whole or not at all.
pub(super) fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), PkiError> {
    files::write_new(path, content, mode).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => PkiError::Exists(path.to_path_buf()),
        _ => at(path)(e),
    })
}
