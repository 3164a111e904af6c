//! Audio with known contents, made from a seed: what tests and benches feed to the detectors.
//!
//! Everything is deterministic, and nothing here knows a detector. Levels are in dBm0 (a full-scale sine is +3.14), as
//! in telephony's limits; times are in seconds. Every press carries the rule by which its report is judged.

#![allow(dead_code, reason = "each user of this folder takes a part")]
#![allow(clippy::needless_range_loop, reason = "an index is a time here")]
#![allow(clippy::approx_constant, reason = "3.14 dBm0 is a level")]

pub mod codecs;
pub mod speech;
pub mod talkoff;
pub mod tones;
pub mod ways;

use std::f64::consts::TAU;
use tonearm::dsp::resample::Resampler;
use tonearm::units::Rate;

/// Rows, in Hz.
pub const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
/// Columns, in Hz.
pub const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// The keys in the order of row · 4 + column.
pub const KEYS: &[u8; 16] = b"123A456B789C*0#D";
/// The level of a full-scale sine: A-law's overload point (ITU-T G.711).
pub const FULL_SCALE_DBM0: f64 = 3.14;

/// What a detector has to do about a press.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// It must report the key, once.
    Report,
    /// It must not report anything.
    Refuse,
    /// Between the limits, or beyond them as it arrives: counted apart.
    Free,
}

/// One key press.
#[derive(Clone, Copy, Debug)]
pub struct Press {
    pub key: usize,
    pub onset: f64,
    pub length: f64,
    pub low_dbm0: f64,
    pub high_dbm0: f64,
    /// Shares of the nominal frequencies.
    pub low_off: f64,
    pub high_off: f64,
    /// An interruption within it: from, length, after the onset.
    pub hole: Option<(f64, f64)>,
    /// Quiet after it.
    pub pause: f64,
    /// The condition that its class varies, as the plots' abscissa.
    pub at: f64,
    pub rule: Rule,
}

impl Press {
    /// An ordinary one: −10 dBm0 each, nothing off.
    pub fn new(key: usize, onset: f64, length: f64) -> Press {
        Press {
            key,
            onset,
            length,
            low_dbm0: -10.0,
            high_dbm0: -10.0,
            low_off: 0.0,
            high_off: 0.0,
            hole: None,
            pause: 0.1,
            at: 0.0,
            rule: Rule::Report,
        }
    }

    pub fn end(&self) -> f64 {
        self.onset + self.length
    }

    pub fn hz(&self) -> (f64, f64) {
        (LOW[self.key / 4] * (1.0 + self.low_off), HIGH[self.key % 4] * (1.0 + self.high_off))
    }

    pub fn char(&self) -> char {
        KEYS[self.key] as char
    }
}

/// A stretch of audio at `hz` and the presses in it, in order.
pub struct Case {
    pub class: &'static str,
    /// What `Press::at` counts; empty if nothing is varied.
    pub axis: &'static str,
    pub hz: f64,
    pub audio: Vec<f32>,
    pub presses: Vec<Press>,
}

impl Case {
    pub fn seconds(&self) -> f64 {
        self.audio.len() as f64 / self.hz
    }
}

/// A small deterministic generator (splitmix64).
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn range(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.bits() % count as u64) as usize
    }

    pub fn sign(&mut self) -> f64 {
        if self.below(2) == 0 { -1.0 } else { 1.0 }
    }

    /// Normal, variance 1.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos()
    }
}

/// A ratio of amplitudes.
pub fn ratio(db: f64) -> f64 {
    10f64.powf(db / 20.0)
}

/// The amplitude of a sine of `dbm0`.
pub fn amplitude(dbm0: f64) -> f64 {
    ratio(dbm0 - FULL_SCALE_DBM0)
}

/// The frames from `from` to `to` seconds, within the audio.
pub fn span(audio: &[f32], hz: f64, from: f64, to: f64) -> std::ops::Range<usize> {
    let frame = |t: f64| ((t.max(0.0) * hz).ceil() as usize).min(audio.len());
    frame(from)..frame(to)
}

