//! Certificate, CA and key that a node is given: do they fit it?

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::CallContext;
use super::action_error::ActionError;
use super::inputs::Inputs;
use crate::core::files::{PUBLIC, SECRET, Together, read_bounded};
use crate::core::security::key_transport::{Exchange, TransportError};
use crate::core::security::{Certificate, Trust, Usage, pem};

/// Largest key file, in bytes.
const MAX_KEY: u64 = 64 * 1024;
/// Mode of a directory that certificates go to, where there is none yet.
const DIR: u32 = 0o700;

/// Prepares the files of `inputs`; none unless certificate, CA and directory are all given.
pub fn prepare(
    inputs: &Inputs,
    exchange: Option<&Exchange>,
    about: &CallContext,
    change: &mut Together,
) -> Result<(), ActionError> {
    let refused = |why: String| ActionError::Tls(why);
    let [certificate, ca, ssldir, key] = ["certificate", "ca", "ssldir", "key"].map(|name| inputs.text(name));
    if certificate.is_empty() || ca.is_empty() || ssldir.is_empty() {
        if !certificate.is_empty() || !ca.is_empty() || !key.is_empty() {
            tracing::warn!("certificate, CA and ssldir were not all given, none of them is written");
        }
        return Ok(());
    }
    let dir = Path::new(ssldir);
    if !dir.is_absolute() || ssldir.contains(char::is_control) {
        return Err(refused("ssldir is no absolute path".to_owned()));
    }
    let private_file = dir.join("private.pem");
    let sent = match key {
        "" => None,
        key => Some(open(exchange, inputs.text("ecdh_public"), key).map_err(refused)?),
    };
    let private = match &sent {
        Some(key) => key.as_bytes().to_vec(),
        None => read_bounded(&private_file, MAX_KEY).map_err(|e| refused(e.to_string()))?,
    };
    check(certificate, ca, &Zeroizing::new(private), about).map_err(refused)?;
    let written = (|| {
        change.directory(dir, DIR)?;
        change.write(&dir.join("certificate.pem"), certificate.as_bytes(), PUBLIC)?;
        change.write(&dir.join("ca.pem"), ca.as_bytes(), PUBLIC)?;
        if let Some(key) = &sent {
            change.write(&private_file, key.as_bytes(), SECRET)?;
            change.remove(&dir.join("csr.pem"));
        }
        Ok(())
    })();
    written.map_err(|e: std::io::Error| refused(e.to_string()))
}

fn open(exchange: Option<&Exchange>, peer: &str, key: &str) -> Result<Zeroizing<String>, String> {
    let exchange = exchange.ok_or("could not decrypt private key: private key not set, call jwt first")?;
    exchange.open(peer, key).map_err(|e| match e {
        TransportError::Encrypted => "could not decrypt private key: bad key received".to_owned(),
        other => format!("could not decrypt private key: {other}"),
    })
}

/// Whether the certificate is of this key, of this node and of this CA.
fn check(certificate: &str, ca: &str, key: &[u8], about: &CallContext) -> Result<(), String> {
    let chain = pem::certificates(certificate.as_bytes())
        .map_err(|reason| format!("the certificate cannot be read: {reason}"))?;
    let Some((leaf, others)) = chain.split_first() else {
        return Err("the certificate is not in PEM".to_owned());
    };
    let parsed = Certificate::parse(leaf).ok_or("the certificate is no X.509 certificate")?;
    let private =
        pem::private_key(key).map_err(|reason| format!("the private key cannot be read: {reason}"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    CertifiedKey::from_der(chain.clone(), private, &provider)
        .map_err(|_| "the certificate is of another key than this node's private.pem")?;
    if !parsed.names().any(|name| name == about.identity) {
        let names: Vec<&str> = parsed.names().take(3).collect();
        return Err(format!("the certificate is for {}, not {}", names.join(", "), about.identity));
    }
    let trust = Trust::from_pem(ca.as_bytes(), None)
        .map_err(|reason| format!("the CA cannot be used: it {reason}"))?;
    trust
        .verify(leaf, others, about.now, Usage::Client)
        .map(|_| ())
        .map_err(|reason| format!("the certificate is not of the CA, or not usable: {reason}"))
}
