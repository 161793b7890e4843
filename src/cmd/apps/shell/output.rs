//! Output that comes in pieces, shown in lines. Pure.

/// Longest line that is held; a longer one is cut where it is.
const LONGEST: usize = 64 * 1024;

/// What a command has written on one of its outputs.
#[derive(Debug, Default)]
pub struct Output {
    /// Bytes that were seen, which is where the next piece begins.
    pub offset: usize,
    rest: String,
}

impl Output {
    /// One more piece: the lines that it completes.
    pub fn take(&mut self, piece: &str) -> Vec<String> {
        self.offset += piece.len();
        self.rest.push_str(piece);
        // A node decides how many lines there are: they are looked through once.
        let whole: String =
            self.rest.rfind('\n').map(|end| self.rest.drain(..=end).collect()).unwrap_or_default();
        let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        if self.rest.len() > LONGEST {
            lines.push(std::mem::take(&mut self.rest));
        }
        lines
    }

    /// What is left when nothing more comes.
    pub fn end(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.rest)).filter(|rest| !rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines() {
        let mut output = Output::default();
        assert_eq!(output.take("a\nb"), ["a"]);
        assert_eq!(output.take(""), [] as [&str; 0]);
        assert_eq!(output.take("c\r\n\nü"), ["bc", ""]);
        assert_eq!(output.offset, 9);
        assert_eq!(output.end().as_deref(), Some("ü"));
        assert_eq!(output.end(), None);
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(output.take(&long), [long]);
    }
}
