//! `file`: whether it is there, whose it is, and what is in it.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::{Kind, Look, Looking, Property, Seen, user};
use crate::core::files::read_plain;

pub(in super::super) const KIND: Kind = Kind {
    key: "file",
    name: "File",
    subject: "path",
    properties: &[
        Property::required("exists"),
        Property::new("mode"),
        Property::new("owner"),
        Property::new("uid"),
        Property::new("group"),
        Property::new("gid"),
        Property::new("linked-to").shown("linkedto"),
        Property::new("filetype"),
        Property::text("contains"),
        Property::text("contents"),
        Property::new("size"),
        Property::new("md5"),
        Property::new("sha256"),
        Property::new("sha512"),
    ],
    gated: true,
    options: &[],
    look,
};

/// Bytes of a file whose contents are looked at.
const MOST: u64 = 16 << 20;

fn look<'a>(look: &'a mut Look<'_>, attribute: &'static str) -> Looking<'a> {
    Box::pin(async move {
        let name = look.resource.subject.clone();
        let path = match name.strip_prefix('~') {
            None => look.ground.directory().join(&name),
            Some(rest) => {
                let (user, rest) = rest.split_once('/').unwrap_or((rest, ""));
                let user = if user.is_empty() { "root" } else { user };
                let home = user::entry("passwd", user).await?.and_then(|entry| entry.get(5).cloned());
                PathBuf::from(home.ok_or_else(|| format!("there is no user {user}"))?).join(rest)
            }
        };
        let place = path.clone();
        match attribute {
            "owner" | "group" => {
                let about = super::blocking(&place, move || fs::symlink_metadata(&path))
                    .await?
                    .map_err(|e| e.to_string())?;
                let (list, number) =
                    if attribute == "owner" { ("passwd", about.uid()) } else { ("group", about.gid()) };
                let entry = user::entry(list, &number.to_string()).await?;
                Ok(json!(
                    entry.and_then(|entry| entry.first().cloned()).unwrap_or_else(|| number.to_string())
                ))
            }
            _ => super::blocking(&place, move || seen(&path, attribute)).await?,
        }
    })
}

fn seen(path: &Path, attribute: &str) -> Seen {
    let told = |e: std::io::Error| e.to_string();
    let about = match fs::symlink_metadata(path) {
        Err(e) if attribute == "exists" && e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(json!(false));
        }
        Err(e) => return Err(e.to_string()),
        Ok(about) => about,
    };
    // a pipe would never end, and neither would some files of the kernel
    let read = || read_plain(path, MOST).map_err(told);
    let hash = |algorithm| Ok::<Value, String>(hex(digest::digest(algorithm, &read()?).as_ref()).into());
    Ok(match attribute {
        "exists" => json!(true),
        "mode" => json!(format!("{:04o}", about.mode() & 0o7777)),
        "uid" => json!(about.uid()),
        "gid" => json!(about.gid()),
        "size" => json!(about.len()),
        "filetype" => json!(filetype(&about)),
        "linked-to" => json!(fs::read_link(path).map_err(told)?.to_string_lossy()),
        "md5" => hex(&Md5::digest(read()?)).into(),
        "sha256" => hash(&digest::SHA256)?,
        "sha512" => hash(&digest::SHA512)?,
        _ => match String::from_utf8(read()?) {
            Ok(text) => text.into(),
            Err(other) => String::from_utf8_lossy(other.as_bytes()).into_owned().into(),
        },
    })
}

fn filetype(about: &Metadata) -> &'static str {
    let kind = about.file_type();
    match () {
        () if kind.is_symlink() => "symlink",
        () if kind.is_dir() => "directory",
        () if kind.is_char_device() => "character-device",
        () if kind.is_block_device() => "block-device",
        () if kind.is_fifo() => "pipe",
        () if kind.is_socket() => "socket",
        () => "file",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
