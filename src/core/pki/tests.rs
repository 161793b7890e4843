//! A small network's certificates, as security sees them.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::core::security::crl::RevocationLists;
use crate::core::security::{Certificate, ChainError, Trust, Usage, pem};

const NOW: i64 = 1_800_000_000;

fn trust(ca: &Ca) -> Trust {
    Trust::read(&ca.certificate_file(), Some(&ca.crl_file())).unwrap()
}

#[test]
fn every_kind_is_good_for_what_it_is_for() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(&dir.path().join("ca"), "Test CA", NOW).unwrap();
    let ca = Ca::load(ca.dir()).unwrap();
    let trust = trust(&ca);
    for (kind, name, carried, rsa, server) in [
        (Kind::Broker, "broker.example.net", "broker.example.net", false, true),
        (Kind::Node, "node1.example.net", "node1.example.net", true, false),
        (Kind::Client, "bob", "bob.mcollective", true, false),
        (Kind::Client, "bob.choria", "bob.choria", true, false),
        (Kind::Client, "jane.doe", "jane.doe.mcollective", true, false),
        (Kind::Client, "eve.privileged.mcollective", "eve.privileged.mcollective", true, false),
    ] {
        let options = Options { alt_names: vec!["alias.example.net".into()], loopback: true, days: 30 };
        let issued = ca.issue(kind, name, &options, NOW).unwrap();
        let certificates = pem::certificates(issued.certificate_pem.as_bytes()).unwrap();
        let certificate = Certificate::parse(&certificates[0]).unwrap();
        assert_eq!(certificate.common_name, carried);
        assert_eq!(certificate.dns_names, [carried, "alias.example.net", "localhost"]);
        assert_eq!(certificate.rsa_key.is_some(), rsa);
        assert_eq!(certificate.not_after, NOW + 30 * 86_400);
        trust.verify(&certificates[0], &[], NOW, Usage::Client).unwrap();
        let as_server = trust.verify(&certificates[0], &[], NOW, Usage::Server);
        assert_eq!(as_server.is_ok(), server, "{as_server:?}");
        let late = trust.verify(&certificates[0], &[], NOW + 31 * 86_400, Usage::Client);
        assert!(matches!(late, Err(ChainError::Expired(_))), "{late:?}");
    }
}

#[test]
fn no_machine_has_a_callers_name_beside_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(dir.path(), "Test CA", NOW).unwrap();
    for (kind, alt, refused) in [
        (Kind::Node, "y.privileged.mcollective", true),
        (Kind::Node, "Bob.Choria", true),
        (Kind::Broker, "bob.mcollective", true),
        (Kind::Client, "carl.mcollective", false),
        (Kind::Node, "n1.other.net", false),
    ] {
        let options = Options { alt_names: vec![alt.to_owned()], ..Options::default() };
        let issued = ca.issue(kind, "n1", &options, NOW);
        assert_eq!(matches!(issued, Err(PkiError::CallerName(_))), refused, "{alt}");
    }
}

#[test]
fn keys_are_private_and_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(dir.path(), "Test CA", NOW).unwrap();
    assert!(matches!(Ca::create(dir.path(), "Other", NOW), Err(PkiError::Exists(_))));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("ca-key.pem")), 0o600);
    assert_eq!(mode(&ca.certificate_file()), 0o644);

    let broker = ca.issue(Kind::Broker, "b1", &Options::default(), NOW).unwrap();
    let (certificate, key) = broker.write(&dir.path().join("out")).unwrap();
    assert_eq!((mode(&certificate), mode(&key)), (0o644, 0o600));
    let again = ca.issue(Kind::Broker, "b1", &Options::default(), NOW).unwrap();
    assert!(matches!(again.write(&dir.path().join("out")), Err(PkiError::Exists(_))));
    assert_eq!(std::fs::read_to_string(key).unwrap(), *broker.key_pem);
}

