//! What a machine is like, seen without a child process: file systems, units, web pages.
//! Checks that are built in and rules of goss look through these.

pub mod dbus;
pub mod mounts;
pub mod systemd;
pub mod web;
