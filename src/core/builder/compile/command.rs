//! One command of a definition, and those below it.

use std::collections::BTreeSet;

use super::reading::Reading;
use super::{MAX_COMMANDS, merged};
use crate::core::builder::definition::{Cheat, Command, Input, Secret, Type};
use crate::core::builder::kinds::{KINDS, Kind};
use crate::core::builder::transforms;
use crate::core::builder::values;
use crate::core::machine::findings::Findings;
use crate::core::protocol::filter::InputExpression;
use crate::core::text::meant;
use crate::core::text::yaml::{Node, What};

/// Most arguments or flags.
const MOST: usize = 256;
/// Words that mean something at the top of every application.
const TAKEN: [&str; 2] = ["help", "version"];

/// The commands of a mapping.
pub(super) fn commands(of: &mut Reading<'_, '_>) -> Vec<Command> {
    let mut made: Vec<Command> = vec![];
    for node in of.nodes("commands") {
        let what = match node.member("name").map(|node| &node.what) {
            Some(What::Scalar { text, .. }) => format!("command {text}"),
            _ => "command".to_owned(),
        };
        if !matches!(node.what, What::Map(_)) {
            of.error_at("commands", format_args!("hold {} where a mapping is expected", node.kind()));
            continue;
        }
        if of.around.count() > MAX_COMMANDS {
            of.error(format_args!("more than {MAX_COMMANDS} commands are too many"));
            return made;
        }
        let mut one = of.beside(&what, node);
        let command = match one.text("include_file") {
            file if file.is_empty() => command(&mut one),
            file => included(&mut one, node, &file),
        };
        if let Some(command) = command {
            if let Some(word) = words(&command).find(|word| made.iter().any(|other| other.is_called(word))) {
                one.error(format_args!("there is another command called {word}"));
            }
            made.push(command);
        }
        one.finish(&[]);
    }
    made
}

fn words(command: &Command) -> impl Iterator<Item = &str> {
    std::iter::once(command.name.as_str()).chain(command.aliases.iter().map(String::as_str))
}

/// A command of a file of its own, under the name it has here.
fn included(of: &mut Reading<'_, '_>, node: &Node, file: &str) -> Option<Command> {
    let at = of.get("include_file").map_or(node.at, |node| node.at);
    // what stands beside it is read with the other file
    if let What::Map(members) = &node.what {
        members.iter().for_each(|(_, key, _)| of.asked(key));
    }
    let around = of.around;
    let inner = around.include(file, at)?;
    let whole = merged(node, inner, &["name"]);
    let mut findings = Findings::default();
    let mut one = Reading::new(&whole, format!("command of {file}"), &mut findings, around);
    let made = match one.text("include_file") {
        // of a file that includes another the name counts that was given first
        deeper if !deeper.is_empty() => included(&mut one, &whole, &deeper),
        _ => command(&mut one),
    };
    one.finish(&[("version", ""), ("author", "")]);
    around.take(findings);
    around.close();
    made
}

fn command(of: &mut Reading<'_, '_>) -> Option<Command> {
    let name = of.required("name");
    if name.contains(char::is_whitespace) || name.starts_with('-') {
        of.error_at("name", format_args!("is '{name}', which nobody can type as one word"));
    }
    let description = of.text("description");
    if description.is_empty() && !of.around.is_tasks() {
        of.incomplete("description is required");
    }
    let type_name = of.text("type");
    let known = KINDS.iter().find(|known| known.name == type_name);
    let Some(known) = known else {
        let names: Vec<&str> = KINDS.iter().map(|known| known.name).collect();
        match type_name.as_str() {
            "" => of.error(format_args!("type is required, one of {}", names.join(", "))),
            other => {
                let like = meant(other, names.iter().copied());
                of.error_at("type", format_args!("is {other}{like} Known are {}", names.join(", ")));
            }
        }
        // what else is wrong with it is known when its type is
        let _ = commands(of);
        of.all_asked();
        return None;
    };
    let kind = (known.read)(of);
    let aliases = of.list("aliases");
    let tags = of.list("tags");
    let confirm = Some(of.text("confirm_prompt")).filter(|text| !text.is_empty());
    let banner = Some(of.template("banner")).filter(|text| !text.is_empty());
    let cheat = of.inner("cheat").map(|mut of| {
        let cheat = Cheat { label: of.text("label"), text: of.required("cheat"), tags: vec![] };
        of.finish(&[]);
        cheat
    });
    let is_rpc = matches!(kind, Kind::Rpc(_));
    let arguments = of.each("arguments", MOST, |of| input(of, false, false));
    let flags = of.each("flags", MOST, |of| input(of, true, is_rpc));
    let secrets = of.each("secrets", MOST, secret);
    let transform = match known.transforms {
        true => transforms::read(of, "transform"),
        false => None,
    };
    let below = commands(of);
    if matches!(kind, Kind::Parent) {
        for (key, is_there) in [
            ("flags", !flags.is_empty()),
            ("arguments", !arguments.is_empty()),
            ("secrets", !secrets.is_empty()),
            ("confirm_prompt", confirm.is_some()),
        ] {
            if is_there {
                of.error_at(key, "has no place in a parent, which does nothing by itself");
            }
        }
        if below.is_empty() {
            of.error("a parent needs commands");
        }
    }
    let command = Command {
        name,
        description,
        aliases,
        tags,
        arguments,
        flags,
        confirm,
        banner,
        cheat,
        secrets,
        kind,
        transform,
        commands: below,
    };
    names(of, &command);
    Some(command)
}

