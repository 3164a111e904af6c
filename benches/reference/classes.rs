//! The classes of tones, and the score.

use crate::corpus::{self, Press, Rng};
use std::collections::BTreeMap;

/// A key as a detector reported it; times in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub key: char,
    pub onset: f64,
    pub decided: f64,
    pub end: f64,
}

/// A stretch of audio and what is in it.
pub struct Case {
    pub name: &'static str,
    pub audio: Vec<f32>,
    pub wanted: Vec<Press>,
    pub refused: usize,
    pub seconds: f64,
}

/// An ordinary press.
pub fn press(key: usize, onset: f64, length: f64) -> Press {
    Press { key, onset, length, low_dbm0: -10.0, high_dbm0: -10.0, low_off: 0.0, high_off: 0.0, hole: None }
}

/// Presses in a row, each altered by `alter`, then the whole by `spoil`.
fn row(
    name: &'static str,
    hz: f64,
    rng: &mut Rng,
    count: usize,
    refuse: bool,
    alter: &mut dyn FnMut(&mut Press, &mut Rng),
    spoil: &mut dyn FnMut(&mut [f32], &mut Rng),
) -> Case {
    let mut presses = Vec::new();
    let mut at = 0.3;
    for index in 0..count {
        let mut one = press(index % 16, at + rng.range(0.0, 0.01), rng.range(0.045, 0.1));
        alter(&mut one, rng);
        at = one.onset + one.length + rng.range(0.07, 0.2);
        presses.push(one);
    }
    let mut audio = vec![0.0; ((at + 0.3) * hz) as usize];
    presses.iter().for_each(|one| corpus::press(&mut audio, hz, one, rng));
    spoil(&mut audio, rng);
    corpus::quantise(&mut audio);
    let refused = if refuse { presses.len() } else { 0 };
    Case { name, audio, wanted: if refuse { Vec::new() } else { presses }, refused, seconds: at }
}

/// Clean presses at many levels.
pub fn plain(hz: f64, seed: u64) -> Vec<Case> {
    let mut rng = Rng::new(seed ^ 77);
    let mut levels = |p: &mut Press, rng: &mut Rng| {
        p.low_dbm0 = rng.range(-30.0, -3.0);
        p.high_dbm0 = p.low_dbm0 + rng.range(-6.0, 3.0);
    };
    let mut quiet = |audio: &mut [f32], rng: &mut Rng| corpus::noise(audio, hz, -60.0, rng);
    vec![row("plain", hz, &mut rng, 320, false, &mut levels, &mut quiet)]
}

