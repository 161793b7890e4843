//! Bytes of an index: texts that many nodes share stand once, and each node has a number.
//!
//! All numbers are 32 bits, little end first. What is read may be anything: every length is
//! looked at before it is believed.

use std::collections::HashMap;

/// The number of a node that has no value.
pub const NONE: u32 = u32::MAX;

/// One value for each node, or none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Different values.
    pub values: Vec<Vec<u8>>,
    /// Of each node the place of its value, or [`NONE`].
    pub of: Vec<u32>,
}

/// A column that is being made.
#[derive(Debug, Default)]
pub struct Making {
    places: HashMap<Vec<u8>, u32>,
    column: Column,
}

impl Making {
    /// Gives the next node, whose number is `node`, a value. Those in between have none.
    pub fn put(&mut self, node: usize, value: Vec<u8>) {
        self.column.of.resize(node, NONE);
        let next = u32::try_from(self.column.values.len()).unwrap_or(NONE);
        let place = *self.places.entry(value).or_insert_with_key(|value| {
            self.column.values.push(value.clone());
            next
        });
        self.column.of.push(place);
    }

    /// The column of so many nodes.
    pub fn finish(mut self, nodes: usize) -> Column {
        self.column.of.resize(nodes, NONE);
        self.column
    }
}

impl Column {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![];
        let mut number = |number: usize| out.extend(u32::try_from(number).unwrap_or(NONE).to_le_bytes());
        number(self.values.len());
        self.values.iter().for_each(|value| number(value.len()));
        self.values.iter().for_each(|value| out.extend(value));
        self.of.iter().for_each(|place| out.extend(place.to_le_bytes()));
        out
    }

    /// The column of so many nodes in these bytes; nothing where they are none.
    pub fn decode(bytes: &[u8], nodes: usize) -> Option<Column> {
        let (count, rest) = number(bytes)?;
        let lengths = rest.get(..count.checked_mul(4)?)?;
        let mut rest = rest.get(lengths.len()..)?;
        let mut values = Vec::with_capacity(count);
        for length in numbers(lengths) {
            let (value, behind) = rest.split_at_checked(length as usize)?;
            values.push(value.to_vec());
            rest = behind;
        }
        if rest.len() != nodes.checked_mul(4)? {
            return None;
        }
        let of: Vec<u32> = numbers(rest).collect();
        of.iter()
            .all(|place| *place == NONE || (*place as usize) < values.len())
            .then_some(Column { values, of })
    }

    /// The same nodes with of each value what `below` makes of it, which is few different ones where
    /// many values differ in what nobody asks for.
    pub fn narrowed(&self, below: &(dyn Fn(&[u8]) -> Vec<u8> + Sync)) -> Option<Column> {
        let mut places: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut values = vec![];
        let of_value: Vec<u32> = on_all_processors(&self.values, &|value: &Vec<u8>| below(value))?
            .into_iter()
            .map(|value| {
                let next = u32::try_from(values.len()).unwrap_or(NONE);
                *places.entry(value).or_insert_with_key(|value| {
                    values.push(value.clone());
                    next
                })
            })
            .collect();
        let of = self.of.iter().map(|place| of_value.get(*place as usize).copied().unwrap_or(NONE));
        Some(Column { of: of.collect(), values })
    }

    /// The value of a node.
    pub fn get(&self, node: usize) -> Option<&[u8]> {
        let place = *self.of.get(node)?;
        self.values.get(place as usize).map(Vec::as_slice)
    }
}

/// What a function makes of each item, in their order, made on all processors; nothing where it
/// panics.
pub fn on_all_processors<T: Sync, R: Send>(items: &[T], make: &(dyn Fn(&T) -> R + Sync)) -> Option<Vec<R>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(threads).max(256);
    std::thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(make).collect::<Vec<_>>()))
            .collect();
        let made: Option<Vec<Vec<R>>> = parts.into_iter().map(|part| part.join().ok()).collect();
        made.map(|made| made.into_iter().flatten().collect())
    })
}

/// Numbers as the value of a column.
pub fn set(numbers: impl IntoIterator<Item = u32>) -> Vec<u8> {
    numbers.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// The numbers in such a value.
pub fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.chunks_exact(4).map(|four| {
        let mut number = [0; 4];
        number.copy_from_slice(four);
        u32::from_le_bytes(number)
    })
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_at_checked(4)?;
    let number = numbers(first).next()?;
    Some((usize::try_from(number).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_back() {
        let mut making = Making::default();
        for (node, value) in [(1, "a"), (2, "b"), (5, "a"), (6, "")] {
            making.put(node, value.as_bytes().to_vec());
        }
        let column = making.finish(8);
        assert_eq!((column.values.len(), column.of.len()), (3, 8));
        let values: Vec<_> =
            (0..9).map(|node| column.get(node).map(|v| String::from_utf8_lossy(v).into_owned())).collect();
        let expected = [None, Some("a"), Some("b"), None, None, Some("a"), Some(""), None, None];
        assert_eq!(values, expected.map(|value| value.map(str::to_owned)));
        assert_eq!(Column::decode(&column.encode(), 8), Some(column));
        assert_eq!(Column::decode(&Column::default().encode(), 0), Some(Column::default()));
    }

    #[test]
    fn a_narrowed_column_has_the_same_nodes() {
        let mut making = Making::default();
        for (node, value) in [(1, "a1"), (2, "b1"), (3, "a2"), (5, "a1")] {
            making.put(node, value.as_bytes().to_vec());
        }
        let narrowed = making.finish(7).narrowed(&|value| value[..1].to_vec()).unwrap();
        assert_eq!(narrowed.values, [b"a", b"b"]);
        assert_eq!(narrowed.of, [NONE, 0, 1, 0, NONE, 0, NONE]);
    }

    #[test]
    fn whatever_is_read_is_a_column_or_none() {
        bolero::check!().with_type::<(Vec<u8>, u8)>().for_each(|(bytes, nodes)| {
            if let Some(column) = Column::decode(bytes, usize::from(*nodes)) {
                assert_eq!(column.encode(), *bytes);
            }
        });
    }
}