/// Adds a press, with edges of 0.25 ms.
pub fn press(audio: &mut [f32], hz: f64, press: &Press, rng: &mut Rng) {
    let (low, high) = press.hz();
    let (a, b) = (amplitude(press.low_dbm0), amplitude(press.high_dbm0));
    let (p, q) = (rng.unit() * TAU, rng.unit() * TAU);
    let edge = 0.00025;
    for n in span(audio, hz, press.onset, press.end()) {
        let t = n as f64 / hz - press.onset;
        let silent = press.hole.is_some_and(|(from, length)| t >= from && t < from + length);
        let gain = if silent { 0.0 } else { (t / edge).min((press.length - t) / edge).clamp(0.0, 1.0) };
        audio[n] += (gain * (a * (TAU * low * t + p).sin() + b * (TAU * high * t + q).sin())) as f32;
    }
}

/// Adds a sine.
pub fn sine(audio: &mut [f32], hz: f64, tone: f64, dbm0: f64, rng: &mut Rng) {
    let (a, p) = (amplitude(dbm0), rng.unit() * TAU);
    audio.iter_mut().enumerate().for_each(|(n, x)| *x += (a * (TAU * tone * n as f64 / hz + p).sin()) as f32);
}

/// Adds a sine whose frequency follows `course` (of 0 to 1), with edges of 5 ms.
pub fn glide(audio: &mut [f32], hz: f64, from: f64, length: f64, dbm0: f64, course: impl Fn(f64) -> f64) {
    let a = amplitude(dbm0);
    let frames = span(audio, hz, from, from + length);
    let (first, mut phase) = (frames.start, 0.0f64);
    for n in frames {
        let t = (n - first) as f64 / hz;
        phase += TAU * course(t / length) / hz;
        audio[n] += (a * (t / 0.005).min((length - t) / 0.005).clamp(0.0, 1.0) * phase.sin()) as f32;
    }
}

/// Adds white noise with the power, in 4 kHz of band, of a sine of `dbm0`.
pub fn white(audio: &mut [f32], hz: f64, dbm0: f64, rng: &mut Rng) {
    let sigma = amplitude(dbm0) / 2f64.sqrt() * (hz / 8_000.0).sqrt();
    audio.iter_mut().for_each(|x| *x += (sigma * rng.normal()) as f32);
}

/// Adds pink noise (−3 dB an octave, 30 Hz to 3.4 kHz) with the power of a sine of `dbm0`, times `swell(t)`.
pub fn pink(audio: &mut [f32], hz: f64, dbm0: f64, rng: &mut Rng, swell: impl Fn(f64) -> f64) {
    // One pole an octave, each with the same power.
    let poles: [f64; 8] = std::array::from_fn(|octave| (-TAU * 27.0 * 2f64.powi(octave as i32) / hz).exp());
    let mut state = [0.0f64; 8];
    let sigma = amplitude(dbm0) / 2f64.sqrt() / 8f64.sqrt();
    for (n, x) in audio.iter_mut().enumerate() {
        let mut sum = 0.0;
        for (state, pole) in state.iter_mut().zip(poles) {
            *state = pole * *state + (1.0 - pole * pole).sqrt() * rng.normal();
            sum += *state;
        }
        *x += (sigma * swell(n as f64 / hz) * sum) as f32;
    }
}

/// Adds a street: pink noise, the rumble of engines, cars that pass.
pub fn street(audio: &mut [f32], hz: f64, dbm0: f64, rng: &mut Rng) {
    let (period, shift) = (rng.range(4.0, 12.0), rng.unit());
    pink(audio, hz, dbm0 - 1.0, rng, |t| ratio(3.0 * (TAU * (t / period + shift)).sin()));
    for harmonic in 1..5 {
        sine(audio, hz, rng.range(26.0, 32.0) * f64::from(harmonic), dbm0 - 15.0, rng);
    }
}

/// Rounds to 16 bits, clipping: what a sound card delivers.
pub fn quantise(audio: &mut [f32]) {
    audio.iter_mut().for_each(|x| *x = (*x * 32_768.0).round().clamp(-32_768.0, 32_767.0) / 32_768.0);
}

/// The same audio at another rate, frame 0 being frame 0.
pub fn resampled(audio: &[f32], from: f64, to: f64) -> Vec<f32> {
    let rate = |hz: f64| Rate::new(hz as u32).expect("a rate of 8 to 192 kHz");
    let (mut resampler, mut out) = (Resampler::new(rate(from), rate(to), 1), Vec::new());
    resampler.process(audio, &mut out);
    resampler.finish(audio.len() as u64, &mut out);
    out
}
