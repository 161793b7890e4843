//! Text, shared and charged.

use std::sync::Arc;

use crate::budget::{Budget, Charge, Exhausted, Writer};

#[derive(Debug)]
struct Inner {
    text: Box<str>,
    _charge: Charge,
}

/// Text that many may hold.
#[derive(Clone)]
pub struct Text(Arc<Inner>);

impl Text {
    /// Text of a run.
    pub fn new(text: String, budget: &Budget) -> Result<Text, Exhausted> {
        let charge = budget.charge(text.len() + 48)?;
        Ok(Text(Arc::new(Inner { text: text.into_boxed_str(), _charge: charge })))
    }

    /// Text that stands in a source or in this program.
    pub(crate) fn literal(text: &str) -> Text {
        Text(Arc::new(Inner { text: text.into(), _charge: Charge::free() }))
    }

    pub(crate) fn written(writer: Writer) -> Result<Text, Exhausted> {
        let (text, charge) = writer.finish()?;
        Ok(Text(Arc::new(Inner { text: text.into_boxed_str(), _charge: charge })))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_str(), f)
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Text) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Text) -> std::cmp::Ordering {
        self.as_str().cmp(other)
    }
}

impl std::hash::Hash for Text {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
