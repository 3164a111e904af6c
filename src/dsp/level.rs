//! How loud a block is: mean square, peak and how many samples are clipped.

use crate::units::audible;
use multiversion::multiversion;

/// Samples at or beyond this size count as clipped: full scale of 16 bits (32,767 / 32,768).
pub const CLIPPED: f32 = 32_767.0 / 32_768.0;
/// Sums of squares stay in f32 for this many samples at most, then go on in f64.
const PIECE: usize = 512;
const LANES: usize = 16;

/// What the samples of one channel amounted to, added up over any number of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Level {
    /// How many samples were heard.
    pub samples: u64,
    /// The sum of their squares.
    pub square_sum: f64,
    /// The largest size among them.
    pub peak: f32,
    /// How many of them were at full scale or beyond.
    pub clipped: u32,
}

impl Level {
    /// The level of one block.
    pub fn of(samples: &[f32]) -> Level {
        let mut level = Level::default();
        level.add(samples);
        level
    }

    /// Hears more samples of the channel. What is no audio counts as 0.
    pub fn add(&mut self, samples: &[f32]) {
        self.samples += samples.len() as u64;
        for piece in samples.chunks(PIECE) {
            let (square_sum, peak, clipped) = measure(piece);
            self.square_sum += f64::from(square_sum);
            self.peak = self.peak.max(peak);
            self.clipped += clipped;
        }
    }

    /// The mean of the squares; 0 if nothing was heard. For dBFS see [`crate::units::dbfs`].
    pub fn mean_square(&self) -> f64 {
        if self.samples == 0 { 0.0 } else { self.square_sum / self.samples as f64 }
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn measure(samples: &[f32]) -> (f32, f32, u32) {
    let mut squares = [0.0f32; LANES];
    let mut peaks = [0.0f32; LANES];
    let mut clips = [0u32; LANES];
    let (groups, rest) = samples.as_chunks::<LANES>();
    let sane = |x: f32| audible(x).abs();
    for group in groups {
        for lane in 0..LANES {
            let size = sane(group[lane]);
            squares[lane] += size * size;
            peaks[lane] = if size > peaks[lane] { size } else { peaks[lane] };
            clips[lane] += u32::from(size >= CLIPPED);
        }
    }
    for (lane, &x) in rest.iter().enumerate() {
        let size = sane(x);
        squares[lane] += size * size;
        peaks[lane] = if size > peaks[lane] { size } else { peaks[lane] };
        clips[lane] += u32::from(size >= CLIPPED);
    }
    (squares.iter().sum(), peaks.iter().fold(0.0, |peak, &x| peak.max(x)), clips.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::dbfs;

    #[test]
    fn a_full_scale_sine_is_0_dbfs() {
        let sine: Vec<f32> = (0..48_000).map(|n| (n as f32 * 0.1).sin()).collect();
        assert!(dbfs(Level::of(&sine).mean_square()).abs() < 0.01);
    }

    #[test]
    fn peak_and_clipped_samples_are_found_wherever_they_lie() {
        for at in 0..40 {
            let mut samples = [0.25f32; 40];
            samples[at] = -1.0;
            let level = Level::of(&samples);
            assert_eq!((level.peak, level.clipped), (1.0, 1));
        }
    }

    #[test]
    fn nothing_and_what_is_no_audio_is_silence() {
        assert_eq!(Level::of(&[]).mean_square(), 0.0);
        assert_eq!(Level::of(&[f32::NAN, f32::INFINITY, 1e30, 1e-42]).mean_square(), 0.0);
    }
}
