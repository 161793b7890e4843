//! The two forms of a line.

use std::fmt::{self, Debug, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::core::text::{drives_a_terminal, escaped, shorten};

/// Longest text of one field as it is written; peers choose parts of what is logged.
const MAX_FIELD: usize = 2048;

/// Text for people and the journal.
pub struct Console {
    /// Lead with the journal's priority instead of a time.
    pub journal: bool,
}

/// One JSON object a line.
pub struct JsonLines;

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn of(event: &Event<'_>) -> Fields {
        let mut fields = Fields::default();
        event.record(&mut fields);
        fields
    }

    fn put(&mut self, field: &Field, value: Value) {
        self.rest.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = format!("{value:?}");
        bound(&mut text);
        if field.name() == "message" { self.message = text } else { self.put(field, Value::String(text)) }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = value.to_owned();
        bound(&mut text);
        if field.name() == "message" { self.message = text } else { self.put(field, Value::String(text)) }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// Cuts a text so that what is written of it, in either form, is no longer than [`MAX_FIELD`].
fn bound(text: &mut String) {
    let written = |c: char| match c {
        '"' | '\\' => 2,
        _ if drives_a_terminal(c) => c.escape_default().len().max(6),
        _ => c.len_utf8(),
    };
    let mut length = 0;
    let whole = text.char_indices().find(|(_, c)| {
        length += written(*c);
        length > MAX_FIELD
    });
    if let Some((at, _)) = whole {
        shorten(text, at);
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Words of today's logs.
fn level(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let fields = Fields::of(event);
        let mut line = Map::new();
        line.insert("time".into(), now().into());
        line.insert("level".into(), level(event.metadata().level()).into());
        line.insert("msg".into(), fields.message.into());
        line.extend(fields.rest);
        writeln!(out, "{}", escaped(&Value::Object(line).to_string()))
    }
}

impl<S, N> FormatEvent<S, N> for Console
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let fields = Fields::of(event);
        let word = level(event.metadata().level());
        if self.journal {
            let priority = match word {
                "error" => 3,
                "warning" => 4,
                "info" => 6,
                _ => 7,
            };
            write!(out, "<{priority}>")?;
        } else {
            write!(out, "{} {word:7} ", now())?;
        }
        let mut line = String::new();
        plain(&mut line, &fields.message);
        for (name, value) in &fields.rest {
            write!(line, " {name}=")?;
            match value {
                Value::String(text) => field(&mut line, text),
                other => write!(line, "{other}")?,
            }
        }
        writeln!(out, "{line}")
    }
}

/// A value that could be taken for several fields stands in quotes.
fn field(line: &mut String, text: &str) {
    if text.contains([' ', '"']) {
        line.push('"');
        plain(line, &text.replace('\\', "\\\\").replace('"', "\\\""));
        line.push('"');
    } else {
        plain(line, text);
    }
}

/// Text from peers must not move a terminal's cursor, turn its direction or
/// forge a second line.
fn plain(line: &mut String, text: &str) {
    for c in text.chars() {
        if drives_a_terminal(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged<F>(format: F) -> String
    where
        F: FormatEvent<tracing_subscriber::Registry, tracing_subscriber::fmt::format::DefaultFields>
            + Send
            + Sync
            + 'static,
    {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().event_format(format).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(caller = "choria=bob\n\u{1b}[2J\u{9b}2J\u{202e}", count = 3, "refused");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_line_has_the_known_keys() {
        let line: Value = serde_json::from_str(&logged(JsonLines)).unwrap();
        assert_eq!(
            (&line["level"], &line["msg"], &line["count"]),
            (&"warning".into(), &"refused".into(), &3.into())
        );
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(line["caller"], "choria=bob\n\u{1b}[2J\u{9b}2J\u{202e}", "a program reads what it was");
    }

    #[test]
    fn a_peer_cannot_forge_a_line_or_clear_a_screen() {
        let line = logged(Console { journal: true });
        assert_eq!(line, "<4>refused caller=choria=bob\\n\\u{1b}[2J\\u{9b}2J\\u{202e} count=3\n");
        let line = logged(JsonLines);
        assert!(!line.trim_end().contains(drives_a_terminal) && line.ends_with("}\n"), "{line:?}");
    }

    #[test]
    fn a_text_is_bounded_as_it_is_written() {
        for piece in ["\u{1}", "\"", "\\", "\u{e0001}", "\u{202e}", "x", "é"] {
            let mut text = piece.repeat(10_000);
            bound(&mut text);
            let mut line = String::new();
            field(&mut line, &format!("{text} "));
            let json = Value::from(text.as_str()).to_string();
            for written in [&line, &json] {
                assert!(
                    (MAX_FIELD / 4..MAX_FIELD + 16).contains(&written.len()),
                    "{piece:?} {}",
                    written.len()
                );
            }
        }
    }

    #[test]
    fn a_peer_cannot_forge_a_field() {
        let mut line = String::new();
        field(&mut line, "eve caller=\"choria=admin\u{202e}");
        assert_eq!(line, r#""eve caller=\"choria=admin\u{202e}""#);
    }
}
