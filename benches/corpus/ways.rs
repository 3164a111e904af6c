//! What happens to a press on its way to the microphone and the line: rooms, echoes, codecs, clipping, other sound, and
//! what microphones give besides.
//!
//! A way may carry a press beyond the limits: a room's null takes the column away. So a press is to be reported if it
//! lies within the limits of twist, level and noise as it arrives, for at least 40 ms; else it is free, and counted
//! apart. Only where a line says so is the rule another.

use super::tones::{Alter, Spoil, quiet, row};
use super::{
    Case, FULL_SCALE_DBM0, Press, Rng, Rule, amplitude, codecs, pink, quantise, ratio, resampled, sine, span, speech,
    talkoff, white,
};
use std::f64::consts::TAU;

/// Passes `audio` through a room: the direct path, `direct_db` louder than reflections that become denser and fall by
/// 60 dB in `rt60`.
pub fn room(audio: &mut [f32], hz: f64, rt60: f64, direct_db: f64, rng: &mut Rng) {
    let dry = audio.to_vec();
    let (mut taps, mut t) = (Vec::new(), rng.range(0.001, 0.004));
    while t < rt60 {
        // Sound fades with time, and reflections come more often: fewer but stronger ones first.
        let gap = (0.003 * (-t / 0.02).exp()).max(0.0007);
        taps.push(((t * hz) as usize, gap.sqrt() * ratio(-60.0 * t / rt60) * rng.normal()));
        t += gap * rng.range(0.3, 1.7);
    }
    let power: f64 = taps.iter().map(|(_, gain)| gain * gain).sum();
    let scale = ratio(-direct_db) / power.sqrt();
    for (delay, gain) in taps {
        let gain = (gain * scale) as f32;
        for (x, dry) in audio[delay..].iter_mut().zip(&dry) {
            *x += gain * dry;
        }
    }
}

/// Adds the same sound, later and fainter.
pub fn echo(audio: &mut [f32], hz: f64, delay: f64, db: f64) {
    let (dry, gain) = (audio.to_vec(), ratio(db) as f32);
    audio[(delay * hz) as usize..].iter_mut().zip(&dry).for_each(|(x, dry)| *x += gain * dry);
}

/// How a press arrives between two times: both levels in dBm0, and its pair over everything else in dB.
pub fn arrived(audio: &[f32], hz: f64, press: &Press, from: f64, to: f64) -> (f64, f64, f64) {
    let frames = span(audio, hz, from, to);
    let (low, high) = press.hz();
    let basis = |n: usize| {
        let (a, b) = (TAU * low * n as f64 / hz, TAU * high * n as f64 / hz);
        [a.cos(), a.sin(), b.cos(), b.sin()]
    };
    // Least squares: four by four.
    let mut system = [[0.0f64; 5]; 4];
    let mut energy = 0.0;
    for n in frames.clone() {
        let (row, x) = (basis(n), f64::from(audio[n]));
        energy += x * x;
        for i in 0..4 {
            for j in 0..4 {
                system[i][j] += row[i] * row[j];
            }
            system[i][4] += row[i] * x;
        }
    }
    let right: [f64; 4] = std::array::from_fn(|i| system[i][4]);
    for i in 0..4 {
        for k in 0..4 {
            if k != i {
                let factor = system[k][i] / system[i][i];
                for j in i..5 {
                    system[k][j] -= factor * system[i][j];
                }
            }
        }
    }
    let found: [f64; 4] = std::array::from_fn(|i| system[i][4] / system[i][i]);
    let pair: f64 = found.iter().zip(right).map(|(a, b)| a * b).sum();
    let dbm0 = |a: f64, b: f64| 20.0 * a.hypot(b).max(1e-9).log10() + FULL_SCALE_DBM0;
    let snr = 10.0 * (pair / (energy - pair).max(1e-12)).log10();
    (dbm0(found[0], found[1]), dbm0(found[2], found[3]), snr)
}

/// Frees the presses that do not stay within the limits for 40 ms.
pub fn judge(audio: &[f32], hz: f64, presses: &mut [Press]) {
    for press in presses {
        let within = (0..)
            .map(|step| press.onset + 0.005 * f64::from(step))
            .take_while(|from| from + 0.04 <= press.end() + 0.001);
        let good = within
            .map(|from| arrived(audio, hz, press, from, from + 0.04))
            .any(|(low, high, snr)| low.min(high) >= -36.0 && (-8.0..=4.0).contains(&(high - low)) && snr >= 15.0);
        press.rule = if good { Rule::Report } else { Rule::Free };
    }
}

/// There and back, at 8 kHz.
type Codec = Box<dyn Fn(&mut [f32])>;

/// Passes `audio` through what works on 16-bit samples at 8 kHz.
fn telephone(audio: &mut Vec<f32>, hz: f64, codec: impl FnOnce(&mut [f32])) {
    let frames = audio.len();
    let mut line = if hz == 8_000.0 { std::mem::take(audio) } else { resampled(audio, hz, 8_000.0) };
    quantise(&mut line);
    codec(&mut line);
    *audio = if hz == 8_000.0 { line } else { resampled(&line, 8_000.0, hz) };
    audio.resize(frames, 0.0);
}

