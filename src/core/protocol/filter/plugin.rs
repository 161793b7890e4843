//! What a plugin of a manifest is matched by (spec 06 §10.2): the language of compound filters,
//! about the name of a node, its facts, and what there is on its disks.

use super::expr::{ExprError, Expression};
use super::{Budget, Facts};

/// What there is on a machine, looked at when it is asked.
pub trait Sight {
    /// There is something at a path.
    fn has_file(&self, path: &str) -> bool;
    /// There is a directory at a path.
    fn has_directory(&self, path: &str) -> bool;
    /// A program of that name is found.
    fn has_command(&self, name: &str) -> bool;
}

/// What a matcher is evaluated against.
#[derive(Clone, Copy)]
pub struct PluginView<'a> {
    /// The node.
    pub identity: &'a str,
    /// Its facts.
    pub facts: &'a Facts,
    /// Its disks.
    pub sight: &'a dyn Sight,
}

/// A matcher.
#[derive(Debug, Clone)]
pub struct PluginExpression(Expression);

impl PluginExpression {
    /// Compiles a matcher.
    ///
    /// # Errors
    /// What is wrong with it, names that nobody knows among it; a sentence.
    pub fn compile(text: &str) -> Result<PluginExpression, String> {
        let expression = Expression::compile_for_plugins(text).map_err(|e| e.to_string())?;
        match expression.unknown_name_for_plugins() {
            Some(_) => Err(format!(
                "{text} has a name nobody knows: known are identity(\"REGEX\"), get_fact(\"NAME\"), has_file(\"PATH\"), \
                 has_directory(\"PATH\") and has_command(\"NAME\")"
            )),
            None => Ok(PluginExpression(expression)),
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// Why there is none.
    pub fn evaluate(&self, node: &PluginView<'_>) -> Result<bool, ExprError> {
        self.0.evaluate_plugin(node, &Budget::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Disk;

    impl Sight for Disk {
        fn has_file(&self, path: &str) -> bool {
            path == "/there"
        }

        fn has_directory(&self, path: &str) -> bool {
            path == "/directory"
        }

        fn has_command(&self, name: &str) -> bool {
            name == "puppet"
        }
    }

    #[test]
    fn matchers_are_those_of_the_original() {
        let facts = Facts::from_json("{\"country\":\"mt\"}".to_owned());
        let view = PluginView { identity: "n1.example.net", facts: &facts, sight: &Disk };
        for (text, expected) in [
            ("true", true),
            ("identity(\"n1\")", true),
            ("identity(\"^zz\")", false),
            ("get_fact(\"country\") == \"mt\"", true),
            ("has_file(\"/there\") && !has_file(\"/other\")", true),
            ("has_directory(\"/directory\") && !has_directory(\"/there\")", true),
            ("has_command(\"puppet\") || has_command(\"x\")", true),
        ] {
            assert_eq!(PluginExpression::compile(text).unwrap().evaluate(&view), Ok(expected), "{text}");
        }
        for wrong in ["nosuch", "1", "", "identity(", "data(\"x\")", "facts", "fact(\"x\")"] {
            assert!(PluginExpression::compile(wrong).is_err(), "{wrong}");
        }
        assert!(PluginExpression::compile("identity(\"(\")").unwrap().evaluate(&view).is_err());
    }
}
