//! A waiting node replaces its binary: by a signed release, or not at all.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use choria::core::agents::provision::release::{Manifest, platform};
use choria::core::pki::{Ca, Kind, Options};
use choria::core::security::tokens::SigningKey;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::network::now;
use crate::waiting_room::{Provisioner, WaitingRoom, text};

/// Serves the files below a directory until the test ends; by TLS where there is a configuration.
fn serve(dir: &Path, tls: Option<Arc<rustls::ServerConfig>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let dir = dir.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // who hangs up, or trusts somebody else, is the test's business
            let _ = match &tls {
                None => answer(stream, &dir),
                Some(tls) => rustls::ServerConnection::new(tls.clone())
                    .map_err(std::io::Error::other)
                    .and_then(|tls| answer(rustls::StreamOwned::new(tls, stream), &dir)),
            };
        }
    });
    address
}

fn answer(stream: impl Read + Write, dir: &Path) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") && stream.read_line(&mut request)? > 0 {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let body = fs::read(dir.join(path.trim_start_matches('/')));
    let (status, body) = body.map_or(("404 Not Found", vec![]), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.get_mut().write_all(&[head.as_bytes(), &body].concat())?;
    stream.get_mut().flush()
}

/// A web server's TLS by a certificate of this CA.
pub fn tls(ca: &Ca) -> Arc<rustls::ServerConfig> {
    let options = Options { loopback: true, ..Options::default() };
    let issued = ca.issue(Kind::Broker, "releases.example.net", &options, now()).expect("a certificate");
    let certificate =
        CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("a certificate and its key"))
}

const NEW: &str = "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho the new version runs: $2\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn by_a_signed_release_only() {
    let room = WaitingRoom::open();
    let key = SigningKey::from_seed(&[9; 32]).expect("a key");
    let mut node = room.node("n1.example.net");
    let mut claims = room.claims();
    claims.allow_update = true;
    claims.set_release_key(&key.public_hex().expect("ed25519"));
    room.token("n1.example.net/provisioning.jwt", &claims);
    // a program of its own: it is replaced
    let bin = room.network.path("bin");
    fs::create_dir(&bin).expect("a directory");
    let image = bin.join("choria");
    fs::copy(env!("CARGO_BIN_EXE_choria"), &image).expect("a copy");
    // what stands for the CAs of the system
    let system = Ca::create(&room.network.path("system"), "System CA", now()).expect("a CA");
    let mut command = node.command_by(&image);
    command.env("SSL_CERT_FILE", system.certificate_file());
    node.start_by(command);
    node.waits(0);

    let (os, arch) = platform();
    let release = |version: &str, manifest: &Manifest| {
        let dir = format!("repository/{version}/{os}/{arch}");
        room.network.file(&format!("{dir}/release.json"), &serde_json::to_string(manifest).expect("JSON"));
        let mut packed = bzip2::write::BzEncoder::new(vec![], bzip2::Compression::fast());
        packed.write_all(NEW.as_bytes()).expect("memory");
        let packed = packed.finish().expect("memory");
        fs::write(room.network.path(&format!("{dir}/choria.bz2")), packed).expect("a file");
    };
    let digest = |text: &str| {
        let mut hash = [0; 32];
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        hash.copy_from_slice(digest.as_ref());
        hash
    };
    let signed = |version: &str, text: &str, key: &SigningKey| {
        Manifest::sign("choria.bz2", version, platform(), &digest(text), key).expect("a signature")
    };
    let stranger = SigningKey::from_seed(&[8; 32]).expect("a key");
    release("1.0.1", &Manifest { signature: String::new(), ..signed("1.0.1", NEW, &key) });
    release("1.0.2", &signed("1.0.2", NEW, &stranger));
    release("1.0.3", &signed("1.0.1", NEW, &key));
    release("1.0.4", &signed("1.0.4", "something else", &key));
    release("1.0.5", &signed("1.0.5", NEW, &key));

    let provisioner = room.provisioner().await;
    provisioner.discover(1).await;
    let name = "n1.example.net";
    let inventory =
        provisioner.ask_agent(name, "rpcutil", "inventory", json!({})).await.expect("an inventory");
    assert_eq!(inventory["upgradable"], json!(true));
    let files = room.network.path("repository");
    let repository = format!("http://{}", serve(&files, None));
    let update = |version: &'static str| {
        provisioner.ask(name, "release_update", json!({"repository": repository, "version": version}))
    };
    let before = fs::read(&image).expect("a program");
    for (version, why) in [
        (
            "9.9.9",
            "Update to version 9.9.9 failed, release rolled back: release 9.9.9 not found: could not fetch release from http://",
        ),
        ("../1", "\"../1\" is no version"),
        ("1.0.1", "it is not signed"),
        ("1.0.2", "its signature is not of this version"),
        ("1.0.3", "its signature is not of this version"),
        ("1.0.4", "release rolled back: downloaded file had an invalid checksum"),
    ] {
        let refused = Provisioner::refused(update(version).await);
        assert!(refused.contains(why), "{version}: {refused}");
        assert_eq!(fs::read_dir(&bin).expect("a directory").count(), 1, "{version} left something behind");
        assert!(fs::read(&image).expect("a program") == before, "{version} changed the program");
    }

    // by https from whoever the CA of the token or one of the system vouches for, and from nobody else
    let secure = |ca: &Ca| format!("https://{}", serve(&files, Some(tls(ca))));
    let stranger = Ca::create(&room.network.path("stranger"), "Other CA", now()).expect("a CA");
    let good = json!({"repository": secure(&room.network.ca), "version": "1.0.5"});
    for (ca, why) in [
        (&stranger, "not issued by a CA that is trusted here"),
        (&system, "downloaded file had an invalid checksum"),
    ] {
        let bad = json!({"repository": secure(ca), "version": "1.0.4"});
        let refused = Provisioner::refused(provisioner.ask(name, "release_update", bad).await);
        assert!(refused.contains(why), "{refused}");
        assert!(fs::read(&image).expect("a program") == before);
    }

    let mut events = provisioner.session.subscribe("choria.lifecycle.event.upgraded.>", 10).await;
    let mark = node.log().mark();
    let reply = provisioner.ask(name, "release_update", good).await.expect("an update");
    assert_eq!(text(&reply, "message"), "Restarting with version 1.0.5");
    let event = events.recv().await.expect("an event");
    assert!(String::from_utf8_lossy(&event.payload).contains("\"new_version\":\"1.0.5\""));
    tokio::task::block_in_place(|| node.log().says_after(mark, &["the new version runs: run"]));
    assert_eq!(fs::read_to_string(&image).expect("a program"), NEW);
    assert!(fs::read(bin.join("choria.backup")).expect("the old one") == before);
}
