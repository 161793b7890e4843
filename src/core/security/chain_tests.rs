//! Chains of more than one step, and revocation on every step of them.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls_pki_types::CertificateDer;

use super::crl::RevocationLists;
use super::{ChainError, Trust, Usage};

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

struct Authority {
    der: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn params(name: &str, serial: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&[serial]));
    params
}

fn authority(name: &str, serial: u8, by: Option<&Authority>) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = params(name, serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = match by {
        Some(by) => params.signed_by(&key, &by.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Authority { der: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) }
}

fn leaf(name: &str, serial: u8, by: &Authority) -> CertificateDer<'static> {
    params(name, serial).signed_by(&KeyPair::generate().unwrap(), &by.issuer).unwrap().der().clone()
}

fn list(by: &Authority, serials: &[u8], number: u8) -> String {
    let revoked = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[*serial]),
        revocation_time: rcgen::date_time_ymd(2025, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2025, 1, 1),
        // Long past: it applies all the same.
        next_update: rcgen::date_time_ymd(2025, 2, 1),
        crl_number: SerialNumber::from_slice(&[number]),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&by.issuer).unwrap().pem().unwrap()
}

fn trust(ca: &str, crl: &str) -> Trust {
    let lists = (!crl.is_empty()).then(|| RevocationLists::from_pem(crl.as_bytes()).unwrap());
    Trust::from_pem(ca.as_bytes(), lists).unwrap()
}

#[test]
fn revocation_reaches_every_step_of_a_chain() {
    // As Puppet Server makes it: a root, an intermediate that signs, and one
    // file with the lists of both.
    let root = authority("Root", 1, None);
    let middle = authority("Intermediate", 2, Some(&root));
    let (good, bad) = (leaf("good", 3, &middle), leaf("bad", 4, &middle));
    let sent = [middle.der.clone()];
    let verdict = |ca: &str, crl: &str, leaf: &CertificateDer<'_>, sent: &[CertificateDer<'_>]| {
        trust(ca, crl).verify(leaf, sent, now(), Usage::Client).map(|_| ())
    };
    let both = format!("{}{}", root.pem, middle.pem);
    let lists = |of_root: &[u8], of_middle: &[u8]| {
        format!("{}{}", list(&root, of_root, 1), list(&middle, of_middle, 1))
    };
    assert_eq!(verdict(&root.pem, "", &good, &sent), Ok(()));
    assert_eq!(verdict(&root.pem, "", &good, &[]), Err(ChainError::UnknownIssuer));
    assert_eq!(verdict(&both, &lists(&[], &[4]), &good, &[]), Ok(()));
    assert_eq!(verdict(&both, &lists(&[], &[4]), &bad, &[]), Err(ChainError::Revoked));
    assert_eq!(verdict(&root.pem, &lists(&[], &[4]), &bad, &sent), Err(ChainError::Revoked));
    assert_eq!(verdict(&root.pem, &lists(&[2], &[]), &good, &sent), Err(ChainError::Revoked));
    // Only the root's list: nothing is known about leaves, which stay good.
    assert_eq!(verdict(&root.pem, &list(&root, &[9], 1), &good, &sent), Ok(()));
    // A serial number means nothing with another issuer.
    assert_eq!(verdict(&both, &lists(&[3, 4], &[]), &good, &[]), Ok(()));
    // Layers: whichever of two lists of one issuer names it.
    let twice = format!("{}{}{}", list(&middle, &[4], 1), list(&root, &[], 1), list(&middle, &[], 2));
    assert_eq!(verdict(&both, &twice, &bad, &[]), Err(ChainError::Revoked));
    assert_eq!(verdict(&both, &twice, &good, &[]), Ok(()));
}

#[test]
fn a_list_signed_by_somebody_else_stops_its_issuers_certificates() {
    let (root, other) = (authority("Root", 1, None), authority("Root", 1, None));
    let good = leaf("good", 3, &root);
    let verdict = trust(&root.pem, &list(&other, &[], 1)).verify(&good, &[], now(), Usage::Client);
    assert!(matches!(verdict, Err(ChainError::Other(_))), "{verdict:?}");
}

#[test]
fn certificates_of_the_ca_file_are_revoked_too() {
    // Neither goes through the path builder: one is listed itself, the other
    // is a CA that calls.
    let root = authority("Root", 1, None);
    let listed = authority("listed", 5, Some(&root));
    let file = format!("{}{}", root.pem, listed.pem);
    let verdict =
        |ca: &str, crl: &str| trust(ca, crl).verify(&listed.der, &[], now(), Usage::Client).map(|_| ());
    for ca in [&file, &root.pem] {
        assert_eq!(verdict(ca, ""), Ok(()));
        assert_eq!(verdict(ca, &list(&root, &[6], 1)), Ok(()));
        assert_eq!(verdict(ca, &list(&root, &[5], 1)), Err(ChainError::Revoked));
    }
    assert_eq!(verdict(&authority("Root", 1, None).pem, ""), Err(ChainError::UnknownIssuer));
}

