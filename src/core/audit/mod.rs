//! What was called: the audit log (spec 02 §7).
