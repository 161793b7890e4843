//! Providers on certificates made here: files, names, signing, TLS, reload.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

use super::*;
use crate::core::config::{Config, Fixed, Role};
use crate::core::pki::{Ca, Kind, Options};
use crate::core::protocol::v1::{Envelope, Request};

mod tls;

use tls::handshake;

/// Certificates are made and judged now: TLS asks the system for the time.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

struct Site {
    dir: tempfile::TempDir,
    ca: Ca,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::create(&dir.path().join("ca"), "Site CA", now()).unwrap();
        Site { dir, ca }
    }

    /// Issues `name` and returns the settings of the file provider for it.
    fn issue(&self, kind: Kind, name: &str) -> String {
        let options = Options { loopback: kind == Kind::Broker, ..Options::default() };
        let issued = self.ca.issue(kind, name, &options, now()).unwrap();
        let (certificate, key) = issued.write(&self.dir.path().join("out")).unwrap();
        settings(&issued.name, &certificate, &key, &self.ca.certificate_file())
    }

    fn provider(&self, kind: Kind, name: &str) -> Provider {
        let role = match kind {
            Kind::Broker => Role::Broker,
            Kind::Node => Role::Server,
            Kind::Client => Role::Client,
        };
        provider(role, &self.issue(kind, name)).unwrap()
    }
}

fn settings(name: &str, certificate: &Path, key: &Path, ca: &Path) -> String {
    format!(
        "identity = {name}\n\
         plugin.security.provider = file\n\
         plugin.security.file.certificate = {}\n\
         plugin.security.file.key = {}\n\
         plugin.security.file.ca = {}\n",
        certificate.display(),
        key.display(),
        ca.display()
    )
}

fn provider(role: Role, text: &str) -> Result<Provider, SecurityError> {
    provider_in(role, text, &Fixed { euid: 0, ..Fixed::default() })
}

fn provider_in(role: Role, text: &str, env: &Fixed) -> Result<Provider, SecurityError> {
    Provider::new(&Config::from_text(role, text).unwrap(), role, env)
}

fn request(caller: &CallerId) -> Request {
    let envelope = Envelope {
        requestid: crate::core::protocol::v1::new_request_id(),
        senderid: "console.example.net".into(),
        callerid: caller.to_string(),
        collective: "mcollective".into(),
        agent: "rpcutil".into(),
        ttl: 60,
        time: now(),
        filter: Default::default(),
    };
    Request { message: "{}".into(), envelope }
}

#[test]
fn a_signed_request_verifies_and_a_changed_one_does_not() {
    let site = Site::new();
    let (bob, node) = (site.provider(Kind::Client, "bob"), site.provider(Kind::Node, "n1.example.net"));
    assert_eq!(bob.caller_id().as_str(), "choria=bob.mcollective");
    let verifier = node.verifier().unwrap();
    let signed = bob.signer().unwrap().sign(&request(bob.caller_id())).unwrap();
    let verified = verifier.verify(&signed, now()).unwrap();
    assert_eq!((verified.certname(), verified.privileged()), ("bob.mcollective", false));
    assert_eq!(verified.envelope.callerid, "choria=bob.mcollective");

    let mut changed = signed.clone();
    changed.message = changed.message.replace("rpcutil", "package");
    assert_eq!(verifier.verify(&changed, now()).unwrap_err().kind(), "signature");
    let expired = now() + 20 * 365 * 86_400;
    assert_eq!(verifier.verify(&signed, expired).unwrap_err().kind(), "expired");
    assert_eq!(verifier.verify(&signed, now() - 86_400 * 365).unwrap_err().kind(), "untrusted");

    // A node is nobody who calls.
    let from_node = node.signer().unwrap().sign(&request(node.caller_id())).unwrap();
    assert_eq!(verifier.verify(&from_node, now()).unwrap_err().kind(), "not_listed");
    let as_bob = node.signer().unwrap().sign(&request(bob.caller_id())).unwrap();
    assert_eq!(verifier.verify(&as_bob, now()).unwrap_err().kind(), "name");
    let stranger = Site::new().provider(Kind::Client, "bob");
    let forged = stranger.signer().unwrap().sign(&request(bob.caller_id())).unwrap();
    assert_eq!(verifier.verify(&forged, now()).unwrap_err().kind(), "untrusted");
}

