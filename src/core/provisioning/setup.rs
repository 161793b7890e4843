//! What an unconfigured node knows: build settings, overridden by its token file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{COLLECTIVE, REGISTRATION_SUBJECTS};
use crate::core::build::Provisioning;
use crate::core::config::{Config, ConfigError, Environment, Role};
use crate::core::files::read_bounded;
use crate::core::security::tokens::{self, BrokerTrust, ProvisioningClaims};
use crate::core::text::Secret;

/// Where and how a node waits. `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct Setup {
    /// Token file; empty for none.
    pub token_file: PathBuf,
    /// Why the token file is of no use; none before it was read, and when it is.
    pub token_problem: Option<String>,
    /// The token itself, as the broker is shown it; empty for none.
    pub jwt: Secret,
    /// Brokers, `host:port`.
    pub brokers: Vec<String>,
    /// Or the domain whose SRV records name them.
    pub srv_domain: String,
    /// Wait where the configuration does not say.
    pub by_default: bool,
    /// Whether requests are verified meanwhile, where there is a CA to do it with.
    pub secure: bool,
    /// What a provisioner must show; empty for nothing.
    pub access: Secret,
    /// File published while waiting; empty for none.
    pub registration_data: String,
    /// Fact file while waiting; empty for none.
    pub facts: String,
    /// Status file while waiting; empty for none.
    pub status_file: String,
    /// Broker user; empty for none.
    pub username: String,
    /// And its password.
    pub password: Secret,
    /// A provisioner may replace the binary.
    pub allow_update: bool,
    /// Key that signs new binaries, ed25519, 64 hex digits; empty for none.
    pub release_key: String,
    /// How the broker is known.
    pub trust: BrokerTrust,
}

impl Setup {
    /// What the binary was built with.
    pub fn of_build(build: &Provisioning) -> Setup {
        Setup {
            token_file: PathBuf::from(&build.jwt_file),
            token_problem: None,
            jwt: Secret::default(),
            brokers: build.broker_urls.clone(),
            srv_domain: build.srv_domain.clone(),
            by_default: build.mode_default,
            secure: build.secure,
            access: Secret::new(&build.token),
            registration_data: build.registration_data.clone(),
            facts: build.facts.clone(),
            status_file: build.status_file.clone(),
            username: build.username.clone(),
            password: Secret::new(&build.password),
            allow_update: build.allow_update,
            release_key: build.release_key.clone(),
            trust: BrokerTrust { ca: build.ca.clone(), pin: build.pin.clone() },
        }
    }

    /// Whether there is anywhere to wait.
    pub fn knows_brokers(&self) -> bool {
        !self.brokers.is_empty() || !self.srv_domain.is_empty()
    }

