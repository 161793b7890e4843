//! `choria tool man`: manual pages, from the same metadata as `--help`.

mod sections;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind, FromArgs, Optionality};
use choria::core::adapters;
use choria::core::agents::SETTINGS;
use choria::core::config::{Roles, keys};
use choria::core::files;
use choria::core::provisioner::settings::KEYS;

use crate::cmd::exit::{CODES, HALT_CODES};
use crate::cmd::{Choria, signals};
use sections::{ENVIRONMENT, EXAMPLES, FILES, MCO};

/// write the manual pages into a directory
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "man")]
pub struct Man {
    /// directory, such as man
    #[argh(positional)]
    dir: String,
}

impl Man {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let at = || format!("cannot make {}", self.dir);
        std::fs::create_dir_all(&self.dir).with_context(at)?;
        for (name, text) in pages() {
            files::write_atomic(&Path::new(&self.dir).join(name), text.as_bytes(), files::PUBLIC)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// File names and texts of all pages.
pub fn pages() -> Vec<(String, String)> {
    let top = Choria::get_args_info();
    let mut pages = vec![];
    collect(&top, &["choria".to_owned()], &mut pages);
    pages.push(("choria.conf.5".to_owned(), configuration()));
    pages.push(("choria-provisioner.5".to_owned(), provisioner()));
    pages
}

fn collect(command: &CommandInfoWithArgs, path: &[String], pages: &mut Vec<(String, String)>) {
    pages.push((format!("{}.1", path.join("-")), page(command, path)));
    for sub in &command.commands {
        collect(&sub.command, &[path, &[sub.name.to_owned()]].concat(), pages);
    }
}

/// Text as roff wants it.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn page(command: &CommandInfoWithArgs, path: &[String]) -> String {
    let mut out = format!(".TH {} 1 \"\" Choria\n", path.join("-").to_uppercase());
    out.push_str(&format!(".SH NAME\n{} \\- {}\n", roff(&path.join("-")), roff(command.description)));
    out.push_str(&format!(".SH SYNOPSIS\n.B {}\n", roff(&path.join(" "))));
    if !command.flags.is_empty() {
        out.push_str("[\\fIflags\\fR]\n");
    }
    if !command.commands.is_empty() {
        out.push_str("\\fIcommand\\fR\n");
    }
    for positional in command.positionals {
        let name = format!("\\fI{}\\fR", roff(positional.name));
        out.push_str(&match positional.optionality {
            Optionality::Required => format!("{name}\n"),
            Optionality::Optional => format!("[{name}]\n"),
            Optionality::Repeating | Optionality::Greedy => format!("[{name} ...]\n"),
        });
    }
    if !command.positionals.is_empty() {
        out.push_str(".SH ARGUMENTS\n");
        for p in command.positionals {
            out.push_str(&format!(".TP\n.I {}\n{}\n", roff(p.name), roff(p.description)));
        }
    }
    if !command.flags.is_empty() {
        out.push_str(".SH FLAGS\n");
        for flag in command.flags.iter().filter(|f| !f.hidden) {
            let short = flag.short.map(|c| format!("\\-{c}, ")).unwrap_or_default();
            let value = match &flag.kind {
                FlagInfoKind::Option { arg_name } => format!(" \\fI{}\\fR", roff(arg_name)),
                FlagInfoKind::Switch => String::new(),
            };
            let how = match flag.optionality {
                Optionality::Required => " (required)",
                Optionality::Repeating | Optionality::Greedy => " (may be given several times)",
                Optionality::Optional => "",
            };
            let description = roff(flag.description);
            out.push_str(&format!(".TP\n.B {short}{}{value}\n{description}{how}\n", roff(flag.long)));
        }
    }
    if !command.commands.is_empty() {
        out.push_str(".SH COMMANDS\n");
        for sub in &command.commands {
            out.push_str(&format!(".TP\n.B {}\n{}\n", roff(sub.name), roff(sub.command.description)));
        }
    }
    let name = path.join(" ");
    if let Some((_, examples)) = EXAMPLES.iter().find(|(command, _)| *command == name) {
        out.push_str(".SH EXAMPLES\n");
        for (typed, what) in *examples {
            out.push_str(&format!(".TP\n.B {}\n{}\n", roff(typed), roff(what)));
        }
    }
    if path.len() == 1 {
        out.push_str(&format!(
            ".SH EXIT STATUS\n{} \\fIfind\\fR, \\fB\\-\\-compat\\-exit\\fR, CHORIA_COMPAT_EXIT=1 and the name mco give 0 \
             whenever a request was sent, and 1 where \\fIping\\fR so called hears nobody and \\fImco find\\fR finds \
             nobody; \\fIfilemgr\\fR, \\fIiptables\\fR, \\fInettest\\fR, \\fInrpe\\fR, \\fIpackage\\fR, \\fIprocess\\fR, \
             \\fIpuppet\\fR, \\fIservice\\fR and \\fIshell\\fR called as mco give: {}\n.SH MCO\n{}\n",
            roff(CODES),
            roff(HALT_CODES),
            roff(MCO)
        ));
        out.push_str(
            ".SH SIGNALS\nDaemons are \\fIbroker run\\fR, \\fIserver run\\fR and \\fIprovision run\\fR; all others are commands. \
             \\fIemulate\\fR ends in an orderly way at TERM, INT, HUP and QUIT, says at USR1 how it goes, and ignores USR2. \
             \\fItasks serve\\fR, \\fIscout alertd\\fR, \\fIscout web\\fR and \\fItool tally\\fR end in an orderly way at TERM, INT and QUIT, \
             and say of HUP, USR1 and USR2 that they mean nothing: they read files anew as these change.\n",
        );
        for (name, daemons, commands) in signals::TABLE {
            out.push_str(&format!(
                ".TP\n.B {name}\ndaemons: {}; commands: {}\n",
                roff(daemons),
                roff(commands)
            ));
        }
        listed(&mut out, "FILES", FILES.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())));
        let of_keys = keys().iter().filter_map(|key| {
            Some((key.env?.to_owned(), format!("overrides {} of every file: {}", key.name, key.doc)))
        });
        let own = ENVIRONMENT.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned()));
        listed(&mut out, "ENVIRONMENT", own.chain(of_keys));
    }
    out.push_str(&format!(".SH SEE ALSO\n{}\n", related(command, path).join(",\n")));
    out
}

