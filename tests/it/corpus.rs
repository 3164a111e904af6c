//! Audio with known contents, made from a seed: what tests and benches feed to the detectors.
//!
//! Everything is deterministic. Levels of tones are in dBm0 (a full-scale sine is +3.14), as in telephony's limits.
#![allow(dead_code, reason = "each user of this file takes a part")]
#![allow(clippy::needless_range_loop, reason = "an index is a time here")]
#![allow(clippy::approx_constant, reason = "3.14 dBm0 is a level")] // Each user takes some of it.

use std::f64::consts::TAU;

/// Rows and columns, in Hz.
pub const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
/// Columns, in Hz.
pub const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// The keys in the order of row · 4 + column.
pub const KEYS: &[u8; 16] = b"123A456B789C*0#D";

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

    /// Normal, variance 1.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos()
    }
}

/// The level of a full-scale sine.
#[allow(clippy::approx_constant)] // No π: A-law's overload point (ITU-T G.711).
pub const FULL_SCALE_DBM0: f64 = 3.14;

/// The amplitude of a sine of `dbm0`.
pub fn amplitude(dbm0: f64) -> f64 {
    10f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0)
}

/// One key press.
#[derive(Clone, Copy, Debug)]
pub struct Press {
    pub key: usize,
    /// Seconds.
    pub onset: f64,
    pub length: f64,
    pub low_dbm0: f64,
    pub high_dbm0: f64,
    /// Shares of the nominal frequency and Hz.
    pub low_off: f64,
    pub high_off: f64,
    /// An interruption within it: from, length, in seconds after the onset.
    pub hole: Option<(f64, f64)>,
}

/// Adds a press to `audio`, with edges of 0.25 ms.
pub fn press(audio: &mut [f32], hz: f64, press: &Press, rng: &mut Rng) {
    let low = LOW[press.key / 4] * (1.0 + press.low_off);
    let high = HIGH[press.key % 4] * (1.0 + press.high_off);
    let (a, b) = (amplitude(press.low_dbm0), amplitude(press.high_dbm0));
    let (p, q) = (rng.unit() * TAU, rng.unit() * TAU);
    let edge = 0.00025;
    let first = (press.onset * hz).ceil() as usize;
    let last = (((press.onset + press.length) * hz) as usize).min(audio.len());
    for (n, x) in audio.iter_mut().enumerate().take(last).skip(first) {
        let t = n as f64 / hz - press.onset;
        let mut gain = (t / edge).min((press.length - t) / edge).clamp(0.0, 1.0);
        if let Some((from, length)) = press.hole
            && t >= from
            && t < from + length
        {
            gain = 0.0;
        }
        *x += (gain * (a * (TAU * low * t + p).sin() + b * (TAU * high * t + q).sin())) as f32;
    }
}

/// Adds white noise of `dbm0` (its power that of a sine of that level) measured in 4 kHz of band.
pub fn noise(audio: &mut [f32], hz: f64, dbm0: f64, rng: &mut Rng) {
    let sigma = amplitude(dbm0) / 2f64.sqrt() * (hz / 8_000.0).sqrt();
    audio.iter_mut().for_each(|x| *x += (sigma * rng.normal()) as f32);
}

/// Adds a sine of `dbm0`.
pub fn sine(audio: &mut [f32], hz: f64, tone: f64, dbm0: f64, rng: &mut Rng) {
    let (a, p) = (amplitude(dbm0), rng.unit() * TAU);
    audio.iter_mut().enumerate().for_each(|(n, x)| *x += (a * (TAU * tone * n as f64 / hz + p).sin()) as f32);
}