/// Every class.
pub fn all(hz: f64, seed: u64) -> Vec<Case> {
    let mut rng = Rng::new(seed);
    let mut cases = plain(hz, seed);
    let quiet = &mut |audio: &mut [f32], rng: &mut Rng| corpus::noise(audio, hz, -65.0, rng);
    let none = &mut |_: &mut Press, _: &mut Rng| {};
    let sign = |rng: &mut Rng| if rng.below(2) == 0 { -1.0 } else { 1.0 };
    let off = |key: usize, share: f64, hz: f64, rng: &mut Rng| {
        let (a, b) = (sign(rng), sign(rng));
        (a * (share + hz / corpus::LOW[key / 4]), b * (share + hz / corpus::HIGH[key % 4]))
    };
    cases.push(row("40 ms", hz, &mut rng, 320, false, &mut |p, _| p.length = 0.0401, quiet));
    cases.push(row("±(1.5 % + 2 Hz)", hz, &mut rng, 320, false, &mut |p, rng| {
        (p.low_off, p.high_off) = off(p.key, 0.015, 2.0, rng);
    }, quiet));
    cases.push(row("twist −8 … +4 dB", hz, &mut rng, 320, false, &mut |p, rng| {
        let twist = rng.range(-8.0, 4.0);
        p.high_dbm0 = p.low_dbm0 + twist;
    }, quiet));
    cases.push(row("level −36 … 0 dBm0", hz, &mut rng, 320, false, &mut |p, rng| {
        p.low_dbm0 = rng.range(-36.0, 0.0);
        p.high_dbm0 = (p.low_dbm0 + rng.range(-2.0, 2.0)).clamp(-36.0, 0.0);
    }, &mut |_, _| {}));
    cases.push(row("white noise, SNR 15 dB", hz, &mut rng, 320, false, none, &mut |audio, rng| {
        corpus::noise(audio, hz, -7.0 - 15.0, rng);
    }));
    cases.push(row("noise, edges of all limits", hz, &mut rng, 320, false, &mut |p, rng| {
        (p.low_off, p.high_off) = off(p.key, 0.015, 1.0, rng);
        p.high_dbm0 = p.low_dbm0 + rng.range(-6.0, 3.0);
        p.length = rng.range(0.041, 0.08);
    }, &mut |audio, rng| corpus::noise(audio, hz, -7.0 - 20.0, rng)));
    for level in [-20.0, -10.0, -4.0] {
        for mains in [50.0, 60.0] {
            cases.push(row("hum −20, −10, −4 dBm0", hz, &mut rng, 64, false, none, &mut |audio, rng| {
                corpus::sine(audio, hz, mains, level, rng);
                corpus::sine(audio, hz, 3.0 * mains, level - 20.0, rng);
                corpus::noise(audio, hz, -60.0, rng);
            }));
        }
    }
    cases.push(row("echo 20 ms, −10 dB", hz, &mut rng, 160, false, none, &mut |audio, rng| {
        let delay = (0.02 * hz) as usize;
        for n in (delay..audio.len()).rev() {
            audio[n] += 0.316 * audio[n - delay];
        }
        corpus::noise(audio, hz, -60.0, rng);
    }));
    for rt60 in [0.2, 0.4].repeat(5) {
        cases.push(row("rooms, rt60 0.2, 0.4 s", hz, &mut rng, 32, false, &mut |p, rng| {
            p.length = rng.range(0.07, 0.12);
            p.onset += 0.05;
        }, &mut |audio, rng| {
            corpus::room(audio, hz, rt60, rng);
            corpus::noise(audio, hz, -45.0, rng);
        }));
    }
    cases.push(row("doubles: holes of 2-20 ms", hz, &mut rng, 320, false, &mut |p, rng| {
        p.length = rng.range(0.1, 0.16);
        p.hole = Some((rng.range(0.03, 0.06), rng.range(0.002, 0.020)));
    }, quiet));
    cases.push(row("pause of 40 ms, same key", hz, &mut rng, 320, false, &mut |p, _| p.key = 5, quiet));
    let mut at = 0.3;
    let mut same: Vec<Press> = Vec::new();
    for index in 0..160 {
        same.push(press(index / 10 % 16, at, 0.05));
        at += 0.0905;
    }
    let mut audio = vec![0.0; ((at + 0.3) * hz) as usize];
    same.iter().for_each(|one| corpus::press(&mut audio, hz, one, &mut rng));
    corpus::noise(&mut audio, hz, -65.0, &mut rng);
    cases.push(Case { name: "pause of 40 ms, same key", audio, wanted: same, refused: 0, seconds: at });

    cases.push(row("refuse: 23 ms", hz, &mut rng, 320, true, &mut |p, _| p.length = 0.023, quiet));
    cases.push(row("refuse: 23 ms in noise, 15 dB", hz, &mut rng, 320, true, &mut |p, _| p.length = 0.023, &mut |audio, rng| {
        corpus::noise(audio, hz, -22.0, rng);
    }));
    cases.push(row("refuse: 3.5 % off", hz, &mut rng, 320, true, &mut |p, rng| {
        let (low, high) = off(p.key, 0.035, 0.0, rng);
        match rng.below(3) {
            0 => p.low_off = low,
            1 => p.high_off = high,
            _ => (p.low_off, p.high_off) = (low, high),
        }
    }, quiet));
    cases.push(row("refuse: −55 dBm0", hz, &mut rng, 160, true, &mut |p, _| (p.low_dbm0, p.high_dbm0) = (-55.0, -55.0), &mut |_, _| {}));
    cases.push(row("refuse: one tone alone", hz, &mut rng, 160, true, &mut |p, rng| {
        if rng.below(2) == 0 { p.low_dbm0 = -100.0 } else { p.high_dbm0 = -100.0 }
    }, quiet));
    cases.extend(clean_of_keys(hz, seed));
    cases
}

/// Audio without any key in it.
fn clean_of_keys(hz: f64, seed: u64) -> Vec<Case> {
    let mut rng = Rng::new(seed ^ 0xFA15E);
    let mut cases = Vec::new();
    let mut empty = |name, audio: Vec<f32>| {
        let seconds = audio.len() as f64 / hz;
        cases.push(Case { name, audio, wanted: Vec::new(), refused: 0, seconds });
    };
    let length = (120.0 * hz) as usize;
    let mut voices = vec![0.0; length];
    for part in 0..12 {
        let from = 10.0 * part as f64;
        corpus::speech(&mut voices, hz, -20.0, from, from + 9.8, &mut rng);
    }
    empty("false: formant voices", voices);
    let mut chords = vec![0.0; length];
    let mut at = 0.0;
    while at < 118.0 {
        // Three or four notes of a tempered scale, each with harmonics that fall by 6 to 18 dB.
        let notes = 2 + rng.below(3);
        let span = rng.range(0.1, 0.6);
        for _ in 0..notes {
            let base = 110.0 * 2f64.powf(rng.below(48) as f64 / 12.0);
            let (fall, level) = (rng.range(6.0, 18.0), rng.range(-25.0, -10.0));
            for harmonic in 1..5 {
                let tone = base * f64::from(harmonic);
                if tone < 3_600.0 {
                    add(&mut chords, hz, at, span, |_| tone, level - fall * f64::from(harmonic - 1));
                }
            }
        }
        at += span;
    }
    empty("false: chords", chords);
    let mut glides = vec![0.0; length];
    let mut at = 0.0;
    while at < 118.0 {
        let span = rng.range(0.2, 1.0);
        for _ in 0..2 {
            let (from, to) = (rng.range(500.0, 1_800.0), rng.range(500.0, 1_800.0));
            add(&mut glides, hz, at, span, |share| from + (to - from) * share, -12.0);
        }
        at += span;
    }
    empty("false: glides", glides);
    let mut progress = vec![0.0; length];
    let pairs = [(350.0, 440.0), (440.0, 480.0), (480.0, 620.0), (425.0, 425.0), (950.0, 1_400.0), (1_400.0, 1_800.0), (697.0, 440.0), (1_100.0, 2_100.0)];
    for index in 0..238 {
        let (a, b) = pairs[rng.below(pairs.len())];
        let at = 0.5 * f64::from(index);
        add(&mut progress, hz, at, 0.4, |_| a, -13.0);
        add(&mut progress, hz, at, 0.4, |_| b, -13.0);
    }
    empty("false: call progress", progress);
    cases
}

