//! The decisions of the original, and what becomes of files.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::core::config::{Config, Role};
use crate::core::protocol::filter::Facts;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/go-made-authz.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn policy_in(dir: &Path, settings: &str) -> ActionPolicy {
    let config = Config::from_text_at(Role::Server, settings, &dir.join("server.conf")).unwrap();
    ActionPolicy::new(&config)
}

#[test]
fn action_policies_decide_as_the_original() {
    let vectors = vectors();
    let vectors = &vectors["action_policy"];
    let agent = vectors["agent"].as_str().unwrap();
    let all_classes: Vec<String> = serde_json::from_value(vectors["classes"].clone()).unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for policy in vectors["policies"].as_array().unwrap() {
        let name = policy["name"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let policies = dir.path().join("policies");
        fs::create_dir(&policies).unwrap();
        let write = |file: &str, text: &str| fs::write(policies.join(file), text).unwrap();
        if let Some(text) = policy["policy"].as_str() {
            write(&format!("{agent}.policy"), text);
        }
        if policy["policy_note"].is_string() {
            let callers = "x".repeat(70_000);
            write(&format!("{agent}.policy"), &format!("policy default allow\nallow\t{callers}\t*\t*\t*\n"));
        }
        if let Some(text) = policy["groups"].as_str() {
            write("groups", text);
        }
        if let Some(default) = policy["default_policy"].as_object() {
            write(
                &format!("{}.policy", default["name"].as_str().unwrap()),
                default["policy"].as_str().unwrap(),
            );
        }
        let mut settings = String::new();
        for line in policy["settings"].as_array().into_iter().flatten() {
            settings += line.as_str().unwrap();
            settings += "\n";
        }
        // The original takes a switch it cannot read for "off"; here nothing starts.
        if settings.ends_with("= maybe\n") || settings.ends_with("= \n") {
            let refused = Config::from_text_at(Role::Server, &settings, &dir.path().join("server.conf"));
            assert!(refused.is_err(), "{settings}");
            seen += policy["cases"].as_array().unwrap().len();
            continue;
        }
        let mut policy_files = policy_in(dir.path(), &settings);
        let classes = match policy["classes"].as_str() {
            Some("no classes file configured") => {
                policy_files.forget_classes();
                Vec::new()
            }
            Some(_) => Vec::new(),
            None => all_classes.clone(),
        };
        let facts = match policy["facts"].as_str() {
            Some(_) => Facts::default(),
            None => Facts::from_json(vectors["facts_json"].as_str().unwrap().into()),
        };
        for case in policy["cases"].as_array().unwrap() {
            seen += 1;
            let text = |key: &str| case[key].as_str().unwrap();
            let request = AuthzRequest::of(text("caller"), agent, text("action"));
            let decision = policy_files.decide(&request, Some(&classes), &facts);
            let outcome = match decision.outcome {
                Outcome::DenyRule => Some("deny_rule"),
                Outcome::DefaultDeny => Some("default_deny"),
                Outcome::NoPolicy => Some("no_policy"),
                Outcome::Error => Some("error"),
                _ => None,
            };
            // The original skips what was to deny and cannot be read.
            if name == "compound deny line skipped" {
                assert_eq!(decision.outcome, Outcome::Error, "{decision:?}");
                continue;
            }
            if decision.allowed != case["allow"].as_bool().unwrap() || outcome != case["outcome"].as_str() {
                wrong.push(format!("{name}: {case} but {decision:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {seen} wrong\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(seen, 281);
}

#[test]
fn providers_are_chosen_as_by_the_original_or_deny() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("policies")).unwrap();
    fs::write(dir.path().join("policies/rpcutil.policy"), "policy default allow\n").unwrap();
    for case in vectors()["providers"]["cases"].as_array().unwrap() {
        let provider = case["rpcauthprovider"].as_str().unwrap();
        let mut config = Config::from_text_at(Role::Server, "", &dir.path().join("server.conf")).unwrap();
        config.set("rpcauthprovider", provider).unwrap();
        let authorizer = Authorizer::from_config(&config);
        let request = AuthzRequest::of("choria=bob", "rpcutil", "ping");
        let decision = authorizer.decide(&request, Some(&[]), &Facts::default());
        assert_eq!(decision.allowed, case["allow"].as_bool().unwrap(), "{case}");
        // there is no policy in Rego, which is nothing to warn of
        let is_rego = cfg!(feature = "rego") && provider.eq_ignore_ascii_case("rego_policy");
        assert_eq!(authorizer.warning().is_some(), !decision.allowed && !is_rego, "{case}");
    }
}

#[test]
fn a_changed_policy_counts_at_the_next_request() {
    let dir = tempfile::tempdir().unwrap();
    let policies = dir.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let policy = policy_in(dir.path(), "");
    let decide = || {
        let request = AuthzRequest::of("choria=bob", "package", "status");
        policy.decide(&request, Some(&[]), &Facts::default())
    };
    assert_eq!(decide().outcome, Outcome::NoPolicy);
    let write = |text: &str| {
        let path = policies.join("package.policy");
        crate::core::files::write_atomic(&path, text.as_bytes(), crate::core::files::PUBLIC).unwrap();
    };
    // Same length, and as good as the same moment.
    for _ in 0..50 {
        write("policy default allow\n");
        assert_eq!(decide().outcome, Outcome::DefaultAllow);
        write("policy default denyy\n");
        assert_eq!(decide().outcome, Outcome::DefaultDeny);
    }
    write("# who\nallow\tchoria=bob\tstatus\t*\t*\n");
    let decision = decide();
    assert!(decision.allowed && decision.reason.contains("package.policy:2"), "{}", decision.reason);
    fs::remove_file(policies.join("package.policy")).unwrap();
    assert_eq!(decide().outcome, Outcome::NoPolicy);
}

#[test]
fn lines_are_rules_only_when_they_begin_as_one() {
    let decide = |text: &str| {
        let policy = policy::Policy::parse(text);
        let request = AuthzRequest::of("choria=bob", "a", "b");
        let verdict = policy.decide(&request, &Default::default(), Some(&[]), &Facts::default(), false);
        (verdict.outcome, verdict.line, policy.problems(&Default::default()).len())
    };
    let rule = "allow\t*\t*\t*\t*\n";
    assert_eq!(decide(rule), (Outcome::AllowRule, 1, 0));
    assert_eq!(decide(&format!("\t{rule}")), (Outcome::DefaultDeny, 0, 1));
    assert_eq!(decide("policy default allow\npolicy default\n"), (Outcome::DefaultDeny, 0, 1));
    assert_eq!(decide("policy default allow-all\n"), (Outcome::DefaultAllow, 0, 0));
    assert_eq!(decide("policydefault allow\npolicy defaultallow\n"), (Outcome::DefaultDeny, 0, 2));
    assert_eq!(decide("deny\tchoria=x\t*\t*\t*\n\n# c\nallow\tchoria=bob\tb\t*\t*\n").1, 4);
}

/// What each broken line does to bob, who asks for `stop`, and to alice, who
/// asks for `status`, where everything is allowed otherwise.
#[test]
fn what_was_to_deny_and_cannot_be_read_denies() {
    use Outcome::{DefaultAllow, DenyRule, Error};
    let groups = "ops choria=bob\nbroken /^choria=/\ntwice choria=bob\ntwice choria=carol\nno\ttabs\n";
    let groups = super::groups::Groups::parse(groups);
    let facts = Facts::from_json(r#"{"country":"mt","cpus":4}"#.into());
    let classes = ["web".to_owned()];
    for (line, bob, alice) in [
        ("deny\tchoria=bob\tstop\t*\t*", DenyRule, DefaultAllow),
        ("deny\tops\tstop\t*\t*", DenyRule, DefaultAllow),
        ("deny\ttwice\t*\t*\t*", DenyRule, DefaultAllow),
        // Nobody can tell who is meant.
        ("deny\tcontractors\t*\t*\t*", Error, Error),
        ("deny\tbob\t*\t*\t*", Error, Error),
        ("deny\tbroken\t*\t*\t*", Error, Error),
        ("deny\tno\t*\t*\t*", Error, Error),
        ("deny\t/[/\t*\t*\t*", Error, Error),
        ("deny\t/bo b/\t*\t*\t*", Error, Error),
        ("deny\t* \tstop\t*\t*", Error, DefaultAllow),
        ("deny\tcontractors choria=bob\tstop\t*\t*", DenyRule, DefaultAllow),
        // What the node knows of itself still counts.
        ("deny\tcontractors\t*\tcountry=uk\t*", DefaultAllow, DefaultAllow),
        // Nor what.
        ("deny\tchoria=bob\t/st.*/\t*\t*", DenyRule, DefaultAllow),
        ("deny\tchoria=bob\t* x\t*\t*", DenyRule, DefaultAllow),
        ("deny\tchoria=alice\tstop,status\t*\t*", DefaultAllow, DenyRule),
        // Nor where.
        ("deny\tchoria=bob\tstop\tcountry=/[/\t*", Error, DefaultAllow),
        ("deny\tchoria=bob\tstop\tcountry\t*", Error, DefaultAllow),
        ("deny\tchoria=bob\tstop\tcpus>many\t*", Error, DefaultAllow),
        ("deny\tchoria=bob\tstop\tcountry=uk and cpus>1\t*", Error, DefaultAllow),
        ("deny\tchoria=bob\tstop\t*\t/[/", Error, DefaultAllow),
        ("deny\tchoria=bob\tstop\t*\t* # never", Error, DefaultAllow),
        ("deny\tchoria=bob\tstop\t*\tcountry=mt", Error, DefaultAllow),
        // Columns too few, too many, or parted by spaces.
        ("deny\tchoria=bob\tstop\t*", Error, DefaultAllow),
        ("deny\tchoria=bob\tstop", Error, DefaultAllow),
        ("deny\tchoria=bob", Error, DefaultAllow),
        ("deny\tchoria=bob\tstop\t*\t*\t*", Error, DefaultAllow),
        ("deny\tchoria=bob\tstop\t*\t*\t", Error, DefaultAllow),
        ("\tdeny\tchoria=bob\tstop\t*\t*", Error, DefaultAllow),
        ("deny choria=bob stop * *", Error, Error),
        ("deny", Error, Error),
        // Verbs.
        ("forbid\tchoria=bob\tstop\t*\t*", Error, DefaultAllow),
        ("forbid choria=bob stop * *", Error, Error),
        (" deny\tchoria=bob\tstop\t*\t*", Error, DefaultAllow),
        ("Deny\tchoria=bob\tstop\t*\t*", Error, DefaultAllow),
        ("DENY\tchoria=alice\t*\t*\t*", DefaultAllow, Error),
        ("policy default", Outcome::DefaultDeny, Outcome::DefaultDeny),
        // What was to allow is only skipped.
        ("Allow\tchoria=bob\tstop\t*\t*", DefaultAllow, DefaultAllow),
        ("allow choria=bob stop * *", DefaultAllow, DefaultAllow),
        ("allow\tcontractors\tstop\t*\t*", DefaultAllow, DefaultAllow),
        ("words", DefaultAllow, DefaultAllow),
    ] {
        let policy = policy::Policy::parse(&format!("policy default allow\n{line}\n"));
        for (caller, action, outcome) in [("choria=bob", "stop", bob), ("choria=alice", "status", alice)] {
            let request = AuthzRequest::of(caller, "service", action);
            let verdict = policy.decide(&request, &groups, Some(&classes), &facts, false);
            assert_eq!(verdict.outcome, outcome, "{line:?} {caller}: {verdict:?}");
            let told = policy.problems(&groups);
            assert!(told.iter().all(|problem| problem.line == 2), "{told:?}");
            // One that is whole as far as this node can tell is not complained about.
            let whole = [bob, alice].contains(&DenyRule)
                && !line.contains("contractors")
                && !line.contains("/st.*/")
                && !line.contains("* x")
                && !line.contains(',');
            assert_eq!(told.is_empty(), whole || line.ends_with("cpus>many\t*"), "{line:?}: {told:?}");
        }
    }
    let told: Vec<usize> = groups.problems().iter().map(|problem| problem.line).collect();
    assert_eq!(told, [2, 4, 5]);
}

#[test]
fn all_files_are_checked_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let policies = dir.path().join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("a.policy"), "policy default deny\nallow\tops\t*\t*\t*\n").unwrap();
    fs::write(policies.join("b.policy"), "policy default deny\ndeny a b c d\n").unwrap();
    fs::write(policies.join("groups"), "ops choria=bob\nnobody\n").unwrap();
    let policy = policy_in(dir.path(), "");
    let told = policy.problems(None);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("b.policy:2: ") && told[1].contains("groups:2: "), "{told:?}");
    assert_eq!(policy.problems(Some("a")).len(), 1, "the groups");
    assert!(policy.problems(Some("c"))[0].contains("c.policy does not exist"));
}

#[test]
fn an_agent_name_is_no_path() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("policies")).unwrap();
    fs::write(dir.path().join("outside.policy"), "policy default allow\n").unwrap();
    let policy = policy_in(dir.path(), "");
    for agent in ["../outside", "", "a/b", "..", "x\0y"] {
        let request = AuthzRequest::of("choria=bob", agent, "ping");
        assert_eq!(
            policy.decide(&request, Some(&[]), &Facts::default()).outcome,
            Outcome::Error,
            "{agent:?}"
        );
    }
}

