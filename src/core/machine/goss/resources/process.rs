//! `process`: whether one of that name runs.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Kind, Look, Looking, Property};
use crate::core::files::read_bounded;

pub(in super::super) const KIND: Kind = Kind {
    key: "process",
    name: "Process",
    subject: "comm",
    properties: &[Property::required("running")],
    gated: false,
    options: &[],
    look,
};

fn look<'a>(look: &'a mut Look<'_>, _: &'static str) -> Looking<'a> {
    let name = look.resource.subject.clone();
    Box::pin(async move { Ok(json!(super::blocking(Path::new("/proc"), move || runs(&name)).await??)) })
}

fn runs(name: &str) -> Result<bool, String> {
    let entries = std::fs::read_dir("/proc").map_err(|e| format!("/proc cannot be read: {e}"))?;
    let number = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut processes = entries.flatten().map(|entry| entry.path()).filter(number);
    // the kernel keeps fifteen letters
    Ok(processes.any(|path| {
        let read = read_bounded(&path.join("comm"), 4096).unwrap_or_default();
        String::from_utf8_lossy(&read).trim_end_matches('\n') == name
    }))
}
