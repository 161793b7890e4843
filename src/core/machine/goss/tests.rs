//! Rules, tried on this machine.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::core::machine::tests::vectors;

async fn tried(rules: &str, variables: Value, denied: &[&str]) -> Result<Report, GossError> {
    validate(Asked {
        rules: Source::Text(rules.to_owned()),
        variables,
        denied: denied.iter().map(|name| (*name).to_owned()).collect(),
        directory: Path::new("/").to_owned(),
        limit: LIMIT,
    })
    .await
}

/// Results of the original, but for times, and `successful`, which it never says.
#[tokio::test]
async fn captured_results_are_those_of_ours() {
    let captured = vectors("scout-validate.json");
    let run = captured["runs"].as_array().unwrap().iter();
    let run = run
        .clone()
        .find(|run| run["command"].as_str().unwrap().ends_with("rules.yaml -I n2.example.net --json"));
    let text = run.unwrap()["stdout"].as_str().unwrap();
    let theirs: Value = serde_json::from_str(&text[text.find("\n{").unwrap()..]).unwrap();
    let theirs = &theirs["replies"][0]["data"];
    let ours = tried(captured["files"]["rules.yaml"].as_str().unwrap(), json!({}), &[]).await.unwrap();
    let ours = Value::Object(ours.to_data());
    let names = |value: &Value| {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(names(&ours), names(theirs));
    for count in ["failures", "tests", "skipped", "success"] {
        assert_eq!(ours[count], theirs[count], "{count}");
    }
    let of = |all: &Value, id: &str| {
        let found = all["results"].as_array().unwrap().iter().find(|one| one["resource-id"] == id);
        let mut found = found.unwrap().clone();
        assert_eq!(names(&found), names(&theirs["results"][0]));
        for name in ["start-time", "end-time", "duration", "successful"] {
            found.as_object_mut().unwrap().remove(name);
        }
        found
    };
    for id in ["/nosuch", "/etc/passwd"] {
        assert_eq!(of(&ours, id), of(theirs, id));
    }
}

/// Rules by whose template, or name, nothing is left say nothing of a machine.
#[tokio::test]
async fn rules_without_a_test_are_none() {
    let template = "{{ if .Vars.web }}\nfile:\n  /etc/passwd: {exists: true}\n{{ end }}";
    for rules in ["", "# later\n", "file:\n", "file: {}\n", template] {
        let told = tried(rules, json!({}), &[]).await.unwrap_err();
        let why = "it holds no test".to_owned();
        assert_eq!(told, GossError::Invalid { place: "the rules".to_owned(), why }, "{rules}");
    }
    assert_eq!(tried(template, json!({"web": true}), &[]).await.unwrap().verdicts.len(), 1);
    assert!(tried("fiel:", json!({}), &[]).await.unwrap_err().to_string().contains("there is no type fiel"));
    // what is passed over is there
    assert_eq!(tried(template, json!({"web": true}), &["file"]).await.unwrap().verdicts.len(), 1);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty.yaml"), "").unwrap();
    let named = format!("gossfile:\n  {}/*.yaml: {{}}", dir.path().display());
    assert!(tried(&named, json!({}), &[]).await.unwrap_err().to_string().contains("it holds no test"));
}

/// Rules may take as long as whoever asks gives them.
#[tokio::test]
async fn rules_take_what_they_are_given() {
    let rules = "command:\n  sleep 20: {exit-status: 0, timeout: 30000}\n";
    let asked = |limit| Asked {
        rules: Source::Text(rules.to_owned()),
        variables: json!({}),
        denied: vec![],
        directory: Path::new("/").to_owned(),
        limit,
    };
    let limit = Duration::from_millis(100);
    assert_eq!(validate(asked(limit)).await.unwrap_err().to_string(), "the rules took more than 0.1 s");
}

/// Every type says what is so, and what is not.
#[tokio::test]
async fn every_type_looks_at_this_machine() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    std::fs::write(&file, "one\ntwo\n").unwrap();
    std::os::unix::fs::symlink("f", dir.path().join("link")).unwrap();
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let release = std::fs::read_to_string("/proc/sys/kernel/ostype").unwrap();
    let rules = format!(
        r#"
file:
  {file}:
    exists: true
    size: 8
    mode: {{match-regexp: "^06"}}
    uid: {uid}
    filetype: file
    contents: [one, "!three", "/^t.o$/"]
    md5: 2094b601daac3d68f5aed51d3c20f7cd
    sha256: {{have-len: 64}}
    sha512: {{have-len: 128}}
  link:
    path: {dir}/link
    exists: true
    linked-to: f
    filetype: symlink
user:
  root: {{exists: true, uid: "0", gid: 0, home: /root, groups: [root]}}
  nobody-at-all: {{exists: false}}
group:
  root: {{exists: true, gid: 0}}
process:
  {name}: {{running: true}}
  no-such-one: {{running: false}}
port:
  tcp:{port}: {{listening: true, ip: [127.0.0.1]}}
  udp:{port}: {{listening: false}}
addr:
  tcp://127.0.0.1:{port}: {{reachable: true}}
  tcp://127.0.0.1:1: {{reachable: false, timeout: 1000}}
command:
  greet: {{exec: "echo hello; echo no >&2; exit 3", exit-status: 3, stdout: [hello], stderr: {{contain-substring: "no"}}}}
interface:
  lo: {{exists: true, addrs: {{contain-element: 127.0.0.1/8}}, mtu: {{gt: 1000}}}}
  nosuch0: {{exists: false}}
mount:
  /proc: {{exists: true, filesystem: proc, usage: {{ge: 0}}}}
kernel-param:
  kernel.ostype: {{value: {release}}}
dns:
  localhost: {{resolvable: true, addrs: {{contain-element: {{match-regexp: "127.0.0.1|::1"}}}}, timeout: 3000}}
matching:
  numbers: {{content: [1, 2], matches: {{consist-of: [2, 1]}}}}
service:
  no-such-service: {{running: false, enabled: false}}
package:
  no-such-package: {{installed: false}}
"#,
        file = file.display(),
        dir = dir.path().display(),
        uid = rustix::process::geteuid().as_raw(),
        name = name.trim(),
        release = release.trim(),
    );
    let report = tried(&rules, json!({}), &[]).await.unwrap();
    let wrong: Vec<String> =
        report.verdicts.iter().filter(|one| one.failed()).map(|one| one.summary(true)).collect();
    // there may be no list of packages here
    let wrong: Vec<&String> = wrong.iter().filter(|line| !line.contains("has none of dpkg")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(report.verdicts.len() >= 38, "{}", report.verdicts.len());
    // one mistake each, found
    let other = rules.replace("size: 8", "size: 9").replace("exit-status: 3", "exit-status: 0");
    let report = tried(&other, json!({}), &["command"]).await.unwrap();
    assert_eq!((report.failures(), report.skipped()), (1, 3), "{}", report.summary());
    let line = report.verdicts.iter().find(|one| one.failed()).unwrap().summary(true);
    assert!(line.ends_with("size: Expected 8 to be numerically eq 9"), "{line}");
}

/// What is not there is not looked at further.
#[tokio::test]
async fn what_is_missing_has_no_more_to_tell() {
    let report =
        tried("file: {/nosuch: {exists: true, mode: '0644', size: 1}}", json!({}), &[]).await.unwrap();
    assert_eq!((report.failures(), report.skipped()), (1, 2));
    let report = tried("file: {/nosuch: {exists: false, mode: '0644'}}", json!({}), &[]).await.unwrap();
    assert_eq!((report.failures(), report.skipped()), (0, 1));
    assert_eq!(report.verdicts[1].summary(false), "File: /nosuch: mode: skipped");
}

#[tokio::test]
async fn rules_are_templates_and_name_each_other() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("more")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "goss.yaml",
        "gossfile:\n  more/*.yaml: {}\n  self: {file: goss.yaml}\nfile:\n  {{ .Vars.f }}:\n    exists: true\n",
    );
    write("more/one.yaml", "gossfile: {../goss.yaml: {}}\nfile: {/etc/group: {exists: true}}\n");
    write("more/two.yaml", "{{ if eq (toUpper .Vars.os) \"LINUX\" }}file: {/: {exists: true}}{{ end }}");
    let asked = Asked {
        rules: Source::File(dir.path().join("goss.yaml")),
        variables: variables(Source::Text("f: /etc/passwd\nos: linux\n".to_owned())).await.unwrap(),
        denied: vec![],
        directory: dir.path().to_owned(),
        limit: LIMIT,
    };
    let report = validate(asked).await.unwrap();
    let ids: Vec<&str> = report.verdicts.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["/", "/etc/group", "/etc/passwd"]);
    assert_eq!(report.failures(), 0);
}

