//! What can be asked of a page, and what is no question at all.

use super::pages::PAGE;

/// Why a query is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Nothing to sort by.
    #[error(
        "sort '{0}' is unknown, use one of: cid, start, subs, pending, msgs_to, msgs_from, bytes_to, bytes_from, \
         last, idle, uptime, rtt, stop, reason"
    )]
    Sort(String),
    /// Open connections have no end yet.
    #[error("sort '{0}' is for closed connections only, add state=closed")]
    SortOfClosed(String),
    /// No such state.
    #[error("state '{0}' is unknown, use open, closed or all")]
    State(String),
    /// Neither yes nor no.
    #[error("{0}='{1}' is neither yes nor no, use 1 or 0")]
    Flag(&'static str, String),
    /// Nothing a message could be sent to.
    #[error("test '{0}' is no subject that a message could be sent to")]
    Subject(String),
    /// Names are for some.
    #[error("{0} is for requests over loopback or with a token")]
    Names(&'static str),
}

/// A flag as nats-server understands it; absent is no.
///
/// # Errors
/// Anything else.
pub fn flag(name: &'static str, text: Option<&str>) -> Result<bool, QueryError> {
    match text.unwrap_or_default() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(QueryError::Flag(name, shown(other))),
    }
}

/// First and largest number of rows. Negative numbers count as none given.
pub fn page(offset: Option<i64>, limit: Option<i64>) -> (usize, usize) {
    let number = |given: Option<i64>| given.and_then(|number| usize::try_from(number).ok());
    (number(offset).unwrap_or(0), number(limit).filter(|limit| *limit > 0).unwrap_or(PAGE).min(PAGE))
}

/// What somebody sent, as far as it is repeated to them.
pub fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_pages() {
        assert_eq!(flag("subs", None), Ok(false));
        assert_eq!(flag("subs", Some("true")), Ok(true));
        assert!(flag("auth", Some("perhaps")).unwrap_err().to_string().contains("auth='perhaps'"));
        for (offset, limit, expected) in [
            (None, None, (0, 1024)),
            (Some(-3), Some(-1), (0, 1024)),
            (Some(7), Some(0), (7, 1024)),
            (Some(i64::MAX), Some(i64::MAX), (i64::MAX as usize, 1024)),
            (Some(1), Some(5), (1, 5)),
        ] {
            assert_eq!(page(offset, limit), expected);
        }
        assert_eq!(shown(&"a\r\n".repeat(100)).len(), 64);
    }
}
