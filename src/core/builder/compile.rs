//! From text to a [`Definition`], or to what is wrong with it: one line a mistake.

mod command;
mod reading;

use std::cell::RefCell;
use std::sync::Arc;

pub use reading::Reading;

use super::definition::{Cheat, Definition, Finding, HelpStyle};
use crate::core::machine::findings::Findings;
use crate::core::text::yaml::{self, At, Node, What};
use command::commands;

/// Files that one application is made of.
const MAX_FILES: usize = 64;
/// Files that include one another.
const MAX_DEPTH: usize = 8;
/// Commands of one application.
const MAX_COMMANDS: usize = 2000;

/// Where included files come from.
pub trait Source {
    /// What `name` means in `file`: what it is called when it is meant once more, and its text.
    ///
    /// # Errors
    /// Why it cannot be read, as a sentence.
    fn read(&mut self, file: &str, name: &str) -> Result<(String, String), String>;
}

/// What the members of a mapping are read within.
pub(super) trait Around {
    /// What nobody has to know who only runs it.
    fn incomplete(&self, at: At, text: String);
    /// What is understood and not done here.
    fn refused(&self, at: At, text: String);
    /// Takes over what was found in the file that is read.
    fn take(&self, findings: Findings);
    /// Begins a file that is included at a place.
    fn include(&self, name: &str, at: At) -> Option<Node>;
    /// Ends it.
    fn close(&self);
    /// Counts a command, and says how many there are.
    fn count(&self) -> usize;
    /// Whether nothing but commands has to be there.
    fn is_tasks(&self) -> bool;
}

/// What is known while files are read.
struct World<'s> {
    source: &'s mut dyn Source,
    /// Files under way, each included by the one before it.
    open: Vec<Arc<str>>,
    files: usize,
    commands: usize,
    is_tasks: bool,
    found: Found,
}

/// What was found in all files.
#[derive(Default)]
struct Found {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    incomplete: Vec<Finding>,
    refused: Vec<Finding>,
}

impl World<'_> {
    /// Something about the file that is read.
    fn finding(&self, at: At, text: String) -> Finding {
        Finding { file: self.open.last().cloned().unwrap_or_else(|| "".into()), at, text }
    }

    fn include(&mut self, name: &str, at: At) -> Result<Node, Finding> {
        let wrong = |world: &Self, text: &str| Err(world.finding(at, format!("include_file {name}: {text}")));
        self.files += 1;
        if self.files > MAX_FILES || self.open.len() > MAX_DEPTH {
            return wrong(self, &format!("more than {MAX_FILES} files, or {MAX_DEPTH} within one another"));
        }
        let file = self.open.last().cloned().unwrap_or_else(|| "".into());
        let (called, text) = match self.source.read(&file, name) {
            Ok(read) => read,
            Err(e) => return wrong(self, &e),
        };
        if self.open.iter().any(|open| **open == *called) {
            return wrong(self, "that file includes this one");
        }
        let called: Arc<str> = called.into();
        let node = yaml::read(&text);
        let node = node.map_err(|e| Finding { file: called.clone(), at: e.at, text: e.problem })?;
        self.open.push(called);
        Ok(node)
    }
}

impl Around for RefCell<World<'_>> {
    fn incomplete(&self, at: At, text: String) {
        let finding = self.borrow().finding(at, text);
        self.borrow_mut().found.incomplete.push(finding);
    }

    fn refused(&self, at: At, text: String) {
        let finding = self.borrow().finding(at, text);
        self.borrow_mut().found.refused.push(finding);
    }

    fn take(&self, findings: Findings) {
        let mut world = self.borrow_mut();
        for one in findings.errors {
            let finding = world.finding(one.at, one.text);
            world.found.errors.push(finding);
        }
        for one in findings.warnings {
            let finding = world.finding(one.at, one.text);
            world.found.warnings.push(finding);
        }
    }

    fn include(&self, name: &str, at: At) -> Option<Node> {
        let mut world = self.borrow_mut();
        match world.include(name, at) {
            Ok(node) => Some(node),
            Err(finding) => {
                world.found.errors.push(finding);
                None
            }
        }
    }

    fn close(&self) {
        self.borrow_mut().open.pop();
    }

    fn count(&self) -> usize {
        let mut world = self.borrow_mut();
        world.commands += 1;
        world.commands
    }

    fn is_tasks(&self) -> bool {
        self.borrow().is_tasks
    }
}

/// Compiles the application of a file. Of `tasks`, nothing but commands has to be there.
///
/// # Errors
/// All that is wrong with it, in the order of its files and lines.
pub fn compile(
    file: &str,
    text: &str,
    source: &mut dyn Source,
    is_tasks: bool,
) -> Result<Compiled, Vec<Finding>> {
    match read(file, text, source, is_tasks) {
        (Some(mut definition), found) if found.errors.is_empty() => {
            definition.warnings = found.warnings;
            definition.refused = found.refused;
            Ok(Compiled { definition, incomplete: found.incomplete })
        }
        (_, found) => Err(found.errors),
    }
}

