//! A real CA of others, cfssl, asked by helpers that people could have written.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use choria::core::provisioner::answer::{Answer, AnswerContext};
use choria::core::provisioner::csr;
use choria::core::provisioner::helper::{Surroundings, of_settings};
use choria::core::provisioner::question::{CertificateRequest, Question};
use choria::core::provisioner::settings::Settings;
use tempfile::TempDir;

use crate::network::now;
use crate::process::{Daemon, run, until};

/// A CA that runs.
struct Cfssl {
    dir: TempDir,
    daemon: Daemon,
    url: String,
}

impl Cfssl {
    fn start() -> Cfssl {
        let dir = TempDir::new().expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        let request =
            r#"{"CN":"Test CA of others","key":{"algo":"rsa","size":2048},"ca":{"expiry":"87600h"}}"#;
        fs::write(at("request.json"), request).expect("a file");
        let signing = r#"{"signing":{"default":{"expiry":"8760h","usages":["signing","key encipherment","server auth","client auth"]}}}"#;
        fs::write(at("signing.json"), signing).expect("a file");
        let mut command = Command::new("cfssl");
        command.args(["genkey", "-initca"]).arg(at("request.json"));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let made = run(command, None).code(0).json();
        for (key, file) in [("cert", "ca.pem"), ("key", "ca-key.pem")] {
            fs::write(at(file), made[key].as_str().expect("PEM")).expect("a file");
        }
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let mut command = Command::new("cfssl");
        command.args(["serve", "-address", "127.0.0.1", "-port", &port.to_string()]);
        command.args(["-ca", &text(&at("ca.pem")), "-ca-key", &text(&at("ca-key.pem"))]);
        command.args(["-config", &text(&at("signing.json"))]).current_dir(dir.path());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let daemon = Daemon::start("cfssl", command);
        until("cfssl", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Cfssl { daemon, url: format!("http://127.0.0.1:{port}"), dir }
    }

    /// The command line of a helper.
    fn helper(&self, interpreter: &str, name: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/helpers_of_others_sign").join(name);
        format!("{interpreter} '{}' {} '{}'", text(&script), self.url, text(&self.dir.path().join("ca.pem")))
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn question() -> Question {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "n1.example.net");
    let csr = params.serialize_request(&key.expect("a key")).expect("a request").pem().expect("PEM");
    Question {
        identity: "n1.example.net".into(),
        csr: Some(CertificateRequest { csr, public_key: String::new(), ssldir: "/etc/choria/ssl".into() }),
        ed25519_pubkey: None,
        inventory: r#"{"facts":{"country":"mt"}}"#.into(),
        jwt: None,
    }
}

/// Asks a helper about one node, and checks what it says as the provisioner does.
fn asked(helper: String, question: &Question) -> (Answer, Vec<String>) {
    let settings = Settings { helper, helper_timeout: Duration::from_secs(60), ..Settings::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut answer = runtime
        .block_on(async {
            let helper = of_settings(&settings, &Surroundings::default())?;
            helper.ask(question).await
        })
        .expect("an answer");
    if answer.defer {
        return (answer, vec![]);
    }
    let request = question.csr.as_ref().expect("a request");
    let checked = csr::check(&request.csr, &question.identity, &csr::NOBODY).expect("a good request");
    let about = AnswerContext {
        identity: &question.identity,
        request: Some((&checked, request)),
        denied: &csr::NOBODY,
        takes_key: false,
        inject_disabled: true,
        now: now(),
    };
    let told = answer.check(&about).expect("a good answer");
    (answer, told)
}

#[test]
fn cfssl_signs_for_helpers_in_shell_and_ruby() {
    let mut ca = Cfssl::start();
    let question = question();
    let (answer, told) = asked(ca.helper("/bin/sh", "helper.sh"), &question);
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(answer.msg, "signed by cfssl");
    assert_eq!(answer.configuration["plugin.yaml"], "/etc/choria/mt.yaml");

    let ruby = ca.helper("ruby", "helper.rb");
    let (answer, told) = asked(ruby.clone(), &question);
    assert_eq!(answer.configuration["plugin.choria.middleware_hosts"], "broker.mt.example.net:4222");
    assert_eq!(answer.configuration["plugin.choria.server.provision"], "false");
    assert_eq!(told.len(), 1, "what helpers of 2018 forget is added and told: {told:?}");

    // while the CA is away both have the node wait
    ca.daemon.signal(rustix::process::Signal::KILL);
    ca.daemon.ended();
    for helper in [ca.helper("/bin/sh", "helper.sh"), ruby] {
        let (answer, _) = asked(helper, &question);
        assert!(answer.defer && answer.msg.starts_with("cfssl: "), "{answer:?}");
    }
}
