//! Interface descriptions of agents and data plugins: lookup, validation, coercion, aggregation (spec 02 §2.3, 03 §5).
