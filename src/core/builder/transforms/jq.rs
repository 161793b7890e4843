//! Queries of jq.

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data};
use jaq_json::{Val, read};
use serde_json::Value;

use super::{MOST, sorted};
use crate::core::text::documents;

/// Results of one query.
const MOST_RESULTS: usize = 1_000_000;
/// Longest query.
const MOST_QUERY: usize = 64 << 10;
/// Words and signs of a query: each may be within the one before it.
const MOST_WORDS: usize = 8_000;
/// Stack on which a query is read: for so many words within one another, and taken as it is used.
const STACK: usize = 256 << 20;

/// Definitions beside those of the libraries.
const MORE: &str = include_str!("more.jq");

type Filter = jaq_core::Filter<data::JustLut<Val>>;

/// Whether a query would be run.
pub(super) fn check(query: &str) -> Result<(), String> {
    let query = query.to_owned();
    let reader = std::thread::Builder::new().name("query".to_owned()).stack_size(STACK);
    let reading = reader.spawn(move || compile(&query).map(drop));
    let reading = reading.map_err(|e| format!("the query cannot be looked at: {e}"))?;
    reading.join().unwrap_or_else(|_| Err("the query ended by a fault of this program".to_owned()))
}

/// Words and signs, those in texts too.
fn words(query: &str) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let count = |(count, before): (usize, bool), c: char| match (is_word(c), before) {
        (true, true) => (count, true),
        (false, _) if c.is_whitespace() => (count, false),
        (word, _) => (count + 1, word),
    };
    query.chars().fold((0, false), count).0
}

fn compile(query: &str) -> Result<Filter, String> {
    if query.len() > MOST_QUERY {
        return Err(format!("the query is longer than {MOST_QUERY} bytes"));
    }
    if words(query) > MOST_WORDS {
        return Err(format!("the query has more than {MOST_WORDS} words and signs"));
    }
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    // ours are parsed with each query; that they can be is tested
    let more = jaq_core::load::parse(MORE, |parser| parser.defs()).unwrap_or_default();
    let defs = defs.chain(more);
    let arena = Arena::default();
    let modules = Loader::new(defs).load(&arena, File { code: query, path: () });
    let modules = modules.map_err(|errors| {
        let first = errors.into_iter().next().map(|(_, e)| format!("{e:?}")).unwrap_or_default();
        format!("the query cannot be read: {}", crate::core::text::shortened(&first, 200))
    })?;
    Compiler::default().with_funs(funs).compile(modules).map_err(|errors| {
        let names: Vec<&str> = errors.iter().flat_map(|(_, all)| all).map(|(name, _)| *name).collect();
        format!("the query has what is not known: {}", names.join(", "))
    })
}

/// What a query makes of a document: texts as they are and all else as JSON, a line or more each.
pub(super) fn run(query: &str, input: &str, yaml: bool) -> Result<String, String> {
    let value: Value = match yaml {
        true => documents::yaml(input).map_err(|e| format!("jq takes YAML here: {e}"))?,
        false => serde_json::from_str(input).map_err(|e| format!("jq takes JSON, and this is none: {e}"))?,
    };
    let filter = compile(query)?;
    let input = read::parse_single(value.to_string().as_bytes()).map_err(|e| format!("jq: {e}"))?;
    let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
    let mut out = String::new();
    for (at, result) in filter.id.run((context, input)).enumerate() {
        let made = match result.map_err(|e| e.get_err()) {
            Ok(made) => made,
            Err(Ok(e)) => {
                return Err(format!(
                    "the query fails: {}",
                    crate::core::text::shortened(&e.to_string(), 500)
                ));
            }
            // what jaq would end this process by
            Err(Err(exception)) => match exception.get_halt() {
                Ok(0) => break,
                _ => return Err("the query halts with an error".to_owned()),
            },
        };
        out.push_str(&shown(&made.to_string()));
        out.push('\n');
        if at >= MOST_RESULTS || out.len() > MOST {
            return Err("the query makes more than any should".to_owned());
        }
    }
    Ok(out)
}