fn by_sample(law: fn(i16) -> i16) -> impl Fn(&mut [f32]) {
    move |audio| audio.iter_mut().for_each(|x| *x = f32::from(law((*x * 32_768.0) as i16)) / 32_768.0)
}

fn same(_: usize, _: &mut Press, _: &mut Rng) {}

/// Every class of ways, with about `count` presses each.
pub fn all(hz: f64, seed: u64, count: usize) -> Vec<Case> {
    let (mut cases, mut rng) = (Vec::new(), Rng::new(seed ^ 0x3A75));
    let rng = &mut rng;

    for (delay, part) in [(0.02, 2), (0.005, 8), (0.01, 8), (0.05, 8)] {
        let alter: Alter = &mut |_, p, _| p.at = 1e3 * delay;
        let spoil: Spoil = &mut |audio, presses, rng| {
            echo(audio, hz, delay, -10.0);
            judge(audio, hz, presses);
            white(audio, hz, -60.0, rng);
        };
        cases.push(row(("echo, 10 dB down", "ms"), hz, count / part, rng, alter, spoil));
    }
    for (rt60, part) in [(0.2, 2), (0.4, 2), (0.1, 8), (0.3, 8), (0.6, 8), (0.8, 8)] {
        for _ in 0..count.div_ceil(16 * part) {
            let alter: Alter = &mut |_, p, rng| {
                p.at = 1e3 * rt60;
                (p.length, p.pause) = (rng.range(0.07, 0.12), rng.range(0.12, 0.25));
            };
            let spoil: Spoil = &mut |audio, presses, rng| {
                room(audio, hz, rt60, rng.range(3.0, 10.0), rng);
                white(audio, hz, -45.0, rng);
                judge(audio, hz, presses);
            };
            let class = if rt60 == 0.2 || rt60 == 0.4 { "rooms, rt60 0.2, 0.4 s" } else { "rooms, other rt60" };
            cases.push(row((class, "rt60, ms"), hz, 16, rng, alter, spoil));
        }
    }

    let levels: Alter = &mut |_, p, rng| {
        p.at = rng.range(-30.0, -3.0);
        (p.low_dbm0, p.high_dbm0) = (p.at, p.at + rng.range(-4.0, 2.0));
    };
    let codecs: [(&'static str, Codec); 4] = [
        ("codec, µ-law", Box::new(by_sample(codecs::mu_law))),
        ("codec, A-law", Box::new(by_sample(codecs::a_law))),
        (
            "codec, µ-law to A-law",
            Box::new(|audio| [codecs::mu_law, codecs::a_law].into_iter().for_each(|law| by_sample(law)(audio))),
        ),
        ("codec, like GSM", Box::new(codecs::gsm)),
    ];
    for (name, codec) in codecs {
        let spoil: Spoil = &mut |audio, presses, rng| {
            white(audio, hz, -65.0, rng);
            telephone(audio, hz, &codec);
            judge(audio, hz, presses);
        };
        cases.push(row((name, "dBm0"), hz, count, rng, levels, spoil));
    }
    let alter: Alter = &mut |_, p, rng| {
        p.at = rng.range(-3.0, 9.0);
        (p.low_dbm0, p.high_dbm0) = (p.at, p.at);
        // Up to the highest level there is no excuse: full scale is passed by 3 dB there.
        p.rule = if p.at <= 0.0 { Rule::Report } else { Rule::Free };
    };
    cases.push(row(("clipping", "dBm0 each"), hz, count, rng, alter, &mut quiet(hz)));

    for (name, music) in [("over speech", false), ("over music", true)] {
        for snr in [0.0, 6.0, 12.0, 18.0, 24.0, 30.0] {
            let alter: Alter = &mut |_, p, rng| {
                p.at = snr;
                p.length = rng.range(0.06, 0.12);
            };
            let spoil: Spoil = &mut |audio, presses, rng| {
                let (to, dbfs) = (audio.len() as f64 / hz, -7.0 - snr - FULL_SCALE_DBM0);
                if music {
                    talkoff::music(audio, hz, dbfs, rng)
                } else {
                    let _ = speech::voice(audio, hz, dbfs, 0.0, to, rng);
                }
                judge(audio, hz, presses);
            };
            cases.push(row((name, "mean SNR, dB"), hz, count / 6, rng, alter, spoil));
        }
    }
    cases.extend(channels(hz, count / 4, rng));
    cases.extend(microphones(hz, count / 2, rng));
    cases
}

/// Four channels with different digits at once, each heard in the others 50 dB down.
fn channels(hz: f64, count: usize, rng: &mut Rng) -> Vec<Case> {
    let mut channels: Vec<Case> = (0..4)
        .map(|channel| {
            let alter: Alter = &mut |index, p, rng| {
                p.key = (5 * channel + 3 * index) % 16;
                p.pause = rng.range(0.05, 0.3);
            };
            row(("four channels at once", ""), hz, count, rng, alter, &mut |_, _, _| {})
        })
        .collect();
    let frames = channels.iter().map(|case| case.audio.len()).max().unwrap_or(0);
    channels.iter_mut().for_each(|case| case.audio.resize(frames, 0.0));
    let leak = ratio(-50.0) as f32;
    let sum: Vec<f32> = (0..frames).map(|n| channels.iter().map(|case| case.audio[n]).sum()).collect();
    for case in &mut channels {
        case.audio.iter_mut().zip(&sum).for_each(|(x, sum)| *x += leak * (sum - *x));
        quantise(&mut case.audio);
    }
    channels
}

/// What microphones give besides sound: none of it is a key, and none of it may cost one.
fn microphones(hz: f64, count: usize, rng: &mut Rng) -> Vec<Case> {
    let mut cases = Vec::new();
    for offset in [0.1f32, -0.4] {
        let spoil: Spoil = &mut |audio, _, rng| {
            white(audio, hz, -65.0, rng);
            audio.iter_mut().for_each(|x| *x += offset);
        };
        cases.push(row(("microphone: DC", ""), hz, count / 2, rng, &mut same, spoil));
    }
    let spoil: Spoil = &mut |audio, presses, rng| {
        white(audio, hz, -65.0, rng);
        pauses(presses, 0.02, |from, to| {
            for n in span(audio, hz, from, to) {
                audio[n] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e30][rng.below(5)];
            }
        });
    };
    let mut garbage = row(("microphone: NaN, Inf, denormals", ""), hz, count, rng, &mut same, &mut |_, _, _| {});
    // After rounding, which would mend it.
    spoil(&mut garbage.audio, &mut garbage.presses, rng);
    cases.push(garbage);
    cases.push(row(("microphone: digital silence", ""), hz, count, rng, &mut same, &mut |_, _, _| {}));
    let alter: Alter = &mut |_, p, rng| p.at = rng.range(2.0, 12.0);
    let spoil: Spoil = &mut |audio, presses, rng| {
        // Gain control that breathes: a slow swing, by another depth around each press.
        white(audio, hz, -50.0, rng);
        let mut from = 0.0;
        for press in presses.iter() {
            let (to, period) = (press.end() + press.pause, rng.range(0.25, 1.0));
            for n in span(audio, hz, from, to) {
                let swing = (TAU * (n as f64 / hz - from) / period).sin();
                audio[n] *= ratio(0.5 * press.at * swing) as f32;
            }
            from = to;
        }
        judge(audio, hz, presses);
    };
    cases.push(row(("microphone: pumping gain", "dB of swing"), hz, count, rng, alter, spoil));
    let spoil: Spoil = &mut |audio, presses, rng| {
        white(audio, hz, -60.0, rng);
        pauses(presses, 0.05, |from, _| {
            // A thud of 60-150 Hz with a crack at its front, from full scale down.
            let (tone, mut crack) = (rng.range(60.0, 150.0), 1.0);
            for n in span(audio, hz, from, from + 0.1) {
                let t = n as f64 / hz - from;
                audio[n] += ((-t / 0.02).exp() * (TAU * tone * t).sin() + 0.5 * crack * rng.normal()) as f32;
                crack *= (-1.0 / (0.003 * hz)).exp();
            }
        });
    };
    let far: Alter = &mut |_, p, rng| p.pause = rng.range(0.25, 0.5);
    cases.push(row(("microphone: door slam before", ""), hz, count, rng, far, spoil));
    let spoil: Spoil = &mut |audio, presses, rng| {
        white(audio, hz, -60.0, rng);
        pauses(presses, 0.01, |from, to| {
            let mut at = from;
            while at < to {
                let level = ratio(rng.range(-30.0, -6.0));
                for n in span(audio, hz, at, at + rng.range(0.0005, 0.003)) {
                    audio[n] += (level * rng.normal()) as f32;
                }
                at += rng.range(0.01, 0.06);
            }
        });
    };
    cases.push(row(("microphone: clicks in pauses", ""), hz, count, rng, &mut same, spoil));
    let alter: Alter = &mut |_, p, _| p.rule = Rule::Free;
    let spoil: Spoil = &mut |audio, presses, rng| {
        white(audio, hz, -60.0, rng);
        for press in presses {
            let at = press.onset + rng.range(-0.002, 0.02);
            for n in span(audio, hz, at, at + 0.001) {
                audio[n] += (amplitude(-10.0) * rng.normal()) as f32;
            }
        }
    };
    cases.push(row(("microphone: clicks in presses", ""), hz, count, rng, alter, spoil));
    let spoil: Spoil = &mut |audio, _, rng| {
        // A fan that is switched on half-way.
        let half = audio.len() / 2;
        white(audio, hz, -65.0, rng);
        pink(&mut audio[half..], hz, -30.0, rng, |t| (t / 2.0).min(1.0));
        sine(&mut audio[half..], hz, 118.0, -36.0, rng);
    };
    cases.push(row(("microphone: a fan starts", ""), hz, count, rng, &mut same, spoil));
    cases
}

/// Calls `each` with the pauses, less `guard` to both sides.
fn pauses(presses: &[Press], guard: f64, mut each: impl FnMut(f64, f64)) {
    for press in presses {
        each(press.end() + guard, press.end() + press.pause - guard);
    }
}