fn listed(out: &mut String, title: &str, rows: impl Iterator<Item = (String, String)>) {
    out.push_str(&format!(".SH {title}\n"));
    for (name, what) in rows {
        out.push_str(&format!(".TP\n.B {}\n{}\n", roff(&name), roff(&what)));
    }
}

/// The pages above and below, and that of the configuration.
fn related(command: &CommandInfoWithArgs, path: &[String]) -> Vec<String> {
    let page = |words: &[String]| format!(".BR {} (1)", roff(&words.join("-")));
    let mut pages = vec![];
    if let Some((_, above)) = path.split_last().filter(|(_, above)| !above.is_empty()) {
        pages.push(page(above));
    }
    pages.extend(command.commands.iter().map(|sub| page(&[path, &[sub.name.to_owned()]].concat())));
    pages.push(".BR choria.conf (5)".to_owned());
    if path.len() == 1 || path.get(1).is_some_and(|word| word == "provision") {
        pages.push(".BR choria\\-provisioner (5)".to_owned());
    }
    pages
}

fn configuration() -> String {
    let mut out = String::from(
        ".TH CHORIA.CONF 5 \"\" Choria\n.SH NAME\nchoria.conf \\- configuration of brokers, servers and clients\n\
         .SH DESCRIPTION\nLines of \\fIkey\\fR = \\fIvalue\\fR; empty lines and lines starting with # are skipped. \
         Files ending in .toml hold the same dotted keys. Files in plugin.d beside the main file set plugin.NAME keys. \
         Malformed values are told and do not count; where a key guards something they end the start.\n\
         .SH KEYS\n",
    );
    for key in keys() {
        let role = match key.roles {
            Roles::All => "everywhere",
            Roles::Client => "clients",
            Roles::Server => "servers",
            Roles::Broker => "brokers",
        };
        let default = if key.default.is_empty() { "unset" } else { key.default };
        let guards = if key.is_guard() { ", guards" } else { "" };
        let used = if key.is_used() { "" } else { " Not acted on by this version: whoever sets it is told." };
        out.push_str(&format!(
            ".TP\n.B {}\n{} ({:?}, default {}, {role}{guards}).{used}\n",
            roff(key.name),
            roff(key.doc),
            key.kind,
            roff(default)
        ));
    }
    out.push_str(
        ".SH KEYS OF AGENTS THAT MANAGE MACHINES\nOf servers. Agents of others have keys of theirs.\n",
    );
    for (name, doc) in SETTINGS {
        out.push_str(&format!(".TP\n.B {}\n{}\n", roff(name), roff(doc)));
    }
    out.push_str(".SH KEYS OF DATA ADAPTERS\nOf brokers; plugin.choria.adapters lists the names.\n");
    for (name, default, doc) in adapters::KEYS {
        let default = match default {
            "" => String::new(),
            "required" => " (required)".to_owned(),
            default => format!(" (default {default})"),
        };
        let text = format!("{doc}{default}").replace('`', "");
        out.push_str(&format!(
            ".TP\n.B {}\n{}\n",
            roff(&format!("plugin.choria.adapter.NAME.{name}")),
            roff(&text)
        ));
    }
    out
}

