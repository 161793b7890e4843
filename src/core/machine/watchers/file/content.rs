//! A file that is to have a content, an owner and a mode.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::{Looked, mtime};
use crate::core::files::{group_id, plain, read_bounded, user_id};

/// Largest file that is compared; a larger one is another.
const MOST: u64 = 1024 * 1024;

/// What it is to be.
pub(super) struct Content {
    pub text: String,
    pub owner: String,
    pub group: String,
    pub mode: u32,
}

/// Looks whether it is, and makes it so.
pub(super) fn kept(path: &Path, known: i64, content: &Content) -> Looked {
    match fs::metadata(path) {
        Ok(about) => {
            let same = mtime(&about) <= known
                && about.mode() & 0o7777 == content.mode
                && read_bounded(path, MOST).is_ok_and(|found| found == content.text.as_bytes());
            if same {
                return Ok(("unchanged", mtime(&about)));
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e.to_string()),
    }
    write(path, content)?;
    let about = fs::metadata(path).map_err(|e| e.to_string())?;
    Ok(("changed", mtime(&about)))
}

fn write(path: &Path, content: &Content) -> Result<(), String> {
    let told = |e: std::io::Error| e.to_string();
    let directory = path.parent().ok_or("it has no directory")?;
    let owner = match content.owner.as_str() {
        "" => None,
        name => Some(user_id(name).ok_or_else(|| format!("there is no user {name}"))?),
    };
    let group = match content.group.as_str() {
        "" => None,
        name => Some(group_id(name).ok_or_else(|| format!("there is no group {name}"))?),
    };
    let made = tempfile::Builder::new().prefix("choria-fwatcher-").tempfile_in(directory);
    let mut temp = made.map_err(|e| plain(e).to_string())?;
    temp.write_all(content.text.as_bytes()).map_err(told)?;
    // By its descriptor: in somebody's directory the name may be another file's by now. The
    // owner first, since a change of it takes away what a mode has of setuid.
    if owner.is_some() && group.is_some() {
        std::os::unix::fs::fchown(temp.as_file(), owner, group).map_err(told)?;
    }
    temp.as_file().set_permissions(fs::Permissions::from_mode(content.mode)).map_err(told)?;
    temp.as_file().sync_all().map_err(told)?;
    temp.persist(path).map_err(|e| e.error.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_what_it_is_to_be_and_then_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("motd");
        let mine = rustix::process::geteuid().as_raw().to_string();
        let group = rustix::process::getegid().as_raw().to_string();
        let content = Content { text: "hello".into(), owner: mine, group, mode: 0o640 };
        let (outcome, changed) = kept(&path, 0, &content).unwrap();
        assert_eq!(outcome, "changed");
        assert_eq!(fs::read(&path).unwrap(), b"hello");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(kept(&path, changed, &content).unwrap().0, "unchanged");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(kept(&path, changed, &content).unwrap().0, "changed");
        let nobody = Content { owner: "no-such-user".into(), ..content };
        assert!(kept(&path, 0, &nobody).unwrap_err().contains("no-such-user"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays behind");
    }
}