#[test]
fn a_key_may_be_certified_again() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(dir.path(), "Test CA", NOW).unwrap();
    let first = ca.issue(Kind::Node, "n1", &Options::default(), NOW).unwrap();
    let second = ca.issue_for_key(Kind::Node, "n2", &Options::default(), &first.key_pem, NOW).unwrap();
    let read = |issued: &Issued| {
        Certificate::parse(&pem::certificates(issued.certificate_pem.as_bytes()).unwrap()[0]).unwrap()
    };
    assert_eq!(read(&first).rsa_key, read(&second).rsa_key);
    assert_ne!(read(&first).serial, read(&second).serial);
    assert_eq!(read(&second).common_name, "n2");
}

#[test]
fn a_revoked_name_is_refused_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(dir.path(), "Test CA", NOW).unwrap();
    let issue = |name| {
        let issued = ca.issue(Kind::Broker, name, &Options::default(), NOW).unwrap();
        pem::certificates(issued.certificate_pem.as_bytes()).unwrap().remove(0)
    };
    let (one, other, renewed) = (issue("one"), issue("other"), issue("one"));
    assert_eq!(ca.revoke("one", NOW).unwrap(), 2, "the renewed certificate too");
    assert!(matches!(ca.revoke("one", NOW), Err(PkiError::NothingToRevoke(_))));
    assert!(matches!(ca.revoke("nobody", NOW), Err(PkiError::NothingToRevoke(_))));
    for (certificate, revoked) in [(&one, true), (&renewed, true), (&other, false)] {
        let result = trust(&ca).verify(certificate, &[], NOW, Usage::Client);
        assert_eq!(result == Err(ChainError::Revoked), revoked, "{result:?}");
    }
    ca.revoke("other", NOW + 5).unwrap();
    assert_eq!(trust(&ca).verify(&one, &[], NOW, Usage::Client), Err(ChainError::Revoked));
    assert_eq!(trust(&ca).verify(&other, &[], NOW, Usage::Client), Err(ChainError::Revoked));
}

#[test]
fn a_list_beside_an_older_one_of_the_same_issuer_still_counts() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(dir.path(), "Test CA", NOW).unwrap();
    let first = std::fs::read_to_string(ca.crl_file()).unwrap();
    let issued = ca.issue(Kind::Broker, "one", &Options::default(), NOW).unwrap();
    let leaf = pem::certificates(issued.certificate_pem.as_bytes()).unwrap().remove(0);
    ca.revoke("one", NOW).unwrap();
    let second = std::fs::read_to_string(ca.crl_file()).unwrap();
    for text in [format!("{first}{second}"), format!("{second}{first}")] {
        let lists = RevocationLists::from_pem(text.as_bytes()).unwrap();
        let trust = Trust::from_pem(ca.certificate_pem().as_bytes(), Some(lists)).unwrap();
        assert_eq!(trust.verify(&leaf, &[], NOW, Usage::Client), Err(ChainError::Revoked));
    }
    // An expired list still applies, and says so.
    let trust = trust(&ca);
    let late = NOW + i64::from(CA_DAYS) * 86_400 - 1;
    assert!(trust.revocation().unwrap().warning(late).is_none());
    assert!(trust.revocation().unwrap().warning(late + 10).is_some());
}

#[test]
fn names_that_would_leave_the_directory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(dir.path(), "Test CA", NOW).unwrap();
    for name in ["../x", "", ".hidden", "-rf", "a b", "a/b", "ä"] {
        let refused = ca.issue(Kind::Node, name, &Options::default(), NOW);
        assert!(matches!(refused, Err(PkiError::Name(_))), "{name:?}");
    }
}

#[test]
fn a_ca_past_its_time_vouches_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::create(dir.path(), "Test CA", NOW).unwrap();
    let late = NOW + i64::from(CA_DAYS) * 86_400;
    let issued = ca.issue(Kind::Client, "bob", &Options::default(), late - 60).unwrap();
    let leaf = pem::certificates(issued.certificate_pem.as_bytes()).unwrap().remove(0);
    let validity = trust(&ca).verify(&leaf, &[], late - 1, Usage::Client).unwrap();
    assert_eq!(validity.not_after, late, "no longer than the CA");
    let refused = trust(&ca).verify(&leaf, &[], late + 1, Usage::Client);
    assert_eq!(refused, Err(ChainError::Expired("its issuer")));
}
