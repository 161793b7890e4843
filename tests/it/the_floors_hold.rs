//! Rooms of `src/core` use only rooms below them, as its documentation says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Imports that go another way, each with its reason: (from, to, reason).
const EXCEPTIONS: [(&str, &str, &str); 0] = [];

fn core() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core")
}

/// The floor of each room, counted from the top: lines of the list in `core/mod.rs`.
fn floors(text: &str) -> BTreeMap<String, usize> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("//! - "));
    let rooms = lines.enumerate().flat_map(|(floor, line)| {
        let (names, _) = line.split_once("]: ").unwrap_or((line, ""));
        names.split('`').skip(1).step_by(2).map(move |room| (room.to_owned(), floor))
    });
    rooms.collect()
}

/// Source files of a room with the path of their module, those for tests alone left out:
/// they are declared so, by their name or by the name of their file.
fn sources(dir: &Path, module: &[String], files: &mut Vec<(Vec<String>, String)>) {
    let read = |path: &Path| fs::read_to_string(path).expect("a file");
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (directories, sources): (BTreeSet<_>, BTreeSet<_>) = entries.partition(|path| path.is_dir());
    let mut declarations: String = sources.iter().map(|path| read(path)).collect();
    if dir.with_extension("rs").is_file() {
        declarations.push_str(&read(&dir.with_extension("rs")));
    }
    for path in directories.into_iter().chain(sources) {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        if declarations.contains(&format!("#[cfg(test)]\nmod {name};"))
            || declarations.contains(&format!("#[cfg(test)]\n#[path = \"{name}.rs\"]"))
        {
            continue;
        }
        let inner = if name == "mod" { module.to_vec() } else { [module, &[name]].concat() };
        match path.is_dir() {
            true => self::sources(&path, &inner, files),
            false => files.push((inner, code(&read(&path)))),
        }
    }
}

/// What is compiled into the program: no comments, and no tests at the foot.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The rooms that the code of a module names.
fn used(module: &[String], code: &str) -> BTreeSet<String> {
    let up = "super::".repeat(module.len());
    let deeper = format!("super::{up}");
    let mut rooms = BTreeSet::new();
    for path in ["crate::core::", &up] {
        for (at, _) in code.match_indices(path) {
            if path == up && code[..at].ends_with("super::") || code[at..].starts_with(&deeper) {
                continue;
            }
            let rest = &code[at + path.len()..];
            let group = rest.strip_prefix('{').map(|rest| rest.split('}').next().unwrap_or_default());
            for name in group.unwrap_or(rest).split(',').take(if group.is_some() { usize::MAX } else { 1 }) {
                let name = name.trim();
                let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(name.len());
                rooms.insert(name[..end].to_owned());
            }
        }
    }
    rooms
}

/// The room that a line declares. One of its own crate is at its place all the same.
fn declared(line: &str) -> Option<&str> {
    match line.strip_prefix("pub use ") {
        Some(other) => other.split_once(" as ").map(|(_, room)| room),
        None => line.strip_prefix("pub mod "),
    }
}

#[test]
fn a_room_uses_only_rooms_below_it() {
    let text = fs::read_to_string(core().join("mod.rs")).expect("a file");
    let floors = floors(&text);
    let declared: BTreeSet<_> = text.lines().filter_map(declared).collect();
    let listed: BTreeSet<_> = floors.keys().map(|room| format!("{room};")).collect();
    assert_eq!(listed, declared.into_iter().map(str::to_owned).collect(), "every room is on a floor");

    let (mut wrong, mut excused, mut checked) = (vec![], BTreeSet::new(), 0);
    for (room, floor) in &floors {
        let mut files = vec![];
        sources(&core().join(room), std::slice::from_ref(room), &mut files);
        for (module, code) in files {
            checked += 1;
            if code.contains("crate::cmd") {
                wrong.push(format!("{} uses the face", module.join("::")));
            }
            for other in used(&module, &code) {
                let Some(below) = floors.get(&other) else { continue };
                let exception = EXCEPTIONS.iter().find(|(from, to, _)| from == room && *to == other);
                if other == *room || below > floor {
                    continue;
                }
                match exception {
                    Some(exception) => drop(excused.insert(exception)),
                    None => wrong.push(format!("{} uses {other}", module.join("::"))),
                }
            }
        }
    }
    assert!(checked > 200, "{checked}");
    assert!(wrong.is_empty(), "rooms use only rooms of floors below (src/core/mod.rs): {wrong:#?}");
    assert_eq!(excused.len(), EXCEPTIONS.len(), "an exception that nobody needs goes");
}

#[test]
fn imports_are_understood() {
    let module = ["server".to_owned(), "pipeline".to_owned()];
    let rooms = |text: &str| used(&module, &code(text)).into_iter().collect::<Vec<_>>().join(" ");
    for (text, wanted) in [
        ("use crate::core::files::SECRET;", "files"),
        ("use crate::core::{build, files::{PUBLIC}};", "build files"),
        ("    let x = crate::core::build::version();", "build"),
        ("use super::super::text::hex;", "text"),
        ("use super::stages;", ""),
        ("/// [x](crate::core::client)", ""),
        ("a();\n#[cfg(test)]\nmod tests {\n    use crate::core::client;", ""),
    ] {
        assert_eq!(rooms(text), wanted, "{text}");
    }
    let text = "//! - [`a`], [`b`]: top, of [`x`]\n//! - [`c`]: below\n";
    let floors: Vec<_> = floors(text).into_iter().collect();
    assert_eq!(floors, [("a".to_owned(), 0), ("b".to_owned(), 0), ("c".to_owned(), 1)]);
}
