//! `discover`: the names of nodes.

use super::{Filter, Kind, filter};
use crate::core::builder::compile::Reading;

/// Finds nodes.
#[derive(Debug)]
pub struct Discover {
    /// Whether the flags that choose nodes are taken.
    pub std_filters: bool,
    /// Which nodes are meant.
    pub filter: Filter,
}

pub(super) fn read(of: &mut Reading<'_, '_>) -> Kind {
    let std_filters = of.flag("std_filters");
    Kind::Discover(Box::new(Discover { std_filters, filter: filter::read(of) }))
}
