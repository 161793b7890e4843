//! Looks of checks that are built in, with properties as they are written.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::core::machine::findings::Findings;
use crate::core::machine::yaml;

fn compiled(name: &str, properties: &str) -> (Option<Native>, Vec<String>) {
    let node = yaml::read(properties).expect("YAML");
    let mut findings = Findings::default();
    let mut of = Properties::new(Some(&node), node.at, "check".to_owned(), &mut findings);
    let native = Native::compile(name, &mut of);
    of.finish(&[]);
    let told = findings.errors.iter().chain(&findings.warnings).map(ToString::to_string).collect();
    (native, told)
}

/// What a check says, with what this node has otherwise.
pub(super) async fn look(name: &str, properties: &str, own: &str) -> String {
    let (native, told) = compiled(name, properties);
    let told: Vec<String> = told.into_iter().filter(|told| !told.contains("has a user")).collect();
    assert!(told.is_empty(), "{told:?}");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("overrides.json");
    std::fs::write(&file, format!(r#"{{"m": {own}}}"#)).expect("a file");
    let setting = Setting {
        network: None,
        plugins: crate::core::machine::turn::PluginSettings::default(),
        identity: "n1".into(),
        machine: "m".to_owned(),
        watcher: "check".to_owned(),
        directory: PathBuf::from("/"),
        facts: Arc::new(|| panic!("no check needs facts")),
        data: "{}".into(),
        status: None,
        overrides: Some(file),
        denied: Arc::default(),
    };
    let answer = Arc::new(native.expect("a check")).look(setting).await;
    let Answer::Said(said) = answer else { panic!("it ran something") };
    let text = said.detail.as_str().expect("a text").to_owned();
    assert!(text.starts_with(said.outcome), "{said:?}");
    text
}

#[test]
fn what_is_wrong_with_properties_is_said() {
    for (name, properties, expected) in [
        ("disk", "{path: here}", "path has here, which does not begin with /"),
        ("disk", "{warning: much}", "warning is much, which is no limit: write the most there may be"),
        ("load", "{critical: '5:1'}", "critical is 5:1, which is no limit"),
        ("ntp", "{}", "server is required"),
        ("ntp", "{server: a, port: 70000}", "port is 70000, which is no whole number up to 65535"),
        ("certificate", "{}", "one of file and address is required"),
        ("certificate", "{file: /a, address: 'a:1'}", "one of file and address is required"),
        ("certificate", "{address: a}", "address is a, which is no HOST:PORT"),
        ("http", "{}", "url is required"),
        ("http", "{url: 'ftp://a'}", "url is no address such as https://"),
        ("http", "{url: 'http://a', status: [ok]}", "status has ok, which is no status such as 200"),
        ("http", "{url: 'http://a', matches: '('}", "matches is no regular expression"),
        (
            "http",
            "{url: 'http://a', contain: a}",
            "contain is not known and means nothing, did you mean contains?",
        ),
        ("puppet", "{warning: 1 hour}", "write a length of time such as 90s or 2h"),
    ] {
        let (_, told) = compiled(name, properties);
        assert!(told.iter().any(|told| told.contains(expected)), "{name} {properties}: {told:?}");
    }
    assert!(compiled("nosuch", "{}").0.is_none());
}

/// Each is named in the manual with its limits.
#[test]
fn all_are_in_the_manual() {
    let manual = include_str!("../../../../../../docs/scout.md");
    for name in names() {
        assert!(manual.contains(&format!("| `{name}` |")), "{name}");
    }
}
