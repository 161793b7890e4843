//! Text for people.

use std::borrow::Cow;
use std::io::IsTerminal;

use choria::core::text::drives_a_terminal;
pub use choria::core::text::escaped;

use super::terminal::is_dumb;

/// What is shown of a value that is not there: an empty text is one, too.
pub const NONE: &str = "(none)";

/// Replaces control characters, escape sequences and text direction overrides
/// of text that came from elsewhere. Line breaks stay where `multiline` says so.
pub fn clean(text: &str, multiline: bool) -> Cow<'_, str> {
    let harmful = |c: char| drives_a_terminal(c) && !(multiline && (c == '\n' || c == '\t'));
    // what a fleet sends is plain, line for line
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    if text.contains(harmful) {
        Cow::Owned(text.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether standard output gets colour: a terminal that has some, and nobody
/// said no.
pub fn coloured(configured: bool) -> bool {
    configured && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() && !is_dumb()
}

/// Colours that are used.
#[derive(Debug, Clone, Copy)]
pub enum Colour {
    Green,
    Yellow,
    Red,
}

/// `text` in a colour when `on`.
pub fn paint(text: &str, colour: Colour, on: bool) -> String {
    let code = match colour {
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Red => 31,
    };
    if on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// So many of something, as people count: `1 line`, `2 lines`.
pub fn counted(count: u64, of: &str) -> String {
    format!("{count} {of}{}", if count == 1 { "" } else { "s" })
}

/// Rounds to milliseconds below a minute and writes as people read it: `44ms`,
/// `2.035s`, `1m5s`.
pub fn duration(duration: std::time::Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => format!("{}µs", duration.as_micros()),
        1..1000 => format!("{ms}ms"),
        1000..60_000 => {
            let text = format!("{}.{:03}", ms / 1000, ms % 1000);
            format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => format!("{}m{}s", ms / 60_000, ms % 60_000 / 1000),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_node_cannot_drive_a_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\u{7}", false), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
        assert_eq!(clean("a\nb\tc", true), "a\nb\tc");
        assert_eq!(clean("a\nb", false), "a\u{fffd}b");
        assert_eq!(clean("\u{202e}evil", true), "\u{fffd}evil");
        assert_eq!(clean("\u{9b}31m", true), "\u{fffd}31m", "C1 controls too");
        assert!(matches!(clean("plain ünïcode", false), Cow::Borrowed(_)));
    }

    #[test]
    fn json_keeps_its_value_and_loses_its_teeth() {
        let value = serde_json::json!({"a\u{9b}31m": "\u{1b}[2J\u{202e}x\u{7f}\n", "b": ["ü"]});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = escaped(&text);
        assert!(!safe.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
        assert!(matches!(escaped("{\n}"), Cow::Borrowed(_)));
    }

    #[test]
    fn durations_read_well() {
        for (ms, text) in [(44, "44ms"), (2035, "2.035s"), (2000, "2s"), (2100, "2.1s"), (65_000, "1m5s")] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
        assert_eq!(duration(Duration::from_micros(310)), "310µs");
    }
}
