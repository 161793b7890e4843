//! Values for where a tree is wanted: facts and RPC bodies.

use serde_json::{Map, Number, Value};

use super::reader::{JsonError, Kind, Problem, Reader};

impl Reader<'_> {
    /// Reads any value into a tree. Numbers become doubles, as in the
    /// original; one too large for a double is an error.
    pub fn value(&mut self) -> Result<Value, JsonError> {
        Ok(match self.peek()? {
            Kind::Null => {
                self.skip()?;
                Value::Null
            }
            Kind::Bool => Value::Bool(self.boolean()?),
            Kind::String => Value::String(self.string()?.into_owned()),
            Kind::Number => {
                let at = self.offset();
                let double = self.double()?;
                Value::Number(Number::from_f64(double).ok_or(JsonError { at, problem: Problem::Range })?)
            }
            Kind::Array => {
                let mut items = Vec::new();
                self.array(|reader| {
                    items.push(reader.value()?);
                    Ok::<(), JsonError>(())
                })?;
                Value::Array(items)
            }
            Kind::Object => {
                let mut map = Map::new();
                self.object(|key, reader| {
                    let key = key.to_owned();
                    map.insert(key, reader.value()?);
                    Ok::<(), JsonError>(())
                })?;
                Value::Object(map)
            }
        })
    }
}

/// Reads a whole document into a tree, numbers as doubles.
pub fn read_value(document: &[u8]) -> Result<Value, JsonError> {
    let mut reader = Reader::new(document);
    let value = reader.value()?;
    reader.end()?;
    Ok(value)
}
