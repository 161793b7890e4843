//! The vectors of the original, the files people have, and the ones they mistype.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::lines::{parse_lines, parse_toml};
use super::table::KEYS;
use super::*;

/// Every key of our agents is known, so that one that is mistyped is told.
#[test]
fn keys_of_agents_are_known() {
    for (name, _) in crate::core::agents::SETTINGS {
        if name.ends_with(".TYPE") || name.contains("AGENT") {
            continue;
        }
        assert_eq!(known::complaint(name, "true"), None, "{name}");
        let mistyped = format!("{name}x");
        let told = known::complaint(&mistyped, "true");
        assert_eq!(told, Some(format!("unknown key {mistyped}, did you mean {name}?")));
    }
    assert_eq!(known::complaint("plugin.packages.provider", "x"), None, "of somebody's agent");
    assert_eq!(known::complaint("plugin.mine.activate_agent", "yes"), None);
    assert!(known::complaint("plugin.mine.activate_agent", "si").is_some());
}

mod files;
mod guards;
mod unused;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/go-made-rpc.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn server(text: &str) -> Config {
    Config::from_text(Role::Server, text).unwrap()
}

fn warnings(config: &Config) -> Vec<String> {
    config.warnings().iter().map(|w| w.to_string()).collect()
}

#[test]
fn durations_and_booleans_are_the_originals() {
    let vectors = vectors();
    let durations = vectors["durations"].as_array().unwrap();
    for case in durations {
        let text = case["text"].as_str().unwrap();
        assert_eq!(parse_nanoseconds(text).ok(), case["nanoseconds"].as_i64(), "{text:?}");
        let span = case["nanoseconds"].as_u64().map(Duration::from_nanos);
        assert_eq!(parse_duration(text).ok(), span, "{text:?}, where time does not run backwards");
    }
    let booleans = vectors["booleans"].as_array().unwrap();
    for case in booleans {
        let text = case["text"].as_str().unwrap();
        assert_eq!(parse_bool(text).ok(), case["value"].as_bool(), "{text:?}");
    }
    assert_eq!((durations.len(), booleans.len()), (31, 22));
    assert_eq!(parse_configured_duration("90").unwrap(), Duration::from_secs(90));
}

#[test]
fn the_table_holds_every_key_and_defaults_that_parse() {
    assert_eq!(keys().len(), 163 + 57);
    let settings = Settings::default();
    for key in keys() {
        let shown = settings.peek(key.name).unwrap().show();
        assert_eq!(shown, key.default_as_shown(), "{}", key.name);
        assert!(key.one_of.is_empty() || key.one_of.contains(&key.default), "{}", key.name);
        assert!(!key.doc.is_empty() && !key.doc.ends_with('.'), "{}", key.name);
        assert_eq!(keys().iter().filter(|other| other.name == key.name).count(), 1, "{}", key.name);
    }
}

#[test]
fn values_are_converted_as_by_the_original() {
    let config = server(
        "# comment\n\
         \n\
           identity =  n1.example.net \n\
         collectives = a, b ,c\n\
         registerinterval=60\n\
         registration_splay = No\n\
         rpcauthprovider = action_policy\n\
         libdir = /one:/two\n\
         libdir = /three\n\
         default_discovery_options = a=1\n\
         default_discovery_options = b=2, c\n\
         plugin.choria.middleware_hosts = one:4222\n\
         plugin.choria.middleware_hosts = two:4222,three:4222\n\
         plugin.choria.network.write_deadline = 1h30m\n\
         plugin.choria.network.stream.event_retention = 2w\n\
         plugin.choria.network.tls_timeout = 5\n\
         plugin.package.provider = yum # dnf\n",
    );
    assert_eq!(config.identity, "n1.example.net");
    assert_eq!(config.collectives, ["a", "b", "c"]);
    assert_eq!((config.main_collective.as_str(), config.registration_collective.as_str()), ("a", "a"));
    assert_eq!(config.registerinterval, 60);
    assert!(!config.registration_splay);
    assert_eq!(config.rpcauthprovider, "Action_policy");
    assert_eq!(config.libdir, ["/one", "/two", "/three"], "path lists add up");
    assert_eq!(config.default_discovery_options, ["a=1", "b=2, c"], "one item a line");
    assert_eq!(config.choria_middleware_hosts, ["two:4222", "three:4222"], "comma lists replace");
    assert_eq!(config.choria_network_write_deadline, Duration::from_secs(5_400));
    assert_eq!(config.choria_network_stream_event_retention, Duration::from_secs(14 * 86_400));
    assert_eq!(config.choria_network_tls_timeout, Duration::from_secs(5));
    assert_eq!(config.option("plugin.package.provider"), Some("yum # dnf"));
    assert!(config.has("registerinterval") && !config.has("ttl"));
    assert_eq!(config.ttl, 60);
    assert_eq!(warnings(&config), [""; 0]);
}

