//! Files of Puppet 7.23 as Debian 12 has it.

use std::fs;

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::settings::{Paths, read};
use super::state::{State, disable, enable, human};
use super::{resource, run, summary};
use crate::core::agents::Call;
use crate::core::agents::system::Outputs;
use crate::core::config::{Config, Role};
use crate::core::ddl;

const SUMMARY: &str = "---\nversion:\n  config: 1795948985\n  puppet: 7.23.0\nresources:\n  changed: 1\n  \
    corrective_change: 2\n  failed: 0\n  out_of_sync: 1\n  total: 8\ntime:\n  config_retrieval: 0.187770841\n  \
    total: 0.116076934\n  last_run: 1795948985\nchanges:\n  total: 1\nevents:\n  failure: 0\n  total: 1\n";
const REPORT: &str = "--- !ruby/object:Puppet::Transaction::Report\nhost: vm\nlogs:\n- level: notice\n  message: \
    Applied catalog in 0.12 seconds\n  source: Puppet\n  tags:\n  - notice\n  time: \
    '2026-11-29T10:43:05.282740761+00:00'\n  file:\n- level: :err\n  message: |\n    two\n    lines\n  source: X\n  \
    time: '2026-11-29T10:43:05.282740761+00:00'\nmetrics:\n  resources:\n    name: resources\n";

fn paths(dir: &TempDir) -> Paths {
    let at = |name: &str| dir.path().join(name);
    Paths {
        disabled: at("disabled"),
        applying: at("applying"),
        daemon: at("daemon"),
        summary: at("summary"),
        report: at("report"),
        resources: at("resources"),
        config: at("puppet.conf"),
    }
}

fn call(action: &str, data: Value) -> Call {
    let Value::Object(data) = data else { panic!("an object") };
    Call {
        agent: "puppet".into(),
        action: action.into(),
        data,
        request_id: "1".into(),
        sender: "n1".into(),
        caller: "choria=alice".into(),
        collective: "mcollective".into(),
        ttl: 60,
        time: 0,
    }
}

fn config(lines: &[(&str, &str)]) -> Config {
    let mut config = Config::from_text(Role::Server, "").unwrap();
    for (key, value) in lines {
        config.set(key, value).unwrap();
    }
    config
}

#[test]
fn puppet_says_where_its_files_are() {
    let said = "agent_catalog_run_lockfile = /s/run.lock\nagent_disabled_lockfile = /s/disabled.lock\n\
                config = /etc/puppet/puppet.conf\nlastrunfile = /p/summary.yaml\nlastrunreport = /s/report.yaml\n\
                pidfile = /run/puppet/agent.pid\nresourcefile = /s/resources.txt\n";
    let paths = read(said).unwrap();
    assert_eq!(paths.disabled.to_str(), Some("/s/disabled.lock"));
    assert_eq!(paths.config.to_str(), Some("/etc/puppet/puppet.conf"));
    assert!(read("pidfile = agent.pid\n").is_none() && read("").is_none());
}

#[test]
fn what_puppet_is_doing() {
    let dir = TempDir::new().unwrap();
    let paths = paths(&dir);
    assert_eq!(State::now(&paths).word(), "stopped");
    let mut sleeper = std::process::Command::new("sleep");
    std::os::unix::process::CommandExt::arg0(&mut sleeper, "puppet agent");
    let mut sleeper = sleeper.arg("600").spawn().unwrap();
    // before it is another program its words are those of this one
    while !fs::read(format!("/proc/{}/cmdline", sleeper.id())).unwrap().starts_with(b"puppet") {
        std::thread::yield_now();
    }
    let me = sleeper.id().to_string();
    fs::write(&paths.daemon, &me).unwrap();
    assert!(State::now(&paths).idling());
    fs::write(&paths.applying, "").unwrap();
    assert_eq!(State::now(&paths).word(), "idling");
    fs::write(&paths.applying, format!("{me}\n")).unwrap();
    assert_eq!(State::now(&paths).word(), "applying a catalog");
    disable(&paths, "why \"so\"").unwrap();
    let state = State::now(&paths);
    assert_eq!((state.word(), state.disabled.as_deref()), ("disabled", Some("why \"so\"")));
    fs::write(&paths.disabled, "garbage").unwrap();
    assert_eq!(State::now(&paths).disabled.as_deref(), Some(""));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    // numbers that are nobody's, mean all processes, or are another program's by now
    let another = std::process::id().to_string();
    for bad in ["0", "-1", "1", "x", "99999999", &another] {
        fs::write(&paths.daemon, bad).unwrap();
        assert!(State::now(&paths).daemon.is_none(), "{bad}");
    }
}

