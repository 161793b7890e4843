//! A filter inside a request.

use super::{CompoundEntry, FactFilter, FactOperator, Filter, MAX_NAMES};
use crate::core::protocol::json::{JsonError, Problem, Reader, decode_utf8, push_string, same_key};

/// Reads a filter, holding it to the schema: all lists but `agent` are
/// required, none is null, facts have a name, a known operator and a value.
pub(crate) fn read_filter(reader: &mut Reader<'_>) -> Result<Filter, JsonError> {
    let mut filter = Filter::default();
    let mut seen = [false; 4];
    let start = reader.offset();
    reader.object(|key, reader| {
        let exact = |n: usize, name: &str, seen: &mut [bool; 4]| {
            if key == name.as_bytes() {
                seen[n] = true;
            }
        };
        if same_key(key, "fact") {
            exact(0, "fact", &mut seen);
            filter.fact = list(reader, read_fact)?;
        } else if same_key(key, "cf_class") {
            exact(1, "cf_class", &mut seen);
            filter.cf_class = list(reader, text)?;
        } else if same_key(key, "agent") {
            filter.agent = list(reader, text)?;
        } else if same_key(key, "identity") {
            exact(2, "identity", &mut seen);
            filter.identity = list(reader, text)?;
        } else if same_key(key, "compound") {
            exact(3, "compound", &mut seen);
            filter.compound = list(reader, |reader| list(reader, read_entry))?;
        } else {
            reader.skip()?;
        }
        Ok::<(), JsonError>(())
    })?;
    if seen != [true; 4] {
        let problem = Problem::Rule("a filter needs the lists fact, cf_class, identity and compound");
        return Err(JsonError { at: start, problem });
    }
    Ok(filter)
}

fn text(reader: &mut Reader<'_>) -> Result<String, JsonError> {
    Ok(reader.string()?.into_owned())
}

fn list<T>(
    reader: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, JsonError>,
) -> Result<Vec<T>, JsonError> {
    let mut items = Vec::new();
    reader.array(|reader| {
        if items.len() == MAX_NAMES {
            return Err(reader.error(Problem::Rule("a list of a filter is longer than 10000")));
        }
        items.push(item(reader)?);
        Ok::<(), JsonError>(())
    })?;
    Ok(items)
}

fn read_fact(reader: &mut Reader<'_>) -> Result<FactFilter, JsonError> {
    let (mut fact, mut operator, mut value) = (None, None, None);
    reader.object(|key, reader| {
        match key {
            b"fact" => fact = Some(text(reader)?),
            b"operator" => {
                let wire = reader.string()?;
                let unknown = Problem::Rule("a fact filter has an unknown operator");
                operator = Some(FactOperator::from_wire(&wire).ok_or_else(|| reader.error(unknown))?);
            }
            b"value" => value = Some(text(reader)?),
            _ => reader.skip()?,
        }
        Ok::<(), JsonError>(())
    })?;
    match (fact, operator, value) {
        (Some(fact), Some(operator), Some(value)) if !fact.is_empty() && !value.is_empty() => {
            Ok(FactFilter { fact, operator, value })
        }
        _ => Err(reader.error(Problem::Rule("a fact filter needs a fact, an operator and a value"))),
    }
}

fn read_entry(reader: &mut Reader<'_>) -> Result<CompoundEntry, JsonError> {
    let mut entry = CompoundEntry::default();
    reader.object(|key, reader| {
        let key = decode_utf8(key).into_owned();
        let value = if reader.null()? { String::new() } else { text(reader)? };
        entry.0.insert(key, value);
        Ok::<(), JsonError>(())
    })?;
    Ok(entry)
}

impl Filter {
    /// Appends the wire form: always all five lists.
    pub(crate) fn push_json(&self, out: &mut String) {
        out.push_str("{\"fact\":");
        push_list(out, &self.fact, |out, fact| {
            out.push_str("{\"fact\":");
            push_string(out, &fact.fact);
            out.push_str(",\"operator\":");
            push_string(out, fact.operator.as_str());
            out.push_str(",\"value\":");
            push_string(out, &fact.value);
            out.push('}');
        });
        for (key, names) in
            [("cf_class", &self.cf_class), ("agent", &self.agent), ("identity", &self.identity)]
        {
            out.push_str(",\"");
            out.push_str(key);
            out.push_str("\":");
            push_list(out, names, |out, name| push_string(out, name));
        }
        out.push_str(",\"compound\":");
        push_list(out, &self.compound, |out, entries| {
            push_list(out, entries, |out, entry| {
                out.push('{');
                for (i, (key, value)) in entry.0.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    push_string(out, key);
                    out.push(':');
                    push_string(out, value);
                }
                out.push('}');
            });
        });
        out.push('}');
    }

    /// The wire form on its own.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        self.push_json(&mut out);
        out
    }
}

fn push_list<T>(out: &mut String, items: &[T], mut push: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(']');
}
