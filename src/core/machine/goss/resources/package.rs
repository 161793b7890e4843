//! `package`: whether it is installed, and in which versions, by what the system's own list of
//! packages says.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Kind, Look, Looking, Property, ask};
use crate::core::files::read_bounded;

pub(in super::super) const KIND: Kind = Kind {
    key: "package",
    name: "Package",
    subject: "name",
    properties: &[Property::required("installed"), Property::new("versions").shown("version")],
    gated: true,
    options: &[],
    look,
};

/// Bytes of a list of packages.
const MOST: u64 = 64 << 20;
const DPKG: &str = "/var/lib/dpkg/status";
const APK: &str = "/lib/apk/db/installed";
const PACMAN: &str = "/var/lib/pacman/local";

fn look<'a>(look: &'a mut Look<'_>, attribute: &'static str) -> Looking<'a> {
    Box::pin(async move {
        if look.kept.is_none() {
            look.kept = Some(versions(&look.resource.subject).await.map(Value::from));
        }
        let versions = look.kept.clone().unwrap_or(Ok(Value::Null))?;
        Ok(match attribute {
            "installed" => json!(versions.as_array().is_some_and(|all| !all.is_empty())),
            _ => versions,
        })
    })
}

async fn versions(name: &str) -> Result<Vec<String>, String> {
    if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
        return Err(format!("{name} is no name of a package"));
    }
    for (list, of) in [(DPKG, dpkg as fn(&str, &str) -> Vec<String>), (APK, apk)] {
        let wanted = name.to_owned();
        let path = PathBuf::from(list);
        if path.exists() {
            let read = super::blocking(Path::new(list), move || {
                read_bounded(&path, MOST).map(|text| of(&String::from_utf8_lossy(&text), &wanted))
            });
            return read.await?.map_err(|e| e.to_string());
        }
    }
    if Path::new(PACMAN).is_dir() {
        let wanted = name.to_owned();
        return super::blocking(Path::new(PACMAN), move || pacman(Path::new(PACMAN), &wanted)).await;
    }
    match ask("rpm", &["-q", "--qf", "%{VERSION}-%{RELEASE}\\n", name]).await {
        Some(Ok(ended)) if ended.status.success() => {
            Ok(String::from_utf8_lossy(&ended.output).lines().map(str::to_owned).collect())
        }
        Some(Ok(_)) => Ok(vec![]),
        Some(Err(e)) => Err(e),
        None => Err("this machine has none of dpkg, rpm, apk and pacman".to_owned()),
    }
}

/// Of Debian: paragraphs, of which a package of several architectures has several.
fn dpkg(text: &str, name: &str) -> Vec<String> {
    let (plain, architecture) = name.split_once(':').map_or((name, None), |(name, a)| (name, Some(a)));
    let of = |paragraph: &str| -> Option<String> {
        let field = |key: &str| {
            paragraph.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ").map(str::to_owned))
        };
        let ours = field("Package")? == plain
            && field("Status")?.ends_with(" installed")
            && architecture.is_none_or(|wanted| field("Architecture").as_deref() == Some(wanted));
        ours.then(|| field("Version")).flatten()
    };
    text.split("\n\n").filter(|paragraph| paragraph.contains(plain)).filter_map(of).collect()
}

/// Of Alpine: paragraphs of one letter a field.
fn apk(text: &str, name: &str) -> Vec<String> {
    let of = |paragraph: &str| -> Option<String> {
        let field = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key));
        (field("P:")? == name).then(|| field("V:").map(str::to_owned)).flatten()
    };
    text.split("\n\n").filter_map(of).collect()
}

/// Of Arch: a directory `NAME-VERSION-RELEASE` each.
fn pacman(list: &Path, name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(list).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| -> Option<String> {
        let directory = entry.file_name().to_string_lossy().into_owned();
        let rest = directory.strip_prefix(name)?.strip_prefix('-')?;
        (rest.matches('-').count() == 1).then(|| rest.to_owned())
    };
    entries.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_packages_are_read() {
        let text = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n\n\
                    Package: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 2.36-8\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        assert_eq!(dpkg(text, "libc6"), ["2.36-9", "2.36-8"]);
        assert_eq!(dpkg(text, "libc6:i386"), ["2.36-8"]);
        assert_eq!(dpkg(text, "gone"), Vec::<String>::new());
        assert_eq!(apk("C:Q1\nP:musl\nV:1.2.4-r2\n\nP:musl-utils\nV:9\n", "musl"), ["1.2.4-r2"]);
        let dir = tempfile::tempdir().unwrap();
        for name in ["bash-5.2-1", "bash-completion-2-1"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(pacman(dir.path(), "bash"), ["5.2-1"]);
    }
}
