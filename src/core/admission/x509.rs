//! Networks whose members hold certificates: the rules of x509 mode (spec 01 §13, 04 §3.2–3.3).

use std::fmt;
use std::sync::Arc;

use super::account::Account;
use super::facts::{ConnectionFacts, LinkKind, Transport};
use super::grant::{Authenticator, Grant, GrantLimits, Peer, PeerKind, Permission, Refusal, RefusalKind};
use super::hosts::HostList;
use super::permissions::{self, Server};
use super::waiting::WaitingNodes;
use crate::core::nats::subject;
use crate::core::text::{Secret, shortened};

/// The user name that always means the provisioner.
const PROVISIONER: &str = "provisioner";

/// A test on a certificate name, such as one of the regex lists of spec 01 §9.
#[derive(Clone)]
pub struct NameTest(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl NameTest {
    /// Wraps a predicate.
    pub fn new(test: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(test))
    }

    /// Matches no name.
    pub fn none() -> Self {
        Self::new(|_| false)
    }

    /// Whether a name passes.
    pub fn matches(&self, name: &str) -> bool {
        (self.0)(name)
    }
}

impl fmt::Debug for NameTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameTest")
    }
}

/// `plugin.choria.network.x509_permissions` with what each choice needs.
#[derive(Debug, Clone)]
pub enum X509Mode {
    /// The original's: every certificate of the CA may do everything, unless
    /// `client_hosts` is set: then listed addresses may, all others are
    /// servers with permissions D. (The original of today gives D to listed
    /// ones too; the manual's meaning is kept here, spec 04 §3.3.)
    Open {
        /// `plugin.choria.network.client_hosts`.
        client_hosts: HostList,
    },
    /// Names decide: clients are clients, everybody else is a node bound to its name.
    ByName(ByName),
}

/// The network a by-name broker serves.
#[derive(Debug, Clone)]
pub struct ByName {
    /// Names of clients: `client_certnames`, by default the certname whitelist.
    pub clients: NameTest,
    /// Names of privileged clients.
    pub privileged: NameTest,
    /// Names of nodes that may answer service requests; none by default.
    pub service_hosts: NameTest,
    /// What carries messages out of this network or into it; nothing by default.
    pub services: Vec<Service>,
    /// Collectives of the network.
    pub collectives: Vec<String>,
    /// Subjects that nodes publish their registration data on.
    pub registration_targets: Vec<String>,
    /// There are streams, which clients use. Nodes do not, but for what is named: what one of them may read or
    /// remove, a stolen one may.
    pub streams: bool,
    /// Buckets that every node may read.
    pub node_buckets: Vec<String>,
    /// Governors that every node may take slots of, and give slots of back.
    pub node_governors: Vec<String>,
    /// Requests are kept for absent nodes, in one of the streams.
    pub deferred: bool,
}

/// A federation broker or data adapter, which may say and hear this and nothing else.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its names.
    pub names: NameTest,
    /// It is one only by a connection that is [named](carrier) as one: a node of the same machine may
    /// have the same certificate.
    pub by_carrier: bool,
    /// Subjects it may publish.
    pub publish: Vec<String>,
    /// Subjects it may subscribe, beside what is said to it alone.
    pub hear: Vec<String>,
}

impl Default for ByName {
    fn default() -> Self {
        Self {
            clients: NameTest::none(),
            privileged: NameTest::none(),
            service_hosts: NameTest::none(),
            services: Vec::new(),
            collectives: Vec::new(),
            registration_targets: Vec::new(),
            streams: false,
            node_buckets: Vec::new(),
            node_governors: Vec::new(),
            deferred: false,
        }
    }
}

/// What the name of a connection begins with that carries messages for the process of a broker.
const CARRIER: &str = "carrier ";

/// The name of a connection that carries messages for the process of a broker.
pub fn carrier(name: &str) -> String {
    format!("{CARRIER}{name}")
}

