//! Pages of rows, by layouts whose pictures (`@<<<`, `@B###`) say where values stand and how.

use serde_json::{Map, Value, json};

use super::{MOST, binary, json_of};
use crate::core::builder::compile::Reading;
use crate::core::protocol::filter::lookup_value;
use crate::core::template::plain;
use crate::core::text::documents;

/// Layouts of a report.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Report {
    /// What `report.name` is; a template.
    pub name: String,
    /// The top of each page.
    pub header: String,
    /// Each row.
    pub body: String,
    /// The foot of each page.
    pub footer: String,
    /// Rows of a page; all on one where it is 0.
    pub rows_per_page: u64,
    /// Where the rows are in the document.
    pub initial_query: String,
    /// A file of YAML with all but that; a template.
    pub source_file: String,
}

pub(super) fn read(of: &mut Reading<'_, '_>) -> Report {
    let report = Report {
        name: of.template("name"),
        header: of.text("header"),
        body: of.text("body"),
        footer: of.text("footer"),
        rows_per_page: of.number("rows_per_page", 1_000_000).unwrap_or(0),
        initial_query: of.text("initial_query"),
        source_file: of.template("source_file"),
    };
    if report.body.is_empty() && report.source_file.is_empty() {
        of.error("body or source_file is required");
    }
    report
}

/// What a report is written from.
struct Page<'a> {
    name: &'a str,
    data: &'a Value,
    sums: Map<String, Value>,
    number: usize,
}

impl Report {
    /// Writes the rows of a document, with the layouts of `source` where there is one.
    pub(super) fn write(&self, name: &str, source: Option<&str>, input: &str) -> Result<String, String> {
        let mut layouts = self.clone();
        let mut name = name.to_owned();
        if let Some(source) = source {
            layouts = documents::yaml(source).map_err(|e| format!("{}: {e}", self.source_file))?;
            if name.is_empty() {
                name = if layouts.name.is_empty() { "Report".to_owned() } else { layouts.name.clone() };
            }
            if layouts.rows_per_page == 0 {
                layouts.rows_per_page = 20;
            }
        }
        let data: Value = json_of(input, "report")?;
        let rows = match self.initial_query.as_str() {
            "" => data.clone(),
            query => {
                lookup_value(&data, query).ok_or_else(|| format!("report: there is nothing at {query}"))?
            }
        };
        let Value::Array(rows) = rows else { return Err("report: the rows are no list".to_owned()) };
        let per_page = usize::try_from(layouts.rows_per_page).unwrap_or(0);
        let mut page = Page { name: &name, data: &data, sums: Map::new(), number: 0 };
        let mut out = String::new();
        for (at, row) in rows.iter().enumerate() {
            let begins = page.number == 0 || per_page > 0 && at % per_page == 0;
            if begins {
                if page.number > 0 {
                    fill(&layouts.footer, &mut page, row, at, false, &mut out)?;
                }
                page.number += 1;
                fill(&layouts.header, &mut page, row, at, false, &mut out)?;
            }
            fill(&layouts.body, &mut page, row, at, true, &mut out)?;
            if out.len() > MOST {
                return Err("the report is longer than any should be".to_owned());
            }
        }
        fill(&layouts.footer, &mut page, &Value::Null, rows.len(), false, &mut out)?;
        Ok(out)
    }
}

/// A layout with values.
fn fill(
    layout: &str,
    page: &mut Page<'_>,
    row: &Value,
    at: usize,
    counts: bool,
    out: &mut String,
) -> Result<(), String> {
    let mut lines = layout.strip_suffix('\n').unwrap_or(layout).split('\n').peekable();
    if layout.is_empty() {
        return Ok(());
    }
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            continue;
        }
        let pictures = pictures(line);
        let names = lines.peek().map(|next| next.split(',').map(str::trim).collect::<Vec<_>>());
        match names {
            Some(names) if !pictures.is_empty() && names.len() == pictures.len() => {
                lines.next();
                let mut from = 0;
                for ((begin, end), name) in pictures.into_iter().zip(names) {
                    out.push_str(&line[from..begin]);
                    let value = page.value(name, row, at);
                    if counts && let (Some(part), Some(number)) = (name.strip_prefix("row."), value.as_f64())
                    {
                        page.count(part, number);
                    }
                    out.push_str(&formatted(&line[begin..end], &value));
                    from = end;
                }
                out.push_str(&line[from..]);
                out.push('\n');
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
        if out.len() > MOST {
            return Err("the report is longer than any should be".to_owned());
        }
    }
    Ok(())
}

