//! Units that travel through the whole program: sample rates, frame counts, levels.
//!
//! Belongs here: what carries a unit and needs no state. Does not: anything that looks at audio over time (`dsp`).
//!
//! A *frame* is one sample of each channel. Frame indices and counts are `u64` and their names end in `_frame`
//! (an index) or `frames` (a count). Levels are in dBFS, where 0 dBFS is the level of a full-scale sine.

use std::fmt;
// Not `std::time`, where the clocks are.
use core::time::Duration;

/// Louder samples than +24 dBFS are no audio: a float device may send NaN, infinities or garbage. They count as 0.
pub const LOUDEST: f32 = 16.0;

/// The sample, or 0 if it is no audio or so small (a denormal, −759 dBFS) that it only costs time.
#[inline(always)]
pub const fn audible(sample: f32) -> f32 {
    let size = sample.abs();
    // A NaN fails both comparisons.
    if size >= f32::MIN_POSITIVE && size <= LOUDEST { sample } else { 0.0 }
}

/// A sample rate in frames a second, 8,000 to 192,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u32);

impl Rate {
    /// The lowest rate that carries DTMF (its highest tone is 1,633 Hz; telephony's rate).
    pub const MIN_HZ: u32 = 8_000;
    /// The highest rate that sound devices in the field offer.
    pub const MAX_HZ: u32 = 192_000;
    /// Telephony's rate, at which tones are analysed.
    pub const TELEPHONE: Rate = Rate(8_000);

    /// `None` outside 8,000 to 192,000 Hz.
    pub const fn new(hz: u32) -> Option<Rate> {
        if hz >= Self::MIN_HZ && hz <= Self::MAX_HZ { Some(Rate(hz)) } else { None }
    }

    /// Frames a second.
    pub const fn hz(self) -> u32 {
        self.0
    }

    /// How many frames `seconds` last.
    pub const fn frames_in(self, seconds: u32) -> u64 {
        self.0 as u64 * seconds as u64
    }

    /// How many whole frames fit in `ms` milliseconds.
    pub const fn frames_in_ms(self, ms: u32) -> u64 {
        self.0 as u64 * ms as u64 / 1_000
    }

    /// How many frames last this long, to the nearest.
    pub const fn frames_in_time(self, time: Duration) -> u64 {
        ((time.as_nanos() * self.0 as u128 + 500_000_000) / 1_000_000_000) as u64
    }

    /// How long `frames` last, in seconds.
    pub fn seconds(self, frames: u64) -> f64 {
        frames as f64 / f64::from(self.0)
    }

    /// The frame of a signal at rate `to` that lies at the same time as frame `frame` of one at this rate,
    /// rounded to the nearest (halves up). Whole seconds convert exactly.
    pub const fn convert(self, frame: u64, to: Rate) -> u64 {
        if self.0 == to.0 {
            return frame;
        }
        let (from, to) = (self.0 as u128, to.0 as u128);
        ((frame as u128 * to * 2 + from) / (from * 2)) as u64
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

/// The level that stands for "nothing at all": below the quantisation noise of 24 bits.
pub const SILENT_DBFS: f32 = -160.0;

/// The level of a signal with this mean square (samples in −1 … 1). A full-scale sine has a mean square of ½ and 0 dBFS.
pub fn dbfs(mean_square: f64) -> f32 {
    let db = 10.0 * (2.0 * mean_square).log10();
    if db > f64::from(SILENT_DBFS) { db as f32 } else { SILENT_DBFS }
}

/// The mean square of a signal of this level: what [`dbfs`] takes back.
pub fn mean_square(dbfs: f32) -> f32 {
    0.5 * 10f32.powf(dbfs / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(hz: u32) -> Rate {
        Rate::new(hz).unwrap()
    }

    #[test]
    fn rates_outside_8_to_192_khz_are_refused() {
        assert_eq!(Rate::new(7_999), None);
        assert_eq!(Rate::new(192_001), None);
        assert_eq!(rate(192_000).hz(), 192_000);
    }

    #[test]
    fn whole_seconds_convert_exactly_and_others_to_the_nearest_frame() {
        assert_eq!(rate(44_100).convert(44_100 * 3_600, rate(16_000)), 16_000 * 3_600);
        assert_eq!(rate(48_000).convert(4, rate(16_000)), 1);
        assert_eq!(rate(48_000).convert(5, rate(16_000)), 2);
        assert_eq!(rate(16_000).convert(u64::MAX / 32, rate(48_000)), u64::MAX / 32 * 3);
    }

    #[test]
    fn a_full_scale_sine_is_0_dbfs_and_nothing_is_the_floor() {
        assert!(dbfs(0.5).abs() < 1e-6);
        assert!((dbfs(f64::from(mean_square(-34.5))) + 34.5).abs() < 1e-4);
        assert_eq!(dbfs(0.0), SILENT_DBFS);
    }
}
