//! The `choria_provision` agent (spec 02 §13.4, 05 §4): turns a node that waits
//! into a member of its network.
//!
//! A call goes mode → types of its inputs (`inputs`) → access token → `lock` →
//! action, one at a time. `jwt`, `gencsr` and `gen25519` tell who the node is
//! (`identity`, with [`keys`]); `configure` makes it somebody, all of it or
//! nothing (`configure`, `material`); `restart`, `reprovision` and `shutdown`
//! end the process (`ending`); `release_update` does so by another binary
//! ([`release`]). What is refused is an `ActionError`.
//!
//! Better than the original: a caller without the token cannot take the lock, a
//! certificate request belongs to one flow and its key is not replaced under it,
//! a node that was configured stays so until its restart, and a configuration is
//! tried before the old one is given up.

mod action_error;
mod configure;
mod ending;
mod identity;
mod inputs;
pub mod keys;
mod lock;
mod material;
pub mod release;
#[cfg(test)]
mod replay_v2_tests;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Agent, Call, Node, Outcome, Running};
use crate::core::config::Config;
use crate::core::ddl::{self, AgentDdl};
use crate::core::lifecycle::EventType;
use crate::core::provisioning::{AGENT, Setup};
use crate::core::security::key_transport::Exchange;
use crate::core::text::Secret;
use crate::core::text::shortened;
use action_error::ActionError;
use configure::Configured;
use ending::End;
use identity::{OpenRequest, OpenSeed};
use inputs::Inputs;
use keys::KeySource;
use lock::Lock;

/// Tries a configuration without giving up the running one; says what is wrong with it.
pub type Rehearse = Arc<dyn Fn(Config) -> Result<(), String> + Send + Sync>;

/// The agent.
pub struct Provision(Arc<Inner>);

/// What its actions share.
struct Inner {
    setup: Arc<Setup>,
    keys: Arc<dyn KeySource>,
    rehearse: Rehearse,
    flow: Arc<Mutex<Flow>>,
    /// The program that may be replaced; none where there is no process to replace.
    image: Option<PathBuf>,
}

/// How far the node is.
#[derive(Default)]
struct Flow {
    lock: Lock,
    exchange: Option<Exchange>,
    request: Option<OpenRequest>,
    seed: Option<OpenSeed>,
    configured: Option<Configured>,
    end: Option<End>,
}

/// Where a call comes from and what it is to change.
struct CallContext {
    identity: String,
    /// Absolute path of the configuration file, whether it is there or not.
    file: PathBuf,
    request: String,
    caller: String,
    sender: String,
    /// Unix seconds.
    now: i64,
}

impl CallContext {
    fn of(call: &Call, node: &dyn Node) -> Result<CallContext, ActionError> {
        let file = node.config().file().ok_or(ActionError::NoFile)?;
        Ok(CallContext {
            identity: node.identity().to_owned(),
            file: std::path::absolute(file).map_err(|_| ActionError::NoFile)?,
            request: call.request_id.clone(),
            caller: call.caller.clone(),
            sender: call.sender.clone(),
            now: node.now(),
        })
    }

    /// Directory of the configuration.
    fn dir(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    fn holder(&self) -> String {
        format!("{}.{}", self.sender, self.caller)
    }
}

impl fmt::Debug for Provision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provision").field("setup", &self.0.setup).finish_non_exhaustive()
    }
}

impl Provision {
    /// For a node set up by `setup`. `keys` makes its key, `rehearse` tries the
    /// configuration it is given.
    pub fn new(setup: Arc<Setup>, keys: Arc<dyn KeySource>, rehearse: Rehearse) -> Provision {
        Provision(Arc::new(Inner { setup, keys, rehearse, flow: Arc::default(), image: None }))
    }

    /// With the program that may be replaced by another version, where the token allows it.
    pub fn with_image(self, image: Option<PathBuf>) -> Provision {
        let Inner { setup, keys, rehearse, flow, .. } = &*self.0;
        let (setup, keys, rehearse, flow) = (setup.clone(), keys.clone(), rehearse.clone(), flow.clone());
        Provision(Arc::new(Inner { setup, keys, rehearse, flow, image }))
    }

