use serde_json::json;

use super::*;

fn defaults() -> Defaults {
    Defaults {
        configuration: BTreeMap::from([
            ("identity".into(), "{{identity}}".into()),
            ("hosts".into(), "{{brokers}}".into()),
        ]),
        action_policies: BTreeMap::from([("rpcutil.policy".into(), "policy default deny\n".into())]),
        brokers: "b1:4222,b2:4222".into(),
    }
}

fn load(name: &str, text: &str) -> Result<Template, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, text).unwrap();
    Template::load(&file, &defaults()).map_err(|e| e.to_string())
}

fn make(template: &Template, identity: &str, facts: Value) -> Result<Made, String> {
    let node = Node { identity, ssldir: "/etc/choria/ssl", facts: &facts };
    template.make(&node).map_err(|e| e.to_string())
}

fn configuration(made: Result<Made, String>) -> BTreeMap<String, String> {
    match made {
        Ok(Made::Configured(configuration, _)) => configuration,
        other => panic!("{other:?}"),
    }
}

const RULES: &str = r#"
rules:
  - match: {identity: "^db", facts.country: [mt, uk]}
    configuration:
      registerinterval: 60
      hosts: null
      place: "{{facts.os.family}}/{{ facts.a.b }}-{{ssldir}}"
  - match: {facts.os.family: "/^Red/"}
    defer: no Red Hat today
  - match: {facts.cpus: 4, facts.virtual: true}
    configuration: {brokers: "{{brokers}}"}
    action_policies: {}
  - match: {facts.list.1: b}
    configuration: {list: yes}
"#;

#[test]
fn the_first_rule_that_matches_decides() {
    let template = load("t.yaml", RULES).unwrap();
    let facts = json!({"country": "mt", "os": {"family": "RedHat"}, "a.b": 7});
    let made = configuration(make(&template, "db1", facts.clone()));
    assert_eq!(made["place"], "RedHat/7-/etc/choria/ssl");
    assert_eq!(made["registerinterval"], "60");
    assert_eq!(made["identity"], "db1");
    assert!(!made.contains_key("hosts"), "null takes a default away");
    assert_eq!(make(&template, "web1", facts), Ok(Made::Deferred("no Red Hat today".into())));
    let made = make(&template, "web1", json!({"cpus": 4, "virtual": true})).unwrap();
    let Made::Configured(configuration, policies) = made else { panic!("{made:?}") };
    assert_eq!(configuration["brokers"], "b1:4222,b2:4222");
    assert!(policies.is_empty(), "policies of a rule replace those of the default");
    let made = make(&template, "web1", json!({"list": ["a", "b"]})).unwrap();
    let Made::Configured(_, policies) = made else { panic!("{made:?}") };
    assert_eq!(policies.len(), 1);
    assert!(matches!(make(&template, "web1", json!({})), Ok(Made::Deferred(_))));
    assert!(matches!(make(&template, "web1", Value::Null), Ok(Made::Deferred(_))));
}

#[test]
fn toml_says_the_same() {
    let text = "[[rules]]\nconfiguration = {a = \"x {{identity}}\", \"plugin.b\" = true, c = 3}\n\
                [rules.match]\n\"facts.country\" = \"mt\"\n";
    let template = load("t.toml", text).unwrap();
    let made = configuration(make(&template, "n1", json!({"country": "mt"})));
    assert_eq!((&*made["a"], &*made["plugin.b"], &*made["c"]), ("x n1", "true", "3"));
}

#[test]
fn mistakes_are_found_when_it_is_read() {
    for (text, problem) in [
        ("rules: [{configuration: {a: '{{fact.x}}'}}]", "rule 1: a: there is no placeholder {{fact.x}}"),
        ("rules: [{configuration: {a: '{{identity'}}]", "rule 1: a: a {{ has no }}"),
        ("rules: [{action_policies: {x.policy: '{{who}}'}}]", "there is no placeholder {{who}}"),
        ("rules: [{match: {country: mt}}]", "cannot match country, write identity or facts.NAME"),
        ("rules: [{match: {identity: '('}}]", "\"(\" is no regular expression"),
        ("rules: [{match: {facts.x: '/(/'}}]", "is no regular expression"),
        ("rules: [{match: {facts.x: {a: 1}}}]", "a condition is a text"),
        ("rules: [{configuration: {a: [1]}}]", "configuration a is neither"),
        ("rules: [{configurations: {}}]", "configurations"),
        ("rules: []", "it has no rules"),
        ("", "template"),
        ("rules: [", "template"),
    ] {
        let error = load("t.yaml", text).unwrap_err();
        assert!(error.contains(problem), "{text}: {error}");
    }
}

#[test]
fn a_node_does_not_write_its_own_policies() {
    let text = "rules: [{action_policies: {rpcutil.policy: \"allow\\t{{facts.team}}\\t*\\t*\\t*\\n\"}}]";
    let template = load("t.yaml", text).unwrap();
    let error = make(&template, "n1", json!({"team": "x\t*\t*\t*\nallow\t*"})).unwrap_err();
    assert_eq!(
        error,
        "the template uses fact team, which on this node holds a line end or another control character"
    );
    let error = make(&template, "n1", json!({"team": ["a"]})).unwrap_err();
    assert_eq!(error, "the template uses fact team, which this node does not have");
    assert!(make(&template, "n1", json!({"team": "choria=ops.mcollective"})).is_ok());
}

#[test]
fn reading_templates_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let (yaml, toml) = (dir.path().join("t.yaml"), dir.path().join("t.toml"));
    bolero::check!().with_iterations(300).for_each(|input: &[u8]| {
        let mut text = RULES.as_bytes().to_vec();
        for change in input.chunks_exact(3) {
            let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % text.len();
            text[place] = change[2];
        }
        for file in [&yaml, &toml] {
            std::fs::write(file, &text).unwrap();
            if let Ok(template) = Template::load(file, &defaults()) {
                let _ = make(&template, "db1", json!({"country": "mt", "os": {"family": "x"}}));
            }
        }
    });
}
