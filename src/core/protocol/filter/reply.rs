//! Which replies a person wants to see (spec 03 §6.7): the language of compound
//! filters, about a reply.

use serde_json::Value;

use super::expr::{ExprError, Expression, UnknownName};
use super::{Budget, FilterError};

/// The reply an expression is evaluated against.
#[derive(Clone, Copy)]
pub struct ReplyView<'a> {
    /// The node that answered.
    pub sender: &'a str,
    /// How the action ended, 0 for well.
    pub code: i64,
    /// What it says about that.
    pub message: &'a str,
    /// Outputs: an object.
    pub data: &'a Value,
    /// When the node answered, by its own clock.
    pub time: jiff::Timestamp,
}

/// An expression that says of every reply whether it is kept.
#[derive(Debug, Clone)]
pub struct ReplyFilter(Expression);

impl ReplyFilter {
    /// Compiles an expression, before anybody is asked: nodes never see it, and a
    /// mistake in it would drop all they answer.
    ///
    /// # Errors
    /// What is wrong with it, names that nobody knows among it.
    pub fn compile(text: &str) -> Result<ReplyFilter, FilterError> {
        if text.trim().is_empty() {
            return Err(FilterError::EmptyReplyFilter);
        }
        let wrong = |reason: String| FilterError::Expression { text: text.into(), reason };
        let expression = Expression::compile_for_replies(text).map_err(|e| wrong(e.to_string()))?;
        match expression.unknown_name_for_replies() {
            Some(unknown) => Err(wrong(told(&unknown))),
            None => Ok(ReplyFilter(expression)),
        }
    }

    /// The outputs it asks for by name: what stands first in the path of each `data(…)`.
    pub fn outputs(&self) -> Vec<&str> {
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let first = |path: &str| path.find(|c| !plain(c)).unwrap_or(path.len());
        let whole = |rest: &str| rest.is_empty() || rest.starts_with(['.', '|']);
        let of = |path| -> Option<&str> {
            let (name, rest) = str::split_at_checked(path, first(path))?;
            (!name.is_empty() && whole(rest)).then_some(name)
        };
        self.0.texts_given_to("data").into_iter().filter_map(of).collect()
    }

    /// Whether a reply is kept. Replies come from the network: each draws from a
    /// budget of its own.
    ///
    /// # Errors
    /// Why it cannot be told of this reply.
    pub fn keeps(&self, reply: &ReplyView<'_>) -> Result<bool, ExprError> {
        self.0.evaluate_reply(reply, &Budget::default())
    }
}

fn told(unknown: &UnknownName) -> String {
    match unknown {
        UnknownName::Argument { .. } => unknown.to_string(),
        UnknownName::Variable(name) => format!(
            "{name} is no name of the language, no reply would be kept: an output is data(\"{name}\"), a text has quotes"
        ),
        UnknownName::Function(name) => format!(
            "{name} is no function about replies, no reply would be kept: known are ok, aborted, unknown_action, \
             missing_data, invalid_data, unknown_error, data, sender, time, include and semver"
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(text: &str) -> Result<bool, String> {
        let data = json!({"value": "uk", "n": 3, "os": {"release": "12.1.0"}, "list": ["a", 2]});
        let reply = ReplyView {
            sender: "n1.example.net",
            code: 0,
            message: "OK",
            data: &data,
            time: jiff::Timestamp::from_second(1_700_000_000).unwrap(),
        };
        let filter = ReplyFilter::compile(text).map_err(|e| e.to_string())?;
        filter.keeps(&reply).map_err(|e| e.to_string())
    }

    #[test]
    fn everything_about_a_reply_can_be_asked() {
        for (text, answer) in [
            ("ok() && data(\"value\") == \"uk\"", true),
            ("ok() and data('value') == 'de'", false),
            ("data('n') > 2", true),
            ("data('os.release') startsWith '12' && semver(data('os.release'), '>= 12')", true),
            ("include(data('list'), 'a') and include(data('list'), 2)", true),
            ("data('absent') == nil", true),
            ("data('absent')", false),
            ("code == 0 && msg == 'OK' && sender() matches '^n[0-9]'", true),
            ("aborted() || unknown_action() || missing_data() || invalid_data() || unknown_error()", false),
            ("time() > date('2023-01-01') and time() < date('2023-12-31')", true),
            ("data('list.#') == 2 and $env.code == 0", true),
        ] {
            assert_eq!(kept(text), Ok(answer), "{text}");
        }
    }

    #[test]
    fn the_outputs_it_asks_for_are_known() {
        for (text, outputs) in [
            ("ok()", &[][..]),
            (
                "ok() && data('status') == 'a' || !(data(\"os.name\") in [data('x-y|@reverse')])",
                &["status", "os", "x-y"],
            ),
            ("data('a' + 'b') == 1 || data('a*') == 1 || data('@this') == 1 || data('a\\\\.b') == 1", &[]),
            ("any(data('list'), {# == data('n')})", &["list", "n"]),
        ] {
            assert_eq!(ReplyFilter::compile(text).unwrap().outputs(), outputs, "{text}");
        }
    }

    #[test]
    fn mistakes_are_found_before_anything_is_asked() {
        for (text, reason) in [
            ("", "empty"),
            ("ok(", "does not compile"),
            ("ok", "a function and not a boolean"),
            ("msg", "a text and not a boolean"),
            ("value == 'uk'", "data(\"value\")"),
            ("data(value) == 'uk'", "write data('value')"),
            ("fact('os') == 'x'", "fact is no function about replies"),
            ("with('apache')", "with is no function about replies"),
            ("agents == nil", "data(\"agents\")"),
            ("data(1) == 1", "data takes 1 text"),
            ("code == 'x'", "cannot be applied"),
        ] {
            let told = kept(text).expect_err(text);
            assert!(told.contains(reason), "{text}: {told}");
        }
    }

    #[test]
    fn what_only_the_reply_shows_is_an_error_of_that_reply() {
        let told = kept("data('value')").unwrap_err();
        assert!(told.contains("and not a boolean"), "{told}");
        let told = kept("data('value') > 1").unwrap_err();
        assert!(told.contains("fails when run"), "{told}");
        let dear = kept("len(filter(0..100000, {# in 0..100000})) > 0").unwrap_err();
        assert!(dear.contains("costs more") || dear.contains("more data"), "{dear}");
    }

    #[test]
    fn the_two_kinds_of_expressions_know_different_words() {
        assert!(Expression::compile("ok()", &[]).unwrap().unknown_name(&|_| false).is_some());
        assert!(Expression::compile("with('a')", &[]).unwrap().unknown_name(&|_| false).is_none());
    }
}
