//! The security of one process, made once from its configuration.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::sign::SigningKey;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;

use super::credentials::SharedCredentials;
use super::expected::Expected;
use super::fitness::Fitness;
use super::{
    CallerId, ChainError, Credentials, Files, NameList, RequestVerifier, SecurityError, SharedTrust, Signer,
    Trust, Usage, expiry_warning, paths, tls,
};
use crate::core::config::{Config, Environment, Role};

/// Name, certificate, key and trust of this process: the `puppet` and `file`
/// security providers, which differ in where files are and in how strictly
/// server names are taken.
///
/// Everything made from a provider follows [`reload`](Provider::reload).
#[derive(Debug)]
pub struct Provider {
    role: Role,
    usages: Vec<Usage>,
    identity: String,
    /// The name the certificate should have, and who says so.
    expected: Expected,
    certname: String,
    /// What the name was taken from, for whoever wonders why it is this one.
    name_origin: String,
    caller_id: CallerId,
    files: Files,
    allowed: NameList,
    privileged: NameList,
    /// Whether a server certificate without alt names may be known by its
    /// common name, as Puppet's old certificates are.
    names_by_common_name: bool,
    crypto: Arc<CryptoProvider>,
    credentials: Arc<SharedCredentials>,
    trust: Arc<SharedTrust>,
    warnings: Vec<String>,
}

impl Provider {
    /// Reads certificate, key, CA and revocation lists of `role`.
    ///
    /// # Errors
    /// [`SecurityError`]: an unsupported provider, a missing setting, or any
    /// file that is missing, malformed or empty.
    pub fn new(config: &Config, role: Role, env: &dyn Environment) -> Result<Provider, SecurityError> {
        Provider::named(config, role, env, None)
    }

