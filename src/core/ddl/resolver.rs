//! Finding DDLs: our own first, then files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::agent::{AgentDdl, DdlError, MAX_DDL};
use super::builtin::{builtin, builtin_names, is_replaceable};
use super::data::{DataDdl, builtin_data};
use crate::core::files::read_bounded;
use crate::core::text;

/// Deepest directory that is searched, and most entries looked at, below one
/// library directory. A link in a circle ends there.
const MAX_DEPTH: usize = 16;
const MAX_ENTRIES: usize = 100_000;

/// Data plugins of the original's nodes, which are in every fleet.
const DATA: [&str; 5] = ["bolt_task", "choria", "config_item", "machine_state", "scout"];

/// Looks DDLs up below library directories.
#[derive(Debug, Clone, Default)]
pub struct Resolver {
    dirs: Vec<PathBuf>,
    /// Where interfaces that others gave are kept, as `agent/NAME.json`.
    cache: Option<PathBuf>,
}

/// Why an agent has no usable interface here.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No such file, and not compiled in.
    #[error("could not resolve {name} DDL in any resolver{meant}; {}", hint(name, dirs))]
    Unknown {
        /// The agent.
        name: String,
        /// `, did you mean …?`, or nothing.
        meant: String,
        /// Where it was looked for.
        dirs: String,
    },
    /// A file that is there and cannot be read.
    #[error("could not resolve {name} DDL: {source}")]
    Read {
        /// The agent.
        name: String,
        /// What went wrong; names the file.
        source: std::io::Error,
    },
    /// A file that is no DDL.
    #[error("could not resolve {name} DDL: {}: {source}", file.display())]
    Broken {
        /// The agent.
        name: String,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: DdlError,
    },
    /// A file that describes another agent than its name says.
    #[error("{} describes the agent {found}, not {name}; rename the file or its metadata", file.display())]
    OtherName {
        /// The agent asked for.
        name: String,
        /// The file.
        file: PathBuf,
        /// The agent it describes.
        found: String,
    },
}

fn hint(name: &str, dirs: &str) -> String {
    match dirs {
        "" => format!(
            "its interface, mcollective/agent/{name}.json, may be below a directory that libdir names"
        ),
        dirs => format!("put its interface, mcollective/agent/{name}.json, below one of: {dirs}"),
    }
}

impl Resolver {
    /// Searches `libdirs` in their order, below `choria/agent` and then
    /// `mcollective/agent` of each.
    pub fn new(libdirs: impl IntoIterator<Item = impl Into<PathBuf>>) -> Resolver {
        Resolver { dirs: libdirs.into_iter().map(Into::into).collect(), cache: None }
    }

    /// Looks in this directory last, for what others gave.
    pub fn cached_in(mut self, cache: Option<PathBuf>) -> Resolver {
        self.cache = cache;
        self
    }

