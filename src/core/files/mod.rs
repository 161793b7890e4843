//! Files that are never half-written: atomic replacement, 0600 for secrets.