#[test]
fn an_intermediate_of_the_ca_file_is_trusted_until_its_root_revokes_it() {
    let root = authority("Root", 1, None);
    let middle = authority("Intermediate", 2, Some(&root));
    let below = authority("Below", 7, Some(&middle));
    let (good, deep) = (leaf("good", 3, &middle), leaf("deep", 4, &below));
    let file = [&below, &middle, &root].map(|authority| authority.pem.as_str()).concat();
    let verdict = |crl: &str, leaf: &CertificateDer<'_>| {
        trust(&file, crl).verify(leaf, &[], now(), Usage::Client).map(|_| ())
    };
    for leaf in [&good, &deep] {
        assert_eq!(verdict("", leaf), Ok(()));
        assert_eq!(verdict(&list(&root, &[9], 1), leaf), Ok(()));
        assert_eq!(verdict(&list(&root, &[2], 1), leaf), Err(ChainError::UnknownIssuer));
    }
    assert_eq!(verdict(&list(&middle, &[7], 1), &good), Ok(()));
    assert_eq!(verdict(&list(&middle, &[7], 1), &deep), Err(ChainError::UnknownIssuer));
    let told = trust(&file, &list(&root, &[2], 1)).trouble("ca.pem".as_ref(), Some("crl.pem".as_ref()));
    let told = told.join("\n");
    assert!(
        told.contains("CN=Intermediate in ca.pem has been revoked") && told.contains("CN=Below"),
        "{told}"
    );
    // Nobody is left to believe.
    let lists = RevocationLists::from_pem(list(&root, &[2], 1).as_bytes()).unwrap();
    assert!(Trust::from_pem(middle.pem.as_bytes(), Some(lists)).is_err());
}

#[test]
fn a_list_of_nobody_is_told() {
    let (root, other) = (authority("Root", 1, None), authority("Other", 1, None));
    let told = |crl: &str| trust(&root.pem, crl).trouble("ca.pem".as_ref(), Some("crl.pem".as_ref()));
    assert!(told(&list(&root, &[], 1)).is_empty());
    let warnings = told(&list(&other, &[3], 1));
    assert!(warnings.len() == 1 && warnings[0].contains("crl.pem is of none of the CAs in ca.pem"));
}

#[test]
fn a_renewed_ca_certificate_serves_beside_the_expired_one() {
    let key = KeyPair::generate().unwrap();
    let make = |until: i32| {
        let mut params = params("Root", 1);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params.self_signed(&key).unwrap().pem()
    };
    let (old, new) = (make(2020), make(2090));
    let issuer = Issuer::from_ca_cert_pem(&new, KeyPair::from_pem(&key.serialize_pem()).unwrap()).unwrap();
    let leaf = params("good", 3).signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone();
    let verdict = |ca: String| trust(&ca, "").verify(&leaf, &[], now(), Usage::Client).map(|_| ());
    assert_eq!(verdict(old.clone()), Err(ChainError::Expired("its issuer")));
    assert_eq!(verdict(format!("{old}{new}")), Ok(()));
    assert_eq!(verdict(format!("{new}{old}")), Ok(()));
}

#[test]
fn more_certificates_than_a_chain_has_are_not_looked_at() {
    let root = authority("Root", 1, None);
    let good = leaf("good", 3, &root);
    let many = vec![root.der.clone(); super::chain::MAX_CHAIN + 1];
    let verdict = trust(&root.pem, "").verify(&good, &many, now(), Usage::Client);
    assert_eq!(verdict, Err(ChainError::TooLong));
}

/// `count` CAs of one name, each signed by the next, as a stranger makes them to have every
/// order of them tried.
fn tangle(count: usize) -> Vec<Authority> {
    let mut all = vec![authority("Issuing", 1, None)];
    for serial in 2..=count {
        let next = authority("Issuing", u8::try_from(serial).unwrap(), all.last());
        all.push(next);
    }
    all
}

#[test]
fn a_tangle_of_certificates_is_not_followed() {
    let root = authority("Root", 1, None);
    let strangers = tangle(10);
    let made_up = leaf("evil", 99, &strangers[9]);
    let others = |count: usize| strangers.iter().take(count).map(|a| a.der.clone()).collect::<Vec<_>>();
    let verdict =
        |count| trust(&root.pem, "").verify(&made_up, &others(count), now(), Usage::Client).map(|_| ());
    assert_eq!(verdict(10), Err(ChainError::Tangled));
    assert_eq!(verdict(4), Err(ChainError::Tangled));
    assert_eq!(verdict(3), Err(ChainError::UnknownIssuer));
    // an issuer that was renewed comes with its former certificate
    let (old, new) = (authority("Issuing", 5, Some(&root)), authority("Issuing", 6, Some(&root)));
    let good = leaf("good", 7, &new);
    let both = [old.der.clone(), new.der.clone(), root.der.clone()];
    assert!(trust(&root.pem, "").verify(&good, &both, now(), Usage::Client).is_ok());
}
