//! `choria plugin generate ddl`: an interface from flags or from answers, or one in
//! Ruby's words.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use argh::{ArgsInfo, FromArgs};
use choria::core::ddl::{Action, AgentDdl, Display, Input, Metadata, Output};
use choria::core::files::PUBLIC;

use super::{is_name, read_ddl, write_new};
use crate::cmd::out::{errln, out, outln};

/// Kinds an input may have.
const KINDS: [&str; 8] = ["string", "integer", "float", "number", "boolean", "list", "array", "hash"];
/// What runs an agent.
const PROVIDERS: [&str; 4] = ["external", "ruby", "golang", "rust"];

/// write the interface of an agent: from flags, or from answers when no name is given
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "ddl")]
pub struct Ddl {
    /// file to write, default standard output; with --convert the one to read, and the one to write
    #[argh(positional, arg_name = "file")]
    files: Vec<PathBuf>,
    /// write the interface in file as Ruby clients read it
    #[argh(switch)]
    convert: bool,
    /// name of the agent
    #[argh(option, arg_name = "name")]
    name: Option<String>,
    /// what it is for
    #[argh(option, arg_name = "text")]
    description: Option<String>,
    /// who wrote it
    #[argh(option, arg_name = "text")]
    author: Option<String>,
    /// license, default Apache-2.0
    #[argh(option, arg_name = "text")]
    license: Option<String>,
    /// version of the agent, default 0.1.0
    #[argh(option, arg_name = "text")]
    agent_version: Option<String>,
    /// where to read more
    #[argh(option, arg_name = "text")]
    url: Option<String>,
    /// seconds an action may take, default 10
    #[argh(option, arg_name = "seconds")]
    timeout: Option<u64>,
    /// external, ruby, golang or rust; default external
    #[argh(option, arg_name = "provider")]
    provider: Option<String>,
    /// one node answers for all
    #[argh(switch)]
    service: bool,
    /// the program stays up and reads lines
    #[argh(switch)]
    persistent: bool,
    /// NAME:DESCRIPTION, repeatable
    #[argh(option, arg_name = "action")]
    action: Vec<String>,
    /// ACTION.NAME:KIND:required|optional[:MAXLENGTH[:VALIDATION]], for lists ACTION.NAME:list:required:a,b; repeatable
    #[argh(option, arg_name = "input")]
    input: Vec<String>,
    /// ACTION.NAME:KIND[:DESCRIPTION], repeatable
    #[argh(option, arg_name = "output")]
    output: Vec<String>,
}

impl Ddl {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if self.convert {
            return self.converted();
        }
        let file = match self.files.as_slice() {
            [] => None,
            [file] => Some(file.clone()),
            [_, more, ..] => bail!("cannot use '{}': name one file to write", more.display()),
        };
        if let Some(file) = file.as_ref().filter(|file| file.symlink_metadata().is_ok()) {
            bail!("{} is there already, it stays as it is", file.display());
        }
        let ddl = match self.name {
            Some(_) => self.of_flags()?,
            None => Questions(std::io::stdin().lock()).ddl()?,
        };
        save(file.as_deref(), &ddl.to_json())
    }

    fn converted(self) -> anyhow::Result<ExitCode> {
        let (from, to) = match self.files.as_slice() {
            [from] => (from, None),
            [from, to] => (from, Some(to.as_path())),
            _ => bail!("--convert takes the interface to read, and the file to write or none"),
        };
        save(to, &read_ddl(from)?.to_ruby())
    }

    fn of_flags(self) -> anyhow::Result<AgentDdl> {
        let or = |given: Option<String>, default: &str| given.unwrap_or_else(|| default.to_owned());
        let name = self.name.unwrap_or_default();
        let metadata = Metadata {
            license: or(self.license, "Apache-2.0"),
            author: or(self.author, ""),
            timeout: self.timeout.unwrap_or(10),
            version: or(self.agent_version, "0.1.0"),
            url: or(self.url, ""),
            description: or(self.description, ""),
            provider: Some(or(self.provider, "external")),
            service: self.service,
            persistent: self.persistent,
            name,
        };
        check_metadata(&metadata)?;
        let mut actions: Vec<Action> = vec![];
        for given in &self.action {
            let (name, description) = given.split_once(':').unwrap_or((given, ""));
            check_name("action", name)?;
            if actions.iter().any(|action| action.action == name) {
                bail!("action '{name}' is there twice");
            }
            actions.push(action(name, description, Display::Always));
        }
        for given in &self.input {
            let (action, name, rest) = member("input", given, &mut actions)?;
            let input = input(&name, rest).with_context(|| format!("--input '{given}'"))?;
            if action.input.insert(name, input).is_some() {
                bail!("--input '{given}': it is there twice");
            }
        }
        for given in &self.output {
            let (action, name, rest) = member("output", given, &mut actions)?;
            let (kind, description) = rest.split_once(':').unwrap_or((rest, ""));
            check_kind(kind).with_context(|| format!("--output '{given}'"))?;
            action.output.insert(name.clone(), output(&name, kind, description));
        }
        Ok(AgentDdl { metadata, actions })
    }
}

