//! What the layers share: bounds, key matching, and reading a document whole.

use std::borrow::Cow;

use crate::core::protocol::json::{JsonError, Place, Reader, Scratch, same_key};
use crate::core::protocol::{DecodeError, Layer};

/// A key of an object being read: its value, and whether it was spelled
/// exactly. Peers take any case, their schemas only the exact spelling, so a
/// request needs every key once in exact spelling while the last one of any
/// case is the one that counts (spec 01 §4).
pub(super) struct Field<T> {
    key: &'static str,
    value: Option<T>,
    exact: bool,
}

impl<T> Field<T> {
    pub(super) fn new(key: &'static str) -> Field<T> {
        Field { key, value: None, exact: false }
    }

    /// Whether a received key means this field.
    #[inline]
    pub(super) fn is(&mut self, key: &[u8]) -> bool {
        if key == self.key.as_bytes() {
            self.exact = true;
            return true;
        }
        same_key(key, self.key)
    }

    pub(super) fn set(&mut self, value: T) -> Result<(), JsonError> {
        self.value = Some(value);
        Ok(())
    }

    /// The value, if the key was there in its exact spelling.
    pub(super) fn required(self, layer: Layer) -> Result<T, DecodeError> {
        match self.value {
            Some(value) if self.exact => Ok(value),
            _ => Err(DecodeError::Missing { layer, key: self.key }),
        }
    }

    /// The value, whatever the case of its key.
    pub(super) fn optional(self) -> Option<T> {
        self.value
    }
}

impl Field<String> {
    /// Text that must be there and may not be empty.
    pub(super) fn filled(self, layer: Layer) -> Result<String, DecodeError> {
        let key = self.key;
        let text = self.required(layer)?;
        if text.is_empty() {
            return Err(DecodeError::Rule { layer, key, rule: "must not be empty" });
        }
        Ok(text)
    }
}

/// Owned text.
pub(super) fn text(reader: &mut Reader<'_>) -> Result<String, JsonError> {
    Ok(reader.string()?.into_owned())
}

/// Text, or nothing for `null`: what layers without a schema do.
pub(super) fn lenient<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, JsonError> {
    if reader.null()? { Ok(Cow::Borrowed("")) } else { reader.string() }
}

/// The same into the scratch of whoever reads many, see [`Reader::string_in`].
pub(super) fn lenient_in<'a>(reader: &mut Reader<'a>, scratch: &mut Scratch) -> Result<Place<'a>, JsonError> {
    if reader.null()? { Ok(Place::default()) } else { reader.string_in(scratch) }
}

/// The same, owned.
pub(super) fn lenient_text(reader: &mut Reader<'_>) -> Result<String, JsonError> {
    lenient(reader).map(Cow::into_owned)
}

/// Reads `document` as exactly one value of `layer`.
pub(super) fn whole<'a, T>(
    layer: Layer,
    document: &'a [u8],
    limit: usize,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, JsonError>,
) -> Result<T, DecodeError> {
    if document.len() > limit {
        return Err(DecodeError::TooLarge { layer, size: document.len(), limit });
    }
    let mut reader = Reader::new(document);
    let value = read(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|source| DecodeError::Json { layer, source })
}
