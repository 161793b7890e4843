//! Strings: escapes, surrogates, and bytes that are no UTF-8.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::reader::{Problem, Reader, Result};

/// Where the escapes of one string a document are resolved. Whoever reads many
/// documents uses it again, which saves an allocation each.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Vec<u8>,
    repaired: String,
}

/// A string that was read with a [`Scratch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// These bytes of the document.
    Document(&'a [u8]),
    /// So many bytes from the start of the scratch.
    Scratch(usize),
}

/// No text.
impl Default for Place<'_> {
    fn default() -> Self {
        Place::Document(b"")
    }
}

impl<'a> Place<'a> {
    /// The text, when it was read with `scratch`. Every byte that is no UTF-8 is
    /// U+FFFD.
    pub fn text(self, scratch: &'a mut Scratch) -> &'a str {
        let bytes = match self {
            Place::Document(bytes) => bytes,
            Place::Scratch(length) => scratch.bytes.get(..length).unwrap_or_default(),
        };
        match decode_utf8(bytes) {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => {
                scratch.repaired = text;
                &scratch.repaired
            }
        }
    }
}

impl<'a> Reader<'a> {
    /// Reads a string. Borrowed when it holds neither escapes nor broken UTF-8.
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        Ok(match self.string_bytes()? {
            Cow::Borrowed(bytes) => decode_utf8(bytes),
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Cow::Owned(text),
                Err(e) => Cow::Owned(decode_utf8(e.as_bytes()).into_owned()),
            },
        })
    }

    /// Reads a string for who looks at each byte anyway: it need not be UTF-8.
    pub fn string_bytes(&mut self) -> Result<Cow<'a, [u8]>> {
        self.open(b'"', "a string")?;
        self.behind_quote()
    }

    /// Reads a string whose first quote was read.
    pub(super) fn behind_quote(&mut self) -> Result<Cow<'a, [u8]>> {
        let first = self.plain_run()?;
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(first));
        }
        self.escaped(first).map(Cow::Owned)
    }

    /// The whole of a string that begins with `first` and an escape.
    #[inline(never)]
    fn escaped(&mut self, first: &[u8]) -> Result<Vec<u8>> {
        // Escapes only ever shrink, so what is read fits between the quotes.
        let mut text = vec![0; first.len() + self.until_quote()];
        let length = self.unescape(first, &mut text)?;
        text.truncate(length);
        Ok(text)
    }

    /// Reads a string into `scratch` where it has escapes.
    pub fn string_in(&mut self, scratch: &mut Scratch) -> Result<Place<'a>> {
        self.open(b'"', "a string")?;
        let first = self.plain_run()?;
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Place::Document(first));
        }
        let most = first.len() + self.text.len() - self.at;
        // as large as the largest so far, but one giant is not remembered for ever
        let wanted = most.max(scratch.bytes.len().min(SCRATCH));
        if scratch.bytes.len() != wanted {
            scratch.bytes.resize(wanted, 0);
            scratch.bytes.shrink_to(wanted.max(SCRATCH));
        }
        self.unescape(first, &mut scratch.bytes).map(Place::Scratch)
    }

    /// Writes `first` and the rest of the string, escapes resolved, to the start
    /// of `out`, which is no shorter than what is left; its length.
    fn unescape(&mut self, first: &[u8], out: &mut [u8]) -> Result<usize> {
        let mut to = first.len();
        if let Some(place) = out.get_mut(..to) {
            place.copy_from_slice(first);
        }
        while self.byte() == Some(b'\\') {
            let letter = self.text.get(self.at + 1).copied().unwrap_or_default();
            to += match (ESCAPED[usize::from(letter)], out.get_mut(to)) {
                (byte @ 1.., Some(place)) => {
                    *place = byte;
                    self.at += 2;
                    1
                }
                _ => self.unicode(out.get_mut(to..).unwrap_or_default())?,
            };
            // two in a row, as in documents inside documents inside documents
            if self.byte() != Some(b'\\') {
                to += self.copy_run(out.get_mut(to..).unwrap_or_default());
            }
        }
        if self.byte() != Some(b'"') {
            return Err(self.error(Problem::Syntax));
        }
        self.at += 1;
        Ok(to)
    }

    /// Copies what comes before the next quote, backslash or control character;
    /// how much that was.
    ///
    /// Whole words, of which more is written than counts: documents inside
    /// documents have a backslash every few bytes.
    #[inline]
    fn copy_run(&mut self, out: &mut [u8]) -> usize {
        let text = self.text.get(self.at..).unwrap_or_default();
        let mut done = 0;
        while let Some(word) = text.get(done..).and_then(<[u8]>::first_chunk::<8>)
            && let Some(place) = out.get_mut(done..).and_then(<[u8]>::first_chunk_mut::<8>)
        {
            *place = *word;
            let ends = special(u64::from_le_bytes(*word));
            if ends != 0 {
                done += ends.trailing_zeros() as usize / 8;
                self.at += done;
                return done;
            }
            done += 8;
        }
        while let (Some(byte), Some(place)) = (text.get(done), out.get_mut(done))
            && !matches!(byte, b'"' | b'\\' | 0..0x20)
        {
            *place = *byte;
            done += 1;
        }
        self.at += done;
        done
    }

    /// The bytes up to the next quote or backslash, which is left in place.
    ///
    /// Eight bytes at a time: documents inside documents have a backslash every
    /// few bytes, where a search that has to be set up first costs more. It pays
    /// once a run is long.
    #[inline]
    fn plain_run(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        while let Some(word) = self.text.get(self.at..).and_then(<[u8]>::first_chunk) {
            let ends = special(u64::from_le_bytes(*word));
            if ends != 0 {
                self.at += ends.trailing_zeros() as usize / 8;
                break;
            }
            self.at += 8;
            if self.at - start == SHORT {
                self.long_run();
                break;
            }
        }
        while let Some(byte) = self.byte() {
            match byte {
                b'"' | b'\\' => return Ok(self.text.get(start..self.at).unwrap_or_default()),
                0..0x20 => break,
                _ => self.at += 1,
            }
        }
        Err(self.error(Problem::Syntax))
    }

    /// On to the quote, backslash or control character that ends a long run.
    #[inline(never)]
    fn long_run(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let run = rest.get(..memchr2(b'"', b'\\', rest).unwrap_or(rest.len())).unwrap_or_default();
        let (words, last) = run.as_chunks::<8>();
        let control = words.iter().fold(0, |seen, word| {
            let word = u64::from_le_bytes(*word);
            seen | below_space(word)
        });
        if control == 0 && last.iter().all(|b| *b >= b' ') {
            self.at += run.len();
        }
    }

    /// How far the quote is that ends this string, at most the rest of the text.
    fn until_quote(&self) -> usize {
        let mut rest = self.text.get(self.at..).unwrap_or_default();
        let mut length = 0;
        while let Some(quote) = memchr(b'"', rest) {
            let (before, after) = rest.split_at(quote);
            length += quote;
            let backslashes = before.iter().rev().take_while(|b| **b == b'\\').count();
            if backslashes % 2 == 0 {
                return length;
            }
            length += 1;
            rest = after.get(1..).unwrap_or_default();
        }
        length + rest.len()
    }

    /// Writes what an escape of numbers stands for to the start of `out`; how many
    /// bytes that are. Any other is an error.
    #[inline(never)]
    fn unicode(&mut self, out: &mut [u8]) -> Result<usize> {
        self.at += 1;
        let number = self.byte() == Some(b'u');
        self.at += usize::from(self.byte().is_some());
        let unit = self.hex4().filter(|_| number).ok_or_else(|| self.error(Problem::Syntax))?;
        self.at += 4;
        let mut buffer = [0; 4];
        let bytes = self.unit(unit).encode_utf8(&mut buffer).as_bytes();
        let place = out.get_mut(..bytes.len()).ok_or_else(|| self.error(Problem::Syntax))?;
        place.copy_from_slice(bytes);
        Ok(bytes.len())
    }

    /// A UTF-16 unit, joined with its partner if that follows. One without a
    /// partner reads as U+FFFD and leaves what follows alone.
    fn unit(&mut self, unit: u16) -> char {
        if let Some(c) = char::from_u32(u32::from(unit)) {
            return c;
        }
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(b"\\u")) {
            self.at += 2;
            if let Some(low) = self.hex4()
                && let Some(Ok(c)) = char::decode_utf16([unit, low]).next()
            {
                self.at += 4;
                return c;
            }
            self.at -= 2;
        }
        char::REPLACEMENT_CHARACTER
    }

    fn hex4(&self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at.checked_add(4)?)?;
        digits.iter().try_fold(0u16, |sum, d| Some(sum << 4 | (*d as char).to_digit(16)? as u16))
    }
}

