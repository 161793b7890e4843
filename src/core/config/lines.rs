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
    /// What says nothing, in order.
    pub problems: Vec<Unsaid>,
}

/// Something in a file that gives no key a value.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsaid {
    /// Line in the file, from 1.
    pub line: usize,
    /// The key it is about, as far as that can be told; else empty.
    pub key: String,
    /// What is wrong with it, after its key.
    pub text: &'static str,
}

impl Lines {
    fn unsaid(&mut self, line: usize, key: &str, text: &'static str) {
        self.problems.push(Unsaid { line, key: key.to_owned(), text });
    }
}

const NO_VALUE: &str = "has no value";
const NO_LINE: &str = "is not `key = value`";
const TOO_LONG: &str = "it has too many lines: the rest counts for nothing";

/// Reads `key = value` lines. Nothing here is an error: what the original
/// skips without a word is skipped and told.
pub fn parse_lines(text: &str) -> Lines {
    let mut out = Lines::default();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let number = index + 1;
        if number > MAX_LINES {
            out.unsaid(number, "", TOO_LONG);
            break;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
            None | Some(("", _)) => {
                // `rpcaudit: true` is no line of a file, and was meant to be one.
                let word = line.split(|c: char| c.is_whitespace() || c == ':').next().unwrap_or_default();
                out.unsaid(number, word, NO_LINE);
            }
            Some((key, "")) => out.unsaid(number, key, NO_VALUE),
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
                    out.unsaid(line, &key, "is a list of more than plain values");
                }
            }
            other => match scalar(other) {
                Some(value) if !value.is_empty() => {
                    out.entries.push(Entry { key, value: Raw::Text(value), line });
                }
                Some(_) => out.unsaid(line, &key, NO_VALUE),
                None => out.unsaid(line, &key, "nests too deeply"),
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
