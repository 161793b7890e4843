//! `*` and `?` in keys and queries.

/// Whether `text` matches `pattern`; a backslash makes the next letter plain.
///
/// Goes back to the last star only, so the cost is at most the product of the
/// lengths.
pub(super) fn matches(text: &str, pattern: &[u8]) -> bool {
    let pattern = String::from_utf8_lossy(pattern);
    let pattern: Vec<Token> = tokens(&pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Token::Star) => {
                star = Some((p, t));
                p += 1;
            }
            Some(token) if token.takes(text.get(t)) => {
                t += 1;
                p += 1;
            }
            _ => match &mut star {
                Some((after, tried)) => {
                    *tried += 1;
                    (p, t) = (*after + 1, *tried);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|token| matches!(token, Token::Star))
}

/// What a comparison costs at the worst.
pub(super) fn price(text: &str, pattern: &[u8]) -> u64 {
    let stars = u64::try_from(pattern.iter().filter(|byte| **byte == b'*').count()).unwrap_or(u64::MAX);
    let (text, pattern) = (text.len() as u64, pattern.len() as u64);
    let back = if stars == 0 { 0 } else { text.saturating_mul(pattern) / 4 };
    (10 + text + pattern).saturating_add(back)
}

enum Token {
    Star,
    Any,
    Letter(char),
    /// A backslash at the very end matches nothing.
    Nothing,
}

impl Token {
    fn takes(&self, letter: Option<&char>) -> bool {
        match self {
            Token::Any => true,
            Token::Letter(c) => letter == Some(c),
            Token::Star | Token::Nothing => false,
        }
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => chars.next().map_or(Token::Nothing, Token::Letter),
            c => Token::Letter(c),
        });
    }
    tokens
}
