//! JSON as Choria's peers write and read it: one pass, no value trees.
//!
//! Why not serde_json here: peers accept unpaired surrogate escapes and bytes
//! that are no UTF-8 (both read as U+FFFD), match keys without regard to case
//! and let the last of several equal keys win (spec 01 §4). serde_json refuses
//! the first, errs on the last in derived types, and gives no hold on depth.
//! Two implementations that disagree about one signed request would be a hole,
//! so this reader follows the original on every one of those points.

mod reader;
mod string;
mod value;
mod writer;

pub use reader::{JsonError, Kind, MAX_DEPTH, Problem, Reader, same_key};
pub use string::{Place, Scratch};
pub(crate) use string::{SCRATCH, decode_utf8};
pub use value::{Numbers, read_value};
pub(crate) use writer::float_text;
pub use writer::{go_json, push_integer, push_string, push_value};
