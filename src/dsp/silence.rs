//! Speech or silence, by energy over an adaptive noise floor.

use crate::units::Rate;

/// What the detector may be told; each threshold with its source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SilenceConfig {
    /// A fixed threshold in dBFS instead of the adaptive floor's.
    pub threshold_dbfs: Option<f32>,
}

impl Default for SilenceConfig {
    fn default() -> Self {
        SilenceConfig { threshold_dbfs: None }
    }
}

/// What happened on the channel. Frames are absolute: the first frame ever fed or skipped is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechEvent {
    /// Speech was recognised (there has been at least 100 ms of it); it began at `onset_frame`.
    On {
        /// The first voiced frame.
        onset_frame: u64,
        /// The last voiced frame so far.
        voiced_frame: u64,
    },
    /// Speech goes on: `voiced_frame` is the last voiced frame so far.
    Voiced {
        /// The last voiced frame.
        voiced_frame: u64,
    },
    /// Speech has ended; the last `On` or `Voiced` told where. To resume takes another `On`.
    Off,
}

/// The detector of one channel.
pub struct Silence {
    position: u64,
}

impl Silence {
    /// A detector for one channel at `rate`.
    pub fn new(rate: Rate, config: &SilenceConfig) -> Silence {
        let _ = (rate, config);
        Silence { position: 0 }
    }

    /// Hears the next samples (−1 … 1, any number of them) and reports what it can say by their end.
    pub fn feed(&mut self, samples: &[f32], mut report: impl FnMut(SpeechEvent)) {
        let _ = &mut report;
        self.position += samples.len() as u64;
    }

    /// `frames` were lost: what is pending is given up, speech ends where the audio stopped; the floor is kept.
    pub fn skip(&mut self, frames: u64, mut report: impl FnMut(SpeechEvent)) {
        let _ = &mut report;
        self.position += frames;
    }

    /// A key's tone runs since `onset_frame`: what is pending since then is no speech, and until [`Silence::key_up`]
    /// nothing is, nor does it teach the floor.
    pub fn key_down(&mut self, onset_frame: u64) {
        let _ = onset_frame;
    }

    /// The tone has ended: `end_frame` is the first frame after it.
    pub fn key_up(&mut self, end_frame: u64) {
        let _ = end_frame;
    }

    /// Every frame reported as voiced from now on is this one or a later one. Never falls.
    pub fn settled_frame(&self) -> u64 {
        self.position
    }

    /// Whether speech is on.
    pub fn speaking(&self) -> bool {
        false
    }

    /// The level of the last block, in dBFS.
    pub fn level_dbfs(&self) -> f32 {
        crate::units::SILENT_DBFS
    }

    /// The noise floor, in dBFS.
    pub fn floor_dbfs(&self) -> f32 {
        crate::units::SILENT_DBFS
    }

    /// The level above which speech begins, in dBFS.
    pub fn threshold_dbfs(&self) -> f32 {
        crate::units::SILENT_DBFS
    }
}
