//! The `package` agent (spec 02 §15.1): installs, removes, updates and looks at packages,
//! by the package manager the node has.

mod apk;
mod apt;
mod manager;
mod pkg;
mod rpm;
mod update;
mod yum;
mod zypper;

use std::time::Duration;

use md5::{Digest, Md5};
use serde_json::Value;
use tokio::time::Instant;

use super::system::{Jobs, Outputs, Told, Tool, told_of, turn};
use super::{Agent, Call, Node, Outcome, Running};
use crate::core::ddl::{self, AgentDdl};
use crate::core::rpc::StatusCode;
use crate::core::text::hex;
use manager::Manager;
use update::Update;

/// How long a look at packages may take.
const LOOK: Duration = Duration::from_secs(60);
/// What a change may take, with the looks before it, until its caller is told that it goes
/// on, below the 180 s the interface gives.
const WAITS: Duration = Duration::from_secs(170);
/// Bytes of what a package manager said that a reply holds.
const MOST_SAID: usize = 64 * 1024;

/// The agent.
pub struct Package {
    jobs: Jobs,
}

/// On whose behalf something is done, and until when they wait.
#[derive(Clone, Copy)]
struct By<'a> {
    call: &'a Call,
    node: &'a dyn Node,
    until: Instant,
}

impl Package {
    /// With a place for what outlives its request.
    pub fn new(jobs: Jobs) -> Package {
        Package { jobs }
    }

    async fn call(&self, call: &Call, node: &dyn Node) -> Outcome {
        let outputs = Outputs::of(self.ddl(), call);
        let by = By { call, node, until: Instant::now() + WAITS };
        let manager = match call.action.as_str() {
            "apt_update" | "apt_checkupdates" => Manager::apt().await,
            "yum_clean" | "yum_checkupdates" => Manager::like_yum().await,
            _ => Manager::of(node.config()).await,
        };
        let manager = match manager {
            Ok(manager) => manager,
            Err(problem) => return outputs.broken(problem),
        };
        let _turn = match call.action.as_str() {
            "status" | "search" | "count" | "md5" | "checkupdates" | "apt_checkupdates"
            | "yum_checkupdates" => turn(call).await,
            _ => None,
        };
        match call.action.as_str() {
            "status" => status(call, manager, outputs).await,
            "install" | "update" | "uninstall" | "purge" => self.change(by, manager, outputs).await,
            "search" => search(call, manager, outputs).await,
            "count" | "md5" => counted(call, manager, outputs).await,
            "checkupdates" | "apt_checkupdates" | "yum_checkupdates" => updates(manager, outputs).await,
            "refresh" | "apt_update" => self.run(by, manager.refresh(), manager, outputs).await,
            "yum_clean" => self.clean(by, manager, outputs).await,
            other => {
                let message = format!("Unknown action {other} for agent package");
                outputs.failed(StatusCode::UnknownAction, message)
            }
        }
    }

    /// Brings a package into another state.
    async fn change(&self, by: By<'_>, manager: Manager, mut outputs: Outputs) -> Outcome {
        let call = by.call;
        let (name, version) = (call.text("package"), call.text("version"));
        if let Err(refused) = manager.checked(name, version) {
            return refused.answer(outputs);
        }
        let before = match manager.status(name).await {
            Ok(before) => before,
            Err(problem) => return outputs.broken(problem),
        };
        before.tell(&mut outputs);
        let missing = || "Package is not present on the system";
        match call.action.as_str() {
            "install" if !before.absent() && version.is_empty() => {
                return outputs.broken("Package is already installed");
            }
            "update" | "uninstall" if before.absent() => return outputs.broken(missing()),
            "purge" if before.purged(manager) => return outputs.broken(missing()),
            _ => {}
        }
        let tool = match call.action.as_str() {
            "install" => manager.install(name, version).await,
            "update" => manager.update(name).await,
            "uninstall" => Ok(manager.remove(name)),
            _ => Ok(manager.purge(name)),
        };
        let tool = match tool {
            Ok(tool) => tool,
            Err(problem) => return outputs.broken(problem),
        };
        let (package, unfinished, action) = (name.to_owned(), outputs.clone(), call.action.clone());
        let wanted = (version != "latest").then(|| version.to_owned()).filter(|v| !v.is_empty());
        let conclude = move |told: Told| async move {
            outputs.set("output", shown(&told.all()));
            let after = match manager.status(&package).await {
                Ok(after) => after,
                Err(problem) => return outputs.broken(problem),
            };
            after.tell(&mut outputs);
            let problem = match action.as_str() {
                _ if !manager.well(told.code) => Some(told.complaint()),
                "install" if after.absent() => Some("it is not there afterwards".to_owned()),
                "install" => wanted
                    .filter(|wanted| !after.is_version(wanted))
                    .map(|wanted| format!("its version is {} and not {wanted}", after.ensure)),
                "uninstall" | "purge" if !after.absent() => Some("it is still there".to_owned()),
                _ => None,
            };
            match problem {
                Some(problem) => outputs.broken(format!("Could not {action} {package}: {problem}")),
                None => outputs.done(),
            }
        };
        self.begin(by, tool, unfinished, conclude).await
    }

