//! Presses at and around the limits: what must be reported, what must be refused, and what lies between.
//!
//! The limits follow ITU-T Q.24: ±(1.5 % + 2 Hz) is accepted and 3.5 % refused; 40 ms accepted, 23 ms refused; a pause
//! of 40 ms separates, an interruption of 20 ms does not; twist −8 … +4 dB and −36 … 0 dBm0 are accepted, −55 dBm0
//! refused; noise 15 dB below the pair is borne. Between them nothing is asked.

use super::{Case, HIGH, LOW, Press, Rng, Rule, pink, quantise, sine, street, white};

/// What is altered of a press, given its number.
pub type Alter<'a> = &'a mut dyn FnMut(usize, &mut Press, &mut Rng);
/// What is added to the audio; it may change the rules, knowing what arrived.
pub type Spoil<'a> = &'a mut dyn FnMut(&mut Vec<f32>, &mut [Press], &mut Rng);

/// Adds noise: audio, rate, dBm0.
type Noise = fn(&mut [f32], f64, f64, &mut Rng);

/// `count` presses in a row, each as `alter` makes it, then the whole as `spoil` leaves it, rounded to 16 bits.
pub fn row(
    (class, axis): (&'static str, &'static str),
    hz: f64,
    count: usize,
    rng: &mut Rng,
    alter: Alter,
    spoil: Spoil,
) -> Case {
    let (mut presses, mut at) = (Vec::new(), 0.3);
    for index in 0..count {
        let mut one = Press::new(index % 16, at, rng.range(0.045, 0.1));
        one.pause = rng.range(0.07, 0.2);
        alter(index, &mut one, rng);
        at = one.end() + one.pause;
        presses.push(one);
    }
    let mut audio = vec![0.0; ((at + 0.3) * hz) as usize];
    presses.iter().for_each(|one| super::press(&mut audio, hz, one, rng));
    spoil(&mut audio, &mut presses, rng);
    quantise(&mut audio);
    Case { class, axis, hz, audio, presses }
}

/// Nothing more than a quiet line has.
pub fn quiet(hz: f64) -> impl FnMut(&mut Vec<f32>, &mut [Press], &mut Rng) {
    move |audio, _, rng| white(audio, hz, -65.0, rng)
}

/// `Report` up to `accept`, `Refuse` from `refuse` on, upwards or downwards.
fn rule(at: f64, accept: f64, refuse: f64) -> Rule {
    let way = if accept < refuse { 1.0 } else { -1.0 };
    match way * at {
        at if at <= way * accept => Rule::Report,
        at if at >= way * refuse => Rule::Refuse,
        _ => Rule::Free,
    }
}

/// One of `edges` every other time, else anything from the first to the second of `range`.
fn sweep(index: usize, edges: &[f64], range: (f64, f64), rng: &mut Rng) -> f64 {
    if index.is_multiple_of(2) { edges[rng.below(edges.len())] } else { rng.range(range.0, range.1) }
}

/// 1.5 % and 2 Hz of `hz`, in percent.
pub fn limit(hz: f64) -> f64 {
    1.5 + 200.0 / hz
}

fn off(press: &mut Press, share: f64, hz: f64, rng: &mut Rng) {
    press.low_off = rng.sign() * (share + hz / LOW[press.key / 4]);
    press.high_off = rng.sign() * (share + hz / HIGH[press.key % 4]);
}

/// Presses of every key, `count` times over the keypad: what latency is measured on. At many levels over a quiet line,
/// or `snr` dB over white noise.
pub fn plain(hz: f64, seed: u64, count: usize, snr: Option<f64>) -> Case {
    let mut rng = Rng::new(seed ^ 77);
    let alter: Alter = &mut |_, p, rng| {
        p.at = p.key as f64;
        if snr.is_none() {
            p.low_dbm0 = rng.range(-30.0, -3.0);
            p.high_dbm0 = p.low_dbm0 + rng.range(-6.0, 3.0);
        }
    };
    // Both tones together are 3 dB above one, at −10 dBm0.
    let spoil: Spoil = &mut |audio, _, rng| white(audio, hz, snr.map_or(-60.0, |snr| -7.0 - snr), rng);
    row(("decode", "key"), hz, 16 * count, &mut rng, alter, spoil)
}