#[tokio::test]
async fn what_is_not_here_is_refused_by_name() {
    for (rules, why) in [
        ("registry: {a: {exists: true}}", "the type registry is of Windows"),
        ("flie: {a: {exists: true}}", "there is no type flie, did you mean file?"),
        ("file: {a: {exist: true}}", "file: a: exist is not known, did you mean exists?"),
        ("file: {a: {mode: '1'}}", "file: a says nothing of exists"),
        ("file: {a: {exists: {xml: {}}}}", "file: a: exists: the matcher xml is not part of this version"),
        ("file: [a]", "file is no map of resources"),
        ("- a", "it is no map of types of resources"),
        ("file: {a: }", "file: a has no attributes"),
        ("gossfile: {/nosuch.yaml: {}}", "gossfile: /nosuch.yaml is not there"),
        ("{{ getEnv \"HOME\" }}", "getEnv"),
        ("http: {'http://a': {status: 200, proxy: b}}", "proxy is not known"),
        ("a: [", "cannot be read as YAML"),
    ] {
        let told = tried(rules, json!({}), &[]).await.unwrap_err().to_string();
        assert!(told.starts_with("the rules: ") && told.contains(why), "{rules}: {told}");
    }
}

async fn called(rules: Source, variables: Option<Source>) -> Result<Report, GossError> {
    validate_called(Called {
        rules,
        variables,
        directory: Path::new("/").to_owned(),
        denied_local: vec![],
        denied_remote: vec!["command".to_owned()],
    })
    .await
}

