//! External data plugins on disk: which there are now. Touches files, and nothing else;
//! whoever calls may hang with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data;
use super::external::{self, DataPlugin, DataSet, Surroundings};
use crate::core::ddl::DataDdl;
use crate::core::files::{Version, read_bounded};

/// Largest interface.
const MAX_DDL: u64 = 256 * 1024;
/// Most entries of a directory that are looked at, and plugins in all.
const MAX_ENTRIES: usize = 1000;
const MOST: usize = 64;

/// The directories, and what they held at the last look.
#[derive(Debug, Default)]
pub struct DataLibrary {
    dirs: Vec<PathBuf>,
    around: Surroundings,
    seen: BTreeMap<PathBuf, Version>,
    loaded: Option<BTreeMap<PathBuf, Version>>,
}

impl DataLibrary {
    /// Of plugins below `mcollective/data` of these directories.
    pub fn new(dirs: &[impl AsRef<Path>], around: &Surroundings) -> DataLibrary {
        let dirs = dirs.iter().map(|dir| dir.as_ref().join("mcollective/data")).collect();
        DataLibrary { dirs, around: around.clone(), ..DataLibrary::default() }
    }

    /// Looks again; nothing where all is as it was. What is being written counts once it was
    /// the same at two looks.
    pub fn look(&mut self) -> Option<DataSet> {
        let files: BTreeMap<PathBuf, Version> = self.dirs.iter().flat_map(|dir| interfaces(dir)).collect();
        let settled = files == self.seen;
        self.seen = files;
        if !settled || self.loaded.as_ref() == Some(&self.seen) {
            return None;
        }
        let first = self.loaded.is_none();
        self.loaded = Some(self.seen.clone());
        let set = self.load();
        (!first || !set.is_empty()).then_some(set)
    }

    fn load(&self) -> DataSet {
        let mut set = DataSet::new();
        // the first directory wins
        for dir in &self.dirs {
            for file in self.seen.keys().filter(|file| file.starts_with(dir)) {
                match self.read(file) {
                    Ok(Some(plugin)) if set.len() < MOST => {
                        set.entry(plugin.ddl().metadata.name.clone()).or_insert_with(|| Arc::new(plugin));
                    }
                    Ok(Some(_)) => {
                        tracing::warn!(
                            "{} is left aside: there are {MOST} data plugins already",
                            file.display()
                        );
                    }
                    Ok(None) => {}
                    Err(problem) => {
                        tracing::warn!("{} is no data plugin for this node: {problem}", file.display());
                    }
                }
            }
        }
        set
    }

    /// The plugin a file describes; none when it is not for this node to run.
    fn read(&self, file: &Path) -> Result<Option<DataPlugin>, String> {
        let json = read_bounded(file, MAX_DDL).map_err(|e| e.to_string())?;
        let ddl = DataDdl::parse(&json).map_err(|e| e.to_string())?;
        if ddl.metadata.provider.as_deref() != Some(external::PROVIDER) {
            return Ok(None);
        }
        let name = ddl.metadata.name.as_str();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("metadata.name may hold a-z, 0-9 and _ only, no digit first".to_owned());
        }
        if file.file_stem().is_none_or(|stem| stem != name) {
            return Err(format!("it describes the data plugin '{name}'"));
        }
        if data::OWN.contains(&name) {
            return Err(format!("'{name}' is a data plugin of this program"));
        }
        external::trusted(file)?;
        let dir = file.parent().unwrap_or(Path::new("/"));
        Ok(Some(DataPlugin::new(ddl, dir, &self.around)))
    }
}

/// Interfaces of a directory: `NAME.json` and `NAME/NAME.json`.
fn interfaces(dir: &Path) -> Vec<(PathBuf, Version)> {
    let Ok(entries) = fs::read_dir(dir) else { return vec![] };
    let of = |path: PathBuf| {
        let file = match path.extension() {
            Some(kind) if kind == "json" => path,
            Some(_) => return None,
            None => path.join(path.file_name()?).with_extension("json"),
        };
        let version = Version::of(&file).ok()?;
        Some((file, version))
    };
    entries.flatten().take(MAX_ENTRIES).filter_map(|entry| of(entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_come_change_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("mcollective/data");
        let mut library = DataLibrary::new(&[dir.path()], &Surroundings::default());
        assert!(library.look().is_none(), "there is no such directory");
        fs::create_dir_all(data.join("two")).unwrap();
        let put = |file: &str, name: &str, provider: &str| {
            let ddl = format!(r#"{{"metadata":{{"name":"{name}","provider":"{provider}"}}}}"#);
            fs::write(data.join(file), ddl).unwrap();
        };
        put("one.json", "one", "external");
        put("two/two.json", "two", "external");
        for (file, name, provider) in [
            ("ruby.json", "ruby", "ruby"),
            ("other.json", "another", "external"),
            ("scout.json", "scout", "external"),
            ("9x.json", "9x", "external"),
        ] {
            put(file, name, provider);
        }
        fs::write(data.join("broken.json"), "{").unwrap();
        assert!(library.look().is_none(), "it may be being written");
        let set = library.look().unwrap();
        assert_eq!(set.keys().collect::<Vec<_>>(), ["one", "two"]);
        assert!(library.look().is_none());
        fs::remove_file(data.join("one.json")).unwrap();
        assert!(library.look().is_none());
        assert_eq!(library.look().unwrap().into_keys().collect::<Vec<_>>(), ["two"]);
    }
}
