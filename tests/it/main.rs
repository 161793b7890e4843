//! Whole-system tests: one binary, a module a behaviour.
//!
//! [`process`] runs the real program, [`network`] builds throw-away networks
//! of it, [`wire`] speaks to them byte by byte. All else is what people see.

mod network;
mod process;
mod wire;

mod the_fleet_answers;
