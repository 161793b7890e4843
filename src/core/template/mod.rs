//! Templates of properties of autonomous agents and of applications (spec 06 §4, 07 D): the part
//! of the original's template language that they use.
//!
//! Literals, pipelines, parentheses, variables, `if`, `with`, `range`, `break`, `continue`, `define`,
//! `template`, `block`, trim marks and the functions of `functions`. What the original gets wrong is right here: whole numbers are
//! printed in full, numbers compare by value, any list can be joined, and nothing is
//! escaped for HTML. A template is read and run at each use, within bounds on its steps, its
//! depth and what it makes.

mod functions;
mod lexer;
#[cfg(test)]
mod named_tests;
mod parser;
mod print;
mod run;

use serde_json::Value;

pub use functions::truth;
pub use print::plain;

/// Longest text a template makes where nobody says otherwise.
pub const MAX_OUTPUT: usize = 256 * 1024;

/// What one template may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Steps.
    pub steps: u32,
    /// Bytes of the text it makes.
    pub output: usize,
    /// Bytes of values that are copied while it runs.
    pub copied: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps: 100_000, output: MAX_OUTPUT, copied: 16 << 20 }
    }
}

/// Why there is no text, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not read as one.
    #[error("the template is not valid: {0}")]
    Syntax(String),
    /// It failed when it was run.
    #[error("the template fails: {0}")]
    Run(String),
    /// It costs more than any should.
    #[error("the template does more work, or makes more text, than any should")]
    Bounds,
}

/// Functions beside those everybody has.
pub trait Functions {
    /// What `.` is.
    fn dot(&self) -> Value {
        Value::Null
    }
    /// What running it may cost.
    fn limits(&self) -> Limits {
        Limits::default()
    }
    /// A member of a member of `.` that is in nothing `.` shows: `.Secrets.token`.
    fn hidden(&self, _of: &str, _name: &str) -> Option<Value> {
        None
    }
    /// Whether a value that is piped into it comes before the others, not behind them.
    fn piped_first(&self, _name: &str) -> bool {
        false
    }
    /// Whether there is one of that name.
    fn has(&self, name: &str) -> bool;
    /// What it gives.
    ///
    /// # Errors
    /// Why it gives nothing.
    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String>;
}

/// Whether a text is a template at all.
pub fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// The text a template makes.
///
/// # Errors
/// It makes none.
pub fn render(text: &str, own: &dyn Functions) -> Result<String, TemplateError> {
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    let tree = parse(text, own)?;
    run::run(&tree, own)
}

/// Whether a text would be run.
///
/// # Errors
/// Why it would not.
pub fn check(text: &str, own: &dyn Functions) -> Result<(), TemplateError> {
    parse(text, own).map(|_| ())
}

fn parse(text: &str, own: &dyn Functions) -> Result<parser::Tree, TemplateError> {
    parser::parse(text, &|name| own.has(name) || functions::has(name)).map_err(TemplateError::Syntax)
}

/// The functions of properties: `lookup PATH DEFAULT` in facts and data.
pub struct Lookup<'a> {
    /// `{"facts": …, "data": …}`.
    pub scope: &'a Value,
}

impl Functions for Lookup<'_> {
    fn has(&self, name: &str) -> bool {
        name == "lookup"
    }

    fn call(&self, _: &str, arguments: &[Value]) -> Result<Value, String> {
        found(self.scope, "", "lookup", arguments)
    }
}

/// The function of checks: `o PATH DEFAULT` in the overrides of one machine.
pub struct Overrides<'a> {
    /// All overrides.
    pub all: &'a Value,
    /// Name of the machine.
    pub machine: &'a str,
}

impl Functions for Overrides<'_> {
    fn has(&self, name: &str) -> bool {
        name == "o"
    }

    fn call(&self, _: &str, arguments: &[Value]) -> Result<Value, String> {
        let Some(of) = self.all.get(self.machine) else {
            return found(&Value::Null, "", "o", arguments);
        };
        let value = found(of, "", "o", arguments)?;
        // as JSON, as it always was
        Ok(match value {
            Value::Null => Value::String(String::new()),
            Value::Array(_) | Value::Object(_) => Value::String(value.to_string()),
            value => value,
        })
    }
}

