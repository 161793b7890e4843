//! What was called: the audit log (spec 02 §7).
//!
//! One JSON object a line, in the format of the original and of the Ruby
//! `choria` audit plugin, so that a file may be shared. The file is opened for
//! every record: rotation needs no signal. A record that cannot be written is
//! the caller's to report; the action runs all the same, unless
//! `plugin.rpcaudit.mandatory` says that nothing runs unaudited.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::Access;
use serde_json::Value;
use thiserror::Error;

use self::chain::{ChainLog, Key};
use self::text::line;
use crate::core::config::{Config, Origin};
use crate::core::files;

pub mod chain;
mod text;
pub mod trail;

#[cfg(test)]
mod tests;

/// One call, about to run.
#[derive(Debug, Clone, Copy)]
pub struct AuditRecord<'a> {
    /// Request id.
    pub request_id: &'a str,
    /// When the request was made, unix seconds.
    pub request_time: i64,
    /// Caller id, verified.
    pub caller: &'a str,
    /// Identity of the machine the request came from.
    pub sender: &'a str,
    /// Agent.
    pub agent: &'a str,
    /// Action.
    pub action: &'a str,
    /// Input of the action, as received.
    pub data: &'a Value,
}

/// Why a record is not in the log.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The mode setting is no number.
    #[error(
        "plugin.rpcaudit.logfile.mode {0:?} is not a file mode such as 0600: correct it or remove the line"
    )]
    Mode(String),
    /// Bits that no log file has: a number without its leading 0, mostly.
    #[error(
        "plugin.rpcaudit.logfile.mode {text:?} is mode {mode:05o}, which no log file has{}",
        if text.starts_with('0') { ": write one such as 0640".to_owned() }
        else { format!(": a number without a leading 0 is decimal; write 0{text}") }
    )]
    OddMode {
        /// As written.
        text: String,
        /// What it means.
        mode: u32,
    },
    /// The group setting is no group of this machine.
    #[error("plugin.rpcaudit.logfile.group {0:?} is not a group of this machine: name one, or its number")]
    Group(String),
    /// The file could not be written.
    #[error("cannot write the audit log {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What makes `config` unable to audit although it is told to: the original
/// starts all the same, and nobody misses the records until they are needed.
///
/// # Errors
/// The text for whoever starts the node.
pub fn check(config: &Config) -> Result<(), String> {
    let place = |key: &str| match config.origin(key) {
        Origin::Default => key.to_owned(),
        origin => format!("{origin}: {key}"),
    };
    match (config.rpcaudit, AuditLog::from_config(config)) {
        (false, _) if config.rpcaudit_mandatory => Err(format!(
            "{} is on and nothing is audited: set rpcaudit = true and plugin.rpcaudit.logfile",
            place("plugin.rpcaudit.mandatory")
        )),
        (false, _) if !config.rpcaudit_chain.is_empty() => Err(format!(
            "{} is set and nothing is audited: set rpcaudit = true and plugin.rpcaudit.logfile",
            place("plugin.rpcaudit.chain")
        )),
        (false, _) => Ok(()),
        (true, None) => Err(format!(
            "{} is on and plugin.rpcaudit.logfile names no file: name one, or set rpcaudit = false",
            place("rpcaudit")
        )),
        (true, Some(log)) => {
            let lost = || warning(config).filter(|_| config.rpcaudit_mandatory);
            log.problem().or_else(lost).map_or(Ok(()), Err)
        }
    }
}

/// What an administrator should know at the start: that records have nowhere to go.
pub fn warning(config: &Config) -> Option<String> {
    let log = AuditLog::from_config(config)?;
    let may = |path: &Path, access: Access| rustix::fs::access(path, access).map_err(io::Error::from);
    let dir = match log.path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let (what, writable) = match log.path.symlink_metadata() {
        Ok(_) => (log.path.as_path(), may(&log.path, Access::WRITE_OK)),
        Err(_) => (dir, may(dir, Access::WRITE_OK | Access::EXEC_OK)),
    };
    let becomes = match log.mandatory {
        true => "nothing would run",
        false => "what runs is not audited",
    };
    writable.err().map(|e| {
        format!(
            "plugin.rpcaudit.logfile {} cannot be written, {becomes}: {}: {e}",
            log.path.display(),
            what.display()
        )
    })
}

/// Appends records to the audit log of this node.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    /// As configured; read when a record is written, so that a wrong setting
    /// is reported with every record it loses.
    mode: String,
    group: String,
    /// Lines of one process never mix; those of several are kept apart by
    /// being appended in one write. Whether the last write may have left part
    /// of a line, as on a full disk.
    torn: Mutex<bool>,
    /// What shows that the file is as it was written; under the lock of `torn`, so that both
    /// have records in one order.
    chain: Mutex<Option<ChainLog>>,
    mandatory: bool,
}

impl AuditLog {
    /// The log `config` asks for; `None` when `rpcaudit` is off or no file is
    /// named.
    pub fn from_config(config: &Config) -> Option<AuditLog> {
        let named = config.rpcaudit && !config.rpcaudit_logfile.is_empty();
        named.then(|| AuditLog {
            path: PathBuf::from(&config.rpcaudit_logfile),
            mode: config.rpcaudit_logfile_mode.clone(),
            group: config.rpcaudit_logfile_group.clone(),
            torn: Mutex::new(false),
            chain: Mutex::new(None),
            mandatory: config.rpcaudit_mandatory,
        })
    }

