//! This machine, as applications see it; and the files they are made of.

use std::path::Path;

use choria::core::builder::{Source, World};
use choria::core::config::{Environment as _, System};
use choria::core::files::read_bounded;
use jiff::Zoned;

/// Bytes of a definition, and of what templates read.
pub const MOST: u64 = 1 << 20;

/// This machine.
pub struct Machine;

impl World for Machine {
    fn env(&self, name: &str) -> Option<String> {
        System.var(name)
    }

    fn is_file(&self, path: &str) -> bool {
        Path::new(path).is_file()
    }

    fn is_dir(&self, path: &str) -> bool {
        Path::new(path).is_dir()
    }

    fn read(&self, path: &str) -> Result<String, String> {
        text(Path::new(path))
    }

    fn now(&self) -> Zoned {
        Zoned::now()
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

/// The text of a file.
pub fn text(path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path, MOST).map_err(|e| format!("{}: {e}", path.display()))?;
    String::from_utf8(bytes).map_err(|_| format!("{} is no text", path.display()))
}

/// Files that definitions include, beside the one that includes them.
pub struct Includes;

impl Source for Includes {
    fn read(&mut self, file: &str, name: &str) -> Result<(String, String), String> {
        let path = Path::new(file).parent().unwrap_or(Path::new("")).join(name);
        let called = std::fs::canonicalize(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        // one name for one file, wherever links lead to it
        Ok((called.display().to_string(), text(&path)?))
    }
}
