//! A waiting node replaces its binary: by a signed release, or not at all.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use choria::core::agents::provision::release::{Manifest, platform};
use choria::core::security::tokens::SigningKey;
use serde_json::json;

use crate::waiting_room::{Provisioner, WaitingRoom, text};

/// Serves the files below a directory until the test ends.
fn serve(dir: &Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let dir = dir.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let path = lines.next().and_then(|line| Some(line.split(' ').nth(1)?.to_owned()));
            let _ = lines.take_while(|line| !line.is_empty()).count();
            let body = fs::read(dir.join(path.unwrap_or_default().trim_start_matches('/')));
            let (status, body) = body.map_or(("404 Not Found", vec![]), |body| ("200 OK", body));
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = (&stream).write_all(&[head.as_bytes(), &body].concat());
        }
    });
    address
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
    node.start_by(node.command_by(&image));
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
    let repository = format!("http://{}", serve(&room.network.path("repository")));
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

    let mut events = provisioner.session.subscribe("choria.lifecycle.event.upgraded.>", 10).await;
    let mark = node.log().mark();
    let reply = update("1.0.5").await.expect("an update");
    assert_eq!(text(&reply, "message"), "Restarting with version 1.0.5");
    let event = events.recv().await.expect("an event");
    assert!(String::from_utf8_lossy(&event.payload).contains("\"new_version\":\"1.0.5\""));
    tokio::task::block_in_place(|| node.log().says_after(mark, &["the new version runs: run"]));
    assert_eq!(fs::read_to_string(&image).expect("a program"), NEW);
    assert!(fs::read(bin.join("choria.backup")).expect("the old one") == before);
}
