//! Compile-time settings: version, git revision, provisioning profile (build.rs and features).
