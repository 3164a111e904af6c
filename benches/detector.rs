//! Scores the detectors on audio with known contents, beside the references, and times them.
//!
//! `make bench-detect`, or `cargo bench --no-default-features --bench detector`; seeds: `-- 7 8 9`.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

mod corpus;
mod reference;
mod score;

use corpus::{Case, Press, talkoff, tones, ways};
use score::{Heard, Table, report};
use std::time::Instant;
use tonearm::dsp::dtmf::{Dtmf, DtmfConfig, DtmfEvent};
use tonearm::dsp::silence::{Silence, SilenceConfig};
use tonearm::units::Rate;

/// Presses a class and seed, and seconds of each kind without a key.
const COUNT: usize = 320;
const SECONDS: f64 = 240.0;

fn ours(audio: &[f32], hz: u32, feed_ms: f64) -> Vec<Heard> {
    let rate = Rate::new(hz).expect("a rate");
    let mut dtmf = Dtmf::new(rate, &DtmfConfig::default());
    let mut heard: Vec<Heard> = Vec::new();
    let mut fed = 0;
    for block in audio.chunks((f64::from(hz) * feed_ms / 1_000.0) as usize) {
        fed += block.len() as u64;
        dtmf.feed(block, |event| match event {
            DtmfEvent::Pressed(tone) => heard.push(Heard {
                key: tone.key.char(),
                onset: rate.seconds(tone.onset_frame),
                decided: rate.seconds(fed),
                end: f64::NAN,
            }),
            DtmfEvent::Released { end_frame, .. } => {
                if let Some(last) = heard.last_mut() {
                    last.end = rate.seconds(end_frame);
                }
            }
        });
    }
    heard
}

type Detector = Box<dyn Fn(&[f32]) -> Vec<Heard>>;

fn main() {
    let mut seeds: Vec<u64> = std::env::args().skip(1).filter_map(|seed| seed.parse().ok()).collect();
    if seeds.is_empty() {
        seeds = vec![101, 102];
    }
    let mut detectors: Vec<(String, u32, Detector)> = Vec::new();
    for hz in [8_000, 16_000, 44_100, 48_000] {
        detectors.push((format!("ours, {hz} Hz"), hz, Box::new(move |audio| ours(audio, hz, 10.0))));
    }
    match reference::spandsp() {
        Some(command) => {
            detectors.push(("spandsp".to_owned(), 8_000, Box::new(move |audio| command.run(audio, 80).0)));
        }
        None => println!("spandsp is not here (libspandsp-dev and cc): skipped"),
    }
    if reference::has_multimon() {
        detectors.push(("multimon-ng".to_owned(), 8_000, Box::new(reference::multimon)));
    } else {
        println!("multimon-ng is not here: skipped");
    }
    detectors.push(("goertzel-filter".to_owned(), 8_000, Box::new(reference::goertzel)));

    let mut tables: Vec<(String, Table)> =
        detectors.iter().map(|(name, ..)| (name.clone(), Table::default())).collect();
    for hz in [8_000, 16_000, 44_100, 48_000] {
        for &seed in &seeds {
            for case in cases(f64::from(hz), seed) {
                for ((_, rate, detect), (_, table)) in detectors.iter().zip(&mut tables) {
                    if *rate == hz {
                        table.score(&case, &detect(&case.audio));
                    }
                }
            }
        }
    }
    for (name, table) in &tables {
        println!("\n{name}, feed 10 ms");
        table.print();
    }
    println!("\nKeys: feed 10 ms, seeds {seeds:?}");
    report::print(&report::keys(&tables));

    println!(
        "\nns per sample and channel, ticks of 2.5 ms: tones, speech, level; on noise, on keys, on zeros, on voices"
    );
    for hz in [8_000, 16_000, 44_100, 48_000] {
        speed(hz);
    }
    if let Some(command) = reference::spandsp() {
        let case = tones::plain(8_000.0, seeds[0], 20);
        println!("  spandsp at 8000 Hz {:.2}", command.run(&case.audio, 20).1);
    }
}

fn cases(hz: f64, seed: u64) -> impl Iterator<Item = Case> {
    let limits = tones::all(hz, seed, COUNT).into_iter();
    limits.chain(ways::all(hz, seed, COUNT)).chain(talkoff::all(hz, seed, SECONDS))
}

fn speed(hz: u32) {
    let rate = Rate::new(hz).expect("a rate");
    let mut rng = corpus::Rng::new(1);
    let mut line = format!("  {hz:>6} Hz");
    for kind in 0..4 {
        let mut audio = vec![0.0; hz as usize * 20];
        match kind {
            0 => corpus::white(&mut audio, f64::from(hz), -30.0, &mut rng),
            1 => (0..40).for_each(|n| {
                let press = Press::new(n % 16, 0.5 * n as f64 + 0.1, 0.1);
                corpus::press(&mut audio, f64::from(hz), &press, &mut rng);
            }),
            2 => {}
            _ => {
                corpus::speech::voice(&mut audio, f64::from(hz), -20.0, 0.0, 20.0, &mut rng);
            }
        }
        let time = |run: &mut dyn FnMut(&[f32])| {
            let best = (0..5)
                .map(|_| {
                    let began = Instant::now();
                    audio.chunks(hz as usize / 400).for_each(&mut *run);
                    began.elapsed().as_secs_f64()
                })
                .fold(f64::MAX, f64::min);
            1e9 * best / audio.len() as f64
        };
        let mut dtmf = Dtmf::new(rate, &DtmfConfig::default());
        let mut silence = Silence::new(rate, &SilenceConfig::default());
        let mut level = tonearm::dsp::level::Level::default();
        let tones = time(&mut |block| {
            dtmf.feed(block, |event| {
                std::hint::black_box(event);
            })
        });
        let speech = time(&mut |block| {
            silence.feed(block, |event| {
                std::hint::black_box(event);
            })
        });
        let levels = time(&mut |block| level.add(block));
        std::hint::black_box(level);
        line += &format!("  | {tones:5.2} {speech:5.2} {levels:5.2}");
    }
    println!("{line}");
}
