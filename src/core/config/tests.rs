//! The vectors of the original, the files people have, and the ones they mistype.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::lines::{parse_lines, parse_toml};
use super::table::KEYS;
use super::*;

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
    assert_eq!(keys().len(), 163 + 26);
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

/// Words in the names of keys that something is to be guarded.
const GUARDING: &[&str] = &[
    "audit",
    "auth",
    "signer",
    "token",
    "seed",
    "privileged",
    "whitelist",
    "deny",
    "denied",
    "permissions",
    "anon",
    "tls",
    "crl",
    "certificate",
    "trusted",
    "issuer",
    "signing",
    "password",
    "client_filter",
    "actionpolicy",
    "provisioning",
    "server.provision",
    "client_hosts",
    "certnames",
    "ssldir",
    "file.ca",
    "file.key",
    "choria.ca",
    "choria.key",
    "sign_replies",
    "cipher",
    "curves",
    "provider",
    "allow",
    "mandatory",
    "download",
    "enabled",
    "disabled",
];

/// Keys with such a word that guard nothing.
const HARMLESS: &[(&str, &str)] = &[
    ("plugin.security.certmanager.issuer", "of a provider that ends the start"),
    ("plugin.choria.agent_provider.mcorpc.agent_shim", "names a program"),
    ("plugin.choria.agent_provider.mcorpc.config", "names a file for it"),
    ("plugin.choria.agent_provider.mcorpc.libdir", "directories for it"),
];

#[test]
fn every_key_that_guards_something_is_marked() {
    for key in keys() {
        let speaks_of_it = GUARDING.iter().any(|word| key.name.contains(word));
        let harmless = HARMLESS.iter().any(|(name, _)| *name == key.name);
        assert!(!speaks_of_it || harmless || key.is_guard(), "{} has to be a guard, or harmless", key.name);
        assert!(!(harmless && key.is_guard()), "{}", key.name);
        // A malformed boolean is never harmless where a secret is kept.
        let lists = matches!(key.kind, Kind::NameList | Kind::HostList);
        assert!(!lists || key.is_guard(), "{}", key.name);
    }
}

#[test]
fn a_malformed_guard_ends_the_start_of_every_role() {
    let mut seen = 0;
    for key in keys().iter().filter(|key| key.is_guard()) {
        let mut bad = match key.kind {
            Kind::Bool => vec!["on", "yes please", "treu", "off", "2"],
            Kind::Int => vec!["many"],
            Kind::Duration => vec!["soon", "-1s"],
            Kind::NameList => vec!["[", r"\.ops$,*"],
            Kind::HostList => vec!["10.0.0.0/33", "10.0.0", "console.example.net", "::1/129"],
            _ if !key.one_of.is_empty() => vec!["nonsense"],
            _ => vec![],
        };
        bad.push("");
        for role in [Role::Client, Role::Server, Role::Broker] {
            for value in &bad {
                let refused = Config::from_text(role, &format!("# one\n{} = {value}\n", key.name));
                let told = refused.expect_err(key.name).to_string();
                assert!(told.starts_with(&format!("configuration:2: {}: ", key.name)), "{told}");
                // Of a list the entry that is wrong.
                let wrong = value.rsplit(',').next().unwrap_or_default();
                assert!(key.is_secret() || told.contains(wrong), "{told}");
            }
            let nothing = Config::from_text(role, &format!("{}: true\n", key.name)).expect_err(key.name);
            assert!(nothing.to_string().contains("write `key = value`"), "{nothing}");
        }
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
    // What the original takes is taken.
    for value in ["1", "yes", "TRUE", "y", "T", "0", "No", "false", "n", "F"] {
        Config::from_text(Role::Server, &format!("rpcaudit = {value}\n")).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let main = write(dir.path(), "server.toml", "rpcaudit = [[1]]\n");
    let told = Config::load(Role::Server, Some(&main), &Fixed::default()).unwrap_err().to_string();
    assert!(told.contains("server.toml:1: rpcaudit: is a list"), "{told}");
    let main = write(dir.path(), "server.conf", "identity = n1\n");
    write(dir.path(), "plugin.d/rpcaudit.cfg", "mandatory = on\n");
    let told = Config::load(Role::Server, Some(&main), &Fixed::default()).unwrap_err().to_string();
    assert!(told.contains("rpcaudit.cfg:1: plugin.rpcaudit.mandatory: \"on\" is not a boolean"), "{told}");
}

#[test]
fn every_plugin_d_file_applies_to_typed_keys() {
    let dir = tempfile::tempdir().unwrap();
    let main = write(dir.path(), "server.conf", "identity = n1\nplugin.choria.use_srv = true\n");
    write(dir.path(), "plugin.d/choria.cfg", "middleware_hosts = a:4222\nuse_srv = false\n");
    write(dir.path(), "plugin.d/security.conf", "provider = file\nfile.ca = /ca.pem\n");
    write(dir.path(), "plugin.d/package.cfg", "provider = yum\n");
    write(
        dir.path(),
        "plugin.d/scout.toml",
        "tags = \"/tags\"\n[goss]\ndenied_local_resources = [\"command\", \"file\"]\n",
    );
    write(dir.path(), "plugin.d/readme.txt", "identity = other\n");
    // A home directory above changes nothing.
    let env = Fixed::default().with_var("HOME", dir.path().to_str().unwrap());
    let config = Config::load(Role::Server, Some(&main), &env).unwrap();
    assert_eq!(config.choria_middleware_hosts, ["a:4222"]);
    assert!(!config.choria_use_srv);
    assert_eq!(config.security_provider, "file");
    assert_eq!(config.security_file_ca, "/ca.pem");
    assert_eq!(config.option("plugin.package.provider"), Some("yum"));
    assert_eq!(config.scout_tags, "/tags");
    assert_eq!(config.scout_goss_denied_local_resources, ["command", "file"]);
    assert_eq!(config.identity, "n1");
    assert_eq!(config.files().len(), 5);
    assert_eq!(config.dir(), dir.path());
    let told = warnings(&config);
    assert!(told.len() == 1 && told[0].contains("does not act on plugin.scout."), "{told:?}");
    let origin = config.origin("plugin.security.provider").to_string();
    assert!(origin.ends_with("plugin.d/security.conf:1"), "{origin}");
}

#[test]
fn clients_search_and_add_project_files() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let deep = dir.path().join("project/deep");
    fs::create_dir_all(&deep).unwrap();
    write(&home, ".mcollective", "collectives = late\n");
    write(&home, ".choriarc", "collectives = home\nlibdir = ~/lib\nttl = 90\nidentity = c1\n");
    write(dir.path(), "project/choria.conf", "collectives = project\nlibdir = /p\n");
    write(&deep, "choria.conf", "ttl = 120\n");
    let euid = System.euid();
    let env = Fixed { working_dir: Some(deep.clone()), euid, ..Fixed::default() };
    let env = env.with_var("HOME", home.to_str().unwrap());
    let config = Config::load(Role::Client, None, &env).unwrap();
    assert_eq!(config.file().unwrap(), home.join(".choriarc"));
    assert_eq!(config.collectives, ["project"]);
    assert_eq!(config.ttl, 120);
    assert_eq!(config.libdir, [format!("{}/lib", home.display()), "/p".into()]);
    assert_eq!(config.files().len(), 3);

    // One that somebody else could have laid out counts for nothing.
    use std::os::unix::fs::PermissionsExt;
    let anybodys = fs::Permissions::from_mode(0o666);
    fs::set_permissions(deep.join("choria.conf"), anybodys).unwrap();
    let wary = Config::load(Role::Client, None, &env).unwrap();
    assert_eq!((wary.ttl, wary.collectives.as_slice()), (90, ["project".to_owned()].as_slice()));
    assert!(wary.warnings().iter().any(|w| w.to_string().contains("anybody may write it")));

    let explicit = Config::load(Role::Client, Some(&home.join(".mcollective")), &env).unwrap();
    assert_eq!(explicit.file().unwrap(), home.join(".mcollective"));
    let as_server = Config::load(Role::Server, Some(&home.join(".choriarc")), &env).unwrap();
    assert_eq!(as_server.collectives, ["home"], "project files are for people's commands");
    assert!(matches!(Config::load(Role::Server, None, &env), Err(ConfigError::FileRequired("server"))));
    assert!(matches!(Config::load(Role::Broker, None, &env), Err(ConfigError::FileRequired("broker"))));
    let missing = Config::load(Role::Client, Some(&dir.path().join("none")), &env).unwrap_err();
    assert!(missing.to_string().starts_with("could not parse configuration: "), "{missing}");
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
        let _ = known::complaint(text);
    });
}

