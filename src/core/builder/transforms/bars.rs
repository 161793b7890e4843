//! Bars of names and numbers.

use std::collections::BTreeMap;

use super::{binary, commas, json_of};
use crate::core::builder::compile::Reading;
use crate::core::text::column;

/// Widest bar.
const WIDEST: u64 = 1000;
/// Most bars.
const MOST: usize = 10_000;

/// How bars are drawn.
#[derive(Debug)]
pub struct Bars {
    /// The longest of them, in characters.
    pub width: u32,
    /// What stands above; a template.
    pub caption: String,
    /// Whether numbers are of bytes.
    pub bytes: bool,
}

pub(super) fn read(of: &mut Reading<'_, '_>) -> Bars {
    let width = of.number("width", WIDEST).filter(|width| *width > 0).unwrap_or(40);
    Bars {
        width: u32::try_from(width).unwrap_or(40),
        caption: of.template("caption"),
        bytes: of.flag("bytes"),
    }
}

impl Bars {
    pub(super) fn draw(&self, input: &str, caption: &str) -> Result<String, String> {
        let all: BTreeMap<String, f64> = json_of(input, "bar_graph")?;
        if all.len() > MOST {
            return Err(format!("bar_graph draws {MOST} bars at most"));
        }
        let mut rows: Vec<(String, f64)> = all.into_iter().collect();
        rows.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let widest = column(rows.iter().map(|(name, _)| name.chars().count()));
        let least = rows.first().map_or(0.0, |(_, value)| *value);
        let most = rows.last().map_or(0.0, |(_, value)| *value);
        let step = (most - least) / f64::from(self.width);
        let mut out = String::new();
        if !caption.is_empty() {
            out.push_str(&format!("{caption}\n\n"));
        }
        for (name, value) in &rows {
            let length = match () {
                () if *value == 0.0 => 0,
                // all the same, and so as long as can be
                () if least == most => self.width,
                () => ((value - least) / step) as u32,
            };
            let bar =
                if length == 0 { "▏".to_owned() } else { "█".repeat(length.min(self.width) as usize) };
            let number = if self.bytes { binary(*value) } else { commas(*value) };
            let before = " ".repeat(widest.saturating_sub(name.chars().count()) + 2);
            out.push_str(&format!("{before}{name}: {bar} ({number})\n"));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_numbers_are_large() {
        let bars = Bars { width: 4, caption: String::new(), bytes: false };
        let drawn = bars.draw(r#"{"b":3000,"aa":1000,"c":2000,"d":0}"#, "Sizes").unwrap();
        assert_eq!(drawn, "Sizes\n\n   d: ▏ (0)\n  aa: █ (1,000)\n   c: ██ (2,000)\n   b: ████ (3,000)\n");
        let same = Bars { bytes: true, ..bars }.draw(r#"{"a":2048,"b":2048}"#, "").unwrap();
        assert_eq!(same, "  a: ████ (2.0 KiB)\n  b: ████ (2.0 KiB)\n");
        assert!(Bars { width: 4, caption: String::new(), bytes: true }.draw("[1]", "").is_err());
    }
}
