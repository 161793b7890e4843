//! `choria tool release`: a binary for nodes that are upgraded.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use argh::{ArgsInfo, FromArgs};
use choria::core::agents::provision::release::{Manifest, platform};
use choria::core::files::{PUBLIC, read_bounded, write_atomic};
use choria::core::security::tokens::SigningKey;

use super::super::out::outln;

/// Largest binary, in bytes.
const MAX_BINARY: u64 = 1 << 30;

/// put a binary into a release repository and sign it
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "release")]
pub struct Release {
    /// the binary
    #[argh(positional)]
    binary: PathBuf,
    /// its version
    #[argh(positional)]
    version: String,
    /// file of 64 hex digits, the ed25519 seed that signs it
    #[argh(option, arg_name = "file")]
    key: PathBuf,
    /// directory of the repository, served over http or https, default repository
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"repository\")")]
    repository: PathBuf,
    /// operating system it is for; default this one
    #[argh(option, arg_name = "name", default = "platform().0.to_owned()")]
    os: String,
    /// processor it is for, such as amd64 or arm64; default this one
    #[argh(option, arg_name = "name", default = "platform().1.to_owned()")]
    arch: String,
}

impl Release {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let key = SigningKey::from_file(&self.key)?;
        let binary = read_bounded(&self.binary, MAX_BINARY)?;
        let mut hash = [0; 32];
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &binary);
        hash.copy_from_slice(digest.as_ref());
        let manifest = Manifest::sign("choria.bz2", &self.version, (&self.os, &self.arch), &hash, &key)
            .with_context(|| format!("{} is no ed25519 seed", self.key.display()))?;
        let mut packed = bzip2::write::BzEncoder::new(vec![], bzip2::Compression::best());
        packed.write_all(&binary)?;
        let dir = self.repository.join(&self.version).join(&self.os).join(&self.arch);
        fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        write_atomic(&dir.join("choria.bz2"), &packed.finish()?, PUBLIC)?;
        write_atomic(&dir.join("release.json"), &serde_json::to_vec(&manifest)?, PUBLIC)?;
        outln!("Wrote {}.", dir.display());
        outln!("Nodes take it whose token has --release-key {}", key.public_hex().unwrap_or_default());
        Ok(ExitCode::SUCCESS)
    }
}
