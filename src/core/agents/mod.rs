//! The `Agent` trait and the built-in agents (spec 02 §§2, 3).
