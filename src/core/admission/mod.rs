//! `ConnectionFacts` to `Grant`: who may connect to a broker and what it may say (spec 01 §13, 04 §3).
