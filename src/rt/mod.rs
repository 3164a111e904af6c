//! Where the real-time threads meet: the ring that a device fills, the runner that empties it through the pipeline.
//!
//! Belongs here: hand-over between threads without locks, and the one place where the pipeline's thread may sleep.
//! Does not: what is decided (`record`), where frames come from (`capture`) or go to (`store`).

pub mod beat;
pub mod inlet;
pub mod meter;
pub mod ring;
pub mod runner;
pub mod sounding;
