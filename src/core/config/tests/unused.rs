//! Settings for what is not there are told.

use super::*;

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
    let rows = include_str!("../table.rs").lines().filter_map(|line| {
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
         plugin.machines.bucket = OTHER\n\
         plugin.machines.key = other\n\
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
            &"configuration: this version does not act on plugin.choria.executor.enabled (line 4), \
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
