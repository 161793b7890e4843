//! Regular expressions as peers understand them: RE2 syntax, bounded.
//!
//! [`search`] is for expressions of administrators, [`compiled`] for those that
//! come in requests: they are smaller, are paid for, and are kept by their text.

use regex::{Regex, RegexBuilder};

use super::Budget;
use super::budget::Exhausted;

mod kept;

pub use kept::{Compiled, acceptable, compiled};

/// Most memory one compiled expression of an administrator may take, in bytes.
const SIZE_LIMIT: usize = 1 << 20;
/// Most the tables may take that make searching fast.
const TABLES: usize = 64 * 1024;

/// Compiles an expression in RE2's dialect, or nothing if it is not valid.
///
/// `\w \d \s \b` mean ASCII only, and so do their negations, as in RE2; the
/// `regex` crate means Unicode unless told. Telling it (`unicode(false)`)
/// would make `.` a byte, so the classes are rewritten instead.
pub fn search(expression: &str) -> Option<Regex> {
    build(&dialect(expression)?.0, SIZE_LIMIT)
}

fn build(expression: &str, limit: usize) -> Option<Regex> {
    let mut builder = RegexBuilder::new(expression);
    builder.size_limit(limit).dfa_size_limit(TABLES).nest_limit(100).build().ok()
}

/// The same, without regard to case.
pub fn case_insensitive(expression: &str) -> Option<Regex> {
    search(&format!("(?i){expression}"))
}

/// The same for an expression of a request.
pub fn folded(expression: &str, budget: &Budget) -> Result<Option<std::sync::Arc<Compiled>>, Exhausted> {
    budget.make(expression.len())?;
    compiled(&format!("(?i){expression}"), budget)
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

/// The same for a word of a request.
pub(super) fn names_within(filter: &str, name: &str, budget: &Budget) -> Result<bool, Exhausted> {
    budget.read(filter.len().min(name.len()))?;
    match expression(filter) {
        Some(expression) => match compiled(expression, budget)? {
            Some(regex) => regex.is_match(name, budget),
            None => Ok(false),
        },
        None => Ok(filter == name),
    }
}

/// Rewrites an expression into the `regex` crate's dialect, or nothing where
/// RE2 would refuse and the crate would not. With it comes how many sets of
/// many characters it names: those take long to make, however small the result.
fn dialect(expression: &str) -> Option<(String, u64)> {
    let mut out = String::with_capacity(expression.len() + 16);
    let mut chars = expression.chars().peekable();
    let (mut class, mut wide) = (false, 0);
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let wide_here = matches!(chars.peek(), Some('p' | 'P' | 'x' | 'u' | 'U'))
                    || class && matches!(chars.peek(), Some('D' | 'S' | 'W'));
                wide += u64::from(wide_here);
                escape(&mut chars, class, &mut out);
            }
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
                // It may be everything but the letters.
                wide += 1;
                out.push('[');
                while let Some(c) = chars.next() {
                    out.push(c);
                    if c == ':' && chars.next_if_eq(&']').is_some() {
                        out.push(']');
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
            '{' if !class => match repeat(chars.clone()) {
                None => out.push_str(r"\{"),
                Some(most) if most > MAX_REPEAT => return None,
                Some(_) => out.push('{'),
            },
            '(' if !class => {
                if !known_flags(chars.clone()) {
                    return None;
                }
                out.push('(');
            }
            c => {
                wide += u64::from(class && !c.is_ascii());
                out.push(c);
            }
        }
    }
    Some((out, wide))
}

/// Most repetitions RE2 allows.
const MAX_REPEAT: u32 = 1000;

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The larger bound of a `{n,m}` that starts here; what is none is literal.
fn repeat(mut chars: Chars<'_>) -> Option<u32> {
    let text: String = chars.by_ref().take_while(|c| *c != '}').take(32).collect();
    let bound = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    match text.split_once(',') {
        None => bound(&text),
        Some((low, "")) => bound(low),
        Some((low, high)) => Some(bound(low)?.max(bound(high)?)),
    }
}

/// Whether a group that starts here uses only the flags RE2 has.
fn known_flags(mut chars: Chars<'_>) -> bool {
    if chars.next() != Some('?') {
        return true;
    }
    match chars.peek() {
        Some('P' | '<') => true,
        _ => chars.take_while(|c| !matches!(c, ':' | ')')).all(|c| matches!(c, 'i' | 'm' | 's' | 'U' | '-')),
    }
}

fn escape(chars: &mut Chars<'_>, class: bool, out: &mut String) {
    match chars.next() {
        Some('d') => out.push_str(if class { "0-9" } else { "[0-9]" }),
        Some('s') => out.push_str(if class { r"\t\n\x0c\r " } else { r"[\t\n\x0c\r ]" }),
        Some('w') => out.push_str(if class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
        Some('D') => out.push_str("[^0-9]"),
        Some('S') => out.push_str(r"[^\t\n\x0c\r ]"),
        Some('W') => out.push_str("[^0-9A-Za-z_]"),
        Some('b') if !class => out.push_str(r"(?-u:\b)"),
        Some('B') if !class => out.push_str(r"(?-u:\B)"),
        // RE2 quotes literal text with \Q…\E; to it these are no word edges.
        Some('Q') if !class => quote(chars, out),
        Some(plain @ ('<' | '>')) => out.push(plain),
        // A name in braces follows: \p{Lu}, \x{1F600}.
        Some(named @ ('p' | 'P' | 'x')) => {
            out.push('\\');
            out.push(named);
            if chars.peek() == Some(&'{') {
                out.extend(chars.by_ref().take_while(|c| *c != '}'));
                out.push('}');
            }
        }
        Some(other) => {
            out.push('\\');
            out.push(other);
        }
        None => out.push('\\'),
    }
}

fn quote(chars: &mut Chars<'_>, out: &mut String) {
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
            (r"^{a}$", "{a}", true),
            (r"^a{2,3}$", "aaa", true),
            (r"a\<b", "a<b", true),
            (r"(?i:A)(?P<n>b)(?s-m)", "ab", true),
        ] {
            assert_eq!(search(expression).is_some_and(|r| r.is_match(text)), found, "{expression} on {text}");
        }
    }

    #[test]
    fn what_re2_refuses_or_cannot_hold_never_matches() {
        for expression in ["[", "(", "(?=a)", r"\1", "x{1000}{1000}{1000}", "m{1001}", "(?x)a", "*"] {
            assert!(search(expression).is_none(), "{expression}");
        }
        assert!(search(&"(".repeat(10_000)).is_none());
    }
}
