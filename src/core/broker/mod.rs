//! The embedded NATS-compatible broker: links and a router that never mix (spec 04).
