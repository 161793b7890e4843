//! No text makes the lexer, the parser or the parser of types panic or take long.

use std::sync::Arc;

use super::{parse, parse_expression};
use crate::source::Source;
use crate::types::{Aliases, parse as parse_type};

/// Pieces that a text is made of, so that inputs get past the first token.
const PIECES: &[&str] = &[
    "$x",
    "${",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "'",
    "=>",
    "=",
    "==",
    "=~",
    "|",
    "||",
    ",",
    ".",
    "..",
    "@(E)",
    "@(\"E\"/L)",
    "\n",
    "| E\n",
    "| - E\n",
    " ",
    "if ",
    "unless ",
    "else ",
    "elsif ",
    "case ",
    "default",
    ": ",
    "plan ",
    "function ",
    "type ",
    "a",
    "a::b",
    "A::B",
    "Integer",
    "Enum[a]",
    "1",
    "-1",
    "0x1f",
    "1.5e3",
    "/re/",
    "/",
    "?",
    "!",
    "and ",
    "or ",
    "in ",
    "+",
    "-",
    "*",
    "%",
    "<<",
    ">>",
    "<",
    "return ",
    "notice ",
    "\\",
    "\\u{1F600}",
    "é",
    "#",
    "/*",
    "*/",
    "undef",
    "true",
    "a-b",
    "::",
    "$",
    "+=",
    "->",
    "@",
    ";",
];

fn text(bytes: &[u8]) -> String {
    match bytes.split_first() {
        // as it is
        Some((0..=63, rest)) => String::from_utf8_lossy(rest).into_owned(),
        Some((_, rest)) => rest.iter().map(|byte| PIECES[usize::from(*byte) % PIECES.len()]).collect(),
        None => String::new(),
    }
}

#[test]
fn any_text_parses_or_is_refused() {
    bolero::check!().with_iterations(20_000).with_type::<Vec<u8>>().for_each(|bytes| {
        let text = text(bytes);
        let source = Arc::new(Source::new("fuzz.pp", text.clone()));
        if let Err(e) = parse(source.clone()) {
            let place = e.place.as_ref().expect("every syntax error has a place");
            assert!(place.line <= text.matches('\n').count() + 1, "{e}");
        }
        let _ = parse_expression(source);
        let _ = parse_type(&text, &mut Aliases::default());
    });
}