#[test]
fn our_defaults_escape_every_dot() {
    let site = Site::new();
    let verifier = site.provider(Kind::Node, "n1").verifier().unwrap();
    for (name, privileged) in [("aaa.privileged.mcollective", true), ("aaa.privilegedXmcollective", false)] {
        let signer = site.provider(Kind::Client, name);
        let caller = CallerId::parse("up=bob").unwrap();
        let signed = signer.signer().unwrap().sign(&request(&caller)).unwrap();
        match verifier.verify(&signed, now()) {
            Ok(request) => assert!(privileged && request.privileged()),
            Err(refusal) => assert!(!privileged, "{refusal}"),
        }
    }
}

#[test]
fn keys_other_than_rsa_neither_sign_nor_verify() {
    let site = Site::new();
    let broker = site.provider(Kind::Broker, "b1.mcollective");
    assert!(matches!(broker.signer(), Err(SecurityError::NotRsa(_))));
    let bob = site.provider(Kind::Client, "bob");
    let mut signed = bob.signer().unwrap().sign(&request(broker.caller_id())).unwrap();
    signed.pubcert = fs::read_to_string(&broker.files().certificate).unwrap();
    assert_eq!(bob.verifier().unwrap().verify(&signed, now()).unwrap_err().kind(), "not_rsa");
}

#[test]
fn a_revocation_counts_after_a_reload_for_requests_and_handshakes() {
    let site = Site::new();
    let (bob, broker) = (site.provider(Kind::Client, "bob"), site.provider(Kind::Broker, "b1"));
    let verifier = broker.verifier().unwrap();
    let signed = bob.signer().unwrap().sign(&request(bob.caller_id())).unwrap();
    let (client, server) = (bob.client_tls().unwrap(), broker.server_tls().unwrap());
    verifier.verify(&signed, now()).unwrap();
    handshake(&client, &server, "localhost").unwrap();

    site.ca.revoke("bob.mcollective", now()).unwrap();
    verifier.verify(&signed, now()).unwrap();
    broker.reload().unwrap();
    assert_eq!(verifier.verify(&signed, now()).unwrap_err().kind(), "revoked");
    let refused = handshake(&client, &server, "localhost").unwrap_err();
    assert!(refused.contains("Revoked"), "{refused}");

    // A broken file leaves everything as it was.
    fs::write(site.ca.crl_file(), "").unwrap();
    assert!(matches!(broker.reload(), Err(SecurityError::File { what: "revocation list", .. })));
    assert_eq!(verifier.verify(&signed, now()).unwrap_err().kind(), "revoked");
}

/// As after following the documentation: nobody copies the empty list, the
/// first revocation brings one.
#[test]
fn a_list_that_comes_after_the_start_counts_and_must_stay() {
    let site = Site::new();
    let (list, away) = (site.ca.crl_file(), site.dir.path().join("crl.away"));
    fs::rename(&list, &away).unwrap();
    let (bob, node) = (site.provider(Kind::Client, "bob"), site.provider(Kind::Node, "n1"));
    let verifier = node.verifier().unwrap();
    let signed = bob.signer().unwrap().sign(&request(bob.caller_id())).unwrap();
    node.reload().unwrap();
    verifier.verify(&signed, now()).unwrap();

    fs::rename(&away, &list).unwrap();
    site.ca.revoke("bob.mcollective", now()).unwrap();
    node.reload().unwrap();
    assert_eq!(verifier.verify(&signed, now()).unwrap_err().kind(), "revoked");

    fs::remove_file(&list).unwrap();
    assert!(matches!(node.reload(), Err(SecurityError::File { what: "revocation list", .. })));
    assert_eq!(verifier.verify(&signed, now()).unwrap_err().kind(), "revoked");
}

