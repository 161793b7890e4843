//! `choria buildinfo`: the defaults compiled in.

use std::process::ExitCode;

use super::out::{out, outln};
use argh::{ArgsInfo, FromArgs};
use choria::core::build;
use choria::core::machine::watchers;
use choria::core::provisioning::{JwtResolver, Setup, TargetResolver};
use serde_json::{Map, Value, json};

/// show the defaults compiled into this binary
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "buildinfo")]
pub struct Buildinfo {
    /// show the information as JSON
    #[argh(switch, short = 'j')]
    json: bool,
}

/// A headed block of labelled values; values are what `--json` shows.
struct Section {
    title: &'static str,
    rows: Vec<(&'static str, Value)>,
}

impl Buildinfo {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let sections = sections();
        if self.json {
            let document: Map<String, Value> =
                sections.iter().map(|s| (key(s.title), Value::Object(object(&s.rows)))).collect();
            outln!("{}", serde_json::to_string_pretty(&document)?);
        } else {
            out!("{}", text(&sections));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Rows of the 2018 output and of today's, in today's layout (spec 05 §2).
fn sections() -> Vec<Section> {
    let profile = build::profile();
    let p = &profile.provisioning;
    // as a node would start: the token on disk counts
    let mut setup = Setup::of_build(p);
    JwtResolver.configure(&mut setup);
    let known = |what: &str| if what.is_empty() { "not set" } else { "set" };
    let set = |secret: &str| if secret.is_empty() { "not set" } else { "*****" };
    let agent = |name: &str| json!(format!("{name} version {}", build::VERSION));
    vec![
        Section {
            title: "Build Data",
            rows: vec![
                ("Version", json!(build::VERSION)),
                ("Git SHA", json!(build::SHA)),
                ("Build Date", json!(build::date())),
                ("License", json!(build::LICENSE)),
                // The row scripts know; it has always named the compiler.
                ("Go Version", json!(format!("none, {}", build::COMPILER))),
                ("Target", json!(build::TARGET)),
                ("Features", json!(build::features())),
            ],
        },
        Section {
            title: "Protocol Defaults and Settings",
            rows: vec![
                ("Default Collectives", json!(profile.defaults.collectives)),
                ("Client Identity Suffix", json!(profile.defaults.client_identity_suffix)),
            ],
        },
        Section {
            title: "Network Broker Settings",
            rows: vec![
                ("Maximum Network Clients", json!(build::MAX_BROKER_CLIENTS)),
                ("Embedded NATS Server Version", json!(build::NATS_VERSION)),
            ],
        },
        Section {
            title: "Server Settings",
            rows: vec![
                ("Provisioning Target Resolver", json!(JwtResolver.name())),
                ("Supports Provisioning", json!(!setup.access.is_empty())),
                ("Provisioning Profile", json!(build::profile_name())),
                ("Provisioning Profile Hash", json!(build::profile_hash())),
                ("Provisioning JWT file", json!(p.jwt_file)),
                ("Provisioning Token", json!(set(setup.access.expose()))),
                ("Provisioning Default", json!(setup.by_default)),
                ("Provisioning TLS", json!(setup.secure)),
                ("Provisioning CA", json!(known(&setup.trust.ca))),
                ("Provisioning Broker Key", json!(setup.trust.pin)),
                ("Default Provisioning Agent", json!(p.agent)),
                ("Provisioning Brokers", json!(setup.brokers)),
                ("Provisioning SRV Domain", json!(setup.srv_domain)),
                ("Provisioning Registration Data", json!(setup.registration_data)),
                ("Provisioning Facts", json!(setup.facts)),
                ("Provisioning Status File", json!(setup.status_file)),
                ("Provisioning Broker Username", json!(setup.username)),
                ("Provisioning Broker Password", json!(set(setup.password.expose()))),
                ("Provisioning Using Protocol v2", json!(p.protocol_v2)),
                ("Provisioning Version Upgrades", json!(setup.allow_update)),
                ("Provisioning Release Key", json!(setup.release_key)),
            ],
        },
        Section {
            title: "Security Defaults",
            rows: vec![
                ("TLS", json!(true)),
                ("x509 Security", json!(true)),
                ("Crypto Provider", json!("aws-lc-rs")),
                ("TLS Versions", json!(["1.2", "1.3"])),
            ],
        },
        Section {
            title: "Agent Providers",
            rows: ["Native Agents", "External Agents", "Ruby Agents"].map(|name| ("", agent(name))).to_vec(),
        },
        Section {
            title: "Data Providers",
            rows: ["Bolt_task Data", "Choria Data", "Config_item Data", "Machine_state Data", "Scout Data"]
                .map(|name| ("", agent(name)))
                .to_vec(),
        },
        // Those that came with the program; nodes find theirs on disk.
        Section { title: "Autonomous Agents", rows: vec![("", json!("none"))] },
        Section {
            title: "Autonomous Agent Watchers",
            rows: watchers::names().into_iter().map(|name| ("", agent(&watcher(name)))).collect(),
        },
    ]
}

/// What the original calls watchers of a type.
fn watcher(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    format!("{}{} Watcher", first.map_or_else(String::new, String::from), letters.as_str())
}

fn text(sections: &[Section]) -> String {
    let mut out = String::from("Choria build settings:\n");
    for section in sections {
        out.push_str(&format!("\n{}:\n\n", section.title));
        let width = section.rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, value) in &section.rows {
            match (label.is_empty(), plain(value)) {
                (true, value) => out.push_str(&format!("  {value}\n")),
                (false, value) if value.is_empty() => out.push_str(&format!("  {label:>width$}: not set\n")),
                (false, value) => out.push_str(&format!("  {label:>width$}: {value}\n")),
            }
        }
    }
    out.push('\n');
    out
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Rows as an object; a block without labels becomes a list under `items`.
fn object(rows: &[(&'static str, Value)]) -> Map<String, Value> {
    let items: Vec<Value> = rows.iter().filter(|(l, _)| l.is_empty()).map(|(_, v)| v.clone()).collect();
    if !items.is_empty() {
        return Map::from_iter([("items".to_owned(), Value::Array(items))]);
    }
    rows.iter().map(|(label, value)| (key(label), value.clone())).collect()
}

fn key(label: &str) -> String {
    label.to_lowercase().replace(' ', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_line_up_inside_a_block() {
        let text = text(&sections());
        let block = text.split("Build Data:\n\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let columns: Vec<_> = block.lines().map(|l| l.find(':').unwrap()).collect();
        assert!(columns.iter().all(|c| *c == columns[0]), "{block}");
    }

    #[test]
    fn every_row_of_2018_is_there() {
        let text = text(&sections());
        for row in [
            "Version",
            "Git SHA",
            "Build Date",
            "License",
            "Go Version",
            "Maximum Network Clients",
            "Embedded NATS Server Version",
            "Provisioning Brokers",
            "Provisioning Default",
            "Default Provisioning Agent",
            "Provisioning TLS",
            "Provisioning Registration Data",
            "Provisioning Facts",
            "Provisioning Token",
            "TLS",
            "x509 Security",
        ] {
            assert!(text.contains(&format!(" {row}: ")), "{row} is missing in\n{text}");
        }
    }
}
