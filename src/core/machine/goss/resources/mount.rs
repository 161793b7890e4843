//! `mount`: what is mounted at a place, how, and how full it is.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Kind, Look, Looking, Property};
use crate::core::files::read_bounded;
use crate::core::machine::observe::mounts;

pub(in super::super) const KIND: Kind = Kind {
    key: "mount",
    name: "Mount",
    subject: "mountpoint",
    properties: &[
        Property::required("exists"),
        Property::new("opts"),
        Property::new("vfs-opts"),
        Property::new("source"),
        Property::new("filesystem"),
        Property::new("usage"),
    ],
    gated: true,
    options: &["timeout"],
    look,
};

fn look<'a>(look: &'a mut Look<'_>, attribute: &'static str) -> Looking<'a> {
    Box::pin(async move {
        let place = look.resource.subject.clone();
        if attribute == "usage" {
            let path = PathBuf::from(&place);
            let usage = super::blocking(Path::new(&place), move || mounts::usage(&path))
                .await?
                .map_err(|e| e.to_string())?;
            return Ok(json!(usage.percent.ceil() as u64));
        }
        if look.kept.is_none() {
            let list = Path::new("/proc/self/mountinfo");
            let read = super::blocking(list, move || read_bounded(list, mounts::MOST_TEXT)).await?;
            let text = read.map_err(|e| e.to_string())?;
            look.kept = Some(Ok(mounted(&String::from_utf8_lossy(&text), &place)));
        }
        let found = look.kept.clone().unwrap_or(Ok(Value::Null))?;
        Ok(match attribute {
            "exists" => json!(!found.is_null()),
            other => found.get(other).cloned().unwrap_or_default(),
        })
    })
}

/// What is mounted last at a place, in the kernel's list (proc_pid_mountinfo(5)); nothing where
/// nothing is.
fn mounted(text: &str, place: &str) -> Value {
    let read = |line: &str| -> Option<Value> {
        let (own, of_it) = line.split_once(" - ")?;
        let own: Vec<&str> = own.split(' ').collect();
        if mounts::unescaped(own.get(4)?) != place {
            return None;
        }
        let mut of_it = of_it.split(' ');
        let (kind, source, options) = (of_it.next()?, of_it.next()?, of_it.next()?);
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        Some(json!({
            "opts": list(own.get(5)?),
            "vfs-opts": list(options),
            "source": mounts::unescaped(source),
            "filesystem": kind,
        }))
    };
    text.lines().filter_map(read).next_back().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_of_a_place_counts() {
        let text = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
                    30 22 0:5 / /srv/a\\040b rw,nosuid - tmpfs tmpfs rw,size=10k\nbroken\n\
                    31 22 0:6 / /srv/a\\040b ro - xfs /dev/sdb rw\n";
        assert_eq!(mounted(text, "/srv/a b")["filesystem"], "xfs");
        assert_eq!(mounted(text, "/")["vfs-opts"], json!(["rw", "errors=remount-ro"]));
        assert_eq!(mounted(text, "/nosuch"), Value::Null);
    }
}
