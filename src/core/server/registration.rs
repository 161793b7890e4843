//! When registration data goes out (spec 02 §9).
//!
//! Each plugin keeps its own record of what it sent last. The original shares
//! one between all of them, so that of two plugins one is hardly ever heard.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::NodeState;
use super::publisher::Publisher;
use super::status;
use crate::core::agents::Node;
use crate::core::agents::data::machine_list;
use crate::core::build;
use crate::core::config::Config;
use crate::core::files::{self, Look};
use crate::core::provisioning::REGISTRATION_SUBJECTS;
use crate::core::registration::{file_content, inventory_content};

/// Largest file that is published; what does not fit a message is of no use.
const MAX_FILE: u64 = 8 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plugin {
    FileContent,
    InventoryContent,
}

fn plugins(config: &Config) -> Result<Vec<Plugin>, String> {
    let mut plugins = vec![];
    for name in config.registration.iter().map(|n| n.trim()) {
        plugins.push(match name {
            "" => continue,
            "file_content" if config.choria_registration_file_content_data.is_empty() => {
                return Err("registration 'file_content' needs a file, set \
                            plugin.choria.registration.file_content.data"
                    .to_owned());
            }
            "file_content" => Plugin::FileContent,
            "inventory_content" => Plugin::InventoryContent,
            other => {
                return Err(format!(
                    "unknown registration plugin '{other}', set registration to file_content, \
                     inventory_content or both"
                ));
            }
        });
    }
    Ok(plugins)
}

/// Says what is wrong with the registration settings.
pub(super) fn check(config: &Config) -> Result<(), String> {
    plugins(config).map(|_| ())
}

/// Starts the configured plugins.
pub(super) fn spawn(tasks: &mut JoinSet<()>, node: &Arc<NodeState>, publisher: &Arc<Publisher>) {
    for plugin in plugins(node.config()).unwrap_or_default() {
        tasks.spawn(keep_registering(plugin, publisher.clone()));
    }
}

/// When a plugin published last, and how much.
struct Schedule {
    interval: Duration,
    size_trigger: usize,
    last: Option<(Instant, usize)>,
}

impl Schedule {
    /// Whether a payload of `size` bytes is due.
    fn due(&self, now: Instant, size: usize) -> bool {
        match self.last {
            None => true,
            Some((at, last)) => {
                let changed = size.abs_diff(last);
                now.duration_since(at) >= self.interval
                    || self.size_trigger > 0 && changed >= self.size_trigger
            }
        }
    }
}

async fn keep_registering(plugin: Plugin, publisher: Arc<Publisher>) {
    let config = publisher.node.config();
    let seconds = |value: i64, least: u64| Duration::from_secs(u64::try_from(value).unwrap_or(0).max(least));
    // Zero seconds would be a storm; the original crashes on it.
    let interval = seconds(config.registerinterval, 1);
    let size_trigger = usize::try_from(config.choria_registration_size_trigger).unwrap_or(0);
    let poll = if size_trigger > 0 { seconds(config.choria_registration_size_interval, 1) } else { interval };
    let mut schedule = Schedule { interval, size_trigger, last: None };
    let mut last_mtime = None;
    let look = Arc::new(Look::default());
    if config.registration_splay {
        tokio::time::sleep(interval.mul_f64(fastrand::f64())).await;
    }
    tokio::time::sleep(Duration::from_secs(1) + Duration::from_secs(3).mul_f64(fastrand::f64())).await;
    let mut ticks = tokio::time::interval(poll);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !publisher.connected() {
            continue;
        }
        let (name, target, payload) = match plugin {
            Plugin::FileContent => (
                "file_content",
                &config.choria_registration_file_content_target,
                file_payload(&publisher.node, &look, &mut last_mtime).await,
            ),
            Plugin::InventoryContent => (
                "inventory_content",
                &config.choria_registration_inventory_content_target,
                publisher.node.with_files(|_| ()).await.map_or_else(
                    || Err("the files of facts and classes do not answer".to_owned()),
                    |()| Ok(inventory_payload(&publisher.node)),
                ),
            ),
        };
        let sent = match payload {
            // A tick may come a little early; half a second is not worth a whole interval.
            Ok(payload) if !schedule.due(Instant::now() + Duration::from_millis(500), payload.len()) => {
                continue;
            }
            Ok(payload) => {
                let size = payload.len();
                if publisher.node.provisioning() {
                    // where provisioners of 2018 listen
                    let _ = publisher.registration(payload.clone(), REGISTRATION_SUBJECTS[1]).await;
                }
                publisher.registration(payload, target).await.map(|()| size)
            }
            Err(e) => Err(e),
        };
        match sent {
            Ok(size) => {
                publisher.node.counters().registrations.fetch_add(1, Ordering::Relaxed);
                schedule.last = Some((Instant::now(), size));
            }
            Err(e) => tracing::error!(registration = name, "registration data was not published: {e}"),
        }
    }
}

