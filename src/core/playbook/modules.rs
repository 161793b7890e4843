//! Where plans, functions and types are: `MODULE/plans/NAME.pp` below a list of directories.

use std::path::{Path, PathBuf};

use super::bundled;
use crate::core::files::read_bounded;
use crate::core::puppet::host::{Kind, Trouble};
use crate::core::puppet::source::LONGEST;
use crate::core::puppet::{Source, host};

/// Most files that a listing looks at.
const MOST: usize = 10_000;
/// Deepest directory below `plans/`.
const DEEPEST: usize = 16;
/// Largest file that `file()` gives a plan.
const LARGEST_FILE: u64 = 16 << 20;

/// Directories with modules, in the order they are searched.
#[derive(Debug, Clone, Default)]
pub struct Modules {
    path: Vec<PathBuf>,
}

/// A plan of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Where it is; nowhere if this program has it.
    pub file: Option<PathBuf>,
    /// The first line of the comment before it.
    pub summary: String,
}

/// Letters, digits and `_`, a letter first: nothing that leads out of a directory.
fn is_segment(segment: &str) -> bool {
    segment.starts_with(|c: char| c.is_ascii_lowercase())
        && segment.len() <= 100
        && segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl Modules {
    /// These directories.
    pub fn new(path: impl IntoIterator<Item = PathBuf>) -> Modules {
        Modules { path: path.into_iter().collect() }
    }

    /// Where modules of a person are, by Puppet's defaults; root has those of the machine.
    pub fn usual(home: Option<&Path>, root: bool) -> Modules {
        let system =
            [PathBuf::from("/etc/puppetlabs/code/modules"), PathBuf::from("/opt/puppetlabs/puppet/modules")];
        match home.filter(|_| !root) {
            Some(home) => Modules::new(
                [home.join(".puppetlabs/etc/code/modules")].into_iter().chain(system.into_iter().skip(1)),
            ),
            None => Modules::new(system),
        }
    }

    /// The directories.
    pub fn path(&self) -> &[PathBuf] {
        &self.path
    }

    /// Where what defines a name would be, in each directory.
    fn places(&self, directory: &str, name: &str, extension: &str) -> Vec<PathBuf> {
        let name = name.to_ascii_lowercase();
        let mut segments = name.split("::");
        let Some(module) = segments.next() else { return vec![] };
        let rest: Vec<_> = segments.collect();
        if !is_segment(module) || rest.len() > DEEPEST || !rest.iter().all(|segment| is_segment(segment)) {
            return vec![];
        }
        let file = if rest.is_empty() { "init".to_owned() } else { rest.join("/") };
        let below = format!("{module}/{directory}/{file}.{extension}");
        self.path.iter().map(|root| root.join(&below)).collect()
    }

    /// The file that should define a name.
    pub fn source(&self, kind: Kind, name: &str) -> Result<Option<Source>, Trouble> {
        let directory = match kind {
            Kind::Plan => "plans",
            Kind::Function => "functions",
            Kind::Type => "types",
        };
        let Some(file) = self.places(directory, name, "pp").into_iter().find(|file| file.is_file()) else {
            return Ok(if kind == Kind::Plan { bundled::plan(name) } else { None });
        };
        read(&file).map(Some)
    }

    /// A Ruby file that defines a function, which cannot run here.
    pub fn ruby(&self, function: &str) -> Option<String> {
        let mut segments: Vec<&str> = function.split("::").collect();
        let name = segments.pop()?;
        if !is_segment(name) || !segments.iter().all(|segment| is_segment(segment)) {
            return None;
        }
        let below = match segments.first() {
            Some(_) => format!("lib/puppet/functions/{}/{name}.rb", segments.join("/")),
            None => format!("lib/puppet/parser/functions/{name}.rb"),
        };
        let modules: Vec<PathBuf> = match segments.first() {
            Some(module) => self.path.iter().map(|root| root.join(module)).collect(),
            None => self.modules(),
        };
        let file = modules.into_iter().map(|module| module.join(&below)).find(|file| file.is_file());
        file.map(|file| file.display().to_string())
    }

    /// A file of `MODULE/files`, or one by its path.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        if name.starts_with('/') {
            return Some(PathBuf::from(name)).filter(|file| file.is_file());
        }
        let (module, rest) = name.split_once('/')?;
        let plain = !rest.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        if !is_segment(module) || !plain || rest.contains('\0') {
            return None;
        }
        self.path.iter().map(|root| root.join(module).join("files").join(rest)).find(|file| file.is_file())
    }

    /// The content of such a file.
    pub fn content(&self, name: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let Some(file) = self.file(name) else { return Ok(None) };
        read_bounded(&file, LARGEST_FILE)
            .map(Some)
            .map_err(|e| Trouble(format!("Could not read {name}: {e}")))
    }

    fn modules(&self) -> Vec<PathBuf> {
        let mut all = vec![];
        for root in &self.path {
            let entries = std::fs::read_dir(root).into_iter().flatten().flatten().take(MOST);
            let mut here: Vec<PathBuf> =
                entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
            here.sort();
            all.extend(here);
        }
        all
    }

    /// All plans, sorted by name; of two with one name the first, those of this program last.
    pub fn plans(&self) -> Vec<Listed> {
        let mut found: Vec<Listed> = vec![];
        let mut left = MOST;
        for module in self.modules() {
            let Some(name) =
                module.file_name().and_then(|name| name.to_str()).filter(|name| is_segment(name))
            else {
                continue;
            };
            let mut open = vec![(module.join("plans"), name.to_owned(), 0)];
            while let Some((directory, prefix, depth)) = open.pop() {
                let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
                for path in entries.map(|entry| entry.path()) {
                    left = left.saturating_sub(1);
                    if left == 0 {
                        break;
                    }
                    let Some(stem) =
                        path.file_stem().and_then(|stem| stem.to_str()).filter(|s| is_segment(s))
                    else {
                        continue;
                    };
                    if path.is_dir() && depth < DEEPEST {
                        open.push((path.clone(), format!("{prefix}::{stem}"), depth + 1));
                    } else if path.extension().is_some_and(|e| e == "pp") {
                        let name = match (stem, depth) {
                            ("init", 0) => prefix.clone(),
                            _ => format!("{prefix}::{stem}"),
                        };
                        found.push(Listed {
                            name,
                            summary: read(&path).map_or_else(|_| String::new(), |source| summary(&source)),
                            file: Some(path),
                        });
                    }
                }
            }
        }
        let own = bundled::names().filter_map(|name| Some((name, bundled::plan(name)?)));
        found.extend(own.map(|(name, source)| Listed {
            name: name.to_owned(),
            file: None,
            summary: summary(&source),
        }));
        // those of an earlier directory came first, and the sort keeps that
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by(|later, earlier| later.name == earlier.name);
        found
    }
}

