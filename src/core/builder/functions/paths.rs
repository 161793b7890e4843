//! Functions of paths, which are only words here.

use serde_json::Value;

use super::{Arguments, Given};

pub(super) const NAMES: [&str; 10] =
    ["base", "clean", "dir", "ext", "isAbs", "osBase", "osClean", "osDir", "osExt", "osIsAbs"];

pub(super) fn call(of: &Arguments<'_>) -> Given {
    if !NAMES.contains(&of.name) {
        return None;
    }
    Some(of.text(0).map(|path| given(of.name, &path)))
}

fn given(name: &str, path: &str) -> Value {
    match name {
        "base" | "osBase" => match path.trim_end_matches('/').rsplit('/').next() {
            Some("") if path.is_empty() => ".".into(),
            Some("") | None => "/".into(),
            Some(last) => last.into(),
        },
        "dir" | "osDir" => {
            clean(path.rsplit_once('/').map_or("", |(dir, _)| if dir.is_empty() { "/" } else { dir })).into()
        }
        "ext" | "osExt" => {
            let last = path.rsplit('/').next().unwrap_or_default();
            last.rfind('.').map_or("", |at| &last[at..]).into()
        }
        "clean" | "osClean" => clean(path).into(),
        _ => path.starts_with('/').into(),
    }
}

fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = vec![];
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => drop(parts.pop()),
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}
