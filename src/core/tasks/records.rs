//! File records: what a caller says the files of a task are. They come from a caller who may
//! run tasks, and from whoever made it send them: names and addresses are looked at before
//! anything is built of them (spec 07 §§A1, A4.1).

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TaskName;
use super::names::is_segment;

/// Most files of a task.
pub const MOST_FILES: usize = 512;
/// Bytes of one file, and of all files of a task.
const LARGEST: u64 = 256 << 20;
const LARGEST_ALL: u64 = 1 << 30;
/// Characters of a path.
const LONGEST: usize = 1024;
/// Directories of a module that files of tasks are in.
pub const MOUNTS: [&str; 4] = ["files", "lib", "scripts", "tasks"];
/// Where a Puppet Server has files.
const ADDRESSES: &str = "/puppet/v3/";
/// What stands for itself in an address.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// One file of a task. The members travel in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileRecord {
    /// A file of the module's `tasks`, or `module/mount/path`.
    pub filename: String,
    /// Hash of its content, 64 hex digits.
    pub sha256: String,
    /// Its size.
    pub size_bytes: u64,
    /// Where it is.
    pub uri: Address,
    /// Of the first one: signatures of the whole list, in hex. Nodes that know nothing of it
    /// pass over it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<String>,
}

/// Where a Puppet Server has a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// Begins with `/puppet/v3/`.
    pub path: String,
    /// The query.
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// Why records are refused, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// There are none.
    #[error("Received empty or invalid task file specification")]
    Empty,
    /// They are no list of records.
    #[error("Received empty or invalid task file specification: {0}")]
    Unreadable(String),
    /// One of them cannot be.
    #[error("the file '{name}' of the task {problem}")]
    Bad {
        /// Its name, shortened.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More than a node takes.
    #[error(
        "the task has more or larger files than a node takes: {MOST_FILES} files, 256 MiB each, 1 GiB in all"
    )]
    TooMuch,
    /// The executable is of another module.
    #[error("the first file, which is run, has to be of the directory tasks of the module {0}")]
    Foreign(String),
}

/// Reads and judges the records of a task.
///
/// # Errors
/// [`RecordError`]; nothing was done.
pub fn parse(text: &str) -> Result<Vec<FileRecord>, RecordError> {
    if text.trim().is_empty() {
        return Err(RecordError::Empty);
    }
    let mut records: Vec<FileRecord> = serde_json::from_str(text).map_err(|e| {
        // what stands there is shown by its place alone
        RecordError::Unreadable(e.to_string().chars().take(200).collect())
    })?;
    match records.len() {
        0 => return Err(RecordError::Empty),
        1..=MOST_FILES => {}
        _ => return Err(RecordError::TooMuch),
    }
    let mut left = LARGEST_ALL;
    for record in &mut records {
        record.check()?;
        record.sha256.make_ascii_lowercase();
        left = left.checked_sub(record.size_bytes).ok_or(RecordError::TooMuch)?;
    }
    Ok(records)
}

impl FileRecord {
    fn check(&self) -> Result<(), RecordError> {
        let bad = |problem| {
            let name = self.filename.chars().take(90).flat_map(char::escape_debug).collect();
            Err(RecordError::Bad { name, problem })
        };
        let Address { path, params } = &self.uri;
        match () {
            () if !is_inside(&self.filename) => bad("has a name that leads elsewhere"),
            () if self.place().is_none() => bad("is neither NAME nor MODULE/files|lib|scripts|tasks/PATH"),
            () if self.sha256.len() != 64 || !self.sha256.bytes().all(|b| b.is_ascii_hexdigit()) => {
                bad("has no SHA-256 of 64 hex digits")
            }
            () if self.size_bytes > LARGEST => Err(RecordError::TooMuch),
            () if !path.starts_with(ADDRESSES) => bad("has an address outside of /puppet/v3/"),
            () if !is_inside(path.trim_start_matches('/')) => bad("has an address that leads elsewhere"),
            () if params.len() > 16 || params.values().any(|value| plain(value).is_none()) => {
                bad("has an address with parameters that are no texts")
            }
            () => Ok(()),
        }
    }

    /// Its place below `files` of a run; of a file of `tasks` that of a module that is to be
    /// filled in.
    fn place(&self) -> Option<Option<[&str; 3]>> {
        if !self.filename.contains('/') {
            return Some(None);
        }
        let mut parts = self.filename.splitn(3, '/');
        let parts = [parts.next()?, parts.next()?, parts.next()?];
        (is_segment(parts[0]) && MOUNTS.contains(&parts[1])).then_some(Some(parts))
    }

    /// Where it stands below `files` of a run.
    pub fn path(&self, task: &TaskName) -> PathBuf {
        match self.filename.contains('/') {
            true => PathBuf::from(&self.filename),
            false => Path::new(task.module()).join("tasks").join(&self.filename),
        }
    }

    /// What a Puppet Server is asked for it.
    pub fn target(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, &PLAIN).to_string();
        let mut target = encoded(&self.uri.path);
        for (at, (name, value)) in self.uri.params.iter().enumerate() {
            let value = plain(value).unwrap_or_default();
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(&format!("{}={}", encoded(name), encoded(&value)));
        }
        target
    }

    /// Whether the system here can run it, by the end of its name.
    pub fn runs_here(&self) -> bool {
        !self.filename.ends_with(".ps1")
    }
}