    /// [`Provider::new`] with the certificate name given on the command line.
    ///
    /// # Errors
    /// As [`Provider::new`].
    pub fn named(
        config: &Config,
        role: Role,
        env: &dyn Environment,
        certname: Option<&str>,
    ) -> Result<Provider, SecurityError> {
        let chosen = paths::is_chosen(env, certname);
        let paths::Named { name: mut certname, origin } = paths::certname(config, role, env, certname)?;
        let caller_id =
            |name: &str| CallerId::of_certname(name).ok_or_else(|| SecurityError::Certname(name.to_owned()));
        // Checked before it becomes part of a path.
        let mut caller = caller_id(&certname)?;
        let files = paths::files(config, env, &certname)?;
        let mut warnings = Vec::new();
        let crypto = tls::crypto(&config.security_cipher_suites, &config.security_ecc_curves, &mut warnings)?;
        let credentials = Credentials::read(&files, &crypto)?;
        // A caller whose files are named has the name in them: that of its user was a guess.
        let guessed = role == Role::Client && config.security_provider == "file" && !chosen;
        if let Some(name) = credentials.certificate.other_name(&certname).filter(|_| guessed) {
            caller = caller_id(name)?;
            certname = name.to_owned();
        }
        let expected = Expected::of(config, role, &certname, &origin);
        if role != Role::Client && chosen && certname != config.identity {
            warnings.push(format!(
                "the environment has MCOLLECTIVE_CERTNAME: this daemon, {}, uses the certificate of {certname}",
                config.identity
            ));
        }
        let trust = Trust::read(&files.ca, files.crl.as_deref())?;
        let allowed = NameList::new(&config.choria_security_certname_whitelist);
        let privileged = NameList::new(&config.choria_security_privileged_users);
        let mut provider = Provider {
            role,
            usages: usages(config, role),
            identity: config.identity.clone(),
            expected,
            certname,
            name_origin: origin,
            caller_id: caller,
            allowed,
            privileged,
            names_by_common_name: config.security_provider == "puppet"
                || config.security_support_legacy_certificates,
            crypto: Arc::new(crypto),
            credentials: Arc::new(SharedCredentials::new(credentials)),
            trust: Arc::new(SharedTrust::new(trust)),
            files,
            warnings,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        provider.warnings.extend(provider.trouble(now));
        Ok(provider)
    }

    /// As another node: same settings, trust and key, another certificate of
    /// that key. Emulators make thousands of nodes of one this way.
    ///
    /// # Errors
    /// A name that is none, or a certificate that is not of this key.
    pub fn twin(&self, identity: &str, certificate_pem: &str) -> Result<Provider, SecurityError> {
        let caller_id =
            CallerId::of_certname(identity).ok_or_else(|| SecurityError::Certname(identity.to_owned()))?;
        let credentials = self.credentials.get().with_certificate(certificate_pem)?;
        Ok(Provider {
            role: self.role,
            usages: self.usages.clone(),
            identity: identity.to_owned(),
            expected: Expected::as_is(identity),
            certname: identity.to_owned(),
            name_origin: "its certificate".to_owned(),
            caller_id,
            files: self.files.clone(),
            allowed: self.allowed.clone(),
            privileged: self.privileged.clone(),
            names_by_common_name: self.names_by_common_name,
            crypto: self.crypto.clone(),
            credentials: Arc::new(SharedCredentials::new(credentials)),
            trust: self.trust.clone(),
            warnings: Vec::new(),
        })
    }

    /// As another node with the same certificate.
    pub fn alias(&self, identity: &str) -> Provider {
        Provider {
            role: self.role,
            usages: self.usages.clone(),
            identity: identity.to_owned(),
            expected: Expected::as_is(&self.certname),
            certname: self.certname.clone(),
            name_origin: self.name_origin.clone(),
            caller_id: self.caller_id.clone(),
            files: self.files.clone(),
            allowed: self.allowed.clone(),
            privileged: self.privileged.clone(),
            names_by_common_name: self.names_by_common_name,
            crypto: self.crypto.clone(),
            credentials: self.credentials.clone(),
            trust: self.trust.clone(),
            warnings: Vec::new(),
        }
    }

    /// What an administrator should know at `now` (unix seconds), after a
    /// reload or once a day: expiry, revocation lists past their time, who can
    /// read the key, settings that match nothing.
    pub fn trouble(&self, now: i64) -> Vec<String> {
        let mut warnings = Vec::new();
        let credentials = self.credentials.get();
        warnings.extend(credentials.exposed.clone());
        let certificate = &credentials.certificate;
        warnings.extend(self.misnamed());
        if let Some(text) = expiry_warning(certificate.not_after, now) {
            warnings.push(format!("certificate {} {text}", self.files.certificate.display()));
        }
        let trust = self.trust.get();
        if let Some(text) = trust.expiry().and_then(|not_after| expiry_warning(not_after, now)) {
            warnings.push(format!("a certificate of {} {text}", self.files.ca.display()));
        }
        warnings.extend(trust.revocation().and_then(|lists| lists.warning(now)));
        warnings.extend(trust.trouble(&self.files.ca, self.files.crl.as_deref()));
        warnings
    }

    /// That the certificate is for somebody else than this process: both names, and
    /// where each comes from.
    pub fn misnamed(&self) -> Option<String> {
        let credentials = self.credentials.get();
        let certificate = &credentials.certificate;
        // a privileged name speaks for others
        if self.role == Role::Client && certificate.names().any(|name| self.privileged.matches(name)) {
            return None;
        }
        self.expected.misnamed(self.role, certificate, &self.files.certificate)
    }

    /// Why this process cannot be what it is to be at `now` (unix seconds): its
    /// certificate is for another purpose, or a caller's is another's. A daemon ends its
    /// start by it.
    pub fn misfit(&self, now: i64) -> Option<String> {
        let (credentials, trust) = (self.credentials.get(), self.trust.get());
        let (what, flag) = match self.role {
            Role::Server => ("a node", "--node"),
            Role::Client => ("a caller", "--client"),
            Role::Broker => ("a broker", "--broker"),
        };
        let file = self.files.certificate.display();
        let (leaf, others) = credentials.tls.cert.split_first()?;
        for usage in &self.usages {
            if let Err(ChainError::Purpose(purpose)) = trust.verify(leaf, others, now, *usage) {
                return Some(format!(
                    "certificate {file} cannot be that of {what}: its extended key usage does not allow {purpose}; \
                     get one, as by choria tool ca issue {flag} {}",
                    self.expected.name
                ));
            }
        }
        self.misnamed().filter(|_| self.role == Role::Client)
    }

    /// Why nobody can accept this process as a caller at `now` (unix seconds):
    /// its certificate has expired.
    pub fn unfit(&self, now: i64) -> Option<String> {
        self.fitness(&self.credentials.get(), &self.trust.get()).unfit(now)
    }

    /// Why brokers and nodes may refuse this process as a caller at `now` (unix
    /// seconds), as far as can be known here: another CA, a time before its
    /// certificate's, a name that is not a caller's.
    pub fn doubts(&self, now: i64) -> Vec<String> {
        self.fitness(&self.credentials.get(), &self.trust.get()).doubts(now)
    }

    fn fitness<'a>(&'a self, credentials: &'a Credentials, trust: &'a Trust) -> Fitness<'a> {
        Fitness {
            certname: &self.certname,
            name_origin: &self.name_origin,
            certificate: &credentials.certificate,
            chain: &credentials.tls.cert,
            file: &self.files.certificate,
            ca: &self.files.ca,
            trust,
            allowed: &self.allowed,
            privileged: &self.privileged,
        }
    }

    /// As what this process runs.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Name in the certificate.
    pub fn certname(&self) -> &str {
        &self.certname
    }

    /// The variable or setting that the name was taken from, with its value
    /// where that is not the name itself.
    pub fn name_origin(&self) -> &str {
        &self.name_origin
    }

    /// Who this process is as a caller, `choria=<certname>`.
    pub fn caller_id(&self) -> &CallerId {
        &self.caller_id
    }

    /// Name of this node, sender of its messages.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Where the files are.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// When the certificate expires, unix seconds.
    pub fn certificate_expiry(&self) -> Option<i64> {
        Some(self.credentials.get().certificate.not_after)
    }

    /// Names the certificate is valid for.
    pub fn names(&self) -> Vec<String> {
        let credentials = self.credentials.get();
        let certificate = &credentials.certificate;
        std::iter::once(&certificate.common_name).chain(&certificate.dns_names).cloned().collect()
    }

    /// What an administrator should know at start.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Signs requests as this process.
    ///
    /// # Errors
    /// [`SecurityError::NotRsa`]: brokers run with other keys, callers do not.
    pub fn signer(&self) -> Result<Signer, SecurityError> {
        match self.credentials.get().rsa {
            Some(_) => Ok(Signer::new(self.credentials.clone(), self.files.key.clone())),
            None => Err(SecurityError::NotRsa(self.files.key.clone())),
        }
    }

    /// The key of this process as it is at each call, whatever kind it is of.
    pub fn signing_key(&self) -> impl Fn() -> Arc<dyn SigningKey> + Send + Sync + use<> {
        let credentials = self.credentials.clone();
        move || credentials.get().tls.key.clone()
    }

    /// Verifies requests that arrive.
    ///
    /// # Errors
    /// None today; reserved for providers that cannot verify.
    pub fn verifier(&self) -> Result<RequestVerifier, SecurityError> {
        Ok(RequestVerifier::new(self.trust.clone(), self.allowed.clone(), self.privileged.clone()))
    }

    /// TLS for outgoing connections: CA file as the only roots, own certificate
    /// presented, TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// What the TLS library refuses.
    pub fn client_tls(&self) -> Result<Arc<ClientConfig>, SecurityError> {
        self.client_tls_as(None)
    }

    /// [`Provider::client_tls`] for a server whose certificate names this, whatever it is reached by.
    ///
    /// # Errors
    /// As [`Provider::client_tls`], or that is no name.
    pub fn client_tls_of(&self, name: &str) -> Result<Arc<ClientConfig>, SecurityError> {
        let named = ServerName::try_from(name.to_owned());
        self.client_tls_as(Some(named.map_err(|e| SecurityError::TlsLibrary(e.to_string()))?))
    }

    fn client_tls_as(&self, named: Option<ServerName<'static>>) -> Result<Arc<ClientConfig>, SecurityError> {
        tls::client(
            self.crypto.clone(),
            self.trust.clone(),
            self.credentials.clone(),
            self.names_by_common_name,
            named,
        )
    }

    /// TLS for listeners: client certificates are asked for, and verified when
    /// given.
    ///
    /// # Errors
    /// What the TLS library refuses.
    pub fn server_tls(&self) -> Result<Arc<ServerConfig>, SecurityError> {
        tls::server(self.crypto.clone(), self.trust.clone(), self.credentials.clone())
    }

    /// Trust in force, for others who judge certificates.
    pub fn trust(&self) -> Arc<SharedTrust> {
        self.trust.clone()
    }

    /// Reads all files again, a revocation list that has come meanwhile among
    /// them. Signers, verifiers and TLS configurations made earlier use the new
    /// ones from their next message or handshake on.
    ///
    /// # Errors
    /// As [`Provider::new`], and a revocation list that has gone; nothing
    /// changes then.
    pub fn reload(&self) -> Result<(), SecurityError> {
        let credentials = Credentials::read(&self.files, &self.crypto)?;
        let list = self.files.crl_now();
        if let (None, Some(_), Some(path)) =
            (list, self.trust.get().revocation(), self.files.usual_crl.first())
        {
            let reason = "was read before and is gone, its revocations would be lost".to_owned();
            return Err(SecurityError::File { what: "revocation list", path: path.clone(), reason });
        }
        let trust = Trust::read(&self.files.ca, list)?;
        self.credentials.replace(credentials);
        self.trust.replace(trust);
        Ok(())
    }
}
/// What the certificate has to be good for: brokers are connected to, and what carries
/// messages between networks connects to brokers.
fn usages(config: &Config, role: Role) -> Vec<Usage> {
    let carries = config.choria_broker_federation || !config.choria_adapters.is_empty();
    match role {
        Role::Server | Role::Client => vec![Usage::Client],
        Role::Broker if !carries => vec![Usage::Server],
        Role::Broker if config.choria_broker_network => vec![Usage::Server, Usage::Client],
        Role::Broker => vec![Usage::Client],
    }
}
