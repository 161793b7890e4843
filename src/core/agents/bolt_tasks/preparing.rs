//! Runs that are about to begin: their files come, or their runner is being started. Whoever looks is told that they
//! go on, and does not take them for runs that never were.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::tasks::outcome::Status;

/// All of them, by id.
#[derive(Default)]
pub struct Preparing(Mutex<HashMap<String, Status>>);

/// One of them, until this is dropped.
pub struct Beginning {
    all: Arc<Preparing>,
    id: String,
}

impl Preparing {
    /// A run of a task, for a caller; none where one of that id is about to begin already.
    pub fn begins(self: &Arc<Self>, id: &str, task: &str, caller: &str) -> Option<Beginning> {
        let status = Status {
            task: task.to_owned(),
            caller: caller.to_owned(),
            start_time: jiff::Timestamp::now().as_second(),
            exitcode: -1,
            ..Status::unknown()
        };
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id.to_owned()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(status);
                Some(Beginning { all: self.clone(), id: id.to_owned() })
            }
        }
    }

    /// What is known of a run that is about to begin.
    pub fn look(&self, id: &str) -> Option<Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_goes_on_until_it_has_begun() {
        let all = Arc::new(Preparing::default());
        assert!(all.look("one").is_none());
        let beginning = all.begins("one", "demo::x", "up=alice");
        assert!(beginning.is_some() && all.begins("one", "demo::y", "up=bob").is_none());
        let status = all.look("one").unwrap();
        assert_eq!((status.task.as_str(), status.caller.as_str()), ("demo::x", "up=alice"));
        assert_eq!((status.completed, status.exitcode), (false, -1));
        assert!(all.look("two").is_none());
        drop(beginning);
        assert!(all.look("one").is_none());
    }
}