/// What is wrong with an application, whether it can be run or not: mistakes, what is missing and what nobody
/// knows, in the order of its lines; and what is understood and not done here.
pub fn examine(
    file: &str,
    text: &str,
    source: &mut dyn Source,
    is_tasks: bool,
) -> (Vec<Finding>, Vec<Finding>) {
    let (_, Found { errors, warnings, refused, incomplete, .. }) = read(file, text, source, is_tasks);
    let mut mistakes = [errors, incomplete, warnings].concat();
    // those of included files come where they were included
    mistakes.sort_by_key(|finding| (&*finding.file != file, finding.at));
    (mistakes, refused)
}

/// A definition, where it is one, and all that was found; something wrong, where it is none.
fn read(file: &str, text: &str, source: &mut dyn Source, is_tasks: bool) -> (Option<Definition>, Found) {
    let file: Arc<str> = file.into();
    let alone = |at: At, text: String| {
        (None, Found { errors: vec![Finding { file: file.clone(), at, text }], ..Found::default() })
    };
    let root = match yaml::read(text) {
        Ok(root) => root,
        Err(e) => return alone(e.at, e.problem),
    };
    let world = RefCell::new(World {
        source,
        open: vec![file.clone()],
        files: 1,
        commands: 0,
        is_tasks,
        found: Found::default(),
    });
    let definition = included(&root, &world).and_then(|root| application(&root, &world));
    let World { mut found, .. } = world.into_inner();
    found.errors.dedup();
    match definition {
        None if found.errors.is_empty() => {
            alone(At { line: 1, column: 1 }, "it is no application".to_owned())
        }
        definition => (definition, found),
    }
}

/// An application that can be run.
#[derive(Debug)]
pub struct Compiled {
    /// It.
    pub definition: Definition,
    /// What is missing for it to be handed to others.
    pub incomplete: Vec<Finding>,
}

/// With what it includes as a whole: what stands in the file itself counts more.
fn included(root: &Node, around: &dyn Around) -> Option<Node> {
    const OVER: [&str; 4] = ["name", "description", "version", "author"];
    let Some(name) = root.member("include_file").filter(|node| !node.is_null()) else {
        return Some(root.clone());
    };
    let What::Scalar { text, .. } = &name.what else {
        let mut findings = Findings::default();
        findings.error(name.at, format!("include_file is {} where a file is expected", name.kind()));
        around.take(findings);
        return None;
    };
    let inner = included(&around.include(text, name.at)?, around)?;
    Some(merged(root, inner, &OVER))
}

/// Members of an included file, those of `over` from what includes it where they are there.
fn merged(outer: &Node, inner: Node, over: &[&str]) -> Node {
    let (What::Map(outer), What::Map(members)) = (&outer.what, &inner.what) else { return inner };
    let mut members = members.clone();
    members.retain(|(_, key, _)| key != "include_file");
    for (at, key, value) in outer {
        if key == "include_file" || value.is_null() {
            continue;
        }
        match members.iter_mut().find(|(_, there, _)| there == key) {
            Some(slot) if over.contains(&key.as_str()) => *slot = (*at, key.clone(), value.clone()),
            Some(_) => {}
            None => members.push((*at, key.clone(), value.clone())),
        }
    }
    Node { at: inner.at, what: What::Map(members) }
}

fn application(root: &Node, around: &dyn Around) -> Option<Definition> {
    let mut findings = Findings::default();
    if !matches!(root.what, What::Map(_)) {
        let text = format!("an application is a mapping with name and commands, this is {}", root.kind());
        findings.error(root.at, text);
        around.take(findings);
        return None;
    }
    let mut of = Reading::new(root, "application".to_owned(), &mut findings, around);
    let [name, description, version, author] =
        ["name", "description", "version", "author"].map(|name| of.text(name));
    let style = of.text("help_template");
    let help = match style.trim().to_ascii_lowercase().as_str() {
        "" | "default" => HelpStyle::Default,
        "compact" => HelpStyle::Compact,
        "long" => HelpStyle::Long,
        "short" => HelpStyle::Short,
        _ => {
            of.error_at("help_template", format!("is {style}: compact, long, short and default are known"));
            HelpStyle::Default
        }
    };
    for (key, missing) in [
        ("name is required", name.is_empty()),
        ("description is required", description.is_empty()),
        ("author is required", author.is_empty()),
        ("version is required, such as 1.2.3", !is_version(&version)),
    ] {
        if missing && !around.is_tasks() {
            of.incomplete(key);
        }
    }
    let cheat = of.inner("cheat").map(|mut of| {
        let cheat = Cheat { label: of.text("label"), text: of.text("cheat"), tags: of.list("tags") };
        let enabled = of.flag("enabled") || !cheat.text.is_empty();
        of.finish(&[]);
        enabled.then_some(cheat)
    });
    let commands = commands(&mut of);
    if commands.is_empty() {
        of.error("no commands are defined, there has to be at least one");
    }
    of.finish(&[]);
    around.take(findings);
    let cheat = cheat.flatten();
    let (warnings, refused) = (vec![], vec![]);
    Some(Definition { name, description, version, author, help, cheat, commands, warnings, refused })
}

/// `MAJOR.MINOR.PATCH` of semantic versions, with what may follow.
fn is_version(text: &str) -> bool {
    let (core, _) = text.split_once('+').unwrap_or((text, ""));
    let (numbers, before) =
        core.split_once('-').map_or((core, None), |(numbers, rest)| (numbers, Some(rest)));
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && before.is_none_or(|before| before.split('.').all(word))
}
