//! Whom we believe: CA certificates and revocation lists, and the one place
//! that follows a chain, for requests and both sides of TLS alike.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
    anchor_from_trusted_cert,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::believed::{self, Believed};
use super::chain::{ITS_ISSUER, MAX_CHAIN, chain_error, check_extent, check_purpose};
use super::crl::RevocationLists;
use super::tls_errors::words;
use super::{Certificate, ChainError, SecurityError, Usage, Validity, pem};
use crate::core::files::read_bounded;

/// Largest CA file, in bytes.
const MAX_CA_BYTES: u64 = 4 << 20;
#[derive(Debug)]
struct Authority {
    der: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    validity: Validity,
}

/// CA certificates and revocation lists as they were read at one moment.
#[derive(Debug)]
pub struct Trust {
    authorities: Vec<Authority>,
    anchors: Vec<TrustAnchor<'static>>,
    revocation: Option<RevocationLists>,
    /// Names of those in the CA file that were revoked.
    distrusted: Vec<String>,
    generation: u64,
}

/// Numbers every [`Trust`] of the process, so that caches notice a new one.
static GENERATION: AtomicU64 = AtomicU64::new(1);

impl Trust {
    /// Reads the CA file and, if given, the revocation lists.
    ///
    /// # Errors
    /// A file that is missing, malformed or empty: with a CA file that holds no
    /// certificate the original believes everybody.
    pub fn read(ca: &Path, crl: Option<&Path>) -> Result<Trust, SecurityError> {
        let failed = |reason| SecurityError::File { what: "CA file", path: ca.into(), reason };
        let text = read_bounded(ca, MAX_CA_BYTES).map_err(|e| failed(e.to_string()))?;
        let revocation = crl.map(RevocationLists::read).transpose()?;
        Trust::from_pem(&text, revocation).map_err(failed)
    }

    /// Trust in every certificate of a PEM text; an intermediate listed there
    /// is trusted by itself.
    ///
    /// # Errors
    /// What is wrong with the text, "holds no certificate" included.
    pub fn from_pem(ca: &[u8], revocation: Option<RevocationLists>) -> Result<Trust, String> {
        let mut authorities = Vec::new();
        for der in pem::certificates(ca)? {
            let parsed = Certificate::parse(&der).ok_or("holds a malformed certificate")?;
            let anchor = anchor_from_trusted_cert(&der)
                .map_err(|e| format!("holds a certificate that cannot be trusted: {}", words(&e)))?
                .to_owned();
            authorities.push(Authority { anchor, validity: Validity::of(&parsed), der });
        }
        if authorities.is_empty() {
            return Err("holds no certificate, so nobody could be believed".into());
        }
        let distrusted = revocation.as_ref().map_or_else(Vec::new, |lists| distrust(&mut authorities, lists));
        if authorities.is_empty() {
            return Err("holds only certificates that are revoked, so nobody could be believed".into());
        }
        let anchors = authorities.iter().map(|authority| authority.anchor.clone()).collect();
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        Ok(Trust { authorities, anchors, revocation, distrusted, generation })
    }

    /// What an administrator should know of revocation: what is in the CA file
    /// and was revoked, and lists that are of none of its certificates.
    pub(super) fn trouble(&self, ca: &Path, crl: Option<&Path>) -> Vec<String> {
        let mut warnings: Vec<String> = self
            .distrusted
            .iter()
            .map(|name| {
                format!("{name} in {} has been revoked and is not trusted: take it out", ca.display())
            })
            .collect();
        if let (Some(lists), Some(crl)) = (&self.revocation, crl)
            && !self.authorities.iter().any(|authority| lists.covers(&authority.anchor.subject))
        {
            warnings.push(format!(
                "revocation list {} is of none of the CAs in {}, so it revokes nobody they have signed: \
                 get the list of these CAs",
                crl.display(),
                ca.display()
            ));
        }
        warnings
    }

    /// Different for every [`Trust`] of the process.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The revocation lists in force.
    pub fn revocation(&self) -> Option<&RevocationLists> {
        self.revocation.as_ref()
    }

    /// When the first CA certificate expires, unix seconds.
    pub fn expiry(&self) -> Option<i64> {
        self.authorities.iter().map(|authority| authority.validity.not_after).min()
    }