/// Adds a sine whose frequency follows `course` (0 to 1), with edges of 5 ms.
fn add(audio: &mut [f32], hz: f64, from: f64, span: f64, course: impl Fn(f64) -> f64, dbm0: f64) {
    let amplitude = corpus::amplitude(dbm0);
    let (first, last) = ((from * hz) as usize, (((from + span) * hz) as usize).min(audio.len()));
    let mut phase = 0.0f64;
    for n in first..last {
        let t = (n - first) as f64 / hz;
        phase += std::f64::consts::TAU * course(t / span) / hz;
        let edge = (t / 0.005).min((span - t) / 0.005).clamp(0.0, 1.0);
        audio[n] += (amplitude * edge * phase.sin()) as f32;
    }
}

#[derive(Default)]
struct Row {
    wanted: usize,
    hit: usize,
    extra: usize,
    refused: usize,
    seconds: f64,
    onset_early: f64,
    onset_late: f64,
    end_off: f64,
}

/// The score, class by class.
#[derive(Default)]
pub struct Table {
    rows: BTreeMap<(usize, &'static str), Row>,
    order: Vec<&'static str>,
}

impl Table {
    pub fn score(&mut self, case: &Case, heard: &[Heard]) {
        if !self.order.contains(&case.name) {
            self.order.push(case.name);
        }
        let at = self.order.iter().position(|&name| name == case.name).unwrap_or(0);
        let row = self.rows.entry((at, case.name)).or_default();
        row.wanted += case.wanted.len();
        row.refused += case.refused;
        row.seconds += case.seconds;
        let mut used = vec![false; heard.len()];
        for want in &case.wanted {
            let key = corpus::KEYS[want.key] as char;
            let found = (0..heard.len()).find(|&n| {
                !used[n] && heard[n].key == key && heard[n].decided > want.onset && heard[n].decided < want.onset + want.length + 0.06
            });
            if let Some(n) = found {
                used[n] = true;
                row.hit += 1;
                row.onset_late = row.onset_late.max(heard[n].onset - want.onset);
                row.onset_early = row.onset_early.max(want.onset - heard[n].onset);
                if !heard[n].end.is_nan() {
                    row.end_off = row.end_off.max((heard[n].end - want.onset - want.length).abs());
                }
            }
        }
        row.extra += used.iter().filter(|&&used| !used).count();
    }

    pub fn print(&self) {
        println!("  {:<30} {:>7} {:>6} {:>28}", "class", "hits", "extra", "onset early, late; end off ms");
        let (mut wanted, mut hit) = (0, 0);
        for ((_, name), row) in &self.rows {
            (wanted, hit) = (wanted + row.wanted, hit + row.hit);
            let hits = match row.wanted {
                0 if row.refused > 0 => format!("of {}", row.refused),
                0 => format!("{:.0} s", row.seconds),
                wanted => format!("{:.2} %", 100.0 * row.hit as f64 / wanted as f64),
            };
            let times = format!("{:.1} {:.1} {:.1}", 1e3 * row.onset_early, 1e3 * row.onset_late, 1e3 * row.end_off);
            println!("  {name:<30} {hits:>9} {:>6} {times:>20}", row.extra);
        }
        println!("  all that must be reported: {:.2} % of {wanted}", 100.0 * hit as f64 / wanted as f64);
    }
}

/// How long after its onset each key was reported.
pub fn delays(case: &Case, heard: &[Heard], delays: &mut Vec<f64>) {
    for want in &case.wanted {
        let key = corpus::KEYS[want.key] as char;
        let found = heard.iter().find(|h| h.key == key && h.decided > want.onset && h.decided < want.onset + 0.1);
        delays.extend(found.map(|heard| heard.decided - want.onset));
    }
}
