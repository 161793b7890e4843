//! Every key there is, one row each: field, type, name, kind, default, role, documentation.
//!
//! The parser, `choria tool config` and the documentation are made from these
//! rows, so they cannot disagree (spec 03 appendix A, plus the keys of our own:
//! `plugin.security.crl`, `plugin.choria.network.x509_permissions`,
//! `plugin.choria.network.client_certnames`, `plugin.choria.network.service_certnames`,
//! `plugin.choria.network.federation_certnames`, `plugin.choria.network.adapter_certnames`,
//! `plugin.choria.network.handshakes_per_address`, `plugin.choria.network.connections`,
//! `plugin.choria.network.memory`, `plugin.choria.network.limits.*`,
//! `plugin.choria.network.lame_duck_duration`, `plugin.choria.network.stream.node_buckets`,
//! `plugin.choria.network.stream.node_governors`,
//! `plugin.choria.filter_timeout`, `plugin.choria.history.*`, `plugin.choria.tasks.*` and `plugin.choria.replay_file`). Optional parts of a row: the
//! environment variable that overrides it, the values it is one of, and flags:
//! `Secret` is never shown; `Unused` is read and not acted on by this version; `Guard` says that the key guards something, so that a
//! malformed value is an error: what would count instead may guard less than was
//! asked for. A test asks of every key whose name speaks of trust that it is one.

use std::time::Duration;

use super::settings::{Flag, Key, Kind, Roles, Slot, settings};

