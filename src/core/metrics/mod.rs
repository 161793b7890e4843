//! One registry of counters, rendered as Prometheus text.
