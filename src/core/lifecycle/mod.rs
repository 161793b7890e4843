//! Lifecycle events (spec 02 §10). Pure formats; whoever sends them holds a connection.
