//! What is kept on disk: recordings and the journal.
//!
//! Belongs here: writing a recording so that it survives anything, reading it while it grows, finishing what a crash left,
//! the journal of documents. Does not: what the documents mean, who may read them (`control`, `api`).

pub mod crash;
mod digest;
mod file;
pub mod follow;
pub mod growth;
pub mod journal;
pub mod lock;
mod marked;
pub mod opinion;
pub mod outline;
mod recording;
pub mod recover;
pub mod signal;
pub mod writer;

pub use digest::hex;
pub use file::{part_of, recording_in, sync_folder};

/// The bytes that an unprivileged process may still write to the file system of `folder`.
pub fn free_bytes(folder: &std::path::Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