#[test]
fn what_the_original_swallows_is_told_with_its_line() {
    let config = server(
        "identity = n1\n\
         registerinterval = often\n\
         color = treu\n\
         loglevel = loud\n\
         colectives = a\n\
         plugin.choria.midleware_hosts = x\n\
         plugin.choria.whatever = x\n\
         plugin.package.provider = yum\n\
         plugin.rpcaudit.logfil = /x\n\
         plugin.packages.activate_agent = 0\n\
         securityprovider = choria\n\
         plugin.choria.adapter.x.stream.topic = y\n\
         plugin.security.file.cache = /x\n\
         nonsense\n\
         ttl =\n\
         plugin.nats.pass = secret\n\
         main_collective = other\n\
         plugin.choria.security.certname_whitelist = \\.ops$,\n",
    );
    assert_eq!(
        warnings(&config),
        [
            "configuration:14: is not `key = value`, ignored",
            "configuration:15: ttl has no value, ignored",
            "configuration:2: registerinterval: \"often\" is not an integer, ignored",
            "configuration:3: color: \"treu\" is not a boolean, write true or false (1 yes y t, 0 no n f), ignored",
            "configuration:4: loglevel: \"loud\" is not one of debug, info, warn, error, fatal, ignored",
            "configuration:5: unknown key colectives, did you mean collectives?",
            "configuration:6: unknown key plugin.choria.midleware_hosts, did you mean plugin.choria.middleware_hosts?",
            "configuration:7: unknown key plugin.choria.whatever",
            "configuration:9: unknown key plugin.rpcaudit.logfil, did you mean plugin.rpcaudit.logfile?",
            "configuration:18: plugin.choria.security.certname_whitelist has an empty item, ignored",
            "configuration:17: main_collective other is not one of the collectives",
            "configuration: this version does not act on plugin.security.file.cache (line 13)",
        ]
    );
    assert_eq!(config.choria_security_certname_whitelist, [r"\.ops$"]);
    assert_eq!(config.registerinterval, 300);
    assert!(config.color, "a mistyped boolean is not false");
    assert_eq!(config.loglevel, "info");
}

#[test]
fn toml_says_the_same_as_lines() {
    let dir = tempfile::tempdir().unwrap();
    let main = write(
        dir.path(),
        "server.toml",
        "identity = \"n1\"\n\
         registerinterval = 6_0\n\
         ttl = 0x78\n\
         collectives = [\"a\", \"b\"]\n\
         registration_splay = false\n\
         \"plugin.rpcaudit.logfile\" = \"/audit\"\n\
         [plugin.choria]\n\
         middleware_hosts = [\"x:1\", \"y:2\"]\n\
         network.write_deadline = \"3s\"\n\
         unknown_thing = 1\n\
         [plugin.rpcaudit.logfile]\n\
         mode = \"0640\"\n",
    );
    let config = Config::load(Role::Server, Some(&main), &Fixed::default()).unwrap();
    assert_eq!((config.registerinterval, config.ttl), (60, 120));
    assert!(!config.registration_splay);
    assert_eq!(config.collectives, ["a", "b"]);
    assert_eq!(config.choria_middleware_hosts, ["x:1", "y:2"]);
    assert_eq!(config.option("plugin.choria.middleware_hosts"), Some("x:1,y:2"));
    assert_eq!(config.choria_network_write_deadline, Duration::from_secs(3));
    assert_eq!((config.rpcaudit_logfile.as_str(), config.rpcaudit_logfile_mode.as_str()), ("/audit", "0640"));
    let warning = format!("{}:10: unknown key plugin.choria.unknown_thing", main.display());
    assert_eq!(warnings(&config), [warning]);
    write(dir.path(), "server.toml", "identity = \n");
    let refused = Config::load(Role::Server, Some(&main), &Fixed::default());
    assert!(matches!(refused, Err(ConfigError::NotToml { .. })));
}

