//! Output that comes in pieces, shown in lines. Pure.

/// Longest line that is held; a longer one is cut where it is.
const LONGEST: usize = 64 * 1024;
/// No output is longer: whole numbers of JSON are exact up to there.
const MOST: u64 = 1 << 53;

/// What a command has written on one of its outputs.
#[derive(Debug, Default)]
pub struct Output {
    /// Where the next piece begins.
    pub offset: u64,
    rest: String,
}

impl Output {
    /// One more piece: the lines that it completes. `next` is where the piece after it begins,
    /// where a node says so; else that is where this one ends.
    pub fn take(&mut self, piece: &str, next: Option<u64>) -> Vec<String> {
        let ends = self.offset.saturating_add(piece.len() as u64);
        let next = next.filter(|next| *next <= MOST).unwrap_or(ends);
        let mut lines = vec![];
        if next > ends {
            lines.extend(self.end());
            lines.push(format!("({} bytes that were written here are not kept)", next - ends));
        }
        self.offset = next;
        self.rest.push_str(piece);
        // A node decides how many lines there are: they are looked through once.
        let whole: String =
            self.rest.rfind('\n').map(|end| self.rest.drain(..=end).collect()).unwrap_or_default();
        lines.extend(whole.lines().map(str::to_owned));
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
        assert_eq!(output.take("a\nb", None), ["a"]);
        assert_eq!(output.take("", None), [] as [&str; 0]);
        assert_eq!(output.take("c\r\n\nü", None), ["bc", ""]);
        assert_eq!(output.offset, 9);
        assert_eq!(output.end().as_deref(), Some("ü"));
        assert_eq!(output.end(), None);
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(output.take(&long, None), [long]);
    }

    #[test]
    fn what_is_not_kept_is_told() {
        let mut output = Output::default();
        assert_eq!(output.take("a\nb", Some(3)), ["a"]);
        assert_eq!(
            output.take("c\nd", Some(1006)),
            ["b", "(1000 bytes that were written here are not kept)", "c"]
        );
        assert_eq!((output.offset, output.end().as_deref()), (1006, Some("d")));
        // a command that wrote less than was thought, a node that says anything
        assert_eq!(output.take("", Some(7)), [] as [&str; 0]);
        assert_eq!(output.take("x\n", Some(u64::MAX)), ["x"]);
        assert_eq!(output.offset, 9);
    }
}