/// The file that is run: the first that can run here, by its name and by what `runs` says of it,
/// else the first (spec 07 §A4.3). Servers list the programs of a task before its other files.
///
/// # Errors
/// That is a file of another module.
pub fn executable<'r>(
    records: &'r [FileRecord],
    task: &TaskName,
    runs: impl Fn(&FileRecord) -> bool,
) -> Result<&'r FileRecord, RecordError> {
    let first = records.first().ok_or(RecordError::Empty)?;
    let of_task =
        |record: &&FileRecord| record.path(task).starts_with(Path::new(task.module()).join("tasks"));
    let programs = records.iter().filter(|record| !record.filename.contains('/') && record.runs_here());
    let chosen = match records.len() {
        1 => first,
        _ => programs.into_iter().find(|record| runs(record)).unwrap_or(first),
    };
    Some(chosen).filter(of_task).ok_or_else(|| RecordError::Foreign(task.module().to_owned()))
}

/// A relative path that stays where it begins.
pub fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= LONGEST
        && !path.contains('\\')
        && !path.chars().any(char::is_control)
        && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}

/// A parameter of an address.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() <= LONGEST => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null => Some(String::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> Value {
        json!({"filename": "init.sh", "sha256": "A".repeat(64), "size_bytes": 12,
            "uri": {"path": "/puppet/v3/file_content/tasks/demo/init.sh", "params": {"environment": "a b"}}})
    }

    fn with(member: &str, value: Value) -> String {
        let mut record = record();
        match member.split_once('.') {
            Some((outer, inner)) => record[outer][inner] = value,
            None => record[member] = value,
        }
        json!([record]).to_string()
    }

    #[test]
    fn a_record_as_a_puppet_server_has_it() {
        let records = parse(&json!([record()]).to_string()).unwrap();
        let task = TaskName::parse("demo").unwrap();
        assert_eq!(records[0].sha256, "a".repeat(64));
        assert_eq!(records[0].path(&task), Path::new("demo/tasks/init.sh"));
        assert_eq!(records[0].target(), "/puppet/v3/file_content/tasks/demo/init.sh?environment=a%20b");
        assert_eq!(executable(&records, &task, |_| true).unwrap().filename, "init.sh");
        let text = serde_json::to_string(&records[0]).unwrap();
        assert!(
            text.starts_with(r#"{"filename":"init.sh","sha256":"#) && !text.contains("signatures"),
            "{text}"
        );
        let deep = parse(&with("filename", json!("other/files/deep/er.txt"))).unwrap();
        assert_eq!(deep[0].path(&task), Path::new("other/files/deep/er.txt"));
        assert!(executable(&deep, &task, |_| true).is_err(), "what is run is of the module");
    }

    #[test]
    fn hostile_records_are_refused() {
        for (member, value) in [
            ("filename", json!("../init.sh")),
            ("filename", json!("..")),
            ("filename", json!("/etc/passwd")),
            ("filename", json!("demo/tasks/../../x")),
            ("filename", json!("demo/tasks//x")),
            ("filename", json!("demo/etc/x")),
            ("filename", json!("demo/tasks")),
            ("filename", json!("Demo/tasks/x")),
            ("filename", json!("a\\b")),
            ("filename", json!("a\u{0}b")),
            ("filename", json!("")),
            ("filename", json!("x".repeat(5000))),
            ("sha256", json!("a".repeat(63))),
            ("sha256", json!("../".repeat(21) + "x")),
            ("sha256", json!("g".repeat(64))),
            ("size_bytes", json!(1u64 << 40)),
            ("size_bytes", json!(-1)),
            ("size_bytes", json!("12")),
            ("uri.path", json!("http://elsewhere/")),
            ("uri.path", json!("/etc/passwd")),
            ("uri.path", json!("/puppet/v3/../../x")),
            ("uri.path", json!("/puppet/v3/x\r\nHost: y")),
            ("uri.params", json!({"a": {}})),
            ("uri", json!(null)),
        ] {
            assert!(parse(&with(member, value.clone())).is_err(), "{member} {value}");
        }
        for text in ["", " ", "[]", "{}", "[1]", "[", "null"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let many: Vec<Value> = (0..MOST_FILES + 1).map(|_| record()).collect();
        assert_eq!(parse(&json!(many).to_string()).unwrap_err(), RecordError::TooMuch);
        let big: Vec<Value> = (0..5)
            .map(|_| {
                let mut record = record();
                record["size_bytes"] = json!(LARGEST);
                record
            })
            .collect();
        assert_eq!(parse(&json!(big).to_string()).unwrap_err(), RecordError::TooMuch);
    }

    #[test]
    fn programs_that_do_not_run_here_are_passed_over() {
        let named = |names: &[&str]| {
            let records: Vec<Value> = names
                .iter()
                .map(|name| serde_json::from_str::<Value>(&with("filename", json!(name))).unwrap()[0].clone())
                .collect();
            parse(&json!(records).to_string()).unwrap()
        };
        let task = TaskName::parse("demo").unwrap();
        let runs = |record: &FileRecord| !record.filename.ends_with(".py");
        let chosen = |names: &[&str]| executable(&named(names), &task, runs).unwrap().filename.clone();
        assert_eq!(chosen(&["a.ps1", "other/files/x", "b.sh"]), "b.sh");
        assert_eq!(chosen(&["a.rb", "b.sh"]), "a.rb");
        assert_eq!(chosen(&["a.ps1"]), "a.ps1");
        assert_eq!(chosen(&["a.py", "b.sh"]), "b.sh");
        assert_eq!(chosen(&["a.py", "other/tasks/b.sh"]), "a.py");
    }

    #[test]
    fn fuzz_records() {
        bolero::check!().with_iterations(20_000).for_each(|bytes: &[u8]| {
            let task = TaskName::parse("demo").unwrap();
            for record in parse(&String::from_utf8_lossy(bytes)).unwrap_or_default() {
                assert!(is_inside(record.path(&task).to_str().unwrap()));
                assert!(record.target().starts_with(ADDRESSES));
            }
        });
    }
}
