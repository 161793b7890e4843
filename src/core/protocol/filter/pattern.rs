//! Regular expressions as peers understand them: RE2 syntax, bounded.

use regex::{Regex, RegexBuilder};

/// Most memory one compiled expression may take, in bytes. Requests carry
/// expressions, so `x{1000}{1000}` must stay harmless.
const SIZE_LIMIT: usize = 1 << 20;

/// Compiles an expression in RE2's dialect, or nothing if it is not valid.
///
/// `\w \d \s \b` mean ASCII only, and so do their negations, as in RE2; the
/// `regex` crate means Unicode unless told. Telling it (`unicode(false)`)
/// would make `.` a byte, so the classes are rewritten instead.
pub fn search(expression: &str) -> Option<Regex> {
    RegexBuilder::new(&ascii_classes(expression)).size_limit(SIZE_LIMIT).nest_limit(100).build().ok()
}

/// The same, without regard to case.
pub fn case_insensitive(expression: &str) -> Option<Regex> {
    search(&format!("(?i){expression}"))
}

/// The expression between slashes, one of which is taken at each end; `/`
/// alone is an empty expression, which finds everything.
pub(super) fn expression(filter: &str) -> Option<&str> {
    let inner = filter.strip_prefix('/')?;
    if inner.is_empty() {
        return Some(inner);
    }
    inner.strip_suffix('/')
}

/// Whether a filter word names `name`: exactly, or by `/regular expression/`.
pub(super) fn names(filter: &str, name: &str) -> bool {
    match expression(filter) {
        Some(expression) => search(expression).is_some_and(|r| r.is_match(name)),
        None => filter == name,
    }
}

/// Rewrites Perl classes to their ASCII meaning and refuses what RE2 has not.
fn ascii_classes(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len() + 16);
    let mut chars = expression.chars().peekable();
    let mut class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('d') => out.push_str(if class { "0-9" } else { "[0-9]" }),
                Some('s') => out.push_str(if class { r"\t\n\x0c\r " } else { r"[\t\n\x0c\r ]" }),
                Some('w') => out.push_str(if class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
                Some('D') => out.push_str("[^0-9]"),
                Some('S') => out.push_str(r"[^\t\n\x0c\r ]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('b') if !class => out.push_str(r"(?-u:\b)"),
                Some('B') if !class => out.push_str(r"(?-u:\B)"),
                // RE2 quotes literal text with \Q…\E.
                Some('Q') if !class => quote(&mut chars, &mut out),
                Some('z') if !class => out.push_str(r"\z"),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push('\\'),
            },
            '[' if !class => {
                class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket in first place is itself.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
            }
            // Within a class RE2 knows `[:alpha:]` and no nested classes.
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                while let Some(c) = chars.next() {
                    out.push(c);
                    if c == ':' && chars.peek() == Some(&']') {
                        out.push(']');
                        chars.next();
                        break;
                    }
                }
            }
            '[' => out.push_str(r"\["),
            ']' if class => {
                class = false;
                out.push(']');
            }
            // Set operations of the regex crate are plain characters in RE2.
            '&' | '~' | '-' if class && chars.peek() == Some(&c) => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn quote(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perl_classes_are_ascii() {
        for (expression, text, found) in [
            (r"^\w+$", "ž", false),
            (r"^\w+$", "a_1", true),
            (r"^[\w-]+$", "a-b", true),
            (r"\d", "٣", false),
            (r"^\D$", "٣", true),
            (r"^[^\s]$", "\u{a0}", true),
            (r"\bfoo\b", "žfoož", true),
            (r"^.$", "ž", true),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[[]$", "[", true),
            (r"\Qa.b\E$", "a.b", true),
            (r"\Qa.b\E$", "axb", false),
        ] {
            assert_eq!(search(expression).is_some_and(|r| r.is_match(text)), found, "{expression} on {text}");
        }
    }

    #[test]
    fn what_re2_refuses_or_cannot_hold_never_matches() {
        for expression in ["[", "(", "(?=a)", r"\1", "x{1000}{1000}{1000}", "*"] {
            assert!(search(expression).is_none(), "{expression}");
        }
        assert!(search(&"(".repeat(10_000)).is_none());
    }
}
