//! How a source is doing, written by its callbacks and read from anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// What stands for "not known" where parts per million are kept.
const UNKNOWN: u64 = f64::NAN.to_bits();

/// How a source is doing. What is no device is always well.
#[derive(Clone, Debug)]
pub struct Health(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    opened: Instant,
    /// When the last frames came, in µs since it was opened; 0 before the first.
    heard_us: AtomicU64,
    /// How late the last frames came, in µs.
    owed_us: AtomicU64,
    xruns: AtomicU64,
    /// When it said so last, in ns since it was opened.
    xrun_ns: AtomicU64,
    errors: AtomicU64,
    lost_frames: AtomicU64,
    dead: AtomicBool,
    real_time: AtomicBool,
    drift_ppm: AtomicU64,
}

impl Default for Health {
    /// Of a source that is being opened.
    fn default() -> Health {
        Health(Arc::new(Counters {
            opened: clock::now(),
            heard_us: AtomicU64::new(0),
            owed_us: AtomicU64::new(0),
            xruns: AtomicU64::new(0),
            xrun_ns: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            lost_frames: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            real_time: AtomicBool::new(false),
            drift_ppm: AtomicU64::new(UNKNOWN),
        }))
    }
}

impl Health {
    /// When its last frames came.
    pub fn heard_at(&self) -> Option<Instant> {
        let heard_us = self.0.heard_us.load(Ordering::Relaxed);
        (heard_us > 0).then(|| self.0.opened + Duration::from_micros(heard_us))
    }

    /// Up to when frames came: those that should have come with the last and did not, come no more if it is closed now.
    pub fn heard_until(&self) -> Option<Instant> {
        self.heard_at()?.checked_sub(Duration::from_micros(self.0.owed_us.load(Ordering::Relaxed)))
    }

    /// How often it said that it lost frames.
    pub fn xruns(&self) -> u64 {
        self.0.xruns.load(Ordering::Relaxed)
    }

    /// How old it was when it said so last.
    pub fn xrun_age(&self) -> Duration {
        Duration::from_nanos(self.0.xrun_ns.load(Ordering::Relaxed))
    }

    /// How many other errors it had.
    pub fn errors(&self) -> u64 {
        self.0.errors.load(Ordering::Relaxed)
    }

    /// How many frames it lost, by its time stamps. What the ring could not take is not among them.
    pub fn lost_frames(&self) -> u64 {
        self.0.lost_frames.load(Ordering::Relaxed)
    }

    /// Whether it said that it is gone; it has to be opened anew then. A device can be gone without saying so.
    pub fn is_dead(&self) -> bool {
        self.0.dead.load(Ordering::Acquire)
    }

    /// Whether its thread was given real-time priority.
    pub fn is_real_time(&self) -> bool {
        self.0.real_time.load(Ordering::Relaxed)
    }

    /// How much faster its clock runs than the host's, in parts per million; none before ten seconds without a loss.
    pub fn drift_ppm(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.drift_ppm.load(Ordering::Relaxed))).filter(|ppm| !ppm.is_nan())
    }

    /// Frames came, so long after it was opened.
    pub fn heard(&self, since_opened: Duration) {
        self.0.heard_us.store((since_opened.as_micros() as u64).max(1), Ordering::Relaxed);
    }

    /// How long ago it was opened.
    pub fn age(&self) -> Duration {
        clock::now().saturating_duration_since(self.0.opened)
    }

    /// The frames that came last came so late.
    pub fn owes(&self, late: Duration) {
        self.0.owed_us.store(late.as_micros() as u64, Ordering::Relaxed);
    }

    /// It said that it lost frames, so long after it was opened.
    pub fn note_xrun(&self, since_opened: Duration) {
        self.0.xrun_ns.store(since_opened.as_nanos() as u64, Ordering::Relaxed);
        self.0.xruns.fetch_add(1, Ordering::Relaxed);
    }

    /// It said that something else is wrong.
    pub fn note_error(&self) {
        self.0.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// So many frames were lost.
    pub fn note_lost(&self, frames: u64) {
        self.0.lost_frames.fetch_add(frames, Ordering::Relaxed);
    }

    /// It said that it is gone.
    pub fn note_dead(&self) {
        self.0.dead.store(true, Ordering::Release);
    }

    /// Its thread has real-time priority.
    pub fn note_real_time(&self) {
        self.0.real_time.store(true, Ordering::Relaxed);
    }

    /// Its clock was measured.
    pub fn note_drift(&self, ppm: f64) {
        self.0.drift_ppm.store(ppm.to_bits(), Ordering::Relaxed);
    }
}
