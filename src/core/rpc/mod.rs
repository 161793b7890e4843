//! RPC bodies: what an agent is asked and what it answers (spec 02 §2.1). Pure.
