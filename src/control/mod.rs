//! The control plane: lines, calls, operations and what is told about them.
//!
//! Belongs here: what a request means, in which order operations run, what is remembered. Does not: HTTP and JSON
//! (`api`), audio (`pipeline`), files (`store`).

pub mod chain;
pub mod line;