/// `plugin.choria.network.system.user` and `.password`.
#[derive(Debug, Clone)]
pub struct SystemUser {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// Configuration of an [`X509Authenticator`].
#[derive(Debug, Clone)]
pub struct X509Options {
    /// Who may say what.
    pub mode: X509Mode,
    /// `deny_server_connections`: servers may connect and say nothing.
    pub deny_servers: bool,
    /// `provisioning.client_password`; without it there is no provisioning account.
    pub provisioning_password: Option<Secret>,
    /// `provisioning.signer_cert`: lets nodes with its tokens wait in the
    /// provisioning account, which needs the password too.
    pub waiting: Option<WaitingNodes>,
    /// Names of this broker and of those that are one with it: no machine waits by one of them, since
    /// who waits is given a certificate by the name it says.
    pub brokers: Vec<String>,
    /// System account user; without it the account is unreachable.
    pub system: Option<SystemUser>,
    /// Explicit test mode: clear text clients of a loopback listener are let
    /// in without restriction. Off, they are refused as by the original.
    pub allow_plaintext: bool,
}

impl Default for X509Options {
    fn default() -> Self {
        Self {
            mode: X509Mode::Open { client_hosts: HostList::default() },
            deny_servers: false,
            provisioning_password: None,
            waiting: None,
            brokers: Vec::new(),
            system: None,
            allow_plaintext: false,
        }
    }
}

/// Lets certificate holders in.
#[derive(Debug)]
pub struct X509Authenticator {
    options: X509Options,
    everything: Arc<Permission>,
    nothing: Arc<Permission>,
    server_default: (Arc<Permission>, Arc<Permission>),
    /// Publish permissions that do not depend on the name: shared by all links.
    node_publish: Arc<Permission>,
    client_publish: Arc<Permission>,
    privileged_publish: Arc<Permission>,
    privileged_subscribe: Arc<Permission>,
}

/// What all nodes may publish beside what every node may.
fn publish_of_nodes(network: &ByName) -> Vec<String> {
    let mut subjects = network.registration_targets.clone();
    if network.streams {
        let (buckets, governors) = (&network.node_buckets, &network.node_governors);
        subjects.extend(permissions::node_streams(buckets, governors, &network.collectives));
    }
    subjects
}

/// What a node may publish, with what only this one may.
fn publish_of_node(network: &ByName, own: &[String]) -> Permission {
    permissions::server_publish(&Server {
        identity: "",
        collectives: &network.collectives,
        publish: &[publish_of_nodes(network).as_slice(), own].concat(),
        // Clusters have names of their own, and only their brokers hear them.
        federations: Some("*"),
        submission: true,
        service_host: false,
    })
}

impl ByName {
    /// Whether requests are kept for absent nodes.
    fn defers(&self) -> bool {
        self.streams && self.deferred
    }
}

impl X509Authenticator {
    /// Prepares what all connections share.
    pub fn new(options: X509Options) -> Self {
        let (streams, deferred) = match &options.mode {
            X509Mode::ByName(network) => (network.streams, network.defers()),
            X509Mode::Open { .. } => (false, false),
        };
        let client_publish = |privileged: bool| match streams {
            true => {
                let deferring = (deferred && privileged).then(permissions::deferring_for_all);
                permissions::client_publish_with_streams(privileged, deferring.as_slice())
            }
            false => permissions::client_publish(),
        };
        let node_publish = match &options.mode {
            X509Mode::ByName(network) => publish_of_node(network, &[]),
            X509Mode::Open { .. } => Permission::nothing(),
        };
        let (publish, subscribe) = permissions::default_server();
        Self {
            options,
            everything: Arc::new(Permission::unrestricted()),
            nothing: Arc::new(Permission::nothing()),
            server_default: (Arc::new(publish), Arc::new(subscribe)),
            node_publish: Arc::new(node_publish),
            client_publish: Arc::new(client_publish(false)),
            privileged_publish: Arc::new(client_publish(true)),
            privileged_subscribe: Arc::new(permissions::privileged_subscribe()),
        }
    }

    fn unrestricted(&self, account: Account, user: &str, peer: Peer) -> Grant {
        self.grant(account, user, peer, &self.everything, &self.everything)
    }

    fn grant(
        &self,
        account: Account,
        user: &str,
        peer: Peer,
        publish: &Arc<Permission>,
        subscribe: &Arc<Permission>,
    ) -> Grant {
        Grant {
            account,
            peer,
            user: user.to_owned(),
            publish: publish.clone(),
            subscribe: subscribe.clone(),
            responses: None,
            limits: GrantLimits::default(),
        }
    }