settings! {
    // Top level
    registration: Vec<String> = "registration", CommaList, "", Server, "registration plugins to run; empty disables publishing";
    registration_collective: String = "registration_collective", Text, "", Server, "collective registration data goes to; unset = main_collective";
    registerinterval: i64 = "registerinterval", Int, "300", Server, "seconds between registration publishes";
    registration_splay: bool = "registration_splay", Bool, "true", Server, "random delay up to one interval before the first publish";
    collectives: Vec<String> = "collectives", CommaList, "", All, "sub collectives to join (server) or that may be targeted (client); unset = `mcollective`, or `choria` with the choria provider";
    main_collective: String = "main_collective", Text, "", All, "default target collective; unset = first collective";
    logfile: String = "logfile", Path, "stdout", All, "log destination: a path, or `stdout`, `stderr`, `discard`";
    loglevel: String = "loglevel", Text, "info", All, "minimum level that is logged", one_of = ["debug", "info", "warn", "error", "fatal"];
    libdir: Vec<String> = "libdir", PathList, "", All, "roots searched for agents and DDLs";
    identity: String = "identity", Text, "", All, "name of this node; unset = host name when it has two dots, else its DNS name, else facter, else the host name";
    color: bool = "color", Bool, "true", Client, "coloured terminal output";
    classesfile: String = "classesfile", Path, "/opt/puppetlabs/puppet/cache/state/classes.txt", Server, "class list, one per line";
    discovery_timeout: i64 = "discovery_timeout", Int, "2", Client, "seconds to wait for discovery; also added to every request timeout";
    rpcaudit: bool = "rpcaudit", Bool, "false", Server, "write audit records for RPC requests", flags = [Guard];
    rpcauthorization: bool = "rpcauthorization", Bool, "true", Server, "authorise every RPC request", flags = [Guard];
    rpcauthprovider: String = "rpcauthprovider", Title, "action_policy", Server, "authoriser: action_policy, rego_policy, aaasvc or aaasvc_policy, compared case-insensitively", flags = [Guard];
    actionpolicy_allow_unconfigured: bool = "plugin.actionpolicy.allow_unconfigured", Bool, "false", Server, "what counts for a policy file that names no default; without a policy file everything is denied", flags = [Guard];
    actionpolicy_enable_default: bool = "plugin.actionpolicy.enable_default", Bool, "false", Server, "one policy for every agent that has none of its own", flags = [Guard];
    regopolicy_tracing: bool = "plugin.regopolicy.tracing", Bool, "false", Server, "log what Rego policies print and decide";
    actionpolicy_default_name: String = "plugin.actionpolicy.default_name", Text, "default", Server, "name of that policy: policies/NAME.policy", flags = [Guard];
    rpclimitmethod: String = "rpclimitmethod", Text, "first", Client, "how `--limit` picks nodes", one_of = ["first", "random"];
    ttl: i64 = "ttl", Int, "60", All, "seconds a request stays valid";
    default_discovery_method: String = "default_discovery_method", Text, "mc", Client, "discovery method when `--dm` is absent", one_of = ["mc", "broadcast", "puppetdb", "choria", "external", "inventory", "flatfile", "file"];
    yaml: String = "plugin.yaml", Path, "", Server, "fact files, YAML or JSON, several joined by the path separator, later wins per top level key";
    default_discovery_options: Vec<String> = "default_discovery_options", Lines, "", Client, "`k=v` for the discovery method; one per line, repeatable";
    soft_shutdown_timeout: i64 = "soft_shutdown_timeout", Int, "2", All, "seconds before a forced exit with dumps";

    // Connectivity, discovery and client
    choria_puppetserver_host: String = "plugin.choria.puppetserver_host", Text, "puppet", All, "server of tasks: a Puppet Server, or the machine of choria tasks serve; setting host or port disables SRV for it";
    choria_puppetserver_port: i64 = "plugin.choria.puppetserver_port", Int, "8140", All, "port of the server of tasks";
    choria_puppetca_host: String = "plugin.choria.puppetca_host", Text, "puppet", All, "Puppet CA host; setting host or port disables SRV for the CA", flags = [Unused];
    choria_puppetca_port: i64 = "plugin.choria.puppetca_port", Int, "8140", All, "Puppet CA port", flags = [Unused];
    choria_puppetdb_host: String = "plugin.choria.puppetdb_host", Text, "", All, "PuppetDB host; empty = SRV, then `puppet`";
    choria_puppetdb_port: i64 = "plugin.choria.puppetdb_port", Int, "8081", All, "PuppetDB port";
    choria_use_srv: bool = "plugin.choria.use_srv", Bool, "true", All, "allow SRV lookups";
    choria_srv_domain: String = "plugin.choria.srv_domain", Text, "", All, "domain for SRV lookups; empty = facter domain", env = "CHORIA_SRV_DOMAIN";
    choria_discovery_external_command: String = "plugin.choria.discovery.external.command", Path, "", Client, "external discovery command";
    choria_discovery_inventory_source: String = "plugin.choria.discovery.inventory.source", Path, "", Client, "inventory file";
    choria_discovery_broadcast_windowed_timeout: bool = "plugin.choria.discovery.broadcast.windowed_timeout", Bool, "false", Client, "sliding discovery window";
    choria_federation_collectives: Vec<String> = "plugin.choria.federation.collectives", CommaList, "", All, "federations a client talks through", env = "CHORIA_FED_COLLECTIVE";
    choria_federation_middleware_hosts: Vec<String> = "plugin.choria.federation_middleware_hosts", CommaList, "", All, "brokers used for federation; unset = SRV";
    nats_user: String = "plugin.nats.user", Text, "", All, "broker user name", env = "MCOLLECTIVE_NATS_USERNAME";
    nats_pass: String = "plugin.nats.pass", Text, "", All, "broker password", env = "MCOLLECTIVE_NATS_PASSWORD", flags = [Secret];
    nats_credentials: String = "plugin.nats.credentials", Text, "", All, "NATS credentials file", env = "MCOLLECTIVE_NATS_CREDENTIALS", flags = [Unused];
    choria_middleware_hosts: Vec<String> = "plugin.choria.middleware_hosts", CommaList, "", All, "brokers as `host:port` or URL; unset = SRV, then `puppet:4222`";
    choria_require_client_filter: bool = "plugin.choria.require_client_filter", Bool, "false", Client, "refuse to send requests without a filter", flags = [Guard];
    choria_services_registry_cache: String = "plugin.choria.services.registry.cache", Path, "", Client, "where interfaces of agents that the registry or a node gave are kept; unset = choria/interfaces in the user's cache directory", env = "CHORIA_REGISTRY";
    choria_history_enabled: bool = "plugin.choria.history.enabled", Bool, "true", Client, "keep what requests came to in the user's state directory, for `choria history`; never secrets", flags = [Guard];
    choria_history_count: i64 = "plugin.choria.history.count", Int, "100", Client, "requests that are kept";
    choria_history_age: Duration = "plugin.choria.history.age", Duration, "720h", Client, "how old requests get that are kept";
    choria_history_size: i64 = "plugin.choria.history.size", Int, "67108864", Client, "bytes of all requests that are kept";

    // Security
    security_provider: String = "plugin.security.provider", Text, "puppet", All, "where identity and trust come from; puppet and file are supported", one_of = ["puppet", "file", "pkcs11", "certmanager", "choria"], flags = [Guard];
    security_server_anon_tls: bool = "plugin.security.server_anon_tls", Bool, "false", Server, "the original's unverified TLS for servers with a token; refused here on servers and brokers", flags = [Guard];
    security_client_anon_tls: bool = "plugin.security.client_anon_tls", Bool, "false", Client, "the original's unverified TLS for clients with a remote signer; refused here", flags = [Guard];
    login_aaasvc_login_url: Vec<String> = "plugin.login.aaasvc.login.url", CommaList, "", Client, "login service URLs", flags = [Unused];
    security_cipher_suites: Vec<String> = "plugin.security.cipher_suites", CommaList, "", All, "allowed TLS 1.2 cipher suites by IANA name; unset = all that are safe", flags = [Guard];
    security_ecc_curves: Vec<String> = "plugin.security.ecc_curves", CommaList, "", All, "allowed key exchange curves: X25519, CurveP256, CurveP384, CurveP521", flags = [Guard];
    security_issuer_names: Vec<String> = "plugin.security.issuer.names", CommaList, "", All, "organisation issuers accepted", flags = [Guard, Unused];
    choria_security_server_token_file: String = "plugin.choria.security.server.token_file", Path, "", Server, "token of this server", flags = [Guard, Unused];
    choria_security_server_seed_file: String = "plugin.choria.security.server.seed_file", Path, "", Server, "seed of this server", flags = [Guard, Unused];
    choria_ssldir: String = "plugin.choria.ssldir", Path, "", All, "SSL directory; unset = asked from Puppet (root) or `~/.puppetlabs/etc/puppet/ssl`", flags = [Guard];
    choria_security_privileged_users: Vec<String> = "plugin.choria.security.privileged_users", NameList, r"\.privileged\.mcollective$,\.privileged\.choria$", All, "regexes of certificate names that may speak for any caller", flags = [Guard];
    choria_security_certname_whitelist: Vec<String> = "plugin.choria.security.certname_whitelist", NameList, r"\.mcollective$,\.choria$", All, "regexes of certificate names accepted as clients", flags = [Guard];
    security_support_legacy_certificates: bool = "plugin.security.support_legacy_certificates", Bool, "false", All, "accept certificates without SANs", flags = [Guard];
    choria_security_request_signer_seed_file: String = "plugin.choria.security.request_signer.seed_file", Path, "", Client, "client seed for the signer", flags = [Guard, Unused];
    choria_security_request_signer_token_file: String = "plugin.choria.security.request_signer.token_file", Path, "", Client, "client token for the signer", flags = [Guard, Unused];
    choria_security_request_signer_url: String = "plugin.choria.security.request_signer.url", Text, "", Client, "signer URL", flags = [Guard, Unused];
    choria_security_request_signer_service: bool = "plugin.choria.security.request_signer.service", Bool, "false", Client, "sign through the aaa_signer service agent", flags = [Guard, Unused];
    security_choria_trusted_signers: Vec<String> = "plugin.security.choria.trusted_signers", CommaList, "", All, "hex Ed25519 keys trusted to sign tokens", flags = [Guard, Unused];
    security_choria_certificate: String = "plugin.security.choria.certificate", Path, "", All, "certificate of the choria provider, optional", flags = [Guard, Unused];
    security_choria_key: String = "plugin.security.choria.key", Path, "", All, "private key of the choria provider, optional", flags = [Guard, Unused];
    security_choria_ca: String = "plugin.security.choria.ca", Path, "", All, "CA of the choria provider, optional", flags = [Guard, Unused];
    security_choria_token_file: String = "plugin.security.choria.token_file", Path, "", All, "token of the choria provider", flags = [Guard, Unused];
    security_choria_seed_file: String = "plugin.security.choria.seed_file", Path, "", All, "seed of the choria provider", flags = [Guard, Unused];
    security_choria_sign_replies: bool = "plugin.security.choria.sign_replies", Bool, "true", All, "sign replies (off makes them smaller and unverifiable)", flags = [Guard, Unused];
    security_file_certificate: String = "plugin.security.file.certificate", Path, "", All, "certificate of the file provider (PEM)", flags = [Guard];
    security_file_key: String = "plugin.security.file.key", Path, "", All, "private key of the file provider (PEM, RSA)", flags = [Guard];
    security_file_ca: String = "plugin.security.file.ca", Path, "", All, "CA certificates of the file provider (PEM)", flags = [Guard];
    security_certmanager_namespace: String = "plugin.security.certmanager.namespace", Text, "choria", All, "Kubernetes namespace", flags = [Unused];
    security_certmanager_issuer: String = "plugin.security.certmanager.issuer", Text, "", All, "cert manager issuer name", flags = [Unused];
    security_certmanager_replace: bool = "plugin.security.certmanager.replace", Bool, "true", All, "replace an existing cert manager CSR", flags = [Unused];
    security_certmanager_alt_names: Vec<String> = "plugin.security.certmanager.alt_names", CommaList, "", All, "extra names cert manager puts into the certificate", flags = [Unused];
    security_certmanager_api_version: String = "plugin.security.certmanager.api_version", Text, "v1", All, "cert manager API version", flags = [Unused];
    security_pkcs11_driver_file: String = "plugin.security.pkcs11.driver_file", Path, "", All, "PKCS11 driver", flags = [Unused];
    security_pkcs11_slot: i64 = "plugin.security.pkcs11.slot", Int, "0", All, "PKCS11 slot", flags = [Unused];
    security_crl: String = "plugin.security.crl", Path, "", All, "revocation lists (PEM, several may follow each other); unset = `crl.pem` beside the CA when that exists", flags = [Guard];

    // Server and plugins
    choria_server_provision: bool = "plugin.choria.server.provision", Bool, "false", Server, "force provisioning on or off; only consulted when present", flags = [Guard];
    choria_server_provision_allow_update: bool = "plugin.choria.server.provision.allow_update", Bool, "false", Server, "let the provisioner upgrade this program", flags = [Guard, Unused];
    choria_stats_address: String = "plugin.choria.stats_address", Text, "127.0.0.1", Broker, "listen address of the HTTP statistics endpoint";
    choria_stats_port: i64 = "plugin.choria.stats_port", Int, "0", Broker, "port of the HTTP statistics endpoint; 0 = off; servers have none";
    choria_stats_token_file: String = "plugin.choria.stats_token_file", Path, "", Broker, "file of bearer tokens, one a line, at least 16 characters each, mode 0640 or less: who shows one sees names in the statistics from other machines too; read again for each request that shows one; unset = only this machine sees names", flags = [Guard];
    choria_stats_names: String = "plugin.choria.stats_names", Text, "local", Broker, "who sees names in the statistics: local = programs on this machine, and who shows a token; token = only who shows a token, where a proxy on this machine asks for others and does not say so", one_of = ["local", "token"], flags = [Guard];
    choria_stats_hosts: Vec<String> = "plugin.choria.stats_hosts", CommaList, "", Broker, "names of this machine by which programs on it may ask for names in the statistics, beside localhost and addresses", flags = [Guard];
    choria_legacy_lifecycle_format: bool = "plugin.choria.legacy_lifecycle_format", Bool, "false", Server, "lifecycle events in the pre-CloudEvents format";
    choria_registration_file_content_data: String = "plugin.choria.registration.file_content.data", Text, "", Server, "file to publish";
    choria_registration_file_content_target: String = "plugin.choria.registration.file_content.target", Text, "", Server, "subject file content is published to";
    choria_registration_file_content_compression: bool = "plugin.choria.registration.file_content.compression", Bool, "true", Server, "gzip file content registration data";
    choria_registration_inventory_content_compression: bool = "plugin.choria.registration.inventory_content.compression", Bool, "true", Server, "gzip inventory registration data";
    choria_registration_inventory_content_target: String = "plugin.choria.registration.inventory_content.target", Text, "", Server, "subject inventory data is published to";
    choria_registration_size_trigger: i64 = "plugin.choria.registration.size_trigger", Int, "0", Server, "publish early when the size changes by more than this many bytes; 0 = off";
    choria_registration_size_interval: i64 = "plugin.choria.registration.size_interval", Int, "30", Server, "seconds between checks of the size of registration data";
    choria_agent_provider_mcorpc_agent_shim: String = "plugin.choria.agent_provider.mcorpc.agent_shim", Text, "", Server, "program that runs Ruby agents";
    choria_agent_provider_mcorpc_config: String = "plugin.choria.agent_provider.mcorpc.config", Text, "", Server, "configuration file handed to the program that runs Ruby agents";
    choria_agent_provider_mcorpc_libdir: Vec<String> = "plugin.choria.agent_provider.mcorpc.libdir", PathList, "", Server, "library directories whose `mcollective/agent` holds external and Ruby agents";
    choria_agent_provider_mcorpc_memory: i64 = "plugin.choria.agent_provider.mcorpc.memory", Int, "2048", Server, "megabytes of data that each process of an external or Ruby agent, or of a data plugin, may have; what needs more fails; 0 = no limit", flags = [Guard];
    choria_machine_store: String = "plugin.choria.machine.store", Path, "", Server, "directory of autonomous agents, each a directory with a machine.yaml; unset = none, and then they cost nothing";
    choria_machine_signing_key: String = "plugin.choria.machine.signing_key", Text, "", Server, "public key for signed machine data, overrides the build", flags = [Guard];
    choria_machine_http_port: i64 = "plugin.choria.machine.http_port", Int, "0", Server, "HTTP port for switches and metrics of autonomous agents, which asks nobody who they are; 0 = off";
    choria_machine_http_listen: String = "plugin.choria.machine.http_listen", Text, "127.0.0.1", Server, "address of this machine that `plugin.choria.machine.http_port` is on; 0.0.0.0 or :: = all, as the original";
    choria_status_file_path: String = "plugin.choria.status_file_path", Path, "", Server, "server status file";
    choria_status_update_interval: i64 = "plugin.choria.status_update_interval", Int, "30", Server, "seconds between updates of the status file";
    choria_filter_timeout: Duration = "plugin.choria.filter_timeout", Duration, "250ms", Server, "longest the filter of one request is evaluated; what takes longer does not match and is logged with its caller", flags = [Guard];
    choria_replay_file: String = "plugin.choria.replay_file", Path, "", Server, "remembers over a restart until when the requests of each caller ran; unset = `plugin.choria.status_file_path` with `.replay` added, and without either requests dated more than two seconds ahead are refused";
    choria_requests_enabled: bool = "plugin.choria.requests.enabled", Bool, "false", Server, "run requests that were made while this node was away (`choria rpc --until`), where the broker keeps them", flags = [Guard];
    choria_requests_file: String = "plugin.choria.requests.file", Path, "", Server, "remembers which requests ran here that may still wait for this node; unset = `plugin.choria.status_file_path` with `.requests` added, and without either no request that waited is run";
    choria_requests_max_age: Duration = "plugin.choria.requests.max_age", Duration, "168h", Server, "longest a request may have waited for this node that still runs", flags = [Guard];
    choria_requests_interval: Duration = "plugin.choria.requests.interval", Duration, "10m", Server, "how often it is looked for requests that wait for this node, beside when it connects; at least 1s";
    choria_jobs_dir: String = "plugin.choria.jobs_dir", Path, "", Server, "keeps for seven days what became of requests that outlive their caller's patience, such as upgrades of packages; unset = `plugin.choria.status_file_path` with `.jobs` added, and without either /var/lib/choria/jobs";
    choria_tasks_cache_dir: String = "plugin.choria.tasks.cache_dir", Path, "", Server, "files of tasks by their hash; empty = /opt/puppetlabs/mcollective/tasks-cache, below ~/.puppetlabs where not root";
    choria_tasks_spool_dir: String = "plugin.choria.tasks.spool_dir", Path, "", Server, "a directory for every run of a task; empty = /opt/puppetlabs/mcollective/tasks-spool, below ~/.puppetlabs where not root";
    choria_tasks_spool_max_age: Duration = "plugin.choria.tasks.spool_max_age", Duration, "720h", Server, "how long after its end a run is kept, and a file that no run used; 0 = for ever";
    choria_tasks_wrapper_path: String = "plugin.choria.tasks.wrapper_path", Path, "", Server, "runner of tasks, such as Puppet's task_wrapper; empty = this program";
    choria_tasks_own_status_only: bool = "plugin.choria.tasks.own_status_only", Bool, "true", Server, "tell what became of a run, and end it, for who asked for it only", flags = [Guard];
    choria_tasks_authorize_tasks: bool = "plugin.choria.tasks.authorize_tasks", Bool, "true", Server, "ask the policy for the name of a task, too, as an action of bolt_tasks", flags = [Guard];
    choria_tasks_signing_key: Vec<String> = "plugin.choria.tasks.signing_key", CommaList, "", Server, "public keys, hex or files with them, one of which has to have signed the files of a task; empty = none has to", flags = [Guard];
    choria_tasks_legacy_input: bool = "plugin.choria.tasks.legacy_input", Bool, "false", Server, "hand inputs on as the original does: lists and hashes as Ruby shows them, without _task and _installdir";
    choria_prometheus_textfile_directory: String = "plugin.choria.prometheus_textfile_directory", Path, "", Server, "node exporter textfile directory";
    scout_overrides: String = "plugin.scout.overrides", Path, "", Server, "overrides of checks, JSON: for each machine what {{ o \"NAME\" DEFAULT }} in its plugin stands for";
    scout_tags: String = "plugin.scout.tags", Path, "", Server, "tags file", flags = [Unused];
    scout_agent_disabled: bool = "plugin.scout.agent_disabled", Bool, "false", Server, "do not host the scout agent, which is there where machines are", flags = [Guard];
    scout_goss_denied_local_resources: Vec<String> = "plugin.scout.goss.denied_local_resources", CommaList, "", Server, "types of goss resources that rules of this machine may not look at", flags = [Guard];
    scout_goss_denied_remote_resources: Vec<String> = "plugin.scout.goss.denied_remote_resources", CommaList, "command", Server, "types of goss resources that rules or variables of a caller may not look at", flags = [Guard];
    choria_services_registry_store: String = "plugin.choria.services.registry.store", Path, "", Server, "directory whose `choria/agent` and `mcollective/agent` hold interfaces that this node gives to clients that lack them; set = the node offers the registry service";
    choria_submission_spool: String = "plugin.choria.submission.spool", Path, "", Server, "directory of messages that programs of this machine submit, which the server publishes; unset = none";
    choria_submission_max_spool_size: i64 = "plugin.choria.submission.max_spool_size", Int, "500", Server, "messages the submission spool holds for each priority";
    rpcaudit_logfile: String = "plugin.rpcaudit.logfile", Path, "", Server, "audit log", flags = [Guard];
    rpcaudit_logfile_group: String = "plugin.rpcaudit.logfile.group", Text, "", Server, "group the audit log is given; unset = unchanged", flags = [Guard];
    rpcaudit_chain: String = "plugin.rpcaudit.chain", Path, "", Server, "file beside the audit log that shows whether it is as it was written, signed by the node's key; unset = none", flags = [Guard];
    rpcaudit_mandatory: bool = "plugin.rpcaudit.mandatory", Bool, "false", Server, "refuse requests whose audit record cannot be written; by default they run and the loss is logged", flags = [Guard];
    rpcaudit_logfile_mode: String = "plugin.rpcaudit.logfile.mode", Text, "0600", Server, "mode of a new audit log; a leading 0 means octal, without one it is decimal as in the original", flags = [Guard];
    choria_executor_enabled: bool = "plugin.choria.executor.enabled", Bool, "false", Server, "enable the executor agent", flags = [Guard, Unused];
    choria_executor_spool: String = "plugin.choria.executor.spool", Path, "", Server, "executor state directory", flags = [Unused];
    machines_download: bool = "plugin.machines.download", Bool, "false", Server, "install autonomous agents at run time", flags = [Guard];
    machines_bucket: String = "plugin.machines.bucket", Text, "CHORIA_PLUGINS", Server, "KV bucket with the specification";
    machines_key: String = "plugin.machines.key", Text, "plugins", Server, "key of the specification in its bucket";
    machines_purge: bool = "plugin.machines.purge", Bool, "true", Server, "remove agents installed otherwise";
    machines_poll_interval: String = "plugin.machines.poll_interval", Text, "1m", Server, "how often to read the bucket of autonomous agents";
    machines_check_interval: String = "plugin.machines.check_interval", Text, "30s", Server, "how often to verify installed agents";
    machines_signing_key: String = "plugin.machines.signing_key", Text, "", Server, "public key that signs the specification of autonomous agents", flags = [Guard];

    // Broker
    choria_federation_cluster: String = "plugin.choria.federation.cluster", Text, "mcollective", Broker, "name of the cluster a federation broker serves";
    choria_network_client_hosts: Vec<String> = "plugin.choria.network.client_hosts", HostList, "", Broker, "CIDRs allowed to act as clients", flags = [Guard];
    choria_network_public_url: String = "plugin.choria.network.public_url", Text, "", Broker, "`name:port` advertised to clients, also added as a certificate alt name";
    choria_network_client_port: i64 = "plugin.choria.network.client_port", Int, "4222", Broker, "client listen port";
    choria_network_client_tls_force_required: bool = "plugin.choria.network.client_tls_force_required", Bool, "false", Broker, "require TLS of clients even in builds without TLS", flags = [Guard, Unused];
    choria_network_client_signer_cert: Vec<String> = "plugin.choria.network.client_signer_cert", CommaList, "", Broker, "certificate files or hex Ed25519 keys that sign client tokens", flags = [Guard, Unused];
    choria_network_deny_server_connections: bool = "plugin.choria.network.deny_server_connections", Bool, "false", Broker, "refuse server connections", flags = [Guard];
    choria_network_stream_executor_retention: Duration = "plugin.choria.network.stream.executor_retention", Duration, "24h", Broker, "how long executor events are kept; 0 = no stream";
    choria_network_stream_executor_replicas: i64 = "plugin.choria.network.stream.executor_replicas", Int, "-1", Broker, "replicas of the executor stream; -1 = peer count";
    choria_network_stream_event_retention: Duration = "plugin.choria.network.stream.event_retention", Duration, "24h", Broker, "how long lifecycle events are kept; 0 = no stream";
    choria_network_stream_event_replicas: i64 = "plugin.choria.network.stream.event_replicas", Int, "-1", Broker, "replicas of the lifecycle stream; -1 = peer count";
    choria_network_gateway_name: String = "plugin.choria.network.gateway_name", Text, "CHORIA", Broker, "super cluster name";
    choria_network_gateway_port: i64 = "plugin.choria.network.gateway_port", Int, "0", Broker, "super cluster port; 0 = off", flags = [Unused];
    choria_network_gateway_remotes: Vec<String> = "plugin.choria.network.gateway_remotes", CommaList, "", Broker, "names of remote clusters", flags = [Unused];
    choria_network_stream_leader_election_replicas: i64 = "plugin.choria.network.stream.leader_election_replicas", Int, "-1", Broker, "replicas of the election bucket; -1 = peer count";
    choria_network_stream_leader_election_ttl: Duration = "plugin.choria.network.stream.leader_election_ttl", Duration, "1m", Broker, "election lease time";
    choria_network_leafnode_port: i64 = "plugin.choria.network.leafnode_port", Int, "0", Broker, "leafnode port; 0 = off", flags = [Unused];
    choria_network_leafnode_remotes: Vec<String> = "plugin.choria.network.leafnode_remotes", CommaList, "", Broker, "names of hubs this broker is a leaf of, each with keys `plugin.choria.network.leafnode_remote.NAME.`: `url` (host:port, several with commas), `account`, `credentials`, `tls.cert`, `tls.key`, `tls.ca`, `tls.disable`";
    choria_network_listen_address: String = "plugin.choria.network.listen_address", Text, "::", Broker, "listen address";
    choria_network_stream_machine_retention: Duration = "plugin.choria.network.stream.machine_retention", Duration, "24h", Broker, "how long autonomous agent events are kept; 0 = no stream";
    choria_network_stream_machine_replicas: i64 = "plugin.choria.network.stream.machine_replicas", Int, "-1", Broker, "replicas of the autonomous agent stream; -1 = peer count";
    choria_network_nats_server: String = "plugin.choria.network.nats_server", Path, "", Broker, "the nats-server (2.10 or newer) that joins brokers; empty = found in PATH";
    choria_network_mapping_names: Vec<String> = "plugin.choria.network.mapping.names", CommaList, "", Broker, "names of subject mappings", flags = [Unused];
    choria_network_peer_password: String = "plugin.choria.network.peer_password", Text, "", Broker, "cluster route password", flags = [Secret, Guard, Unused];
    choria_network_peer_port: i64 = "plugin.choria.network.peer_port", Int, "0", Broker, "port where the engines of other brokers connect; 0 = 5222 where there are peers";
    choria_network_peer_tls: bool = "plugin.choria.network.peer_tls", Bool, "true", Broker, "false where brokers of the original are peers, which speak clear text to each other: whoever reaches peer_port is then one of them", flags = [Guard];
    choria_network_peer_user: String = "plugin.choria.network.peer_user", Text, "", Broker, "cluster route user", flags = [Unused];
    choria_network_peers: Vec<String> = "plugin.choria.network.peers", CommaList, "", Broker, "brokers that are one, this one among them: names of machines, with `:port` where it is another than peer_port; where only peer_port is set, SRV `_mcollective-broker._tcp` says which";
    choria_network_pprof_port: i64 = "plugin.choria.network.pprof_port", Int, "0", Broker, "Go profiling port; accepted and not used here", flags = [Unused];
    choria_network_provisioning_client_password: String = "plugin.choria.network.provisioning.client_password", Text, "", Broker, "password of the provisioner; enables the provisioning account", flags = [Secret, Guard];
    choria_network_provisioning_provisioner_without_token: bool = "plugin.choria.network.provisioning.provisioner_without_token", Bool, "false", Broker, "let a provisioner in by user and password over TLS only", flags = [Guard, Unused];
    choria_network_provisioning_signer_cert: String = "plugin.choria.network.provisioning.signer_cert", Path, "", Broker, "public key or certificate that signs provisioning tokens; enables the provisioning account", flags = [Guard];
    choria_network_server_signer_cert: Vec<String> = "plugin.choria.network.server_signer_cert", CommaList, "", Broker, "certificate files or hex keys that sign server tokens", flags = [Guard, Unused];
    choria_network_stream_advisory_retention: Duration = "plugin.choria.network.stream.advisory_retention", Duration, "168h", Broker, "how long stream advisories are kept; 0 = no stream";
    choria_network_stream_advisory_replicas: i64 = "plugin.choria.network.stream.advisory_replicas", Int, "-1", Broker, "replicas of the advisory stream; -1 = peer count";
    choria_network_stream_event_payload: String = "plugin.choria.network.stream.event_payload", Text, "64K", Broker, "largest event of nodes' lives and machines that the broker takes and streams keep", flags = [Guard];
    choria_network_stream_event_size: String = "plugin.choria.network.stream.event_size", Text, "256M", Broker, "bytes of each of the streams of events, machines, advisories and executors, the oldest go first; a 32nd of the file system of the store at most", flags = [Guard];
    choria_network_stream_max_consumers: i64 = "plugin.choria.network.stream.max_consumers", Int, "4096", Broker, "consumers of one stream, whoever makes them", flags = [Guard];
    choria_network_stream_manage_streams: bool = "plugin.choria.network.stream.manage_streams", Bool, "true", Broker, "create and maintain the standard streams";
    choria_network_stream_requests: bool = "plugin.choria.network.stream.requests", Bool, "false", Broker, "keep requests for absent nodes (`choria rpc --until`); needs a store and x509_permissions = by-name", flags = [Guard];
    choria_network_stream_request_retention: Duration = "plugin.choria.network.stream.request_retention", Duration, "744h", Broker, "how long requests for absent nodes are kept, and what became of them";
    choria_network_stream_request_replicas: i64 = "plugin.choria.network.stream.request_replicas", Int, "-1", Broker, "replicas of the stream of requests for absent nodes; -1 = peer count";
    choria_network_stream_store: String = "plugin.choria.network.stream.store", Path, "", Broker, "directory of the stream store; setting it enables streams";
    choria_network_stream_node_buckets: Vec<String> = "plugin.choria.network.stream.node_buckets", CommaList, "", Broker, "buckets that every node may read where x509_permissions is by-name", flags = [Guard];
    choria_network_stream_node_governors: Vec<String> = "plugin.choria.network.stream.node_governors", CommaList, "", Broker, "governors that every node may take slots of where x509_permissions is by-name; a stolen node may free slots of others", flags = [Guard];
    choria_network_system_password: String = "plugin.choria.network.system.password", Text, "", Broker, "system account password", flags = [Secret, Guard];
    choria_network_system_user: String = "plugin.choria.network.system.user", Text, "", Broker, "system account user";
    choria_network_tls_timeout: Duration = "plugin.choria.network.tls_timeout", Duration, "2s", Broker, "broker TLS handshake limit, at most 60 s", flags = [Guard];
    choria_network_auth_timeout: Duration = "plugin.choria.network.auth_timeout", Duration, "2s", Broker, "broker authentication limit, at most 60 s", flags = [Guard];
    choria_network_connect_timeout: Duration = "plugin.choria.network.connect_timeout", Duration, "2s", All, "client connect limit, at most 120 s";
    choria_network_connect_limit: Duration = "plugin.choria.network.connect_limit", Duration, "10s", Client, "how long a client tries to connect before it gives up; a broker that refuses its certificate ends it at once";
    choria_network_websocket_advertise: String = "plugin.choria.network.websocket_advertise", Text, "", Broker, "advertised websocket URL", flags = [Unused];
    choria_network_websocket_port: i64 = "plugin.choria.network.websocket_port", Int, "0", Broker, "websocket port; 0 = off", flags = [Unused];
    choria_network_write_deadline: Duration = "plugin.choria.network.write_deadline", Duration, "10s", Broker, "slow consumer limit";
    choria_network_soft_shutdown_timeout: i64 = "plugin.choria.network.soft_shutdown_timeout", Int, "60", Broker, "broker shutdown grace in seconds", flags = [Unused];
    choria_network_handshakes_per_address: i64 = "plugin.choria.network.handshakes_per_address", Int, "384", Broker, "logins under way from one address (IPv6: one /64 network); eight times as many wait, more are closed", flags = [Guard];
    choria_network_connections: i64 = "plugin.choria.network.connections", Int, "0", Broker, "connections at a time of all peers together; each takes a file descriptor; 0 = as compiled in, see choria buildinfo", flags = [Guard];
    choria_network_memory: String = "plugin.choria.network.memory", Text, "512M", Broker, "memory for everything the broker holds for its peers: messages that wait, messages begun, subscriptions; above it whoever holds the most is cut", flags = [Guard];
    choria_network_limits_node: String = "plugin.choria.network.limits.node", Text, "connections=64,subscriptions=4000,memory=32M,consumers=600", Broker, "what one node may have: connections, subscriptions of each, memory of all, consumers of streams made in ten minutes; what is not named keeps its default", flags = [Guard];
    choria_network_limits_waiting: String = "plugin.choria.network.limits.waiting", Text, "connections=4,subscriptions=64,memory=4M", Broker, "the same of a node that waits to be provisioned; all of them together leave a quarter of the connections and three quarters of the memory to others", flags = [Guard];
    choria_network_limits_client: String = "plugin.choria.network.limits.client", Text, "connections=10000,subscriptions=50000,memory=128M,consumers=2000", Broker, "the same of a client, and of every certificate where x509_permissions is open", flags = [Guard];
    choria_network_limits_hub: String = "plugin.choria.network.limits.hub", Text, "connections=4,subscriptions=500000,memory=384M", Broker, "the same of a hub this broker is a leaf of, whose subscriptions are the subjects it wants", flags = [Guard];
    choria_network_limits_service: String = "plugin.choria.network.limits.service", Text, "connections=10000,subscriptions=200000,memory=256M,consumers=6000", Broker, "the same of a provisioner and of the system user", flags = [Guard];
    choria_network_lame_duck_duration: Duration = "plugin.choria.network.lame_duck_duration", Duration, "10s", Broker, "time over which a broker that ends closes its connections, so that a fleet does not come back all at once; 0 = at once";
    choria_broker_network: bool = "plugin.choria.broker_network", Bool, "false", Broker, "run the network broker";
    choria_broker_federation: bool = "plugin.choria.broker_federation", Bool, "false", Broker, "run the federation broker";
    choria_adapters: Vec<String> = "plugin.choria.adapters", CommaList, "", Broker, "names of data adapters";
    choria_network_x509_permissions: String = "plugin.choria.network.x509_permissions", Text, "open", Broker, "what certificate connections may say: open = every certificate of the CA is a client (the original), by-name = only names on the client lists are", one_of = ["open", "by-name"], flags = [Guard];
    choria_network_service_certnames: Vec<String> = "plugin.choria.network.service_certnames", NameList, "", Broker, "regexes of certificate names of nodes that may answer for services such as choria_registry under by-name; unset = none", flags = [Guard];
    choria_network_federation_certnames: Vec<String> = "plugin.choria.network.federation_certnames", NameList, "", Broker, "regexes of certificate names of federation brokers under by-name, which carry requests and answers; a broker that is one itself lets itself in; unset = none", flags = [Guard];
    choria_network_adapter_certnames: Vec<String> = "plugin.choria.network.adapter_certnames", NameList, "", Broker, "regexes of certificate names of data adapters in other processes under by-name, which hear registration data; unset = none", flags = [Guard];
    choria_network_adapter_subjects: Vec<String> = "plugin.choria.network.adapter_subjects", CommaList, "", Broker, "subjects that those adapters may hear and publish beside, such as js.in.>", flags = [Guard];
    choria_network_client_certnames: Vec<String> = "plugin.choria.network.client_certnames", NameList, "", Broker, "regexes of certificate names that are clients under by-name; unset = `plugin.choria.security.certname_whitelist`", flags = [Guard];
}

impl Default for Settings {
    fn default() -> Self {
        let mut settings = Settings::unset();
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            if let Some(slot) = settings.slot(key.name) {
                // A default that does not parse is caught by a test of the table.
                let _ = key.assign(slot, &super::values::Raw::Text(key.default.into()), None);
            }
        }
        settings
    }
}

impl std::fmt::Debug for Settings {
    /// Only what differs from the defaults, secrets redacted: settings end up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_map();
        for key in KEYS {
            let value = self.peek(key.name).map(|slot| slot.show()).unwrap_or_default();
            if !value.eq_ignore_ascii_case(key.default) {
                out.entry(&key.name, &super::explain::redacted(key.name, key.is_secret(), &value));
            }
        }
        out.finish()
    }
}
