//! A sign of life: a thread counts its turns, and who watches over it looks whether the count goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often a thread has come round.
#[derive(Clone, Debug, Default)]
pub struct Beat(Arc<AtomicU64>);

impl Beat {
    /// Once more.
    pub fn tick(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
