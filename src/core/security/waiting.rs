//! Security of a node that has no certificate yet (spec 01 §15, 02 §13.3).
//!
//! It may know its broker all the same: by the CA or the public key that its
//! token or its build carries. Then a broker that is another ends the
//! connection. Without either it sends its token to whoever answers, as the
//! original always does, and says so.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::tls::{PeerVerifier, VERSIONS, library};
use super::tokens;
use super::{ClaimReader, NameList, RequestTrust, RequestVerifier, SecurityError, SharedTrust, Trust};
use crate::core::text::unhex;

/// TLS and verification of a waiting node.
#[derive(Debug)]
pub struct WaitingSecurity {
    /// For its connection: no certificate of its own.
    pub tls: Arc<ClientConfig>,
    /// For requests that arrive.
    pub verifier: RequestTrust,
    /// What an administrator should know.
    pub warnings: Vec<String>,
}

impl WaitingSecurity {
    /// From what the token or the build says. `secure` asks for requests to be
    /// verified too, which needs the CA.
    ///
    /// # Errors
    /// A CA text without certificates, or a pin that is none: a failure to know
    /// the broker is final.
    pub fn new(known: &tokens::BrokerTrust, secure: bool) -> Result<WaitingSecurity, SecurityError> {
        let crypto = Arc::new(aws_lc_rs::default_provider());
        let algorithms = crypto.signature_verification_algorithms;
        let unusable = |what, reason: String| SecurityError::Waiting { what, reason };
        let trust = match known.ca.as_str() {
            "" => None,
            ca => {
                let trust = Trust::from_pem(ca.as_bytes(), None).map_err(|reason| unusable("CA", reason))?;
                Some(Arc::new(SharedTrust::new(trust)))
            }
        };
        let pin = match known.pin.as_str() {
            "" => None,
            pin => Some(
                unhex::<32>(pin)
                    .ok_or_else(|| unusable("broker key", "it is not 64 hex digits".to_owned()))?,
            ),
        };
        let mut warnings = Vec::new();
        if trust.is_none() && pin.is_none() {
            warnings.push(
                "neither the provisioning token nor this build says how to know the broker: the token is shown to \
                 whoever answers; make tokens that carry the CA"
                    .to_owned(),
            );
        }
        let chain = trust.clone().map(|trust| PeerVerifier {
            trust,
            algorithms,
            names_by_common_name: false,
            named: None,
            sessions: None,
        });
        let mut tls = ClientConfig::builder_with_provider(crypto)
            .with_protocol_versions(VERSIONS)
            .map_err(library)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(BrokerVerifier { chain, pin, algorithms }))
            .with_no_client_auth();
        tls.resumption = Resumption::disabled();
        let verifier = match trust.filter(|_| secure) {
            Some(trust) => {
                // any name of the CA: the access token says who may provision
                RequestTrust::Verified(RequestVerifier::new(trust, NameList::new([""]), NameList::default()))
            }
            None => RequestTrust::Claimed(ClaimReader::of_a_waiting_node()),
        };
        Ok(WaitingSecurity { tls: Arc::new(tls), verifier, warnings })
    }
}

/// Knows the broker by as much as there is: chain, key, both or neither.
#[derive(Debug)]
struct BrokerVerifier {
    chain: Option<PeerVerifier>,
    pin: Option<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The broker has another key than the one pinned.
#[derive(Debug, thiserror::Error)]
#[error("the broker's public key is not the one the provisioning token names")]
struct OtherKey;

impl ServerCertVerifier for BrokerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(chain) = &self.chain {
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        }
        if let Some(pin) = &self.pin {
            let bad = |reason| Error::InvalidCertificate(reason);
            let (_, certificate) =
                X509Certificate::from_der(end_entity).map_err(|_| bad(CertificateError::BadEncoding))?;
            let digest =
                ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, certificate.public_key().raw);
            if digest.as_ref() != pin {
                return Err(bad(CertificateError::Other(OtherError(Arc::new(OtherKey)))));
            }
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
