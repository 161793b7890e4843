//! What a connection has shown of itself, for the authenticator: at its first CONNECT, at another
//! one, and after a reload the same.

use std::net::SocketAddr;

use super::tls::TlsSession;
use crate::core::admission::{
    self, ConnectionFacts, LinkKind, PeerCertificate, Refusal, RefusalKind, Transport,
};
use crate::core::nats::connect::ConnectOptions;

/// The facts of a connection whose handshake is done; `tls` is none on clear text.
///
/// # Errors
/// Its certificate cannot be read: it is not taken for one that showed none.
pub fn facts(
    remote: SocketAddr,
    tls: Option<&dyn TlsSession>,
    options: ConnectOptions,
    nonce: &str,
) -> Result<ConnectionFacts, Refusal> {
    Ok(ConnectionFacts {
        remote: Some(remote),
        kind: LinkKind::Client,
        transport: if tls.is_some() { Transport::Tls } else { Transport::Plaintext },
        certificate: certificate(tls)?,
        options,
        nonce: nonce.to_owned(),
    })
}

/// The certificate it showed, verified by TLS.
///
/// # Errors
/// It cannot be read.
pub fn certificate(tls: Option<&dyn TlsSession>) -> Result<Option<PeerCertificate>, Refusal> {
    match tls.and_then(TlsSession::peer_certificates) {
        None | Some([]) => Ok(None),
        Some(chain) => PeerCertificate::parse(chain.to_vec())
            .map(Some)
            .map_err(|error| Refusal::new(RefusalKind::BadCertificate, error.to_string())),
    }
}

/// Until when the certificates it showed are valid, unix time.
pub fn valid_until(tls: Option<&dyn TlsSession>) -> Option<i64> {
    admission::valid_until(tls.and_then(TlsSession::peer_certificates).unwrap_or_default())
}

/// Bytes of the certificates it showed, which are kept as long as it is there.
pub fn size(tls: Option<&dyn TlsSession>) -> usize {
    let chain = tls.and_then(TlsSession::peer_certificates).unwrap_or_default();
    chain.iter().map(|certificate| certificate.len() + size_of_val(certificate)).sum()
}