#[test]
fn environment_overrides_need_no_line_in_a_file() {
    let env = Fixed::default()
        .with_var("CHORIA_SRV_DOMAIN", "example.net")
        .with_var("CHORIA_FED_COLLECTIVE", "one, two")
        .with_var("MCOLLECTIVE_NATS_USERNAME", "bob")
        .with_var("MCOLLECTIVE_NATS_PASSWORD", "secret")
        .with_var("CHORIA_REGISTRY", "~/registry")
        .with_var("MCOLLECTIVE_NATS_CREDENTIALS", "")
        .with_var("HOME", "/home/bob");
    let text = "plugin.choria.srv_domain = other\nplugin.nats.credentials = /creds\n";
    let config = Config::from_text_in(Role::Client, text, &env).unwrap();
    assert_eq!(config.choria_srv_domain, "example.net");
    assert_eq!(config.choria_federation_collectives, ["one", "two"]);
    assert_eq!((config.nats_user.as_str(), config.nats_pass.as_str()), ("bob", "secret"));
    assert_eq!(config.choria_services_registry_cache, "/home/bob/registry");
    assert_eq!(config.nats_credentials, "/creds", "an empty variable is none");
    assert_eq!(config.origin("plugin.nats.user"), Origin::Environment("MCOLLECTIVE_NATS_USERNAME"));
}

#[test]
fn identity_comes_from_where_the_original_takes_it() {
    let world = |hostname: &str, dns: Option<&str>, fqdn: Option<&str>| Fixed {
        hostname: Some(hostname.into()),
        dns: dns.map(str::to_string),
        facts: fqdn.map(|f| ("networking.fqdn".to_string(), f.to_string())).into_iter().collect(),
        ..Fixed::default()
    };
    for (env, identity) in [
        (world("a.b.c", Some("other"), Some("other")), "a.b.c"),
        (world("a.b", Some("a.b.dns"), Some("other")), "a.b.dns"),
        (world("a", Some("localhost"), Some("a.b.facter")), "a.b.facter"),
        (world("a", None, Some("a.facter")), "a.facter"),
        (world("a", None, None), "a"),
    ] {
        let config = Config::from_text_in(Role::Server, "", &env).unwrap();
        assert_eq!(config.identity, identity);
        assert!(!config.has("identity"));
    }
    let nameless = Fixed { hostname: None, ..Fixed::default() };
    assert!(matches!(Config::from_text_in(Role::Server, "", &nameless), Err(ConfigError::NoIdentity(_))));
    let wild = Config::from_text(Role::Server, "identity = *\n");
    assert!(matches!(wild, Err(ConfigError::BadIdentity(_))));
    for name in [".a", "a.", "a..b"] {
        let gap = Config::from_text(Role::Server, &format!("identity = {name}\n"));
        assert!(matches!(gap, Err(ConfigError::BadIdentity(_))), "{name}");
    }
    assert_eq!(server("plugin.security.provider = choria\n").collectives, ["choria"]);
    assert_eq!(server("").collectives, ["mcollective"]);
}

#[test]
fn nothing_switches_verification_off() {
    for role in [Role::Client, Role::Server, Role::Broker] {
        for name in ["INSECURE_YES_REALLY", "INSECURE_ANON_TLS", "INSECURE_DISABLE_TLS"] {
            let refused = Config::from_text_in(role, "", &Fixed::default().with_var(name, "true"));
            assert!(matches!(refused, Err(ConfigError::Insecure { .. })), "{role:?} {name}");
            Config::from_text_in(role, "", &Fixed::default().with_var(name, "1")).unwrap();
        }
        let refused = Config::from_text(role, "plugin.security.client_anon_tls = 1\n");
        assert!(matches!(refused, Err(ConfigError::Insecure { .. })), "{role:?}");
        let server_anon = Config::from_text(role, "plugin.security.server_anon_tls = 1\n");
        match role {
            Role::Client => assert_eq!(server_anon.unwrap().warnings().len(), 1),
            _ => assert!(matches!(server_anon, Err(ConfigError::Insecure { .. }))),
        }
    }
    for text in ["plugin.choria.network.x509_permissions = byname\n", "plugin.security.provider = fil\n"] {
        assert!(matches!(Config::from_text(Role::Broker, text), Err(ConfigError::Value { .. })), "{text}");
    }
    let slow = Config::from_text(Role::Broker, "plugin.choria.network.tls_timeout = 61\n");
    assert!(matches!(slow, Err(ConfigError::TooLong { .. })));
}

