//! Tokens for nodes that wait, made by our own CA and by hand.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use choria::core::pki::{Ca, Kind};
use choria::core::security::tokens::{ProvisioningClaims, SigningKey, VerifyKey, unverified};
use serde_json::{Value, json};

use crate::a_waiting_node_is_upgraded::tls;
use crate::network::{Network, now};
use crate::process::{Daemon, Ran, program, run};

fn choria(network: &Network, words: &[&str]) -> Ran {
    let mut command = program(&network.path(""));
    command.args(words);
    run(command, None)
}

fn after<'a>(ran: &'a Ran, label: &str) -> &'a str {
    let line = ran.stdout.lines().find_map(|line| line.trim().strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label}: {ran:?}")).trim()
}

/// As the printed lines say, and nothing else.
#[test]
fn of_our_own_ca() {
    let mut network = Network::start();
    let broker = network.address().to_string();
    let made = choria(&network, &["tool", "ca", "provisioning-token", "--urls", &broker]).fine();
    let again = choria(&network, &["tool", "ca", "provisioning-token", "--urls", &broker]).fine();
    assert_eq!(made.stdout, again.stdout, "one key, one secret");
    for file in ["provisioning-signer.seed", "provisioning-access.txt", "provisioning.jwt"] {
        let mode = fs::metadata(network.path("ca").join(file)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let token = network.path("ca/provisioning.jwt");
    let text = fs::read_to_string(&token).expect("a token");
    let signer = after(&made, "plugin.choria.network.provisioning.signer_cert =");
    let claims: ProvisioningClaims =
        VerifyKey::from_hex(signer).expect("a key").verify(&text).expect("a signature");
    claims.check(now()).expect("a token for now");
    assert_eq!(claims.trust().ca, network.ca.certificate_pem());
    assert!(!made.stdout.contains(&claims.token), "the secret is not printed");
    network.configure_broker(&format!(
        "plugin.choria.network.x509_permissions = by-name\n\
         plugin.choria.network.provisioning.signer_cert = {signer}\n\
         plugin.choria.network.provisioning.client_password = x\n"
    ));
    network.start_broker();
    let targets = choria(&network, &["tool", "provisioner", "--provisioning-token", "ca/provisioning.jwt"]);
    targets.fine().says(&["Choria JWT Resolver", &broker]);
    let mut command = program(&network.path(""));
    command.args(["server", "run", "--config", "none.conf", "--identity", "n1.example.net"]);
    command.arg("--provisioning-token").arg(token);
    Daemon::start("node", command).says(&["answering requests", "choria_provision"]);
}

/// A Vault with one key, `choria`, that answers who shows the right token.
fn vault(ca: &Ca, key: SigningKey) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let tls = tls(ca);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(tls.clone()).expect("a connection");
            let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|n| n > 0) {}
            let header = |name: &str| {
                let lines = head.lines().filter_map(|line| line.split_once(": "));
                lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
            };
            let Some(length) = header("content-length").and_then(|text| text.parse().ok()) else { continue };
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("a request");
            let (status, answer) = match header("x-vault-token") {
                Some("s.right") if head.starts_with("POST /v1/transit/sign/choria HTTP") => {
                    let body: Value = serde_json::from_slice(&body).expect("JSON");
                    assert_eq!(body["signature_algorithm"], "ed25519");
                    let input = STANDARD.decode(body["input"].as_str().expect("a text")).expect("base64");
                    let signature = STANDARD.encode(key.sign_bytes(&input).expect("ed25519"));
                    ("200 OK", json!({"data": {"signature": format!("vault:v1:{signature}")}}))
                }
                _ => ("403 Forbidden", json!({"errors": ["permission denied"]})),
            };
            let text = answer.to_string();
            let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            let _ = stream.get_mut().write_all(text.as_bytes());
        }
    });
    address
}