fn save(file: Option<&Path>, text: &str) -> anyhow::Result<ExitCode> {
    match file {
        None => out!("{text}"),
        Some(file) => {
            write_new(file, text, PUBLIC)?;
            outln!("{}", file.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check_name(what: &str, name: &str) -> anyhow::Result<()> {
    match is_name(name) {
        true => Ok(()),
        false => bail!("'{name}' is no name for an {what}: use a-z, 0-9 and _, and begin with a letter"),
    }
}

fn check_kind(kind: &str) -> anyhow::Result<()> {
    match KINDS.contains(&kind) {
        true => Ok(()),
        false => bail!("'{kind}' is no kind, it is one of {}", KINDS.join(", ")),
    }
}

fn check_metadata(metadata: &Metadata) -> anyhow::Result<()> {
    check_name("agent", &metadata.name)?;
    check_version(&metadata.version)?;
    let provider = metadata.provider.as_deref().unwrap_or_default();
    if !PROVIDERS.contains(&provider) {
        bail!("'{provider}' is no provider, it is one of {}", PROVIDERS.join(", "));
    }
    if metadata.timeout < 2 {
        bail!("a timeout of {} s is too short, give 2 or more", metadata.timeout);
    }
    Ok(())
}

fn check_version(version: &str) -> anyhow::Result<()> {
    let parts: Vec<&str> = version.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    match parts.len() <= 3 && parts.iter().all(number) {
        true => Ok(()),
        false => bail!("'{version}' is no version, write it as 1.2.3"),
    }
}

/// The action of `ACTION.NAME:REST`, the name and the rest.
fn member<'a, 'b>(
    what: &str,
    given: &'b str,
    actions: &'a mut [Action],
) -> anyhow::Result<(&'a mut Action, String, &'b str)> {
    let split = given.split_once(':').and_then(|(path, rest)| {
        let (action, name) = path.split_once('.')?;
        Some((action, name, rest))
    });
    let Some((action, name, rest)) = split else {
        bail!("cannot use --{what} '{given}', write ACTION.NAME:KIND");
    };
    check_name(what, name)?;
    let found = actions.iter_mut().find(|known| known.action == action);
    let action = found.with_context(|| format!("--{what} '{given}': there is no --action {action}"))?;
    Ok((action, name.to_owned(), rest))
}

fn action(name: &str, description: &str, display: Display) -> Action {
    let description = if description.is_empty() { name } else { description };
    Action {
        action: name.to_owned(),
        input: Default::default(),
        open_inputs: false,
        output: Default::default(),
        display,
        description: description.to_owned(),
        aggregate: vec![],
    }
}

/// A name as people read it.
fn titled(name: &str) -> String {
    let mut words = name.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn output(name: &str, kind: &str, description: &str) -> Output {
    let description = if description.is_empty() { titled(name) } else { description.to_owned() };
    Output { description, display_as: titled(name), kind: Some(kind.to_owned()), default: None }
}

/// `KIND:required|optional[:MAXLENGTH[:VALIDATION]]`, or for lists the choices.
fn input(name: &str, given: &str) -> anyhow::Result<Input> {
    let mut parts = given.splitn(3, ':');
    let (kind, need, rest) =
        (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
    check_kind(kind)?;
    let optional = match need {
        None | Some("required") => false,
        Some("optional") => true,
        Some(other) => bail!("'{other}' is neither required nor optional"),
    };
    let mut input = Input {
        prompt: titled(name),
        description: titled(name),
        kind: kind.to_owned(),
        optional,
        ..Input::default()
    };
    match (kind, rest) {
        ("string", rest) => {
            let (length, validation) = rest.split_once(':').unwrap_or((rest, ""));
            input.maxlength = match length {
                "" => 80,
                length => length.parse().ok().filter(|n| *n > 0).context("MAXLENGTH is no number above 0")?,
            };
            input.validation = if validation.is_empty() { "shellsafe".into() } else { validation.into() };
        }
        ("list", "") => bail!("a list needs its choices, as in list:required:a,b"),
        ("list", choices) => input.choices = choices.split(',').map(|c| c.trim().to_owned()).collect(),
        (_, "") => {}
        (_, more) => bail!("cannot use '{more}': only strings have a length and a validation"),
    }
    Ok(input)
}

/// A person, asked on standard error.
struct Questions<R>(R);

impl<R: BufRead> Questions<R> {
    /// An answer, or the default for an empty one; asked again until it is good.
    fn ask<T>(
        &mut self,
        question: &str,
        default: &str,
        judge: impl Fn(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        loop {
            match default {
                "" => errln!("{question}:"),
                default => errln!("{question} [{default}]:"),
            }
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                bail!(
                    "the questions were not answered to the end; flags are in 'choria plugin generate ddl --help'"
                );
            }
            let answer = line.trim();
            match judge(if answer.is_empty() { default } else { answer }) {
                Ok(good) => return Ok(good),
                Err(problem) => errln!("  {problem}"),
            }
        }
    }

    fn text(&mut self, question: &str, default: &str) -> anyhow::Result<String> {
        self.ask(question, default, |text| Ok(text.to_owned()))
    }

    fn yes(&mut self, question: &str) -> anyhow::Result<bool> {
        self.ask(question, "no", |text| match text {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            other => bail!("'{other}' is neither yes nor no"),
        })
    }

    /// A name, or nothing when there are no more.
    fn name(&mut self, what: &str, question: &str) -> anyhow::Result<Option<String>> {
        self.ask(question, "", |text| match text {
            "" => Ok(None),
            name => check_name(what, name).map(|()| Some(name.to_owned())),
        })
    }

    fn ddl(&mut self) -> anyhow::Result<AgentDdl> {
        let name =
            self.ask("Name of the agent", "", |name| check_name("agent", name).map(|()| name.to_owned()))?;
        let metadata = Metadata {
            description: self.text("What it is for", &titled(&name))?,
            author: self.text("Author, with an address", "")?,
            license: self.text("License", "Apache-2.0")?,
            version: self.ask("Version", "0.1.0", |v| check_version(v).map(|()| v.to_owned()))?,
            url: self.text("Where to read more", "")?,
            timeout: self.ask("Seconds an action may take", "10", |text| {
                text.parse().ok().filter(|seconds| *seconds >= 2).context("give a number, 2 or more")
            })?,
            provider: Some(self.ask("What runs it: external, ruby, golang, rust", "external", |text| {
                match PROVIDERS.contains(&text) {
                    true => Ok(text.to_owned()),
                    false => bail!("'{text}' is no provider"),
                }
            })?),
            name,
            ..Metadata::default()
        };
        let mut actions = vec![];
        while let Some(name) = self.name("action", "Name of an action, empty when there are no more")? {
            actions.push(self.action(&name)?);
        }
        Ok(AgentDdl { metadata, actions })
    }

    fn action(&mut self, name: &str) -> anyhow::Result<Action> {
        let description = self.text("  What it does", &titled(name))?;
        let display =
            self.ask("  Which replies people see: ok, failed, always", "always", |word| match word {
                "ok" | "failed" | "always" => Ok(Display::from_word(word)),
                other => bail!("'{other}' is none of ok, failed, always"),
            })?;
        let mut action = action(name, &description, display);
        while let Some(name) = self.name("input", "  Name of an input, empty when there are no more")? {
            let description = self.text("    What it is", &titled(&name))?;
            let question = format!("    Kind: {}", KINDS.join(", "));
            let kind = self.ask(&question, "string", |kind| check_kind(kind).map(|()| kind.to_owned()))?;
            let need = if self.yes("    May it be left away")? { "optional" } else { "required" };
            let more = match kind.as_str() {
                "string" => {
                    let length = self.ask("    Most bytes", "80", |text| {
                        text.parse::<i64>().ok().filter(|n| *n > 0).context("give a number above 0")
                    })?;
                    let validation =
                        self.text("    Validation: shellsafe, ipaddress, or an expression", "shellsafe")?;
                    format!(":{length}:{validation}")
                }
                "list" => self.ask("    Choices, comma separated", "", |text| match text {
                    "" => bail!("a list needs choices"),
                    choices => Ok(format!(":{choices}")),
                })?,
                _ => String::new(),
            };
            let input = input(&name, &format!("{kind}:{need}{more}"))?;
            action.input.insert(name, Input { description, ..input });
        }
        while let Some(name) = self.name("output", "  Name of an output, empty when there are no more")? {
            let description = self.text("    What it is", &titled(&name))?;
            let kind = self.ask("    Kind", "string", |kind| check_kind(kind).map(|()| kind.to_owned()))?;
            action.output.insert(name.clone(), output(&name, &kind, &description));
        }
        Ok(action)
    }
}
