//! `choria package`: packages of the operating system.

use std::process::ExitCode;

use choria::core::client::RpcReply;
use serde_json::Value;

use super::layout::Place;
use super::{Inputs, Kind, Verb, application_command, grammar, output};
use crate::cmd::Globals;

application_command! {
    /// install, remove, update and look at packages
    #[argh(subcommand, name = "package")]
    pub struct Package {
        /// install this version, default the newest
        #[argh(option, arg_name = "version")]
        version: Option<String>,
        /// a package and what to do with it, in any order: install, uninstall, purge, update, status or search; or alone
        /// count, md5, refresh, checkupdates, apt_update, apt_checkupdates, yum_checkupdates or yum_clean
        #[argh(positional, arg_name = "words")]
        words: Vec<String>,
    }
}

pub const VERBS: [Verb; 14] = [
    Verb::on("status").looking(),
    Verb::on("install"),
    Verb::on("uninstall"),
    Verb::on("purge"),
    Verb::on("update"),
    Verb::on("search"),
    Verb::alone("count").looking(),
    Verb::alone("md5").looking(),
    Verb::alone("refresh"),
    Verb::alone("checkupdates"),
    Verb::alone("yum_checkupdates"),
    Verb::alone("apt_checkupdates"),
    Verb::alone("apt_update"),
    Verb::alone("yum_clean"),
];

pub const KIND: Kind = Kind { command: "package", deed: "operate on packages", verbs: &VERBS };

impl Package {
    pub fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (verb, package) = grammar::split("choria package", "PACKAGE", &VERBS, &self.words)?;
        let inputs = Inputs::default().maybe("package", package).maybe("version", self.version.clone());
        let application = self.application(globals, verb);
        let all = application.all();
        let line = |reply: &RpcReply| line(verb.name, all, reply);
        application.lines("package", verb.name, inputs, Place::Right, &line)
    }
}

/// What is told of a node.
fn line(verb: &str, all: bool, reply: &RpcReply) -> Option<String> {
    let output = |name: &str| output(reply, name);
    let text = |name: &str| Some(output(name).unwrap_or_default());
    match verb {
        "status" => match output("ensure").unwrap_or_default() {
            ensure if all || ["absent", "purged"].contains(&ensure.as_str()) => Some(ensure),
            ensure => {
                let arch = output("arch").map(|arch| format!(".{arch}")).unwrap_or_default();
                Some(format!("{}-{ensure}{arch}", output("name").unwrap_or_default()))
            }
        },
        "count" | "md5" => text("output"),
        "search" => text("package_count"),
        "checkupdates" | "yum_checkupdates" | "apt_checkupdates" | "apt_update" => {
            let packages = reply.body.data.get("outdated_packages").and_then(Value::as_array);
            let names = packages.into_iter().flatten().map(|package| {
                let of = |name: &str| package.get(name).and_then(Value::as_str).unwrap_or_default();
                if all { format!("{}-{}", of("package"), of("version")) } else { of("package").to_owned() }
            });
            Some(names.collect::<Vec<_>>().join(" "))
        }
        "refresh" | "yum_clean" if all => text("output"),
        _ if all => text("ensure"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cmd::apps::layout::tests::reply;

    #[test]
    fn each_verb_tells_what_people_want_to_know() {
        let puppet = json!({"name": "puppet", "ensure": "7.1-1", "arch": "amd64"});
        let updates = json!({"outdated_packages": [{"package": "a", "version": "2"}, {"package": "b", "version": "3"}]});
        for (verb, all, data, told) in [
            ("status", false, puppet.clone(), Some("puppet-7.1-1.amd64")),
            ("status", true, puppet.clone(), Some("7.1-1")),
            ("status", false, json!({"name": "x", "ensure": "1", "arch": null}), Some("x-1")),
            ("status", false, json!({"name": "x", "ensure": "absent"}), Some("absent")),
            ("status", false, json!({"ensure": "purged"}), Some("purged")),
            ("install", false, puppet.clone(), None),
            ("install", true, puppet, Some("7.1-1")),
            ("count", false, json!({"output": "512"}), Some("512")),
            ("md5", true, json!({"output": 5}), Some("5")),
            ("checkupdates", false, updates.clone(), Some("a b")),
            ("apt_update", true, updates, Some("a-2 b-3")),
            ("checkupdates", false, json!({"outdated_packages": "none"}), Some("")),
            ("search", false, json!({"package_count": "2 packages found"}), Some("2 packages found")),
            ("yum_clean", false, json!({"output": "x"}), None),
        ] {
            assert_eq!(line(verb, all, &reply("n1", 0, "OK", data)).as_deref(), told, "{verb} {all}");
        }
    }
}
