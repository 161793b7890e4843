//! A template as texts and actions, and an action as words.

/// A part of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A text in quotes.
    Text(String),
    /// A number.
    Number(String),
    /// A function or a word of the language.
    Word(String),
    /// `$name`, without the `$`.
    Variable(String),
    /// `.name`, joined to what stands before it or not.
    Field(String, bool),
    /// `.`
    Dot,
    /// `(`
    Open,
    /// `)`, with whether a field follows.
    Close,
    /// `|`
    Pipe,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// `,`
    Comma,
}

/// A text, or what stands between `{{` and `}}`.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Action(Vec<Token>),
}

/// Longest template.
const MAX_LENGTH: usize = 64 * 1024;
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Takes a template apart.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} bytes"));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let mut literal = if trim { before.trim_start_matches(BLANKS) } else { before };
        let mut inside = after;
        if let Some(trimmed) = inside.strip_prefix('-').filter(|t| t.starts_with(BLANKS)) {
            literal = literal.trim_end_matches(BLANKS);
            inside = trimmed;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        let begin = inside.trim_start_matches(BLANKS);
        let (tokens, after) = match begin.strip_prefix("/*") {
            Some(comment) => {
                let (_, after) = comment.split_once("*/").ok_or("a comment is not closed")?;
                (None, after)
            }
            None => {
                let (tokens, after) = tokens(begin)?;
                (Some(tokens), after)
            }
        };
        let end = after.trim_start_matches(BLANKS);
        trim = end.starts_with("-}}");
        rest = end
            .strip_prefix("-}}")
            .or_else(|| end.strip_prefix("}}"))
            .ok_or("an action is not closed by }}")?;
        if let Some(tokens) = tokens {
            pieces.push(Piece::Action(tokens));
        }
    }
    let literal = if trim { rest.trim_start_matches(BLANKS) } else { rest };
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// The words up to `}}`, and what follows them.
fn tokens(text: &str) -> Result<(Vec<Token>, &str), String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut joined = false;
    loop {
        let trimmed = rest.trim_start_matches(BLANKS);
        joined &= trimmed.len() == rest.len();
        rest = trimmed;
        if rest.starts_with("}}") || rest.starts_with("-}}") {
            return Ok((tokens, rest));
        }
        let mut chars = rest.chars();
        let c = chars.next().ok_or("an action is not closed by }}")?;
        let word = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let (token, after) = match c {
            '"' => {
                let (text, after) = quoted(chars.as_str())?;
                (Token::Text(text), after)
            }
            '`' => {
                let (text, after) = chars.as_str().split_once('`').ok_or("a text in ` is not closed")?;
                (Token::Text(text.to_owned()), after)
            }
            '(' => (Token::Open, chars.as_str()),
            ')' => (Token::Close, chars.as_str()),
            '|' => (Token::Pipe, chars.as_str()),
            ',' => (Token::Comma, chars.as_str()),
            '=' => (Token::Assign, chars.as_str()),
            ':' => (Token::Declare, chars.as_str().strip_prefix('=').ok_or("a : without a =")?),
            '$' => {
                let (name, after) = chars.as_str().split_at(word(chars.as_str()));
                (Token::Variable(name.to_owned()), after)
            }
            '.' if !chars.as_str().starts_with(|c: char| c.is_ascii_digit()) => {
                let (name, after) = chars.as_str().split_at(word(chars.as_str()));
                match name {
                    "" => (Token::Dot, after),
                    name => (Token::Field(name.to_owned(), joined), after),
                }
            }
            c if c.is_ascii_digit() || matches!(c, '.' | '-' | '+') => {
                let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
                let end =
                    rest.get(1..).and_then(|tail| tail.find(|c| !part(c))).map_or(rest.len(), |at| at + 1);
                let (number, after) = rest.split_at(end);
                (Token::Number(number.to_owned()), after)
            }
            c if c.is_alphabetic() || c == '_' => {
                let (name, after) = rest.split_at(word(rest));
                (Token::Word(name.to_owned()), after)
            }
            c => return Err(format!("{c:?} means nothing in an action")),
        };
        joined = matches!(token, Token::Close | Token::Variable(_) | Token::Field(..));
        tokens.push(token);
        rest = after;
    }
}

/// A text up to its closing quote, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next() {
            None | Some('\n') => return Err("a text in \" is not closed".to_owned()),
            Some('"') => return Ok((out, chars.as_str())),
            Some('\\') => out.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('a') => '\u{7}',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('v') => '\u{b}',
                Some(c @ ('\\' | '"' | '\'')) => c,
                Some(kind @ ('x' | 'u' | 'U')) => {
                    let digits = match kind {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let code: String = chars.by_ref().take(digits).collect();
                    let value = u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == digits);
                    value.and_then(char::from_u32).ok_or_else(|| format!("\\{kind}{code} is no character"))?
                }
                other => {
                    return Err(format!(
                        "\\{} means nothing in a text",
                        other.map_or(String::new(), String::from)
                    ));
                }
            }),
            Some(c) => out.push(c),
        }
    }
}
