//! What was told, kept in a file: a restart tells nobody anything twice.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Alerts, Case, Key, MOST_CASES, MOST_RECEIVERS, Told, WELL};
use crate::core::files::{SECRET, read_bounded, write_atomic};
use crate::core::scout::fleet::{MOST_NODES, Track};
use crate::core::scout::seen::{MOST_NAME, fits};
use crate::core::text::{on_one_line, shorten};

/// Bytes of the file.
const MOST: u64 = 512 << 20;
/// Bytes that are kept of what a check said.
const MOST_OUTPUT: usize = 200;
/// Bytes of a name as JSON: of what is in one, `"` and `\` alone are written as two.
const NAME: usize = 2 * MOST_NAME + 3;
/// Bytes of a node, and of when it said goodbye.
const NODE: usize = NAME + 32;
/// Bytes of a case: names of its node and check, its output with an ellipsis, what each receiver
/// was told and is being sent, and the names and numbers of its fields.
const CASE: usize = 2 * NAME + 2 * (MOST_OUTPUT + 3) + MOST_RECEIVERS * (28 + 5) + 170;
/// Bytes of the rest: names of receivers, which the settings' own bound holds.
const REST: usize = 8 << 20;
// what is written can be read again
const _: () = assert!((MOST_NODES * NODE + MOST_CASES * CASE + REST) as u64 <= MOST);
const FORMAT: u32 = 1;

/// Why what was told is not known.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file cannot be read or written.
    #[error("{0}")]
    File(#[from] io::Error),
    /// It is no such file, and stays where it is.
    #[error(
        "{file} is not what was kept here: {why}; it cannot be moved aside ({problem}), move it away to begin anew"
    )]
    Invalid {
        /// Which.
        file: String,
        /// What is wrong with it.
        why: String,
        /// Why it is still there.
        problem: io::Error,
    },
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    receivers: &'a [String],
    nodes: Vec<&'a str>,
    gone: &'a [(usize, i64)],
    cases: Vec<WrittenCase<'a>>,
}

#[derive(Serialize)]
struct WrittenCase<'a> {
    node: &'a str,
    check: &'a str,
    state: &'a str,
    status: u8,
    since: i64,
    output: &'a str,
    told: Vec<Option<(u8, i64)>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sent: Vec<Option<u8>>,
}

#[derive(Deserialize)]
struct Kept {
    format: u32,
    #[serde(deserialize_with = "at_most::<_, _, MOST_RECEIVERS>")]
    receivers: Vec<String>,
    /// Nodes that are missed when they fall silent.
    #[serde(deserialize_with = "at_most::<_, _, MOST_NODES>")]
    nodes: Vec<String>,
    /// Those that said goodbye: their places in `nodes`, and when.
    #[serde(default, deserialize_with = "at_most::<_, _, MOST_NODES>")]
    gone: Vec<(usize, i64)>,
    #[serde(deserialize_with = "at_most::<_, _, MOST_CASES>")]
    cases: Vec<KeptCase>,
}

/// A list of at most `MOST`; what is longer is not read to its end.
fn at_most<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(
    of: D,
) -> Result<Vec<T>, D::Error> {
    struct List<T, const MOST: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                if list.len() == MOST {
                    return Err(A::Error::custom(format!("there are more than {MOST} of one kind")));
                }
                list.push(item);
            }
            Ok(list)
        }
    }
    of.deserialize_seq(List::<T, MOST>(PhantomData))
}

#[derive(Deserialize)]
struct KeptCase {
    node: String,
    check: String,
    /// Of a check that rests; of others it does not matter.
    state: String,
    status: u8,
    since: i64,
    output: String,
    /// By receiver: status and time.
    #[serde(deserialize_with = "at_most::<_, _, MOST_RECEIVERS>")]
    told: Vec<Option<(u8, i64)>>,
    /// By receiver: what it may have, though it did not say so.
    #[serde(default, deserialize_with = "at_most::<_, _, MOST_RECEIVERS>")]
    sent: Vec<Option<u8>>,
}

/// What is to be kept, as it was at one moment: whoever has it needs no lock to write it.
pub struct Snapshot {
    receivers: Vec<String>,
    nodes: Vec<Arc<str>>,
    gone: Vec<(usize, i64)>,
    /// With the state of checks that rest, and with outputs that are cut.
    cases: Vec<(Key, Option<Arc<str>>, Case)>,
}

