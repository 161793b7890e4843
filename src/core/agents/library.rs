//! Agents on disk: which there are, and what of it has changed since the last look
//! (spec 02 §§4, 5). Touches files, and nothing else; whoever calls may hang with them.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{external, ruby};
use crate::core::ddl::AgentDdl;
use crate::core::files::{Version, read_bounded};

/// Largest interface.
const MAX_DDL: u64 = 1024 * 1024;
/// Deepest directory that is searched for Ruby agents, and most entries looked at.
const MAX_DEPTH: usize = 16;
const MAX_ENTRIES: usize = 10_000;
/// A file as old as this has been written.
const SETTLED: Duration = Duration::from_secs(2);
/// Names that are no external agent's, whoever has one of them.
pub const RESERVED: [&str; 6] =
    ["rpcutil", "choria_util", "choria_provision", "choria_registry", "discovery", "scout"];

/// An agent that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its interface.
    pub ddl: AgentDdl,
    /// The file of it.
    pub file: PathBuf,
    /// What runs it.
    pub kind: Kind,
}

/// What runs an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A program beside its interface.
    External,
    /// The Ruby shim.
    Ruby,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// New, or another than before.
    Come(Box<Found>),
    /// Not there any more.
    Gone(String),
}

/// What a look came to.
#[derive(Debug, Default)]
pub struct Look {
    /// What has changed since the last.
    pub changes: Vec<Change>,
    /// Whether something is being written just now: the next look should come soon.
    pub unsettled: bool,
}

/// The directories, and what they held at the last look.
#[derive(Debug, Default)]
pub struct Library {
    dirs: Vec<PathBuf>,
    with_ruby: bool,
    files: BTreeMap<PathBuf, Seen>,
    /// By name: what was found, with the versions of interface and program.
    agents: BTreeMap<String, (PathBuf, Version, Option<Version>)>,
}

/// An interface file as it was last looked at.
#[derive(Debug, Clone)]
struct Seen {
    looked: Version,
    /// The last state that was read.
    tried: Option<Version>,
    /// The last state that was good.
    loaded: Option<(Version, AgentDdl, Kind)>,
}

impl Library {
    /// Of agents below `mcollective/agent` of these directories. Ruby agents count where
    /// there is a shim.
    pub fn new(dirs: impl IntoIterator<Item = impl Into<PathBuf>>, with_ruby: bool) -> Library {
        Library { dirs: dirs.into_iter().map(Into::into).collect(), with_ruby, ..Library::default() }
    }

    /// Looks again. An interface counts once it is whole and was the same at two looks,
    /// or is old; while it is being written the agent stays what it was.
    pub fn look(&mut self) -> Look {
        let mut look = Look::default();
        let mut files = BTreeMap::new();
        let mut there: BTreeMap<String, (PathBuf, Version, Option<Version>)> = BTreeMap::new();
        let mut found = BTreeMap::new();
        for (file, depth) in self.candidates() {
            let Ok(about) = fs::metadata(&file) else { continue };
            if !about.is_file() {
                continue;
            }
            let version = Version::from(&about);
            let known = self.files.get(&file).cloned();
            let mut seen = known.unwrap_or(Seen { looked: version, tried: None, loaded: None });
            let settled = self.files.contains_key(&file) && seen.looked == version || is_old(&about);
            seen.looked = version;
            look.unsettled |= !settled;
            if settled && seen.tried != Some(version) {
                seen.tried = Some(version);
                match self.read(&file, depth) {
                    Ok(read) => seen.loaded = read.map(|(ddl, kind)| (version, ddl, kind)),
                    // What was there stays what it was.
                    Err(problem) => tracing::warn!("{problem}"),
                }
            }
            if let Some((version, ddl, kind)) = &seen.loaded {
                let name = ddl.metadata.name.clone();
                let program = file.parent().and_then(|dir| match kind {
                    Kind::External => external::program(dir, &name),
                    Kind::Ruby => None,
                });
                let program = program.and_then(|program| Version::of(&program).ok());
                // the first directory wins, and within it what stands nearer
                if !there.contains_key(&name) {
                    there.insert(name.clone(), (file.clone(), *version, program));
                    found.insert(name, Found { ddl: ddl.clone(), file: file.clone(), kind: *kind });
                }
            }
            files.insert(file, seen);
        }
        let gone = self.agents.keys().filter(|name| !there.contains_key(*name));
        look.changes.extend(gone.cloned().map(Change::Gone));
        for (name, found) in found {
            if self.agents.get(&name) != there.get(&name) {
                look.changes.push(Change::Come(Box::new(found)));
            }
        }
        self.files = files;
        self.agents = there;
        look
    }