/// No word may mean two things.
fn names(of: &mut Reading<'_, '_>, command: &Command) {
    let mut seen: BTreeSet<String> = TAKEN.iter().map(|word| (*word).to_owned()).collect();
    let mut letters = BTreeSet::new();
    let own = command.kind.flags();
    let prompt = command.confirm.as_ref().map(|_| "prompt".to_owned());
    let flags = command.flags.iter().map(|flag| (flag.name.clone(), flag.short));
    let own = own.into_iter().map(|flag| (flag.long, flag.short)).chain(prompt.map(|name| (name, None)));
    for (long, short) in own.chain(flags) {
        if !seen.insert(long.clone()) {
            of.error(format_args!("there is another flag --{long}"));
        }
        if let Some(short) = short
            && !letters.insert(short)
        {
            of.error(format_args!("there is another flag -{short}"));
        }
    }
    let mut seen = BTreeSet::new();
    let mut optional = false;
    for argument in &command.arguments {
        if !seen.insert(&argument.name) {
            of.error(format_args!("there is another argument {}", argument.name));
        }
        if argument.required && optional {
            of.error(format_args!(
                "argument {} is required and stands behind one that is not",
                argument.name
            ));
        }
        optional |= !argument.required;
    }
    let mut seen = BTreeSet::new();
    for secret in &command.secrets {
        if !seen.insert(&secret.name) {
            of.error(format_args!("there is another secret {}", secret.name));
        }
    }
}

fn input(of: &mut Reading<'_, '_>, is_flag: bool, is_rpc: bool) -> Input {
    let name = of.required("name");
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && (!name.chars().all(plain) || name.starts_with(['-', '.'])) {
        of.error_at("name", format_args!("is '{name}': letters, digits, - and _ make a name"));
    }
    let choices = of.list("enum");
    let type_name = of.text("type");
    let named = match type_name.trim() {
        "" => None,
        name => {
            let found = Type::of_name(name);
            if found.is_none() {
                let known: Vec<&str> = Type::names().collect();
                of.error_at("type", format_args!("is {name}, known are {}", known.join(", ")));
            }
            found
        }
    };
    let is_bool = is_flag && of.flag("bool");
    if !choices.is_empty() && named.is_some_and(|of| of != Type::Text) {
        of.error("type and enum exclude each other");
    }
    if is_bool && named.is_some_and(|of| of != Type::Bool) {
        of.error("bool and type exclude each other");
    }
    let kind = match is_bool && choices.is_empty() {
        true => Type::Bool,
        false => named.unwrap_or_default(),
    };
    let default = match of.has("default") {
        true => Some(of.text("default")),
        false => None,
    };
    let (mut short, mut placeholder, mut env, mut reply_filter) = (None, String::new(), None, None);
    if is_flag {
        let letter = of.text("short");
        let mut letters = letter.chars();
        short = letters.next();
        if letters.next().is_some() || short == Some('-') {
            of.error_at("short", format_args!("is {letter} where one letter is expected"));
        }
        placeholder = of.text("placeholder");
        env = Some(of.text("env")).filter(|env| !env.is_empty());
    }
    if is_rpc {
        reply_filter = Some(of.template("reply_filter")).filter(|filter| !filter.is_empty());
    }
    let input = Input {
        name,
        description: of.text("description"),
        required: of.flag("required"),
        choices,
        default,
        of: kind,
        validate: of.expression("validate", InputExpression::of_value),
        placeholder,
        env,
        short,
        reply_filter,
    };
    if let Some(default) = &input.default
        && let Err(e) = values::typed(&input, default)
    {
        of.error_at("default", format_args!("cannot be used: {e}"));
    }
    input
}

fn secret(of: &mut Reading<'_, '_>) -> Secret {
    let name = of.required("name");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        of.error_at("name", format_args!("is '{name}': letters, digits and _ make a name"));
    }
    let _ = of.text("description");
    let (mut reference, mut account) = (String::new(), String::new());
    match of.inner("one_password") {
        Some(mut of) => {
            let [vault, item, field] = ["vault", "item", "field"].map(|name| of.required(name));
            account = of.text("account");
            reference = format!("op://{vault}/{item}/{field}");
            of.finish(&[]);
        }
        None => of.error("one_password is required, with vault, item and field: no other store is known"),
    }
    Secret { name, reference, account }
}
