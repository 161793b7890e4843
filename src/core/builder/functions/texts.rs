//! Functions of texts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Arguments, Given};
use crate::core::protocol::filter::{search, semver_matches, semver_parts};
use crate::core::template::plain;

pub(super) const NAMES: [&str; 61] = [
    "abbrev",
    "abbrevboth",
    "b64dec",
    "b64enc",
    "camelcase",
    "cat",
    "contains",
    "hasPrefix",
    "hasSuffix",
    "indent",
    "initials",
    "join",
    "kebabcase",
    "lower",
    "mustRegexFind",
    "mustRegexFindAll",
    "mustRegexMatch",
    "mustRegexReplaceAll",
    "mustRegexReplaceAllLiteral",
    "mustRegexSplit",
    "nindent",
    "nospace",
    "plural",
    "quote",
    "regexFind",
    "regexFindAll",
    "regexMatch",
    "regexQuoteMeta",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "regexSplit",
    "repeat",
    "replace",
    "semver",
    "semverCompare",
    "snakecase",
    "sortAlpha",
    "split",
    "splitList",
    "splitn",
    "squote",
    "substr",
    "swapcase",
    "title",
    "toString",
    "toStrings",
    "trim",
    "trimAll",
    "trimPrefix",
    "trimSuffix",
    "trimall",
    "trunc",
    "untitle",
    "upper",
    "wrap",
    "wrapWith",
    "adler32sum",
    "b32dec",
    "b32enc",
    "camelCase",
    "ellipsis",
];

pub(super) fn call(of: &Arguments<'_>) -> Given {
    if !NAMES.contains(&of.name) {
        return None;
    }
    Some(given(of))
}

fn given(of: &Arguments<'_>) -> Result<Value, String> {
    let name = of.name.strip_prefix("mustR").map_or_else(|| of.name.to_owned(), |rest| format!("r{rest}"));
    Ok(match name.as_str() {
        "upper" => of.text(0)?.to_uppercase().into(),
        "lower" => of.text(0)?.to_lowercase().into(),
        "title" => parts(&of.text(0)?, |c| c.to_uppercase().collect()).into(),
        "untitle" => parts(&of.text(0)?, |c| c.to_lowercase().collect()).into(),
        "swapcase" => of.text(0)?.chars().map(swapped).collect::<String>().into(),
        "trim" => of.text(0)?.trim().into(),
        "trimAll" | "trimall" => {
            let signs = of.text(0)?;
            of.text(1)?.trim_matches(|c| signs.contains(c)).into()
        }
        "trimPrefix" => {
            let (part, text) = (of.text(0)?, of.text(1)?);
            text.strip_prefix(part.as_str()).unwrap_or(&text).into()
        }
        "trimSuffix" => {
            let (part, text) = (of.text(0)?, of.text(1)?);
            text.strip_suffix(part.as_str()).unwrap_or(&text).into()
        }
        "nospace" => of.text(0)?.split_whitespace().collect::<String>().into(),
        "initials" => {
            of.text(0)?.split_whitespace().filter_map(|word| word.chars().next()).collect::<String>().into()
        }
        "snakecase" => pieces(&of.text(0)?).join("_").to_lowercase().into(),
        "kebabcase" => pieces(&of.text(0)?).join("-").to_lowercase().into(),
        "camelcase" | "camelCase" => {
            pieces(&of.text(0)?).iter().map(|piece| capital(&piece.to_lowercase())).collect::<String>().into()
        }
        "trunc" => truncated(&of.text(1)?, of.whole(0)?).into(),
        "substr" => cut(&of.text(2)?, of.whole(0)?, of.whole(1)?).into(),
        "abbrev" | "ellipsis" => shortened(&of.text(1)?, of.size(0)?).into(),
        "abbrevboth" => {
            let (left, width, text) = (of.size(0)?, of.size(1)?, of.text(2)?);
            let rest: String = text.chars().skip(left).collect();
            if left > 0 {
                format!("...{}", shortened(&rest, width.saturating_sub(3))).into()
            } else {
                shortened(&rest, width).into()
            }
        }
        "repeat" => {
            let (count, text) = (of.size(0)?, of.text(1)?);
            of.may_make(count.saturating_mul(text.len()))?;
            text.repeat(count).into()
        }
        "indent" => indented(of)?.into(),
        "nindent" => format!("\n{}", indented(of)?).into(),
        "replace" => {
            let (old, new, text) = (of.text(0)?, of.text(1)?, of.text(2)?);
            let times = if old.is_empty() { text.chars().count() + 1 } else { text.matches(&old).count() };
            of.may_make(text.len().saturating_add(times.saturating_mul(new.len())))?;
            text.replace(&old, &new).into()
        }
        "plural" => (if of.whole(2)? == 1 { of.text(0)? } else { of.text(1)? }).into(),
        "contains" => of.text(1)?.contains(&of.text(0)?).into(),
        "hasPrefix" => of.text(1)?.starts_with(&of.text(0)?).into(),
        "hasSuffix" => of.text(1)?.ends_with(&of.text(0)?).into(),
        "quote" => each(of, |text| Value::from(text).to_string()),
        "squote" => each(of, |text| format!("'{text}'")),
        "cat" => each(of, |text| text),
        "toString" => of.text(0)?.into(),
        "toStrings" => of.list(0)?.iter().map(plain).collect(),
        "join" => joined(of)?.into(),
        "sortAlpha" => {
            let mut words: Vec<String> = of.list(0)?.iter().map(plain).collect();
            words.sort();
            words.into()
        }
        "splitList" => split(&of.text(1)?, &of.text(0)?).into(),
        "split" => numbered(split(&of.text(1)?, &of.text(0)?)),
        "splitn" => {
            let (sign, most, text) = (of.text(0)?, of.size(1)?, of.text(2)?);
            numbered(text.splitn(most, sign.as_str()).map(str::to_owned).collect())
        }
        "wrap" => wrapped(&of.text(1)?, of.size(0)?, "\n").into(),
        "wrapWith" => wrapped(&of.text(2)?, of.size(0)?, &of.text(1)?).into(),
        "b64enc" => STANDARD.encode(of.text(0)?).into(),
        "b64dec" => {
            let bytes = STANDARD.decode(of.text(0)?).map_err(|e| format!("b64dec: {e}"))?;
            String::from_utf8_lossy(&bytes).into()
        }
        "b32dec" => {
            let text = of.text(0)?;
            let bytes = of_base32(&text).ok_or_else(|| format!("b32dec: {text} is no base32"))?;
            String::from_utf8_lossy(&bytes).into()
        }
        "b32enc" => base32(of.text(0)?.as_bytes()).into(),
        "adler32sum" => adler(of.text(0)?.as_bytes()).to_string().into(),
        "semver" => {
            let version = of.text(0)?;
            semver_parts(&version).ok_or_else(|| format!("semver: {version} is no version"))?
        }
        "semverCompare" => {
            let (wanted, version) = (of.text(0)?, of.text(1)?);
            semver_matches(&version, &wanted)
                .map_err(|e| format!("semverCompare {wanted} {version}: {e}"))?
                .into()
        }
        other => return regular(of, other),
    })
}

