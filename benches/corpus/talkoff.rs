//! Audio without any key in it: whatever is reported there is wrong, but for the class that is called free.

use super::{
    Case, FULL_SCALE_DBM0, HIGH, LOW, Rng, codecs, glide, pink, quantise, ratio, resampled, speech, street, tones,
    ways, white,
};

/// Whether a class is of the near misses: steady tones, and what sounds like them.
pub fn near_miss(class: &str) -> bool {
    ["chords", "glides", "sung vowels", "call progress"].iter().any(|name| class.ends_with(name))
}

/// Whether steady partials (Hz, dBm0) are a key by all limits: then it must be reported, and is no talk-off.
fn is_key(partials: &[(f64, f64)]) -> bool {
    let power = |dbm0: f64| 10f64.powf(dbm0 / 10.0);
    let all: f64 = partials.iter().map(|p| power(p.1)).sum();
    let near = |tone: f64| {
        let within = partials.iter().filter(|p| 100.0 * (p.0 / tone - 1.0).abs() <= tones::limit(tone));
        within.map(|p| power(p.1)).sum::<f64>()
    };
    let (rows, columns) = (LOW.map(near), HIGH.map(near));
    rows.into_iter().any(|row| {
        columns.into_iter().any(|column| {
            let twist = 10.0 * (column / row).log10();
            (-8.0..=4.0).contains(&twist) && row + column >= power(15.0) * (all - row - column)
        })
    })
}

/// Adds notes of a tempered scale in chords, each note with harmonics that fall by 6 to 18 dB.
fn notes(audio: &mut [f32], hz: f64, most: usize, rng: &mut Rng) {
    let (seconds, mut at) = (audio.len() as f64 / hz, 0.0);
    while at < seconds {
        let (together, length) = (2 + rng.below(most - 1), rng.range(0.1, 0.6));
        let mut partials = Vec::new();
        for _ in 0..together {
            let base = 110.0 * 2f64.powf(rng.below(48) as f64 / 12.0);
            let (fall, level) = (rng.range(6.0, 18.0), rng.range(-25.0, -10.0));
            let harmonics = (1..5).map(f64::from).map(|n| (base * n, level - fall * (n - 1.0)));
            partials.extend(harmonics.filter(|partial| partial.0 < 3_600.0));
        }
        if !is_key(&partials) {
            partials.iter().for_each(|&(tone, level)| glide(audio, hz, at, length, level, |_| tone));
            at += length;
        }
    }
}

/// For how many ms two glides, straight from `.0` to `.1` Hz in `length`, lie within 3.5 % of a pair.
fn held_ms(glides: [(f64, f64); 2], length: f64) -> usize {
    let near = |tones: [f64; 4], hz: f64| tones.into_iter().any(|tone| (hz / tone - 1.0).abs() < 0.035);
    let steps = (1e3 * length) as usize;
    let pair = |step: &usize| {
        let [a, b] = glides.map(|(from, to)| from + (to - from) * *step as f64 / steps as f64);
        near(LOW, a.min(b)) && near(HIGH, a.max(b))
    };
    (0..steps).filter(pair).count()
}

/// Pairs of glides. Those that stay near a pair for more than 23 ms are `slow`: nothing is asked about them.
fn glides(hz: f64, seconds: f64, slow: bool, rng: &mut Rng) -> Vec<f32> {
    let (mut audio, mut at) = (vec![0.0; (seconds * hz) as usize], 0.0);
    while at < seconds {
        let length = rng.range(0.2, 1.0);
        let both = [0, 1].map(|_| (rng.range(500.0, 1_800.0), rng.range(500.0, 1_800.0)));
        if (held_ms(both, length) > 23) == slow {
            both.iter().for_each(|(from, to)| glide(&mut audio, hz, at, length, -12.0, |s| from + (to - from) * s));
            at += length;
        }
    }
    audio
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
    empty("no key: glides", glides(hz, seconds, false, rng));
    empty("free: glides that stay near a pair", glides(hz, seconds, true, rng));
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
