//! Standard output and standard error of commands.
//!
//! `println!` panics when nobody reads any more, and `choria ping | head -1`
//! is how people look at a fleet. Here a reader that has gone away ends the
//! program quietly, and an output that cannot be written ends it with a reason.
//! Clippy refuses the macros of the standard library in this binary.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::EXIT_ERROR;
use super::exit::LOST;

/// `println!` for commands.
macro_rules! outln {
    () => { $crate::cmd::out::print(format_args!("\n")) };
    ($($text:tt)*) => { $crate::cmd::out::print(format_args!("{}\n", format_args!($($text)*))) };
}
/// `print!` for commands.
macro_rules! out {
    ($($text:tt)*) => { $crate::cmd::out::print(format_args!($($text)*)) };
}
/// `eprintln!` for commands: what cannot be told is not told.
macro_rules! errln {
    ($($text:tt)*) => { $crate::cmd::out::complain(format_args!("{}\n", format_args!($($text)*))) };
}
pub(crate) use {errln, out, outln};

/// Standard output as a writer that never gives an error.
pub struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout()
            .write(bytes)
            .or_else(|e| if e.kind() == ErrorKind::Interrupted { Err(e) } else { end(&e) })
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().or_else(|e| end(&e))
    }
}

pub fn print(text: Arguments<'_>) {
    if let Err(e) = io::stdout().write_fmt(text) {
        end(&e);
    }
}

pub fn complain(text: Arguments<'_>) {
    let _ = io::stderr().write_fmt(text);
}

/// What was written before may still wait in the buffer of standard output,
/// and an error there would be lost at the end of the process.
pub fn finish() {
    let _ = Stdout.flush();
}

/// Whether nodes have been asked: output that cannot be written is then no
/// reason to say that they have not.
static ASKED: AtomicBool = AtomicBool::new(false);

/// From here on nodes may act on what they are asked.
pub fn nodes_are_asked() {
    ASKED.store(true, Ordering::Relaxed);
}

fn end(error: &io::Error) -> ! {
    // Whoever closed the pipe has seen enough: that is a success.
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    let (sent, code) = match ASKED.load(Ordering::Relaxed) {
        true => ("the request was sent: ", LOST),
        false => ("", EXIT_ERROR),
    };
    complain(format_args!("choria: {sent}cannot write to standard output: {error}\n"));
    std::process::exit(i32::from(code))
}