/// Whoever can write a file would have what is denied run as the node's user.
#[tokio::test]
async fn what_others_can_write_counts_as_theirs() {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let (rules, variables) = (dir.path().join("rules.yaml"), dir.path().join("variables.yaml"));
    let outer = dir.path().join("outer.yaml");
    let command = "command: {a: {exec: 'true', exit-status: 0}}\n";
    write(&rules, command).unwrap();
    write(&outer, format!("gossfile: {{rules.yaml: {{}}}}\n{}", command.replace("a:", "b:"))).unwrap();
    write(&variables, "{}").unwrap();
    let modes = |rules_mode, variables_mode, dir_mode| {
        for (path, mode) in [(&rules, rules_mode), (&variables, variables_mode), (&outer, 0o600)] {
            set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        set_permissions(dir.path(), Permissions::from_mode(dir_mode)).unwrap();
    };
    let file = |path: &Path| Source::File(path.to_owned());
    for (rules_mode, variables_mode, dir_mode, skipped) in [
        (0o644, 0o644, 0o755, false),
        (0o666, 0o644, 0o755, true),
        (0o664, 0o644, 0o755, true),
        (0o644, 0o666, 0o755, true),
        (0o644, 0o644, 0o1777, true),
    ] {
        modes(rules_mode, variables_mode, dir_mode);
        for named in [&rules, &outer] {
            let report = called(file(named), Some(file(&variables))).await.unwrap();
            assert_eq!(report.skipped() > 0, skipped, "{rules_mode:o} {variables_mode:o} {dir_mode:o}");
            assert_eq!(report.failures(), 0);
        }
    }
    modes(0o644, 0o644, 0o755);
    let report = called(Source::Text(command.to_owned()), None).await.unwrap();
    assert_eq!(report.skipped(), 1);
    // and what is pulled in by who may write nothing
    let pulled = Source::Text(format!("gossfile: {{{}: {{}}}}", rules.display()));
    assert_eq!(called(pulled, None).await.unwrap().skipped(), 1);
}

#[tokio::test]
async fn a_caller_has_fewer_resources_than_this_machine() {
    let rules = |count: usize| {
        let each = (0..count).map(|at| format!("  m{at}: {{content: 1, matches: 1}}\n"));
        format!("matching:\n{}", each.collect::<String>())
    };
    let told = called(Source::Text(rules(501)), None).await.unwrap_err().to_string();
    assert!(told.contains("more than 500 resources"), "{told}");
    assert_eq!(called(Source::Text(rules(500)), None).await.unwrap().failures(), 0);
    assert_eq!(tried(&rules(501), json!({}), &[]).await.unwrap().verdicts.len(), 501);
}

#[tokio::test]
async fn what_never_ends_is_named_in_vain() {
    for path in ["/proc/uptime", "/proc/version", "/dev/zero"] {
        let source = Source::File(path.into());
        assert!(matches!(called(source.clone(), None).await, Err(GossError::Read(_))), "{path}");
        let rules = Source::Text("matching: {a: {content: 1, matches: 1}}".to_owned());
        assert!(matches!(called(rules, Some(source)).await, Err(GossError::Read(_))), "{path}");
        let told = called(Source::Text(format!("gossfile: {{{path}: {{}}}}")), None).await;
        assert!(matches!(told, Err(GossError::Read(_))), "{path}");
    }
}

#[tokio::test]
async fn rules_that_cost_too_much_end() {
    let many: String = (0..20).map(|at| format!("'/x{at}\\w{{15}}/', ")).collect();
    let rules = format!("file: {{/etc/passwd: {{exists: true, contents: [{many}]}}}}");
    let told = tried(&rules, json!({}), &[]).await.unwrap_err().to_string();
    assert!(told.contains("all regular expressions together") || told.contains("took more than"), "{told}");
    // once it is too much, nothing is told of the rest either
    let bounds = Arc::new(Bounds::of(Duration::from_secs(10), 10, 1 << 20));
    let rules = Source::Text("file: {/etc/passwd: {exists: true, contents: [root]}}".to_owned());
    let rules = rules::load(&rules, json!({}), Path::new("/"), &bounds).await.unwrap();
    let told = super::tried(rules, &[], "/".into(), &bounds).await.unwrap_err();
    assert!(matches!(&told, GossError::Costly(why) if why.contains("all patterns together")), "{told}");
}

/// What is found well is kept in part, however long it is.
#[tokio::test]
async fn long_contents_are_not_carried_around() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("long");
    std::fs::write(&file, "a line\n".repeat(1 << 17)).unwrap();
    let rules = format!("file: {{{}: {{exists: true, contents: [line]}}}}", file.display());
    let report = tried(&rules, json!({}), &[]).await.unwrap();
    assert_eq!(report.failures(), 0);
    assert!(Value::Object(report.to_data()).to_string().len() < 32 << 10);
}
