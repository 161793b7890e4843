//! Files that others own: looked at for every use, on a thread that may be left behind.
//!
//! A hung NFS mount or a FIFO answers an `open` or a `stat` never. So whoever
//! needs such a file has the looking done [`within_deadline`], by a thread that
//! is given up when it does not come back; until it does, nobody looks at the
//! same file again, and its last good content serves. A file costs as many
//! threads as were sent before it was known to hang, and none after that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Version;

/// How long a file is waited for. A request may wait as long, once.
pub const DEADLINE: Duration = Duration::from_secs(1);
/// Files looked at in one go at most, of which each may be the one that hangs.
const FILES: usize = 6;

/// What `work` gives, or nothing when it has not come back within [`DEADLINE`].
/// Its thread is then left to itself.
pub async fn within_deadline<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let _thread = LOOKS.free.acquire().await;
    let working = tokio::task::spawn_blocking(work);
    tokio::time::timeout(LOOKS.deadline, working).await.ok()?.ok()
}

/// The same for work on several files that passes over those somebody was left
/// behind with: tried again until it comes back.
pub async fn passing_over<T: Send + 'static>(work: impl Fn() -> T + Send + Sync + 'static) -> Option<T> {
    let work = Arc::new(work);
    for _ in 0..FILES {
        let again = work.clone();
        if let Some(done) = within_deadline(move || again()).await {
            return Some(done);
        }
    }
    None
}

/// Places that hang at a time; with so many, no other is looked at. Threads are few, and all that a
/// process reads of a disk needs one.
const MOST_HANGING: usize = 128;
/// As many more may hang before the node's own files are not looked at: what a machine names, which may be many
/// files of one mount, is in nobody else's way.
const OWN: usize = 64;
/// Who is at which place.
static PLACES: Mutex<Places> = Mutex::new(Places { at: BTreeMap::new(), full: false });

/// [`within_deadline`] for work at a place that is asked for again and again: as long as somebody is left
/// behind there nobody else is sent, and it counts as one that does not answer.
pub async fn unless_it_hangs<T: Send + 'static>(
    place: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    looked_at(place, MOST_HANGING, &LOOKS, work).await
}

/// The same for the node's own files, which are few.
pub async fn unless_ours_hangs<T: Send + 'static>(
    place: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    looked_at(place, MOST_HANGING + OWN, &LOOKS, work).await
}

/// [`unless_it_hangs`] for a program there that is started, which may take longer: a machine with much to do is
/// none that hangs.
pub async fn unless_its_start_hangs<T: Send + 'static>(
    place: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    looked_at(place, MOST_HANGING, &STARTS, work).await
}

/// Threads at one kind of work, those left behind aside, and how long each is waited for.
struct Threads {
    free: Semaphore,
    deadline: Duration,
}

/// Thousands of emulated nodes must not let each other's time run out.
static LOOKS: Threads = Threads { free: Semaphore::const_new(4), deadline: DEADLINE };
/// Programs of one mount that hangs are not in the way of others.
static STARTS: Threads = Threads { free: Semaphore::const_new(32), deadline: Duration::from_secs(5) };

async fn looked_at<T: Send + 'static>(
    place: &Path,
    most: usize,
    threads: &Threads,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if !places().takes(place, most) {
        return None;
    }
    let _thread = threads.free.acquire().await;
    // begins before its thread does: when that is given up, the place is known to hang
    let there = There::go(place, most, threads.deadline)?;
    let working = tokio::task::spawn_blocking(move || {
        let _there = there;
        work()
    });
    tokio::time::timeout(threads.deadline, working).await.ok()?.ok()
}

fn places() -> MutexGuard<'static, Places> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Places somebody is at.
#[derive(Debug, Default)]
struct Places {
    at: BTreeMap<PathBuf, Place>,
    /// It was told that there are too many.
    full: bool,
}

impl Places {
    /// Whether somebody may be sent there: none was left behind at it, nor at `most` others. It is told once
    /// where not.
    fn takes(&mut self, place: &Path, most: usize) -> bool {
        if let Some(known) = self.at.get_mut(place)
            && known.hangs()
        {
            if !std::mem::replace(&mut known.told, true) {
                tracing::warn!(
                    "{} does not answer, as on a network file system that hangs or a pipe nobody writes to: it is \
                     not looked at until it does",
                    place.display()
                );
            }
            return false;
        }
        let full = self.at.len() >= most && self.at.values().filter(|known| known.hangs()).count() >= most;
        if full && !std::mem::replace(&mut self.full, true) {
            tracing::warn!(
                "{} and others are not looked at: {most} files do not answer, as on a network file system that \
                 hangs, and no more are waited for until some of them do",
                place.display()
            );
        }
        !full
    }

