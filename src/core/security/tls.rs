//! The two TLS configurations (spec 01 §15).
//!
//! TLS 1.2 and 1.3, aws-lc as the provider passed explicitly: a library never
//! sets the process default. Both sides verify through [`Trust`], so requests
//! and connections believe the same chains, and a reload reaches the next
//! handshake. Sessions resume within one state of trust and credentials
//! (`resumption`); whoever listens has to look at the dates in the chain of a
//! resumed session again, as the broker does with every CONNECT.
//!
//! [`Trust`]: super::Trust

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{
    CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme, SupportedProtocolVersion, version,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use super::credentials::SharedCredentials;
use super::resumption::{Sessions, Tickets};
use super::{Certificate, ChainError, SecurityError, SharedTrust, Usage, Validity, tls_errors};

pub(super) static VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// The crypto provider with the configured TLS 1.2 suites and curves, by their
/// Go/IANA names. TLS 1.3 suites cannot be chosen. Names we do not have are
/// told in `warnings`.
///
/// # Errors
/// [`SecurityError::Tls`] when a list is given and none of it is supported:
/// falling back to all would undo what was asked for.
pub fn crypto(
    suites: &[String],
    curves: &[String],
    warnings: &mut Vec<String>,
) -> Result<CryptoProvider, SecurityError> {
    let mut crypto = aws_lc_rs::default_provider();
    // as Go has it: 128 bits are enough for everybody, and each byte passes a broker twice
    crypto.cipher_suites.sort_by_key(|suite| !format!("{:?}", suite.suite()).contains("AES_128"));
    if !suites.is_empty() {
        // The debug text of a suite is its IANA name; for 1.2 Go uses the same.
        let named = |name: &str| {
            let same = |suite: &&rustls::SupportedCipherSuite| {
                suite.tls13().is_none() && format!("{:?}", suite.suite()) == name
            };
            aws_lc_rs::ALL_CIPHER_SUITES.iter().find(same).copied()
        };
        let chosen = choose("cipher_suites", suites, named, warnings)?;
        crypto.cipher_suites.retain(|suite| suite.tls13().is_some());
        crypto.cipher_suites.extend(chosen);
    }
    if curves.is_empty() {
        // The order of the original. Hybrid post-quantum groups stay out: they
        // add a kilobyte and CPU to each of fifty thousand handshakes.
        crypto.kx_groups = aws_lc_rs::DEFAULT_KX_GROUPS
            .iter()
            .copied()
            .filter(|group| curve(group.name()).is_some())
            .collect();
    } else {
        crypto.kx_groups = choose("ecc_curves", curves, go_curve, warnings)?;
    }
    Ok(crypto)
}

fn choose<T>(
    setting: &'static str,
    names: &[String],
    find: impl Fn(&str) -> Option<T>,
    warnings: &mut Vec<String>,
) -> Result<Vec<T>, SecurityError> {
    let mut chosen = Vec::new();
    for name in names {
        match find(name) {
            Some(found) => chosen.push(found),
            None => warnings.push(format!("plugin.security.{setting}: {name} is not supported, ignored")),
        }
    }
    if chosen.is_empty() { Err(SecurityError::Tls { setting }) } else { Ok(chosen) }
}

fn curve(group: rustls::NamedGroup) -> Option<&'static dyn SupportedKxGroup> {
    use rustls::NamedGroup::{X25519, secp256r1, secp384r1};
    let wanted = matches!(group, X25519 | secp256r1 | secp384r1);
    aws_lc_rs::ALL_KX_GROUPS.iter().copied().find(|known| wanted && known.name() == group)
}

fn go_curve(name: &str) -> Option<&'static dyn SupportedKxGroup> {
    match name {
        "X25519" => curve(rustls::NamedGroup::X25519),
        "CurveP256" => curve(rustls::NamedGroup::secp256r1),
        "CurveP384" => curve(rustls::NamedGroup::secp384r1),
        // CurveP521 is not in the provider.
        _ => None,
    }
}

pub(super) fn library(error: Error) -> SecurityError {
    SecurityError::TlsLibrary(tls_errors::told(&error))
}

