//! NATS client connections: server choice, SRV, TLS, back-off, inboxes (spec 01 §§16, 17).
