//! Compile-time settings: version, git revision, provisioning profile.
//!
//! `build.rs` chooses exactly one file of `packaging/profiles/` by cargo
//! feature; it is compiled in here and parsed once. Nothing at run time changes
//! these values: a provisioning token overrides them in the value that is built
//! from them, never here.

use std::sync::LazyLock;

use serde::Deserialize;

/// Release number, as `choria --version` shows it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Short git revision, `unknown` outside a checkout.
pub const SHA: &str = env!("CHORIA_GIT_SHA");
/// License of the binary.
pub const LICENSE: &str = "Apache-2.0";
/// Compiler that built the binary.
pub const COMPILER: &str = env!("CHORIA_RUSTC");
/// Target triple the binary runs on.
pub const TARGET: &str = env!("CHORIA_TARGET");
/// Connections a broker accepts at most.
pub const MAX_BROKER_CLIENTS: usize = 50_000;
/// The nats-server release whose protocol features the embedded broker serves;
/// clients gate features on it (spec 04 §6.2).
pub const NATS_VERSION: &str = "2.10.0";

/// Defaults an unconfigured process starts from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Defaults of configured processes.
    pub defaults: Defaults,
    /// Where an unconfigured node goes.
    pub provisioning: Provisioning,
}

/// Values used where a configuration says nothing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Collectives of a configuration that names none.
    pub collectives: Vec<String>,
    /// Certificate names of people are `USER.<suffix>`.
    pub client_identity_suffix: String,
}

/// Provisioning defaults (spec 05 §2). `token` and `password` are secrets: the
/// type has no `Debug` that shows them.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provisioning {
    /// Token file that may override all other values; empty = none.
    pub jwt_file: String,
    /// Brokers of unconfigured nodes.
    pub broker_urls: Vec<String>,
    /// Domain whose SRV records name those brokers; empty = none.
    pub srv_domain: String,
    /// Provision when the configuration does not say.
    pub mode_default: bool,
    /// Whether messages are signed and verified meanwhile.
    pub secure: bool,
    /// Shared secret that the provisioner must show; empty = none.
    pub token: String,
    /// File published while waiting; empty = none.
    pub registration_data: String,
    /// Fact file while waiting; empty = none.
    pub facts: String,
    /// Status file while waiting; empty = none.
    pub status_file: String,
    /// Broker user while waiting.
    pub username: String,
    /// Broker password while waiting.
    pub password: String,
    /// CA certificates (PEM) the broker's certificate must chain to; empty = none.
    #[serde(default)]
    pub ca: String,
    /// SHA-256 of the broker's public key (SPKI), 64 hex digits; empty = none.
    #[serde(default)]
    pub pin: String,
    /// Whether the provisioning agent is part of the node.
    pub agent: bool,
    /// Wait as an ed25519 node (protocol v2).
    pub protocol_v2: bool,
    /// Whether a provisioner may replace the binary.
    pub allow_update: bool,
    /// Key that signs those binaries, ed25519, 64 hex digits; empty = none.
    #[serde(default)]
    pub release_key: String,
}

impl std::fmt::Debug for Provisioning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provisioning")
            .field("jwt_file", &self.jwt_file)
            .field("broker_urls", &self.broker_urls)
            .field("srv_domain", &self.srv_domain)
            .field("mode_default", &self.mode_default)
            .finish_non_exhaustive()
    }
}

impl Provisioning {
    /// What `buildinfo` calls "Supports Provisioning": a token is compiled in.
    pub fn supported(&self) -> bool {
        !self.token.is_empty()
    }
}

const PROFILE_TEXT: &str = include_str!(env!("CHORIA_PROFILE_FILE"));
/// The same, as build.rs has written it.
const PROFILE_JSON: &str = include_str!(concat!(env!("OUT_DIR"), "/profile.json"));

static PROFILE: LazyLock<Profile> =
    // build.rs refuses to build with a file that is not TOML; the unit test
    // below holds every profile against the type.
    LazyLock::new(|| serde_json::from_str(PROFILE_JSON).expect("checked by build.rs and a test"));

/// The compiled-in profile.
pub fn profile() -> &'static Profile {
    &PROFILE
}

/// Name of the compiled-in profile: `NAME` of feature `provisioning-NAME`.
pub fn profile_name() -> &'static str {
    env!("CHORIA_PROFILE_NAME")
}

/// First 16 hex digits of the SHA-256 over the profile file: tells two builds
/// apart without showing a secret.
pub fn profile_hash() -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, PROFILE_TEXT.as_bytes());
    crate::core::text::hex(&digest.as_ref()[..8])
}

/// Cargo features of this build, sorted.
pub fn features() -> Vec<&'static str> {
    env!("CHORIA_FEATURES").split(',').filter(|f| !f.is_empty()).collect()
}

/// Build date as `2026-05-10 10:00:00 +0000`, `unknown` when the build had
/// neither SOURCE_DATE_EPOCH nor a git commit.
pub fn date() -> String {
    env!("CHORIA_BUILD_EPOCH")
        .parse()
        .ok()
        .and_then(|epoch| jiff::Timestamp::from_second(epoch).ok())
        .map_or_else(|| "unknown".to_owned(), |t| t.strftime("%Y-%m-%d %H:%M:%S +0000").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_fits_the_type() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/profiles");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            if let Err(e) = toml::from_str::<Profile>(&text) {
                panic!("{}: {e}", path.display());
            }
            seen += 1;
        }
        assert!(seen >= 2);
        let compiled: toml::Table = PROFILE_TEXT.parse().unwrap();
        assert_eq!(
            serde_json::to_value(compiled).unwrap(),
            serde_json::from_str::<serde_json::Value>(PROFILE_JSON).unwrap()
        );
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let mut provisioning = profile().provisioning.clone();
        provisioning.token = "s3cret".into();
        provisioning.password = "s3cret".into();
        assert!(!format!("{provisioning:?}").contains("s3cret"));
    }
}
