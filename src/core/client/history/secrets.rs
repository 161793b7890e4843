//! Inputs whose values are kept nowhere.

use crate::core::ddl::Action;

/// Inputs of our own agents that are secrets, whose interfaces are the original's and do
/// not say so.
const OF_AGENTS: [(&str, &[&str]); 1] = [("choria_provision", &["token", "key", "server_jwt"])];
/// Names that speak of secrets, in authors' interfaces that say nothing.
const PARTS: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "credential", "private", "jwt"];
const WORDS: [&str; 4] = ["key", "pass", "pin", "auth"];

/// Whether an input is a secret: by its interface, of our agents, or by its name.
pub fn is_secret(agent: &str, action: &Action, input: &str) -> bool {
    let name = input.to_lowercase();
    action.input.get(input).is_some_and(|input| input.secret)
        || OF_AGENTS.iter().any(|(known, inputs)| *known == agent && inputs.contains(&input))
        || PARTS.iter().any(|part| name.contains(part))
        || name.split(['_', '-', '.']).any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::agents::built_in;

    #[test]
    fn an_input_is_a_secret_by_interface_agent_or_name() {
        let action =
            r#"{"action":"x","input":{"word":{"type":"string","secret":true},"other":{"type":"string"}}}"#;
        let action: Action = serde_json::from_str(action).unwrap();
        for (agent, input, secret) in [
            ("demo", "word", true),
            ("demo", "other", false),
            ("demo", "db_password", true),
            ("demo", "API_KEY", true),
            ("demo", "keyboard", false),
            ("demo", "package", false),
            ("demo", "passenger", false),
            ("choria_provision", "server_jwt", true),
        ] {
            assert_eq!(is_secret(agent, &action, input), secret, "{agent} {input}");
        }
    }

    /// What an agent keeps from audit logs is kept from histories.
    #[test]
    fn the_secrets_of_our_agents_are_known() {
        let action: Action = serde_json::from_str(r#"{"action":"x"}"#).unwrap();
        for agent in built_in() {
            let name = &agent.ddl().metadata.name;
            for input in agent.secrets() {
                assert!(is_secret(name, &action, input), "{name} {input}");
            }
        }
    }
}
