//! Logging: levels, destinations, reopening, redaction.
