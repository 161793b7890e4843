//! Tokens for nodes that wait, made by our own CA and by hand.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use choria::core::pki::{Ca, Kind};
use choria::core::security::tokens::{ProvisioningClaims, VerifyKey, unverified};

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

#[test]
fn by_hand() {
    let network = Network::without_broker();
    let seed = network.file("signer.seed", &"ab".repeat(32));
    let rsa = network.ca.issue(Kind::Node, "signer", &Default::default(), now()).expect("a key");
    let rsa_key = network.file("rsa.pem", &rsa.key_pem);
    let rsa_certificate = network.file("rsa-cert.pem", &rsa.certificate_pem);
    let words = ["--token", "secret", "--urls", "b:4222", "--default", "--facts", "/f.json", "--upgrade"];
    for key in [&seed, &rsa_key] {
        let key = key.display().to_string();
        let made = choria(&network, &[&["jwt", "provisioning", "p.jwt", &key][..], &words].concat()).fine();
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