    fn left(&mut self, there: &There) {
        let Some(known) = self.at.get_mut(&there.place) else { return };
        if let Some(at) = known.due.iter().position(|due| *due == there.due) {
            known.due.remove(at);
        }
        if !known.due.is_empty() {
            return;
        }
        if known.told {
            tracing::info!("{} answers again", there.place.display());
        }
        self.at.remove(&there.place);
        if self.full && self.at.len() < MOST_HANGING {
            self.full = false;
            tracing::info!("files are looked at again, fewer do not answer");
        }
    }
}

/// A place somebody is at.
#[derive(Debug, Default)]
struct Place {
    /// When each of them is to be back, the first that went first.
    due: Vec<Instant>,
    told: bool,
}

impl Place {
    /// Whether one of them would have been back.
    fn hangs(&self) -> bool {
        self.due.iter().any(|due| *due <= Instant::now())
    }
}

/// Somebody at a place.
struct There {
    place: PathBuf,
    due: Instant,
}

impl There {
    /// None where nobody is to be sent.
    fn go(place: &Path, most: usize, deadline: Duration) -> Option<There> {
        let mut places = places();
        if !places.takes(place, most) {
            return None;
        }
        let due = Instant::now() + deadline;
        places.at.entry(place.to_owned()).or_default().due.push(due);
        Some(There { place: place.to_owned(), due })
    }
}

impl Drop for There {
    fn drop(&mut self) {
        places().left(self);
    }
}

/// Marks a file as being looked at, for as long as the look lasts.
#[derive(Debug, Default)]
pub struct Look {
    out: AtomicBool,
    told: AtomicBool,
}

impl Look {
    /// Whether nobody is at it. Otherwise whoever is has been left behind, which is told once.
    pub fn begin(&self, file: &Path) -> Option<Looking<'_>> {
        if self.out.swap(true, Ordering::AcqRel) {
            if !self.told.swap(true, Ordering::AcqRel) {
                tracing::warn!("{}", no_answer(file));
            }
            return None;
        }
        Some(Looking { look: self, file: file.to_owned() })
    }

    /// Whether it is known to hang.
    pub fn hangs(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }
}

/// What is told of a file that hangs.
pub fn no_answer(file: &Path) -> String {
    format!(
        "{} does not answer, as on a network file system that hangs or a pipe nobody writes to: \
         what was read of it last serves",
        file.display()
    )
}

/// A look under way.
#[derive(Debug)]
pub struct Looking<'a> {
    look: &'a Look,
    file: PathBuf,
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        if self.look.told.swap(false, Ordering::AcqRel) {
            tracing::info!("{} answers again", self.file.display());
        }
        self.look.out.store(false, Ordering::Release);
    }
}

/// A value read from files, read again when one of them changed: name, size,
/// inode and time of change are looked at for every use, so a request never
/// sees data older than its own arrival, and an unchanged file costs a `stat`.
pub struct Watched<T> {
    files: Vec<PathBuf>,
    last: Mutex<Option<(Versions, Arc<T>)>>,
    look: Look,
}

/// Those of files that can be looked at.
type Versions = Vec<Option<Version>>;

impl<T> Watched<T> {
    /// Of these files.
    pub fn new(files: Vec<PathBuf>) -> Watched<T> {
        Watched { files, last: Mutex::default(), look: Look::default() }
    }

    /// Reads the files anew where one has changed. May never come back: see the module.
    pub fn refresh(&self, read: impl FnOnce() -> Arc<T>) {
        let Some(_looking) = self.look.begin(&self.named()) else { return };
        let versions: Versions = self.files.iter().map(|path| Version::of(path).ok()).collect();
        if self.last().as_ref().is_some_and(|(seen, _)| *seen == versions) {
            return;
        }
        let value = read();
        *self.last() = Some((versions, value));
    }

    /// What was read last, nothing before the first time. Touches no file.
    pub fn latest(&self) -> Option<Arc<T>> {
        self.last().as_ref().map(|(_, value)| value.clone())
    }

    /// What to tell of files that do not answer.
    pub fn trouble(&self) -> Option<String> {
        self.look.hangs().then(|| no_answer(&self.named()))
    }