/// Every class of limits, with about `count` presses each.
pub fn all(hz: f64, seed: u64, count: usize) -> Vec<Case> {
    let mut cases = vec![plain(hz, seed, count.div_ceil(16), None)];
    let mut rng = Rng::new(seed);
    let rng = &mut rng;

    cases.push(row(
        ("frequency ±(1.5 % + 2 Hz), both", ""),
        hz,
        count,
        rng,
        &mut |_, p, rng| off(p, 0.015, 2.0, rng),
        &mut quiet(hz),
    ));
    let alter: Alter = &mut |_, p, rng| {
        p.at = rng.range(0.0, 5.0);
        off(p, p.at / 100.0, 0.0, rng);
        // The column's 2 Hz are a smaller share than the row's.
        p.rule = rule(p.at, limit(HIGH[p.key % 4]), 3.5);
    };
    cases.push(row(("frequency, both tones off", "% off"), hz, count, rng, alter, &mut quiet(hz)));
    let alter: Alter = &mut |index, p, rng| {
        let low = rng.below(2) == 0;
        let limit = limit(if low { LOW[p.key / 4] } else { HIGH[p.key % 4] });
        p.at = sweep(index, &[3.5, limit], (0.0, 5.0), rng);
        *(if low { &mut p.low_off } else { &mut p.high_off }) = rng.sign() * p.at / 100.0;
        p.rule = rule(p.at, limit, 3.5);
    };
    cases.push(row(("frequency, one tone off", "% off"), hz, count, rng, alter, &mut quiet(hz)));

    let alter: Alter = &mut |index, p, rng| {
        p.at = sweep(index, &[-8.0, 4.0], (-14.0, 10.0), rng);
        p.low_dbm0 = -12.0 - 0.5 * p.at;
        p.high_dbm0 = -12.0 + 0.5 * p.at;
        p.rule = if (-8.0..=4.0).contains(&p.at) { Rule::Report } else { Rule::Free };
    };
    cases.push(row(("twist", "dB, column over row"), hz, count, rng, alter, &mut quiet(hz)));

    let alter: Alter = &mut |index, p, rng| {
        p.at = sweep(index, &[-36.0, 0.0, -55.0], (-60.0, 0.0), rng);
        (p.low_dbm0, p.high_dbm0) = (p.at, (p.at + rng.range(0.0, 2.0)).min(0.0));
        if p.at == -55.0 {
            p.high_dbm0 = p.at;
        }
        p.rule = rule(p.at, -36.0, -55.0);
    };
    cases.push(row(("level", "dBm0"), hz, count, rng, alter, &mut |_, _, _| {}));

    let noises: [(&'static str, Noise); 3] = [
        ("noise, white", white),
        ("noise, pink", |x, hz, l, rng| pink(x, hz, l, rng, |_| 1.0)),
        ("noise, street", street),
    ];
    for (name, noise) in noises {
        for snr in [0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 15.0, 15.0, 18.0, 24.0] {
            let alter: Alter = &mut |_, p, _| (p.at, p.rule) = (snr, rule(snr, 15.0, f64::MIN));
            // Both tones together are 3 dB above one.
            cases.push(row((name, "SNR, dB"), hz, count / 10, rng, alter, &mut |audio, _, rng| {
                noise(audio, hz, -7.0 - snr, rng)
            }));
        }
    }
    let alter: Alter = &mut |_, p, rng| {
        off(p, 0.015, 1.0, rng);
        p.high_dbm0 = p.low_dbm0 + rng.range(-6.0, 3.0);
        p.length = rng.range(0.041, 0.08);
    };
    cases.push(row(("noise, 20 dB, near all limits", ""), hz, count, rng, alter, &mut |audio, _, rng| {
        white(audio, hz, -27.0, rng)
    }));

    for (name, noise) in [("duration", -65.0), ("duration in noise, 15 dB", -22.0)] {
        let alter: Alter = &mut |index, p, rng| {
            p.length = sweep(index, &[0.0401, 0.023, 0.023], (0.015, 0.1), rng);
            p.at = 1e3 * p.length;
            p.rule = rule(p.at, 40.0, 23.0);
        };
        cases.push(row((name, "ms"), hz, 2 * count, rng, alter, &mut |audio, _, rng| white(audio, hz, noise, rng)));
    }

    let alter: Alter = &mut |_, p, rng| {
        p.length = rng.range(0.1, 0.16);
        p.at = rng.range(2.0, 20.0);
        p.hole = Some((rng.range(0.03, 0.06), p.at / 1e3));
    };
    cases.push(row(("interruption of 2-20 ms", "ms"), hz, 400.max(count), rng, alter, &mut quiet(hz)));
    let alter: Alter = &mut |_, p, rng| {
        p.length = rng.range(0.16, 0.2);
        p.at = rng.range(21.0, 60.0);
        p.hole = Some((0.06, p.at / 1e3));
        // One press or two: the second half would have to be a press of its own.
        p.rule = Rule::Free;
    };
    cases.push(row(("interruption of 21-60 ms", "ms"), hz, count / 4, rng, alter, &mut quiet(hz)));
    for (name, same) in [("pause, same key", true), ("pause, other key", false)] {
        let mut before = 100.0;
        let alter: Alter = &mut |index, p, rng| {
            p.key = if same { index / 10 % 16 } else { (7 * index + rng.below(3)) % 16 };
            (p.at, p.length) = (before, 0.05);
            // One frame of 8 kHz more, since edges take part of it.
            before = sweep(index, &[40.1], (20.0, 80.0), rng);
            p.pause = before / 1e3;
            p.rule = if p.at >= 40.0 { Rule::Report } else { Rule::Free };
        };
        cases.push(row((name, "ms"), hz, count, rng, alter, &mut quiet(hz)));
    }

    for mains in [50.0, 60.0] {
        for level in [-20.0, -10.0, -4.0] {
            let alter: Alter = &mut |_, p, _| p.at = level;
            let spoil: Spoil = &mut |audio, _, rng| {
                sine(audio, hz, mains, level, rng);
                sine(audio, hz, 3.0 * mains, level - 20.0, rng);
                white(audio, hz, -60.0, rng);
            };
            cases.push(row(("hum 50, 60 Hz", "dBm0"), hz, count / 4, rng, alter, spoil));
        }
    }
    // America's and Europe's, at the same power: −13 dBm0 for each of two tones is the highest that exchanges send.
    for level in [-30.0, -20.0, -13.0] {
        for (tones, more) in [(&[350.0, 440.0][..], 0.0), (&[425.0][..], 3.0)] {
            let alter: Alter = &mut |_, p, _| p.at = level;
            let spoil: Spoil = &mut |audio, _, rng| {
                tones.iter().for_each(|&tone| sine(audio, hz, tone, level + more, rng));
                white(audio, hz, -60.0, rng);
            };
            cases.push(row(("dial tone", "dBm0 each"), hz, count / 8, rng, alter, spoil));
        }
    }

    let alter: Alter = &mut |_, p, rng| {
        p.rule = Rule::Refuse;
        if rng.below(2) == 0 { p.low_dbm0 = -100.0 } else { p.high_dbm0 = -100.0 }
    };
    cases.push(row(("one tone alone", ""), hz, count / 2, rng, alter, &mut quiet(hz)));
    for (name, length, pause) in
        [("digits, human", (0.08, 0.4), (0.1, 0.6)), ("digits, machine", (0.045, 0.055), (0.045, 0.055))]
    {
        let alter: Alter = &mut |_, p, rng| {
            p.key = rng.below(16);
            (p.length, p.pause) = (rng.range(length.0, length.1), rng.range(pause.0, pause.1));
        };
        cases.push(row((name, ""), hz, count / 2, rng, alter, &mut quiet(hz)));
    }
    cases
}