    /// With the chain `config` asks for, signed by that key.
    ///
    /// # Errors
    /// It cannot be written, for whoever starts the node.
    pub fn chained(self, config: &Config, key: Option<Key>) -> Result<AuditLog, String> {
        if config.rpcaudit_chain.is_empty() {
            return Ok(self);
        }
        let file = &config.rpcaudit_chain;
        let key =
            key.ok_or_else(|| format!("plugin.rpcaudit.chain {file}: there is no key to sign it by"))?;
        let mut chain = ChainLog::new(file, &self.path, key);
        chain
            .prepare(jiff::Timestamp::now().as_second())
            .map_err(|e| format!("plugin.rpcaudit.chain {file}: {e}"))?;
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
        // What a life before this one could not finish is no beginning of the next record.
        *self.torn.lock().unwrap_or_else(PoisonError::into_inner) = ends_within_a_line(&self.path);
        Ok(self)
    }

    /// Whether a call without a record must not run.
    pub fn is_mandatory(&self) -> bool {
        self.mandatory
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with the settings.
    pub fn problem(&self) -> Option<String> {
        let mode = parse_mode(&self.mode).map(|_| ());
        mode.and_then(|()| self.group_id().map(|_| ())).err().map(|e| e.to_string())
    }

    /// Appends `record`, made at `now`. Calls of the `discovery` agent are not
    /// audited.
    ///
    /// # Errors
    /// [`AuditError`]: the record is lost, the caller says so in its own log.
    pub fn record(&self, record: &AuditRecord<'_>, now: jiff::Timestamp) -> Result<(), AuditError> {
        if record.agent == "discovery" {
            return Ok(());
        }
        let mode = parse_mode(&self.mode)?;
        let group = self.group_id()?;
        let mut line = line(record, now);
        let mut torn = self.torn.lock().unwrap_or_else(PoisonError::into_inner);
        if *torn {
            line.insert(0, '\n');
        }
        // A chain that cannot be written costs the log no record.
        let prepared = self.prepare_chain(now);
        let written = self.open(mode, group).and_then(|mut file| {
            *torn = true;
            file.write_all(line.as_bytes())
        });
        match written {
            Ok(()) => {
                *torn = false;
                prepared?;
                self.chain(line.trim_start_matches('\n'), now)
            }
            Err(source) => {
                self.doubt_chain();
                Err(AuditError::File { path: self.path.clone(), source })
            }
        }
    }

    /// Signs what has waited its time for a checkpoint.
    ///
    /// # Errors
    /// It could not be written.
    pub fn rest(&self, now: jiff::Timestamp) -> Result<(), AuditError> {
        // in the order of a record, which holds both
        let _torn = self.torn.lock().unwrap_or_else(PoisonError::into_inner);
        self.with_chain(|chain| chain.rest(now.as_second()))
    }

    /// What the log ends with is looked at again before there is more of it.
    fn doubt_chain(&self) {
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        chain.iter_mut().for_each(ChainLog::doubt);
    }

    fn prepare_chain(&self, now: jiff::Timestamp) -> Result<(), AuditError> {
        self.with_chain(|chain| chain.prepare(now.as_second()))
    }

    fn with_chain(&self, work: impl FnOnce(&mut ChainLog) -> io::Result<()>) -> Result<(), AuditError> {
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(chain) = chain.as_mut() else { return Ok(()) };
        work(chain).map_err(|source| AuditError::File { path: chain.path().to_owned(), source })
    }

    fn chain(&self, line: &str, now: jiff::Timestamp) -> Result<(), AuditError> {
        self.with_chain(|chain| chain.add(line.as_bytes(), now.as_second()))
    }

    fn open(&self, mode: u32, group: Option<u32>) -> io::Result<File> {
        let open = |new: bool| OpenOptions::new().append(true).create_new(new).mode(mode).open(&self.path);
        // Opened first: a path that is looked at may be another file when it is opened.
        let file = match open(false) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => match open(true) {
                // Somebody else has made it meanwhile, and given it its mode.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => open(false)?,
                made => {
                    let file = made?;
                    // The umask has its say in `open`; the setting is the whole mode.
                    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
                    file
                }
            },
            opened => opened?,
        };
        if let Some(group) = group
            && file.metadata()?.gid() != group
        {
            change_group(&file, group)?;
        }
        Ok(file)
    }

    fn group_id(&self) -> Result<Option<u32>, AuditError> {
        if self.group.is_empty() {
            return Ok(None);
        }
        let known = files::group_id(&self.group);
        known.map(Some).ok_or_else(|| AuditError::Group(self.group.clone()))
    }
}

/// Whether the last line of a log has no end.
fn ends_within_a_line(log: &Path) -> bool {
    let last = || -> io::Result<Option<u8>> {
        let Some(mut file) = chain::regular(log)? else { return Ok(None) };
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        let [last] = last;
        Ok(Some(last))
    };
    // none, or an empty one
    last().is_ok_and(|last| last.is_some_and(|last| last != b'\n'))
}

fn change_group(file: &File, group: u32) -> io::Result<()> {
    std::os::unix::fs::fchown(file, None, Some(group))
}

/// A number with its base as Go reads one: `0600` and `0o600` are octal, `600`
/// is decimal.
fn parse_mode(text: &str) -> Result<u32, AuditError> {
    let (digits, base) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..), 16),
        [b'0', b'o' | b'O', ..] => (text.get(2..), 8),
        [b'0', b'b' | b'B', ..] => (text.get(2..), 2),
        [b'0', _, ..] => (text.get(1..), 8),
        _ => (Some(text), 10),
    };
    let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_alphanumeric()));
    let mode = digits.and_then(|digits| u32::from_str_radix(digits, base).ok());
    match mode.filter(|mode| *mode <= 0o7777) {
        Some(mode) if mode & !0o666 != 0 => Err(AuditError::OddMode { text: text.to_string(), mode }),
        Some(mode) => Ok(mode),
        None => Err(AuditError::Mode(text.to_string())),
    }
}
