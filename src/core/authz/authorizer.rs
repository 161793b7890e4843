//! The authorizer a server runs with.

use super::{ActionPolicy, AuthzRequest, Decision, Outcome};
use crate::core::config::Config;
use crate::core::protocol::filter::Facts;

/// What decides about calls, chosen once at start.
#[derive(Debug)]
pub enum Authorizer {
    /// `rpcauthorization = false`: everybody whose request verifies may do
    /// everything.
    Off,
    /// Policy files.
    ActionPolicy(Box<ActionPolicy>),
    /// A provider that is not here: nobody may do anything.
    DenyAll {
        /// The provider's name, as configured.
        provider: String,
    },
}

impl Authorizer {
    /// The authorizer `config` asks for; its provider is compared without
    /// regard to case.
    pub fn from_config(config: &Config) -> Authorizer {
        if !config.rpcauthorization {
            return Authorizer::Off;
        }
        match config.rpcauthprovider.to_lowercase().as_str() {
            "action_policy" => Authorizer::ActionPolicy(Box::new(ActionPolicy::new(config))),
            provider => Authorizer::DenyAll { provider: provider.to_string() },
        }
    }

    /// Logs what is wrong with the files that decide, for the start of a node.
    pub fn look_over(&self) {
        if let Authorizer::ActionPolicy(policies) = self {
            policies.look_over();
        }
    }

    /// What an administrator should know at start.
    pub fn warning(&self) -> Option<String> {
        match self {
            Authorizer::ActionPolicy(_) => None,
            Authorizer::Off => {
                Some("rpcauthorization is off: every verified caller may run every action".into())
            }
            Authorizer::DenyAll { provider } => Some(format!(
                "rpcauthprovider {provider} is not supported: every request is denied; use action_policy"
            )),
        }
    }

    /// The rules before the one that decides about `request`, a sentence each: file, line, and why
    /// it does not decide.
    pub fn passed_over(
        &self,
        request: &AuthzRequest<'_>,
        classes: Option<&[String]>,
        facts: &Facts,
    ) -> Vec<String> {
        match self {
            Authorizer::ActionPolicy(policy) => policy.passed_over(request, classes, facts),
            Authorizer::Off | Authorizer::DenyAll { .. } => Vec::new(),
        }
    }

    /// Whether `request` may run.
    pub fn decide(&self, request: &AuthzRequest<'_>, classes: Option<&[String]>, facts: &Facts) -> Decision {
        match self {
            Authorizer::Off => Decision::new(Outcome::Off, "rpcauthorization is off".into()),
            Authorizer::ActionPolicy(policy) => policy.decide(request, classes, facts),
            Authorizer::DenyAll { provider } => {
                Decision::new(Outcome::Error, format!("rpcauthprovider {provider} is not supported"))
            }
        }
    }
}
