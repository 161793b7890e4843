//! A key that never leaves its machine: a request for its certificate, and the answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use choria::core::agents::provision::keys::{self, CsrSubject, KeySource, OwnKeys};
use choria::core::files::{PUBLIC, SECRET, read_bounded, write_new, write_new_of};
use choria::core::pki::{Ca, LEAF_DAYS, NodeIssuer};
use choria::core::provisioner::csr::{self, CheckedCsr};
use rcgen::KeyPair;
use zeroize::Zeroizing;

use super::invitation::{Invitation, Who};
use super::steps::{Owner, Step};
use super::texts::{Found, look};
use crate::cmd::context::block_on;
use crate::cmd::tool::place::Place;

/// Longest key or request, in bytes.
const MAX: u64 = 32 << 10;

/// Writes a request for the certificate of a key, which is made where there is none.
pub fn ask(name: &str, key: &Path, file: &Path, owner: Owner) -> anyhow::Result<()> {
    if key.symlink_metadata().is_err() {
        let made = OwnKeys::default().key().map_err(|e| anyhow!("no key could be made: {e}"))?;
        write_new(key, Zeroizing::new(made.serialize_pem()).as_bytes(), SECRET)?;
    }
    let pair = KeyPair::from_pem(&read_key(key)?).map_err(|e| anyhow!("{}: {e}", key.display()))?;
    let subject = CsrSubject { name, ..CsrSubject::default() };
    let request = keys::request(&pair, &subject).map_err(|e| anyhow!("no request could be made: {e}"))?;
    Ok(write_new_of(file, request.as_bytes(), PUBLIC, owner)?)
}

/// A request of node `name`, looked at: who says the name vouches for it.
pub fn read(file: &Path, name: &str) -> anyhow::Result<CheckedCsr> {
    let text = read_bounded(file, MAX)?;
    csr::check(&String::from_utf8_lossy(&text), name, &csr::Denied::default())
        .with_context(|| file.display().to_string())
}

/// What is to be carried back to it.
pub fn sign(
    ca: &Path,
    name: &str,
    broker: &str,
    request: &CheckedCsr,
    now: i64,
) -> anyhow::Result<Invitation> {
    let ca = Ca::load(ca)?;
    let authority = ca.certificate_pem().to_owned();
    let validity = Duration::from_secs(u64::from(LEAF_DAYS) * 86_400);
    let issuer = NodeIssuer::new(ca)?;
    let certificate = block_on(issuer.issue(name, &request.spki, validity, now))??;
    Ok(Invitation::without_key(Who::Node, name, broker, &authority, certificate))
}

/// What is to be written beside the key that this machine has made.
pub fn answered(place: &Place, invitation: &Invitation) -> anyhow::Result<Vec<Step>> {
    let key = place.key();
    let text = read_key(&key).context("the key it was made for is to be on this machine")?;
    invitation.check_key(&text).with_context(|| key.display().to_string())?;
    let file = |path: PathBuf, text: &str| {
        let content = Zeroizing::new(text.to_owned());
        Step::File { path, content, mode: PUBLIC, group: None, before: None }
    };
    let ca = match look(&place.ca(), &invitation.ca, &invitation.ca)? {
        Found::Free { .. } => Some(file(place.ca(), &invitation.ca)),
        Found::Ours => None,
        Found::Changed => {
            bail!("{} is the certificate of another CA: move it away first", place.ca().display())
        }
    };
    let certificate = file(place.certificate(), &invitation.certificate);
    let keep = Step::Keep { what: key.display().to_string(), why: "which was made here" };
    Ok(ca.into_iter().chain([keep, certificate]).collect())
}

fn read_key(key: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = String::from_utf8(read_bounded(key, MAX)?);
    Ok(Zeroizing::new(text.with_context(|| format!("{} is no key", key.display()))?))
}