#[test]
fn explain_shows_origins_and_no_secrets() {
    let config = server(
        "plugin.nats.pass = hunter2\n\
         plugin.choria.middleware_hosts = nats://bob:hunter2@one:4222, two:4222\n\
         plugin.thing.api_token = hunter2\n\
         plugin.thing.token_file = /token\n",
    );
    let rows = config.explain(&regex::Regex::new(r"nats|middleware_hosts|thing|^ttl$").unwrap());
    let shown: Vec<_> =
        rows.iter().map(|row| format!("{} = {} ({})", row.key, row.value, row.origin)).collect();
    for line in [
        "ttl = 60 (default)",
        "plugin.nats.pass = (hidden) (configuration:1)",
        "plugin.choria.middleware_hosts = nats://(hidden)@one:4222,two:4222 (configuration:2)",
        "plugin.thing.api_token = (hidden) (configuration:3)",
        "plugin.thing.token_file = /token (configuration:4)",
    ] {
        assert!(shown.iter().any(|row| row == line), "{line} in {shown:#?}");
    }
    assert!(!format!("{config:?}{shown:?}").contains("hunter2"));
}

#[test]
fn large_files_are_refused_or_cut() {
    let dir = tempfile::tempdir().unwrap();
    let main = write(dir.path(), "server.conf", &"#".repeat(2 << 20));
    let refused = Config::load(Role::Server, Some(&main), &Fixed::default());
    assert!(matches!(refused, Err(ConfigError::Unreadable { .. })));
    let many = parse_lines(&"a = b\n".repeat(lines::MAX_LINES + 5));
    assert_eq!((many.entries.len(), many.problems.len()), (lines::MAX_LINES, 1));
    for deep in ["a=".to_string() + &"[".repeat(100_000), "[a".to_string() + &".a".repeat(100_000) + "]"] {
        let _ = parse_toml(&deep);
    }
    let unknown = server(&"plugin.choria.unknown_thing = b\n".repeat(5_000));
    assert_eq!(unknown.warnings().len(), 1_000);
}

proptest! {
    #[test]
    fn a_line_reads_back_as_written(
        key in "[a-z][a-z._]{0,30}[a-z]",
        value in "[^\\s#=\\p{C}][^\\n\\r\\p{C}\\p{Z}]{0,40}",
        around in " {0,3}",
    ) {
        let read = parse_lines(&format!("{around}{key}{around}={around}{value}{around}\n"));
        prop_assert_eq!(read.problems.len(), 0);
        prop_assert_eq!(&read.entries[0].key, &key);
        prop_assert_eq!(read.entries[0].value.text(), value);
    }

    #[test]
    fn durations_read_back_as_shown(seconds in 0u64..10_000_000, nanos in prop_oneof![Just(0u32), 0u32..1_000_000_000]) {
        let span = Duration::new(seconds, nanos);
        prop_assert_eq!(parse_configured_duration(&values::show_duration(span)).unwrap(), span);
    }
}

#[test]
fn no_text_makes_the_readers_fail() {
    bolero::check!().with_iterations(2000).with_type::<String>().for_each(|text: &String| {
        parse_lines(text);
        let _ = parse_toml(text);
        let _ = parse_nanoseconds(text);
        let _ = parse_configured_duration(text);
        let mut config = Config::from_text(Role::Client, "identity = c\n").unwrap();
        for key in ["ttl", "color", "libdir", "plugin.choria.network.write_deadline", text] {
            let _ = config.set(key, text);
        }
        let _ = Config::from_text(Role::Client, &format!("identity = c\n{text}"));
        let _ = known::complaint(text, text);
    });
}
