//! An index of a large inventory, kept beside it in a user's cache: who was read once is asked
//! without being read again.
//!
//! A filter looks at few facts, and a fleet has few different values of most. So the file holds
//! facts by their names, each different value once, and a filter is evaluated once for each
//! different value. What cannot be told from the names alone, such as a path of wildcards, is
//! asked of the inventory itself.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::columns::{Column, Making, NONE, numbers, on_all_processors, set};
use super::wanted::{Reads, Test, Wanted, only};
use super::{Group, Inventory};
use crate::core::files::{SECRET, open_own, write_atomic};
use crate::core::protocol::filter::{Facts, Filter, NoData, NodeView};
use crate::core::text::hex;

/// First line of a file; another one is not read.
const MAGIC: &str = "choria inventory index 1";
/// Smaller inventories are read as fast.
const WORTH_IT: u64 = 1024 * 1024;
/// Different names of facts; with more they are values of somebody rather than names.
const MOST_FACTS: usize = 10_000;
/// Longest head.
const LONGEST_HEAD: usize = 4 * 1024 * 1024;
/// Inventories whose index is kept.
const KEPT: usize = 4;
/// A file that was changed less long ago may be changed without our seeing it.
const SETTLED: Duration = Duration::from_secs(2);

/// An index, opened.
pub struct Index {
    file: File,
    head: Head,
    /// Where the parts begin.
    start: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// Which state of the inventory it is of.
    stamp: [u64; 7],
    groups: Vec<Group>,
    nodes: usize,
    names: Part,
    words: Part,
    collectives: Part,
    classes: Part,
    agents: Part,
    facts: BTreeMap<String, Part>,
}

/// Where a part is behind the head, and its length.
type Part = (u64, u64);

impl Index {
    /// The index of this inventory in that directory; nothing where there is none of its state now.
    pub fn open(inventory: &Path, cache: &Path) -> Option<Index> {
        let stamp = stamp(inventory)?;
        let mut file = open_own(&place(inventory, cache)?).ok()?;
        let mut first = vec![0; MAGIC.len() + 1 + 4];
        file.read_exact(&mut first).ok()?;
        let length = first.strip_prefix(MAGIC.as_bytes())?.strip_prefix(b"\n")?;
        let length = numbers(length).next().map(|length| length as usize).filter(|n| *n <= LONGEST_HEAD)?;
        let mut head = vec![0; length];
        file.read_exact(&mut head).ok()?;
        let head: Head = serde_json::from_slice(&head).ok()?;
        let start = (first.len() + length) as u64;
        // each node has a byte of its own at least
        if head.nodes as u64 > file.metadata().ok()?.len() {
            return None;
        }
        (head.stamp == stamp).then_some(Index { file, head, start })
    }

    /// Writes the index of an inventory as it was read; nothing where it is not worth it. Whoever
    /// cannot write it does without.
    pub fn write(read: &Inventory, before: [u64; 7], inventory: &Path, cache: &Path) {
        let [_, length, ..] = before;
        // the same before and after it was read, and for a while
        if length < WORTH_IT || stamp(inventory) != Some(before) || !is_settled(inventory) {
            return;
        }
        let (Some(place), Some(bytes)) = (place(inventory, cache), encode(read, before)) else { return };
        let dir = place.parent().unwrap_or(Path::new("/"));
        let made = std::fs::create_dir_all(dir).and_then(|()| write_atomic(&place, &bytes, SECRET));
        match made {
            Ok(()) => tidy(dir),
            Err(e) => tracing::debug!("{} is not written: {e}", place.display()),
        }
    }

    /// Saved filters.
    pub fn groups(&self) -> &[Group] {
        &self.head.groups
    }

    /// Names of the nodes in `collective` that match, in no order; nothing where the index cannot
    /// tell, or is not what it should be.
    pub fn matching(&self, collective: &str, filter: &Filter) -> Option<Vec<String>> {
        let wanted = Wanted::of(filter)?;
        if filter.check_size().is_err() {
            return Some(vec![]);
        }
        let nodes = self.head.nodes;
        let mut left = vec![true; nodes];
        let words = self.part(self.head.words, 0)?;
        let words: Vec<&str> =
            words.values.iter().map(|word| std::str::from_utf8(word).ok()).collect::<Option<_>>()?;
        let member = |_: &NodeView<'_>, word: &str| word == collective;
        self.keep(&mut left, self.head.collectives, &words, &member)?;
        for agent in &filter.agent {
            let test = |view: &NodeView<'_>, _: &str| view.has_agent(agent);
            self.keep(&mut left, self.head.agents, &words, &test)?;
        }
        for class in &filter.cf_class {
            let test = |view: &NodeView<'_>, _: &str| view.has_class(class);
            self.keep(&mut left, self.head.classes, &words, &test)?;
        }
        let names = self.column(self.head.names)?;
        let name = |node: usize| std::str::from_utf8(names.get(node)?).ok();
        if !filter.identity.is_empty() {
            let only = Filter { identity: filter.identity.clone(), ..Filter::default() };
            let nobody = Facts::default();
            for (node, left) in left.iter_mut().enumerate().filter(|(_, left)| **left) {
                let view = NodeView { identity: name(node)?, ..view(&[], &[], &nobody) };
                *left = only.matches(&view).unwrap_or(false);
            }
        }
        for (test, reads) in wanted.parts() {
            self.evaluate(&mut left, test, reads, &words)?;
        }
        let found = left.iter().enumerate().filter(|(_, left)| **left);
        found.map(|(node, _)| name(node).map(str::to_owned)).collect()
    }

