//! What people type into applications (spec 07 D): the language of compound filters, about one
//! value, or about what was given before.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::expr::{ExprError, Expression};
use super::{Budget, search};

/// What an expression is evaluated against.
#[derive(Clone, Copy)]
pub struct InputView<'a> {
    /// What was typed.
    pub value: Option<&'a str>,
    /// `Input`, `Arguments`, `Flags` and `Config`: an object.
    pub given: &'a Value,
}

/// What is said of a text.
type Says = fn(&str) -> bool;

/// Functions that say something of a text, in both spellings.
const FUNCTIONS: [(&str, &str, Says); 9] = [
    ("is_ip", "isIP", |text| is_ipv4(text) || is_ipv6(text)),
    ("is_ipv4", "isIPv4", is_ipv4),
    ("is_ipv6", "isIPv6", is_ipv6),
    ("is_int", "isInt", |text| text.parse::<i64>().is_ok()),
    ("is_float", "isFloat", |text| text.parse::<f64>().is_ok()),
    ("is_duration", "isDuration", is_duration),
    ("is_shellsafe", "isShellSafe", is_shell_safe),
    ("is_hostname", "isHostname", is_hostname),
    ("is_fqdn", "isFQDN", is_fqdn),
];

/// What a function says of a text; nothing for a name that is none of them.
pub(super) fn function(name: &str) -> Option<Says> {
    FUNCTIONS.iter().find(|(snake, camel, _)| name == *snake || name == *camel).map(|(.., says)| *says)
}

/// Whether a regular expression matches.
pub(super) fn matches(text: &str, pattern: &str) -> Result<bool, String> {
    let expression = search(pattern).ok_or_else(|| format!("{pattern} is no regular expression"))?;
    Ok(expression.is_match(text))
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// Numbers with units: `1h30m`, `2d`.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 11] = ["ns", "us", "µs", "ms", "s", "m", "h", "d", "w", "M", "y"];
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, more) = after.split_at(unit_end);
        let known = UNITS.contains(&unit) || unit == "Y";
        if number.parse::<f64>().is_err() || !known {
            return false;
        }
        if more.is_empty() {
            return true;
        }
        rest = more;
    }
}

/// Without what shells make something of.
fn is_shell_safe(text: &str) -> bool {
    !["`", "$", ";", "|", "&&", ">", "<", "\n"].iter().any(|sign| text.trim().contains(sign))
}

fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (1..=253).contains(&text.len()) && text.split('.').all(label)
}

/// A host name of several parts, the last of which is no number.
fn is_fqdn(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    is_hostname(text)
        && text.rsplit_once('.').is_some_and(|(_, last)| !last.bytes().all(|b| b.is_ascii_digit()))
}

/// An expression that says yes or no.
#[derive(Debug, Clone)]
pub struct InputExpression(Expression);

impl InputExpression {
    /// Compiles what judges one value, `value`.
    ///
    /// # Errors
    /// What is wrong with it, names that nobody knows among it; a sentence.
    pub fn of_value(text: &str) -> Result<InputExpression, String> {
        InputExpression::compile(text, true)
    }

    /// Compiles what judges by what was given before: `Input`, `Arguments`, `Flags` and `Config`.
    ///
    /// # Errors
    /// As [`InputExpression::of_value`].
    pub fn of_given(text: &str) -> Result<InputExpression, String> {
        InputExpression::compile(text, false)
    }

    fn compile(text: &str, value: bool) -> Result<InputExpression, String> {
        let expression = Expression::compile_for_input(text, value).map_err(|e| e.to_string())?;
        match expression.unknown_name_for_input(value) {
            Some(unknown) => {
                let names = if value { "value" } else { "Input, Arguments, Flags and Config" };
                Err(format!(
                    "it has a name nobody knows, {}: known are {names}, and functions such as is_ip(TEXT)",
                    unknown.name()
                ))
            }
            None => Ok(InputExpression(expression)),
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// Why there is none.
    pub fn evaluate(&self, input: &InputView<'_>) -> Result<bool, ExprError> {
        self.0.evaluate_input(input, &Budget::default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_judged() {
        for (text, value, expected) in [
            ("len(value) < 20", "short", true),
            ("len(value) < 20 && is_shellsafe(value)", "a;b", false),
            ("isShellSafe(value)", "a && b", false),
            ("is_ip(value)", "192.168.1.1", true),
            ("isIP(value)", "::1", true),
            ("is_ipv4(value)", "::1", false),
            ("isIPv6(value)", "::1", true),
            ("is_int(value)", "-12", true),
            ("is_int(value)", "1.5", false),
            ("is_float(value)", "1.5", true),
            ("is_duration(value)", "1h30m", true),
            ("is_duration(value)", "2d", true),
            ("is_duration(value)", "2", false),
            ("is_duration(value)", "h", false),
            ("is_regex(value, '^[a-z]+$')", "abc", true),
            ("isRegex(value, '^[a-z]+$')", "ab1", false),
            ("is_hostname(value)", "n1", true),
            ("is_hostname(value)", "-n1", false),
            ("is_fqdn(value)", "n1.example.net", true),
            ("is_fqdn(value)", "n1", false),
            ("isFQDN(value)", "10.0.0.1", false),
            ("hasPrefix(value, '/')", "/etc", true),
            ("value in ['a', 'b']", "b", true),
            ("Value == 'x'", "x", true),
        ] {
            let view = InputView { value: Some(value), given: &Value::Null };
            let compiled = InputExpression::of_value(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(compiled.evaluate(&view), Ok(expected), "{text} of {value}");
        }
        for wrong in ["nosuch", "1", "", "is_ip(", "data(\"x\")", "is_ip(1)", "value > 1", "Input.a == 1"] {
            assert!(InputExpression::of_value(wrong).is_err(), "{wrong}");
        }
        let view = InputView { value: Some("x"), given: &Value::Null };
        assert!(InputExpression::of_value("is_regex(value, '(')").unwrap().evaluate(&view).is_err());
    }

    #[test]
    fn what_was_given_before_is_judged() {
        let given =
            json!({"Input": {"accounts": {"a": 1}, "n": 3}, "Flags": {"force": true}, "Arguments": {}});
        for (text, expected) in [
            ("Input.accounts != nil", true),
            ("input.other != nil", false),
            ("Input.n > 2 and Flags.force", true),
            ("Arguments.x == nil", true),
        ] {
            let view = InputView { value: None, given: &given };
            let compiled = InputExpression::of_given(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(compiled.evaluate(&view), Ok(expected), "{text}");
        }
        assert!(InputExpression::of_given("value == 1").is_err());
    }
}
