//! How many files this process may have open: a connection is one.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that are not connections: logs, keys, event queues, what hangs.
const OTHERS: u64 = 64;

/// Raises the limit of open files to the most this process may give itself, and says how
/// many connections that is; nothing where there is no limit.
pub fn raise_open_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        if setrlimit(Resource::Nofile, limit).is_err() {
            // as some systems do not let their "unlimited" be set
            limit.current = before;
        }
    }
    limit.current.map(|files| files.saturating_sub(OTHERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_most_there_is() {
        raise_open_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
