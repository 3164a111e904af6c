//! Audio without any key in it. Whatever is reported there is wrong.

use super::{Case, FULL_SCALE_DBM0, Rng, codecs, glide, pink, quantise, ratio, resampled, speech, street, ways, white};

/// Whether a class is of the near misses: steady tones, and what sounds like them.
pub fn near_miss(class: &str) -> bool {
    ["chords", "glides", "sung vowels", "call progress"].iter().any(|name| class.ends_with(name))
}

/// Adds notes of a tempered scale, alone and in chords, each with harmonics that fall by 6 to 18 dB.
fn notes(audio: &mut [f32], hz: f64, most: usize, rng: &mut Rng) {
    let (seconds, mut at) = (audio.len() as f64 / hz, 0.0);
    while at < seconds {
        let (together, length) = (2 + rng.below(most - 1), rng.range(0.1, 0.6));
        for _ in 0..together {
            let base = 110.0 * 2f64.powf(rng.below(48) as f64 / 12.0);
            let (fall, level) = (rng.range(6.0, 18.0), rng.range(-25.0, -10.0));
            for harmonic in 1..5 {
                let tone = base * f64::from(harmonic);
                if tone < 3_600.0 {
                    glide(audio, hz, at, length, level - fall * f64::from(harmonic - 1), |_| tone);
                }
            }
        }
        at += length;
    }
}

/// Adds music at a mean power: a melody with chords, a bass, and drums (noise that fades).
pub fn music(audio: &mut [f32], hz: f64, dbfs: f64, rng: &mut Rng) {
    let mut played = vec![0.0f32; audio.len()];
    notes(&mut played, hz, 4, rng);
    let seconds = audio.len() as f64 / hz;
    let (beat, mut at) = (rng.range(0.25, 0.6), 0.0);
    while at < seconds {
        let bass = 55.0 * 2f64.powf(rng.below(12) as f64 / 12.0);
        (1..4).for_each(|n| glide(&mut played, hz, at, beat, -12.0 - 6.0 * f64::from(n), |_| bass * f64::from(n)));
        let (level, fade) = (ratio(rng.range(-24.0, -14.0)), rng.range(0.01, 0.06));
        for n in super::span(&played, hz, at, at + 5.0 * fade) {
            played[n] += (level * (-(n as f64 / hz - at) / fade).exp() * rng.normal()) as f32;
        }
        at += beat;
    }
    let played: Vec<f64> = played.into_iter().map(f64::from).collect();
    speech::add_at(audio, &played, dbfs);
}

/// `seconds` of each kind.
pub fn all(hz: f64, seed: u64, seconds: f64) -> Vec<Case> {
    let mut rng = Rng::new(seed ^ 0xFA15E);
    let rng = &mut rng;
    let mut cases = Vec::new();
    let frames = (seconds * hz) as usize;
    let mut empty = |class, mut audio: Vec<f32>| {
        quantise(&mut audio);
        cases.push(Case { class, axis: "", hz, audio, presses: Vec::new() });
    };
    let voices = |hz: f64, rng: &mut Rng| {
        let mut audio = vec![0.0; (seconds * hz) as usize];
        let mut at = 0.0;
        while at < seconds {
            let dbfs = rng.range(-30.0, -12.0);
            speech::voice(&mut audio, hz, dbfs, at, (at + 9.8).min(seconds), rng);
            at += 10.0;
        }
        audio
    };
    empty("no key: voices", voices(hz, rng));
    let mut audio = voices(hz, rng);
    for piece in audio.chunks_mut((10.0 * hz) as usize) {
        ways::room(piece, hz, rng.range(0.2, 0.8), rng.range(-3.0, 10.0), rng);
    }
    white(&mut audio, hz, -45.0, rng);
    empty("no key: voices in rooms", audio);
    let mut line = voices(8_000.0, rng);
    codecs::gsm(&mut line);
    empty("no key: voices, like GSM", if hz == 8_000.0 { line } else { resampled(&line, 8_000.0, hz) });
    let mut audio = vec![0.0; frames];
    for _ in 0..6 {
        speech::voice(&mut audio, hz, -25.0, 0.0, seconds, rng);
    }
    empty("no key: babble", audio);
    let mut audio = vec![0.0; frames];
    music(&mut audio, hz, -18.0, rng);
    empty("no key: music", audio);
    let mut audio = vec![0.0; frames];
    let third = frames / 3;
    white(&mut audio[..third], hz, -15.0, rng);
    pink(&mut audio[third..2 * third], hz, -12.0, rng, |_| 1.0);
    street(&mut audio[2 * third..], hz, -12.0, rng);
    empty("no key: noises", audio);

    let mut audio = vec![0.0; frames];
    notes(&mut audio, hz, 4, rng);
    empty("no key: chords", audio);
    let mut audio = vec![0.0; frames];
    let mut at = 0.0;
    while at < seconds {
        let length = rng.range(0.2, 1.0);
        for _ in 0..2 {
            let (from, to) = (rng.range(500.0, 1_800.0), rng.range(500.0, 1_800.0));
            glide(&mut audio, hz, at, length, -12.0, |share| from + (to - from) * share);
        }
        at += length;
    }
    empty("no key: glides", audio);
    let mut audio = vec![0.0; frames];
    speech::song(&mut audio, hz, -12.0 - FULL_SCALE_DBM0, rng);
    empty("no key: sung vowels", audio);
    let mut audio = vec![0.0; frames];
    // Dial, ringing, busy (Europe's too), special information, callback, calling (fax).
    let pairs = [
        (350.0, 440.0),
        (440.0, 480.0),
        (480.0, 620.0),
        (425.0, 425.0),
        (950.0, 1_400.0),
        (1_400.0, 1_800.0),
        (697.0, 440.0),
        (1_100.0, 2_100.0),
    ];
    for index in 0..(seconds / 0.5) as usize {
        let (a, b) = pairs[rng.below(pairs.len())];
        let level = rng.range(-25.0, -6.0);
        [a, b].into_iter().for_each(|tone| glide(&mut audio, hz, 0.5 * index as f64, 0.4, level, |_| tone));
    }
    empty("no key: call progress", audio);
    cases
}
