//! Where a consumer of a stream delivers (spec 06 §15.6): the engine publishes there what it stores, with no rights of
//! its maker's, so it has to be a place where the maker may hear or publish itself.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Longest request that is looked into; consumers are made by far less.
const LONGEST: usize = 16 * 1024;

/// Whether a message makes a consumer.
pub fn makes(subject: &[u8]) -> bool {
    let after = |part: &[u8]| subject.windows(part.len()).any(|window| window == part);
    subject.starts_with(b"$JS.") && (after(b".CONSUMER.CREATE.") || after(b".CONSUMER.DURABLE.CREATE."))
}

/// Subjects it would deliver to, by whatever reading of the request; none where it cannot be read.
pub fn deliveries(request: &[u8]) -> Option<Vec<String>> {
    if request.len() > LONGEST {
        return None;
    }
    let mut found = vec![];
    let mut json = serde_json::Deserializer::from_slice(request);
    Walk { found: &mut found, within: false }.deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(found)
}

/// Whether the engine takes a member for the subject: it looks at neither case nor at letters that are folded into
/// one another, and takes the last of several.
fn names_it(key: &str) -> bool {
    let folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    folded.eq("deliver_subject".chars())
}

/// Goes through a document, and keeps texts of members of that name.
struct Walk<'f> {
    found: &'f mut Vec<String>,
    within: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, of: D) -> Result<(), D::Error> {
        of.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.within {
            self.found.push(text.to_owned());
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<Cow<'_, str>>()? {
            let within = self.within || names_it(&key);
            members.next_value_seed(Walk { found: self.found, within })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk { found: self.found, within: self.within })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_are_made_by_these() {
        for (subject, does) in [
            ("$JS.API.CONSUMER.CREATE.S", true),
            ("$JS.API.CONSUMER.CREATE.S.name.filter.x", true),
            ("$JS.API.CONSUMER.DURABLE.CREATE.S.name", true),
            ("$JS.hub.API.CONSUMER.CREATE.S", true),
            ("$JS.API.CONSUMER.MSG.NEXT.S.name", false),
            ("$JS.API.CONSUMER.INFO.S.CREATE", false),
            ("x.CONSUMER.CREATE.S", false),
        ] {
            assert_eq!(makes(subject.as_bytes()), does, "{subject}");
        }
    }

    #[test]
    fn places_are_found_whatever_they_are_called() {
        for (request, expected) in [
            ("{}", Some(vec![])),
            (
                r#"{"stream_name":"S","config":{"deliver_subject":"a.b","deliver_policy":"all"}}"#,
                Some(vec!["a.b"]),
            ),
            (
                r#"{"config":{"Deliver_Subject":"a","deliver_subject":"b"},"config":{"DELIVER_SUBJECT":"c"}}"#,
                Some(vec!["a", "b", "c"]),
            ),
            ("{\"deliver_\u{17f}ubject\":\"a\"}", Some(vec!["a"])),
            (r#"{"deliver\u005fsubject":"a"}"#, Some(vec!["a"])),
            (r#"{"config":[{"deliver_subject":["a",{"x":"b"}]}]}"#, Some(vec!["a", "b"])),
            (r#"{"description":"deliver_subject","n":[1,-1,1.5,true,null]}"#, Some(vec![])),
            (r#"{"config":{"#, None),
            (r#"{} {"deliver_subject":"a"}"#, None),
            ("", None),
        ] {
            let found = deliveries(request.as_bytes());
            let expected = expected.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found, expected, "{request}");
        }
        assert_eq!(deliveries(&vec![b' '; LONGEST + 1]), None);
        assert_eq!(deliveries("[".repeat(10_000).as_bytes()), None);
    }

    #[test]
    fn fuzz_requests_of_anybody() {
        bolero::check!().with_iterations(5_000).for_each(|bytes: &[u8]| {
            let _ = deliveries(bytes);
        });
    }
}
