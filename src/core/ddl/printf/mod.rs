//! printf formats of DDLs, which are written for Ruby and C.
//!
//! They come from plugin authors: `Average: %d` is applied to a fraction. The
//! original prints Go's complaint in such places; here the value is converted
//! to what the verb wants, and what cannot be stays what it is.

mod number;

use std::iter::Peekable;
use std::str::Chars;

/// What a verb is filled with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Argument<'a> {
    Text(&'a str),
    Count(u64),
    Float(f64),
}

impl Argument<'_> {
    fn text(self) -> String {
        match self {
            Argument::Text(text) => text.into(),
            Argument::Count(count) => count.to_string(),
            Argument::Float(float) => number::plain(float),
        }
    }

    /// Text counts if it reads as a number.
    fn float(self) -> Option<f64> {
        match self {
            Argument::Text(text) => text.trim().parse().ok(),
            Argument::Count(count) => Some(count as f64),
            Argument::Float(float) => Some(float),
        }
    }

    /// Fractions are cut off.
    fn integer(self) -> Option<i128> {
        match self {
            Argument::Count(count) => Some(count.into()),
            Argument::Text(text) if text.trim().parse::<i128>().is_ok() => text.trim().parse().ok(),
            other => other.float().filter(|float| float.is_finite()).map(|float| float.trunc() as i128),
        }
    }
}

/// Widest field and longest fraction that is honoured.
const MAX_WIDTH: usize = 1000;
/// Longest text a format makes; its author is not its reader.
const MAX_TEXT: usize = 64 * 1024;

/// Fills a format. Verbs beyond the arguments print nothing, arguments beyond
/// the verbs are dropped.
pub(super) fn format(format: &str, arguments: &[Argument<'_>]) -> String {
    let mut out = String::new();
    let mut next = 0;
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if out.len() > MAX_TEXT {
            break;
        }
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut take = || {
            next += 1;
            arguments.get(next - 1).copied()
        };
        let mut spec = Spec::read(&mut chars, &mut take);
        match chars.next() {
            Some('%') => out.push('%'),
            Some(verb) => {
                let argument = match spec.place.take() {
                    Some(place) => place.checked_sub(1).and_then(|at| arguments.get(at).copied()),
                    None => take(),
                };
                if let Some(argument) = argument {
                    spec.push(&mut out, verb, argument);
                }
            }
            None => out.push('%'),
        }
    }
    out
}

fn digits(chars: &mut Peekable<Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        number = Some(number.unwrap_or(0usize).saturating_mul(10).saturating_add(digit as usize));
        chars.next();
    }
    number
}

/// What stands between the per cent sign and the verb.
#[derive(Default)]
struct Spec {
    /// The argument that is meant, counted from one.
    place: Option<usize>,
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    fn flags(&mut self, chars: &mut Peekable<Chars<'_>>) {
        loop {
            match chars.peek() {
                Some('-') => self.left = true,
                Some('+') => self.plus = true,
                Some(' ') => self.space = true,
                Some('#') => self.alternate = true,
                Some('0') => self.zero = true,
                _ => return,
            }
            chars.next();
        }
    }

    /// Reads on to the verb; a star is a number among the arguments.
    fn read<'a>(chars: &mut Peekable<Chars<'_>>, take: &mut impl FnMut() -> Option<Argument<'a>>) -> Spec {
        let mut spec = Spec::default();
        let mut star = |chars: &mut Peekable<Chars<'_>>| match chars.next_if_eq(&'*') {
            Some(_) => take().and_then(Argument::integer).and_then(|n| i64::try_from(n).ok()),
            None => digits(chars).and_then(|n| i64::try_from(n).ok()),
        };
        spec.flags(chars);
        let mut width = star(chars).unwrap_or(0);
        // the last of several counts; flags may follow it, too
        while chars.next_if_eq(&'$').is_some() {
            spec.place = Some(usize::try_from(width).unwrap_or(0));
            spec.flags(chars);
            width = star(chars).unwrap_or(0);
        }
        spec.left |= width < 0;
        spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(MAX_WIDTH).min(MAX_WIDTH);
        if chars.next_if_eq(&'.').is_some() {
            let precision = star(chars).unwrap_or(0);
            // A negative one is none.
            spec.precision = usize::try_from(precision).ok().map(|precision| precision.min(MAX_WIDTH));
        }
        // Of what size a number is in C.
        while chars.next_if(|c| matches!(c, 'h' | 'l' | 'L' | 'z' | 'j')).is_some() {}
        spec
    }

    fn push(&self, out: &mut String, verb: char, argument: Argument<'_>) {
        let number = match verb {
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' | 'b' | 'B' => argument
                .integer()
                .map(|integer| number::integer(integer, verb, self.alternate, self.precision)),
            'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
                argument.float().map(|float| number::float(float, verb, self.alternate, self.precision))
            }
            _ => None,
        };
        match number {
            Some(digits) => self.pad_number(out, &digits, "diuxXobB".contains(verb)),
            None => self.pad(out, &self.text(verb, argument)),
        }
    }

    fn text(&self, verb: char, argument: Argument<'_>) -> String {
        let text = match (verb, argument) {
            ('c', Argument::Count(code)) => {
                u32::try_from(code).ok().and_then(char::from_u32).map(String::from).unwrap_or_default()
            }
            ('c', other) => other.text().chars().take(1).collect(),
            ('q' | 'p', Argument::Text(text)) => format!("{text:?}"),
            (_, other) => other.text(),
        };
        match self.precision {
            Some(longest) if verb == 's' => text.chars().take(longest).collect(),
            _ => text,
        }
    }

    /// A number gets its sign, and zeros where they are asked for and mean something.
    fn pad_number(&self, out: &mut String, digits: &str, integer: bool) {
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None if self.plus => ("+", digits),
            None if self.space => (" ", digits),
            None => ("", digits),
        };
        let finite = digits.starts_with(|c: char| c.is_ascii_hexdigit()) && !digits.starts_with("Inf");
        if self.zero && !self.left && finite && !(integer && self.precision.is_some()) {
            let prefix = ["0x", "0X", "0b", "0B"].into_iter().find(|p| digits.starts_with(p)).unwrap_or("");
            let zeros = self.width.saturating_sub(sign.len() + digits.len());
            out.push_str(sign);
            out.push_str(prefix);
            out.extend(std::iter::repeat_n('0', zeros));
            out.push_str(digits.get(prefix.len()..).unwrap_or_default());
        } else {
            self.pad(out, &format!("{sign}{digits}"));
        }
    }

    fn pad(&self, out: &mut String, text: &str) {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            out.push_str(text);
        }
        out.extend(std::iter::repeat_n(' ', missing));
        if !self.left {
            out.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests;
