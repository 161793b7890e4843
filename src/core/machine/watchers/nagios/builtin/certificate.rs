//! `certificate`: when the certificates of a file, or of a server, end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::limits::{Bounds, Limits, Measure};
use super::{Around, Builtin, Finding, Looking, Probe};
use crate::core::files::{read_bounded, unless_it_hangs};
use crate::core::machine::properties::Properties;
use crate::core::security::{Certificate, pem};

pub(super) const BUILTIN: Builtin = Builtin { name: "certificate", compile };

/// Bytes of a file of certificates.
const MOST: u64 = 4 << 20;
/// Certificates that are looked at.
const MOST_CERTIFICATES: usize = 512;
const DAY: f64 = 86_400.0;

enum Place {
    File(PathBuf),
    Server { host: Box<str>, port: u16, name: Box<str> },
}

struct Ends {
    place: Option<Place>,
    limits: Limits,
}

fn compile(of: &mut Properties<'_, '_>) -> Box<dyn Probe> {
    let (file, address, name) = (of.text("file"), of.text("address"), of.text("name"));
    let place = match (file.is_empty(), address.is_empty()) {
        (false, true) => Some(Place::File(PathBuf::from(&*file))),
        (true, false) => {
            let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
            if parts.is_none() {
                of.error_at("address", format_args!("is {address}, which is no HOST:PORT"));
            }
            parts.map(|(host, port)| {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let name = if name.is_empty() { host.into() } else { name };
                Place::Server { host: host.into(), port, name }
            })
        }
        _ => {
            of.error("one of file and address is required");
            None
        }
    };
    // days
    Box::new(Ends { place, limits: Limits::new(of, Measure::Least, ["30", "7"]) })
}

impl Probe for Ends {
    fn look<'a>(&'a self, around: &'a Around) -> Looking<'a> {
        Box::pin(async move { self.found(around).await.unwrap_or_else(|finding| finding) })
    }
}

impl Ends {
    async fn found(&self, around: &Around) -> Result<Finding, Finding> {
        let bounds = self.limits.here(around)?;
        let now = Timestamp::now().as_second();
        match &self.place {
            None => Err(Finding::unknown("neither file nor address is given")),
            Some(Place::File(file)) => {
                let (path, shown) = (file.clone(), file.display().to_string());
                let read = unless_it_hangs(file, move || read_bounded(&path, MOST)).await;
                let read = read.ok_or_else(|| Finding::unknown(format!("{shown} does not answer")))?;
                let text = read.map_err(|e| Finding::critical(e.to_string()))?;
                let found =
                    pem::certificates(&text).map_err(|e| Finding::critical(format!("{shown}: {e}")))?;
                Ok(judged(&shown, &found, now, bounds))
            }
            Some(Place::Server { host, port, name }) => {
                let found = shown_by(host, *port, name).await;
                let found = found.map_err(|e| Finding::critical(format!("{host}:{port}: {e}")))?;
                // what is above it is its issuer's business
                Ok(judged(&format!("{host}:{port}"), found.get(..1).unwrap_or_default(), now, bounds))
            }
        }
    }
}