    /// Keeps nodes one of whose words passes a test, which is made once a word.
    fn keep(
        &self,
        left: &mut [bool],
        part: Part,
        words: &[&str],
        test: &dyn Fn(&NodeView<'_>, &str) -> bool,
    ) -> Option<()> {
        let sets = self.column(part)?;
        let nobody = Facts::default();
        let passes: Vec<bool> = words
            .iter()
            .map(|word| {
                let one = [(*word).to_owned()];
                test(&view(&one, &one, &nobody), word)
            })
            .collect();
        let any = |set: &Vec<u8>| numbers(set).any(|word| passes.get(word as usize) == Some(&true));
        let passing: Vec<bool> = sets.values.iter().map(any).collect();
        for (left, place) in left.iter_mut().zip(&sets.of) {
            *left &= passing.get(*place as usize) == Some(&true);
        }
        Some(())
    }

    /// Keeps nodes that pass a test, which is made once for each different state of what
    /// it reads, on all processors.
    fn evaluate(&self, left: &mut [bool], test: &Test, reads: &Reads, words: &[&str]) -> Option<()> {
        let facts: Vec<(&String, Column)> = reads
            .facts
            .iter()
            .filter_map(|(name, below)| Some((name, below, *self.head.facts.get(name)?)))
            .map(|(name, below, part)| {
                let column = self.column(part)?;
                let of_each = |value: &[u8]| only(below, &String::from_utf8_lossy(value)).into_bytes();
                Some((name, if below.is_empty() { column } else { column.narrowed(&of_each)? }))
            })
            .collect::<Option<_>>()?;
        let words_of =
            |wanted: bool, part: Part| if wanted { self.column(part).map(Some) } else { Some(None) };
        let classes = words_of(reads.words, self.head.classes)?;
        let agents = words_of(reads.words, self.head.agents)?;
        let columns: Vec<&Column> =
            facts.iter().map(|(_, column)| column).chain(&classes).chain(&agents).collect();
        let mut states: HashMap<Vec<u32>, usize> = HashMap::new();
        let mut of = vec![usize::MAX; left.len()];
        for (node, of) in of.iter_mut().enumerate().filter(|(node, _)| left.get(*node) == Some(&true)) {
            let state = columns.iter().map(|column| column.of.get(node).copied().unwrap_or(NONE)).collect();
            let next = states.len();
            *of = *states.entry(state).or_insert(next);
        }
        let mut ordered: Vec<(&Vec<u32>, usize)> =
            states.iter().map(|(state, place)| (state, *place)).collect();
        ordered.sort_by_key(|(_, place)| *place);
        let matches = |state: &[u32]| -> bool {
            let mut json = String::from("{");
            for ((name, column), place) in facts.iter().zip(state) {
                if let Some(value) = column.values.get(*place as usize) {
                    let sep = if json.len() > 1 { "," } else { "" };
                    let name = serde_json::Value::from(name.as_str());
                    json.push_str(&format!("{sep}{name}:{}", String::from_utf8_lossy(value)));
                }
            }
            json.push('}');
            let own = |column: &Option<Column>, place: usize| -> Vec<String> {
                let set =
                    column.as_ref().zip(state.get(place)).and_then(|(c, at)| c.values.get(*at as usize));
                let word = |word: u32| words.get(word as usize).map(|word| (*word).to_owned());
                set.into_iter().flat_map(|set| numbers(set)).filter_map(word).collect()
            };
            let (classes, agents) = (own(&classes, facts.len()), own(&agents, facts.len() + 1));
            test.passes(&view(&agents, &classes, &Facts::from_json(json)))
        };
        let verdicts = on_all_processors(&ordered, &|(state, _)| matches(state))?;
        for (left, of) in left.iter_mut().zip(of) {
            *left &= verdicts.get(of) == Some(&true);
        }
        Some(())
    }

    fn column(&self, part: Part) -> Option<Column> {
        self.part(part, self.head.nodes)
    }

    fn part(&self, (at, length): Part, nodes: usize) -> Option<Column> {
        let size = self.file.metadata().ok()?.len();
        let from = self.start.checked_add(at)?;
        if from.checked_add(length)? > size {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.file.read_exact_at(&mut bytes, from).ok()?;
        Column::decode(&bytes, nodes)
    }
}

fn view<'a>(agents: &'a [String], classes: &'a [String], facts: &'a Facts) -> NodeView<'a> {
    NodeView { identity: "", agents, classes, facts, data: &NoData }
}

