//! Rows that come in bursts, written together.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Longest a row waits for others to be written with: nobody sees the difference.
const TOGETHER: Duration = Duration::from_millis(20);
/// Bytes that are held at most.
const MOST: usize = 64 * 1024;

/// Holds what is written until it is flushed. A fleet's replies come by the
/// hundred at a time, and each write to a terminal or pipe wakes its reader.
pub struct Rows {
    to: Box<dyn Write>,
    held: Vec<u8>,
    written: Option<Instant>,
}

impl Rows {
    /// Rows that end up in `to`.
    pub fn new(to: Box<dyn Write>) -> Rows {
        Rows { to, held: vec![], written: None }
    }

    /// Whether something is held.
    pub fn any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether what is held has waited long enough; the first row does not wait.
    pub fn due(&self) -> bool {
        self.any() && self.written.is_none_or(|at| at.elapsed() >= TOGETHER)
    }
}

impl Write for Rows {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.len() + bytes.len() > MOST {
            self.flush()?;
        }
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.write_all(&self.held)?;
        self.held.clear();
        self.written = Some(Instant::now());
        self.to.flush()
    }
}

/// A request that ends with an error has shown what came before.
impl Drop for Rows {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<Vec<String>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_first_row_is_due_at_once_and_later_ones_go_together() {
        let paper = Paper::default();
        let mut rows = Rows::new(Box::new(paper.clone()));
        assert!(!rows.due());
        rows.write_all(b"1\n").unwrap();
        assert!(rows.due());
        rows.flush().unwrap();
        rows.write_all(b"2\n").unwrap();
        rows.write_all(b"3\n").unwrap();
        rows.flush().unwrap();
        assert_eq!(*paper.0.borrow(), ["1\n", "2\n3\n"]);
        assert!(!rows.any());
    }

    #[test]
    fn only_so_much_is_held() {
        let paper = Paper::default();
        let mut rows = Rows::new(Box::new(paper.clone()));
        (0..=MOST / 8).for_each(|_| rows.write_all(b"1234567\n").unwrap());
        assert_eq!(paper.0.borrow().first().map(String::len), Some(MOST));
    }
}