fn provisioner() -> String {
    let mut out = String::from(
        ".TH CHORIA\\-PROVISIONER 5 \"\" Choria\n\
         .SH NAME\nchoria\\-provisioner \\- settings of choria provision\n\
         .SH DESCRIPTION\nA file in YAML or JSON, or in TOML where its name ends in .toml. A dot in a key \
         stands for a table. Files of the original are understood; keys nobody knows are told and ignored.\n\
         .SH KEYS\n",
    );
    for (name, doc) in KEYS {
        out.push_str(&format!(".TP\n.B {}\n{}\n", roff(name), roff(doc)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_in_the_repository_are_current() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
        let pages = pages();
        for (name, text) in &pages {
            let committed = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
            assert!(committed == *text, "man/{name} is out of date, run 'make man'");
        }
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), pages.len(), "a page no command has");
    }

    /// Options whose absence needs no word: they are about something, or name a file of it.
    const NO_DEFAULT: &[&str] = &[
        "action",
        "agent",
        "author",
        "broker",
        "broker-key",
        "builtin",
        "ca",
        "caller",
        "check",
        "client",
        "component",
        "config",
        "control-loop",
        "count",
        "data",
        "description",
        "dry-run",
        "expect",
        "facts",
        "federations",
        "filter-replies",
        "http",
        "identity",
        "limit-seed",
        "list",
        "machine",
        "machine-version",
        "monitor",
        "name",
        "node",
        "nodes",
        "once",
        "only",
        "operator",
        "output-file",
        "password",
        "pid",
        "plaintext-loopback",
        "provisioning-token",
        "registration",
        "release-key",
        "reply-to",
        "request",
        "resume",
        "retry",
        "select",
        "since",
        "srv",
        "type",
        "until",
        "url",
        "urls",
        "username",
    ];

    #[test]
    fn defaults_are_told() {
        fn walk(path: &str, command: &CommandInfoWithArgs, silent: &mut Vec<String>) {
            for flag in command.flags {
                let takes = matches!(flag.kind, FlagInfoKind::Option { .. });
                let optional = matches!(flag.optionality, Optionality::Optional);
                let long = flag.long.trim_start_matches('-');
                if takes && optional && !flag.description.contains("default") && !NO_DEFAULT.contains(&long) {
                    silent.push(format!("{path} --{long}"));
                }
            }
            command
                .commands
                .iter()
                .for_each(|sub| walk(&format!("{path} {}", sub.name), &sub.command, silent));
        }
        let mut silent = Vec::new();
        walk("choria", &Choria::get_args_info(), &mut silent);
        assert!(silent.is_empty(), "what happens without them? {silent:?}");
    }

    /// Each example is one that the program takes, of the command it stands at.
    #[test]
    fn examples_are_what_the_program_takes() {
        let top = Choria::get_args_info();
        for (command, examples) in EXAMPLES {
            assert!(pages().iter().any(|(name, _)| *name == format!("{}.1", command.replace(' ', "-"))));
            for (typed, _) in *examples {
                for typed in typed.split(" | ") {
                    let typed = typed.strip_prefix("choria ").expect("a command of ours");
                    let words: Vec<String> = shell_words(typed);
                    let rewritten = crate::cmd::argv::rewrite(&top, &words).expect(typed);
                    let rewritten: Vec<&str> = rewritten.iter().map(String::as_str).collect();
                    assert!(Choria::from_args(&["choria"], &rewritten).is_ok(), "{typed}");
                }
            }
        }
    }

    /// Words with single quotes around some.
    fn shell_words(text: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in text.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().expect("there is one").push(c),
            }
        }
        words
    }

    #[test]
    fn the_guide_has_every_key_of_adapters() {
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/adapters.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        for (name, default, doc) in adapters::KEYS {
            let row = format!("| `{name}` | {default} | {doc} |").replace("|  |", "| |");
            assert!(guide.contains(&row), "docs/adapters.md has no {row}");
        }
    }

    #[test]
    fn the_guide_has_every_key_of_the_provisioner() {
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/provisioning.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        for (name, doc) in KEYS {
            assert!(
                guide.contains(&format!("| `{name}` | {doc} |")),
                "{name} is not in docs/provisioning.md"
            );
        }
    }
}
