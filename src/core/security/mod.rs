//! Identities, signing, verifying, certificates, revocation, TLS configurations (spec 01 §§9, 15).
