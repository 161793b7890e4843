//! Places that may hang, each with a thread at it that may be left behind.
//!
//! A hung NFS mount or a FIFO answers an `open` or a `stat` never. So whoever
//! needs such a file has the looking done [`within_deadline`], by a thread that
//! is given up when it does not come back; until it does, nobody else is sent to
//! the same place. A place costs as many threads as were sent before it was
//! known to hang, and none after that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How long a file is waited for. A request may wait as long, once.
pub const DEADLINE: Duration = Duration::from_secs(1);
/// Files looked at in one go at most, of which each may be the one that hangs.
const FILES: usize = 6;

/// What `work` gives, or nothing when it has not come back within [`DEADLINE`].
/// Its thread is then left to itself.
pub async fn within_deadline<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let _thread = LOOKS.acquire().await;
    let working = tokio::task::spawn_blocking(work);
    tokio::time::timeout(DEADLINE, working).await.ok()?.ok()
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
/// How long a program may take to start: a machine with much to do is none that hangs.
const START: Duration = Duration::from_secs(5);
/// Who is at which place.
static PLACES: Mutex<Places> = Mutex::new(Places { at: BTreeMap::new(), full: false });
/// Threads that look, those left behind aside: thousands of emulated nodes must not let each other's time run out.
static LOOKS: Semaphore = Semaphore::const_new(4);
/// Threads that start programs: those of one mount that hangs are not in the way of others.
static STARTS: Semaphore = Semaphore::const_new(32);
/// Threads at work that takes long.
static LONG: Semaphore = Semaphore::const_new(8);

/// [`within_deadline`] for work at a place that is asked for again and again: as long as somebody is left
/// behind there nobody else is sent, and it counts as one that does not answer.
pub async fn unless_it_hangs<T: Send + 'static>(
    place: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    looked_at(place, MOST_HANGING, &LOOKS, DEADLINE, |_| work()).await
}

/// The same for the node's own files, which are few.
pub async fn unless_ours_hangs<T: Send + 'static>(
    place: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    looked_at(place, MOST_HANGING + OWN, &LOOKS, DEADLINE, |_| work()).await
}

/// The same for work that may take as long as `limit`, such as to unpack what is large. That the place answers at
/// all is seen to first, and takes no longer than for others.
pub async fn unless_it_hangs_long<T: Send + 'static>(
    place: &Path,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let there = place.to_owned();
    unless_it_hangs(place, move || drop(fs::metadata(there))).await?;
    looked_at(place, MOST_HANGING, &LONG, limit, |_| work()).await
}

/// The same for a program that is started in a directory, which may take five seconds. Where it is the directory
/// that hangs, others start the program elsewhere.
pub async fn unless_its_start_hangs<T: Send + 'static>(
    directory: Option<&Path>,
    program: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let Some(directory) = directory else {
        return looked_at(program, MOST_HANGING, &STARTS, START, |_| work()).await;
    };
    if !places().takes(program, MOST_HANGING) {
        return None;
    }
    let (first, then) = (directory.to_owned(), program.to_owned());
    let both = move |there: &mut There| {
        // what is wrong with it the start says better
        let _ = fs::metadata(first);
        // it may be known to hang by now
        if !places().takes(&then, MOST_HANGING) {
            return None;
        }
        there.goes_on(then);
        Some(work())
    };
    looked_at(directory, MOST_HANGING, &STARTS, START, both).await?
}

async fn looked_at<T: Send + 'static>(
    place: &Path,
    most: usize,
    threads: &Semaphore,
    deadline: Duration,
    work: impl FnOnce(&mut There) -> T + Send + 'static,
) -> Option<T> {
    if !places().takes(place, most) {
        return None;
    }
    let _thread = threads.acquire().await;
    // begins before its thread does: when that is given up, the place is known to hang
    let mut there = There::go(place, most, deadline)?;
    let working = tokio::task::spawn_blocking(move || work(&mut there));
    tokio::time::timeout(deadline, working).await.ok()?.ok()
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

    /// It is well here, and whoever is there goes on to another place.
    fn goes_on(&mut self, place: PathBuf) {
        let mut places = places();
        places.left(self);
        self.place = place;
        places.at.entry(self.place.clone()).or_default().due.push(self.due);
    }
}

impl Drop for There {
    fn drop(&mut self) {
        places().left(self);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

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
    async fn a_directory_that_hangs_is_no_fault_of_the_programs_started_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there, program) =
            (dir.path().join("here"), dir.path().join("there"), dir.path().join("program"));
        places().at.insert(here.clone(), Place { due: vec![Instant::now()], told: false });
        assert_eq!(unless_its_start_hangs(Some(&here), &program, || 7).await, None);
        assert_eq!(unless_its_start_hangs(Some(&there), &program, || 7).await, Some(7));
        let (at, seen) = (program.clone(), there.clone());
        let known = move || [&at, &seen].map(|place| places().at.contains_key(place));
        assert_eq!(unless_its_start_hangs(Some(&there), &program, known).await, Some([true, false]));
        places().at.insert(program.clone(), Place { due: vec![Instant::now()], told: false });
        assert_eq!(unless_its_start_hangs(Some(&there), &program, || 7).await, None);
        assert_eq!(unless_its_start_hangs(None, &program, || 7).await, None);
        assert_eq!(unless_it_hangs_long(&program, START, || 7).await, None);
        for place in [here, program] {
            places().at.remove(&place);
        }
        assert!(!places().at.contains_key(&there), "nothing is kept of it");
    }
}
