//! Presentation only: tables, JSON, progress, plots.
//!
//! Everything that came from a node passes [`text::clean`] before a terminal
//! sees it: a reply must not move cursors, forge lines or ring bells.

pub mod columns;
pub mod failures;
pub mod footer;
pub mod forms;
pub mod graph;
pub mod keep;
pub mod progress;
pub mod rows;
pub mod ruby;
pub mod table;
pub mod terminal;
pub mod text;
pub mod view;
