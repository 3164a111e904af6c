//! What the samples of a recording are like: what a listener should not have to find out.
//!
//! Belongs here: counting flaws of the microphone and its converter, and making of samples that are no audio what may be
//! stored. Does not: gaps (`recording`), levels while it runs (`dsp::level`).

use super::marked::Marked;
use crate::dsp::level::Level;
use crate::units::{LOUDEST, SILENT_DBFS, audible, dbfs};

/// What the samples of a recording are like, at the rate of its device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// The level of the whole, all channels together. −160: nothing but digital zeros.
    pub rms_dbfs: f32,
    /// The highest sample, 0 being full scale.
    pub peak_dbfs: f32,
    /// Samples at full scale or beyond.
    pub clipped_samples: u64,
    /// Samples that were no audio (NaN, infinite, louder than +24 dBFS): zeros stand for them.
    pub invalid_samples: u64,
    /// The mean of the channel in which it is farthest from zero, 1 being full scale.
    pub dc_offset: f32,
}

#[derive(Clone, Default)]
struct Tally {
    level: Level,
    invalid: u64,
    /// The sum of the samples of each channel.
    sums: Vec<f64>,
}

/// Hears a growing recording.
pub(super) struct Listener {
    heard: Marked<Tally>,
    channels: usize,
    /// Samples that had to be altered.
    clean: Vec<f32>,
}

impl Listener {
    pub fn new(channels: usize) -> Listener {
        let none = Tally { sums: vec![0.0; channels], ..Tally::default() };
        Listener { heard: Marked::new(none), channels, clean: Vec::new() }
    }

    /// The recording may be cut at this device frame.
    pub fn mark(&mut self, frame: u64) {
        self.heard.mark(frame);
    }

    /// Hears the next samples and gives them back as they may be stored.
    pub fn hear<'a>(&'a mut self, samples: &'a [f32]) -> &'a [f32] {
        let Listener { heard, channels, clean } = self;
        heard.advance(samples.len() / *channels, |tally, frames| {
            tally.hear(&samples[frames.start * *channels..frames.end * *channels]);
        });
        if samples.iter().all(|&x| x == audible(x)) {
            return samples;
        }
        clean.clear();
        clean.extend(samples.iter().map(|&x| audible(x)));
        clean
    }

    /// What the first `frames` device frames are like; all, if those are not known.
    pub fn signal(&self, frames: u64) -> Signal {
        let Tally { level, invalid, sums } = self.heard.at(frames).unwrap_or(self.heard.now());
        let frames = (level.samples / self.channels as u64).max(1) as f64;
        let farthest = sums.iter().fold(0.0, |most: f64, &sum| if sum.abs() > most.abs() { sum } else { most });
        Signal {
            rms_dbfs: dbfs(level.mean_square()),
            peak_dbfs: (20.0 * level.peak.log10()).max(SILENT_DBFS),
            clipped_samples: u64::from(level.clipped),
            invalid_samples: *invalid,
            dc_offset: (farthest / frames) as f32,
        }
    }
}

impl Tally {
    fn hear(&mut self, samples: &[f32]) {
        self.level.add(samples);
        self.invalid += samples.iter().filter(|x| x.is_nan() || x.abs() > LOUDEST).count() as u64;
        for frame in samples.chunks_exact(self.sums.len()) {
            self.sums.iter_mut().zip(frame).for_each(|(sum, &x)| *sum += f64::from(audible(x)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_samples_is_counted_and_what_is_no_audio_becomes_zeros() {
        let mut listener = Listener::new(2);
        listener.mark(3);
        let stored = listener.hear(&[0.5, -0.25, f32::NAN, 0.25, 1.0, -1.5, f32::INFINITY, 1e20, 1e-42, 0.0]);
        assert_eq!(stored, [0.5, -0.25, 0.0, 0.25, 1.0, -1.5, 0.0, 0.0, 0.0, 0.0]);
        let all = listener.signal(5);
        assert_eq!((all.clipped_samples, all.invalid_samples), (2, 3));
        assert!((all.peak_dbfs - 3.52).abs() < 0.01);
        assert!((all.dc_offset - 0.3).abs() < 1e-6, "{all:?}");
        // Cut where it was marked.
        let cut = listener.signal(3);
        assert_eq!((cut.clipped_samples, cut.invalid_samples), (2, 1));
        assert!((cut.dc_offset - 0.5).abs() < 1e-6, "{cut:?}");
    }

    #[test]
    fn digital_zeros_are_told_from_quiet() {
        let mut listener = Listener::new(1);
        assert_eq!(listener.hear(&[0.0; 100]), [0.0; 100]);
        let signal = listener.signal(100);
        assert_eq!((signal.rms_dbfs, signal.peak_dbfs, signal.dc_offset), (SILENT_DBFS, SILENT_DBFS, 0.0));
        listener.hear(&[1.0 / 32_768.0]);
        assert!((listener.signal(101).peak_dbfs + 90.3).abs() < 0.1);
    }
}