impl Page<'_> {
    fn value(&self, name: &str, row: &Value, at: usize) -> Value {
        let (root, rest) = name.split_once('.').unwrap_or((name, ""));
        let looked = |value: &Value| match rest {
            "" => value.clone(),
            rest => lookup_value(value, rest).unwrap_or_default(),
        };
        match root {
            "row" => looked(row),
            "data" => looked(self.data),
            "report" => match rest.strip_prefix("summary.") {
                Some(part) => self.sums.get(part).cloned().unwrap_or_default(),
                None => looked(&json!({"name": self.name, "page": self.number, "current_row": at})),
            },
            _ => Value::Null,
        }
    }

    fn count(&mut self, part: &str, number: f64) {
        let before = self.sums.get(part).and_then(Value::as_f64).unwrap_or(0.0);
        let sum = before + number;
        let whole = sum.fract() == 0.0 && sum.abs() < 9e15;
        let sum = if whole { Value::from(sum as i64) } else { Value::from(sum) };
        self.sums.insert(part.to_owned(), sum);
    }
}

/// Where pictures stand in a line, in bytes.
fn pictures(line: &str) -> Vec<(usize, usize)> {
    let mut found = vec![];
    let mut rest = 0;
    while let Some(at) = line[rest..].find('@') {
        let begin = rest + at;
        let is_part = |c: char| "^<|>#.0,B:".contains(c);
        let end = line[begin + 1..].find(|c: char| !is_part(c)).map_or(line.len(), |end| begin + 1 + end);
        found.push((begin, end));
        rest = end;
    }
    found
}

/// A value as a picture has it.
fn formatted(picture: &str, value: &Value) -> String {
    let width = picture.chars().count();
    if value.is_null() {
        return format!("{:<width$}", "?");
    }
    let is_number = picture.contains('#') || picture.starts_with("@B") || picture.starts_with("@,");
    match (is_number, value.as_f64()) {
        (true, Some(number)) => numeric(picture, number, width),
        _ => textual(picture, value, width),
    }
}

fn numeric(picture: &str, number: f64, width: usize) -> String {
    let decimals = picture.rsplit_once('.').map(|(_, digits)| digits.len());
    let text = if picture.starts_with("@B") {
        binary(number)
    } else {
        let plain = match decimals {
            Some(digits) => format!("{number:.digits$}"),
            None => format!("{}", number.trunc()),
        };
        if picture.contains(',') { with_commas(&plain) } else { plain }
    };
    if text.chars().count() > width {
        return "#".repeat(width);
    }
    match picture.starts_with("@0") {
        true => format!("{text:0>width$}"),
        false => format!("{text:<width$}"),
    }
}

fn with_commas(text: &str) -> String {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
    let whole = whole.parse::<f64>().map_or_else(|_| whole.to_owned(), super::commas);
    fraction.map_or(whole.clone(), |fraction| format!("{whole}.{fraction}"))
}

fn textual(picture: &str, value: &Value, width: usize) -> String {
    let text = plain(value);
    let first = text.lines().next().unwrap_or_default();
    let (room, end) = match picture.ends_with(':') {
        true => (width.saturating_sub(1), ":"),
        false => (width, ""),
    };
    let cut: String = first.chars().take(room).collect();
    match () {
        () if picture.contains('>') => format!("{cut:>room$}{end}"),
        () if picture.contains('|') => format!("{cut:^room$}{end}"),
        () if end == ":" => format!("{:<width$}", format!("{cut}:")),
        () => format!("{cut:<room$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_laid_out() {
        let report = Report {
            header: "@|||||||| Page @#\ndata.name, report.page\n---\n".to_owned(),
            body: "# nothing\nName: @<<<< Size: @B##### Number: @,######\nrow.name, row.size, row.n\n"
                .to_owned(),
            footer: "Total: @,##### of @#\nreport.summary.n, report.current_row\n".to_owned(),
            initial_query: "assets".to_owned(),
            rows_per_page: 2,
            ..Report::default()
        };
        let data = json!({"name": "R", "assets": [
            {"name": "one", "size": 2048, "n": 1000}, {"name": "longer", "size": 10, "n": 2.5},
            {"name": null, "size": "x", "n": -1},
        ]});
        let written = report.write("N", None, &data.to_string()).unwrap();
        let lines: Vec<&str> = written.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "    R     Page 1",
                "---",
                "Name: one   Size: 2.0 KiB Number: 1,000",
                "Name: longe Size: 10 B    Number: 2",
                "Total: 1,002   of 2",
                "    R     Page 2",
                "---",
                "Name: ?     Size: x       Number: -1",
                "Total: 1,001   of 3",
            ]
        );
        assert!(report.write("N", None, "{}").is_err());
        let one = report.write("N", Some("body: |\n  @<<<\n  report.name\n"), &data.to_string()).unwrap();
        assert_eq!(one, "N   \nN   \nN   \n");
        assert_eq!(formatted("@##", &json!(12345)), "###");
        assert_eq!(formatted("@0.##", &json!(1.5)), "01.50");
    }

    #[test]
    fn no_layout_ends_the_writer() {
        bolero::check!().with_iterations(2000).with_type::<(String, String)>().for_each(|(body, name)| {
            let report = Report { body: body.clone(), header: name.clone(), ..Report::default() };
            let _ = report.write(name, None, r#"[{"a":1},{"a":"x"}]"#);
        });
    }
}
