//! Checksums of files, and lists of them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

use super::unpack::is_inside;
use crate::core::files::read_bounded;
use crate::core::text::hex;

/// Longest list.
const MAX_LIST: u64 = 4 << 20;

/// The SHA-256 of a file, hex.
pub(super) fn sha256(path: &Path) -> Result<String, String> {
    let told = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = File::open(path).map_err(told)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).map_err(told)? {
            0 => return Ok(hex(context.finish().as_ref())),
            read => context.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// Whether a directory has a list of that checksum, and all that it lists.
pub(super) fn listed(directory: &Path, list: &Path, checksum: &str) -> Result<(), String> {
    let path = directory.join(list);
    let found = sha256(&path)?;
    if !found.eq_ignore_ascii_case(checksum) {
        return Err(format!("{} has checksum {found} and not {checksum}", path.display()));
    }
    let text = read_bounded(&path, MAX_LIST).map_err(|e| e.to_string())?;
    let text = String::from_utf8(text).map_err(|_| format!("{} is no text", path.display()))?;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let wrong = || {
            format!(
                "{} has a line that is no checksum and name: {}",
                path.display(),
                crate::core::text::shortened(line, 100)
            )
        };
        let (sum, name) = line.split_once("  ").ok_or_else(wrong)?;
        if sum.len() != 64 || name.len() < 2 || !is_inside(Path::new(name)) {
            return Err(wrong());
        }
        if Path::new(name) == list {
            return Err(format!("{} lists itself", path.display()));
        }
        let of = directory.join(name);
        if !of.symlink_metadata().is_ok_and(|about| about.is_file()) {
            return Err(format!("{} is no file", of.display()));
        }
        if !sha256(&of)?.eq_ignore_ascii_case(sum) {
            return Err(format!("{} is not what {} lists", of.display(), path.display()));
        }
    }
    Ok(())
}
