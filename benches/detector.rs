//! Scores the detectors on audio with known contents, beside spandsp and `goertzel-filter`, and times them.
//!
//! `cargo bench --no-default-features --bench detector`; seeds: `-- 7 8 9`.

#[path = "../tests/it/corpus.rs"]
mod corpus;
#[path = "reference/mod.rs"]
mod reference;
#[path = "reference/classes.rs"]
mod classes;
#[path = "reference/speech.rs"]
mod speech;

use classes::{Case, Heard};
use std::time::Instant;
use tonearm::dsp::dtmf::{Dtmf, DtmfConfig, DtmfEvent};
use tonearm::dsp::silence::{Silence, SilenceConfig};
use tonearm::units::Rate;

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

fn main() {
    let mut seeds: Vec<u64> = std::env::args().skip(1).filter_map(|seed| seed.parse().ok()).collect();
    if seeds.is_empty() {
        seeds = vec![101, 102];
    }
    let hits = |hz: u32, detect: &mut dyn FnMut(&Case) -> Vec<Heard>| {
        let mut table = classes::Table::default();
        for &seed in &seeds {
            for case in classes::all(f64::from(hz), seed) {
                let heard = detect(&case);
                table.score(&case, &heard);
            }
        }
        table
    };
    for hz in [8_000, 16_000, 44_100, 48_000] {
        println!("\nours at {hz} Hz, feed 10 ms");
        hits(hz, &mut |case| ours(&case.audio, hz, 10.0)).print();
    }
    println!("\ngoertzel-filter, 205-sample blocks, 8 kHz");
    hits(8_000, &mut |case| reference::goertzel(&case.audio)).print();
    match reference::spandsp() {
        Some(command) => {
            println!("\nspandsp, 8 kHz, feed 10 ms");
            hits(8_000, &mut |case| command.run(&case.audio, 80).0).print();
        }
        None => println!("\nspandsp is not here (libspandsp-dev and cc): skipped"),
    }

    println!("\nonset to decision, ms: p50 p95 p99 max");
    for hz in [8_000, 48_000] {
        for feed in [1.0, 5.0, 10.0, 20.0] {
            let mut delays = Vec::new();
            for &seed in &seeds {
                for case in classes::plain(f64::from(hz), seed) {
                    let heard = ours(&case.audio, hz, feed);
                    classes::delays(&case, &heard, &mut delays);
                }
            }
            delays.sort_by(f64::total_cmp);
            let at = |share: f64| 1e3 * delays[((delays.len() - 1) as f64 * share) as usize];
            println!("  {hz:>6} Hz, feed {feed:>4} ms {:6.1} {:6.1} {:6.1} {:6.1}", at(0.5), at(0.95), at(0.99), at(1.0));
        }
    }

    println!("\nend of speech, hang time 2 s");
    for hz in [8_000, 48_000] {
        speech::score(hz, &seeds);
    }

    println!("\nns per sample and channel, ticks of 2.5 ms: tones, speech, level; on noise, on keys, on zeros, on voices");
    for hz in [8_000, 16_000, 44_100, 48_000] {
        speed(hz);
    }
    if let Some(command) = reference::spandsp() {
        let case = classes::plain(8_000.0, seeds[0]).remove(0);
        println!("  spandsp at 8000 Hz {:.2}", command.run(&case.audio, 20).1);
    }
}

fn speed(hz: u32) {
    let rate = Rate::new(hz).expect("a rate");
    let mut rng = corpus::Rng::new(1);
    let mut line = format!("  {hz:>6} Hz");
    for kind in 0..4 {
        let mut audio = vec![0.0; hz as usize * 20];
        match kind {
            0 => corpus::noise(&mut audio, f64::from(hz), -30.0, &mut rng),
            1 => (0..40).for_each(|n| {
                let press = classes::press(n % 16, 0.5 * n as f64 + 0.1, 0.1);
                corpus::press(&mut audio, f64::from(hz), &press, &mut rng);
            }),
            2 => {}
            _ => drop(corpus::speech(&mut audio, f64::from(hz), -20.0, 0.0, 20.0, &mut rng)),
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
        let tones = time(&mut |block| dtmf.feed(block, |event| drop(std::hint::black_box(event))));
        let speech = time(&mut |block| silence.feed(block, |event| drop(std::hint::black_box(event))));
        let levels = time(&mut |block| level.add(block));
        std::hint::black_box(level);
        line += &format!("  | {tones:5.2} {speech:5.2} {levels:5.2}");
    }
    println!("{line}");
}
