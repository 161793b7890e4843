//! SRV records: how a network names its brokers in DNS.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

use super::ServerUrl;

/// Answers are kept this long at most: a reconnecting fleet must see a changed
/// zone soon, and not ask for every connection (spec 01 §17).
const CACHE: Duration = Duration::from_secs(5);

/// SRV look-ups through the machine's resolver or one given server.
#[derive(Clone)]
pub struct SrvResolver {
    resolver: TokioResolver,
}

/// DNS could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum SrvError {
    /// The machine's resolver configuration does not load.
    #[error("cannot read the resolver configuration of this machine: {0}")]
    Configuration(String),
    /// The server failed; "no such record" is not an error.
    #[error("looking up SRV records of '{name}' failed: {reason}")]
    Lookup {
        /// Name asked for.
        name: String,
        /// What the resolver said.
        reason: String,
    },
    /// The record says that there is no such service (RFC 2782: the target is
    /// the root).
    #[error("DNS says by the SRV record of '{0}' that there is no such service in this domain")]
    NoService(String),
}

impl SrvResolver {
    /// Asks the servers of /etc/resolv.conf.
    pub fn system() -> Result<SrvResolver, SrvError> {
        let builder = TokioResolver::builder_tokio().map_err(|e| SrvError::Configuration(e.to_string()))?;
        Self::build(builder)
    }

    /// Asks the DNS server at `server` only.
    pub fn with_server(server: SocketAddr) -> Result<SrvResolver, SrvError> {
        let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
        for connection in &mut name_server.connections {
            connection.port = server.port();
        }
        let config = ResolverConfig::from_parts(None, vec![], vec![name_server]);
        Self::build(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
    }

    fn build(
        mut builder: hickory_resolver::ResolverBuilder<TokioRuntimeProvider>,
    ) -> Result<SrvResolver, SrvError> {
        let options: &mut ResolverOpts = builder.options_mut();
        options.positive_max_ttl = Some(CACHE);
        options.negative_max_ttl = Some(CACHE);
        let resolver = builder.build().map_err(|e| SrvError::Configuration(e.to_string()))?;
        Ok(SrvResolver { resolver })
    }

    /// Targets of the first of `names` that has any, in priority order and,
    /// within a priority, in a random order weighted as RFC 2782 says.
    pub async fn first(&self, names: &[String]) -> Result<Vec<ServerUrl>, SrvError> {
        for name in names {
            // The trailing dot keeps search domains of the machine out of it.
            let lookup = match self.resolver.srv_lookup(format!("{}.", name.trim_end_matches('.'))).await {
                Ok(lookup) => lookup,
                Err(e) if e.is_no_records_found() || e.is_nx_domain() => continue,
                Err(e) => return Err(SrvError::Lookup { name: name.clone(), reason: e.to_string() }),
            };
            let mut records: Vec<_> = lookup
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::SRV(srv) => Some((srv.priority, srv.weight, srv.target.to_utf8(), srv.port)),
                    _ => None,
                })
                .collect();
            let offered = records.len();
            records.retain(|(_, _, target, _)| target != ".");
            if records.is_empty() && offered > 0 {
                return Err(SrvError::NoService(name.clone()));
            }
            // A weighted shuffle: larger weights tend to draw smaller keys.
            records.sort_by_cached_key(|(priority, weight, ..)| {
                let draw = -fastrand::f64().max(f64::MIN_POSITIVE).ln() / (f64::from(*weight) + 0.1);
                (*priority, (draw * 1e9) as u64)
            });
            if !records.is_empty() {
                return Ok(records.iter().map(|(_, _, host, port)| ServerUrl::nats(host, *port)).collect());
            }
        }
        Ok(vec![])
    }
}