    /// Follows the chain from `leaf` over `others` to a CA certificate at
    /// `now` (unix seconds) and says how long it will hold.
    ///
    /// # Errors
    /// [`ChainError`], the most telling one.
    pub fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: i64,
        usage: Usage,
    ) -> Result<Validity, ChainError> {
        check_extent(others)?;
        let parsed = Certificate::parse(leaf).ok_or(ChainError::Unreadable)?;
        let validity = Validity::of(&parsed);
        if self.authorities.iter().any(|authority| authority.der == *leaf) {
            // A certificate that is itself in the CA file needs no issuer.
            return self.verify_alone(leaf, validity, now, usage);
        }
        let end_entity = EndEntityCert::try_from(leaf).map_err(|e| chain_error(e, usage))?;
        let judge = |revocation: Option<RevocationOptions<'_>>| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
            let current = |path: &VerifiedPath<'_>| match self.anchor_validity(path.anchor(), now) {
                Some(_) => Ok(()),
                // The path builder does not look at the dates of CA certificates.
                None => Err(webpki::Error::InvalidCertValidity),
            };
            let path = end_entity.verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &self.anchors,
                others,
                time,
                usage,
                revocation,
                Some(&current),
            )?;
            let between = path.intermediate_certificates().filter_map(|c| Certificate::parse(&c.der()));
            let path_validity = between.fold(validity, |all, c| all.and(Validity::of(&c)));
            Ok(path_validity.and(self.anchor_validity(path.anchor(), now).unwrap_or(path_validity)))
        };
        let layers = self.revocation.as_ref().map(RevocationLists::layers).unwrap_or_default();
        let mut result = if layers.is_empty() { judge(None) } else { Err(webpki::Error::UnknownIssuer) };
        for layer in layers {
            let lists: Vec<_> = layer.iter().collect();
            result = match RevocationOptionsBuilder::new(&lists) {
                // Chains of CAs without a list stay acceptable; expired lists
                // still apply (the default of the builder).
                Ok(builder) => judge(Some(builder.with_status_policy(UnknownStatusPolicy::Allow).build())),
                Err(_) => Err(webpki::Error::UnknownRevocationStatus),
            };
            if result.is_err() {
                break;
            }
        }
        match result {
            Err(webpki::Error::CaUsedAsEndEntity) => self.verify_ca_as_leaf(leaf, validity, now, usage),
            Err(e) => Err(chain_error(e, usage)),
            Ok(validity) => Ok(validity),
        }
    }

    /// Whether a revocation list holds the serial number of any certificate of
    /// `chain`, by its issuer. A quick look, a microsecond a certificate, for
    /// whoever has thousands of chains to judge and should begin with these;
    /// [`verify`](Trust::verify) decides.
    pub fn lists_as_revoked(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some(lists) = &self.revocation else { return false };
        chain.iter().take(MAX_CHAIN + 1).any(|der| {
            EndEntityCert::try_from(der).is_ok_and(|read| lists.revokes(read.issuer(), read.serial()))
        })
    }

    /// The validity of a trusted certificate with the key of `anchor`, at
    /// `now`. A renewed CA certificate shares name and key with the old one.
    fn anchor_validity(&self, anchor: &TrustAnchor<'_>, now: i64) -> Option<Validity> {
        let same = |authority: &&Authority| {
            authority.anchor.subject == anchor.subject
                && authority.anchor.subject_public_key_info == anchor.subject_public_key_info
        };
        self.authorities.iter().filter(same).map(|a| a.validity).find(|validity| validity.includes(now))
    }

    fn verify_alone(
        &self,
        leaf: &CertificateDer<'_>,
        validity: Validity,
        now: i64,
        usage: Usage,
    ) -> Result<Validity, ChainError> {
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| ChainError::Unreadable)?;
        validity.check(now, "it")?;
        check_purpose(&certificate, usage)?;
        self.check_revocation(&certificate)?;
        Ok(validity)
    }

    /// A certificate with the CA flag, which the path builder never takes as a
    /// leaf but the original does. Only one issued directly by a certificate
    /// of the CA file, with every other rule applied.
    fn verify_ca_as_leaf(
        &self,
        leaf: &CertificateDer<'_>,
        validity: Validity,
        now: i64,
        usage: Usage,
    ) -> Result<Validity, ChainError> {
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| ChainError::Unreadable)?;
        let issuer = self.authorities.iter().find(|authority| {
            authority.anchor.name_constraints.is_none() && issued(&authority.der, &certificate)
        });
        let issuer = issuer.ok_or(ChainError::UnknownIssuer)?;
        validity.check(now, "it")?;
        let issuer = self.anchor_validity(&issuer.anchor, now).ok_or(ChainError::Expired(ITS_ISSUER))?;
        check_purpose(&certificate, usage)?;
        self.check_revocation(&certificate)?;
        Ok(validity.and(issuer))
    }

    fn check_revocation(&self, certificate: &X509Certificate<'_>) -> Result<(), ChainError> {
        let Some(lists) = &self.revocation else { return Ok(()) };
        let issuer = sequence_content(certificate.issuer().as_raw());
        if lists.revokes(issuer, certificate.raw_serial()) { Err(ChainError::Revoked) } else { Ok(()) }
    }
}

