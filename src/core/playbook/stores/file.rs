//! A file with a hash in JSON or YAML. It is replaced as a whole, so that a reader sees
//! either the old or the new one; who writes holds a lock beside it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde_json::{Map, Value as Json};

use super::{Options, Store, Trouble, World};
use crate::core::files::{read_bounded, write_atomic};
use crate::core::text::documents;

/// Largest file.
const MOST: u64 = 16 << 20;
/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

struct File {
    path: PathBuf,
    yaml: bool,
    create: bool,
}

pub(super) fn open(options: &Options<'_>) -> Result<Box<dyn Store>, Trouble> {
    let yaml = match options.text("format")? {
        Some("yaml") => true,
        Some("json") => false,
        _ => return Err(options.wrong("File format has to be one of 'json' or 'yaml'")),
    };
    let path = options.required("file")?;
    let path = match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    };
    let file = File { path, yaml, create: options.flag("create", false)? };
    if !file.create && !file.path.exists() {
        return Err(Trouble(format!("Cannot find data file {}", file.path.display())));
    }
    Ok(Box::new(file))
}

impl File {
    fn wrong(&self, what: impl std::fmt::Display) -> Trouble {
        Trouble(format!("{}: {what}", self.path.display()))
    }

    fn content(&self) -> Result<Map<String, Json>, Trouble> {
        let bytes = match read_bounded(&self.path, MOST) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && self.create => return Ok(Map::new()),
            Err(e) => return Err(self.wrong(e)),
        };
        let text = String::from_utf8(bytes).map_err(|_| self.wrong("this is not UTF-8"))?;
        if text.trim().is_empty() {
            return Ok(Map::new());
        }
        let json: Json = match self.yaml {
            true => documents::yaml(&text).map_err(|e| self.wrong(e))?,
            false => serde_json::from_str(&text).map_err(|e| self.wrong(e))?,
        };
        match json {
            Json::Object(map) => Ok(map),
            Json::Null => Ok(Map::new()),
            _ => Err(self.wrong("this is no hash of keys and values")),
        }
    }

    fn replace(&self, key: &str, value: &str) -> Result<(), Trouble> {
        let mut content = self.content()?;
        content.insert(key.to_owned(), value.into());
        let text = match self.yaml {
            true => {
                let text = serde_saphyr::to_string(&Json::Object(content)).map_err(|e| self.wrong(e))?;
                format!("---\n{text}")
            }
            false => serde_json::to_string(&content).map_err(|e| self.wrong(e))?,
        };
        let mode = self.path.metadata().map_or(0o600, |about| about.permissions().mode() & 0o777);
        write_atomic(&self.path, text.as_bytes(), mode).map_err(|e| self.wrong(e))
    }
}

/// The original's words for a key of no characters.
fn named(key: &str) -> Result<(), Trouble> {
    if key.is_empty() { Err(Trouble("Invalid data store path: the key is empty".to_owned())) } else { Ok(()) }
}

impl Store for File {
    fn read(&self, _: &mut World, key: &str) -> Result<Json, Trouble> {
        named(key)?;
        let value = self.content()?.remove(key);
        value.ok_or_else(|| Trouble(format!("No such key {key}")))
    }

    fn write(&self, world: &mut World, key: &str, value: &str) -> Result<(), Trouble> {
        named(key)?;
        let mut beside = self.path.clone().into_os_string();
        beside.push(".lock");
        let lock =
            std::fs::OpenOptions::new().create(true).append(true).open(&beside).map_err(|e| self.wrong(e))?;
        let begun = std::time::Instant::now();
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if begun.elapsed() > PATIENCE {
                return Err(self.wrong("another program writes to it and does not end"));
            }
            world.sleep_for(Duration::from_millis(20))?;
        }
        self.replace(key, value)
    }
}
