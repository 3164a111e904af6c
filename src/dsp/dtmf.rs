//! DTMF: which keys are pressed, from when to when.

use super::tone::{Key, Tone};
use crate::units::Rate;

/// What the detector may be told; each threshold with its source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DtmfConfig {}

impl Default for DtmfConfig {
    fn default() -> Self {
        DtmfConfig {}
    }
}

/// What happened on the channel. Frames are absolute: the first frame ever fed or skipped is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DtmfEvent {
    /// A key was recognised.
    Pressed(Tone),
    /// The key last recognised has ended.
    Released {
        /// Which key.
        key: Key,
        /// The first frame after the tone, measured.
        end_frame: u64,
    },
}

/// The detector of one channel.
pub struct Dtmf {
    position: u64,
}

impl Dtmf {
    /// A detector for one channel at `rate`.
    pub fn new(rate: Rate, config: &DtmfConfig) -> Dtmf {
        let _ = (rate, config);
        Dtmf { position: 0 }
    }

    /// Hears the next samples (−1 … 1, any number of them) and reports what it can say by their end.
    pub fn feed(&mut self, samples: &[f32], mut report: impl FnMut(DtmfEvent)) {
        let _ = &mut report;
        self.position += samples.len() as u64;
    }

    /// `frames` were lost: what is pending is given up, a pressed key is released where the audio stopped.
    pub fn skip(&mut self, frames: u64, mut report: impl FnMut(DtmfEvent)) {
        let _ = &mut report;
        self.position += frames;
    }

    /// Every key reported from now on has its onset at this frame or later. Never falls.
    pub fn settled_frame(&self) -> u64 {
        self.position
    }
}