/// What is marked as not acted on is read nowhere, and all else is.
#[test]
fn settings_for_what_is_not_there_are_marked() {
    fn sources(dir: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.ends_with("core/config/table.rs") || path.to_string_lossy().contains("test") {
                continue;
            }
            match path.is_dir() {
                true => sources(&path, text),
                false => text.push_str(&std::fs::read_to_string(path).unwrap_or_default()),
            }
        }
    }
    let mut text = String::new();
    sources(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut text);
    let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let words: std::collections::HashSet<&str> =
        text.split('.').filter_map(|rest| rest.split(ends).next()).collect();
    let rows = include_str!("table.rs").lines().filter_map(|line| {
        let (field, rest) = line.trim().split_once(": ")?;
        let name = rest.split('"').nth(1)?;
        Some((field, KEYS.iter().find(|key| key.name == name)?))
    });
    let mut count = 0;
    for (field, key) in rows {
        count += 1;
        assert_eq!(words.contains(field), key.is_used(), "{} ({field})", key.name);
    }
    assert_eq!(count, KEYS.len());
}

#[test]
fn settings_for_what_is_not_there_are_told_in_one_line() {
    let config = server(
        "identity = n1\n\
         plugin.choria.machine.store = /machines\n\
         plugin.choria.submission.spool = /spool\n\
         plugin.choria.executor.enabled = true\n\
         plugin.choria.executor.spool =\n\
         plugin.scout.agent_disabled = true\n\
         plugin.choria.machine.http_port = 0\n\
         plugin.choria.stats_port = 8222\n\
         plugin.choria.network.peers = a:1\n\
         connector = nats\n\
         direct_addressing = 0\n\
         plugin.choria.use_srv_records = false\n",
    );
    assert!(
        warnings(&config).contains(
            &"configuration: this version does not act on plugin.choria.machine.store (line 2), \
          plugin.choria.submission.spool (line 3), plugin.choria.executor.enabled (line 4), \
          plugin.choria.stats_port (line 8), direct_addressing (line 11)"
                .to_owned()
        ),
        "{:?}",
        warnings(&config)
    );
    assert!(!config.choria_use_srv, "as it was called in 2018");
    let both = server("identity = n1\nplugin.choria.use_srv = true\nplugin.choria.use_srv_records = false\n");
    assert!(both.choria_use_srv);
}
