//! The text of a file → entries, without knowing any key: `key = value` lines
//! (spec 03 §1.2) and TOML with the same dotted keys.

use toml::de::{DeTable, DeValue};

use super::values::Raw;

/// Longest file read, in bytes. Real ones are a few KiB.
pub const MAX_BYTES: u64 = 1 << 20;
/// Most lines one file may have.
pub const MAX_LINES: usize = 20_000;
/// How deep TOML tables may nest; the longest key has seven parts.
const MAX_DEPTH: usize = 16;

/// One key and its value as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, dotted.
    pub key: String,
    /// The value.
    pub value: Raw,
    /// Line in the file, from 1.
    pub line: usize,
}

/// What a file held: entries in order, and lines that say nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Line number and what is wrong with it.
    pub problems: Vec<(usize, String)>,
}

/// Reads `key = value` lines. Nothing here is an error: what the original
/// skips without a word is skipped and told.
pub fn parse_lines(text: &str) -> Lines {
    let mut out = Lines::default();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let number = index + 1;
        if number > MAX_LINES {
            out.problems.push((number, format!("more than {MAX_LINES} lines, the rest is ignored")));
            break;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
            None | Some(("", _)) => {
                out.problems.push((number, "is not `key = value`, ignored".into()));
            }
            Some((key, "")) => {
                out.problems.push((number, format!("{key} has no value, ignored")));
            }
            Some((key, value)) => {
                let value = Raw::Text(value.to_string());
                out.entries.push(Entry { key: key.to_string(), value, line: number });
            }
        }
    }
    out
}

/// Reads TOML: nested tables become dotted keys, arrays lists. A key that is
/// both a value and the start of others (`plugin.rpcaudit.logfile`) is written
/// quoted, as TOML cannot nest it.
///
/// # Errors
/// The text of the parser's error when this is not TOML.
pub fn parse_toml(text: &str) -> Result<Lines, String> {
    let table = DeTable::parse(text).map_err(|e| e.to_string())?;
    let mut out = Lines::default();
    flatten(text, "", table.get_ref(), 0, &mut out);
    Ok(out)
}

fn flatten(text: &str, prefix: &str, table: &DeTable<'_>, depth: usize, out: &mut Lines) {
    for (name, value) in table.iter() {
        let before = text.get(..name.span().start).unwrap_or_default();
        let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
        let key = match prefix {
            "" => name.get_ref().to_string(),
            _ => format!("{prefix}.{}", name.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(inner) if depth < MAX_DEPTH => flatten(text, &key, inner, depth + 1, out),
            DeValue::Array(items) => {
                let texts: Vec<_> = items.iter().filter_map(|item| scalar(item.get_ref())).collect();
                if texts.len() == items.len() {
                    out.entries.push(Entry { key, value: Raw::List(texts), line });
                } else {
                    out.problems.push((line, format!("{key} is a list of more than plain values, ignored")));
                }
            }
            other => match scalar(other) {
                Some(value) if !value.is_empty() => {
                    out.entries.push(Entry { key, value: Raw::Text(value), line });
                }
                Some(_) => out.problems.push((line, format!("{key} has no value, ignored"))),
                None => out.problems.push((line, format!("{key} nests too deeply, ignored"))),
            },
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
            .map_or_else(|_| Some(number.to_string()), |number| Some(number.to_string())),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
