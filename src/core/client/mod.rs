//! A request and its stream of verified replies (spec 03 §6).
