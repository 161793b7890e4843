//! Which files there are, and which of them wins.

use super::*;

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
    assert!(missing.to_string().starts_with("cannot read "), "{missing}");
}
