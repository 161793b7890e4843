//! Whether another user can read a file: what root looks at on behalf of a daemon that is not root.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::groups::{groups_of, user_id};

/// Links that are followed in one path, as many as the kernel follows.
const MAX_LINKS: usize = 40;
const READ: u32 = 0o4;
const SEARCH: u32 = 0o1;

/// A user of this machine and the groups they are in.
#[derive(Debug)]
pub struct Reader {
    user: u32,
    groups: Vec<u32>,
}

impl Reader {
    /// A user by name; none where this machine has no such user.
    pub fn called(name: &str) -> Option<Reader> {
        Some(Reader { user: user_id(name)?, groups: groups_of(name) })
    }

    /// What keeps them from reading a file: it, or a directory on the way to it or to what a link on
    /// the way names. None: nothing does, or what does is not to be seen here, such as a file that
    /// is not there.
    pub fn kept_out_by(&self, path: &Path) -> Option<PathBuf> {
        if self.user == 0 {
            return None;
        }
        let mut at = PathBuf::new();
        let mut links = 0;
        let path = std::path::absolute(path).ok()?;
        let mut ahead: Vec<PathBuf> = parts(&path);
        while let Some(part) = ahead.pop() {
            if part == Path::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            let about = fs::symlink_metadata(&next).ok()?;
            if about.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                let target = fs::read_link(&next).ok()?;
                ahead.extend(parts(&target));
                continue;
            }
            at = next;
            let wanted = if about.is_dir() { SEARCH } else { READ };
            if !self.may(&at, &about, wanted) {
                return Some(at);
            }
        }
        None
    }

    fn may(&self, path: &Path, about: &Metadata, wanted: u32) -> bool {
        let shift = if about.uid() == self.user {
            6
        } else if self.groups.contains(&about.gid()) {
            3
        } else {
            0
        };
        // An access list may let them in by name: that is not looked at.
        about.mode() >> shift & wanted != 0 || has_access_list(path)
    }
}

fn has_access_list(path: &Path) -> bool {
    rustix::fs::lgetxattr(path, "system.posix_acl_access", &mut [0_u8; 4096][..]).is_ok()
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named = |part: &Component| !matches!(part, Component::CurDir);
    path.components().filter(named).map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_is_on_the_way_counts_as_well() {
        // temporary directories are for their user only
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mode = |name: &str, mode| fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        mode("", 0o755);
        for name in ["open", "closed"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("list"), "x").unwrap();
            mode(&format!("{name}/list"), 0o644);
        }
        mode("open", 0o755);
        mode("closed", 0o750);
        symlink(at("closed/list"), at("open/link")).unwrap();
        symlink("../open/list", at("open/other")).unwrap();
        fs::write(at("open/key"), "x").unwrap();
        mode("open/key", 0o640);
        let about = fs::metadata(at("closed")).unwrap();
        let (owner, group) = (about.uid(), about.gid());
        let other = Reader { user: owner + 7, groups: vec![group + 7] };
        let of_group = Reader { user: owner + 7, groups: vec![group] };
        for (name, kept_out) in [
            ("open/list", None),
            ("open/other", None),
            ("closed/list", Some("closed")),
            ("open/link", Some("closed")),
            ("open/key", Some("open/key")),
            ("open/none", None),
        ] {
            assert_eq!(other.kept_out_by(&at(name)), kept_out.map(at), "{name}");
            assert_eq!(of_group.kept_out_by(&at(name)), None, "{name}");
        }
        let owner = Reader { user: owner, groups: vec![] };
        assert_eq!(owner.kept_out_by(&at("closed/list")), None);
    }
}
