//! Keys that guard something are known as such, and a mistyped one ends the start.

use super::*;

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
