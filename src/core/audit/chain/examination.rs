//! Whether logs are what their chain says.

use std::collections::HashMap;
use std::io::{self, BufRead, Read, Seek};

use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::ahead::{Ahead, Lines};
use super::{Chain, Checkpoint, Digest, HEAD, Line, RECORDS};

/// Records ahead in which one that is out of its place is looked for.
const AHEAD: usize = 100_000;
/// Lines at the beginning of logs of which one has to be in the chain.
const BEGINNING: usize = 100;
/// Records out of place that are remembered, to tell those that were moved; and findings that
/// are kept, of however many there are.
const MOST: usize = 10_000;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A line is not what was written there.
    Edited {
        /// Line, over all logs, from one.
        line: u64,
        /// Number of the record, from one.
        record: u64,
    },
    /// A record is not in the logs.
    Missing {
        /// Number of the record.
        record: u64,
    },
    /// A line that no node wrote.
    Added {
        /// Line.
        line: u64,
    },
    /// A line that stood elsewhere.
    Moved {
        /// Where it is.
        line: u64,
        /// Number of the record it is.
        record: u64,
    },
    /// The chain itself was changed, or signed by somebody else.
    Chain {
        /// Line of the chain.
        line: u64,
        /// What is wrong, as the end of a sentence.
        problem: &'static str,
    },
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    /// Lines of logs.
    pub lines: u64,
    /// Records of the chain.
    pub records: u64,
    /// Records before the logs begin: they were rotated away.
    pub before: u64,
    /// Lines before the first record of the chain: they were there when it began.
    pub older: u64,
    /// Records behind the last checkpoint, which nobody has signed yet.
    pub unsigned: u64,
    /// Records that a node found unsigned when it started, after it had been killed, and signed then.
    pub taken_over: u64,
    /// Lines that are not in the chain and that a node found at the end of the log when it started:
    /// it had been killed, or could not write, before the chain knew them; or somebody had added
    /// them while it was down. At most one a start.
    pub left: u64,
    /// When the last checkpoint was made, in Unix seconds.
    pub signed_until: Option<i64>,
    /// How much is wrong.
    pub wrong: u64,
    /// What, the first of it.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// Whether it is shown that all is as it was written. Where nothing is signed, nothing is.
    pub fn is_good(&self) -> bool {
        self.wrong == 0 && (self.records == 0 || self.signed_until.is_some())
    }

    fn found(&mut self, finding: Finding) {
        self.wrong += 1;
        if self.findings.len() < MOST {
            self.findings.push(finding);
        }
    }
}