    /// Where an interface that others gave is kept; none for what is no name of an agent.
    pub fn cache_file(&self, name: &str) -> Option<PathBuf> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_name = !name.is_empty() && name.chars().all(plain);
        self.cache.as_ref().filter(|_| is_name).map(|cache| cache.join(format!("agent/{name}.json")))
    }

    /// Whether the interface of that name is one that others gave.
    pub fn is_cached(&self, name: &str) -> bool {
        builtin(name).is_none()
            && self.find_named(name).is_none()
            && self.cache_file(name).is_some_and(|file| file.is_file())
    }

    fn find_named(&self, name: &str) -> Option<PathBuf> {
        let wanted = format!("{name}.json");
        self.find(&mut |file| file.file_name().is_some_and(|n| n == wanted.as_str()))
    }

    /// The interface of an agent.
    ///
    /// The first file found wins, in the order of directories and sorted
    /// within one. The original lets the last one win, by accident, so that an
    /// earlier directory cannot override a later one.
    pub fn agent(&self, name: &str) -> Result<AgentDdl, ResolveError> {
        let own = builtin(name);
        let found = if own.is_some() && !is_replaceable(name) { None } else { self.find_named(name) };
        if let (Some(own), None) = (own, &found) {
            return Ok(own.clone());
        }
        let name = || name.to_owned();
        let kept = || self.cache_file(&name()).filter(|file| file.is_file());
        let Some(file) = found.or_else(kept) else {
            let dirs: Vec<_> = self.dirs.iter().map(|d| d.display().to_string()).collect();
            let known = self.agent_names();
            let meant = text::meant(&name(), known.iter().map(String::as_str));
            return Err(ResolveError::Unknown { name: name(), meant, dirs: dirs.join(", ") });
        };
        let json = read_bounded(&file, MAX_DDL as u64)
            .map_err(|source| ResolveError::Read { name: name(), source })?;
        let ddl = match AgentDdl::parse(&json) {
            Ok(ddl) => ddl,
            Err(source) => return Err(ResolveError::Broken { name: name(), file, source }),
        };
        if ddl.metadata.name != name() {
            return Err(ResolveError::OtherName { name: name(), file, found: ddl.metadata.name });
        }
        Ok(ddl)
    }

    /// Names of all agents there are interfaces for, sorted. Files are not
    /// opened.
    pub fn agent_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = builtin_names().iter().map(|n| (*n).to_owned()).collect();
        names.extend(self.files());
        let kept = self.cache.as_ref().and_then(|cache| std::fs::read_dir(cache.join("agent")).ok());
        for entry in kept.into_iter().flatten().flatten().take(MAX_ENTRIES) {
            let name = entry.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
        }
        names.into_iter().collect()
    }

    /// The agent there is an interface for whose name is one typing error away.
    pub fn slip(&self, name: &str) -> Option<String> {
        let known = self.agent_names();
        text::slip(name, known.iter().map(String::as_str)).map(str::to_owned)
    }

    /// Names of the agents there are files of, sorted. Files are not opened.
    pub fn files(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        self.find(&mut |file| {
            if file.extension().is_some_and(|e| e == "json") {
                names.extend(file.file_stem().and_then(|s| s.to_str()).map(str::to_owned));
            }
            false
        });
        names.into_iter().collect()
    }

    /// Whether there is an interface of this data plugin: ours, or a file, of
    /// which only the name is looked at.
    pub fn has_data(&self, name: &str) -> bool {
        let is_it = |file: &Path| {
            let kind = file.extension().and_then(|e| e.to_str());
            file.file_stem().is_some_and(|stem| stem == name) && matches!(kind, Some("json" | "ddl"))
        };
        DATA.contains(&name) || self.find_data(&mut |file| is_it(file)).is_some()
    }

    /// The interface of a data plugin: ours, or the first file found.
    ///
    /// # Errors
    /// It cannot be read, or is none; nothing is there for a name nobody knows.
    pub fn data(&self, name: &str) -> Result<Option<DataDdl>, ResolveError> {
        if let Some(own) = builtin_data().iter().find(|ddl| ddl.metadata.name == name) {
            return Ok(Some(own.clone()));
        }
        let is_it = |file: &Path| {
            file.extension().is_some_and(|kind| kind == "json")
                && file.file_stem().is_some_and(|stem| stem == name)
        };
        let Some(file) = self.find_data(&mut |file| is_it(file)) else { return Ok(None) };
        let json = read_bounded(&file, MAX_DDL as u64)
            .map_err(|source| ResolveError::Read { name: name.to_owned(), source })?;
        let broken = |source| ResolveError::Broken { name: name.to_owned(), file, source };
        DataDdl::parse(&json).map(Some).map_err(broken)
    }

    /// Names of all data plugins there are interfaces for that can be shown, sorted. Files are not
    /// opened.
    pub fn data_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> =
            builtin_data().iter().map(|ddl| ddl.metadata.name.clone()).collect();
        self.find_data(&mut |file| {
            if file.extension().is_some_and(|kind| kind == "json") {
                names.extend(file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
            }
            false
        });
        names.into_iter().collect()
    }

    fn find_data(&self, accept: &mut dyn FnMut(&Path) -> bool) -> Option<PathBuf> {
        self.find_below(["choria/data", "mcollective/data"], accept)
    }

    /// The first file that `accept` takes.
    fn find(&self, accept: &mut dyn FnMut(&Path) -> bool) -> Option<PathBuf> {
        self.find_below(["choria/agent", "mcollective/agent"], accept)
    }

    fn find_below(&self, kinds: [&str; 2], accept: &mut dyn FnMut(&Path) -> bool) -> Option<PathBuf> {
        for dir in &self.dirs {
            let mut left = MAX_ENTRIES;
            for kind in kinds {
                if let Some(file) = walk(&dir.join(kind), 0, &mut left, accept) {
                    return Some(file);
                }
            }
        }
        None
    }
}

fn walk(
    dir: &Path,
    depth: usize,
    left: &mut usize,
    accept: &mut dyn FnMut(&Path) -> bool,
) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(dir).ok()?.flatten().take(*left).map(|entry| entry.path()).collect();
    *left -= entries.len();
    entries.sort();
    // Files before directories: what stands nearer wins.
    let (dirs, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
    if let Some(file) = files.into_iter().find(|file| accept(file)) {
        return Some(file);
    }
    if depth == MAX_DEPTH {
        return None;
    }
    dirs.iter().find_map(|dir| walk(dir, depth + 1, left, accept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, name: &str, version: &str) {
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let ddl = format!(r#"{{"metadata":{{"name":"{name}","version":"{version}"}},"actions":[]}}"#);
        std::fs::write(file, ddl).unwrap();
    }

    #[test]
    fn the_first_directory_wins_and_builtins_win_over_files() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        put(&a, "choria/agent/deep/er/demo.json", "demo", "1.0.0");
        put(&b, "mcollective/agent/demo.json", "demo", "2.0.0");
        put(&b, "mcollective/agent/rpcutil.json", "rpcutil", "9.9.9");
        put(&b, "mcollective/agent/package.json", "package", "9.9.9");
        put(&b, "mcollective/agent/wrong.json", "right", "1.0.0");
        put(&b, "mcollective/data/fact.json", "fact", "1.0.0");
        std::fs::write(b.join("mcollective/agent/broken.json"), "{").unwrap();
        let resolver = Resolver::new([&a, &b]);
        assert!(resolver.has_data("fact") && resolver.has_data("scout") && !resolver.has_data("demo"));
        assert_eq!(resolver.agent("demo").unwrap().metadata.version, "1.0.0");
        assert_ne!(resolver.agent("rpcutil").unwrap().metadata.version, "9.9.9");
        // a name that was others' before it was ours
        assert_eq!(resolver.agent("package").unwrap().metadata.version, "9.9.9");
        assert_ne!(resolver.agent("service").unwrap().metadata.version, "9.9.9");
        assert!(matches!(resolver.agent("wrong"), Err(ResolveError::OtherName { .. })));
        assert!(matches!(resolver.agent("broken"), Err(ResolveError::Broken { .. })));
        assert!(matches!(resolver.agent("nope"), Err(ResolveError::Unknown { .. })));
        assert!(matches!(resolver.agent("../agent/demo"), Err(ResolveError::Unknown { .. })));
        let mut names = builtin_names().to_vec();
        names.extend(["broken", "demo", "wrong"]);
        names.sort_unstable();
        assert_eq!(resolver.agent_names(), names);
    }
}