/// The upper bit of the first of the eight bytes that does not stand for itself
/// in a string: a control character, a quote or a backslash. Bits above it may
/// be the borrow of a subtraction.
#[inline]
fn special(word: u64) -> u64 {
    below_space(word) | has(word, b'"') | has(word, b'\\')
}

/// The upper bit of each of the eight bytes that is less than a space.
#[inline]
fn below_space(word: u64) -> u64 {
    word.wrapping_sub(EACH * 0x20) & !word & (EACH * 0x80)
}

/// The upper bit of each of the eight bytes that is this one.
#[inline]
fn has(word: u64, byte: u8) -> u64 {
    let zero = word ^ (EACH * u64::from(byte));
    zero.wrapping_sub(EACH) & !zero & (EACH * 0x80)
}

/// Bytes of a scratch that are kept for the next document.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// What the letter of an escape stands for, 0 where it is none of one byte.
const ESCAPED: [u8; 256] = {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table[b'b' as usize] = 0x8;
    table[b'f' as usize] = 0xc;
    table[b'n' as usize] = b'\n';
    table[b'r' as usize] = b'\r';
    table[b't' as usize] = b'\t';
    table
};

/// Bytes of a run that are looked at word by word.
const SHORT: usize = 32;

/// A one in each of eight bytes.
const EACH: u64 = 0x0101_0101_0101_0101;

