//! Who may call what: action policies (spec 02 §6).
