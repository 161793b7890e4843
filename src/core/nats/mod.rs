//! The NATS wire: codec, subjects, wildcards (spec 04 §6). Pure.