/// UTF-8, every byte that is none read as one U+FFFD.
#[inline]
pub(crate) fn decode_utf8(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Option<String> {
        let mut reader = Reader::new(text);
        let string = reader.string().ok()?.into_owned();
        reader.end().ok().map(|()| string)
    }

    /// The string that a document begins with.
    fn prefix(text: &[u8]) -> Option<String> {
        Reader::new(text).string().ok().map(Cow::into_owned)
    }

    /// Pieces that meet at every place of a word of eight bytes.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => "[ -!#-\\[\\]-~]{0,20}".prop_map(String::into_bytes),
            4 => prop::sample::select(vec!["\\\"", "\\\\", "\\/", "\\n", "\\u00e9", "\\ud83d\\ude00", "é", "\u{7f}", "😀"])
                .prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::sample::select(vec![b"\"".to_vec(), b"\\".to_vec(), b"\x1f".to_vec(), b"\n".to_vec(), b"\x00".to_vec()]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn strings_read_as_another_reader_reads_them(pieces in prop::collection::vec(piece(), 0..12)) {
            let text = [b"\"".to_vec(), pieces.concat(), b"\"".to_vec()].concat();
            let mut scratch = Scratch { bytes: vec![b'x'; 40], repaired: String::new() };
            let place = Reader::new(&text).string_in(&mut scratch);
            prop_assert_eq!(place.ok().map(|place| place.text(&mut scratch).to_owned()), prefix(&text));
            let (ours, theirs) = (read(&text), serde_json::from_slice::<String>(&text).ok());
            // it refuses half of a pair, which peers write
            let half = ours.as_ref().is_some_and(|text| text.contains(char::REPLACEMENT_CHARACTER));
            prop_assert!(ours == theirs || half && theirs.is_none(), "{:?} {:?}", ours, theirs);
        }

        #[test]
        fn broken_text_is_repaired_alike_wherever_it_is_read_to(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for escape in [&b""[..], b"\\n"] {
                let text = [b"\"", &bytes[..], escape, &bytes[..], b"\""].concat();
                let mut scratch = Scratch::default();
                let place = Reader::new(&text).string_in(&mut scratch);
                prop_assert_eq!(place.ok().map(|place| place.text(&mut scratch).to_owned()), prefix(&text));
            }
        }

        #[test]
        fn a_scratch_forgets_giants(lengths in prop::collection::vec(0_usize..300_000, 0..6)) {
            let mut scratch = Scratch::default();
            for length in lengths.into_iter().chain([1]) {
                let text = format!("\"\\n{}\"", "x".repeat(length));
                let place = Reader::new(text.as_bytes()).string_in(&mut scratch);
                prop_assert_eq!(place.map(|place| place.text(&mut scratch).len()), Ok(length + 1));
            }
            prop_assert!(scratch.bytes.capacity() <= SCRATCH);
        }

        #[test]
        fn no_string_takes_more_than_its_text(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = [b"\"\\n".to_vec(), bytes].concat();
            if let Ok(Cow::Owned(read)) = Reader::new(&text).string_bytes() {
                prop_assert!(read.capacity() <= text.len());
            }
        }
    }
}
