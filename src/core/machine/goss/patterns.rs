//! Patterns of lines: a text that is part of one, `/an expression/`, and either with `!` in
//! front where no line may have it.

use regex::{Regex, RegexBuilder};

use super::bounds::Work;

/// Bytes of a compiled expression: the least of these that is enough is what it counts for.
const SIZES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, MAX_SIZE];
const MAX_SIZE: usize = 1 << 20;
/// Bytes of an expression times bytes of a text that are tried without a look at the clock,
/// some seconds at the worst: 4 MiB of text with a plain expression, 16 KiB with the largest.
const MAX_TRIED: u64 = 16 << 30;
/// Lines that are looked at between two looks at the clock.
const LINES: usize = 1024;

/// An expression, within bounds.
#[derive(Debug)]
pub(super) struct Expression {
    compiled: Regex,
    size: usize,
}

impl Expression {
    /// Compiles one that is kept as long as the rules are.
    ///
    /// # Errors
    /// It is none, or one too many.
    pub fn parse(text: &str, work: &Work<'_>) -> Result<Expression, String> {
        let expression = Expression::compile(text, work)?;
        work.keep(expression.size)?;
        Ok(expression)
    }

    /// Whether a text has one that is used once.
    ///
    /// # Errors
    /// It is none, or takes too long.
    pub fn once(expression: &str, text: &str, work: &Work<'_>) -> Result<bool, String> {
        let expression = Expression::compile(expression, work)?;
        work.look(expression.size)?;
        expression.is_in(text, work)
    }

    fn compile(text: &str, work: &Work<'_>) -> Result<Expression, String> {
        let mut told = String::new();
        for size in SIZES {
            work.check()?;
            match RegexBuilder::new(text).size_limit(size).dfa_size_limit(MAX_SIZE).build() {
                Ok(compiled) => return Ok(Expression { compiled, size }),
                Err(e) => told = format!("{text} is no regular expression: {e}"),
            }
        }
        Err(told)
    }

    pub fn as_str(&self) -> &str {
        self.compiled.as_str()
    }

    /// Whether it is in a text.
    ///
    /// # Errors
    /// That takes too long.
    pub fn is_in(&self, text: &str, work: &Work<'_>) -> Result<bool, String> {
        work.look(text.len())?;
        let mut trying = self.trying();
        trying(text)
    }

    /// Tries texts, with memory of its own that is gone afterwards: what an expression learns
    /// about texts takes more than itself, and would stay as long as it does.
    fn trying(&self) -> impl FnMut(&str) -> Result<bool, String> {
        let (own, size) = (self.compiled.clone(), self.size);
        move |text: &str| {
            if (text.len() as u64).saturating_mul(size as u64) > MAX_TRIED {
                let mut shown = own.as_str().to_owned();
                crate::core::text::shorten(&mut shown, 200);
                return Err(format!(
                    "the expression {shown} is too large for {} bytes at once: write a shorter one, or a text to contain",
                    text.len()
                ));
            }
            Ok(own.is_match(text))
        }
    }
}

/// A pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    inverse: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    Part(String),
    Expression(Expression),
}

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    /// Its expression is none.
    pub fn parse(text: &str, work: &Work<'_>) -> Result<Pattern, String> {
        let (inverse, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let inner = rest.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let what = match inner {
            Some(inner) => What::Expression(Expression::parse(inner, work)?),
            // what would begin otherwise is escaped
            None => What::Part(text.trim_start_matches(['\\', '/', '!']).to_owned()),
        };
        Ok(Pattern { text: text.to_owned(), inverse, what })
    }

    /// As it stands in the rules.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a line of a text has it.
    fn is_in(&self, text: &str, work: &Work<'_>) -> Result<bool, String> {
        work.look(text.len())?;
        match &self.what {
            What::Part(part) => in_a_line(text, work, |line| Ok(line.contains(part))),
            What::Expression(expression) => in_a_line(text, work, expression.trying()),
        }
    }
}

fn in_a_line(
    text: &str,
    work: &Work<'_>,
    mut test: impl FnMut(&str) -> Result<bool, String>,
) -> Result<bool, String> {
    for (at, line) in text.lines().enumerate() {
        if at % LINES == LINES - 1 {
            work.check()?;
        }
        if test(line)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Patterns that a text does not have, and those it must not have and has.
///
/// # Errors
/// That takes too long.
pub(super) fn missing<'a>(
    patterns: &'a [Pattern],
    text: &str,
    work: &Work<'_>,
) -> Result<Vec<&'a str>, String> {
    let mut all = Vec::new();
    for pattern in patterns {
        let there = pattern.is_in(text, work)? || pattern.text.is_empty();
        if there == pattern.inverse {
            all.push(pattern.as_str());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::bounds::Bounds;
    use super::*;

    #[test]
    fn lines_have_patterns() {
        let bounds = Bounds::local();
        let work = bounds.work();
        let patterns: Vec<Pattern> = ["root", "/^r.*bash$/", "!toor", "!/x{3}/", "\\!exact", "", "/usr"]
            .map(|p| Pattern::parse(p, &work).unwrap())
            .into();
        let missing = |text: &str| missing(&patterns, text, &work).unwrap();
        assert_eq!(missing("root:0:/usr/bash\n!exact\n"), Vec::<&str>::new());
        assert_eq!(missing("toor xxx\n"), ["root", "/^r.*bash$/", "!toor", "!/x{3}/", "\\!exact", "/usr"]);
        assert!(Pattern::parse("/(/", &work).is_err());
        // bounded, however it is written
        assert!(Pattern::parse("/(a{1000}){1000}/", &work).is_err());
    }

    #[test]
    fn work_is_bounded_by_patterns_and_bytes() {
        let bounds = Bounds::of(Duration::from_secs(60), 10 << 10, 1 << 20);
        let work = bounds.work();
        let patterns: Vec<Pattern> =
            (0..11).map(|at| Pattern::parse(&format!("nosuch{at}"), &work).unwrap()).collect();
        let text = "a\n".repeat(512);
        assert_eq!(missing(&patterns[..5], &text, &work).unwrap().len(), 5);
        assert!(missing(&patterns, &text, &work).unwrap_err().contains("all patterns together"));
        // and by time, within one text
        let bounds = Bounds::of(Duration::ZERO, u64::MAX, u64::MAX);
        let told = in_a_line(&text.repeat(4), &bounds.work(), |_| Ok(false)).unwrap_err();
        assert!(told.contains("took more than"), "{told}");
    }

    #[test]
    fn expressions_are_bounded_all_together() {
        let bounds = Bounds::of(Duration::from_secs(60), 1 << 30, 1 << 20);
        let work = bounds.work();
        // plain ones count little
        for at in 0..100 {
            Expression::parse(&format!("^plain{at}$"), &work).unwrap();
        }
        let told = (0..100).find_map(|at| Expression::parse(&format!("x{at}\\w{{4}}"), &work).err());
        assert!(told.unwrap().contains("all regular expressions together take more than 1 MiB"));
    }

    #[test]
    fn a_large_expression_is_not_tried_on_a_long_line() {
        let bounds = Bounds::local();
        let work = bounds.work();
        let large = Expression::parse("[a-w]{0,4000}y", &work).unwrap();
        assert!(large.is_in("aay", &work).unwrap());
        assert!(large.is_in(&"a".repeat(4 << 20), &work).unwrap_err().contains("at once"));
    }
}
