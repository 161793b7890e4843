//! Certificates of a bench: one CA, one server, and as many clients as are asked for.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, Issuer,
    KeyPair, RevokedCertParams, SerialNumber,
};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::Failure;

/// Whoever makes client certificates.
pub struct Person {
    roots: Arc<RootCertStore>,
    issuer: Issuer<'static, KeyPair>,
    key: KeyPair,
}

impl Person {
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(std::fs::read(dir.join("ca.der"))?))?;
        let text = |name: &str| std::fs::read_to_string(dir.join(name));
        let key = KeyPair::from_pem(&text("ca-key.pem")?)?;
        let issuer = Issuer::from_ca_cert_pem(&text("ca.pem")?, key)?;
        Ok(Self { roots: Arc::new(roots), issuer, key: KeyPair::from_pem(&text("client-key.pem")?)? })
    }

    pub fn config(&self, number: u64, resumes: bool) -> Result<Arc<ClientConfig>, Failure> {
        let name = format!("node{number}.example.net");
        let mut params = CertificateParams::new(vec![name.clone()])?;
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.serial_number = Some(serial(number));
        let certificate = params.signed_by(&self.key, &self.issuer)?;
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(self.roots.clone())
                .with_client_auth_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::try_from(self.key.serialize_der())?,
                )?;
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }
}

fn serial(number: u64) -> SerialNumber {
    SerialNumber::from(number + 1)
}

pub fn write_revocations(dir: &Path, numbers: &[u64]) -> Result<(), Failure> {
    let now = rcgen::date_time_ymd(2020, 1, 1);
    let revoked = numbers.iter().map(|number| RevokedCertParams {
        serial_number: serial(*number),
        revocation_time: now,
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: now,
        next_update: rcgen::date_time_ymd(2040, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let person = Person::read(dir)?;
    std::fs::write(dir.join("crl.pem"), list.signed_by(&person.issuer)?.pem()?)?;
    Ok(())
}

pub fn write_certificates(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir)?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    std::fs::write(dir.join("ca-key.pem"), ca_key.serialize_pem())?;
    let ca = CertifiedIssuer::self_signed(params, ca_key)?;
    std::fs::write(dir.join("ca.der"), ca.der())?;
    std::fs::write(dir.join("ca.pem"), ca.pem())?;
    for name in ["server", "client"] {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), format!("{name}.example.net")])?;
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{name}.example.net"));
        let certificate = params.signed_by(&key, &ca)?;
        std::fs::write(dir.join(format!("{name}.der")), certificate.der())?;
        std::fs::write(dir.join(format!("{name}-key.der")), key.serialize_der())?;
        std::fs::write(dir.join(format!("{name}.pem")), certificate.pem())?;
        std::fs::write(dir.join(format!("{name}-key.pem")), key.serialize_pem())?;
    }
    Ok(())
}
