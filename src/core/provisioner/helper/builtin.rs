//! No helper at all: our own CA and a template (spec 05 §15.2, 15.3).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::template::{Defaults, Made, Node, Template};
use super::{Asking, Helper, HelperError, Surroundings};
use crate::core::pki::{Ca, NodeIssuer, PkiError};
use crate::core::provisioner::answer::Answer;
use crate::core::provisioner::csr::{self, Denied};
use crate::core::provisioner::question::Question;
use crate::core::provisioner::settings::Settings;
use crate::core::security::{Certificate, pem};

/// Name in the certificate of a CA we make.
const CA_NAME: &str = "Choria provisioner CA";
/// Nodes at once: signing is done before the next could be waited for, but the
/// log it goes to shares its syncs.
const AT_ONCE: usize = 1024;
/// What stands for a directory that is not known because no key was asked for.
const SOMEWHERE: &str = "SSLDIR";

macro_rules! policies {
    ($($name:literal),*) => {
        [$((
            concat!($name, ".policy"),
            include_str!(concat!("../../../../packaging/config/policies/", $name, ".policy")),
        )),*]
    };
}

/// What callers, whoever has a client certificate, may ask of a node that
/// nothing else was said of: what it is, and nothing that changes it.
const POLICIES: [(&str, &str); 5] = policies!("choria_util", "package", "puppet", "rpcutil", "service");

/// Where packages put the configuration of nodes.
const PLACE: &str = "/etc/choria/";
/// Files of a node that is there: those of the `server.conf` that packages bring.
const PACKAGED: [(&str, &str); 6] = [
    ("plugin.rpcaudit.logfile", "/var/log/choria-audit.log"),
    ("plugin.yaml", "/etc/choria/facts.yaml"),
    ("classesfile", "/etc/choria/classes.txt"),
    ("plugin.choria.agent_provider.mcorpc.libdir", "/etc/choria/plugins"),
    ("plugin.choria.jobs_dir", "/var/lib/choria-jobs"),
    ("plugin.choria.status_file_path", "/var/lib/choria-status.json"),
];
/// Those of one that may write nowhere else.
const ELSEWHERE: [(&str, &str); 1] = [("plugin.rpcaudit.logfile", "{{ssldir}}/../audit.log")];

/// Certificates of our own CA, configuration by a template.
#[derive(Debug)]
pub struct Builtin {
    template: Template,
    /// The same for nodes that are not where packages put them: of somebody who is not root.
    elsewhere: Template,
    /// None in a rehearsal.
    issuer: Option<NodeIssuer>,
    validity: Duration,
    denied: Denied,
    /// Names this CA has made brokers, as of when its directory changed last.
    servers: Mutex<(Option<SystemTime>, Vec<String>)>,
}

impl Builtin {
    /// Opens the CA, which is made where there is none, and reads the template.
    ///
    /// # Errors
    /// Either cannot be used, or nothing says where nodes find their brokers.
    pub fn new(settings: &Settings, around: &Surroundings) -> Result<Builtin, HelperError> {
        let unusable = |e: &dyn std::fmt::Display| HelperError::Unreachable(e.to_string());
        if !settings.wants_pki() {
            return Err(unusable(&"the built-in one makes certificates, do not switch features.pki off"));
        }
        let template = |files: &[(&str, &str)]| {
            let defaults = defaults(settings, around, files)?;
            match settings.template.as_os_str().is_empty() {
                true => Template::everybody(&defaults).map_err(|e| unusable(&e)),
                false => Template::load(&settings.template, &defaults).map_err(|e| unusable(&e)),
            }
        };
        let (packaged, elsewhere) = (template(&PACKAGED)?, template(&ELSEWHERE)?);
        let dir = settings.ca_dir();
        let issuer = match around.rehearsal {
            true if !dir.join("ca.pem").exists() => None,
            true => {
                warn_of_strangers(&Ca::load(&dir).map_err(|e| unusable(&e))?, around);
                None
            }
            false => {
                let (ca, made) = Ca::load_or_create(&dir, CA_NAME, jiff::Timestamp::now().as_second())
                    .map_err(|e| unusable(&e))?;
                if made {
                    tracing::info!(dir = %dir.display(), "made a CA; brokers and callers need its ca.pem");
                }
                warn_of_strangers(&ca, around);
                Some(NodeIssuer::new(ca).map_err(|e| unusable(&e))?)
            }
        };
        let denied = Denied::of(settings, &around.brokers).map_err(|e| unusable(&e))?;
        Ok(Builtin {
            template: packaged,
            elsewhere,
            issuer,
            validity: settings.cert_validity,
            denied,
            servers: Mutex::default(),
        })
    }

    fn has_made_broker(&self, ca: &Ca, name: &str) -> Result<bool, PkiError> {
        let changed = std::fs::metadata(ca.dir().join("issued")).and_then(|about| about.modified()).ok();
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.is_none() || servers.0 != changed {
            *servers = (changed, ca.servers()?);
        }
        Ok(servers.1.iter().any(|server| server.eq_ignore_ascii_case(name)))
    }

