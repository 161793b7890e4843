//! Taking certificates back.

use std::fs::{self, File};
use std::path::PathBuf;

use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::ca::{MAX_BYTES, at, read_text, write_new};
use super::{CA_DAYS, Ca, Entry, PkiError};
use crate::core::files::{PUBLIC, read_bounded, write_atomic};
use crate::core::security::{Certificate, pem};
use crate::core::text::{hex, unhex_any};

/// What a list says: its number and whom it names since when.
struct List {
    number: Vec<u8>,
    revoked: Vec<(Vec<u8>, i64)>,
}

impl Ca {
    /// Revokes every certificate of `name` (a client's name in full, such as
    /// `bob.mcollective`) and replaces `crl.pem`. Returns how many were
    /// revoked.
    ///
    /// # Errors
    /// [`PkiError::NothingToRevoke`], or files that cannot be read or written.
    pub fn revoke(&self, name: &str, now_unix: i64) -> Result<usize, PkiError> {
        // Two revocations at once would each write a list without the other's.
        // By the key, which nobody else can open and keep locked.
        let path = self.dir().join("ca-key.pem");
        let lock = File::open(&path).map_err(at(&path))?;
        lock.lock().map_err(at(&path))?;
        let mut list = self.read_list()?;
        let before = list.revoked.len();
        for serial in self.serials_of(name)? {
            if !list.revoked.iter().any(|(known, _)| *known == serial) {
                list.revoked.push((serial, now_unix));
            }
        }
        let count = list.revoked.len() - before;
        if count == 0 {
            return Err(PkiError::NothingToRevoke(name.to_string()));
        }
        list.number = incremented(&list.number);
        let path = self.crl_file();
        write_atomic(&path, self.sign_list(&list, now_unix)?.as_bytes(), PUBLIC).map_err(at(&path))?;
        Ok(count)
    }

    pub(super) fn write_first_list(&self, now_unix: i64) -> Result<(), PkiError> {
        let text = self.sign_list(&List { number: vec![1], revoked: Vec::new() }, now_unix)?;
        write_new(&self.crl_file(), text.as_bytes(), PUBLIC)
    }

    /// Every certificate it made, by file and by log, and whether it was taken back.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn issued(&self) -> Result<Vec<(Entry, bool)>, PkiError> {
        let mut entries = self.filed()?;
        super::ledger::read(&self.dir, |entry| entries.push(entry))?;
        let list = self.read_list()?;
        let revoked: std::collections::HashSet<String> =
            list.revoked.iter().map(|(serial, _)| hex(serial)).collect();
        Ok(entries
            .into_iter()
            .map(|entry| {
                let taken_back = revoked.contains(&entry.serial);
                (entry, taken_back)
            })
            .collect())
    }

    /// Serial numbers of all certificates issued to `name`.
    fn serials_of(&self, name: &str) -> Result<Vec<Vec<u8>>, PkiError> {
        let mut serials: Vec<String> =
            self.filed()?.into_iter().filter(|entry| entry.name == name).map(|entry| entry.serial).collect();
        super::ledger::read(&self.dir, |entry| {
            if entry.name == name {
                serials.push(entry.serial);
            }
        })?;
        Ok(serials.iter().filter_map(|serial| unhex_any(serial)).collect())
    }

    /// Whether one of the certificates of that name that are not revoked is a broker's.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn is_of_broker(&self, name: &str) -> Result<bool, PkiError> {
        let list = self.read_list()?;
        let stands = |one: &Certificate| !list.revoked.iter().any(|(serial, _)| *serial == one.serial);
        Ok(self.server_certificates()?.iter().any(|one| one.common_name == name && stands(one)))
    }

    /// Names in the certificates it made for servers, which are brokers.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn servers(&self) -> Result<Vec<String>, PkiError> {
        let servers = self.server_certificates()?;
        Ok(servers.iter().flat_map(|one| one.names().map(str::to_owned).collect::<Vec<_>>()).collect())
    }

    fn server_certificates(&self) -> Result<Vec<Certificate>, PkiError> {
        let of_server = |der: &[u8]| {
            let usages = X509Certificate::from_der(der).ok()?.1.extended_key_usage().ok()??.value.server_auth;
            Certificate::parse(der).filter(|_| usages)
        };
        Ok(self.filed_certificates()?.into_iter().filter_map(|(_, der)| of_server(&der)).collect())
    }

    /// Certificates of which there is a copy.
    fn filed_certificates(&self) -> Result<Vec<(PathBuf, Vec<u8>)>, PkiError> {
        let dir = self.dir.join("issued");
        let mut certificates = Vec::new();
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let path = entry.map_err(at(&dir))?.path();
            if path.extension().is_none_or(|extension| extension != "pem") {
                continue;
            }
            let malformed = |reason: String| super::PkiError::Malformed { path: path.clone(), reason };
            let text = read_text(&path)?;
            let found = pem::certificates(text.as_bytes()).map_err(malformed)?.into_iter().next();
            let found = found.ok_or_else(|| PkiError::Malformed {
                path: path.clone(),
                reason: "holds no certificate".into(),
            })?;
            certificates.push((path, found.to_vec()));
        }
        Ok(certificates)
    }

    fn filed(&self) -> Result<Vec<Entry>, PkiError> {
        let entry = |(path, der): (PathBuf, Vec<u8>)| {
            let no_certificate = || PkiError::Malformed { path, reason: "holds no certificate".into() };
            let certificate = Certificate::parse(&der).ok_or_else(no_certificate)?;
            Ok(Entry {
                name: certificate.common_name,
                serial: hex(&certificate.serial),
                key: String::new(),
                from: certificate.not_before,
                until: certificate.not_after,
            })
        };
        self.filed_certificates()?.into_iter().map(entry).collect()
    }

    fn read_list(&self) -> Result<List, PkiError> {
        let path = self.crl_file();
        let malformed = |reason: String| PkiError::Malformed { path: path.clone(), reason };
        let text = read_bounded(&path, MAX_BYTES).map_err(at(&path))?;
        let lists = pem::revocation_lists(&text).map_err(malformed)?;
        let der = lists.first().ok_or_else(|| malformed("holds no revocation list".into()))?;
        let (_, list) = CertificateRevocationList::from_der(der).map_err(|e| malformed(e.to_string()))?;
        let number = list.crl_number().map(|number| number.to_bytes_be()).unwrap_or_default();
        let revoked = list.iter_revoked_certificates();
        let revoked = revoked.map(|entry| (entry.raw_serial().to_vec(), entry.revocation_date.timestamp()));
        Ok(List { number, revoked: revoked.collect() })
    }

    fn sign_list(&self, list: &List, now_unix: i64) -> Result<String, PkiError> {
        let revoked_certs = list.revoked.iter().map(|(serial, when)| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: date!(*when),
            reason_code: Some(RevocationReason::Unspecified),
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date!(now_unix),
            // Nobody re-signs it on a schedule, and verifiers apply it beyond
            // this date anyway: as long as the CA lives.
            next_update: date!(now_unix + i64::from(CA_DAYS) * 86_400),
            crl_number: SerialNumber::from_slice(&list.number),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.issuer)?.pem()?)
    }
}

/// A big-endian number plus one.
fn incremented(number: &[u8]) -> Vec<u8> {
    let mut digits = number.to_vec();
    for digit in digits.iter_mut().rev() {
        let (sum, carry) = digit.overflowing_add(1);
        *digit = sum;
        if !carry {
            return digits;
        }
    }
    digits.insert(0, 1);
    digits
}
