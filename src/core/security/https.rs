//! HTTPS of web services beside a network: releases, helpers, Vault. They are
//! known by the CAs the system trusts, which a network of ours never is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::chain::check_extent;
use super::tls::tls_error;
use super::{pem, tls_errors};
use crate::core::files::read_bounded;

/// Bytes of one file of CA certificates; bundles have some 300 KiB.
const MAX_FILE: u64 = 8 << 20;

/// Whom a web service is known by.
#[derive(Debug, Clone, Copy)]
pub enum Roots<'a> {
    /// The CAs of the system.
    System,
    /// Those of this PEM file only.
    File(&'a Path),
    /// The CAs of the system, and those of this PEM text.
    SystemAnd(&'a str),
}

/// Connects to web services that these CAs vouch for; clients show no certificate.
///
/// # Errors
/// The file or the text cannot be read, or there is no CA at all.
pub fn connector(roots: Roots<'_>) -> Result<TlsConnector, String> {
    connector_showing(roots, None)
}

/// [`connector`], with the files of a certificate and its key that are shown to whoever asks.
///
/// # Errors
/// As [`connector`]; or those files cannot be used.
pub fn connector_showing(roots: Roots<'_>, shown: Option<(&Path, &Path)>) -> Result<TlsConnector, String> {
    let mut store = RootCertStore::empty();
    if let Roots::System | Roots::SystemAnd(_) = roots {
        store.add_parsable_certificates(system_roots());
    }
    let given = match roots {
        Roots::System => vec![],
        Roots::File(path) => pem::certificates(&read_bounded(path, MAX_FILE).map_err(|e| e.to_string())?)?,
        Roots::SystemAnd(text) => pem::certificates(text.as_bytes())?,
    };
    for certificate in given {
        store.add(certificate).map_err(|e| tls_errors::told(&e))?;
    }
    if store.is_empty() {
        return Err("there are no CA certificates to verify the web service by".to_owned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build();
    let verifier = verifier.map_err(|e| format!("the CA certificates cannot be used: {e}"))?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|e| tls_errors::told(&e))?.dangerous();
    let config = config.with_custom_certificate_verifier(Arc::new(Bounded(verifier)));
    let config = match shown {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let read = |path| read_bounded(path, MAX_FILE).map_err(|e| e.to_string());
            let named = |path: &Path, e: String| format!("{}: {e}", path.display());
            let chain = pem::certificates(&read(certificate)?).map_err(|e| named(certificate, e))?;
            let text = Zeroizing::new(read(key)?);
            let secret = pem::private_key(&text).map_err(|e| named(key, e))?;
            let config = config.with_client_auth_cert(chain, secret);
            config.map_err(|e| named(certificate, tls_errors::told(&e)))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Asks one thing of a web service, on a connection of its own; the answer may have `most` bytes.
///
/// # Errors
/// It cannot be reached, or does not answer so, in words.
pub async fn ask(
    connector: &TlsConnector,
    (host, port): (&str, u16),
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<(StatusCode, Bytes), String> {
    ask_whole(connector, (host, port), request, most).await.map(|(status, _, body)| (status, body))
}

/// [`ask`], with the headers of the answer.
///
/// # Errors
/// As [`ask`].
pub async fn ask_whole(
    connector: &TlsConnector,
    (host, port): (&str, u16),
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<(StatusCode, HeaderMap, Bytes), String> {
    let told = |e: &(dyn std::error::Error + 'static)| tls_errors::told_of(e);
    let name = ServerName::try_from(host.to_owned()).map_err(|e| told(&e))?;
    let stream = TcpStream::connect((host, port)).await.map_err(|e| told(&e))?;
    let stream = connector.connect(name, stream).await.map_err(|e| told(&e))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| told(&e))?;
    // ends with the answer: nothing else is asked of it
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.map_err(|e| told(&e))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = Limited::new(response.into_body(), most).collect().await.map_err(|e| e.to_string())?;
    Ok((status, headers, body.to_bytes()))
}

/// The library's verifier, for chains that are no more than chains are: see [`check_extent`].
#[derive(Debug)]
struct Bounded(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Bounded {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        check_extent(intermediates).map_err(|reason| Error::InvalidCertificate(tls_error(reason)))?;
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The certificates of the system's store, as OpenSSL would find them
/// (`SSL_CERT_FILE` and `SSL_CERT_DIR` count). Files that cannot be read or
/// understood are passed over; what is missing then shows as an unknown issuer.
fn system_roots() -> Vec<CertificateDer<'static>> {
    let store = openssl_probe::probe();
    let mut found = BTreeSet::new();
    for file in store.cert_file.into_iter().chain(store.cert_dir.iter().flat_map(|d| files(d))) {
        match read_bounded(&file, MAX_FILE)
            .map_err(|e| e.to_string())
            .and_then(|text| pem::certificates(&text))
        {
            Ok(certificates) => found.extend(certificates.into_iter().map(|c| c.as_ref().to_vec())),
            Err(reason) => tracing::debug!(file = %file.display(), reason, "not a file of CA certificates"),
        }
    }
    found.into_iter().map(CertificateDer::from).collect()
}

/// Regular files of a directory, the targets of links among them once.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.path().canonicalize().ok()).filter(|path| path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_other_files_of_a_store_do_not_disturb() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("one.pem"), "x").unwrap();
        std::os::unix::fs::symlink("one.pem", dir.path().join("1234abcd.0")).unwrap();
        std::os::unix::fs::symlink("gone.pem", dir.path().join("4321abcd.0")).unwrap();
        std::fs::create_dir(dir.path().join("directory")).unwrap();
        let expected = dir.path().join("one.pem").canonicalize().unwrap();
        assert_eq!(files(dir.path()), BTreeSet::from([expected]));
        assert!(files(&dir.path().join("nowhere")).is_empty());
    }
}