    async fn answer(&self, question: &Question) -> Result<Answer, HelperError> {
        let failed = |e: &dyn std::fmt::Display| HelperError::Failed(e.to_string());
        let inventory: Value = serde_json::from_str(&question.inventory).unwrap_or_default();
        let ssldir = question.csr.as_ref().map_or(SOMEWHERE, |csr| &csr.ssldir);
        let facts = inventory.get("facts").unwrap_or(&Value::Null);
        let node = Node { identity: &question.identity, ssldir, facts };
        let packaged = question.csr.is_none() || ssldir.starts_with(PLACE);
        let template = if packaged { &self.template } else { &self.elsewhere };
        let (configuration, action_policies) = match template.make(&node).map_err(|e| failed(&e))? {
            Made::Deferred(msg) => return Ok(Answer { defer: true, msg, ..Answer::default() }),
            Made::Configured(configuration, policies) => (configuration, policies),
        };
        let mut answer = Answer { configuration, action_policies, ..Answer::default() };
        if let Some(request) = &question.csr {
            // whoever asks: nothing is signed unchecked
            let checked =
                csr::check(&request.csr, &question.identity, &self.denied).map_err(|e| failed(&e))?;
            let Some(issuer) = &self.issuer else { return Err(failed(&"this is a rehearsal")) };
            if self.has_made_broker(issuer.ca(), &question.identity).map_err(|e| failed(&e))? {
                return Err(failed(&csr::CsrError::Broker(question.identity.clone())));
            }
            let now = jiff::Timestamp::now().as_second();
            let issued = issuer.issue(&question.identity, &checked.spki, self.validity, now).await;
            answer.certificate = issued.map_err(|e| failed(&e))?;
            answer.ca = issuer.ca().certificate_pem().to_owned();
            answer.ssldir.clone_from(&request.ssldir);
        }
        Ok(answer)
    }
}

impl Helper for Builtin {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(self.answer(question))
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn ca_expiry(&self) -> Option<i64> {
        let pem = self.issuer.as_ref()?.ca().certificate_pem();
        let chain = pem::certificates(pem.as_bytes()).ok()?;
        chain.first().and_then(|der| Certificate::parse(der)).map(|certificate| certificate.not_after)
    }
}

/// A node that works: it finds its brokers, has its certificate, and answers
/// questions of every caller.
fn defaults(
    settings: &Settings,
    around: &Surroundings,
    files: &[(&str, &str)],
) -> Result<Defaults, HelperError> {
    let usual = [
        ("identity", "{{identity}}"),
        ("plugin.choria.server.provision", "false"),
        ("registerinterval", "300"),
        ("rpcauthorization", "true"),
        ("rpcauthprovider", "action_policy"),
        ("plugin.security.provider", "file"),
        ("plugin.security.file.certificate", "{{ssldir}}/certificate.pem"),
        ("plugin.security.file.key", "{{ssldir}}/private.pem"),
        ("plugin.security.file.ca", "{{ssldir}}/ca.pem"),
        ("rpcaudit", "true"),
    ];
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let mut configuration: BTreeMap<String, String> = usual.iter().chain(files).map(owned).collect();
    let brokers = match settings.brokers.is_empty() {
        false => settings.brokers.join(","),
        true => around.brokers.join(","),
    };
    match (&brokers, &around.srv_domain) {
        (brokers, _) if !brokers.is_empty() => {
            configuration.insert("plugin.choria.middleware_hosts".into(), "{{brokers}}".into());
            configuration.insert("plugin.choria.use_srv".into(), "false".into());
        }
        (_, Some(domain)) => {
            configuration.insert("plugin.choria.srv_domain".into(), domain.clone());
        }
        _ if settings.template.as_os_str().is_empty() => {
            return Err(HelperError::Unreachable(
                "nothing says where nodes find their brokers, set brokers: [HOST:4222]".into(),
            ));
        }
        // the template has to say it
        _ => {}
    }
    let action_policies = POLICIES.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    Ok(Defaults { configuration, action_policies, brokers })
}

/// A network that does not know this CA would turn its nodes away.
fn warn_of_strangers(ca: &Ca, around: &Surroundings) {
    let Some(trusted) = &around.ca else { return };
    let own = pem::certificates(ca.certificate_pem().as_bytes()).unwrap_or_default();
    // one that cannot be read has been complained about already
    let Ok(trusted_text) = std::fs::read(trusted) else { return };
    let theirs = pem::certificates(&trusted_text).unwrap_or_default();
    if !own.iter().all(|own| theirs.contains(own)) {
        tracing::warn!(
            ca = %ca.certificate_file().display(), trusted = %trusted.display(),
            "the CA that signs for nodes is not among those this program itself trusts; \
             unless brokers know it, nodes will be turned away"
        );
    }
}

#[cfg(test)]
#[path = "builtin_tests.rs"]
mod tests;