/// The text of a plan.
fn read(file: &Path) -> Result<Source, host::Trouble> {
    let wrong = |what: String| Trouble(format!("{}: {what}", file.display()));
    let bytes = read_bounded(file, LONGEST as u64).map_err(|e| wrong(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("this is not UTF-8".to_owned()))?;
    Ok(Source::new(&file.display().to_string(), text))
}

/// The first sentence of the comment at the top, or before the plan.
fn summary(source: &Source) -> String {
    let at = source.text.find("\nplan ").map_or(0, |at| at + 1);
    let lines = source.comment_before(u32::try_from(at).unwrap_or(0));
    let is_text = |line: &str| !line.is_empty() && (!line.starts_with('@') || line.starts_with("@summary"));
    let said = lines.iter().map(|line| line.trim()).skip_while(|line| !is_text(line));
    let text = said.take_while(|line| is_text(line)).collect::<Vec<_>>().join(" ");
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    text[..end].trim_start_matches("@summary").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    #[test]
    fn plans_are_found_by_their_place() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        put(&a, "demo/plans/init.pp", "plan demo () { }");
        put(
            &a,
            "demo/plans/deep/er.pp",
            "# Goes deep, and\n# deeper. And\n# more.\nplan demo::deep::er () { }",
        );
        put(&b, "demo/plans/init.pp", "# hidden\nplan demo () { 'second' }");
        put(&b, "other/plans/x.pp", "\n# Not this.\n\nplan other::x () { }");
        put(&b, "other/lib/puppet/functions/other/f.rb", "");
        put(&b, "other/files/text", "content");
        put(&b, "Bad-Name/plans/x.pp", "");
        let modules = Modules::new([a.clone(), b]);
        let plans = modules.plans();
        let (own, bundled): (Vec<_>, Vec<_>) = plans.into_iter().partition(|plan| plan.file.is_some());
        let names: Vec<_> = own.into_iter().map(|plan| (plan.name, plan.summary)).collect();
        assert_eq!(names.len(), 3);
        assert_eq!(bundled.len(), 4);
        assert!(bundled.iter().all(|plan| !plan.summary.is_empty()), "{bundled:?}");
        assert_eq!(names[1], ("demo::deep::er".to_owned(), "Goes deep, and deeper.".to_owned()));
        let source = |name| modules.source(Kind::Plan, name).unwrap().map(|source| source.text);
        assert_eq!(source("demo").unwrap(), "plan demo () { }");
        assert!(source("demo::deep::er").is_some());
        for absent in ["nosuch", "demo::x", "", "demo::..::..::x", "demo::deep/er", "::demo", "/etc/passwd"] {
            assert!(source(absent).is_none(), "{absent}");
        }
        assert!(modules.ruby("other::f").unwrap().ends_with("other/f.rb"));
        assert_eq!(modules.content("other/text").unwrap().unwrap(), b"content");
        for absent in ["other/../files/text", "other", "other//text", "../other/text", "/nonexistent"] {
            assert!(modules.file(absent).is_none(), "{absent}");
        }
        put(&a, "demo/plans/latin.pp", "");
        std::fs::write(a.join("demo/plans/latin.pp"), [0xff]).unwrap();
        assert!(modules.source(Kind::Plan, "demo::latin").unwrap_err().0.contains("not UTF-8"));
    }
}
