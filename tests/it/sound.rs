//! Sound made to measure: tones, bursts that pass for speech, silence; and the WAVs that hold it.

#![allow(dead_code, reason = "benches share this file")]

use std::f64::consts::TAU;
use std::path::Path;

use tonearm::dsp::tone::Key;

/// Mono sound in the making, at one rate.
pub struct Sound {
    pub hz: u32,
    pub samples: Vec<i16>,
}

impl Sound {
    pub fn at(hz: u32) -> Sound {
        Sound { hz, samples: Vec::new() }
    }

    /// The next frame's index.
    pub fn now(&self) -> u64 {
        self.samples.len() as u64
    }

    /// A key at −12 dBFS in each tone.
    pub fn key(self, key: char, ms: u32) -> Sound {
        let (low, high) = Key::new(key).unwrap().hz();
        self.add(ms, |t| 0.25 * ((TAU * f64::from(low) * t).sin() + (TAU * f64::from(high) * t).sin()))
    }

    /// What passes for a voice: a buzz at 140 Hz with a syllable's rise and fall four times a second, at about −15 dBFS.
    pub fn voice(self, ms: u32) -> Sound {
        self.add(ms, |t| {
            let syllable = 0.65 - 0.35 * (TAU * 4.0 * t).cos();
            let buzz: f64 = (1..12).map(|n| (TAU * 140.0 * f64::from(n) * t).sin() / f64::from(n)).sum();
            0.25 * syllable * buzz
        })
    }

    /// Noise that no one speaks in, at about −60 dBFS; the same every time.
    pub fn hiss(self, ms: u32) -> Sound {
        let mut state = 1_u32;
        self.add(ms, move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f64::from(state >> 8) / f64::from(1 << 24) - 0.5) * 0.0025
        })
    }

    fn add(mut self, ms: u32, mut wave: impl FnMut(f64) -> f64) -> Sound {
        let frames = self.hz as usize * ms as usize / 1_000;
        let hz = f64::from(self.hz);
        self.samples.extend((0..frames).map(|i| (wave(i as f64 / hz) * 32_767.0).round() as i16));
        self
    }

    pub fn write(&self, path: &Path) {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: self.hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        self.samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
        writer.finalize().unwrap();
    }
}

/// The samples of a 16-bit WAV.
pub fn samples(path: &Path) -> Vec<i16> {
    hound::WavReader::open(path).unwrap().samples().map(Result::unwrap).collect()
}
