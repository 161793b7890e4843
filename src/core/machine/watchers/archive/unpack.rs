//! A packed archive becomes files: regular ones and directories only, below one directory,
//! within bounds.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use tar::EntryType;

/// Most files and directories of an archive, and most bytes of all.
const MAX_ENTRIES: usize = 20_000;
const MAX_BYTES: u64 = 2 << 30;
/// Longest path.
const MAX_PATH: usize = 1024;

/// Whether a path leads to something below a directory.
pub(super) fn is_inside(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Unpacks a gzipped tar.
pub(super) fn unpack(packed: &Path, into: &Path) -> Result<(), String> {
    let file = File::open(packed).map_err(|e| e.to_string())?;
    let reader = MultiGzDecoder::new(io::BufReader::new(file)).take(MAX_BYTES);
    let mut archive = tar::Archive::new(reader);
    let broken = |e: io::Error| format!("the archive cannot be unpacked: {e}");
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if count >= MAX_ENTRIES {
            return Err(format!("the archive has more than {MAX_ENTRIES} entries"));
        }
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            continue;
        }
        let path = entry.path().map_err(broken)?.into_owned();
        // `./` and `./a` are what tar makes of a directory
        let path: std::path::PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
        if path.as_os_str().is_empty() && kind == EntryType::Directory {
            continue;
        }
        let shown = crate::core::text::shortened(&path.to_string_lossy(), 200);
        if !is_inside(&path) || path.as_os_str().len() > MAX_PATH {
            return Err(format!("the archive has {shown:?}, which leads out of its directory"));
        }
        let place = into.join(&path);
        match kind {
            EntryType::Directory => fs::create_dir_all(&place).map_err(broken)?,
            EntryType::Regular | EntryType::Continuous => {
                if let Some(parent) = place.parent() {
                    fs::create_dir_all(parent).map_err(broken)?;
                }
                // no bits that make it more than a program of whoever owns it
                let mode = entry.header().mode().map_err(broken)? & 0o755 | 0o600;
                // new: what is there already, a name that comes twice among it, is not written through
                let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&place);
                io::copy(&mut entry, &mut open.map_err(broken)?).map_err(broken)?;
            }
            _ => return Err(format!("the archive has {shown:?}, which is neither file nor directory")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A header by hand: `tar` itself writes none of the hostile ones.
    fn header(name: &str, kind: u8, size: usize) -> Vec<u8> {
        let mut block = vec![0u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..108].copy_from_slice(b"0004755\0");
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        block[156] = kind;
        block[157..160].copy_from_slice(b"/et");
        block[257..263].copy_from_slice(b"ustar\0");
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn unpacked(entries: &[(&str, u8, &[u8])]) -> (tempfile::TempDir, Result<(), String>) {
        let dir = tempfile::tempdir().unwrap();
        let packed = dir.path().join("a.tgz");
        let mut out = GzEncoder::new(File::create(&packed).unwrap(), Compression::fast());
        for (name, kind, content) in entries {
            out.write_all(&header(name, *kind, content.len())).unwrap();
            out.write_all(content).unwrap();
            out.write_all(&vec![0; (512 - content.len() % 512) % 512]).unwrap();
        }
        out.write_all(&[0; 1024]).unwrap();
        out.finish().unwrap();
        let into = dir.path().join("into");
        fs::create_dir(&into).unwrap();
        let done = unpack(&packed, &into);
        (dir, done)
    }

    #[test]
    fn files_and_directories_are_unpacked_without_special_bits() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, done) =
            unpacked(&[("./", b'5', b""), ("./t/", b'5', b""), ("./t/run", b'0', b"#!/bin/sh\n")]);
        assert_eq!(done, Ok(()));
        let made = dir.path().join("into/t/run");
        assert_eq!(fs::read(&made).unwrap(), b"#!/bin/sh\n");
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o7777 & !0o022, 0o755);
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for (entries, reason) in [
            (vec![("../evil", b'0', b"x".as_slice())], "leads out"),
            (vec![("t/../../evil", b'0', b"x")], "leads out"),
            (vec![("/etc/evil", b'0', b"x")], "leads out"),
            (vec![("t/link", b'2', b"")], "neither file nor directory"),
            (vec![("t/link", b'1', b"")], "neither file nor directory"),
            (vec![("t/pipe", b'6', b"")], "neither file nor directory"),
            (vec![("t/a", b'0', b"x"), ("t/a", b'0', b"y")], "cannot be unpacked"),
            (vec![("t/a", b'0', b"x"), ("t/a/b", b'0', b"y")], "cannot be unpacked"),
        ] {
            let (dir, done) = unpacked(&entries);
            assert!(done.as_ref().is_err_and(|e| e.contains(reason)), "{entries:?}: {done:?}");
            assert!(!dir.path().join("evil").exists());
        }
    }

    #[test]
    fn no_bytes_end_the_reader() {
        let dir = tempfile::tempdir().unwrap();
        bolero::check!().with_iterations(500).for_each(|bytes: &[u8]| {
            let packed = dir.path().join("a.tgz");
            let mut out = GzEncoder::new(File::create(&packed).unwrap(), Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap();
            let into = tempfile::tempdir_in(dir.path()).unwrap();
            let _ = unpack(&packed, into.path());
        });
    }
}