/// Those with regular expressions.
fn regular(of: &Arguments<'_>, name: &str) -> Result<Value, String> {
    if name == "regexQuoteMeta" {
        return Ok(regex::escape(&of.text(0)?).into());
    }
    let (pattern, text) = (of.text(0)?, of.text(1)?);
    let expression = search(&pattern).ok_or_else(|| format!("{pattern} is no regular expression"))?;
    let most = || {
        let most = of.whole(2)?;
        Ok::<usize, String>(usize::try_from(most).unwrap_or(usize::MAX))
    };
    Ok(match name {
        "regexMatch" => expression.is_match(&text).into(),
        "regexFind" => expression.find(&text).map_or("", |found| found.as_str()).into(),
        "regexFindAll" => expression.find_iter(&text).take(most()?).map(|found| found.as_str()).collect(),
        "regexSplit" => match usize::try_from(of.whole(2)?) {
            Ok(most) => expression.splitn(&text, most).collect(),
            Err(_) => expression.split(&text).collect(),
        },
        "regexReplaceAll" => {
            let new = of.text(2)?;
            let times = expression.find_iter(&text).count();
            of.may_make(
                text.len().saturating_add(times.saturating_mul(new.len().saturating_add(text.len()))),
            )?;
            expression.replace_all(&text, new.as_str()).into()
        }
        _ => {
            let new = of.text(2)?;
            let times = expression.find_iter(&text).count();
            of.may_make(text.len().saturating_add(times.saturating_mul(new.len())))?;
            expression.replace_all(&text, regex::NoExpand(&new)).into()
        }
    })
}

fn each(of: &Arguments<'_>, made: impl Fn(String) -> String) -> Value {
    let words = of.all.iter().filter(|value| !value.is_null()).map(|value| made(plain(value)));
    words.collect::<Vec<_>>().join(" ").into()
}

