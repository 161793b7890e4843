//! `sprintf`, with Ruby's directives.

use std::fmt::Write as _;

use crate::budget::Writer;
use crate::evaluator::{Evaluator, Outcome, Raise};
use crate::value::{Float, Text, Value};

/// Widest field, and most digits behind a point.
const WIDEST: usize = 10_000;

#[derive(Default, Clone, Copy)]
struct Directive {
    left: bool,
    plus: bool,
    blank: bool,
    zero: bool,
    alternative: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The format with its values filled in.
pub(super) fn format(ev: &mut Evaluator<'_>, format: &str, values: &[Value]) -> Outcome {
    let mut out = ev.budget.writer();
    let mut chars = format.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c.encode_utf8(&mut [0; 4]))?;
            continue;
        }
        let (mut directive, mut named) = (Directive::default(), None);
        loop {
            ev.work(1)?;
            let Some(c) = chars.next() else {
                return Err(Raise::new("sprintf(): a '%' at the end says nothing"));
            };
            match c {
                '%' => {
                    out.push("%")?;
                    break;
                }
                '-' => directive.left = true,
                '+' => directive.plus = true,
                ' ' => directive.blank = true,
                '#' => directive.alternative = true,
                '0' => directive.zero = true,
                '1'..='9' => {
                    let mut digits = String::from(c);
                    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                        digits.push(digit);
                    }
                    if chars.next_if_eq(&'$').is_some() {
                        next =
                            digits.parse::<usize>().ok().filter(|n| *n <= values.len()).unwrap_or(usize::MAX)
                                - 1;
                        continue;
                    }
                    directive.width = Some(bounded(&digits)?);
                }
                '*' => match take(values, &mut next)? {
                    Value::Integer(n) => {
                        directive.left |= *n < 0;
                        directive.width = Some(bounded(&n.unsigned_abs().to_string())?);
                    }
                    _ => return Err(Raise::new("sprintf(): the width for '*' is an Integer")),
                },
                '.' => {
                    let mut digits = String::new();
                    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                        digits.push(digit);
                    }
                    directive.precision = Some(if digits.is_empty() { 0 } else { bounded(&digits)? });
                }
                '<' | '{' => {
                    let end = if c == '<' { '>' } else { '}' };
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some(c) if c == end => break,
                            Some(c) => name.push(c),
                            None => {
                                return Err(Raise::new(format!(
                                    "sprintf(): expected '{end}' behind '{name}'"
                                )));
                            }
                        }
                    }
                    let value = by_name(values, &name)?;
                    if c == '{' {
                        let text = ev.shown(value)?;
                        pad(&mut out, &directive, "", &text)?;
                        break;
                    }
                    named = Some(value);
                }
                letter => {
                    let value = match named {
                        Some(value) => value,
                        None => take(values, &mut next)?,
                    };
                    ev.work(value.work())?;
                    one(ev, &mut out, &directive, letter, value)?;
                    break;
                }
            }
        }
    }
    Ok(Value::String(Text::written(out)?))
}

fn bounded(digits: &str) -> Outcome<usize> {
    let number = digits.parse().ok().filter(|n| *n <= WIDEST);
    number.ok_or_else(|| Raise::new(format!("sprintf(): a width or precision is larger than {WIDEST}")))
}

fn take<'v>(values: &'v [Value], next: &mut usize) -> Outcome<&'v Value> {
    let value = values.get(*next).ok_or_else(|| Raise::new("sprintf(): too few arguments"))?;
    *next += 1;
    Ok(value)
}

fn by_name<'v>(values: &'v [Value], name: &str) -> Outcome<&'v Value> {
    let Some(Value::Hash(hash)) = values.first() else {
        return Err(Raise::new(format!(
            "sprintf(): '{name}' is looked up in a Hash, which is the second argument"
        )));
    };
    hash.at(name).ok_or_else(|| Raise::new(format!("sprintf(): the Hash has no key '{name}'")))
}

fn one(
    ev: &mut Evaluator<'_>,
    out: &mut Writer,
    directive: &Directive,
    letter: char,
    value: &Value,
) -> Outcome<()> {
    match letter {
        's' => pad(out, directive, "", cut(&ev.shown(value)?, directive.precision)),
        'p' => {
            let text = match value {
                Value::String(text) => Text::new(format!("{:?}", text.as_str()), &ev.budget)?,
                Value::Undef => Text::literal("nil"),
                other => ev.inspected(other)?,
            };
            pad(out, directive, "", cut(&text, directive.precision))
        }
        'c' => {
            let text = match value {
                Value::Integer(n) => u32::try_from(*n).ok().and_then(char::from_u32).map(String::from),
                other => other.as_str().and_then(|text| text.chars().next()).map(String::from),
            };
            pad(out, directive, "", &text.ok_or_else(|| Raise::new("sprintf(): %c takes a character"))?)
        }
        'd' | 'i' | 'u' => {
            let n = integer(value)?;
            number(out, directive, n < 0, "", &n.unsigned_abs().to_string())
        }
        'x' | 'X' | 'o' | 'b' | 'B' => {
            let n = integer(value)?;
            if n < 0 && !directive.plus && !directive.blank {
                return complement(out, directive, letter, n);
            }
            let magnitude = n.unsigned_abs();
            let (digits, prefix) = match letter {
                'x' => (format!("{magnitude:x}"), "0x"),
                'X' => (format!("{magnitude:X}"), "0X"),
                'o' => (format!("{magnitude:o}"), "0"),
                _ => (format!("{magnitude:b}"), if letter == 'b' { "0b" } else { "0B" }),
            };
            number(out, directive, n < 0, if directive.alternative { prefix } else { "" }, &digits)
        }
        'f' | 'e' | 'E' | 'g' | 'G' => {
            let n = float(value)?;
            let precision = directive.precision.unwrap_or(6);
            let text = match letter {
                'f' => format!("{:.precision$}", n.abs()),
                'e' => exponent(n.abs(), precision),
                'E' => exponent(n.abs(), precision).to_uppercase(),
                general => {
                    let text = shortest(n.abs(), precision.max(1));
                    if general == 'G' { text.to_uppercase() } else { text }
                }
            };
            // the precision is in the digits already
            let directive = Directive { precision: None, ..*directive };
            number(out, &directive, n.is_sign_negative() && n != 0.0, "", &text)
        }
        other => Err(Raise::new(format!("sprintf(): malformed format string - %{other}"))),
    }
}

