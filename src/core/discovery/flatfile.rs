//! Names from a file, or from the results of an earlier request (spec 03 §4.4).

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::core::files::read_bounded;
use crate::core::text::documents;

/// Largest list: a million names.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// What some editors begin a file with.
const BOM: char = '\u{feff}';

/// What a file of names looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One name a line.
    Text,
    /// A JSON array of names.
    Json,
    /// A YAML list of names.
    Yaml,
    /// The `--json` or `--jsonl` output of a request.
    Results,
}

impl Format {
    /// The format a file name suggests.
    pub fn of(file: &Path) -> Format {
        match file.extension().and_then(|e| e.to_str()) {
            Some("json") => Format::Json,
            Some("yaml" | "yml") => Format::Yaml,
            Some("jsonl") => Format::Results,
            _ => Format::Text,
        }
    }

    /// The format an option names; any other word is text, as in the original.
    pub fn parse(word: &str) -> Format {
        match word {
            "json" => Format::Json,
            "yaml" | "yml" => Format::Yaml,
            "choriarpc" | "results" | "rpc" | "response" => Format::Results,
            _ => Format::Text,
        }
    }
}

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum FlatfileError {
    #[error(transparent)]
    Read(#[from] std::io::Error),
    #[error("{file}: {reason}")]
    Malformed { file: PathBuf, reason: String },
    #[error("{file}: line {line} holds no node name: {name:?}")]
    Name { file: PathBuf, line: usize, name: String },
}

/// The names in a file.
pub fn read_names(file: &Path, format: Format) -> Result<Vec<String>, FlatfileError> {
    let content = read_bounded(file, MAX_FILE)?;
    names(&content, format).map_err(|problem| problem.at(file))
}

/// The names in text that was saved by an earlier command's `--json`: results of
/// a request, or the list `find` prints; `None` when the text is no such
/// document, so that it can be something else. The original passes over lists,
/// and so asks the whole fleet where somebody chose a part of it.
pub fn saved_results(text: &str) -> Option<Result<Vec<String>, FlatfileError>> {
    let trimmed = text.trim_start_matches(BOM).trim();
    let within = |open: char, close: char| trimmed.starts_with(open) && trimmed.ends_with(close);
    let format = match () {
        () if within('{', '}') => Format::Results,
        () if within('[', ']') => Format::Json,
        () => return None,
    };
    Some(names(trimmed.as_bytes(), format).map_err(|problem| problem.at(Path::new("standard input"))))
}

/// The names in text that is known to hold some: saved by an earlier command's
/// `--json`, or one a line.
pub fn listed_names(text: &str) -> Result<Vec<String>, FlatfileError> {
    saved_results(text).unwrap_or_else(|| {
        names(text.trim().as_bytes(), Format::Text).map_err(|problem| problem.at(Path::new("standard input")))
    })
}

enum Problem {
    Malformed(String),
    Name(usize, String),
}

impl Problem {
    fn at(self, file: &Path) -> FlatfileError {
        let file = file.to_owned();
        match self {
            Problem::Malformed(reason) => FlatfileError::Malformed { file, reason },
            Problem::Name(line, name) => FlatfileError::Name { file, line, name },
        }
    }
}

fn names(content: &[u8], format: Format) -> Result<Vec<String>, Problem> {
    let malformed = |reason: String| Problem::Malformed(reason);
    let text = std::str::from_utf8(content).map_err(|e| malformed(e.to_string()))?;
    let text = text.trim_start_matches(BOM);
    let unnumbered =
        |names: Vec<String>| names.into_iter().enumerate().map(|(i, name)| (i + 1, name)).collect();
    let names: Vec<(usize, String)> = match format {
        // Lines of other systems end in two characters, and people leave blank ones.
        Format::Text => {
            let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim().to_owned()));
            lines.filter(|(_, line)| !line.is_empty()).collect()
        }
        Format::Json => unnumbered(serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?),
        Format::Yaml => unnumbered(documents::yaml(text).map_err(malformed)?),
        Format::Results => unnumbered(senders(text).map_err(malformed)?),
    };
    if let Some((line, name)) = names.iter().find(|(_, name)| !is_name(name)) {
        return Err(Problem::Name(*line, name.clone()));
    }
    let mut seen = std::collections::HashSet::new();
    Ok(names.into_iter().map(|(_, name)| name).filter(|name| seen.insert(name.clone())).collect())
}