fn shown(json: &str) -> String {
    match serde_json::from_str(json) {
        Ok(Value::String(text)) => text,
        Ok(value) => format!("{:#}", sorted(value)),
        Err(_) => json.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread as transforms have.
    fn run(query: &str, input: &str, yaml: bool) -> Result<String, String> {
        let (query, input) = (query.to_owned(), input.to_owned());
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn(move || super::run(&query, &input, yaml)).unwrap().join().unwrap()
    }

    #[test]
    fn queries_make_what_they_always_made() {
        let document = r#"{"name":"James","n":[3,1,2],"big":12345678901234,"f":1.5,"o":{"b":1,"a":null}}"#;
        for (query, made) in [
            (".name", "James\n"),
            (".n[]", "3\n1\n2\n"),
            (".n|sort|join(\",\")", "1,2,3\n"),
            (
                ".n|map({(tostring): .})|reduce .[] as $a ({}; . + $a)",
                "{\n  \"1\": 1,\n  \"2\": 2,\n  \"3\": 3\n}\n",
            ),
            (".o", "{\n  \"a\": null,\n  \"b\": 1\n}\n"),
            (".big, .f", "12345678901234\n1.5\n"),
            (
                "if (.message|length) == 0 then \"The latest: \" + .name + \"\\n\" else \"no\" end",
                "The latest: James\n\n",
            ),
            ("empty", ""),
            (".name|test(\"^J\")", "true\n"),
            ("[.n[]|select(. > 1)]|length", "2\n"),
            ("0|todate", "1970-01-01T00:00:00Z\n"),
        ] {
            assert_eq!(run(query, document, false).as_deref(), Ok(made), "{query}");
        }
        assert_eq!(run(".a.b", "a:\n  b: x\n", true).as_deref(), Ok("x\n"));
        for wrong in [".a.b.c | error", "nosuch(1)", "{", ".name.x", "\"a", &"(".repeat(5000)] {
            assert!(run(wrong, document, false).is_err(), "{wrong}");
        }
        assert!(run(".", "{", false).is_err());
        assert!(check("nosuch").unwrap_err().contains("nosuch"));
        assert!(run("range(100000000000)", "null", false).unwrap_err().contains("more than any should"));
    }

    #[test]
    fn words_that_people_use_are_there() {
        assert!(jaq_core::load::parse(MORE, |parser| parser.defs()).is_some_and(|defs| defs.len() == 10));
        for (query, made) in [
            ("[\"a\\\"b\", 1, null, true]|@csv", "\"a\"\"b\",1,,true\n"),
            ("[\"a\\tb\\\\\", 1]|@tsv", "a\\tb\\\\\t1\n"),
            ("[1,5]|map(IN(1,2))|join(\",\")", "true,false\n"),
            ("IN(1,2;2,3), IN(1;2)", "true\nfalse\n"),
            ("[{\"id\":7}]|INDEX(.id)|keys[]", "7\n"),
            ("65|ascii", "A\n"),
            ("1|toarray[]", "1\n"),
            ("\"axa\"|trimstr(\"a\")", "x\n"),
            ("[{\"a\":{\"b\":1}}|leaf_paths|join(\".\")][]", "a.b\n"),
        ] {
            assert_eq!(run(query, "null", false).as_deref(), Ok(made), "{query}");
        }
        assert!(run("[[1]]|@csv", "null", false).is_err());
        // and none ends this process
        assert_eq!(run("1, halt, 2", "null", false).as_deref(), Ok("1\n"));
        assert!(run("1, halt_error", "null", false).unwrap_err().contains("halts with an error"));
    }

    /// Whatever is within itself as deep as it may be.
    #[test]
    fn no_depth_ends_the_reader() {
        assert_eq!(words("if .a_b == \"x y\" then 1 else . end"), 14);
        for (part, end) in [
            ("-", "1"),
            ("try ", "."),
            (".|", "."),
            ("1 as $x|", "$x"),
            ("if ", ""),
            ("[", ""),
            ("(", ""),
            ("{a:", ""),
            ("]", ""),
            ("reduce ", ""),
            ("foreach ", ""),
            ("def f:", ""),
            ("1+", "1"),
            ("1//", "1"),
            ("1,", "1"),
            ("\"\\(", ""),
            (".[", ""),
            ("label $a|", "1"),
        ] {
            let most = MOST_WORDS / words(part).max(1) - 1;
            let _ = check(&format!("{}{end}", part.repeat(most)));
            assert!(check(&format!("{}{end}", part.repeat(most + 2))).is_err(), "{part}");
        }
    }

    #[test]
    fn no_query_ends_the_reader() {
        bolero::check!().with_iterations(500).with_type::<String>().for_each(|query: &String| {
            let _ = check(query);
        });
    }
}