    fn named(&self) -> PathBuf {
        std::env::join_paths(&self.files).map(PathBuf::from).unwrap_or_default()
    }

    fn last(&self) -> MutexGuard<'_, Option<(Versions, Arc<T>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(watched: &Watched<String>) -> Arc<String> {
        let file = watched.files[0].clone();
        watched.refresh(|| Arc::new(fs::read_to_string(file).unwrap_or_default()));
        watched.latest().unwrap()
    }

    #[test]
    fn a_changed_file_is_read_again_and_an_unchanged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("classes.txt");
        fs::write(&file, "a").unwrap();
        let watched = Watched::new(vec![file.clone()]);
        assert!(watched.latest().is_none());
        let first = read(&watched);
        assert!(Arc::ptr_eq(&first, &read(&watched)));
        fs::write(&file, "a b").unwrap();
        assert_eq!(*read(&watched), "a b");
        fs::remove_file(&file).unwrap();
        assert!(read(&watched).is_empty());
    }

    #[tokio::test]
    async fn a_place_that_hangs_costs_one_thread_however_often_it_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (free, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let went = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let look = |waits: bool| {
            let (blocked, went) = (blocked.clone(), went.clone());
            unless_it_hangs(dir.path(), move || {
                went.fetch_add(1, Ordering::SeqCst);
                if waits {
                    let _ = blocked.lock().map(|w| w.recv());
                }
            })
        };
        // also where whoever asked has gone before the time is over
        let _ = tokio::time::timeout(Duration::from_millis(50), look(true)).await;
        tokio::time::sleep(DEADLINE).await;
        for _ in 0..20 {
            assert!(look(false).await.is_none(), "nobody else is sent");
        }
        assert_eq!(went.load(Ordering::SeqCst), 1);
        let other = dir.path().join("other");
        assert_eq!(unless_it_hangs(&other, || 7).await, Some(7), "others are looked at");
        drop(free);
        while look(false).await.is_none() {
            tokio::task::yield_now().await;
        }
        assert!(!places().at.contains_key(dir.path()), "nothing is kept of it");
    }

    /// A thread may begin late: whoever gave it up and asks again at once sends none.
    #[test]
    fn who_was_sent_is_there_before_the_thread_begins() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(1).build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (free, blocked) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            drop(tokio::task::spawn_blocking(move || blocked.recv()));
            assert!(unless_it_hangs(dir.path(), || ()).await.is_none());
            assert!(places().at.get(dir.path()).is_some_and(Place::hangs), "nobody else is sent");
        });
        drop(free);
    }

    #[test]
    fn files_of_the_node_are_looked_at_where_many_others_hang() {
        let due = Instant::now();
        let hung = || Place { due: vec![due], told: false };
        let named = |n: usize| (PathBuf::from(format!("/mnt/{n}")), hung());
        let mut places = Places { at: (0..MOST_HANGING).map(named).collect(), full: false };
        let one = Path::new("/etc/one");
        assert!(!places.takes(one, MOST_HANGING) && places.full, "it is told");
        assert!(places.takes(one, MOST_HANGING + OWN));
        assert!(!places.takes(Path::new("/mnt/0"), MOST_HANGING + OWN));
        places.left(&There { place: "/mnt/0".into(), due });
        assert!(places.takes(one, MOST_HANGING) && !places.full);
        places.at.extend((0..MOST_HANGING + OWN).map(named));
        assert!(!places.takes(one, MOST_HANGING + OWN), "they are bounded too");
    }

    #[tokio::test]
    async fn what_hangs_costs_one_thread_and_serves_what_it_had() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("facts");
        fs::write(&file, "one").unwrap();
        let watched = Arc::new(Watched::new(vec![file.clone()]));
        read(&watched);
        fs::write(&file, "another").unwrap();
        let (free, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let reads = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (of, waits, counted) = (watched.clone(), blocked, reads.clone());
        let look = move || {
            of.refresh(|| {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = waits.lock().map(|w| w.recv());
                Arc::new("late".to_owned())
            });
            of.latest().unwrap()
        };
        assert_eq!(*passing_over(look).await.unwrap(), "one");
        assert!(watched.trouble().unwrap().contains("facts does not answer"));
        assert_eq!(*read(&watched), "one", "nobody else looks");
        assert_eq!(reads.load(Ordering::SeqCst), 1);
        drop(free);
        while watched.trouble().is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*watched.latest().unwrap(), "late");
    }
}