fn cut(text: &str, precision: Option<usize>) -> &str {
    let end = precision.and_then(|precision| text.char_indices().nth(precision));
    end.map_or(text, |(end, _)| &text[..end])
}

fn pad(out: &mut Writer, directive: &Directive, before: &str, text: &str) -> Outcome<()> {
    let length = before.chars().count() + text.chars().count();
    let blanks = directive.width.unwrap_or(0).saturating_sub(length);
    let fill = " ".repeat(blanks);
    let parts = if directive.left { [before, text, &fill] } else { [&fill, before, text] };
    for part in parts {
        out.push(part)?;
    }
    Ok(())
}

fn number(
    out: &mut Writer,
    directive: &Directive,
    negative: bool,
    prefix: &str,
    digits: &str,
) -> Outcome<()> {
    let sign = match (negative, directive.plus, directive.blank) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let mut digits = digits.to_owned();
    let mut fill = directive.precision.unwrap_or(0).saturating_sub(digits.len());
    if directive.zero && !directive.left && directive.precision.is_none() {
        let width = directive.width.unwrap_or(0);
        fill = width.saturating_sub(sign.len() + prefix.len() + digits.len());
    }
    digits.insert_str(0, &"0".repeat(fill));
    pad(out, directive, &format!("{sign}{prefix}"), &digits)
}

/// A negative number by its bits, as Ruby writes it: `..f01` has that digit without end before it.
fn complement(out: &mut Writer, directive: &Directive, letter: char, n: i64) -> Outcome<()> {
    let (bits, prefix) = match letter {
        'x' => (4, "0x"),
        'X' => (4, "0X"),
        'o' => (3, ""),
        'B' => (1, "0B"),
        _ => (1, "0b"),
    };
    let prefix = if directive.alternative { prefix } else { "" };
    let digit = |bits: i64| char::from_digit(u32::try_from(bits).unwrap_or(0), 16).unwrap_or('0');
    let (mask, mut left) = ((1 << bits) - 1, n);
    let mut digits = String::new();
    while left != -1 {
        digits.push(digit(left & mask));
        left >>= bits;
    }
    digits.push(digit(mask));
    let mut digits: String = digits.chars().rev().collect();
    let width = match directive.precision {
        Some(precision) => precision,
        None if directive.zero && !directive.left => {
            directive.width.unwrap_or(0).saturating_sub(prefix.len())
        }
        None => 0,
    };
    let fill = width.saturating_sub(digits.len() + 2);
    digits.insert_str(0, &digit(mask).to_string().repeat(fill));
    if letter == 'X' {
        digits.make_ascii_uppercase();
    }
    pad(out, directive, prefix, &format!("..{digits}"))
}

/// `1.500000e+00`
fn exponent(n: f64, precision: usize) -> String {
    let text = format!("{n:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

/// The shorter of both, without zeros at the end.
fn shortest(n: f64, precision: usize) -> String {
    let power = if n == 0.0 { 0 } else { n.log10().floor() as i32 };
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if power < -4 || power >= precision as i32 {
        let text = exponent(n, precision - 1);
        let (digits, power) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{power}", trimmed(digits));
    }
    let digits = usize::try_from(precision as i32 - 1 - power).unwrap_or(0);
    trimmed(&format!("{n:.digits$}"))
}

fn integer(value: &Value) -> Outcome<i64> {
    match value {
        Value::Integer(n) => Ok(*n),
        Value::Float(n) => {
            let mut text = String::new();
            let _ = write!(text, "{:.0}", n.get().floor());
            text.parse()
                .map_err(|_| Raise::new(format!("sprintf(): {} is too large for an Integer", n.get())))
        }
        Value::String(text) => match super::number_of_text(text) {
            Some(crate::evaluator::operators::Number::Integer(n)) => Ok(n),
            _ => Err(Raise::new(format!("invalid value for Integer(): \"{text}\""))),
        },
        other => Err(Raise::new(format!("sprintf(): {} is not an Integer", super::kind_of(other)))),
    }
}

fn float(value: &Value) -> Outcome<f64> {
    match value {
        Value::Integer(n) => Ok(*n as f64),
        Value::Float(n) => Ok(n.get()),
        Value::String(text) => match text.parse().ok().and_then(Float::new) {
            Some(n) => Ok(n.get()),
            None => Err(Raise::new(format!("invalid value for Float(): \"{text}\""))),
        },
        other => Err(Raise::new(format!("sprintf(): {} is not a Float", super::kind_of(other)))),
    }
}