#[test]
fn a_start_on_bad_files_is_refused() {
    let site = Site::new();
    let text = site.issue(Kind::Node, "n1");
    let with = |key: &str, path: PathBuf| format!("{text}{key} = {}\n", path.display());
    let file = |name: &str, content: &str| {
        let path = site.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let (empty, garbage) = (file("empty", ""), file("garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n"));
    let other = site.issue(Kind::Node, "n2");
    let other_key = other.lines().find_map(|line| line.strip_prefix("plugin.security.file.key = ")).unwrap();
    for (key, path) in [
        ("plugin.security.file.ca", empty.clone()),
        ("plugin.security.file.ca", garbage.clone()),
        ("plugin.security.file.ca", PathBuf::from("/nowhere")),
        ("plugin.security.file.certificate", empty.clone()),
        ("plugin.security.file.certificate", garbage.clone()),
        ("plugin.security.file.key", empty.clone()),
        ("plugin.security.file.key", PathBuf::from(other_key)),
        ("plugin.security.crl", empty.clone()),
        ("plugin.security.crl", garbage),
        ("plugin.security.crl", PathBuf::from("/nowhere")),
    ] {
        let refused = provider(Role::Server, &with(key, path.clone()));
        assert!(matches!(refused, Err(SecurityError::File { .. })), "{key} {path:?}: {refused:?}");
    }
    let unset = provider(Role::Server, "plugin.security.provider = file\n");
    assert!(matches!(unset, Err(SecurityError::Setting { setting: "plugin.security.file.ca", .. })));
    for unsupported in ["choria", "pkcs11", "certmanager"] {
        let refused =
            provider(Role::Server, &format!("identity = x\nplugin.security.provider = {unsupported}\n"));
        assert!(matches!(refused, Err(SecurityError::Provider(_))));
    }
    let bad_name = provider(Role::Server, "identity = x/y\n");
    assert!(matches!(bad_name, Err(SecurityError::Certname(_))));
}

#[test]
fn certificate_names_follow_the_role() {
    let config = |provider: &str, role| {
        Config::from_text(role, &format!("identity = n1\nplugin.security.provider = {provider}\n")).unwrap()
    };
    let env = |euid| Fixed { euid, ..Fixed::default() };
    let bob = |euid| env(euid).with_var("USER", "bob");
    for (provider, role, env, chosen, expected) in [
        ("puppet", Role::Server, bob(0), None, Some("n1")),
        ("puppet", Role::Client, bob(0), None, Some("bob.mcollective")),
        ("puppet", Role::Client, env(1000), None, None),
        ("puppet", Role::Client, bob(1000).with_var("MCOLLECTIVE_CERTNAME", "x"), None, Some("x")),
        ("puppet", Role::Client, bob(1000).with_var("MCOLLECTIVE_CERTNAME", "x"), Some("y"), Some("y")),
        ("puppet", Role::Server, bob(0).with_var("MCOLLECTIVE_CERTNAME", "x"), None, Some("x")),
        // The original calls this server bob.mcollective.
        ("file", Role::Server, bob(1000), None, Some("n1")),
        ("file", Role::Broker, bob(1000), None, Some("n1")),
        ("file", Role::Client, bob(1000), None, Some("bob.mcollective")),
        ("file", Role::Client, bob(0), None, Some("n1")),
        // As under cron.
        ("file", Role::Client, env(1000).with_var("LOGNAME", "bob"), None, Some("bob.mcollective")),
        ("puppet", Role::Client, env(1000).with_var("LOGNAME", "bob"), None, Some("bob.mcollective")),
        ("puppet", Role::Client, bob(1000).with_var("LOGNAME", "eve"), None, Some("bob.mcollective")),
        ("file", Role::Client, env(1000), None, Some("n1")),
        ("file", Role::Client, bob(1000).with_var("MCOLLECTIVE_CERTNAME", "x"), Some("y"), Some("x")),
        ("file", Role::Client, bob(1000), Some("y"), Some("y")),
    ] {
        let name = paths::certname(&config(provider, role), role, &env, chosen);
        assert_eq!(name.ok().map(|n| n.name).as_deref(), expected, "{provider} {role:?} {env:?} {chosen:?}");
    }
}

/// Whose files are named has the name in them; who says a name is held to it.
#[test]
fn a_caller_has_the_name_of_its_certificate() {
    let site = Site::new();
    let text = site
        .issue(Kind::Client, "provisioner")
        .replace("identity = provisioner.mcollective", "identity = h1");
    let named = |env: Fixed| {
        let provider = provider_in(Role::Client, &text, &env).unwrap();
        (provider.certname().to_owned(), provider.caller_id().to_string(), provider.misfit(now()))
    };
    let env = |user: &str| Fixed { euid: 1000, ..Fixed::default() }.with_var("USER", user);
    let own = ("provisioner.mcollective".to_owned(), "choria=provisioner.mcollective".to_owned(), None);
    assert_eq!(named(env("choria")), own);
    assert_eq!(named(env("provisioner")), own);
    assert_eq!(named(Fixed { euid: 0, ..Fixed::default() }), own);
    let (name, _, misfit) = named(env("choria").with_var("MCOLLECTIVE_CERTNAME", "bob.mcollective"));
    assert_eq!(name, "bob.mcollective");
    let misfit = misfit.unwrap();
    assert!(
        misfit.contains("is for provisioner.mcollective, and this process is bob.mcollective because"),
        "{misfit}"
    );
}

#[test]
fn a_certificate_for_something_else_does_not_fit() {
    let site = Site::new();
    let node = site.issue(Kind::Node, "n1");
    assert_eq!(provider(Role::Server, &node).unwrap().misfit(now()), None);
    let misfit = provider(Role::Broker, &node).unwrap().misfit(now()).unwrap();
    assert!(misfit.contains("cannot be that of a broker") && misfit.contains("--broker n1"), "{misfit}");
    assert_eq!(provider(Role::Broker, &site.issue(Kind::Broker, "b1")).unwrap().misfit(now()), None);
}

#[test]
fn puppet_files_are_where_puppet_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let ssldir = dir.path();
    fs::create_dir(ssldir.join("certs")).unwrap();
    let files =
        |text: &str, env: &Fixed| paths::files(&Config::from_text(Role::Server, text).unwrap(), env, "n1");
    let configured = format!("plugin.choria.ssldir = {}\n", ssldir.display());
    let found = files(&configured, &Fixed::default()).unwrap();
    assert_eq!(found.certificate, ssldir.join("certs/n1.pem"));
    assert_eq!(found.key, ssldir.join("private_keys/n1.pem"));
    assert_eq!((found.ca, found.crl), (ssldir.join("certs/ca.pem"), None));
    fs::write(ssldir.join("crl.pem"), "").unwrap();
    assert_eq!(files(&configured, &Fixed::default()).unwrap().crl, Some(ssldir.join("crl.pem")));

    let home = Fixed::default().with_var("HOME", "/home/bob");
    assert_eq!(files("", &home).unwrap().ca, Path::new("/home/bob/.puppetlabs/etc/puppet/ssl/certs/ca.pem"));
    let mut root = Fixed { euid: 0, ..home };
    assert!(matches!(files("", &root), Err(SecurityError::Setting { setting: "plugin.choria.ssldir", .. })));
    root.puppet.insert("ssldir".into(), "/etc/puppetlabs/puppet/ssl".into());
    assert_eq!(files("", &root).unwrap().ca, Path::new("/etc/puppetlabs/puppet/ssl/certs/ca.pem"));
}

