//! Voices made from a source and three formants, the sounds that go on behind them, and speech with a known end.

use super::{FULL_SCALE_DBM0, Rng, pink, quantise, ratio, sine, span, street, talkoff, ways, white};
use std::f64::consts::{PI, TAU};

/// The formants of eight vowels, in Hz.
pub const VOWELS: [[f64; 3]; 8] = [
    [730.0, 1090.0, 2440.0],
    [270.0, 2290.0, 3010.0],
    [300.0, 870.0, 2240.0],
    [530.0, 1840.0, 2480.0],
    [660.0, 1720.0, 2410.0],
    [570.0, 840.0, 2410.0],
    [440.0, 1020.0, 2240.0],
    [490.0, 1350.0, 1690.0],
];

/// Three resonators in parallel.
#[derive(Default)]
pub struct Formants([[f64; 2]; 3]);

impl Formants {
    pub fn pass(&mut self, hz: f64, at: [f64; 3], source: f64) -> f64 {
        let mut out = 0.0;
        for (k, state) in self.0.iter_mut().enumerate() {
            let r = (-PI * (50.0 + 30.0 * k as f64) / hz).exp();
            let y = source * (1.0 - r) + 2.0 * r * (TAU * at[k] / hz).cos() * state[0] - r * r * state[1];
            *state = [y, state[0]];
            out += y / (1.0 + k as f64);
        }
        out
    }
}

/// Adds speech of `dbfs` (its mean power while it lasts, against a full-scale sine's): syllables of 80-300 ms, pauses,
/// vowels that glide, fricatives. Returns the frame after the last voiced one.
pub fn voice(audio: &mut [f32], hz: f64, dbfs: f64, from: f64, to: f64, rng: &mut Rng) -> usize {
    let pitch = rng.range(85.0, 260.0);
    let all = span(audio, hz, from, to);
    let start = all.start;
    let mut spoken = vec![0.0; all.len()];
    let (mut at, mut last) = (from, start);
    let (mut now, mut phase) = (VOWELS[rng.below(8)], 0.0f64);
    while at < to - 0.12 {
        let length = rng.range(0.08, 0.3).min(to - at);
        let frames = span(audio, hz, at, at + length);
        let goal = VOWELS[rng.below(8)];
        let (gain, bend) = (ratio(rng.range(-12.0, 0.0)), rng.range(-0.25, 0.25));
        let hiss = rng.below(5) == 0;
        let mut formants = Formants::default();
        for n in frames.clone() {
            let share = (n - frames.start) as f64 / frames.len() as f64;
            let envelope = (share / 0.15).min((1.0 - share) / 0.25).clamp(0.0, 1.0);
            phase += pitch * (1.0 + bend * share + 0.01 * rng.normal()) / hz;
            let mut source = rng.normal() * if hiss { 0.5 } else { 0.05 };
            if phase >= 1.0 {
                phase -= phase.floor();
                source += if hiss { 0.0 } else { 6.0 };
            }
            let between = std::array::from_fn(|k| now[k] + (goal[k] - now[k]) * share);
            spoken[n - start] = gain * envelope * formants.pass(hz, between, source);
        }
        (last, now) = (frames.end, goal);
        at += length;
        if rng.below(4) == 0 {
            at += rng.range(0.05, 0.5);
        }
    }
    add_at(&mut audio[all], &spoken, dbfs);
    last
}

/// Adds what was made, at a mean power while it sounds.
pub fn add_at(audio: &mut [f32], made: &[f64], dbfs: f64) {
    let (sum, count) = made.iter().filter(|x| **x != 0.0).fold((0.0, 0), |(sum, n), x| (sum + x * x, n + 1));
    let scale = ratio(dbfs) / 2f64.sqrt() / (sum / f64::from(count.max(1))).sqrt().max(1e-9);
    audio.iter_mut().zip(made).for_each(|(to, x)| *to += (x * scale) as f32);
}

/// What goes on behind the speaker.
pub const BACKGROUNDS: [&str; 14] = [
    "none",
    "white",
    "pink",
    "fan",
    "fan that starts",
    "air conditioner",
    "hum 50 Hz",
    "babble",
    "somebody afar",
    "street",
    "clicks",
    "music",
    "room",
    "pumping gain",
];

