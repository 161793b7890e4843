//! `release_update` (spec 02 §13.5): another binary, from a repository over HTTP.
//!
//! `REPOSITORY/VERSION/OS/ARCH/release.json` names the file, the SHA-256 of
//! the binary in it, and, which the original does not ask for, an ed25519 signature
//! ([`Manifest`]). The downloaded file is unpacked and hashed beside the
//! running binary, tried, and only then put in its place (`install`); the old one
//! stays as `.backup`. What fails leaves nothing behind.

mod install;
mod manifest;

use std::path::Path;

use hyper::Uri;

use crate::core::security::download::{self, Asking};
use crate::core::text::shortened;

pub use manifest::{Manifest, platform};

/// Largest release.json, in bytes.
const MAX_MANIFEST: u64 = 64 * 1024;
/// Largest file of a release, as it is sent and unpacked.
const MAX_PACKED: u64 = 256 << 20;
const MAX_BINARY: u64 = 1 << 30;

/// Why there is no new binary; nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum ReleaseError {
    #[error("{0:?} is no version")]
    Version(String),
    #[error("{0:?} is no http or https URL")]
    Repository(String),
    #[error("there is no key to verify releases with, put choria_release_key into the provisioning token")]
    NoKey,
    #[error("release {version} not found: could not fetch release from {url}: {reason}")]
    NotFound { version: String, url: String, reason: String },
    #[error("the release of {url} cannot be used: {reason}")]
    Manifest { url: String, reason: String },
    #[error("could not fetch {url}: {reason}")]
    Fetch { url: String, reason: String },
    #[error("downloaded file had an invalid checksum")]
    Checksum,
    #[error("the new binary does not run here: {0}")]
    DoesNotRun(String),
    #[error("{0}")]
    Files(#[from] std::io::Error),
}

/// Replaces `image` by `version` of `repository`, signed by the owner of `key` (hex).
/// Https servers are known by the CAs of the system or of `ca` (PEM).
///
/// # Errors
/// [`ReleaseError`].
pub async fn update(
    repository: &str,
    version: &str,
    key: &str,
    ca: &str,
    image: &Path,
) -> Result<(), ReleaseError> {
    if key.is_empty() {
        return Err(ReleaseError::NoKey);
    }
    if !manifest::is_plain(version) {
        return Err(ReleaseError::Version(shortened(version, 64)));
    }
    let bad = || ReleaseError::Repository(shortened(repository, 200));
    let asking = Asking { ca, ..Asking::default() };
    let (os, arch) = platform();
    let base = format!("{}/{version}/{os}/{arch}", repository.trim_end_matches('/'));
    let url = |file: &str| format!("{base}/{file}").parse::<Uri>().map_err(|_| bad());
    let manifest_url = url("release.json")?;
    if !matches!(manifest_url.scheme_str(), Some("http" | "https")) {
        return Err(bad());
    }
    let text = download::text(&manifest_url, asking, MAX_MANIFEST).await.map_err(|reason| {
        ReleaseError::NotFound { version: version.to_owned(), url: manifest_url.to_string(), reason }
    })?;
    let unusable = |reason| ReleaseError::Manifest { url: manifest_url.to_string(), reason };
    let manifest = Manifest::decode(&text).map_err(unusable)?;
    manifest.verify(version, key).map_err(unusable)?;
    let packed_url = url(&manifest.binary)?;
    let packed = tempfile::NamedTempFile::with_prefix_in(".choria-", install::dir(image))?;
    download::file(&packed_url, asking, MAX_PACKED, packed.as_file())
        .await
        .map_err(|reason| ReleaseError::Fetch { url: packed_url.to_string(), reason })?;
    let image = image.to_owned();
    let done = tokio::task::spawn_blocking(move || install::install(packed, &manifest, &image)).await;
    done.map_err(|e| std::io::Error::other(e.to_string()))?
}