    fn provisioner(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        let refuse = |kind, text: &str| Err(Refusal::new(kind, format!("provisioner refused: {text}")));
        let Some(password) =
            self.options.provisioning_password.as_ref().filter(|password| !password.is_empty())
        else {
            return refuse(RefusalKind::NotConfigured, "no provisioning password is configured");
        };
        if !password.matches(&facts.options.pass) {
            return refuse(RefusalKind::Password, "wrong password");
        }
        if facts.certificate.is_none() {
            return refuse(RefusalKind::NoCertificate, "a verified certificate is required");
        }
        Ok(self.unrestricted(Account::Provisioning, PROVISIONER, peer(PeerKind::Service, facts)))
    }

    fn system(&self, system: &SystemUser, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        let refuse = |kind, text: &str| Err(Refusal::new(kind, format!("system user refused: {text}")));
        if facts.certificate.is_none() && facts.transport != Transport::InProcess {
            return refuse(RefusalKind::NoCertificate, "a verified certificate is required");
        }
        if system.password.is_empty() || !system.password.matches(&facts.options.pass) {
            return refuse(RefusalKind::Password, "wrong password");
        }
        Ok(self.unrestricted(Account::System, &system.user, peer(PeerKind::Service, facts)))
    }

    fn member(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        let user = facts.options.user.as_str();
        let plain = facts.transport == Transport::Plaintext && self.options.allow_plaintext;
        if facts.certificate.is_none()
            && facts.transport == Transport::Tls
            && !facts.options.auth_token.is_empty()
            && let Some(waiting) = &self.options.waiting
            && self.options.provisioning_password.as_ref().is_some_and(|password| !password.is_empty())
        {
            let grant = waiting.judge(facts)?;
            let name = &grant.peer.identity;
            return match self.gives_rights_to(name) {
                None => Ok(grant),
                Some(whose) => Err(Refusal::new(
                    RefusalKind::Token,
                    format!("waiting node refused: {} is a name of {whose} here", shortened(name, 100)),
                )),
            };
        }
        if facts.certificate.is_none() && facts.transport != Transport::InProcess && !plain {
            // a machine that waits shows a token in its place
            let waits = if facts.options.auth_token.is_empty() {
                ""
            } else {
                ", but a token, and plugin.choria.network.provisioning.signer_cert, by which it would be known, is not set"
            };
            return Err(Refusal::new(
                RefusalKind::NoCertificate,
                format!("no client certificate was presented{waits}"),
            ));
        }
        if facts.transport == Transport::Tls && !facts.options.auth_token.is_empty() {
            return Err(Refusal::new(
                RefusalKind::Token,
                "a token was presented, which this broker has no signer for",
            ));
        }
        if plain {
            return Ok(self.unrestricted(Account::Choria, user, peer(PeerKind::Client, facts)));
        }
        match &self.options.mode {
            X509Mode::Open { client_hosts } if client_hosts.is_empty() => {
                Ok(self.unrestricted(Account::Choria, user, peer(PeerKind::Client, facts)))
            }
            X509Mode::Open { client_hosts } => {
                if facts.remote.is_some_and(|remote| client_hosts.contains(remote.ip())) {
                    Ok(self.unrestricted(Account::Choria, user, peer(PeerKind::Client, facts)))
                } else {
                    let (publish, subscribe) = self.server_permissions();
                    Ok(self.grant(Account::Choria, user, peer(PeerKind::Node, facts), publish, subscribe))
                }
            }
            X509Mode::ByName(_) if facts.transport == Transport::InProcess => {
                Ok(self.unrestricted(Account::Choria, user, peer(PeerKind::Service, facts)))
            }
            X509Mode::ByName(network) => self.by_name(network, facts),
        }
    }

    /// To whom this broker gives more than to a node by that name, in whatever case. What a waiting
    /// machine is to be called is its own word, and it gets a certificate for it.
    fn gives_rights_to(&self, name: &str) -> Option<&'static str> {
        if self.options.brokers.iter().any(|broker| broker.eq_ignore_ascii_case(name)) {
            return Some("a broker");
        }
        let X509Mode::ByName(network) = &self.options.mode else { return None };
        let lower = name.to_ascii_lowercase();
        let matches = |test: &NameTest| test.matches(name) || test.matches(&lower);
        if network.services.iter().any(|service| matches(&service.names)) {
            return Some("a federation broker or adapter");
        }
        if matches(&network.privileged) || matches(&network.clients) {
            return Some("clients");
        }
        matches(&network.service_hosts).then_some("nodes that answer for services")
    }

