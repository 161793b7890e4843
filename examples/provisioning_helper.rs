//! A helper of `choria provision run` that stays and signs by a CA of `choria tool ca`.
//!
//! ```text
//! cargo run --example provisioning_helper CA_DIRECTORY BROKER:PORT
//! ```
//!
//! ```yaml
//! # provisioner.yaml
//! helper: /usr/local/bin/provisioning_helper /etc/choria/ca broker.example.net:4222
//! helper_mode: stream
//! features: {pki: true}
//! ```
//!
//! With `--once` it is a one-shot helper: a process a node, which costs more
//! than what it does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use choria::core::pki::{Ca, NodeIssuer};
use choria::core::provisioner::csr;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

/// Nodes it wants to be asked about at once: certificates share the syncs of the CA's ledger.
const AT_ONCE: usize = 128;
/// How long its certificates are valid.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is asked of it.
struct Signer {
    issuer: NodeIssuer,
    broker: String,
}

impl Signer {
    /// What a node becomes.
    async fn answer(&self, request: &Value) -> anyhow::Result<Value> {
        let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (name, ssldir) = (text("/identity"), text("/csr/ssldir"));
        // the provisioner has checked it; whoever signs looks for itself
        let checked = csr::check(text("/csr/csr"), name, &csr::Denied::default())?;
        let now = jiff::Timestamp::now().as_second();
        let certificate = self.issuer.issue(name, &checked.spki, VALIDITY, now).await?;
        Ok(json!({
            "certificate": certificate,
            "ca": self.issuer.ca().certificate_pem(),
            "configuration": {
                "identity": name,
                "plugin.choria.server.provision": "false",
                "plugin.choria.middleware_hosts": self.broker,
                "plugin.security.provider": "file",
                "plugin.security.file.certificate": format!("{ssldir}/certificate.pem"),
                "plugin.security.file.key": format!("{ssldir}/private.pem"),
                "plugin.security.file.ca": format!("{ssldir}/ca.pem"),
            },
        }))
    }
}

/// Answers requests, a line each, until there are no more.
async fn stay(signer: Arc<Signer>) -> anyhow::Result<()> {
    let (say, mut said) = mpsc::channel::<Value>(AT_ONCE);
    let hello = json!({"hello": {"protocol": "io.choria.provisioner.helper.v1", "concurrency": AT_ONCE}});
    say.send(hello).await?;
    let writer = tokio::spawn(async move {
        let mut output = tokio::io::stdout();
        while let Some(line) = said.recv().await {
            output.write_all(format!("{line}\n").as_bytes()).await?;
            output.flush().await?;
        }
        std::io::Result::Ok(())
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let asked: Value = serde_json::from_str(&line).context("a request that is no JSON")?;
        let (signer, say) = (signer.clone(), say.clone());
        tokio::spawn(async move {
            let answer = match signer.answer(&asked["request"]).await {
                Ok(reply) => json!({"id": asked["id"], "reply": reply}),
                Err(error) => json!({"id": asked["id"], "error": error.to_string()}),
            };
            // nobody listens any more: we are about to end
            let _ = say.send(answer).await;
        });
    }
    drop(say);
    Ok(writer.await??)
}

/// Answers one request.
async fn once(signer: &Signer) -> anyhow::Result<()> {
    let mut text = Vec::new();
    tokio::io::stdin().read_to_end(&mut text).await?;
    let reply = signer.answer(&serde_json::from_slice(&text)?).await?;
    tokio::io::stdout().write_all(reply.to_string().as_bytes()).await?;
    Ok(())
}

/// Helps with this CA and broker, told by the words of the command line.
pub async fn help(words: &[&str]) -> anyhow::Result<()> {
    let (once_only, dir, broker) = match words {
        ["--once", dir, broker] => (true, dir, broker),
        [dir, broker] => (false, dir, broker),
        _ => anyhow::bail!("usage: provisioning_helper [--once] CA_DIRECTORY BROKER:PORT"),
    };
    let issuer = NodeIssuer::new(Ca::load(Path::new(dir))?)?;
    let signer = Signer { issuer, broker: (*broker).to_owned() };
    match once_only {
        true => once(&signer).await,
        false => stay(Arc::new(signer)).await,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    help(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
}
