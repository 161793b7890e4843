//! Who a process is to be, held against its certificate.

use std::path::Path;

use super::Certificate;
use crate::core::config::{Config, Role};

/// The name a certificate should have.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) name: String,
    /// Who says so.
    origin: String,
}

impl Expected {
    pub(super) fn of(config: &Config, role: Role, certname: &str, origin: &str) -> Expected {
        // Brokers and nodes are known by their identity, however their certificate was found.
        let (name, origin) = match role {
            Role::Client if origin != "identity" => (certname, format!("of {origin}")),
            Role::Client => (certname, format!("identity is, {}", config.origin("identity"))),
            _ => (config.identity.as_str(), format!("identity is, {}", config.origin("identity"))),
        };
        Expected { name: name.to_owned(), origin }
    }

    /// A name nobody is in doubt about.
    pub(super) fn as_is(name: &str) -> Expected {
        Expected { name: name.to_owned(), origin: String::new() }
    }

    /// See [`super::Provider::misnamed`].
    pub(super) fn misnamed(&self, role: Role, certificate: &Certificate, file: &Path) -> Option<String> {
        let has = |name: &str| match name.strip_prefix('*') {
            Some(domain) if role == Role::Broker => {
                self.name.find('.').and_then(|dot| self.name.get(dot..)) == Some(domain)
            }
            _ => name == self.name,
        };
        if certificate.names().any(has) {
            return None;
        }
        let names: Vec<_> = certificate.names().take(5).collect();
        let (file, names, Expected { name, origin }) = (file.display(), names.join(", "), self);
        let first = certificate.names().next().unwrap_or("its name");
        Some(match role {
            Role::Server => format!(
                "this node is {name} because {origin}, and certificate {file} is for {names}: a broker that binds \
                 nodes to their certificates does not give it that name, and requests to it by name do not arrive; \
                 set identity = {first}, or get a certificate for {name}"
            ),
            Role::Broker => format!(
                "this broker is {name} because {origin}, and certificate {file} is for {names}: whoever connects \
                 to it as {name} refuses it; get a certificate for that name if anybody does"
            ),
            Role::Client => format!(
                "certificate {file} is for {names}, and this process is {name} because {origin}: requests of \
                 {name} will be refused; set MCOLLECTIVE_CERTNAME = {first}, or use the certificate of {name}"
            ),
        })
    }
}
