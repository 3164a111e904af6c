//! The named steps of a recording's life, at each of which a test can kill the process (`tests/it/crash.rs`).
//!
//! Belongs here: the names. Does not: what the steps do. Builds without debug assertions, and so every released one, hold
//! nothing of it.

/// The steps in their order. After the name of each stands what has just been done.
pub const STEPS: [&str; 17] = [
    // The request is in the journal; nobody has been told.
    "accepted",
    // `ID.wav.part` exists and is empty.
    "created",
    // Its header is written.
    "headed",
    // Samples are appended.
    "written",
    // The header says how many.
    "checkpointed",
    // They are on the disk.
    "synced",
    // The file's name is on the disk.
    "named",
    // The file ends where the recording ends.
    "cut",
    // Its data chunk is even.
    "padded",
    // Its header is final.
    "sized",
    // All of that is on the disk.
    "finished",
    // It is `ID.wav`.
    "renamed",
    // That name is on the disk.
    "filed",
    // Readers and control know.
    "told",
    // The ending and its notification are in the journal.
    "journalled",
    // The callback has answered; the journal does not know.
    "posted",
    // It knows.
    "delivered",
];

/// A step is done. Where `TONEARM_KILL_AT` names it (`written`, or `written:40` for the fortieth time) the process dies of
/// SIGKILL, as of `kill -9`.
#[cfg(debug_assertions)]
pub fn reached(step: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static AT: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static TIMES: AtomicU32 = AtomicU32::new(0);
    debug_assert!(STEPS.contains(&step), "{step} is no step");
    let at = AT.get_or_init(|| {
        let at = std::env::var("TONEARM_KILL_AT").ok()?;
        let (step, times) = at.split_once(':').unwrap_or((&at, "1"));
        Some((step.to_owned(), times.parse().ok()?))
    });
    if let Some((wanted, times)) = at
        && wanted == step
        && TIMES.fetch_add(1, Ordering::Relaxed) + 1 == *times
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing, and gone when optimised.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn reached(_: &'static str) {}