    async fn act(&self, call: &Call, node: &dyn Node) -> Result<Value, ActionError> {
        let room = &self.0;
        let action = call.action.as_str();
        self.check_mode(action, node)?;
        let inputs = Inputs::read(action, &call.data)?;
        let access = &room.setup.access;
        if !access.is_empty() && !access.matches(&Secret::new(inputs.text("token"))) {
            return Err(ActionError::Token);
        }
        let about = CallContext::of(call, node)?;
        let mut flow = room.flow.clone().lock_owned().await;
        if let Some(end) = &flow.end {
            return end.again(action);
        }
        if !matches!(action, "restart" | "reprovision" | "shutdown")
            && !flow.lock.take(&about.holder(), about.now)
        {
            return Err(ActionError::Locked);
        }
        match action {
            "jwt" => room.token(&mut flow),
            "gencsr" => self.work(flow, move |room, flow| room.request(flow, &inputs, &about)).await,
            "gen25519" => self.work(flow, move |room, flow| room.seed(flow, &inputs, &about)).await,
            "configure" => {
                let settled = flow.configured.is_some();
                let reply = self.work(flow, move |room, flow| room.configure(flow, &inputs, &about)).await?;
                if !settled {
                    node.announce(EventType::Provisioned, None).await;
                    self.restart_in_the_end(node.control());
                }
                Ok(reply)
            }
            "release_update" => {
                let version = inputs.text("version");
                self.update(inputs.text("repository"), version).await?;
                node.announce(EventType::Upgraded, Some(version)).await;
                node.announce(EventType::Shutdown, None).await;
                Ok(End::upgrade(version).begin(&mut flow, node.control()))
            }
            "restart" => {
                let room = room.clone();
                let (file, reply) = (about.file, inputs.number("splay"));
                blocking(move || room.check_restart(&file)).await?;
                let end = End::restart(reply);
                node.announce(EventType::Shutdown, None).await;
                Ok(end.begin(&mut flow, node.control()))
            }
            "reprovision" => {
                let text = ending::waiting_configuration(&about, node.config(), &room.setup)?;
                let file = about.file;
                blocking(move || ending::write_waiting(&file, &text)).await?;
                node.announce(EventType::Shutdown, None).await;
                Ok(End::reprovision().begin(&mut flow, node.control()))
            }
            "shutdown" => Ok(End::shutdown().begin(&mut flow, node.control())),
            other => Err(ActionError::Unknown(other.to_owned())),
        }
    }

    fn check_mode(&self, action: &str, node: &dyn Node) -> Result<(), ActionError> {
        let waiting = node.provisioning();
        let controlled = waiting || !self.0.setup.access.is_empty();
        match action {
            "jwt" | "gencsr" | "gen25519" | "configure" if !waiting => Err(ActionError::NotWaiting),
            "release_update" if !waiting => Err(ActionError::NoUpdateHere),
            "restart" if !controlled => Err(ActionError::NotControlled("restart")),
            "shutdown" if !controlled => Err(ActionError::NotControlled("shutdown")),
            "reprovision" if waiting => Err(ActionError::Waiting),
            _ => Ok(()),
        }
    }

    async fn update(&self, repository: &str, version: &str) -> Result<(), ActionError> {
        let Inner { setup, image, .. } = &*self.0;
        let Some(image) = image.as_deref().filter(|_| setup.allow_update) else {
            return Err(ActionError::NoUpdates);
        };
        let done = release::update(repository, version, &setup.release_key, &setup.trust.ca, image).await;
        done.map_err(|e| ActionError::Update { version: shortened(version, 64), reason: e.to_string() })
    }

    /// Runs what computes or writes off the threads that serve. It ends, and is
    /// remembered, also when the caller no longer waits for it.
    async fn work(
        &self,
        mut flow: OwnedMutexGuard<Flow>,
        work: impl FnOnce(&Inner, &mut Flow) -> Result<Value, ActionError> + Send + 'static,
    ) -> Result<Value, ActionError> {
        let room = self.0.clone();
        blocking(move || work(&room, &mut flow)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ActionError> + Send + 'static,
) -> Result<T, ActionError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| ActionError::Work(format!("the work was not done: {e}")))?
}

impl Agent for Provision {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin(AGENT).expect("compiled in")
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["token", "key", "server_jwt"]
    }

    fn limit(&self, action: &str) -> Duration {
        match action {
            // provisioners wait two minutes for it
            "release_update" => Duration::from_secs(115),
            _ => Duration::from_secs(self.ddl().metadata.timeout),
        }
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(async move {
            match self.act(call, node).await {
                Ok(mut data) => {
                    if let Some(mark) = node.mark() {
                        mark.add_to(&mut data);
                    }
                    Outcome::ok(data)
                }
                Err(refusal) => {
                    tracing::warn!(
                        request = call.request_id,
                        caller = call.caller,
                        action = call.action,
                        "provisioning refused: {refusal}"
                    );
                    refusal.into()
                }
            }
        })
    }
}
