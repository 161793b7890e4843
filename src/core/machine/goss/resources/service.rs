//! `service`: whether it runs, and whether it is started with the machine: by systemd, OpenRC
//! or scripts below `/etc/init.d`.

use std::path::Path;

use serde_json::{Value, json};

use super::{Kind, Look, Looking, Property, Seen, ask};
use crate::core::machine::observe::systemd;

pub(in super::super) const KIND: Kind = Kind {
    key: "service",
    name: "Service",
    subject: "name",
    properties: &[Property::new("enabled"), Property::new("running"), Property::new("runlevels")],
    gated: false,
    options: &[],
    look,
};

fn look<'a>(look: &'a mut Look<'_>, attribute: &'static str) -> Looking<'a> {
    Box::pin(async move {
        let name = look.resource.subject.clone();
        if name.is_empty() || name.contains('/') || name.starts_with('-') {
            return Ok(json!(false));
        }
        match attribute {
            "runlevels" => super::blocking(Path::new(LEVELS), move || levels(&name)).await.map(Value::from),
            _ if systemd::is_here() => by_systemd(&name, attribute).await,
            "running" => running(&name).await,
            _ => super::blocking(Path::new(LEVELS), move || !levels(&name).is_empty()).await.map(Value::from),
        }
    })
}

async fn by_systemd(name: &str, attribute: &str) -> Seen {
    let unit = if name.contains('.') { name.to_owned() } else { format!("{name}.service") };
    if attribute == "enabled" {
        let state = systemd::file_state(&unit).await.map_err(|e| e.to_string())?;
        // what `systemctl is-enabled` ends with 0 for
        let states = ["enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "transient"];
        return Ok(json!(states.contains(&state.as_str())));
    }
    let units = systemd::units(Some(&[&unit])).await.map_err(|e| e.to_string())?;
    Ok(json!(units.iter().any(|found| matches!(found.active.as_str(), "active" | "reloading"))))
}

async fn running(name: &str) -> Seen {
    let script = format!("/etc/init.d/{name}");
    if !Path::new(&script).exists() {
        return Ok(json!(false));
    }
    let ended = match ask("rc-service", &[name, "status"]).await {
        Some(ended) => ended,
        None => match ask(&script, &["status"]).await {
            Some(ended) => ended,
            None => return Ok(json!(false)),
        },
    };
    Ok(json!(ended?.status.success()))
}

/// Where levels are.
const LEVELS: &str = "/etc";

/// Levels a service is started in: directories `/etc/rc3.d`, or those of OpenRC.
fn levels(name: &str) -> Vec<String> {
    let mut levels = Vec::new();
    for level in ["0", "1", "2", "3", "4", "5", "6", "S"] {
        let mut entries = std::fs::read_dir(format!("/etc/rc{level}.d")).into_iter().flatten().flatten();
        let starts = |entry: std::fs::DirEntry| {
            let file = entry.file_name().to_string_lossy().into_owned();
            file.starts_with('S') && file.get(3..) == Some(name)
        };
        if entries.any(starts) {
            levels.push(level.to_owned());
        }
    }
    let of_openrc = std::fs::read_dir("/etc/runlevels").into_iter().flatten().flatten();
    levels.extend(
        of_openrc
            .filter(|level| level.path().join(name).exists())
            .map(|level| level.file_name().to_string_lossy().into_owned()),
    );
    levels
}