impl Snapshot {
    /// As text, which takes its time.
    pub fn text(&self) -> String {
        let count = self.receivers.len();
        let cases = self.cases.iter().map(|(key, state, case)| WrittenCase {
            node: &key.0,
            check: &key.1,
            state: state.as_deref().unwrap_or_default(),
            status: case.status,
            since: case.since,
            output: &case.output,
            told: case.told.iter().take(count).map(|told| told.map(|t| (t.status, t.at))).collect(),
            sent: match case.sent.iter().any(Option::is_some) {
                true => case.sent.iter().take(count).copied().collect(),
                false => vec![],
            },
        });
        let written = Written {
            format: FORMAT,
            receivers: &self.receivers,
            nodes: self.nodes.iter().map(|node| &**node).collect(),
            gone: &self.gone,
            cases: cases.collect(),
        };
        // texts and numbers alone: there is nothing to fail on
        serde_json::to_string(&written).unwrap_or_default()
    }
}

/// What is kept of an output; of what is in it, nothing is written as more than two bytes.
fn brief(output: &str) -> Box<str> {
    // a character is a byte at least
    let mut brief: String = on_one_line(output).take(MOST_OUTPUT + 1).collect();
    shorten(&mut brief, MOST_OUTPUT);
    brief.into()
}

impl Alerts {
    /// What is to be kept.
    pub fn snapshot(&self) -> Snapshot {
        let nodes = self.fleet.nodes();
        let rests = |key: &Key| {
            let track = nodes.get(&key.0).and_then(|node| node.tracks.get(&key.1));
            track.filter(|track| track.rests()).map(|track| track.state.clone())
        };
        let goodbye = |(place, node): (usize, &Arc<str>)| self.gone.get(node).map(|at| (place, *at));
        let case = |case: &Case| Case {
            status: case.status,
            since: case.since,
            output: brief(&case.output),
            told: case.told,
            sent: case.sent,
        };
        Snapshot {
            receivers: self.settings.receivers.iter().map(|receiver| receiver.name.clone()).collect(),
            nodes: nodes.keys().cloned().collect(),
            gone: nodes.keys().enumerate().filter_map(goodbye).collect(),
            cases: self.cases.iter().map(|(key, one)| (key.clone(), rests(key), case(one))).collect(),
        }
    }

    /// Takes over what was kept; nodes count as heard now.
    ///
    /// # Errors
    /// It is nothing that was kept.
    pub fn restore(&mut self, text: &[u8], now: i64) -> Result<(), String> {
        let mut kept = Kept::read(text)?;
        let places = self.places(&kept);
        for node in kept.nodes.iter().filter(|node| fits(node)) {
            self.fleet.hear(node, now);
        }
        for (place, at) in std::mem::take(&mut kept.gone) {
            let node = kept.nodes.get(place).map(String::as_str).unwrap_or_default();
            if let Some((known, _)) = self.fleet.nodes().get_key_value(node) {
                self.gone.insert(known.clone(), at);
            }
        }
        let silent = self.silent(&kept);
        for case in kept.cases {
            self.restore_case(case, &places, &silent, now);
        }
        Ok(())
    }

    /// Goes on where another one was: what it told counts as told, and nothing else does. Of nodes that this one
    /// hears itself it knows better how they are; nodes that it does not know count as heard now.
    ///
    /// # Errors
    /// It is nothing that was kept.
    pub fn go_on(&mut self, text: &[u8], now: i64) -> Result<(), String> {
        let kept = Kept::read(text)?;
        let places = self.places(&kept);
        self.changed = true;
        let heard = |alerts: &Alerts, node: &str| alerts.fleet.nodes().contains_key(node);
        let ours: HashSet<String> = kept.nodes.iter().filter(|node| heard(self, node)).cloned().collect();
        for case in self.cases.values_mut() {
            (case.told, case.sent) = ([None; MOST_RECEIVERS], [None; MOST_RECEIVERS]);
        }
        for node in kept.nodes.iter().filter(|node| fits(node)) {
            if !self.fleet.nodes().contains_key(node.as_str()) {
                self.fleet.hear(node, now);
            }
        }
        let silent = self.silent(&kept);
        for case in kept.cases {
            let key: Key = (case.node.as_str().into(), case.check.as_str().into());
            let (told, sent) = (told_by(&places, &case.told), placed(&places, &case.sent));
            if let Some(known) = self.cases.get_mut(&key) {
                (known.told, known.sent) = (told, sent);
            } else if self.fleet.nodes().get(&key.0).is_some_and(|node| node.tracks.contains_key(&key.1))
                || key.1.is_empty() && ours.contains(&*key.0)
            {
                // it is no case here, so it is over
                let over = Case { status: WELL, since: now, output: case.output.into(), told, sent };
                self.cases.insert(key, over);
            } else {
                self.restore_case(case, &places, &silent, now);
            }
        }
        Ok(())
    }