/// Where others may write to Puppet's directory.
#[test]
fn links_of_others_lead_nowhere() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("not root: links of others were NOT tried");
    }
    let dir = TempDir::new().unwrap();
    let paths = paths(&dir);
    let secret = dir.path().join("secret");
    fs::write(&secret, SUMMARY).unwrap();
    for link in [&paths.summary, &paths.disabled] {
        std::os::unix::fs::symlink(&secret, link).unwrap();
    }
    assert_eq!(summary::last_run(&paths), 1_795_948_985, "our own");
    for link in [&paths.summary, &paths.disabled] {
        std::os::unix::fs::lchown(link, Some(65534), None).unwrap();
    }
    assert_eq!(summary::last_run(&paths), 0);
    assert_eq!(State::now(&paths).disabled.as_deref(), Some(""), "something is there");
    assert!(disable(&paths, "x").unwrap_err().to_string().contains("is there, and no lock"));
    enable(&paths).unwrap();
    disable(&paths, "x").unwrap();
    assert_eq!(State::now(&paths).disabled.as_deref(), Some("x"));
    assert_eq!(fs::read_to_string(secret).unwrap(), SUMMARY);
}

#[test]
fn times_as_people_say_them() {
    for (seconds, text) in [
        (0, "00 seconds"),
        (61, "1 minutes 01 seconds"),
        (380, "6 minutes 20 seconds"),
        (3600, "1 hours 0 minutes 00 seconds"),
        (90_000, "1 day 1 hours 0 minutes 00 seconds"),
        (200_000, "2 days 7 hours 33 minutes 20 seconds"),
    ] {
        assert_eq!(human(seconds), text);
    }
}

#[test]
fn what_the_last_run_did() {
    let dir = TempDir::new().unwrap();
    let paths = paths(&dir);
    let call = call("last_run_summary", json!({}));
    let outputs = || Outputs::of(ddl::builtin("puppet").unwrap(), &call);
    let at = Timestamp::from_second(1_795_949_000).unwrap();
    let data = summary::tell(&paths, true, at, outputs()).data;
    assert_eq!(
        (&data["total_resources"], &data["lastrun"], &data["logs"]),
        (&json!(0), &json!(0), &json!([]))
    );
    assert_eq!(data["config_version"], "unknown");
    fs::write(&paths.summary, SUMMARY).unwrap();
    fs::write(&paths.report, REPORT).unwrap();
    fs::write(&paths.resources, "file[/etc/motd]\nfile[/etc/hosts]\nmy::type[x]\n").unwrap();
    let data = summary::tell(&paths, true, at, outputs()).data;
    assert_eq!((&data["total_resources"], &data["corrected_resources"]), (&json!(8), &json!(2)));
    assert_eq!((&data["since_lastrun"], &data["config_version"]), (&json!(15), &json!(1_795_948_985)));
    assert_eq!(data["total_time"], json!(0.116_076_934));
    assert_eq!(data["type_distribution"], json!({"File": 2, "My::Type": 1}));
    assert_eq!(data["summary"]["resources"]["restarted"], 0);
    assert_eq!(data["logs"][0]["msg"], "Applied catalog in 0.12 seconds");
    assert_eq!(data["logs"][0]["time"], 1_795_948_985);
    assert_eq!((&data["logs"][1]["level"], &data["logs"][1]["msg"]), (&json!("err"), &json!("two\nlines")));
    let data = summary::tell(&paths, false, at, outputs()).data;
    assert_eq!(data["logs"], json!({}));
    assert!(summary::manages(&paths, "File", "/etc/motd") && !summary::manages(&paths, "file", "/etc/mot"));
    // garbage is nothing
    for bad in ["\t", "[", "- a", "\u{0}"] {
        fs::write(&paths.summary, bad).unwrap();
        fs::write(&paths.report, format!("x\nlogs:\n{bad}")).unwrap();
        assert_eq!(summary::tell(&paths, true, at, outputs()).data["total_resources"], 0);
    }
}

