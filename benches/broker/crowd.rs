//! Clients in a process of their own, so that processor time is the server's.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Failure;

/// What clients report.
pub struct Outcome {
    pub count: u64,
    /// Seconds.
    pub wall: f64,
    /// Round trip of a pair, in microseconds, where there are any.
    pub median: u64,
    /// 99 of 100 are faster.
    pub worst: u64,
}

/// Clients in a process of their own.
pub struct Crowd {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    pub fn gather(
        dir: &Path,
        address: SocketAddr,
        scenario: &str,
        links: u32,
        messages: u32,
    ) -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("clients")
            .arg(dir)
            .args([address.to_string(), scenario.to_owned(), links.to_string(), messages.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().ok_or("no stdin")?;
        let output = BufReader::new(process.stdout.take().ok_or("no stdout")?);
        let mut crowd = Self { process, input, output };
        crowd.expect("ready")?;
        Ok(crowd)
    }

    fn expect(&mut self, word: &str) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.starts_with(word) { Ok(line) } else { Err(format!("clients said {line:?}").into()) }
    }

    pub fn go(&mut self) -> Result<Outcome, Failure> {
        writeln!(self.input, "go")?;
        let line = self.expect("done")?;
        let mut words = line.split_whitespace().skip(1);
        let mut next = || words.next().ok_or("too few numbers");
        Ok(Outcome {
            count: next()?.parse()?,
            wall: next()?.parse()?,
            median: next()?.parse()?,
            worst: next()?.parse()?,
        })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