    /// Which receiver of ours each of those is.
    fn places(&self, kept: &Kept) -> Vec<Option<usize>> {
        let place_of = |name: &String| self.settings.receivers.iter().position(|known| known.name == *name);
        kept.receivers.iter().map(place_of).collect()
    }

    /// Nodes that had fallen silent, and when they had been heard: a restart is no sign of them.
    fn silent(&self, kept: &Kept) -> HashMap<String, i64> {
        let before = self.settings.silence_after.saturating_add(1);
        let is_silent = |case: &&KeptCase| case.check.is_empty() && case.status != WELL;
        let silent = kept.cases.iter().filter(is_silent);
        silent.map(|case| (case.node.clone(), case.since.saturating_sub(before))).collect()
    }

    fn restore_case(
        &mut self,
        case: KeptCase,
        places: &[Option<usize>],
        silent: &HashMap<String, i64>,
        now: i64,
    ) {
        // the check of a node that fell silent has no name
        let fits = fits(&case.node) && (case.check.is_empty() || fits(&case.check));
        if !fits || self.cases.len() >= MOST_CASES {
            return;
        }
        let (told, sent) = (told_by(places, &case.told), placed(places, &case.sent));
        if case.check.is_empty() {
            if let Some(seen) = silent.get(&case.node) {
                self.fleet.hear(&case.node, *seen);
            }
        } else {
            let track = Track {
                state: case.state.as_str().into(),
                version: "".into(),
                status: Some(case.status),
                waits: false,
                life: 0,
                looked: 0,
                every: 0,
                looks: 0,
                since: case.since,
                at: now,
                output: case.output.as_str().into(),
                history: vec![],
            };
            // what another one told is no sign of the node
            let known = self.fleet.nodes().get(case.node.as_str()).map(|node| node.seen);
            let seen = silent.get(&case.node).copied().or(known).unwrap_or(now);
            self.restore_node(&case.node, &case.check, track, seen);
        }
        let key = (case.node.into(), case.check.into());
        let restored =
            Case { status: case.status, since: case.since, output: case.output.into(), told, sent };
        self.cases.insert(key, restored);
    }
}

impl Kept {
    fn read(text: &[u8]) -> Result<Kept, String> {
        let kept: Kept = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        match kept.format {
            FORMAT => Ok(kept),
            other => Err(format!("format {other} is of another version")),
        }
    }
}

/// What receivers were told, as ours are placed.
fn told_by(places: &[Option<usize>], told: &[Option<(u8, i64)>]) -> [Option<Told>; MOST_RECEIVERS] {
    placed(places, told).map(|told| told.map(|(status, at)| Told { status, at }))
}

/// Something of each receiver, as ours are placed.
fn placed<T: Copy>(places: &[Option<usize>], theirs: &[Option<T>]) -> [Option<T>; MOST_RECEIVERS] {
    let mut ours = [None; MOST_RECEIVERS];
    for (place, was) in places.iter().zip(theirs) {
        if let Some(slot) = place.and_then(|place| ours.get_mut(place)) {
            *slot = *was;
        }
    }
    ours
}

/// Reads what was kept, where anything was. A file that is none, or larger than any is, is moved
/// aside and told of: what is wrong is told anew then, instead of nothing ever again.
///
/// # Errors
/// There is something, and it can neither be read nor moved aside.
pub fn load(alerts: &mut Alerts, file: &Path, now: i64) -> Result<(), KeptError> {
    if !file.exists() {
        return Ok(());
    }
    let about = std::fs::metadata(file)?;
    if !about.is_file() {
        return Err(io::Error::other(format!("{} is no file", file.display())).into());
    }
    let why = if about.len() > MOST {
        format!("it is larger than {MOST} bytes")
    } else {
        match alerts.restore(&read_bounded(file, MOST)?, now) {
            Ok(()) => return Ok(()),
            Err(why) => why,
        }
    };
    let mut aside = file.as_os_str().to_owned();
    aside.push(".broken");
    let aside = PathBuf::from(aside);
    std::fs::rename(file, &aside).map_err(|problem| KeptError::Invalid {
        file: file.display().to_string(),
        why: why.clone(),
        problem,
    })?;
    tracing::error!(
        "{} is not what was kept here: {why}; it is {} now, and what is wrong is told anew",
        file.display(),
        aside.display()
    );
    Ok(())
}

