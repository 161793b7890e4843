//! How an action ended.

use std::fmt;

/// Code of a reply (spec 02 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum StatusCode {
    /// 0: it worked.
    #[default]
    Ok,
    /// 1: it could not complete, or the caller may not call it.
    Aborted,
    /// 2: the agent has no such action.
    UnknownAction,
    /// 3: a required input is missing.
    MissingData,
    /// 4: an input is not valid, or the body cannot be read.
    InvalidData,
    /// 5: anything else.
    UnknownError,
    /// A code of somebody else's making, kept as it came.
    Other(i64),
}

impl StatusCode {
    /// The number on the wire.
    pub fn code(self) -> i64 {
        match self {
            StatusCode::Ok => 0,
            StatusCode::Aborted => 1,
            StatusCode::UnknownAction => 2,
            StatusCode::MissingData => 3,
            StatusCode::InvalidData => 4,
            StatusCode::UnknownError => 5,
            StatusCode::Other(code) => code,
        }
    }

    /// Whether the action worked.
    pub fn is_ok(self) -> bool {
        self == StatusCode::Ok
    }

    /// What people are told: nothing for success and for unknown codes.
    pub fn text(self) -> &'static str {
        match self {
            StatusCode::Ok | StatusCode::Other(_) => "",
            StatusCode::Aborted => "Request Aborted",
            StatusCode::UnknownAction => "Unknown Action",
            StatusCode::MissingData => "Missing Request Data",
            StatusCode::InvalidData => "Invalid Request Data",
            StatusCode::UnknownError => "Unknown Request Status",
        }
    }
}

impl From<i64> for StatusCode {
    fn from(code: i64) -> StatusCode {
        match code {
            0 => StatusCode::Ok,
            1 => StatusCode::Aborted,
            2 => StatusCode::UnknownAction,
            3 => StatusCode::MissingData,
            4 => StatusCode::InvalidData,
            5 => StatusCode::UnknownError,
            code => StatusCode::Other(code),
        }
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())
    }
}
