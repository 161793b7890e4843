//! DDLs of the agents that are compiled in.

use std::sync::LazyLock;

use super::agent::AgentDdl;

macro_rules! builtins {
    ($($name:literal),* $(,)?) => {
        static BUILTINS: LazyLock<Vec<AgentDdl>> = LazyLock::new(|| {
            // A broken file of ours is left out here and found by the test below.
            [$(AgentDdl::parse(include_bytes!(concat!("builtin/", $name, ".json")))),*]
                .into_iter()
                .flatten()
                .collect()
        });
        const NAMES: &[&str] = &[$($name),*];
    };
}

builtins!("choria_util", "rpcutil");

/// The interface of a compiled-in agent. `discovery` has none.
pub fn builtin(name: &str) -> Option<&'static AgentDdl> {
    BUILTINS.iter().find(|ddl| ddl.metadata.name == name)
}

/// Names of the compiled-in agents that have an interface, sorted.
pub fn builtin_names() -> &'static [&'static str] {
    NAMES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_is_a_ddl_of_its_name() {
        assert!(NAMES.is_sorted());
        for name in NAMES {
            let ddl = builtin(name).unwrap_or_else(|| panic!("{name} is broken"));
            assert!(ddl.metadata.timeout >= 2 && !ddl.actions.is_empty(), "{name}");
            for action in &ddl.actions {
                assert!(!action.description.is_empty(), "{name}#{}", action.action);
                let outputs = action.aggregate.iter().filter_map(|a| a.args.get(0)?.as_str());
                for output in outputs {
                    assert!(action.output.contains_key(output), "{name}#{} sums {output}", action.action);
                }
            }
        }
        assert!(builtin("discovery").is_none());
    }
}