#[test]
fn what_a_run_is_asked_for() {
    let options = |data: Value, lines: &[(&str, &str)]| {
        run::options(&call("runonce", data), &config(lines), false).map(|options| options.join(" "))
    };
    let good = |data, lines: &[(&str, &str)]| options(data, lines).unwrap();
    assert_eq!(good(json!({}), &[]), "--splay --splaylimit 30");
    assert_eq!(good(json!({}), &[("plugin.puppet.splay", "false")]), "--no-splay");
    assert_eq!(good(json!({"force": true, "splay": true}), &[]), "--no-splay");
    assert_eq!(good(json!({"splay": true, "splaylimit": 7}), &[]), "--splay --splaylimit 7");
    assert_eq!(
        good(json!({"force": true, "noop": true, "tags": "a, b::c1", "environment": "prod"}), &[]),
        "--tags a,b::c1 --no-splay --noop --environment prod"
    );
    assert_eq!(
        good(json!({"force": true, "use_cached_catalog": false}), &[]),
        "--no-splay --no-use_cached_catalog"
    );
    let allowed = [("plugin.puppet.allow_server_override", "true")];
    assert_eq!(
        good(json!({"force": true, "server": "p.example.net:8141"}), &allowed),
        "--no-splay --server p.example.net --masterport 8141"
    );
    for bad in [
        json!({"server": "p.example.net"}),
        json!({"tags": "a b"}),
        json!({"tags": "1"}),
        json!({"skip_tags": "a::;id"}),
        json!({"environment": "--noop"}),
        json!({"environment": "a b"}),
        json!({"splay": true, "splaylimit": 1.5}),
        json!({"splay": true, "splaylimit": -1}),
        json!({"splay": true, "splaylimit": 7200}),
    ] {
        assert!(options(bad.clone(), &[]).is_err(), "{bad}");
    }
    for bad in ["-x", "a:b", "a:99999", "a/b", "a;b", ":1"] {
        assert!(options(json!({"server": bad}), &allowed).is_err(), "{bad}");
    }
    // a daemon that is woken takes no wishes of splay
    assert!(run::options(&call("runonce", json!({"force": true})), &config(&[]), true).unwrap().is_empty());
    let tool = run::tool(&config(&[]), &["--noop".into()]).unwrap();
    assert_eq!(
        tool.shown(),
        "puppet agent --onetime --no-daemonize '--color=false' --no-show_diff --verbose --noop"
    );
}

#[test]
fn which_resources_may_be_set() {
    let may = |lines: &[(&str, &str)], kind: &str, name: &str| resource::allowed(&config(lines), kind, name);
    assert!(may(&[], "file", "/a").unwrap_err().contains("not listed in the type whitelist"));
    let white = ("plugin.puppet.resource_type_whitelist", "file, package");
    assert!(may(&[white], "package", "x").is_ok() && may(&[white], "exec", "x").is_err());
    assert!(may(&[("plugin.puppet.resource_type_whitelist", "none")], "none", "x").is_err());
    let black = ("plugin.puppet.resource_type_blacklist", "exec");
    assert!(may(&[black], "file", "x").is_ok() && may(&[black], "exec", "x").is_err());
    assert!(may(&[white, black], "file", "x").unwrap_err().contains("both"));
    let names = ("plugin.puppet.resource_name_whitelist.file", "/a,/b");
    assert!(may(&[white, names], "file", "/a").is_ok() && may(&[white, names], "file", "/c").is_err());
    let not = ("plugin.puppet.resource_name_blacklist.file", "/a");
    assert!(may(&[white, not], "file", "/a").is_err() && may(&[white, not], "file", "/c").is_ok());
    assert!(may(&[white, names, not], "file", "/a").unwrap_err().contains("both"));
}