    /// Lets the token file, where there is one, override the build (spec 02
    /// §13.1). Its signature cannot be checked here; broker and provisioner do.
    /// Returns what an administrator should know; an unusable file changes nothing.
    pub fn read_token(&mut self) -> Vec<String> {
        if self.token_file.as_os_str().is_empty() {
            return vec![];
        }
        let limit = tokens::MAX_TOKEN as u64;
        let text = match read_bounded(&self.token_file, limit) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.token_problem = Some("there is no such file".to_owned());
                return vec![];
            }
            Err(e) => {
                self.token_problem = Some(e.to_string());
                return vec![format!("the provisioning token is ignored: {e}")];
            }
        };
        let claims: Result<ProvisioningClaims, _> = tokens::unverified(&text);
        let problem = match claims.and_then(|claims| claims.check_usable().map(|()| claims)) {
            Ok(claims) => {
                self.token_problem = None;
                self.jwt = Secret::new(text.trim());
                return self.apply(claims);
            }
            Err(_) if text.trim().is_empty() => "it is empty".to_owned(),
            Err(e) => e.to_string(),
        };
        self.token_problem = Some(problem.clone());
        vec![format!("{} is ignored: {problem}", self.token_file.display())]
    }

    fn apply(&mut self, claims: ProvisioningClaims) -> Vec<String> {
        let (trust, release_key) = (claims.trust(), claims.release_key());
        if !trust.is_empty() {
            self.trust = trust;
        }
        self.brokers =
            claims.urls.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect();
        self.srv_domain = claims.srv_domain;
        self.by_default = claims.by_default;
        self.secure = claims.secure;
        self.access = Secret::new(claims.token);
        self.allow_update = claims.allow_update;
        for (value, setting) in [
            (release_key, &mut self.release_key),
            (claims.registration_data, &mut self.registration_data),
            (claims.facts, &mut self.facts),
            (claims.username, &mut self.username),
        ] {
            if !value.is_empty() {
                *setting = value;
            }
        }
        if !claims.password.is_empty() {
            self.password = Secret::new(claims.password);
        }
        if claims.protocol_v2 {
            let file = self.token_file.display();
            return vec![format!(
                "{file} asks for protocol v2 (claim v2), this version waits by protocol v1"
            )];
        }
        vec![]
    }

    /// The token as it is on disk now: it may have been renewed while the node waits.
    pub fn current_jwt(&self) -> Secret {
        match read_bounded(&self.token_file, tokens::MAX_TOKEN as u64) {
            Ok(text) => Secret::new(String::from_utf8_lossy(&text).trim()),
            Err(_) => self.jwt.clone(),
        }
    }

    /// The configuration of a node that waits: nothing of a file that may
    /// be lying there, whose place is `file`. `identity` is the host's name where none is given.
    ///
    /// # Errors
    /// A host that has no usable name.
    pub fn config(
        &self,
        file: &Path,
        identity: Option<&str>,
        env: &dyn Environment,
    ) -> Result<Config, ConfigError> {
        let mut lines = vec![
            ("collectives", COLLECTIVE.to_owned()),
            ("main_collective", COLLECTIVE.to_owned()),
            ("rpcauthorization", "0".to_owned()),
            ("plugin.choria.server.provision", "1".to_owned()),
        ];
        lines.extend(identity.map(|name| ("identity", name.to_owned())));
        if !self.facts.is_empty() {
            lines.push(("plugin.yaml", self.facts.clone()));
        }
        if !self.status_file.is_empty() {
            lines.push(("plugin.choria.status_file_path", self.status_file.clone()));
            lines.push(("plugin.choria.status_update_interval", "10".to_owned()));
        }
        if !self.registration_data.is_empty() {
            lines.push(("registration", "file_content".to_owned()));
            lines.push(("registerinterval", "120".to_owned()));
            lines.push(("registration_splay", "0".to_owned()));
            lines.push(("plugin.choria.registration.file_content.data", self.registration_data.clone()));
            lines.push((
                "plugin.choria.registration.file_content.target",
                REGISTRATION_SUBJECTS[0].to_owned(),
            ));
        }
        let text: String = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        Ok(Config::from_text_in(Role::Server, &text, env)?.placed_at(file))
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("token_file", &self.token_file)
            .field("brokers", &self.brokers)
            .field("srv_domain", &self.srv_domain)
            .field("by_default", &self.by_default)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::Fixed;
    use crate::core::security::tokens::{SigningKey, StandardClaims, provisioning::PURPOSE};

    fn token(change: fn(&mut ProvisioningClaims)) -> String {
        let mut claims = ProvisioningClaims {
            token: "secret".into(),
            urls: "b1:4222, b2:4222".into(),
            by_default: true,
            facts: "/facts".into(),
            standard: StandardClaims { purpose: PURPOSE.into(), ..Default::default() },
            ..Default::default()
        };
        claims.set_trust(&BrokerTrust { ca: "CA".into(), pin: String::new() });
        change(&mut claims);
        SigningKey::from_seed(&[1; 32]).unwrap().sign(&claims).unwrap()
    }

    #[test]
    fn the_token_file_wins_over_the_build_where_it_is_usable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("provisioning.jwt");
        let built = Setup {
            token_file: file.clone(),
            registration_data: "/built/registration".into(),
            facts: "/built/facts".into(),
            access: Secret::new("built"),
            ..Setup::default()
        };
        let mut setup = built.clone();
        assert_eq!((setup.read_token(), setup.knows_brokers()), (vec![], false));
        std::fs::write(&file, token(|_| ()) + "\n").unwrap();
        assert_eq!(setup.read_token(), Vec::<String>::new());
        assert_eq!(setup.brokers, ["b1:4222", "b2:4222"]);
        assert!(setup.by_default && setup.access.expose() == "secret" && setup.trust.ca == "CA");
        assert_eq!(
            (setup.facts.as_str(), setup.registration_data.as_str()),
            ("/facts", "/built/registration")
        );
        assert!(!format!("{setup:?}").contains("secret"));
        for (text, why) in [
            ("junk".to_owned(), "cannot be read"),
            (token(|claims| claims.token.clear()), "no access token (cht)"),
            (token(|claims| claims.urls.clear()), "names neither brokers"),
            (token(|claims| claims.standard.purpose = "other".into()), "is for \"other\""),
        ] {
            std::fs::write(&file, text).unwrap();
            let mut setup = built.clone();
            let told = setup.read_token();
            assert!(told.len() == 1 && told[0].contains(why), "{told:?}");
            assert_eq!((setup.access.expose(), setup.brokers.len()), ("built", 0));
        }
        std::fs::write(&file, token(|claims| claims.protocol_v2 = true)).unwrap();
        assert!(setup.read_token()[0].contains("waits by protocol v1"));
    }

    #[test]
    fn a_waiting_node_runs_on_nothing_it_found() {
        let env = Fixed { hostname: Some("h1.example.net".into()), ..Fixed::default() };
        let setup =
            Setup { registration_data: "/reg.json".into(), facts: "/facts.json".into(), ..Setup::default() };
        let file = Path::new("/etc/choria/server.conf");
        let config = setup.config(file, None, &env).unwrap();
        assert_eq!(config.identity, "h1.example.net");
        assert_eq!(
            (config.collectives.as_slice(), config.main_collective.as_str()),
            (&["provisioning".to_owned()][..], "provisioning")
        );
        assert!(!config.rpcauthorization && config.yaml == "/facts.json");
        assert_eq!(config.dir(), Path::new("/etc/choria"));
        assert!(config.warnings().is_empty(), "{:?}", config.warnings());
        assert_eq!(setup.config(file, Some("n2"), &env).unwrap().identity, "n2");
    }
}