/// Who answered, by one document of results or by one a line.
fn senders(text: &str) -> Result<Vec<String>, String> {
    let sender = |reply: &Value| Some(reply.get("sender")?.as_str()?.to_owned());
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Value>().peekable();
    let first = documents.next().ok_or("it is empty")?.map_err(|e| e.to_string())?;
    if documents.peek().is_none() && first.get("k").is_none() {
        let replies = first.get("replies").and_then(Value::as_array);
        let replies = replies.ok_or("it has no 'replies', save it with --json or --jsonl")?;
        return Ok(replies.iter().filter_map(sender).collect());
    }
    // As `--jsonl` tells what happens: kinds of lines, results among them.
    let mut senders = vec![];
    let mut ended = false;
    for document in std::iter::once(Ok(first)).chain(documents) {
        let document = document.map_err(|e| e.to_string())?;
        match document.get("k").and_then(Value::as_str) {
            Some("result") => senders.extend(document.get("rr").and_then(sender)),
            Some("stats") => ended = true,
            Some("error") => {
                let reason = document.get("err").and_then(Value::as_str).unwrap_or_default();
                return Err(format!("the command in front of it failed: {reason}"));
            }
            Some(_) => {}
            None => return Err("it is neither --json nor --jsonl output".to_owned()),
        }
    }
    if !ended {
        return Err("it ends before the results do: did the command in front of it fail?".to_owned());
    }
    Ok(senders)
}

/// Dot-separated labels of what certificate names are made of: letters, digits,
/// `_` and `-`. The original takes no `_` here, though nodes may be called so.
pub fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 1024 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, format: Format) -> Result<Vec<String>, String> {
        names(text.as_bytes(), format).map_err(|p| p.at(Path::new("f")).to_string())
    }

    #[test]
    fn each_format_gives_its_names_once() {
        let two = vec!["n1.example.net".to_owned(), "n2".to_owned()];
        assert_eq!(read(" n1.example.net \nn2\nn2\n", Format::Text).unwrap(), two);
        assert_eq!(read(r#"["n1.example.net","n2"]"#, Format::Json).unwrap(), two);
        assert_eq!(read("- n1.example.net\n- n2\n", Format::Yaml).unwrap(), two);
        assert_eq!(read("\u{feff}n1.example.net\r\n\r\n  \r\nn2\r\n", Format::Text).unwrap(), two);
        assert_eq!(read("\u{feff}[\"n1.example.net\",\r\n\"n2\"]", Format::Json).unwrap(), two);
        let result = |name: &str| format!(r#"{{"k":"result","rr":{{"sender":"{name}"}}}}"#);
        let lines = format!("{{\"k\":\"discovery\"}}\n{}\n{}\n", result("n1.example.net"), result("n2"));
        let whole = format!("{lines}{{\"k\":\"summaries\"}}\n{{\"k\":\"stats\"}}\n");
        assert_eq!(saved_results(&whole).unwrap().unwrap(), two);
        assert!(saved_results(&lines).unwrap().is_err(), "cut off");
        let failed = "{\"k\":\"error\",\"err\":\"no nodes\"}\n";
        assert!(saved_results(failed).unwrap().unwrap_err().to_string().contains("failed: no nodes"));
        let results = r#"{"replies":[{"sender":"n1.example.net"},{"sender":"n2"}]}"#;
        assert_eq!(read(results, Format::Results).unwrap(), two);
        assert_eq!(saved_results(results).unwrap().unwrap(), two);
        assert!(saved_results("n1\n").is_none());
        assert!(saved_results("{}").unwrap().is_err());
        assert_eq!(saved_results("[\n  \"n1.example.net\",\n  \"n2\"\n]\n").unwrap().unwrap(), two);
        assert!(saved_results("[]").unwrap().unwrap().is_empty(), "nobody is not everybody");
        assert!(saved_results("[1]").unwrap().is_err());
    }

    #[test]
    fn a_line_that_is_no_name_is_pointed_at() {
        assert!(read("n1\n\na b\n", Format::Text).unwrap_err().contains("line 3"));
        assert!(read("a b\n", Format::Text).unwrap_err().contains("a b"));
        for bad in ["a..b", ".a", "a.", "a*", "a.>", "é"] {
            assert!(read(bad, Format::Text).is_err(), "{bad}");
        }
        assert_eq!(read("web_1.example.net\n", Format::Text).unwrap(), ["web_1.example.net"]);
        assert!(read("# comment\n", Format::Text).is_err());
    }
}