/// Adds a background to what was spoken from `before` to `end`.
fn background(kind: &str, audio: &mut [f32], hz: f64, dbm0: f64, (before, end): (f64, f64), rng: &mut Rng) {
    let seconds = audio.len() as f64 / hz;
    match kind {
        "white" => white(audio, hz, dbm0, rng),
        "pink" => pink(audio, hz, dbm0, rng, |_| 1.0),
        "fan" => {
            pink(audio, hz, dbm0 - 1.0, rng, |_| 1.0);
            sine(audio, hz, 118.0, dbm0 - 7.0, rng);
        }
        "fan that starts" => {
            let from = rng.range(before, end);
            pink(audio, hz, dbm0, rng, |t| ((t - from) / 2.0).clamp(0.03, 1.0));
        }
        "air conditioner" => {
            // It hums, and its compressor swings slowly.
            let period = rng.range(3.0, 9.0);
            pink(audio, hz, dbm0 - 2.0, rng, |t| ratio(2.0 * (TAU * t / period).sin()));
            (1..4).for_each(|n| sine(audio, hz, 50.0 * f64::from(n), dbm0 - 6.0 - 3.0 * f64::from(n), rng));
        }
        "hum 50 Hz" => {
            sine(audio, hz, 50.0, dbm0 + 10.0, rng);
            sine(audio, hz, 150.0, dbm0 - 6.0, rng);
        }
        "babble" => {
            for _ in 0..6 {
                // Six together are 8 dB above one.
                voice(audio, hz, dbm0 - FULL_SCALE_DBM0 - 8.0, rng.range(0.0, 0.3), seconds, rng);
            }
        }
        "somebody afar" => {
            let mut far = vec![0.0; audio.len()];
            voice(&mut far, hz, dbm0 - FULL_SCALE_DBM0 - 3.0, 0.0, seconds, rng);
            ways::room(&mut far, hz, 0.6, 0.0, rng);
            audio.iter_mut().zip(far).for_each(|(x, far)| *x += far);
            white(audio, hz, dbm0 - 12.0, rng);
        }
        "street" => street(audio, hz, dbm0, rng),
        "clicks" => {
            white(audio, hz, dbm0 - 10.0, rng);
            let mut at = 0.0;
            while at < seconds {
                for n in span(audio, hz, at, at + 0.004) {
                    audio[n] += (0.1 * rng.normal()) as f32;
                }
                at += rng.range(0.2, 1.0);
            }
        }
        "music" => talkoff::music(audio, hz, dbm0 - FULL_SCALE_DBM0, rng),
        "room" => {
            ways::room(audio, hz, 0.3, 6.0, rng);
            white(audio, hz, dbm0.min(-45.0), rng);
        }
        "pumping gain" => {
            // Gain control: the noise comes up by 10 dB within a second once speech is over.
            white(audio, hz, dbm0 - 10.0, rng);
            for n in span(audio, hz, end, seconds) {
                audio[n] *= ratio((10.0 * (n as f64 / hz - end)).min(10.0)) as f32;
            }
        }
        _ => {}
    }
}

/// Speech with a known beginning and end, over a background.
pub struct Spoken {
    pub background: &'static str,
    pub audio: Vec<f32>,
    pub before: f64,
    pub end: f64,
    /// The speech over the background.
    pub snr: f64,
}

/// `count` cases over each background, at 8 kHz: other rates hear the same, resampled.
pub fn spoken(seed: u64, count: u64) -> impl Iterator<Item = Spoken> {
    let hz = 8_000.0;
    BACKGROUNDS.iter().enumerate().flat_map(move |(kind, &background)| {
        (0..count).map(move |case| {
            let mut rng = Rng::new(seed * 1_000_003 + 1_000 * kind as u64 + case);
            let rng = &mut rng;
            let (dbfs, snr) = (rng.range(-46.0, -16.0), rng.range(12.0, 30.0));
            let (before, length) = (rng.range(0.3, 3.0), rng.range(3.0, 8.0));
            let mut audio = vec![0.0; ((before + length + 6.0) * hz) as usize];
            let end = voice(&mut audio, hz, dbfs, before, before + length, rng) as f64 / hz;
            self::background(background, &mut audio, hz, dbfs + FULL_SCALE_DBM0 - snr, (before, end), rng);
            quantise(&mut audio);
            Spoken { background, audio, before, end, snr }
        })
    })
}

/// Adds one voice that sings: long vowels on the notes of a scale, with vibrato.
pub fn song(audio: &mut [f32], hz: f64, dbfs: f64, rng: &mut Rng) {
    let mut sung = vec![0.0; audio.len()];
    let (mut at, mut phase) = (0.0, 0.0f64);
    let seconds = audio.len() as f64 / hz;
    while at < seconds {
        let pitch = 110.0 * 2f64.powf(rng.below(30) as f64 / 12.0);
        let (length, vowel, depth) = (rng.range(0.15, 1.2), VOWELS[rng.below(8)], rng.range(0.0, 0.02));
        let frames = span(audio, hz, at, at + length);
        let mut formants = Formants::default();
        for n in frames.clone() {
            let t = (n - frames.start) as f64 / hz;
            phase += pitch * (1.0 + depth * (TAU * 5.5 * t).sin()) / hz;
            let source = if phase >= 1.0 { 6.0 } else { 0.0 };
            phase -= phase.floor();
            let edge = (t / 0.03).min((length - t) / 0.05).clamp(0.0, 1.0);
            sung[n] = edge * formants.pass(hz, vowel, source);
        }
        at += length + if rng.below(4) == 0 { rng.range(0.1, 0.5) } else { 0.0 };
    }
    add_at(audio, &sung, dbfs);
}