/// Takes out what the lists revoke, and what was issued by that: an
/// intermediate in the CA file is trusted by itself, but not against its root.
/// Says what was taken out.
fn distrust(authorities: &mut Vec<Authority>, lists: &RevocationLists) -> Vec<String> {
    let mut names = vec![];
    let mut gone: Vec<Authority> = vec![];
    loop {
        let revoked = |authority: &Authority| {
            let Ok(read) = EndEntityCert::try_from(&authority.der) else { return false };
            let by_gone = |issuer: &Authority| {
                X509Certificate::from_der(&authority.der)
                    .is_ok_and(|(_, parsed)| issued(&issuer.der, &parsed))
            };
            lists.revokes(read.issuer(), read.serial()) || gone.iter().any(by_gone)
        };
        let Some(at) = authorities.iter().position(revoked) else { return names };
        let authority = authorities.remove(at);
        let named = X509Certificate::from_der(&authority.der);
        names.push(named.map_or_else(|_| "a certificate".to_owned(), |(_, c)| c.subject().to_string()));
        gone.push(authority);
    }
}

/// Whether `issuer` signed `certificate` and is named as its issuer.
fn issued(issuer: &CertificateDer<'_>, certificate: &X509Certificate<'_>) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(issuer) else { return false };
    let Ok(key) = EndEntityCert::try_from(issuer) else { return false };
    parsed.is_ca()
        && parsed.subject().as_raw() == certificate.issuer().as_raw()
        && webpki::ALL_VERIFICATION_ALGS.iter().any(|algorithm| {
            let signature = &certificate.signature_value.data;
            key.verify_signature(*algorithm, certificate.tbs_certificate.as_ref(), signature).is_ok()
        })
}

/// The content of a DER sequence with a definite length; all of `der` when it
/// is not one. Revocation lists hold the issuer name without its outer header.
fn sequence_content(der: &[u8]) -> &[u8] {
    let header = match der.get(1) {
        Some(length) if *length < 0x80 => 2,
        Some(length) => 2 + usize::from(length & 0x7f),
        None => 0,
    };
    der.get(header..).unwrap_or(der)
}

/// The [`Trust`] in force, replaced in one step when files change. Requests
/// and TLS handshakes in flight finish with the one they started with.
#[derive(Debug)]
pub struct SharedTrust {
    trust: RwLock<Arc<Trust>>,
    believed: Mutex<Believed>,
}

impl SharedTrust {
    /// Starts with `trust`.
    pub fn new(trust: Trust) -> SharedTrust {
        SharedTrust { trust: RwLock::new(Arc::new(trust)), believed: Mutex::default() }
    }

    /// The one in force.
    pub fn get(&self) -> Arc<Trust> {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts `trust` in force.
    pub fn replace(&self, trust: Trust) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
    }

    /// [`Trust::verify`] by the trust in force. A chain that it has believed
    /// before costs a hash and a look at the clock, however often it comes:
    /// in a handshake, at CONNECT, in a resumed session.
    ///
    /// # Errors
    /// As [`Trust::verify`].
    pub fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: i64,
        usage: Usage,
    ) -> Result<Validity, ChainError> {
        let trust = self.get();
        if others.len() > MAX_CHAIN {
            return Err(ChainError::TooLong);
        }
        let key = believed::key(leaf, others, usage);
        let lock = || self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validity) = lock().get(&key, trust.generation(), now) {
            return Ok(validity);
        }
        // not under the lock: others are not to wait for a chain
        let validity = trust.verify(leaf, others, now, usage)?;
        lock().insert(key, trust.generation(), validity);
        Ok(validity)
    }
}
