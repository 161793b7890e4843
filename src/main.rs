//! The `choria` executable: argv[0] or the first word picks the personality.
#![forbid(unsafe_code)]

fn main() {}
