//! A pull reader over one JSON document in memory.

/// Deepest nesting of objects and arrays that is followed.
///
/// The deepest message a peer writes has six levels; the original follows ten
/// thousand. The bound keeps a hostile document from using the stack.
pub const MAX_DEPTH: u32 = 128;

/// Why a document could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct JsonError {
    /// Offset into the document.
    pub at: usize,
    /// What was wrong there.
    pub problem: Problem,
}

/// What can be wrong at one place of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not JSON.
    #[error("invalid JSON")]
    Syntax,
    /// JSON goes on where the document should end.
    #[error("text after the end of the JSON document")]
    Trailing,
    /// A value of another type, such as a number where text belongs.
    #[error("expected {0}")]
    Type(&'static str),
    /// An integer that does not fit 64 bits.
    #[error("an integer out of range")]
    Range,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nesting deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A rule about the content, as a whole sentence.
    #[error("{0}")]
    Rule(&'static str),
    /// Text that should be base64 is not.
    #[error("invalid base64")]
    Base64,
}

/// The type of the value that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// A digit or `-`.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
}

/// Reads values off the front of a document, checking as it goes.
pub struct Reader<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
    depth: u32,
}

pub(super) type Result<T, E = JsonError> = std::result::Result<T, E>;

impl<'a> Reader<'a> {
    /// Starts at the first byte of `text`.
    pub fn new(text: &'a [u8]) -> Reader<'a> {
        Reader { text, at: 0, depth: 0 }
    }

    /// An error at the present place.
    pub fn error(&self, problem: Problem) -> JsonError {
        JsonError { at: self.at, problem }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    #[inline]
    pub(super) fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    /// The type of the next value; nothing is consumed but space.
    pub fn peek(&mut self) -> Result<Kind> {
        self.space();
        match self.byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.error(Problem::Syntax)),
        }
    }

    pub(super) fn expect(&mut self, kind: Kind, name: &'static str) -> Result<()> {
        if self.peek()? == kind { Ok(()) } else { Err(self.error(Problem::Type(name))) }
    }

    /// Consumes the byte that a value called `name` begins with.
    #[inline]
    pub(super) fn open(&mut self, byte: u8, name: &'static str) -> Result<()> {
        if self.eat(byte) {
            return Ok(());
        }
        self.peek().and_then(|_| Err(self.error(Problem::Type(name))))
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        self.space();
        let there = self.byte() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(Problem::Depth));
        }
        Ok(())
    }

    /// Reads an object, handing every key to `entry`, which must consume
    /// exactly one value (with [`skip`](Reader::skip) if it knows no better).
    /// Keys are bytes, for [`same_key`]: they need not be UTF-8.
    pub fn object<E: From<JsonError>>(
        &mut self,
        mut entry: impl FnMut(&[u8], &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{', "an object")?;
        self.enter()?;
        if !self.eat(b'}') {
            loop {
                if !self.eat(b'"') {
                    return Err(self.error(Problem::Syntax).into());
                }
                let key = self.behind_quote()?;
                if !self.eat(b':') {
                    return Err(self.error(Problem::Syntax).into());
                }
                entry(&key, self)?;
                if self.eat(b',') {
                    continue;
                }
                if self.eat(b'}') {
                    break;
                }
                return Err(self.error(Problem::Syntax).into());
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array, calling `item` at every element; it must consume exactly
    /// one value.
    pub fn array<E: From<JsonError>>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'[', "an array")?;
        self.enter()?;
        if !self.eat(b']') {
            loop {
                item(self)?;
                if self.eat(b',') {
                    continue;
                }
                if self.eat(b']') {
                    break;
                }
                return Err(self.error(Problem::Syntax).into());
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads `null` if it is next.
    #[inline]
    pub fn null(&mut self) -> Result<bool> {
        self.space();
        if self.byte() != Some(b'n') {
            return Ok(false);
        }
        self.literal(b"null")?;
        Ok(true)
    }

    fn literal(&mut self, word: &[u8]) -> Result<()> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.error(Problem::Syntax))
    }

    /// Reads an integer. Plain digits only: `60.0` and `6e1` are refused, as
    /// the original does.
    pub fn integer(&mut self) -> Result<i64> {
        self.expect(Kind::Number, "an integer")?;
        let start = self.at;
        let plain = self.number()?;
        let digits = self.text.get(start..self.at).unwrap_or_default();
        let at = |problem| JsonError { at: start, problem };
        if !plain {
            return Err(at(Problem::Type("an integer")));
        }
        let text = std::str::from_utf8(digits).map_err(|_| at(Problem::Syntax))?;
        text.parse().map_err(|_| at(Problem::Range))
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool> {
        self.expect(Kind::Bool, "a boolean")?;
        let truth = self.byte() == Some(b't');
        self.literal(if truth { b"true" } else { b"false" })?;
        Ok(truth)
    }

    /// Reads a number as a double, which is infinite when it is too large, and
    /// as an integer if it is written as one and fits.
    pub(super) fn number_value(&mut self) -> Result<(f64, Option<i64>)> {
        self.expect(Kind::Number, "a number")?;
        let start = self.at;
        let plain = self.number()?;
        let text = self.text.get(start..self.at).and_then(|digits| std::str::from_utf8(digits).ok());
        let double = text.and_then(|text| text.parse().ok());
        let integer = text.filter(|_| plain).and_then(|text| text.parse().ok());
        let double = double.ok_or(JsonError { at: start, problem: Problem::Syntax })?;
        Ok((double, integer))
    }

    /// Consumes a number; true when it has neither fraction nor exponent.
    fn number(&mut self) -> Result<bool> {
        let mut plain = true;
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.error(Problem::Syntax)),
        }
        if self.byte() == Some(b'.') {
            plain = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            plain = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(plain)
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at == start { Err(self.error(Problem::Syntax)) } else { Ok(()) }
    }

    /// The text of the next value, which is JSON; nothing is consumed.
    pub fn ahead(&mut self) -> Result<&'a [u8]> {
        let (at, depth) = (self.at, self.depth);
        self.skip()?;
        let end = std::mem::replace(&mut self.at, at);
        self.depth = depth;
        Ok(self.text.get(at..end).unwrap_or_default())
    }

    /// Consumes any value, checking that it is JSON.
    pub fn skip(&mut self) -> Result<()> {
        match self.peek()? {
            Kind::Object => self.object(|_, r| r.skip()),
            Kind::Array => self.array(|r| r.skip()),
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Null => self.literal(b"null"),
            Kind::Bool if self.byte() == Some(b't') => self.literal(b"true"),
            Kind::Bool => self.literal(b"false"),
        }
    }

    /// Checks that nothing but space is left.
    pub fn end(&mut self) -> Result<()> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.error(Problem::Trailing)) }
    }
}

/// Whether a received key is `name` for a peer: equal without regard to case,
/// where the long s and the Kelvin sign count as `s` and `k`.
#[inline]
pub fn same_key(key: &[u8], name: &str) -> bool {
    key == name.as_bytes() || key.len() >= name.len() && other_spelling(key, name)
}

fn other_spelling(key: &[u8], name: &str) -> bool {
    // Signs of several bytes stand for letters of one, so a longer key can be
    // the same, and one of the same length has to be letter by letter.
    if key.len() == name.len() || key.is_ascii() {
        return key.eq_ignore_ascii_case(name.as_bytes());
    }
    let fold = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    // what is no UTF-8 reads as signs that no name has
    std::str::from_utf8(key).is_ok_and(|key| key.chars().map(fold).eq(name.chars().map(fold)))
}