    /// The agent a file describes; none when it is not for this node to run.
    fn read(&self, file: &Path, depth: usize) -> Result<Option<(AgentDdl, Kind)>, String> {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let bad = |problem: String| format!("{} is no agent for this node: {problem}", file.display());
        let json = read_bounded(file, MAX_DDL).map_err(|e| e.to_string())?;
        let ddl = AgentDdl::parse(&json).map_err(|e| bad(e.to_string()))?;
        let name = &ddl.metadata.name;
        let in_ruby = || file.with_extension("rb").is_file();
        let kind = match ddl.metadata.provider.as_deref() {
            Some(external::PROVIDER) if depth == 0 || beside_its_name(file, stem) => Kind::External,
            None | Some("" | ruby::PROVIDER) if self.with_ruby && in_ruby() => Kind::Ruby,
            _ => return Ok(None),
        };
        if RESERVED.contains(&stem) || RESERVED.contains(&name.as_str()) {
            return Err(bad(format!("'{name}' is a name of this program's own agents")));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.chars().all(plain) {
            return Err(bad("metadata.name may hold a-z, 0-9 and _ only".to_owned()));
        }
        if kind == Kind::Ruby && name != stem {
            return Err(bad(format!("it describes the agent '{name}'")));
        }
        if ddl.metadata.timeout < 1 {
            return Err(bad("metadata.timeout is below one second".to_owned()));
        }
        external::trusted(file).map_err(bad)?;
        Ok(Some((ddl, kind)))
    }

    /// Interface files with their depth, those that win first.
    fn candidates(&self) -> Vec<(PathBuf, usize)> {
        let mut files = Vec::new();
        for dir in &self.dirs {
            let mut left = MAX_ENTRIES;
            let deepest = if self.with_ruby { MAX_DEPTH } else { 1 };
            walk(&dir.join("mcollective/agent"), 0, deepest, &mut left, &mut files);
        }
        files
    }
}

/// Whether it is `X/X.json`.
fn beside_its_name(file: &Path, stem: &str) -> bool {
    file.parent().and_then(Path::file_name).is_some_and(|dir| dir == stem)
}

fn is_old(about: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let changed = u64::try_from(about.ctime()).unwrap_or_default();
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
    changed.elapsed().is_ok_and(|age| age > SETTLED)
}

fn walk(dir: &Path, depth: usize, deepest: usize, left: &mut usize, files: &mut Vec<(PathBuf, usize)>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let (mut dirs, mut here) = (Vec::new(), Vec::new());
    for entry in entries.flatten() {
        if *left == 0 {
            break;
        }
        *left -= 1;
        let path = entry.path();
        if entry.file_name() == "tmp" {
            continue;
        }
        let is_json = path.extension().is_some_and(|kind| kind == "json");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => dirs.push(path),
            Ok(kind) if kind.is_symlink() && !is_json => dirs.extend(path.is_dir().then_some(path)),
            Ok(_) if is_json => here.push((path, depth)),
            _ => {}
        }
    }
    here.sort();
    dirs.sort();
    files.append(&mut here);
    if depth < deepest {
        dirs.iter().for_each(|dir| walk(dir, depth + 1, deepest, left, files));
    }
}

#[cfg(test)]
mod tests;
