//! Sessions that continue, and those that must not.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

use super::kit::{Raw, ca, loopback, patient_limits, tls_options, until};
use crate::core::admission::{Authenticator, CurrentCertificates, X509Authenticator, X509Options};
use crate::core::broker::{Broker, Listener, Options};
use crate::core::config::{Config, Fixed, Role};
use crate::core::pki::{self, Kind};
use crate::core::security::{Provider, pem};

static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A CA, a broker whose clock can be set, and whoever holds a certificate.
struct Site {
    dir: tempfile::TempDir,
    ca: pki::Ca,
    provider: Provider,
    clock: Arc<AtomicI64>,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let ca = pki::Ca::create(&dir.path().join("ca"), "Site CA", now()).unwrap();
        let options = pki::Options { loopback: true, ..Default::default() };
        let issued = ca.issue(Kind::Broker, "broker.example.net", &options, now()).unwrap();
        let (certificate, key) = issued.write(dir.path()).unwrap();
        let text = format!(
            "identity = broker.example.net\nplugin.security.provider = file\n\
             plugin.security.file.certificate = {}\nplugin.security.file.key = {}\n\
             plugin.security.file.ca = {}\n",
            certificate.display(),
            key.display(),
            ca.certificate_file().display()
        );
        let config = Config::from_text(Role::Broker, &text).unwrap();
        let env = Fixed { euid: 0, ..Fixed::default() };
        let provider = Provider::new(&config, Role::Broker, &env).unwrap();
        Site { dir, ca, provider, clock: Arc::new(AtomicI64::new(now())) }
    }

    fn rules(&self) -> Arc<dyn Authenticator> {
        let clock = self.clock.clone();
        let rules = X509Authenticator::new(X509Options::default());
        let clock = move || clock.load(Ordering::Relaxed);
        Arc::new(CurrentCertificates::by_clock(rules, self.provider.trust(), clock))
    }

    fn broker(&self) -> Broker {
        Broker::start(Options {
            listeners: vec![Listener::tls(loopback())],
            tls: Some(self.provider.server_tls().unwrap()),
            authenticator: self.rules(),
            limits: patient_limits(),
            shards: 2,
            ..Default::default()
        })
        .unwrap()
    }

    fn reload(&self, broker: &Broker) {
        self.provider.reload().unwrap();
        broker.reload(Some(self.provider.server_tls().unwrap()), self.rules(), patient_limits());
    }

    /// Somebody who remembers sessions and asks nothing before offering them.
    fn client(&self, name: &str, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let issued = self.ca.issue(Kind::Node, name, &Default::default(), now()).unwrap();
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(self.ca.certificate_pem().as_bytes()).unwrap() {
            roots.add(certificate).unwrap();
        }
        let chain = pem::certificates(issued.certificate_pem.as_bytes()).unwrap();
        let key = pem::private_key(issued.key_pem.as_bytes()).unwrap();
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(crypto).with_protocol_versions(&[version]).unwrap();
        Arc::new(builder.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap())
    }
}

/// Logs in; the reply brings the ticket for the next time.
fn enter(broker: &Broker, client: &Arc<ClientConfig>) -> Raw {
    let mut link = Raw::tls(broker.local_addr(), client.clone()).unwrap();
    link.login("");
    link
}

/// Is not let in, whether TLS says so or the broker.
fn refused(broker: &Broker, client: &Arc<ClientConfig>) {
    let before = broker.stats().handshakes;
    if let Ok(mut link) = Raw::tls(broker.local_addr(), client.clone()) {
        let _ = link.try_send("CONNECT {\"verbose\":false}\r\nPING\r\n");
        assert!(!link.rest().contains("PONG"));
    }
    until("the end of it", || broker.stats().handshaking == 0);
    assert_eq!(broker.stats().handshakes, before);
}

#[test]
fn a_session_is_resumed_again_and_again() {
    for (version, buffered_tls) in VERSIONS.iter().flat_map(|version| [(version, false), (version, true)]) {
        let site = Site::new();
        let broker = Broker::start(Options {
            buffered_tls,
            listeners: vec![Listener::tls(loopback())],
            tls: Some(site.provider.server_tls().unwrap()),
            authenticator: site.rules(),
            limits: patient_limits(),
            ..Default::default()
        })
        .unwrap();
        let client = site.client("n1.example.net", version);
        for resumed in 0..4 {
            let mut link = enter(&broker, &client);
            assert_eq!(broker.stats().handshakes_resumed, resumed, "{version:?}");
            let shown = broker.connections(10).pop().unwrap();
            assert!(shown.tls.starts_with(&format!("{:?}", version.version)), "{}", shown.tls);
            let chain = broker.view().certificates([shown.cid]);
            assert_eq!(chain[&shown.cid].len(), 1, "a resumed session keeps its certificate");
            link.sync();
        }
    }
}

#[test]
fn whoever_is_revoked_is_not_let_in_by_an_old_session() {
    for version in VERSIONS {
        for told in [true, false] {
            let site = Site::new();
            let broker = site.broker();
            let (bad, good) =
                (site.client("n1.example.net", version), site.client("n2.example.net", version));
            let links = [enter(&broker, &bad), enter(&broker, &good)];
            site.ca.revoke("n1.example.net", now()).unwrap();
            if told {
                site.reload(&broker);
            } else {
                // the TLS configuration stays, and finds the new lists by itself
                site.provider.reload().unwrap();
            }
            refused(&broker, &bad);
            refused(&broker, &bad);
            enter(&broker, &good);
            assert_eq!(broker.stats().handshakes_resumed, 0, "tickets of before are worth nothing");
            enter(&broker, &good);
            assert_eq!(broker.stats().handshakes_resumed, 1);
            drop(links);
        }
    }
}

#[test]
fn no_session_survives_its_authority() {
    for version in VERSIONS {
        let site = Site::new();
        let broker = site.broker();
        let client = site.client("n1.example.net", version);
        enter(&broker, &client);
        enter(&broker, &client);
        assert_eq!(broker.stats().handshakes_resumed, 1);
        let other = pki::Ca::create(&site.dir.path().join("other"), "Other CA", now()).unwrap();
        fs::write(site.ca.certificate_file(), other.certificate_pem()).unwrap();
        site.reload(&broker);
        refused(&broker, &client);
        refused(&broker, &client);
    }
}

#[test]
fn a_certificate_expires_in_its_ticket() {
    for version in VERSIONS {
        let site = Site::new();
        let broker = site.broker();
        let client = site.client("n1.example.net", version);
        enter(&broker, &client);
        enter(&broker, &client);
        assert_eq!(broker.stats().handshakes_resumed, 1);
        site.clock.store(now() + 30 * 365 * 86_400, Ordering::Relaxed);
        let mut link = Raw::tls(broker.local_addr(), client.clone()).unwrap();
        link.send("CONNECT {\"verbose\":false}\r\nPING\r\n");
        assert_eq!(link.rest(), "-ERR 'Authorization Violation'\r\n");
        until("it to be counted", || broker.stats().refusals.get("bad certificate") == Some(&1));
        // and back in its days it would have been let in
        site.clock.store(now(), Ordering::Relaxed);
        enter(&broker, &client);
    }
}

#[test]
fn nothing_resumes_where_nobody_looks_at_the_chain() {
    // rustls's own default remembers sessions; these rules look at names alone
    let broker = Broker::start(tls_options(X509Options::default())).unwrap();
    let client = ca().client(Some(ca().issue("dev1.example.net")));
    for _ in 0..3 {
        enter(&broker, &client);
    }
    assert_eq!(broker.stats().handshakes_resumed, 0);
}