pub(super) fn client(
    crypto: Arc<CryptoProvider>,
    trust: Arc<SharedTrust>,
    credentials: Arc<SharedCredentials>,
    names_by_common_name: bool,
    named: Option<ServerName<'static>>,
) -> Result<Arc<ClientConfig>, SecurityError> {
    let algorithms = crypto.signature_verification_algorithms;
    let sessions = Arc::new(Sessions::new(trust.clone(), credentials.clone()));
    let sessions_too = Some(sessions.clone());
    let verifier = PeerVerifier { trust, algorithms, names_by_common_name, named, sessions: sessions_too };
    let mut config = ClientConfig::builder_with_provider(crypto)
        .with_protocol_versions(VERSIONS)
        .map_err(library)?
        // "dangerous" is what the library calls every verifier of one's own;
        // this one follows chains with the same code as its default.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(OwnCertificate(credentials)));
    config.resumption = Resumption::store(sessions);
    Ok(Arc::new(config))
}

pub(super) fn server(
    crypto: Arc<CryptoProvider>,
    trust: Arc<SharedTrust>,
    credentials: Arc<SharedCredentials>,
) -> Result<Arc<ServerConfig>, SecurityError> {
    let algorithms = crypto.signature_verification_algorithms;
    let tickets = Tickets::new(trust.clone(), credentials.clone());
    let verifier =
        PeerVerifier { trust, algorithms, names_by_common_name: false, named: None, sessions: None };
    let mut config = ServerConfig::builder_with_provider(crypto)
        .with_protocol_versions(VERSIONS)
        .map_err(library)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(OwnCertificate(credentials)));
    // Tickets alone, no store: fifty thousand sessions would need memory. One
    // a handshake, because every resumed one brings the next.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::new(tickets);
    config.send_tls13_tickets = 1;
    // ours is the side that encrypts for everybody
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}

/// The certificate of this process, whichever is in use at the handshake.
#[derive(Debug)]
struct OwnCertificate(Arc<SharedCredentials>);

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.get().tls.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.get().tls.clone())
    }
}

/// Judges the peer of a handshake, on either side.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    pub(super) trust: Arc<SharedTrust>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Puppet's rule: a server certificate without any alt name is known by
    /// its common name, ignoring case.
    pub(super) names_by_common_name: bool,
    /// Who a server is to be, whatever it is reached by; without, what it is reached by.
    pub(super) named: Option<ServerName<'static>>,
    /// Who is to know how long a server's chain holds, on the client's side.
    pub(super) sessions: Option<Arc<Sessions>>,
}

impl PeerVerifier {
    fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        usage: Usage,
    ) -> Result<Validity, Error> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.trust
            .verify(leaf, others, now, usage)
            .map_err(|reason| Error::InvalidCertificate(tls_error(reason)))
    }
}

/// The error whose alert tells the peer the same.
pub(super) fn tls_error(reason: ChainError) -> CertificateError {
    match reason {
        ChainError::Unreadable => CertificateError::BadEncoding,
        ChainError::UnknownIssuer => CertificateError::UnknownIssuer,
        ChainError::Expired(_) => CertificateError::Expired,
        ChainError::NotYetValid(_) => CertificateError::NotValidYet,
        ChainError::Revoked => CertificateError::Revoked,
        ChainError::Purpose(_) => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}

/// Both names, because whoever reads this has to change one of them.
fn other_name(expected: &ServerName<'_>, certificate: &Certificate) -> CertificateError {
    let presented = certificate.names().take(5).map(|name| format!("{name:?}")).collect();
    CertificateError::NotValidForNameContext { expected: expected.to_owned(), presented }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let validity = self.check_chain(end_entity, intermediates, now, Usage::Server)?;
        let bad = |reason| Error::InvalidCertificate(reason);
        let reached = server_name;
        let server_name = self.named.as_ref().unwrap_or(reached);
        let certificate = Certificate::parse(end_entity).ok_or(bad(CertificateError::BadEncoding))?;
        let by_common_name = self.names_by_common_name
            && !certificate.has_alt_names
            && !certificate.common_name.is_empty()
            && certificate.common_name.eq_ignore_ascii_case(&server_name.to_str());
        if !by_common_name {
            let parsed =
                EndEntityCert::try_from(end_entity).map_err(|_| bad(CertificateError::BadEncoding))?;
            parsed
                .verify_is_valid_for_subject_name(server_name)
                .map_err(|_| bad(other_name(server_name, &certificate)))?;
        }
        if let Some(sessions) = &self.sessions {
            sessions.believed(reached, validity);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    /// Whether a peer without certificate may stay is decided by admission.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: clients then send the certificate they have. With hints Go sends
    /// none when it cannot match them, and intermediates in the CA file do not.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_chain(end_entity, intermediates, now, Usage::Client)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