/// The file may be anybody's, and hang: then it is tried again when it has come back.
async fn file_payload(
    node: &Arc<NodeState>,
    look: &Arc<Look>,
    last_mtime: &mut Option<i64>,
) -> Result<String, String> {
    let config = Node::config(&**node);
    let file = &config.choria_registration_file_content_data;
    let (path, look) = (PathBuf::from(file), look.clone());
    let read = files::within_deadline(move || {
        let looking = look.begin(&path)?;
        let read = files::read_judged(&path, MAX_FILE, |found| found.modified());
        drop(looking);
        Some(read.map_err(|e| e.to_string()))
    });
    let (content, modified) = read.await.flatten().ok_or_else(|| format!("{file} does not answer"))??;
    if content.is_empty() {
        return Err(format!("{file} is empty"));
    }
    let mtime = jiff::Timestamp::try_from(modified).map_or(0, |t| t.as_second());
    let updated = last_mtime.is_some_and(|last| mtime > last);
    *last_mtime = Some(mtime);
    Ok(file_content(file, &content, mtime, updated, config.choria_registration_file_content_compression))
}

fn inventory_payload(node: &Arc<NodeState>) -> String {
    let config = Node::config(&**node);
    let agents: Vec<Map<String, Value>> = node.agents().iter().map(crate::core::agents::describe).collect();
    let inventory = json!({
        "agents": agents,
        "classes": *node.classes(),
        "facts": node.facts().to_value(),
        "status": status::Status::of(node),
        "collectives": config.collectives,
        "build_info": {"version": build::VERSION, "sha": build::SHA},
        "machines": machine_list(&**node),
    });
    inventory_content(&inventory, config.choria_registration_inventory_content_compression)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::Role;

    #[test]
    fn settings_that_name_no_plugin_are_refused() {
        let text = |registration: &str| format!("identity = n1\nregistration = {registration}\n");
        let check_text = |t: String| check(&Config::from_text(Role::Server, &t).unwrap());
        assert!(check_text(text("inventory_content")).is_ok());
        assert!(check_text(text("file_content")).unwrap_err().contains("file_content.data"));
        assert!(check_text(text("facts")).unwrap_err().contains("'facts'"));
    }

    #[test]
    fn data_is_due_after_its_interval_or_a_change_of_size() {
        let start = Instant::now();
        let mut schedule = Schedule { interval: Duration::from_secs(60), size_trigger: 10, last: None };
        assert!(schedule.due(start, 5));
        schedule.last = Some((start, 100));
        assert!(!schedule.due(start + Duration::from_secs(59), 109));
        assert!(schedule.due(start + Duration::from_secs(59), 110));
        assert!(schedule.due(start + Duration::from_secs(60), 100));
        schedule.size_trigger = 0;
        assert!(!schedule.due(start + Duration::from_secs(59), 5000));
    }
}