/// Writes it, whole or not at all.
///
/// # Errors
/// It cannot be written.
pub fn save(kept: &Snapshot, file: &Path) -> Result<(), KeptError> {
    Ok(write_atomic(file, kept.text().as_bytes(), SECRET)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::scout::alerts::Settings;
    use crate::core::scout::{Checked, Seen};

    fn alerts() -> Alerts {
        let receivers: Vec<String> = ('a'..='h').map(|c| format!("{{name: {c}, program: [/{c}]}}")).collect();
        Alerts::new(Settings::parse(&format!("receivers: [{}]", receivers.join(", "))).unwrap())
    }

    fn checked(identity: &str, machine: &str, output: &str) -> Seen {
        Seen::Checked(Checked {
            identity: identity.into(),
            machine: machine.into(),
            version: "1".into(),
            status: 2,
            output: output.into(),
            at: 0,
            looked: 0,
            every: 0,
            life: 0,
        })
    }

    #[test]
    fn no_case_takes_more_of_the_file_than_was_reckoned() {
        let name = "\"".repeat(MOST_NAME);
        for output in ["\"".repeat(1024), "\u{1}".repeat(1024), "€".repeat(300)] {
            let mut alerts = alerts();
            let empty = alerts.snapshot().text().len();
            alerts.machine(&checked(&name, &name, &output), i64::MIN);
            let told = Some(Told { status: 255, at: i64::MIN });
            for case in alerts.cases.values_mut() {
                (case.told, case.sent) = ([told; MOST_RECEIVERS], [Some(255); MOST_RECEIVERS]);
            }
            let text = alerts.snapshot().text();
            assert!(text.len() <= empty + NODE + CASE, "{} of {}", text.len() - empty, NODE + CASE);
            let mut again = self::alerts();
            again.restore(text.as_bytes(), 1).unwrap();
            let case = again.cases.values().next().unwrap();
            assert!(case.output.len() <= MOST_OUTPUT + 3 && case.told == [told; MOST_RECEIVERS]);
        }
    }

    #[test]
    fn what_is_longer_than_any_of_ours_is_not_read_to_its_end() {
        let told = ["null"; MOST_RECEIVERS + 1].join(",");
        for (nodes, cases) in [
            (vec!["\"a\""; MOST_NODES + 1].join(","), String::new()),
            (
                String::new(),
                format!(
                    r#"{{"node":"a","check":"b","state":"","status":2,"since":1,"output":"","told":[{told}]}}"#
                ),
            ),
        ] {
            let text = format!(r#"{{"format":1,"receivers":[],"nodes":[{nodes}],"cases":[{cases}]}}"#);
            for restores in [Alerts::restore, Alerts::go_on] {
                assert!(
                    restores(&mut alerts(), text.as_bytes(), 1).unwrap_err().contains("more than"),
                    "{nodes}"
                );
            }
        }
    }

    #[test]
    fn a_file_that_is_none_is_moved_aside() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("state.json");
        let broken = directory.path().join("state.json.broken");
        std::fs::write(&file, "{").unwrap();
        load(&mut alerts(), &file, 1).unwrap();
        assert!(!file.exists() && std::fs::read(&broken).unwrap() == b"{");
        let link = directory.path().join("link.json");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert!(load(&mut alerts(), &link, 1).unwrap_err().to_string().contains("is no file"));
        assert!(link.exists() && load(&mut alerts(), Path::new("/dev/null"), 1).is_err());
        // larger than any of ours, though nothing is in it
        std::fs::File::create(&file).unwrap().set_len(MOST + 1).unwrap();
        load(&mut alerts(), &file, 1).unwrap();
        assert!(!file.exists() && std::fs::metadata(&broken).unwrap().len() == MOST + 1);
        let mut kept = alerts();
        kept.machine(&checked("n1", "disk", "said"), 1);
        save(&kept.snapshot(), &file).unwrap();
        let mut again = alerts();
        load(&mut again, &file, 1).unwrap();
        assert_eq!(again.counts(), (1, 1));
    }
}
