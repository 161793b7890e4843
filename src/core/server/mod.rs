//! The node daemon: pipeline, registration, lifecycle, status (spec 02).
