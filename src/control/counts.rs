//! What has happened since the start, counted.
//!
//! Belongs here: numbers that only grow. Does not: how they are told (`api::metrics`).

use std::sync::atomic::{AtomicU64, Ordering};

use super::operation::{CompletionReason, Operation};

/// What came of an attempt to deliver a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The callback took it.
    Taken,
    /// It may take it later.
    Failed,
    /// It never will.
    Refused,
}

/// Each number is whole by itself: all orderings are relaxed.
#[derive(Debug, Default)]
pub struct Counts {
    ended: [AtomicU64; REASONS],
    recorded_ms: AtomicU64,
    lost_frames: AtomicU64,
    attempts: [AtomicU64; 3],
}

const REASONS: usize = CompletionReason::UnspecifiedError as usize + 1;

impl Counts {
    /// An operation has ended.
    pub(super) fn ended(&self, operation: &Operation) {
        if let Some(reason) = operation.reason {
            self.ended[reason as usize].fetch_add(1, Ordering::Relaxed);
        }
        if let Some(recording) = &operation.recording {
            let ms = recording.frames * 1_000 / u64::from(recording.sample_rate.max(1));
            self.recorded_ms.fetch_add(ms, Ordering::Relaxed);
            self.lost_frames.fetch_add(recording.lost_frames, Ordering::Relaxed);
        }
    }

    pub(super) fn attempted(&self, attempt: Attempt) {
        self.attempts[attempt as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Operations that ended for this reason.
    pub fn of_reason(&self, reason: CompletionReason) -> u64 {
        self.ended[reason as usize].load(Ordering::Relaxed)
    }

    /// Seconds of audio that were kept.
    pub fn recorded_seconds(&self) -> f64 {
        self.recorded_ms.load(Ordering::Relaxed) as f64 / 1_000.0
    }

    /// Frames that are missing in what was kept.
    pub fn lost_frames(&self) -> u64 {
        self.lost_frames.load(Ordering::Relaxed)
    }

    /// Attempts that came to this.
    pub fn of_attempt(&self, attempt: Attempt) -> u64 {
        self.attempts[attempt as usize].load(Ordering::Relaxed)
    }
}
