//! How soon a revocation list ends links that are up.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use choria::core::admission::{
    Authenticator, ConnectionFacts, CurrentCertificates, Grant, Refusal, X509Authenticator,
};
use choria::core::broker::{Broker, Listener, Options};
use rustls_pki_types::CertificateDer;

use super::Failure;
use super::certificates::write_revocations;
use super::crowd::Crowd;
use super::servers::{limits, provider, rules};

/// Rules that count how often they were asked.
struct Counted(CurrentCertificates<X509Authenticator>, Arc<AtomicUsize>);

impl Authenticator for Counted {
    fn authenticate(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.authenticate(facts)
    }

    fn judges_chains(&self) -> bool {
        true
    }

    fn suspects(&self, chain: &[CertificateDer<'static>]) -> bool {
        self.0.suspects(chain)
    }
}

/// Every tenth link is revoked while a pair talks: how long until all of them are off, and until
/// everybody has been judged.
pub fn judge(dir: &Path, links: u32) -> Result<(), Failure> {
    let provider = provider(dir)?;
    let asked = Arc::new(AtomicUsize::new(0));
    let authenticator = |asked: &Arc<AtomicUsize>| Arc::new(Counted(rules(&provider), asked.clone()));
    let broker = Broker::start(Options {
        listeners: vec![Listener::tls(SocketAddr::from(([127, 0, 0, 1], 0)))],
        tls: Some(provider.server_tls()?),
        authenticator: authenticator(&asked),
        limits: limits(),
        ..Options::default()
    })?;
    let _crowd = Crowd::gather(dir, broker.local_addr(), "idle", links, 0)?;
    let mut pair = Crowd::gather(dir, broker.local_addr(), "pingpong", 2, 100_000)?;
    let revoked: Vec<u64> = (0..u64::from(links)).filter(|number| number % 10 == 0).collect();
    write_revocations(dir, &revoked)?;
    let before = broker.stats().connections;
    asked.store(0, Ordering::Relaxed);
    let busy = std::thread::spawn(move || pair.go().map(|trips| (trips.median, trips.worst)).ok());
    std::thread::sleep(Duration::from_millis(500));
    let begin = Instant::now();
    provider.reload()?;
    broker.reload(Some(provider.server_tls()?), authenticator(&asked), limits());
    while broker.stats().connections > before - revoked.len() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (off, first) = (begin.elapsed(), asked.load(Ordering::Relaxed));
    while asked.load(Ordering::Relaxed) < before {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!(
        "  {links} links, {} revoked: off after {} ms (with {first} judged), all judged after {} ms",
        revoked.len(),
        off.as_millis(),
        begin.elapsed().as_millis()
    );
    let trips = busy.join().unwrap_or_default().unwrap_or_default();
    println!("  round trip of a pair meanwhile: {} µs, p99 {} µs", trips.0, trips.1);
    Ok(())
}
