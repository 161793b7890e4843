//! File systems: which are mounted, and how full they are.

use std::path::Path;

/// Most mounts that are looked at.
const MOST: usize = 4096;
/// Bytes of the kernel's list that are read.
pub const MOST_TEXT: u64 = 4 << 20;
/// The kernel's list.
pub const LIST: &str = "/proc/self/mounts";

/// Types whose contents are no files of anybody, or always full.
const NOT_STORAGE: [&str; 3] = ["squashfs", "iso9660", "erofs"];
/// Types that are storage of this machine, although no block device is theirs.
const STORAGE: [&str; 4] = ["zfs", "btrfs", "overlay", "bcachefs"];

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted,
    pub source: String,
    /// where,
    pub path: String,
    /// of which type,
    pub kind: String,
    /// and how.
    pub options: Vec<String>,
}

impl Mount {
    /// Whether it stores files on this machine, and more of them may come.
    pub fn is_local_storage(&self) -> bool {
        let kind = self.kind.as_str();
        let writable = !self.options.iter().any(|option| option == "ro");
        let device = self.source.starts_with("/dev/") && !NOT_STORAGE.contains(&kind);
        // layers of containers are beside the root they are made of
        let whole = kind != "overlay" || self.path == "/";
        writable && whole && (device || STORAGE.contains(&kind))
    }
}

/// Reads the kernel's list. Of several mounts of one place, the last is what is seen there.
pub fn parse(text: &str) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for line in text.lines().take(MOST) {
        let mut words = line.split(' ');
        let (Some(source), Some(path), Some(kind), Some(options)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let path = unescaped(path);
        mounts.retain(|other| other.path != path);
        mounts.push(Mount {
            source: unescaped(source),
            path,
            kind: kind.to_owned(),
            options: options.split(',').map(str::to_owned).collect(),
        });
    }
    mounts
}

/// The kernel writes blanks as `\040`.
pub fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How full a file system is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Percent of what users may fill, as `df` counts.
    pub percent: f64,
    /// Bytes that are left to users.
    pub free: u64,
    /// Bytes of all of it.
    pub size: u64,
    /// Percent of inodes; none where they are made as they are needed.
    pub inodes: Option<f64>,
    /// Which file system it is.
    pub id: u64,
}

/// Looks at one. May never come back: a server of files may be away.
///
/// # Errors
/// As the system says.
pub fn usage(path: &Path) -> std::io::Result<Usage> {
    let told = rustix::fs::statvfs(path)?;
    let device = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(path)?);
    let (blocks, free, left) = (told.f_blocks, told.f_bfree, told.f_bavail);
    let used = blocks.saturating_sub(free);
    Ok(Usage {
        percent: share(used, used.saturating_add(left)).unwrap_or_default(),
        free: left.saturating_mul(told.f_frsize),
        size: blocks.saturating_mul(told.f_frsize),
        inodes: share(told.f_files.saturating_sub(told.f_ffree), told.f_files),
        id: device,
    })
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_last_is_seen() {
        let text = "/dev/sda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n\
                    /dev/sdb1 /srv/two\\040words xfs rw,noexec 0 0\n/dev/loop1 /snap/x squashfs ro 0 0\n\
                    overlay /var/lib/c/merged overlay rw 0 0\ntank /tank zfs rw 0 0\n\
                    srv:/x /home nfs4 rw 0 0\n/dev/sdc1 /srv/two\\040words ext4 ro 0 0\nshort line\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 7);
        let words = mounts.iter().find(|mount| mount.path == "/srv/two words").unwrap();
        assert_eq!((words.source.as_str(), words.options.as_slice()), ("/dev/sdc1", &["ro".to_owned()][..]));
        let local: Vec<_> = mounts.iter().filter(|m| m.is_local_storage()).map(|m| m.path.as_str()).collect();
        assert_eq!(local, ["/", "/tank"]);
    }

    #[test]
    fn no_list_ends_the_reader() {
        bolero::check!().with_iterations(2000).with_type::<String>().for_each(|text: &String| {
            parse(text);
            parse(&format!("\\{text} \\04{text} \\9 {text}"));
        });
    }

    #[test]
    fn how_full_is_told_as_df_does() {
        let told = usage(Path::new("/")).unwrap();
        assert!((0.0..=100.0).contains(&told.percent) && told.size > told.free, "{told:?}");
        assert!(usage(Path::new("/nosuch")).is_err());
    }
}
