//! DTMF: which keys are pressed, from when to when.
//!
//! The signal is brought to 8 kHz, cut to the band of the tones and correlated in hops of 2.5 ms. A cheap gate looks
//! at every hop; what passes it is fitted by two sines (`fit`) and judged. See `design/detection.md`.

use super::decimate::{BATCH, Decimator, TONE_REACH};
use super::keys::Hearing;
use super::tone::{Key, Keys, Tone};
use crate::units::Rate;

/// What the detector may be told; each threshold with its source.
///
/// Levels are in dBFS (0 = a full-scale sine). Telephony counts in dBm0, where a full-scale sine is +3.14 (A-law,
/// ITU-T G.711): −36 dBm0 is −39 dBFS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DtmfConfig {
    /// The weaker of the two tones is at least this loud. −46 dBFS: halfway between what must be heard (−36 dBm0) and
    /// what must not (−55 dBm0).
    pub minimum_dbfs: f32,
    /// A key lasts this long, in seconds. 25.3 ms: over 23 ms (refused) by as much as an end can be off in noise. At most
    /// [`DtmfConfig::LONGEST_S`].
    pub minimum_s: f32,
    /// How far a tone may be off its frequency, as a share of it, and 2 Hz more. 1.5 % must be accepted and 3.5 %
    /// refused (ITU-T Q.24); the nearer the limit to the former, the less of speech and music passes for a key.
    pub frequency_error: f32,
    /// The column may be this much louder than the row, in dB. Q.24 asks for 4; 1 for measurement error.
    pub twist_db: f32,
    /// The row may be this much louder than the column, in dB. Q.24 asks for 8; 1 for measurement error.
    pub reverse_twist_db: f32,
    /// The keys that exist: the fewer, the fewer pairs there are for speech to imitate.
    pub keys: Keys,
}

impl DtmfConfig {
    /// What is refused by the standard, and what is accepted: the limits of `minimum_s`.
    pub const SHORTEST_S: f32 = 0.023;
    /// See there.
    pub const LONGEST_S: f32 = 0.04;
}

impl Default for DtmfConfig {
    fn default() -> Self {
        DtmfConfig {
            minimum_dbfs: -46.0,
            minimum_s: 0.0253,
            frequency_error: 0.015,
            twist_db: 5.0,
            reverse_twist_db: 9.0,
            keys: Keys::ALL,
        }
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

/// The detector of one channel. Clones share their tables: many channels are clones of one.
#[derive(Clone)]
pub struct Dtmf {
    decimator: Decimator,
    hearing: Hearing,
    /// The sample after the last one that was taken.
    taken: u64,
}

impl Dtmf {
    /// A detector for one channel at `rate`.
    pub fn new(rate: Rate, config: &DtmfConfig) -> Dtmf {
        let decimator = Decimator::new(rate, TONE_REACH);
        let hearing = Hearing::new(Decimator::out_hz(rate), &decimator, config, 0);
        Dtmf { decimator, hearing, taken: 0 }
    }

    /// Hears the next samples (−1 … 1, any number of them) and reports what it can say by their end.
    pub fn feed(&mut self, samples: &[f32], mut report: impl FnMut(DtmfEvent)) {
        for piece in samples.chunks(self.most()) {
            self.take(piece);
            self.hear(&mut report);
        }
    }

    /// Takes the next samples, at most [`Dtmf::most`] before they are heard. Many channels cost less if all of them take
    /// theirs first.
    pub fn take(&mut self, samples: &[f32]) {
        let Dtmf { decimator, hearing, taken } = self;
        decimator.feed(samples, |end, samples| {
            hearing.take(samples);
            *taken = end;
        });
    }

    /// Hears what was taken and reports what can be said by its end.
    pub fn hear(&mut self, mut report: impl FnMut(DtmfEvent)) {
        while self.hearing.hear(self.taken, &mut report).is_some() {}
    }

    /// How many samples can be taken before they are heard.
    pub fn most(&self) -> usize {
        BATCH * self.decimator.factor() as usize
    }

    /// `frames` were lost: what is pending is given up, a pressed key is released where the audio stopped.
    pub fn skip(&mut self, frames: u64, mut report: impl FnMut(DtmfEvent)) {
        self.hearing.release(self.decimator.position(), &mut report);
        let next = self.decimator.skip(frames);
        self.hearing.restart(next, self.decimator.position());
        self.taken = next;
    }

    /// Every key reported from now on has its onset at this frame or later. Never falls.
    pub fn settled_frame(&self) -> u64 {
        self.hearing.settled()
    }
}

#[cfg(test)]
#[path = "dtmf_tests.rs"]
mod tests;
