//! Does this node wait, or serve? Pure.

use super::Setup;

/// What a start found of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No file.
    Nothing,
    /// A file, and what it says of `plugin.choria.server.provision`.
    Configuration(Option<bool>),
}

/// What the node does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Serve by its configuration.
    Serve,
    /// Wait to be provisioned, on a configuration of its own.
    Wait,
    /// It can do neither: why.
    Neither(String),
}

/// What a node does that found this.
///
/// Stricter than the original in three places, each of which leaves a node
/// there that tries a broker called puppet for ever or ends at its start (spec
/// 02 §13.2 traps): a token file counts only when it exists, a node that is
/// not to be provisioned by default does not run on bare defaults, and the
/// setting alone is enough to wait.
pub fn decide(found: Found, setup: &Setup) -> Decision {
    let nowhere = || {
        let file = setup.token_file.display();
        Decision::Neither(if setup.token_file.as_os_str().is_empty() {
            "this build knows no brokers to wait at".to_owned()
        } else {
            let problem = setup.token_problem.as_deref().unwrap_or("it names no brokers");
            format!("the provisioning token {file} cannot be used: {problem}")
        })
    };
    match found {
        Found::Configuration(Some(false)) => Decision::Serve,
        Found::Configuration(Some(true)) if setup.knows_brokers() => Decision::Wait,
        Found::Configuration(Some(true)) => nowhere(),
        Found::Configuration(None) if setup.by_default && setup.knows_brokers() => Decision::Wait,
        Found::Configuration(None) => Decision::Serve,
        Found::Nothing if !setup.knows_brokers() => nowhere(),
        Found::Nothing if setup.by_default => Decision::Wait,
        Found::Nothing => {
            Decision::Neither("the provisioning token does not provision by default (claim chpd)".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case() {
        use Found::{Configuration, Nothing};
        let setup = |brokers: bool, by_default| Setup {
            brokers: brokers.then(|| "b:4222".to_owned()).into_iter().collect(),
            by_default,
            ..Setup::default()
        };
        for (found, brokers, by_default, waits) in [
            (Nothing, true, true, Some(true)),
            (Nothing, true, false, None),
            (Nothing, false, true, None),
            (Configuration(Some(false)), true, true, Some(false)),
            (Configuration(Some(true)), true, false, Some(true)),
            (Configuration(Some(true)), true, true, Some(true)),
            (Configuration(Some(true)), false, true, None),
            (Configuration(None), true, true, Some(true)),
            (Configuration(None), true, false, Some(false)),
            (Configuration(None), false, true, Some(false)),
        ] {
            let decision = decide(found, &setup(brokers, by_default));
            let expected = match waits {
                Some(true) => matches!(decision, Decision::Wait),
                Some(false) => matches!(decision, Decision::Serve),
                None => matches!(decision, Decision::Neither(_)),
            };
            assert!(expected, "{found:?} {brokers} {by_default}: {decision:?}");
        }
    }
}