/// Passes `audio` through a room: a direct path, sparse early reflections and a tail that falls 60 dB in `rt60`.
pub fn room(audio: &mut [f32], hz: f64, rt60: f64, rng: &mut Rng) {
    let dry = audio.to_vec();
    let mut taps: Vec<(usize, f64)> = Vec::new();
    let mut t = 0.002;
    while t < rt60 * 0.8 {
        // About 7 dB less reverberation than direct sound.
        let level = 0.12 * 10f64.powf(-3.0 * t / rt60) * rng.normal();
        taps.push(((t * hz) as usize, level));
        t += rng.range(0.0005, 0.0035);
    }
    for (delay, gain) in taps {
        for n in delay..audio.len() {
            audio[n] += (gain * f64::from(dry[n - delay])) as f32;
        }
    }
}

/// Rounds to 16 bits, clipping: what a sound card delivers.
pub fn quantise(audio: &mut [f32]) {
    audio.iter_mut().for_each(|x| *x = (*x * 32_768.0).round().clamp(-32_768.0, 32_767.0) / 32_768.0);
}

/// Speech-like audio from a source and three formants: syllables of 80-300 ms, pauses, vowels, fricatives.
/// Returns the frame after the last voiced one.
pub fn speech(audio: &mut [f32], hz: f64, dbfs: f64, from: f64, to: f64, rng: &mut Rng) -> usize {
    let vowels = [
        [730.0, 1090.0, 2440.0],
        [270.0, 2290.0, 3010.0],
        [300.0, 870.0, 2240.0],
        [530.0, 1840.0, 2480.0],
        [660.0, 1720.0, 2410.0],
        [570.0, 840.0, 2410.0],
        [440.0, 1020.0, 2240.0],
        [490.0, 1350.0, 1690.0],
    ];
    let pitch = rng.range(85.0, 260.0);
    let mut spoken: Vec<f32> = vec![0.0; audio.len()];
    let mut at = from;
    let mut last = 0;
    let (mut now, mut phase) = (vowels[rng.below(8)], 0.0f64);
    while at < to - 0.12 {
        let length = rng.range(0.08, 0.3).min(to - at);
        let (first, end) = ((at * hz) as usize, (((at + length) * hz) as usize).min(audio.len()));
        let goal = vowels[rng.below(8)];
        let (gain, bend) = (10f64.powf(rng.range(-12.0, 0.0) / 20.0), rng.range(-0.25, 0.25));
        let hiss = rng.below(5) == 0;
        let mut memory = [[0.0f64; 2]; 3];
        for n in first..end {
            let share = (n - first) as f64 / (end - first) as f64;
            let envelope = (share / 0.15).min((1.0 - share) / 0.25).clamp(0.0, 1.0);
            phase += pitch * (1.0 + bend * share + 0.01 * rng.normal()) / hz;
            let mut source = 0.05 * rng.normal();
            if hiss {
                source = 0.5 * rng.normal();
            } else if phase >= 1.0 {
                phase -= 1.0;
                source += 6.0;
            }
            let mut out = 0.0;
            for (k, m) in memory.iter_mut().enumerate() {
                let f = now[k] + (goal[k] - now[k]) * share;
                let r = (-std::f64::consts::PI * (50.0 + 30.0 * k as f64) / hz).exp();
                let y = source * (1.0 - r) + 2.0 * r * (TAU * f / hz).cos() * m[0] - r * r * m[1];
                *m = [y, m[0]];
                out += y / (1.0 + k as f64);
            }
            spoken[n] = (gain * envelope * out) as f32;
        }
        last = end;
        now = goal;
        at += length;
        if rng.below(4) == 0 {
            at += rng.range(0.05, 0.5);
        }
    }
    let voiced: Vec<f64> = spoken.iter().map(|&x| f64::from(x * x)).filter(|&x| x > 0.0).collect();
    let rms = (voiced.iter().sum::<f64>() / voiced.len().max(1) as f64).sqrt().max(1e-9);
    let scale = 10f64.powf(dbfs / 20.0) / 2f64.sqrt() / rms;
    audio.iter_mut().zip(&spoken).for_each(|(x, s)| *x += s * scale as f32);
    last
}