#[test]
fn by_a_key_that_vault_keeps() {
    let network = Network::without_broker();
    let key = SigningKey::from_seed(&[9; 32]).expect("a key");
    let verify = VerifyKey::from_hex(&key.public_hex().expect("ed25519")).expect("a key");
    let address = vault(&network.ca, key);
    let asked = |name: &str, token: &str, ca: &std::path::Path| {
        let mut command = program(&network.path(""));
        command.args([
            "jwt",
            "provisioning",
            "v.jwt",
            name,
            "--vault",
            "--token",
            "secret",
            "--urls",
            "b:4222",
        ]);
        command.env("VAULT_ADDR", format!("https://{address}")).env("VAULT_TOKEN", token);
        command.env("VAULT_CACERT", ca);
        run(command, None)
    };
    let ca = network.ca.certificate_file();
    asked("choria", "s.right", &ca).fine().says(&["Saved provisioning token to v.jwt"]);
    let text = fs::read_to_string(network.path("v.jwt")).expect("a token");
    let claims: ProvisioningClaims = verify.verify(&text).expect("signed by Vault's key");
    claims.check(now()).expect("a token for now");
    fs::remove_file(network.path("v.jwt")).expect("a file");
    let other = Ca::create(&network.path("other"), "Other", now()).expect("a CA");
    for (name, token, ca, why) in [
        ("choria", "s.wrong", &ca, "permission denied"),
        ("other", "s.right", &ca, "Vault refuses to sign by key \"other\": 403"),
        ("../../sys/seal", "s.right", &ca, "cannot be the name of a key"),
        ("choria", "s.right", &other.certificate_file(), "not issued by a CA that is trusted here"),
    ] {
        let ran = asked(name, token, ca).code(1).complains(&[why]);
        assert!(!ran.stderr.contains(token), "{ran:?}");
        assert!(!network.path("v.jwt").exists());
    }
}

#[test]
fn by_hand() {
    let network = Network::without_broker();
    let seed = network.file("signer.seed", &"ab".repeat(32));
    let rsa = network.ca.issue(Kind::Node, "signer", &Default::default(), now()).expect("a key");
    let rsa_key = network.file("rsa.pem", &rsa.key_pem);
    let rsa_certificate = network.file("rsa-cert.pem", &rsa.certificate_pem);
    let words = ["--token", "secret", "--urls", "b:4222", "--default", "--facts", "/f.json"];
    for (key, upgrade) in [(&seed, "--update"), (&rsa_key, "--upgrade")] {
        let key = key.display().to_string();
        let made = ["jwt", "provisioning", "p.jwt", &key, upgrade];
        let made = choria(&network, &[&made[..], &words].concat()).fine();
        made.says(&["Saved provisioning token to p.jwt"]);
        let text = fs::read_to_string(network.path("p.jwt")).expect("a token");
        let claims: ProvisioningClaims = unverified(&text).expect("claims");
        claims.check_usable().expect("usable");
        assert!(claims.by_default && claims.allow_update && !claims.secure);
        assert_eq!((claims.facts.as_str(), claims.organization.as_str()), ("/f.json", "choria"));
        assert!(claims.trust().is_empty());
    }
    let text = fs::read_to_string(network.path("p.jwt")).expect("a token");
    let verify = VerifyKey::from_setting(&rsa_certificate.display().to_string()).expect("a key");
    verify.verify::<ProvisioningClaims>(&text).expect("signed by the RSA key");
    let seed = seed.display().to_string();
    let other = Ca::create(&network.path("other"), "Other", now()).expect("a CA");
    let ca = other.certificate_file().display().to_string();
    let base = ["jwt", "provisioning", "q.jwt", &seed, "--token", "secret"];
    choria(&network, &[&base[..], &["--srv", "example.net", "--no-insecure", "--ca", &ca]].concat()).fine();
    for (words, why) in [
        (&["--urls", "b", "--srv", "d"][..], "names both brokers"),
        (&[][..], "names neither brokers"),
        (&["--urls", "b", "--no-insecure"][..], "--no-insecure needs --ca"),
        (&["--urls", "b", "--broker-key", "zz"][..], "64 hex digits"),
        (&["--urls", "b", "--validity", "soon"][..], "--validity soon"),
        (&["--urls", "b", "--extensions", "[]"][..], "no JSON object"),
    ] {
        let ran = choria(&network, &[&base[..], words].concat()).code(1);
        ran.complains(&[why]);
    }
}
