//! `user` and `group`: who is known to this machine.

use std::path::Path;

use serde_json::{Value, json};

use super::{Kind, Look, Looking, Property, ask};
use crate::core::files::read_bounded;

pub(in super::super) const KIND: Kind = Kind {
    key: "user",
    name: "User",
    subject: "username",
    properties: &[
        Property::required("exists"),
        Property::number("uid"),
        Property::number("gid"),
        Property::new("home"),
        Property::new("groups"),
        Property::new("shell"),
    ],
    gated: true,
    options: &[],
    look,
};

pub(in super::super) const GROUP: Kind = Kind {
    key: "group",
    name: "Group",
    subject: "groupname",
    properties: &[Property::required("exists"), Property::number("gid")],
    gated: true,
    options: &[],
    look,
};

/// Bytes of a list.
const MOST: u64 = 8 << 20;

fn look<'a>(look: &'a mut Look<'_>, attribute: &'static str) -> Looking<'a> {
    Box::pin(async move {
        let name = look.resource.subject.clone();
        let list = if look.resource.kind.key == "user" { "passwd" } else { "group" };
        let entry = entry(list, &name).await?;
        if attribute == "exists" {
            return Ok(json!(entry.is_some()));
        }
        let entry = entry.ok_or_else(|| format!("there is no {} {name}", look.resource.kind.key))?;
        let field = |at: usize| entry.get(at).cloned().unwrap_or_default();
        let number = |at: usize| field(at).parse::<u64>().map(Value::from).map_err(|e| e.to_string());
        Ok(match (list, attribute) {
            ("passwd", "uid") => number(2)?,
            ("passwd", "gid") => number(3)?,
            ("group", "gid") => number(2)?,
            (_, "home") => json!(field(5)),
            (_, "shell") => json!(field(6)),
            _ => groups(&name, &field(3)).await?.into(),
        })
    })
}

/// The fields of somebody in `passwd` or `group`, by name or number: of the file, or of whatever
/// else the system asks.
pub(super) async fn entry(list: &'static str, name: &str) -> Result<Option<Vec<String>>, String> {
    if name.is_empty() || name.contains([':', '\n']) || name.starts_with('-') {
        return Ok(None);
    }
    let lines = lines(list).await?;
    // in both, the name is the first and the number the third
    let of = |entry: &&Vec<String>| {
        entry.first().is_some_and(|n| n == name) || entry.get(2).is_some_and(|n| n == name)
    };
    if let Some(entry) = lines.iter().find(of) {
        return Ok(Some(entry.clone()));
    }
    match ask("getent", &[list, name]).await {
        Some(Ok(ended)) if ended.status.success() => {
            let text = String::from_utf8_lossy(&ended.output).into_owned();
            Ok(text.lines().next().map(|line| line.split(':').map(str::to_owned).collect()))
        }
        _ => Ok(None),
    }
}

async fn lines(list: &'static str) -> Result<Vec<Vec<String>>, String> {
    let file = Path::new("/etc").join(list);
    let read = super::blocking(&file.clone(), move || read_bounded(&file, MOST)).await?;
    let text = read.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect())
}

/// Names of the groups somebody is in, their own first.
async fn groups(name: &str, own: &str) -> Result<Vec<String>, String> {
    let of = |line: &Vec<String>| {
        let mut members = line.get(3).map(String::as_str).unwrap_or_default().split(',');
        members.any(|member| member == name)
    };
    let all = lines("group").await?;
    let first = entry("group", own).await?.and_then(|entry| entry.first().cloned());
    let mut names: Vec<String> = first.into_iter().collect();
    for line in all.iter().filter(|line| of(line)) {
        names.extend(line.first().filter(|group| !names.contains(group)).cloned());
    }
    Ok(names)
}
