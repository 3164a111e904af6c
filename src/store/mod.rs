//! What is kept on disk: recordings and the journal.
//!
//! Belongs here: writing a recording so that it survives anything, reading it while it grows, finishing what a crash left,
//! the journal of documents. Does not: what the documents mean, who may read them (`control`, `api`).

pub mod journal;
pub mod lock;
