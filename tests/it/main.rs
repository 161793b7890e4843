//! Whole-system tests: one binary, a module a behaviour.