fn found(scope: &Value, prefix: &str, name: &str, arguments: &[Value]) -> Result<Value, String> {
    let [Value::String(path), default] = arguments else {
        return Err(match arguments {
            [_, _] => format!("{name} takes a path in quotes first"),
            others => format!("{name} takes a path and a default, not {} values", others.len()),
        });
    };
    let found = crate::core::protocol::filter::lookup_value(scope, &format!("{prefix}{path}"));
    Ok(found.unwrap_or_else(|| default.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::machine::vectors;

    /// Where we differ on purpose: numbers in full and by value, lists of any kind, `%d` of
    /// a number, and what was never wrong to begin with.
    fn ours(template: &str) -> Option<Result<&'static str, ()>> {
        Some(match template {
            r#"{{ lookup "facts.big" 0 }}"# => Ok("1000000000000000000000"),
            r#"{{ lookup "facts.mid" 0 }}"# => Ok("123456789"),
            r#"{{ lookup "facts.n3" 0 }}"# => Ok("1000000"),
            r#"{{ lookup "facts.n4" 0 }}"# => Ok("1234567"),
            r#"{{ lookup "facts.n5" 0 }}"# => Ok("20971520"),
            r#"{{ lookup "facts.n6" 0 }}"# => Ok("8589934592"),
            r#"{{ lookup "facts.n7" 0 }}"# => Ok("100000000000000000000"),
            r#"{{ lookup "facts.n10" 0 }}"# => Ok("1795319083"),
            r#"{{ lookup "facts.n11" 0 }}"# => Ok("1234567.5"),
            r#"{{ lookup "facts.n13" 0 }}"# => Ok("2097152"),
            r#"{{ lookup "facts.n14" 0 }}"# => Ok("-1500000"),
            r#"{{ if eq (lookup "data.n" 0) 1 }}yes{{ end }}"# => Ok("yes"),
            r#"{{ StringsJoin (lookup "facts.tags" "") }}"# => Ok("a, b"),
            r#"{{ printf "%d" (lookup "data.n" 0) }}"# => Ok("1"),
            r#"{{ lookup "facts" "" }}"# => {
                Ok("map[big:1000000000000000000000 cores:4 country:mt empty: f.dot:1 html:<b>& load:0.5 \
                 mid:123456789 n1:100000 n10:1795319083 n11:1234567.5 n12:123456.75 n13:2097152 n14:-1500000 \
                 n2:999999 n3:1000000 n4:1234567 n5:20971520 n6:8589934592 n7:100000000000000000000 n8:0.0001 \
                 n9:1e-05 nothing:<nil> off:false os:map[family:Debian release:map[major:12]] tags:[a b] \
                 virtual:true]")
            }
            _ => return None,
        })
    }

    #[test]
    fn captured_templates_make_what_they_made() {
        let tables = vectors("machine-parse-tables.json");
        let scope = json!({"facts": tables["given"]["facts"], "data": tables["given"]["data"]});
        let mut seen = 0;
        for case in tables["templates"].as_array().unwrap() {
            let template = case["template"].as_str().unwrap();
            let made = render(template, &Lookup { scope: &scope });
            match ours(template) {
                Some(expected) => assert_eq!(made.as_deref().map_err(|_| ()), expected, "{template}"),
                None if case["error"].is_string() => assert!(made.is_err(), "{template}: {made:?}"),
                None => assert_eq!(made.as_deref(), Ok(case["result"].as_str().unwrap()), "{template}"),
            }
            seen += 1;
        }
        assert_eq!(seen, 77);
    }

    #[test]
    fn captured_overrides_make_what_they_made_but_for_html() {
        let tables = vectors("machine-parse-tables.json");
        let all = &tables["given"]["overrides"];
        let mut seen = 0;
        for case in tables["nagios_plugin_templates"].as_array().unwrap() {
            let template = case["plugin"].as_str().unwrap();
            let made = render(template, &Overrides { all, machine: "t" });
            // Nothing is escaped here: neither values nor what stands around them.
            let theirs = case["result"].as_str().unwrap();
            let raw = match template {
                r#"<script>{{ o "word" "" }}</script>"# => "<script><b>&\"x'</script>".to_owned(),
                r#"<a href="{{ o "cmd" "" }}">"# => "<a href=\"a b; rm\">".to_owned(),
                r#"{{ o "list" "" }}"# => "[1,2]".to_owned(),
                r#"{{ o "obj" "" }}"# => "{\"a\":1}".to_owned(),
                _ => theirs
                    .replace("&lt;", "<")
                    .replace("&gt;", ">")
                    .replace("&#34;", "\"")
                    .replace("&#39;", "'")
                    .replace("&amp;", "&"),
            };
            match case["error"].is_string() {
                true => assert!(made.is_err(), "{template}: {made:?}"),
                false => assert_eq!(made.as_deref(), Ok(raw.as_str()), "{template}"),
            }
            seen += 1;
        }
        assert_eq!(seen, 24);
    }

    #[test]
    fn what_would_not_end_is_ended() {
        let scope = json!({"facts": {"l": vec![1; 1000]}});
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
        let nested = format!("{}x{}", "{{ range lookup \"facts.l\" 0 }}".repeat(8), "{{ end }}".repeat(8));
        let blocks = format!("{}{}", "{{ if 1 }}".repeat(5000), "{{ end }}".repeat(5000));
        for template in [deep, nested, blocks, "{{ printf \"%1000000000d\" 1 }}".to_owned()] {
            let made = render(&template, &Lookup { scope: &scope });
            assert!(made.as_ref().map_or(true, |text| text.len() < 2000), "{:?}", made.map(|m| m.len()));
        }
    }

    #[test]
    fn no_text_ends_the_reader() {
        let scope = json!({"facts": {"a": [1, {"b": null}]}, "data": {}});
        bolero::check!().with_iterations(5000).with_type::<(String, String)>().for_each(|(a, b)| {
            let _ = render(a, &Lookup { scope: &scope });
            let _ = render(&format!("{{{{ {a} }}}}{b}{{{{ end }}}}"), &Lookup { scope: &scope });
        });
    }
}
