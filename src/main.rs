//! The `choria` executable: argv[0] or the first word picks the personality.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)] // see cmd::out

mod cmd;

use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    cmd::run(&argv)
}
