//! Why an action is refused, in the original's words where it has them: provisioners
//! log them and people look for them.

use crate::core::agents::Outcome;
use crate::core::rpc::StatusCode;

/// An action that was not done.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum ActionError {
    #[error("Cannot reconfigure a server that is not in provisioning mode")]
    NotWaiting,
    #[error("Cannot update a server that is not in provisioning mode")]
    NoUpdateHere,
    #[error("Cannot {0} a server that is not in provisioning mode or with no token set")]
    NotControlled(&'static str),
    #[error("Server is already in provisioning mode, cannot enable provisioning mode again")]
    Waiting,
    #[error("Could not parse request data for choria_provision#{action}: {problem}")]
    Inputs { action: String, problem: String },
    #[error("Incorrect provision token supplied")]
    Token,
    #[error("Could not obtain provisioning lock")]
    Locked,
    #[error("Cannot determine the configuration file to manage")]
    NoFile,
    #[error("No Provisioning JWT file has been configured")]
    NoTokenFile,
    #[error("Provisioning JWT file does not exist")]
    NoToken,
    #[error("Could not calculate EDCH keys: {0}")]
    Exchange(String),
    #[error("Could not create private key: {0}")]
    Key(String),
    #[error("Could not create CSR: {0}")]
    Request(String),
    #[error("Did not receive any configuration to write, cannot write a empty configuration file")]
    NoConfiguration,
    #[error("EDCH Public Key not supplied while providing a private key")]
    NoPeer,
    #[error("Could not decode configuration data: {0}")]
    Configuration(String),
    #[error("TLS Setup Failed: {0}")]
    Tls(String),
    #[error("Could not write config: {0}")]
    Write(String),
    #[error("Could not save Action Policies: {0}")]
    ActionPolicies(String),
    #[error("Could not save Open Policy Agent Policies: {0}")]
    RegoPolicies(String),
    #[error("This server was configured by request {request} of {caller} and waits for its restart")]
    Configured { request: String, caller: String },
    #[error("This server is about to end: {0}")]
    Ending(String),
    #[error("Configuration {file} could not be parsed, restart cannot continue: {reason}")]
    CannotServe { file: String, reason: String },
    #[error("Configuration {0} enables provisioning, restart cannot continue")]
    WouldWait(String),
    #[error("This server cannot wait to be provisioned: {0}")]
    Nowhere(String),
    #[error("Version updates is not enabled in the configuration")]
    NoUpdates,
    #[error("Update to version {version} failed, release rolled back: {reason}")]
    Update { version: String, reason: String },
    #[error("{0}")]
    Work(String),
    #[error("Unknown action {0} for agent choria_provision")]
    Unknown(String),
}

impl From<ActionError> for Outcome {
    fn from(refusal: ActionError) -> Outcome {
        let code = match refusal {
            ActionError::Inputs { .. } => StatusCode::InvalidData,
            ActionError::Unknown(_) => StatusCode::UnknownAction,
            _ => StatusCode::Aborted,
        };
        Outcome::failed(code, refusal.to_string())
    }
}
