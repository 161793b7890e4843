//! What a node has otherwise than its checks say: the file of `plugin.scout.overrides`, read
//! anew for every check.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::core::files::{read_bounded, unless_it_hangs};

/// Bytes of overrides.
const MOST: u64 = 4 << 20;

/// Overrides as of now; none where there are none, or their file does not answer.
pub async fn read_in_time(file: PathBuf) -> Value {
    unless_it_hangs(&file.clone(), move || read(&file)).await.unwrap_or_default()
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
