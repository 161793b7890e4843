//! The authorizer a server runs with.

#[cfg(feature = "rego")]
use super::Rego;
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
    /// Policies in Rego.
    #[cfg(feature = "rego")]
    Rego(Box<Rego>),
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
            #[cfg(feature = "rego")]
            "rego_policy" => Authorizer::Rego(Box::new(Rego::new(config))),
            provider => Authorizer::DenyAll { provider: provider.to_string() },
        }
    }

    /// Logs what is wrong with the files that decide, for the start of a node.
    pub fn look_over(&self) {
        match self {
            Authorizer::ActionPolicy(policies) => policies.look_over(),
            #[cfg(feature = "rego")]
            Authorizer::Rego(policies) => policies.look_over(),
            Authorizer::Off | Authorizer::DenyAll { .. } => {}
        }
    }

    /// Whether inputs have a part in what is decided.
    pub fn reads_inputs(&self) -> bool {
        match self {
            #[cfg(feature = "rego")]
            Authorizer::Rego(_) => true,
            _ => false,
        }
    }

    /// What an administrator should know at start.
    pub fn warning(&self) -> Option<String> {
        match self {
            Authorizer::ActionPolicy(_) => None,
            #[cfg(feature = "rego")]
            Authorizer::Rego(_) => None,
            Authorizer::Off => {
                Some("rpcauthorization is off: every verified caller may run every action".into())
            }
            Authorizer::DenyAll { provider } => Some(format!(
                "rpcauthprovider {provider} is not supported: every request is denied; use action_policy or rego_policy"
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
            _ => Vec::new(),
        }
    }

    /// Whether `request` may run.
    pub fn decide(&self, request: &AuthzRequest<'_>, classes: Option<&[String]>, facts: &Facts) -> Decision {
        match self {
            Authorizer::Off => Decision::new(Outcome::Off, "rpcauthorization is off".into()),
            Authorizer::ActionPolicy(policy) => policy.decide(request, classes, facts),
            #[cfg(feature = "rego")]
            Authorizer::Rego(policy) => policy.decide(request, classes, facts),
            Authorizer::DenyAll { provider } => {
                Decision::new(Outcome::Error, format!("rpcauthprovider {provider} is not supported"))
            }
        }
    }
}
