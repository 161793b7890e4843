//! What the terminal that output goes to can show.

use std::io::IsTerminal;

/// Narrowest that lists are made for.
const LEAST: usize = 40;

/// Columns of the terminal on standard output, 40 at least; `None` where output
/// goes to a file or a pipe, which have no width.
pub fn width() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    columns(rustix::termios::tcgetwinsize(&stdout).ok())
}

/// The same of standard error.
pub fn error_width() -> Option<usize> {
    let stderr = std::io::stderr();
    if !stderr.is_terminal() {
        return None;
    }
    columns(rustix::termios::tcgetwinsize(&stderr).ok())
}

fn columns(size: Option<rustix::termios::Winsize>) -> Option<usize> {
    let told = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    Some(told.unwrap_or(80).max(LEAST))
}

/// Whether only ASCII is shown as it is: what the locale says, and on a terminal
/// without one.
pub fn is_ascii() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    match locale {
        Some(locale) => !is_utf8(&locale),
        None => std::io::stdout().is_terminal(),
    }
}

fn is_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Whether the terminal can do nothing but show text, line by line.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_says_what_can_be_shown() {
        for (locale, utf8) in [
            ("en_US.UTF-8", true),
            ("C.utf8", true),
            ("C", false),
            ("POSIX", false),
            ("de_DE.ISO-8859-1", false),
        ] {
            assert_eq!(is_utf8(locale), utf8, "{locale}");
        }
    }
}