fn joined(of: &Arguments<'_>) -> Result<String, String> {
    let sign = of.text(0)?;
    Ok(match of.any(1)? {
        Value::Array(items) => {
            let words: Vec<String> = items.iter().filter(|item| !item.is_null()).map(plain).collect();
            of.may_make(words.iter().map(|word| word.len() + sign.len()).sum())?;
            words.join(&sign)
        }
        other => plain(other),
    })
}

fn split(text: &str, sign: &str) -> Vec<String> {
    match sign {
        "" => text.chars().map(String::from).collect(),
        sign => text.split(sign).map(str::to_owned).collect(),
    }
}

/// `_0`, `_1` and so on, as templates ask for them.
fn numbered(words: Vec<String>) -> Value {
    let members: Map<String, Value> =
        words.into_iter().enumerate().map(|(at, word)| (format!("_{at}"), word.into())).collect();
    members.into()
}

fn indented(of: &Arguments<'_>) -> Result<String, String> {
    let (spaces, text) = (of.size(0)?, of.text(1)?);
    of.may_make(text.len().saturating_add(text.lines().count().saturating_add(1).saturating_mul(spaces)))?;
    let before = " ".repeat(spaces);
    Ok(format!("{before}{}", text.replace('\n', &format!("\n{before}"))))
}

fn swapped(c: char) -> char {
    let other = if c.is_uppercase() { c.to_lowercase().next() } else { c.to_uppercase().next() };
    other.unwrap_or(c)
}

/// With the first letter of each word changed.
fn parts(text: &str, first: impl Fn(char) -> String) -> String {
    let mut out = String::new();
    let mut begins = true;
    for c in text.chars() {
        match begins && c.is_alphabetic() {
            true => out.push_str(&first(c)),
            false => out.push(c),
        }
        begins = !(c.is_alphanumeric() || c == '\'' || c == '_');
    }
    out
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Words of a name in any of the usual styles.
fn pieces(text: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word = String::new();
    let letters: Vec<char> = text.chars().collect();
    for (at, c) in letters.iter().copied().enumerate() {
        if !c.is_alphanumeric() {
            words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(at + 1);
        let begins = c.is_uppercase()
            && (before.is_some_and(|b| b.is_lowercase() || b.is_ascii_digit())
                || before.is_some_and(|b| b.is_uppercase()) && after.is_some_and(|a| a.is_lowercase()));
        if begins && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// The first letters, or the last where the number is below zero.
fn truncated(text: &str, count: i64) -> String {
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let length = text.chars().count();
    match count < 0 {
        true => text.chars().skip(length.saturating_sub(size)).collect(),
        false => text.chars().take(size).collect(),
    }
}

fn cut(text: &str, from: i64, to: i64) -> String {
    let from = usize::try_from(from).unwrap_or(0);
    let to = usize::try_from(to).unwrap_or(usize::MAX);
    text.chars().take(to).skip(from).collect()
}

fn shortened(text: &str, width: usize) -> String {
    match width < 4 || text.chars().count() <= width {
        true => text.to_owned(),
        false => format!("{}...", text.chars().take(width - 3).collect::<String>()),
    }
}

fn wrapped(text: &str, width: usize, newline: &str) -> String {
    let width = width.max(1);
    let (mut out, mut length) = (String::new(), 0);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let size = word.chars().count();
        if length > 0 && length + 1 + size > width {
            out.push_str(newline);
            length = 0;
        } else if length > 0 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += size;
    }
    out
}

fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut whole = [0_u8; 8];
        whole[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(whole);
        let used = (chunk.len() * 8).div_ceil(5);
        for at in 0..8 {
            let index = usize::try_from(bits >> (35 - 5 * at) & 31).unwrap_or(0);
            out.push(if at < used { char::from(LETTERS[index]) } else { '=' });
        }
    }
    out
}

/// Whole groups, filled up by `=`; line ends between them are skipped, as in Go.
fn of_base32(text: &str) -> Option<Vec<u8>> {
    let signs: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let used = signs.iter().rposition(|sign| *sign != b'=').map_or(0, |at| at + 1);
    if !signs.len().is_multiple_of(8) || signs.len() - used > 6 || matches!(used % 8, 1 | 3 | 6) {
        return None;
    }
    let mut out = vec![];
    for group in signs[..used].chunks(8) {
        let mut bits = 0_u64;
        for at in 0..8 {
            let value = match group.get(at) {
                Some(sign @ b'A'..=b'Z') => sign - b'A',
                Some(sign @ b'2'..=b'7') => sign - b'2' + 26,
                Some(_) => return None,
                None => 0,
            };
            bits = bits << 5 | u64::from(value);
        }
        out.extend_from_slice(&bits.to_be_bytes()[3..3 + group.len() * 5 / 8]);
    }
    Some(out)
}

fn adler(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}