#[test]
fn no_text_makes_the_policy_reader_fail() {
    bolero::check!().with_iterations(2000).with_type::<(String, String)>().for_each(|(text, groups)| {
        let groups = super::groups::Groups::parse(groups);
        for text in [text.clone(), format!("allow\t{}", text.replace(' ', "\t"))] {
            let policy = policy::Policy::parse(&text);
            let request = AuthzRequest::of("choria=bob", "a", "b");
            policy.decide(&request, &groups, Some(&[]), &Facts::default(), false);
        }
    });
}

/// To a node without facts a deny rule about facts would not apply.
#[test]
fn rules_about_facts_that_cannot_be_read_deny() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("facts.json");
    let text = "policy default allow\ndeny\t*\t*\tenvironment=production\t*\nallow\t*\t*\t*\t*\n";
    let policy = policy::Policy::parse(text);
    let request = AuthzRequest::of("choria=bob", "service", "stop");
    let verdict = |content: &str| {
        fs::write(&file, content).unwrap();
        let (facts, _) = Facts::load(file.to_str().unwrap());
        policy.decide(&request, &Default::default(), Some(&[]), &facts, false).outcome
    };
    assert_eq!(verdict(r#"{"environment":"test"}"#), Outcome::AllowRule);
    assert_eq!(verdict(r#"{"environment":"production"}"#), Outcome::DenyRule);
    assert_eq!(verdict(r#"{"environment":"produ"#), Outcome::Error);
    assert_eq!(verdict(""), Outcome::Error);
    assert_eq!(verdict("{}"), Outcome::AllowRule);
}
