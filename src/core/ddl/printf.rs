//! printf formats of DDLs, which are written for Ruby and C.
//!
//! They come from plugin authors: `Average: %d` is applied to a fraction. The
//! original prints Go's complaint in such places; here the value is converted
//! to what the verb wants.

/// What a verb is filled with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Argument<'a> {
    Text(&'a str),
    Count(u64),
    Float(f64),
}

impl Argument<'_> {
    fn float(self) -> f64 {
        match self {
            Argument::Text(text) => text.trim().parse().unwrap_or(0.0),
            Argument::Count(count) => count as f64,
            Argument::Float(float) => float,
        }
    }

    fn text(self) -> String {
        match self {
            Argument::Text(text) => text.into(),
            Argument::Count(count) => count.to_string(),
            Argument::Float(float) => float.to_string(),
        }
    }

    /// For `%d`: text that is no number stays text.
    fn integer(self) -> String {
        match self {
            Argument::Text(text) if text.trim().parse::<f64>().is_err() => text.into(),
            Argument::Count(count) => count.to_string(),
            other => format!("{:.0}", other.float().trunc()),
        }
    }
}

/// Widest field and longest fraction that is honoured.
const MAX_WIDTH: usize = 1000;

/// Fills a format. Verbs beyond the arguments print nothing, arguments beyond
/// the verbs are dropped.
pub(super) fn format(format: &str, arguments: &[Argument<'_>]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | ' ' | '0' | '#')) {
            spec.left |= flag == '-';
            spec.zero |= flag == '0';
            spec.plus |= flag == '+';
        }
        spec.width = digits(&mut chars).unwrap_or(0).min(MAX_WIDTH);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(digits(&mut chars).unwrap_or(0).min(MAX_WIDTH));
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some(verb) => {
                if let Some(argument) = arguments.next() {
                    spec.push(&mut out, verb, *argument);
                }
            }
            None => out.push('%'),
        }
    }
    out
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        number = Some(number.unwrap_or(0usize).saturating_mul(10).saturating_add(digit as usize));
        chars.next();
    }
    number
}

#[derive(Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    fn push(&self, out: &mut String, verb: char, argument: Argument<'_>) {
        let numeric = !matches!(verb, 's' | 'v' | 'q');
        let mut text = match verb {
            'd' | 'i' | 'u' => argument.integer(),
            'f' | 'F' => format!("{:.*}", self.precision.unwrap_or(6), argument.float()),
            'e' | 'E' | 'g' | 'G' => argument.float().to_string(),
            'x' => format!("{:x}", argument.float() as i64),
            'q' => format!("{:?}", argument.text()),
            _ => match self.precision {
                Some(longest) => argument.text().chars().take(longest).collect(),
                None => argument.text(),
            },
        };
        if self.plus && numeric && !text.starts_with('-') {
            text.insert(0, '+');
        }
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            out.push_str(&text);
            out.extend(std::iter::repeat_n(' ', missing));
        } else if self.zero && numeric {
            let (sign, rest) = match text.strip_prefix(['-', '+']) {
                Some(rest) => (text.get(..1).unwrap_or_default(), rest),
                None => ("", text.as_str()),
            };
            out.push_str(sign);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(rest);
        } else {
            out.extend(std::iter::repeat_n(' ', missing));
            out.push_str(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_convert_what_they_are_given() {
        let (text, count, float) = (Argument::Text("a"), Argument::Count(2), Argument::Float(1.5));
        for (spec, arguments, line) in [
            ("%s: %d", vec![text, count], "a: 2"),
            ("%5d seen %s", vec![text, count], "    a seen 2"),
            ("%-3s|%03d", vec![text, count], "a  |002"),
            ("Average: %d", vec![float], "Average: 1"),
            ("%.2f%%", vec![float], "1.50%"),
            ("x", vec![text, count], "x"),
            ("%s %s %s", vec![text], "a  "),
            ("%+d", vec![count], "+2"),
            ("100%", vec![], "100%"),
            ("%99999999999999999999s", vec![], ""),
        ] {
            assert_eq!(format(spec, &arguments), line, "{spec}");
        }
    }
}