    /// Runs something of a package manager that changes what it knows; actions that tell of
    /// updates tell them afterwards.
    async fn run(&self, by: By<'_>, tool: Tool, manager: Manager, mut outputs: Outputs) -> Outcome {
        let (unfinished, command) = (outputs.clone(), tool.shown());
        let lists = by.call.action == "apt_update";
        let conclude = move |told: Told| async move {
            outputs.set("output", shown(&told.all())).set("exitcode", told.code);
            if !manager.well(told.code) {
                let message = format!("{command} failed, exit code was {}: {}", told.code, told.complaint());
                return outputs.broken(message);
            }
            if lists { updates(manager, outputs).await } else { outputs.done() }
        };
        self.begin(by, tool, unfinished, conclude).await
    }

    async fn clean(&self, by: By<'_>, manager: Manager, outputs: Outputs) -> Outcome {
        let set = by.node.config().option("plugin.package.yum_clean_mode").unwrap_or("all");
        let mode = match by.call.text("mode") {
            "" => set,
            mode => mode,
        };
        match yum::clean(manager, mode) {
            Ok(tool) => self.run(by, tool, manager, outputs).await,
            Err(problem) => outputs.broken(problem),
        }
    }

    async fn begin<F: Future<Output = Outcome> + Send>(
        &self,
        by: By<'_>,
        tool: Tool,
        unfinished: Outputs,
        conclude: impl FnOnce(Told) -> F + Send + 'static,
    ) -> Outcome {
        let By { call, node, until } = by;
        let name = Jobs::name_of(&call.caller, &call.request_id);
        match self.jobs.begin(name, call, tool, conclude).await {
            Ok(job) => told_of(job, until, call, node, unfinished).await,
            Err(problem) => unfinished.broken(problem),
        }
    }
}

impl Agent for Package {
    fn ddl(&self) -> &AgentDdl {
        // Compiled in; a test loads every built-in DDL.
        ddl::builtin("package").expect("compiled in")
    }

    fn run<'a>(&'a self, call: &'a Call, node: &'a dyn Node) -> Running<'a> {
        Box::pin(self.call(call, node))
    }
}

async fn status(call: &Call, manager: Manager, mut outputs: Outputs) -> Outcome {
    let name = call.text("package");
    if let Err(refused) = manager.checked(name, "") {
        return refused.answer(outputs);
    }
    match manager.status(name).await {
        Ok(properties) => {
            properties.tell(&mut outputs);
            outputs.done()
        }
        Err(problem) => outputs.broken(problem),
    }
}

async fn search(call: &Call, manager: Manager, mut outputs: Outputs) -> Outcome {
    let name = call.text("package");
    if let Err(refused) = manager.checked(name, "") {
        return refused.answer(outputs);
    }
    match manager.search(name).await {
        Ok(found) => {
            outputs.set("package_count", format!("{} packages found", found.len()));
            outputs.set("available_packages", found);
            outputs.done()
        }
        Err(problem) => outputs.broken(problem),
    }
}

async fn counted(call: &Call, manager: Manager, mut outputs: Outputs) -> Outcome {
    let told = match manager.list().ask(LOOK).await {
        Ok(told) => told,
        Err(problem) => return outputs.broken(problem),
    };
    outputs.set("exitcode", told.code);
    if !told.well() {
        let message = format!("{} command failed, exit code was {}", manager.lister(), told.code);
        return outputs.broken(message);
    }
    let packages = manager.listed(&told.output);
    let output = match call.action.as_str() {
        "count" => packages.lines().filter(|line| !line.is_empty()).count().to_string(),
        _ => hex(Md5::digest(packages.as_bytes()).as_slice()),
    };
    outputs.set("output", output);
    outputs.done()
}

async fn updates(manager: Manager, mut outputs: Outputs) -> Outcome {
    match manager.updates(LOOK).await {
        Ok((told, updates)) => {
            outputs.set("output", shown(&told.output)).set("exitcode", told.code);
            outputs.set("outdated_packages", updates.iter().map(Update::to_value).collect::<Vec<Value>>());
            // not every action that tells updates tells by whom
            if outputs.declares("package_manager") {
                outputs.set("package_manager", manager.name());
            }
            outputs.done()
        }
        Err(problem) => outputs.broken(problem),
    }
}

/// The end of a long text: what went wrong stands there.
fn shown(text: &str) -> String {
    let mut from = text.len().saturating_sub(MOST_SAID);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
