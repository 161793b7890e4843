//! What a node has otherwise than its checks say: the file of `plugin.scout.overrides`, read
//! anew for every check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::core::files::{read_bounded, unless_ours_hangs};

/// Bytes of overrides.
const MOST: u64 = 4 << 20;

/// Files that are remembered: nodes of one process may have several.
const MOST_FILES: usize = 16;
/// What was read last.
static LAST: Mutex<BTreeMap<PathBuf, Arc<Value>>> = Mutex::new(BTreeMap::new());

/// Overrides as of now; none where there are none. Where their file does not answer, what was read last: a check
/// does not go by its defaults because a disk hangs.
pub async fn read_in_time(file: PathBuf) -> Arc<Value> {
    let place = file.clone();
    let now = unless_ours_hangs(&place, move || Arc::new(read(&file))).await;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(now) = now else { return last.get(&place).cloned().unwrap_or_default() };
    if last.len() < MOST_FILES || last.contains_key(&place) {
        last.insert(place, now.clone());
    }
    now
}

fn read(file: &Path) -> Value {
    if !file.exists() {
        return Value::Null;
    }
    let read = read_bounded(file, MOST).map_err(|e| e.to_string());
    let read = read.and_then(|text| {
        serde_json::from_slice(&text).map_err(|e| format!("{} is no JSON: {e}", file.display()))
    });
    read.unwrap_or_else(|problem| {
        tracing::warn!("plugin.scout.overrides: {problem}, defaults count");
        Value::Null
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_read_last_counts_while_the_file_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("overrides.json");
        std::fs::write(&file, r#"{"disk": {"warning": 10}}"#).unwrap();
        assert_eq!(read_in_time(file.clone()).await["disk"]["warning"], 10);
        std::fs::remove_file(&file).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &file, mode).unwrap();
        // once it is waited for, and once it is known
        for _ in 0..2 {
            assert_eq!(read_in_time(file.clone()).await["disk"]["warning"], 10);
        }
        drop(std::fs::OpenOptions::new().write(true).open(&file).unwrap());
        std::fs::remove_file(&file).unwrap();
        while !read_in_time(file.clone()).await.is_null() {
            tokio::task::yield_now().await;
        }
    }
}
