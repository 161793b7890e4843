//! `restart`, `reprovision`, `shutdown`: the process ends, and how it comes back.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::action_error::ActionError;
use super::{CallContext, Flow, Inner, Provision};
use crate::core::agents::{Control, Ending};
use crate::core::config::{Config, ConfigError, Role, System};
use crate::core::files::{SECRET, read_bounded, write_atomic};
use crate::core::provisioning::Setup;
use crate::core::security::tokens::MAX_TOKEN;

/// Seconds over which ends are spread where a caller does not say.
const SPLAY: u64 = 10;
/// Seconds before any restart: time for the reply to leave.
const GRACE: u64 = 2;
/// Longest spread that can be asked for: a day.
const MAX_SPLAY: u64 = 86_400;
/// After this long a configured node restarts although nobody told it to: its provisioner
/// has gone for good, and no other may configure it.
const UNTOLD: Duration = Duration::from_secs(600);

/// How the process is going to end.
pub struct End {
    action: &'static str,
    ending: Ending,
    delay: Duration,
    message: String,
}

impl End {
    /// After a random part of `splay` seconds.
    pub fn restart(splay: i64) -> End {
        let splay = match u64::try_from(splay) {
            Ok(0) | Err(_) => SPLAY,
            Ok(splay) => splay.min(MAX_SPLAY),
        };
        let delay = Duration::from_secs(fastrand::u64(0..splay) + GRACE);
        let message = format!("Restarting Choria Server after {}", text(delay));
        End { action: "restart", ending: Ending::Restart, delay, message }
    }

    /// After 2 to 11 seconds.
    pub fn reprovision() -> End {
        let delay = Duration::from_secs(fastrand::u64(0..SPLAY) + GRACE);
        let message = format!("Restarting after {}", text(delay));
        End { action: "reprovision", ending: Ending::Restart, delay, message }
    }

    /// After 0 to 9 seconds, for good.
    pub fn shutdown() -> End {
        let delay = Duration::from_secs(fastrand::u64(0..SPLAY));
        let message = format!("Shutting Choria Server down after {}", text(delay));
        End { action: "shutdown", ending: Ending::Shutdown, delay, message }
    }

    /// After 2 seconds, by another binary.
    pub fn upgrade(version: &str) -> End {
        let message = format!("Restarting with version {version}");
        End { action: "release_update", ending: Ending::Restart, delay: Duration::from_secs(GRACE), message }
    }

    /// Sets it going; the reply says when.
    pub fn begin(self, flow: &mut Flow, control: Control) -> Value {
        let (delay, ending) = (self.delay, self.ending);
        tracing::info!(action = self.action, "{}", self.message);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            control.end(ending);
        });
        let reply = json!({"message": self.message});
        flow.end = Some(self);
        reply
    }

    /// What an action gets that comes after it: one whose answer got lost its answer.
    pub fn again(&self, action: &str) -> Result<Value, ActionError> {
        match action == self.action {
            true => Ok(json!({"message": self.message})),
            false => Err(ActionError::Ending(self.message.clone())),
        }
    }
}

/// A duration in the original's words, `1m5s`.
fn text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

impl Inner {
    /// Whether the node comes back from a restart, and as a member of its network.
    pub(super) fn check_restart(&self, file: &Path) -> Result<(), ActionError> {
        let shown = file.display().to_string();
        let cannot = |reason: String| ActionError::CannotServe { file: shown.clone(), reason };
        let config = Config::load(Role::Server, Some(file), &System).map_err(|e| match e {
            ConfigError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                cannot(format!("open {shown}: no such file or directory"))
            }
            other => cannot(other.to_string()),
        })?;
        if self.would_wait(&config) {
            return Err(ActionError::WouldWait(shown));
        }
        (self.rehearse)(config).map_err(cannot)
    }
}

impl Provision {
    /// A configured node does not wait for ever to be restarted.
    pub(super) fn restart_in_the_end(&self, control: Control) {
        let flow = Arc::downgrade(&self.0.flow);
        tokio::spawn(async move {
            tokio::time::sleep(UNTOLD).await;
            let Some(flow) = flow.upgrade() else { return };
            if flow.lock().await.end.is_none() {
                tracing::warn!("configured a while ago and not told to restart: restarting");
                control.end(Ending::Restart);
            }
        });
    }
}

/// The configuration that has this node wait again at its next start.
pub fn waiting_configuration(
    about: &CallContext,
    config: &Config,
    setup: &Setup,
) -> Result<String, ActionError> {
    let nowhere = |why: &str| ActionError::Nowhere(why.to_owned());
    if !setup.knows_brokers() {
        return Err(nowhere("it knows no brokers to wait at"));
    }
    if !setup.jwt.is_empty() && read_bounded(&setup.token_file, MAX_TOKEN as u64).is_err() {
        return Err(nowhere("its provisioning token is gone"));
    }
    let mut lines = vec![
        format!("# written by {} to be provisioned again", about.caller.replace(char::is_control, " ")),
        "plugin.choria.server.provision=1".to_owned(),
        "loglevel=debug".to_owned(),
    ];
    if !config.logfile.is_empty() {
        lines.push(format!("logfile={}", config.logfile));
    }
    let data = &config.choria_registration_file_content_data;
    if setup.registration_data.is_empty() && !data.is_empty() {
        let target = &config.choria_registration_file_content_target;
        lines.push("registration=file_content".to_owned());
        lines.push(format!("registerinterval={}", config.registerinterval));
        lines.push(format!("plugin.choria.registration.file_content.data={data}"));
        if !target.is_empty() {
            lines.push(format!("plugin.choria.registration.file_content.target={target}"));
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// Writes it over the configuration.
pub fn write_waiting(file: &Path, text: &str) -> Result<(), ActionError> {
    write_atomic(file, text.as_bytes(), SECRET).map_err(|e| ActionError::Write(e.to_string()))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn splays_are_kept() {
        for (splay, least, most) in [(1, 2, 2), (0, 2, 11), (-5, 2, 11), (i64::MAX, 2, 86_401)] {
            for _ in 0..50 {
                let delay = End::restart(splay).delay.as_secs();
                assert!((least..=most).contains(&delay), "{splay}: {delay}");
            }
        }
        assert_eq!(End::restart(1).message, "Restarting Choria Server after 2s");
        for (seconds, expected) in [(0, "0s"), (65, "1m5s"), (3600, "1h0m0s")] {
            assert_eq!(text(Duration::from_secs(seconds)), expected);
        }
    }
}
