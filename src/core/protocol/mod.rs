//! The messages on the wire, as plain values: protocol v1, filters and subjects (spec 01 §§2, 6, 8).
//!
//! Pure: bytes to values and back. Nothing here touches a socket, a clock or a file.
