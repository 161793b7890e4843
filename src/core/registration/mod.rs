//! Registration data formats (spec 02 §9).
