//! From text to tokens.

use std::iter::Peekable;
use std::str::Chars;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Number(String),
    Text(String),
    /// Operators, also those that are words.
    Operator(String),
    Bracket(char),
    End,
}

const WORDS: [&str; 11] =
    ["in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else", "not"];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer { chars: text.chars().peekable(), tokens: Vec::new() };
    while lexer.token()? {}
    lexer.tokens.push(Token::End);
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    tokens: Vec<Token>,
}

fn is_word(c: char) -> bool {
    c == '_' || c == '$' || c.is_alphanumeric()
}

impl Lexer<'_> {
    fn operator(&mut self, first: char, second: &str) {
        let mut word = String::from(first);
        word.extend(self.chars.next_if(|c| second.contains(*c)));
        self.tokens.push(Token::Operator(word));
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.chars.next_if(|c| is_word(*c)) {
            word.push(c);
        }
        word
    }

    /// Reads one token; false at the end.
    fn token(&mut self) -> Result<bool, String> {
        let Some(first) = self.chars.peek().copied() else { return Ok(false) };
        if first.is_ascii_digit() {
            self.number()?;
            return Ok(true);
        }
        if is_word(first) {
            let word = self.word();
            let operator = WORDS.contains(&word.as_str());
            self.tokens.push(if operator { Token::Operator(word) } else { Token::Name(word) });
            return Ok(true);
        }
        self.chars.next();
        match first {
            c if c.is_whitespace() => {}
            '"' | '\'' => {
                let text = self.string(first)?;
                self.tokens.push(Token::Text(text));
            }
            '`' => self.raw_string()?,
            '(' | '[' | '{' | ')' | ']' | '}' => self.tokens.push(Token::Bracket(first)),
            '?' => self.operator('?', ".?"),
            '/' => self.slash()?,
            '#' => {
                self.tokens.push(Token::Operator("#".into()));
                // Go on with the name that sticks to it, if any.
                let word = self.word();
                if !word.is_empty() {
                    self.tokens.push(Token::Name(word));
                }
            }
            '|' => self.operator('|', "|"),
            ':' => self.operator(':', ":"),
            ',' | ';' | '%' | '+' | '-' | '^' => self.tokens.push(Token::Operator(first.into())),
            '&' | '!' | '=' | '*' | '<' | '>' => self.operator(first, "&=*"),
            '.' if self.chars.peek().is_some_and(char::is_ascii_digit) => {
                let digits = self.digits(|c| c.is_ascii_digit());
                self.exponent(format!(".{digits}"))?;
            }
            '.' => self.operator('.', "."),
            other => return Err(format!("unrecognized character {other:?}")),
        }
        Ok(true)
    }

    fn slash(&mut self) -> Result<(), String> {
        if self.chars.next_if_eq(&'/').is_some() {
            self.chars.by_ref().find(|c| *c == '\n');
            return Ok(());
        }
        if self.chars.next_if_eq(&'*').is_none() {
            self.tokens.push(Token::Operator("/".into()));
            return Ok(());
        }
        while let Some(c) = self.chars.next() {
            if c == '*' && self.chars.next_if_eq(&'/').is_some() {
                return Ok(());
            }
        }
        Err("a comment is not closed".into())
    }

    fn digits(&mut self, digit: fn(&char) -> bool) -> String {
        let mut digits = String::new();
        while let Some(c) = self.chars.next_if(|c| digit(c) || *c == '_') {
            digits.push(c);
        }
        digits
    }

    fn number(&mut self) -> Result<(), String> {
        let mut number = String::new();
        let mut digit: fn(&char) -> bool = char::is_ascii_digit;
        if self.chars.next_if_eq(&'0').is_some() {
            number.push('0');
            if let Some(base) = self.chars.next_if(|c| "xXoObB".contains(*c)) {
                number.push(base);
                digit = match base.to_ascii_lowercase() {
                    'x' => char::is_ascii_hexdigit,
                    'o' => |c| ('0'..='7').contains(c),
                    _ => |c| matches!(c, '0' | '1'),
                };
            }
        }
        number.push_str(&self.digits(digit));
        // Two dots are a range and belong to no number.
        let mut ahead = self.chars.clone();
        if ahead.next() == Some('.') && ahead.next() != Some('.') {
            self.chars.next();
            number.push('.');
            number.push_str(&self.digits(digit));
        }
        self.exponent(number)
    }

    fn exponent(&mut self, mut number: String) -> Result<(), String> {
        if let Some(letter) = self.chars.next_if(|c| matches!(c, 'e' | 'E')) {
            number.push(letter);
            number.extend(self.chars.next_if(|c| matches!(c, '+' | '-')));
            number.push_str(&self.digits(char::is_ascii_digit));
        }
        if self.chars.peek().is_some_and(|c| is_word(*c)) {
            return Err(format!("bad number syntax {number:?}"));
        }
        self.tokens.push(Token::Number(number));
        Ok(())
    }

    fn raw_string(&mut self) -> Result<(), String> {
        let mut text = String::new();
        loop {
            match self.chars.next() {
                // A doubled one stands for itself.
                Some('`') if self.chars.next_if_eq(&'`').is_some() => text.push('`'),
                Some('`') => break,
                Some(c) => text.push(c),
                None => return Err("a text is not closed".into()),
            }
        }
        self.tokens.push(Token::Text(text));
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.chars.next() {
                Some(c) if c == quote => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some('\n') | None => return Err("a text is not closed".into()),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        Ok(match self.chars.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(c @ ('\\' | '"' | '\'' | '`')) => c,
            Some('x') => self.code(2)?,
            Some('u') if self.chars.next_if_eq(&'{').is_some() => {
                let digits: String = self.chars.by_ref().take_while(|c| *c != '}').take(8).collect();
                u32::from_str_radix(&digits, 16)
                    .ok()
                    .and_then(char::from_u32)
                    .ok_or("bad escape in a text")?
            }
            Some('u') => self.unit()?,
            Some('U') => self.code(8)?,
            _ => return Err("unknown escape in a text".into()),
        })
    }

    fn hex(&mut self, digits: u32) -> Result<u32, String> {
        let mut code = 0u32;
        for _ in 0..digits {
            let digit = self.chars.next().and_then(|c| c.to_digit(16)).ok_or("bad escape in a text")?;
            code = code << 4 | digit;
        }
        Ok(code)
    }

    fn code(&mut self, digits: u32) -> Result<char, String> {
        Ok(char::from_u32(self.hex(digits)?).ok_or("bad escape in a text")?)
    }

    /// `\uXXXX`, joined with a second half that follows.
    fn unit(&mut self) -> Result<char, String> {
        let high = self.hex(4)?;
        let mut ahead = self.chars.clone();
        if (0xd800..0xdc00).contains(&high) && ahead.next() == Some('\\') && ahead.next() == Some('u') {
            self.chars = ahead;
            let units = [high as u16, self.hex(4)? as u16];
            if let Some(Ok(c)) = char::decode_utf16(units).next() {
                return Ok(c);
            }
        }
        Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}