    fn server_permissions(&self) -> (&Arc<Permission>, &Arc<Permission>) {
        if self.options.deny_servers {
            (&self.nothing, &self.nothing)
        } else {
            (&self.server_default.0, &self.server_default.1)
        }
    }

    fn by_name(&self, network: &ByName, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        let Some(name) = facts.certname() else {
            return Err(Refusal::new(
                RefusalKind::BadCertificate,
                "the certificate has neither a common nor a DNS name",
            ));
        };
        // the name becomes part of subjects: a wildcard in it would be one there
        if !subject::valid_pattern(name) || !subject::is_literal(name) {
            return Err(Refusal::new(
                RefusalKind::BadCertificate,
                "the certificate name cannot be part of a subject",
            ));
        }
        let carries = facts.options.name.starts_with(CARRIER);
        let is_it = |service: &&Service| service.names.matches(name) && (carries || !service.by_carrier);
        let service = network.services.iter().find(is_it);
        if let Some(Service { publish, hear, .. }) = service.filter(|_| facts.kind == LinkKind::Client) {
            let (publish, subscribe) = permissions::service(publish, hear, name);
            let peer = peer(PeerKind::Service, facts);
            return Ok(self.grant(Account::Choria, name, peer, &Arc::new(publish), &Arc::new(subscribe)));
        }
        let privileged = network.privileged.matches(name);
        if facts.kind == LinkKind::Client && (privileged || network.clients.matches(name)) {
            let caller = format!("choria={name}");
            let subscribe = match privileged {
                // It may ask for any caller, and whoever asks hears the answer.
                true => self.privileged_subscribe.clone(),
                false => {
                    let own = permissions::client_subscribe(&caller);
                    Arc::new(Permission { inboxes: network.streams, ..own })
                }
            };
            let peer = peer(PeerKind::Client, facts);
            let publish = match privileged {
                true => self.privileged_publish.clone(),
                false if network.defers() => {
                    let own = [permissions::deferring(&caller)];
                    Arc::new(permissions::client_publish_with_streams(false, &own))
                }
                false => self.client_publish.clone(),
            };
            return Ok(self.grant(Account::Choria, &caller, peer, &publish, &subscribe));
        }
        let node = peer(PeerKind::Node, facts);
        if self.options.deny_servers {
            return Ok(self.grant(Account::Choria, name, node, &self.nothing, &self.nothing));
        }
        let subscribe = permissions::named_server_subscribe(&Server {
            identity: name,
            collectives: &network.collectives,
            publish: &[],
            federations: None,
            submission: false,
            service_host: network.service_hosts.matches(name),
        });
        let subscribe = Arc::new(Permission { inboxes: network.streams, ..subscribe });
        let publish = match network.defers() {
            true => Arc::new(publish_of_node(network, &permissions::deferred_to(name))),
            false => self.node_publish.clone(),
        };
        Ok(self.grant(Account::Choria, name, node, &publish, &subscribe))
    }
}

/// Whose connection it is: the certificate says so, where there is one.
fn peer(kind: PeerKind, facts: &ConnectionFacts) -> Peer {
    Peer { kind, identity: facts.certname().unwrap_or(&facts.options.user).into() }
}

impl Authenticator for X509Authenticator {
    fn requires_credentials(&self, transport: Transport) -> bool {
        transport != Transport::Plaintext || !self.options.allow_plaintext
    }

    fn authenticate(&self, facts: &ConnectionFacts) -> Result<Grant, Refusal> {
        if facts.options.wants_account {
            return Err(Refusal::new(RefusalKind::Request, "the client asked for an account of its own"));
        }
        if facts.transport == Transport::Plaintext && !self.options.allow_plaintext {
            return Err(Refusal::new(RefusalKind::TlsRequired, "the connection is not encrypted"));
        }
        if facts.options.user == PROVISIONER {
            return self.provisioner(facts);
        }
        match &self.options.system {
            Some(system) if facts.options.user == system.user => self.system(system, facts),
            _ => self.member(facts),
        }
    }
}

#[cfg(test)]
#[path = "x509_tests.rs"]
mod tests;
