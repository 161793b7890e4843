//! Values for where a tree is wanted: facts and RPC bodies.

use serde_json::{Map, Number, Value};

use super::reader::{JsonError, Kind, Problem, Reader};
use super::string::decode_utf8;

/// What numbers become in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Doubles, as the original reads facts.
    Doubles,
    /// Integers where a whole number fits 64 bits, however it is written;
    /// doubles elsewhere.
    Exact,
}

impl Reader<'_> {
    /// Reads any value into a tree. A number too large for a double is an
    /// error.
    pub fn value(&mut self, numbers: Numbers) -> Result<Value, JsonError> {
        Ok(match self.peek()? {
            Kind::Null => {
                self.skip()?;
                Value::Null
            }
            Kind::Bool => Value::Bool(self.boolean()?),
            Kind::String => Value::String(self.string()?.into_owned()),
            Kind::Number => {
                let at = self.offset();
                let (double, integer) = self.number_value()?;
                let number = match (numbers, integer, whole(double)) {
                    (Numbers::Exact, Some(integer), _) | (Numbers::Exact, None, Some(integer)) => {
                        Some(Number::from(integer))
                    }
                    _ => Number::from_f64(double),
                };
                Value::Number(number.ok_or(JsonError { at, problem: Problem::Range })?)
            }
            Kind::Array => {
                let mut items = Vec::new();
                self.array(|reader| {
                    items.push(reader.value(numbers)?);
                    Ok::<(), JsonError>(())
                })?;
                Value::Array(items)
            }
            Kind::Object => {
                let mut map = Map::new();
                self.object(|key, reader| {
                    let key = decode_utf8(key).into_owned();
                    map.insert(key, reader.value(numbers)?);
                    Ok::<(), JsonError>(())
                })?;
                Value::Object(map)
            }
        })
    }
}

/// The integer a double is, if it is one.
fn whole(double: f64) -> Option<i64> {
    let fits = double.fract() == 0.0
        && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&double);
    fits.then_some(double as i64)
}

/// Reads a whole document into a tree.
pub fn read_value(document: &[u8], numbers: Numbers) -> Result<Value, JsonError> {
    let mut reader = Reader::new(document);
    let value = reader.value(numbers)?;
    reader.end()?;
    Ok(value)
}