#[test]
fn trouble_is_told_at_start() {
    let site = Site::new();
    let text = site.issue(Kind::Node, "n1");
    assert_eq!(provider(Role::Server, &text).unwrap().warnings(), [""; 0]);
    let key = provider(Role::Server, &text).unwrap().files().key.clone();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!(
        "{text}identity = other\n\
         plugin.security.cipher_suites = TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_RC4_128_SHA\n\
         plugin.security.ecc_curves = CurveP521,CurveP384\n"
    );
    let warnings = provider(Role::Server, &text).unwrap().warnings().join("\n");
    for part in [
        "may be read by every user",
        "this node is other because identity is, configuration:6, and certificate",
        "is for n1: a broker that binds",
        "TLS_RSA_WITH_RC4_128_SHA is not supported",
        "CurveP521 is not supported",
    ] {
        assert!(warnings.contains(part), "{part} in {warnings}");
    }
    let nothing = provider(Role::Server, &format!("{text}plugin.security.ecc_curves = CurveP521\n"));
    assert!(matches!(nothing, Err(SecurityError::Tls { setting: "ecc_curves" })));
}

#[test]
fn a_repeated_caller_costs_one_signature() {
    let site = Site::new();
    let bob = site.provider(Kind::Client, "bob");
    let verifier = bob.verifier().unwrap();
    let signed = bob.signer().unwrap().sign(&request(bob.caller_id())).unwrap();
    let time = |count: u32| {
        let start = std::time::Instant::now();
        for _ in 0..count {
            verifier.verify(&signed, now()).unwrap();
        }
        start.elapsed() / count
    };
    let (first, later) = (time(1), time(500));
    eprintln!("first {first:?}, later {later:?}");
    assert_eq!(verifier.remembered_signers(), 1);
}

#[test]
fn requests_are_verified_while_files_are_reloaded() {
    let site = Site::new();
    let bob = site.provider(Kind::Client, "bob");
    let verifier = bob.verifier().unwrap();
    let signed = bob.signer().unwrap().sign(&request(bob.caller_id())).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| (0..100).for_each(|_| assert!(verifier.verify(&signed, now()).is_ok())));
        }
        (0..20).for_each(|_| bob.reload().unwrap());
    });
    assert_eq!(verifier.remembered_signers(), 1);
}
