//! How targets are found: broadcast, files, saved results (spec 03 §4).