fn encode(inventory: &Inventory, stamp: [u64; 7]) -> Option<Vec<u8>> {
    let nodes = inventory.nodes.len();
    let mut words: HashMap<&str, u32> = HashMap::new();
    let mut known: Vec<Vec<u8>> = vec![];
    let [mut names, mut collectives, mut classes, mut agents] = std::array::from_fn(|_| Making::default());
    let mut facts: BTreeMap<&str, Making> = BTreeMap::new();
    for (number, node) in inventory.nodes.iter().enumerate() {
        collectives.put(number, list_of(&node.collectives, &mut words, &mut known));
        classes.put(number, list_of(&node.classes, &mut words, &mut known));
        agents.put(number, list_of(&node.agents, &mut words, &mut known));
        names.put(number, node.name.clone().into_bytes());
        for (name, value) in &node.facts {
            facts.entry(name).or_default().put(number, value.to_string().into_bytes());
        }
        if facts.len() > MOST_FACTS {
            return None;
        }
    }
    let mut parts: Vec<u8> = vec![];
    let mut part = |column: Column| -> Part {
        let (at, bytes) = (parts.len() as u64, column.encode());
        parts.extend(&bytes);
        (at, bytes.len() as u64)
    };
    let head = Head {
        stamp,
        groups: inventory.groups.clone(),
        nodes,
        names: part(names.finish(nodes)),
        words: part(Column { values: known, of: vec![] }),
        collectives: part(collectives.finish(nodes)),
        classes: part(classes.finish(nodes)),
        agents: part(agents.finish(nodes)),
        facts: facts
            .into_iter()
            .map(|(name, making)| (name.to_owned(), part(making.finish(nodes))))
            .collect(),
    };
    let head = serde_json::to_vec(&head).ok().filter(|head| head.len() <= LONGEST_HEAD)?;
    let mut out = format!("{MAGIC}\n").into_bytes();
    out.extend(u32::try_from(head.len()).ok()?.to_le_bytes());
    out.extend(head);
    out.extend(parts);
    Some(out)
}

/// The words of a list by their numbers; new ones get one.
fn list_of<'a>(list: &'a [String], words: &mut HashMap<&'a str, u32>, known: &mut Vec<Vec<u8>>) -> Vec<u8> {
    set(list.iter().map(|word| {
        *words.entry(word).or_insert_with(|| {
            known.push(word.clone().into_bytes());
            u32::try_from(known.len() - 1).unwrap_or(NONE)
        })
    }))
}

/// What tells one state of a file from another.
pub fn stamp(file: &Path) -> Option<[u64; 7]> {
    let about = std::fs::metadata(file).ok()?;
    let time = |seconds: i64, nanoseconds: i64| [seconds.cast_unsigned(), nanoseconds.cast_unsigned()];
    let [modified, modified_within] = time(about.mtime(), about.mtime_nsec());
    let [changed, changed_within] = time(about.ctime(), about.ctime_nsec());
    Some([about.ino(), about.len(), about.dev(), modified, modified_within, changed, changed_within])
}

fn is_settled(file: &Path) -> bool {
    let changed =
        |file: &Path| Some(u64::try_from(std::fs::metadata(file).ok()?.ctime()).unwrap_or_default());
    let changed = changed(file).map(|changed| SystemTime::UNIX_EPOCH + Duration::from_secs(changed));
    changed.is_some_and(|changed| changed.elapsed().is_ok_and(|age| age > SETTLED))
}

fn place(inventory: &Path, cache: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(inventory).ok()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, path.as_os_str().as_encoded_bytes());
    let name: String = hex(digest.as_ref()).chars().take(32).collect();
    Some(cache.join(format!("{name}.index")))
}

/// Removes the oldest where there are too many.
fn tidy(dir: &Path) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "index"));
    let mut all: Vec<(SystemTime, PathBuf)> =
        ours.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    all.sort();
    let excess = all.len().saturating_sub(KEPT);
    all.iter().take(excess).for_each(|(_, path)| drop(std::fs::remove_file(path)));
}

/// Writes an index whatever the age and size of its inventory, and says where it is.
#[cfg(test)]
pub fn tests_write(read: &Inventory, inventory: &Path, cache: &Path) -> PathBuf {
    let place = place(inventory, cache).unwrap();
    std::fs::create_dir_all(cache).unwrap();
    std::fs::write(&place, encode(read, stamp(inventory).unwrap()).unwrap()).unwrap();
    place
}