/// The first that ends is what counts.
fn judged(shown: &str, found: &[CertificateDer<'_>], now: i64, bounds: Bounds) -> Finding {
    let read = found.iter().take(MOST_CERTIFICATES).filter_map(|der| Certificate::parse(der));
    let Some(first) = read.min_by_key(|certificate| certificate.not_after) else {
        return Finding::unknown(format!("{shown} has no certificate that can be read"));
    };
    let name = first.names().next().unwrap_or("without a name").to_owned();
    let left = first.not_after.saturating_sub(now) as f64 / DAY;
    let when = Timestamp::from_second(first.not_after).map(|at| at.to_string()).unwrap_or_default();
    let said = if left < 0.0 {
        format!("certificate {name} of {shown} ended on {when}")
    } else {
        format!("certificate {name} of {shown} ends in {left:.0} days, on {when}")
    };
    Finding::ok().judged("days", left, "", bounds, said)
}

/// Sees what a server shows, and goes no further: nothing is ever said to a server that nobody
/// has verified.
#[derive(Debug)]
struct Onlooker {
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = vec![end_entity.clone().into_owned()];
        Err(Error::General("enough was seen".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("enough was seen".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("enough was seen".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn shown_by(host: &str, port: u16, name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = ServerName::try_from(name.to_owned()).map_err(|e| format!("{name}: {e}"))?;
    let onlooker = Arc::new(Onlooker { seen: Mutex::default() });
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|e| e.to_string())?.dangerous();
    let config = config.with_custom_certificate_verifier(onlooker.clone()).with_no_client_auth();
    let stream = TcpStream::connect((host, port)).await.map_err(|e| e.to_string())?;
    let ended = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let seen = std::mem::take(&mut *onlooker.seen.lock().unwrap_or_else(PoisonError::into_inner));
    match (seen.is_empty(), ended) {
        (false, _) => Ok(seen),
        (true, Err(e)) => Err(format!("it shows no certificate: {e}")),
        (true, Ok(_)) => Err("it shows no certificate".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use rustls_pki_types::PrivateKeyDer;
    use tokio_rustls::TlsAcceptor;

    use super::super::tests::look;
    use super::*;

    fn made(days: i64) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["web.example.net".to_owned()]).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        let now = Timestamp::now().as_second();
        let time = |days: i64| {
            x509_parser::time::ASN1Time::from_timestamp(now + days * 86_400 + 600).unwrap().to_datetime()
        };
        parameters.not_before = time(-100);
        parameters.not_after = time(days);
        (parameters.self_signed(&key).unwrap(), key)
    }

    #[tokio::test]
    async fn the_first_that_ends_counts() {
        let dir = tempfile::tempdir().unwrap();
        for (days, expected) in [
            (vec![100, 60], "OK: certificate web.example.net of "),
            (vec![100, 20], "WARNING: certificate web.example.net of "),
            (vec![100, 3], "CRITICAL: certificate web.example.net of "),
            (vec![-2], "CRITICAL: certificate web.example.net of "),
        ] {
            let file = dir.path().join("chain.pem");
            let text: String = days.iter().map(|days| made(*days).0.pem()).collect();
            std::fs::write(&file, text).unwrap();
            let found = look("certificate", &format!("{{file: {}}}", file.display()), "null").await;
            assert!(found.starts_with(expected), "{found}");
            assert_eq!(found.contains("ended on"), days == [-2], "{found}");
        }
        std::fs::write(dir.path().join("none.pem"), "x").unwrap();
        let found =
            look("certificate", &format!("{{file: {}/none.pem}}", dir.path().display()), "null").await;
        assert!(!found.starts_with("OK"), "{found}");
        let found = look("certificate", "{file: /nosuch.pem}", "null").await;
        assert!(found.starts_with("CRITICAL: cannot read /nosuch.pem"), "{found}");
    }

    #[tokio::test]
    async fn a_file_that_hangs_is_waited_for_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe.pem");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        let began = std::time::Instant::now();
        for _ in 0..20 {
            let found = look("certificate", &format!("{{file: {}}}", pipe.display()), "null").await;
            assert!(found.starts_with("UNKNOWN") && found.contains("does not answer"), "{found}");
        }
        let took = began.elapsed();
        assert!(took < crate::core::files::DEADLINE * 20, "{took:?}");
        // so that the one that waits ends with the test
        drop(std::fs::OpenOptions::new().write(true).open(&pipe).unwrap());
    }

    /// What nobody vouches for is looked at, and nothing is said to it.
    #[tokio::test]
    async fn a_server_is_looked_at_and_not_talked_to() {
        let (certificate, key) = made(3);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config =
            config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            TlsAcceptor::from(Arc::new(config)).accept(stream).await.is_ok()
        });
        let properties = format!("{{address: '127.0.0.1:{port}', name: web.example.net}}");
        let found = look("certificate", &properties, "null").await;
        assert!(found.starts_with("CRITICAL: certificate web.example.net of 127.0.0.1:"), "{found}");
        assert!(!serving.await.unwrap(), "the handshake is not ended");
        let closed = look("certificate", "{address: '127.0.0.1:1'}", "null").await;
        assert!(closed.starts_with("CRITICAL: 127.0.0.1:1: "), "{closed}");
    }
}