/// Holds logs, the oldest first, against their chain, signed by the key of one of these
/// certificates.
///
/// The logs may begin before the chain does, or the chain before the logs.
///
/// # Errors
/// Something cannot be read, or is no chain.
pub fn examine(
    mut chain: impl BufRead + Seek,
    logs: impl BufRead,
    certificates: &[CertificateDer<'_>],
    provider: &CryptoProvider,
) -> io::Result<Examination> {
    let usable = |e| io::Error::other(format!("the certificate cannot be used: {e}"));
    let certificates = certificates
        .iter()
        .map(|one| EndEntityCert::try_from(one).map_err(usable))
        .collect::<io::Result<Vec<_>>>()?;
    let mut found = Examination::default();
    let mut written = Written::new(&mut chain, &certificates, provider)?;
    let mut logs = Lines::of(logs);
    let (mut lines, mut records) = (Ahead::default(), Ahead::default());
    // Out of their place: records that were passed over, lines that nobody knew.
    let (mut missing, mut unknown) = (HashMap::<Digest, u64>::new(), HashMap::<Digest, u64>::new());

    // Where the logs begin: what was before is rotated away.
    while lines.len() < BEGINNING && lines.take_in(logs.next()?) {}
    if !lines.is_empty() {
        let (mut before, mut known) = (vec![], false);
        while let Some((number, record)) = written.next(&mut found)? {
            if let Some(at) = lines.find(&record) {
                records.take_in(Some((number, record)));
                // where the chain begins here, lines that are too many for its records are older than it
                let older = match number == before.len() as u64 + 1 {
                    true => at.saturating_sub(before.len()),
                    false => 0,
                };
                found.older = older as u64;
                (0..older).for_each(|_| lines.pop());
                // lines before the one that is known may be of records before it
                let back = before.len().saturating_sub(at - older);
                for one in before.drain(back..).rev().collect::<Vec<_>>() {
                    records.push_back_in_front(one);
                }
                known = true;
                break;
            }
            before.push((number, record));
            if before.len() > BEGINNING {
                before.remove(0);
                found.before += 1;
            }
        }
        found.before += before.len() as u64;
        if !known && lines.len() == BEGINNING && found.before > 0 {
            // More of them than that may be older than the chain.
            drop(written);
            chain.rewind()?;
            let mut again = Examination::default();
            written = Written::new(&mut chain, &certificates, provider)?;
            // the first of its records may be the one that was edited
            let mut first = vec![];
            while first.len() < BEGINNING
                && let Some(record) = written.next(&mut again)?
            {
                first.push(record);
            }
            let mut passed = lines.all().clone();
            let place = loop {
                match logs.next()? {
                    Some(line) => {
                        let place = first.iter().position(|(_, record)| *record == line.1);
                        passed.push_back(line);
                        if place.is_some() {
                            break place;
                        }
                        if passed.len() > BEGINNING {
                            passed.pop_front();
                        }
                    }
                    None => break None,
                }
            };
            match place {
                Some(place) => {
                    (found, lines) = (again, Ahead::default());
                    let own = passed.len().saturating_sub(place + 1);
                    passed.drain(..own);
                    found.older = passed.front().map_or(0, |(number, _)| number - 1);
                    passed.into_iter().for_each(|line| _ = lines.take_in(Some(line)));
                    first.into_iter().for_each(|record| _ = records.take_in(Some(record)));
                }
                // They have nothing to do with each other.
                None => {
                    let rest = (BEGINNING as u64 + 1)..=logs.number;
                    while written.next(&mut again)?.is_some() {}
                    rest.for_each(|line| found.found(Finding::Added { line }));
                }
            }
        }
    }

    loop {
        while lines.len() <= AHEAD && lines.take_in(logs.next()?) {}
        while records.len() <= AHEAD && records.take_in(written.next(&mut found)?) {}
        match (lines.first(), records.first()) {
            (None, None) => break,
            (Some((_, line)), Some((_, record))) if line == record => {
                lines.pop();
                records.pop();
            }
            (Some((line, digest)), Some((record, wanted))) => {
                match (records.find(&digest), lines.find(&wanted)) {
                    (None, None) => {
                        found.found(Finding::Edited { line, record });
                        lines.pop();
                        records.pop();
                    }
                    // the nearer explanation is the right one
                    (Some(there), here) if here.is_none_or(|here| there <= here) => {
                        pass(&mut records, (record, wanted), &mut missing, &mut unknown, |record, line| {
                            match line {
                                Some(line) => found.found(Finding::Moved { line, record }),
                                None => found.found(Finding::Missing { record }),
                            }
                        });
                    }
                    _ => {
                        let next = record;
                        pass(&mut lines, (line, digest), &mut unknown, &mut missing, |line, record| {
                            match record {
                                Some(record) => found.found(Finding::Moved { line, record }),
                                None => found.added(line, &digest, next, &mut written.left),
                            }
                        });
                    }
                }
            }
            (Some((line, digest)), None) => {
                let end = written.chain.count + 1;
                pass(&mut lines, (line, digest), &mut unknown, &mut missing, |line, record| match record {
                    Some(record) => found.found(Finding::Moved { line, record }),
                    None => found.added(line, &digest, end, &mut written.left),
                });
            }
            (None, Some((record, wanted))) => {
                pass(&mut records, (record, wanted), &mut missing, &mut unknown, |record, line| match line {
                    Some(line) => found.found(Finding::Moved { line, record }),
                    None => found.found(Finding::Missing { record }),
                });
            }
        }
    }
    // What was told missing, or added, and is the other's, was moved: told once.
    found.settle();
    found.lines = logs.number;
    found.records = written.chain.count;
    (found.unsigned, found.signed_until) = (written.since, written.signed);
    Ok(found)
}

impl Examination {
    /// A line that is not in the chain, before record `next`.
    fn added(&mut self, line: u64, digest: &Digest, next: u64, left: &mut HashMap<Digest, u64>) {
        match left.get(digest) == Some(&next) {
            true => {
                left.remove(digest);
                self.left += 1;
            }
            false => self.found(Finding::Added { line }),
        }
    }

    /// A line that was moved was first told missing or added.
    fn settle(&mut self) {
        let moved: Vec<(u64, u64)> = self
            .findings
            .iter()
            .filter_map(|finding| match finding {
                Finding::Moved { line, record } => Some((*line, *record)),
                _ => None,
            })
            .collect();
        let before = self.findings.len();
        self.findings.retain(|finding| match finding {
            Finding::Missing { record } => !moved.iter().any(|(_, moved)| moved == record),
            Finding::Added { line } => !moved.iter().any(|(moved, _)| moved == line),
            _ => true,
        });
        self.wrong -= (before - self.findings.len()) as u64;
    }
}

/// Passes over what is out of its place.
fn pass(
    queue: &mut Ahead,
    (number, digest): (u64, Digest),
    own: &mut HashMap<Digest, u64>,
    other: &mut HashMap<Digest, u64>,
    tell: impl FnOnce(u64, Option<u64>),
) {
    let known = other.remove(&digest);
    if known.is_none() && own.len() < MOST {
        own.insert(digest, number);
    }
    tell(number, known);
    queue.pop();
}

/// The chain as it stands in its file; what is wrong with it is told on the way.
struct Written<'c, R> {
    input: R,
    certificates: &'c [EndEntityCert<'c>],
    provider: &'c CryptoProvider,
    chain: Chain,
    line: u64,
    since: u64,
    /// Those among them that were there when a node started.
    taken_over: u64,
    signed: Option<i64>,
    /// The last checkpoint, as it stands there.
    checkpoint: String,
    /// Lines that logs ended with and that are no records, as a checkpoint says, and the number of the record that
    /// came next.
    left: HashMap<Digest, u64>,
    /// The one of them that no checkpoint has said yet; a node leaves one at most between two.
    opened: Option<(Digest, u64)>,
}

impl<'c, R: BufRead> Written<'c, R> {
    fn new(
        mut input: R,
        certificates: &'c [EndEntityCert<'c>],
        provider: &'c CryptoProvider,
    ) -> io::Result<Written<'c, R>> {
        let mut head = String::new();
        input.by_ref().take(64).read_line(&mut head)?;
        if head.trim_end() != HEAD {
            return Err(io::Error::other("this is no audit chain: it does not begin as one"));
        }
        Ok(Written {
            input,
            certificates,
            provider,
            chain: Chain::default(),
            line: 1,
            since: 0,
            taken_over: 0,
            signed: None,
            checkpoint: String::new(),
            left: HashMap::new(),
            opened: None,
        })
    }

    fn next(&mut self, found: &mut Examination) -> io::Result<Option<(u64, Digest)>> {
        let mut buffer = Vec::with_capacity(64);
        loop {
            buffer.clear();
            if self.input.by_ref().take(4096).read_until(b'\n', &mut buffer)? == 0 {
                return Ok(None);
            }
            self.line += 1;
            match Line::parse(buffer.strip_suffix(b"\n").unwrap_or(&buffer)) {
                Some(Line::Record(record)) => {
                    self.chain.add(&record);
                    self.since += 1;
                    if self.since == RECORDS + 1 {
                        let problem = "is one record too many without a signature";
                        found.found(Finding::Chain { line: self.line, problem });
                    }
                    return Ok(Some((self.chain.count, record)));
                }
                Some(Line::Checkpoint(checkpoint)) => {
                    let opened = self.opened.take();
                    match self.problem(&checkpoint) {
                        Some(problem) => found.found(Finding::Chain { line: self.line, problem }),
                        None => self.left.extend(opened),
                    }
                    // what comes after is held against what was signed
                    self.chain = checkpoint.chain;
                    (self.since, self.taken_over, self.signed) = (0, 0, Some(checkpoint.time));
                    self.checkpoint = Line::Checkpoint(checkpoint).to_string();
                }
                Some(Line::Opening(left)) => {
                    self.chain.open(&self.checkpoint, left.as_ref());
                    found.taken_over += self.since - self.taken_over;
                    self.taken_over = self.since;
                    self.opened = left.map(|left| (left, self.chain.count + 1));
                }
                None => found.found(Finding::Chain { line: self.line, problem: "is no line of a chain" }),
            }
        }
    }

    fn problem(&self, checkpoint: &Checkpoint) -> Option<&'static str> {
        if checkpoint.chain != self.chain {
            return Some("is not where the records before it lead");
        }
        if self.signed.is_some_and(|before| checkpoint.time < before) {
            return Some("is older than the one before it");
        }
        let wanted = rustls::SignatureScheme::from(checkpoint.scheme);
        let known = self.provider.signature_verification_algorithms.mapping;
        let algorithms =
            known.iter().find(|(scheme, _)| *scheme == wanted).map(|(_, algorithms)| *algorithms);
        let text = checkpoint.text();
        let good = algorithms.unwrap_or_default().iter().any(|algorithm| {
            let signed = |one: &EndEntityCert<'_>| {
                one.verify_signature(*algorithm, text.as_bytes(), &checkpoint.signature).is_ok()
            };
            self.certificates.iter().any(signed)
        });
        (!good).then_some("is not signed by the key of a certificate that was given")
    }
}
