//! What the detectors cost: in nanoseconds, and in instructions, which no other program's load changes.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

use crate::corpus::{self, Press, Rng};
use std::process::Command;
use std::time::Instant;
use tonearm::dsp::dtmf::{Dtmf, DtmfConfig};
use tonearm::dsp::ear::Ear;
use tonearm::dsp::level::Level;
use tonearm::dsp::silence::{Silence, SilenceConfig};
use tonearm::units::Rate;

/// Short enough to be heard whole between two turns of the scheduler, often enough that one such turn is met.
const CHANNEL_SECONDS: usize = 4;
const PASSES: usize = 100;
const KINDS: [&str; 4] = ["noise", "keys", "zeros", "voices"];

/// Who listens, to how many channels, in ticks of how many ms; the most ns that are asked for.
struct Asked(&'static str, u32, usize, f64, &'static str);

const LINES: [Asked; 13] = [
    Asked("keys", 8_000, 1, 10.0, "≤ 2.5"),
    Asked("keys", 8_000, 16, 10.0, "≤ 1"),
    Asked("keys", 8_000, 1, 2.5, ""),
    Asked("keys", 16_000, 1, 10.0, ""),
    Asked("keys", 44_100, 1, 10.0, ""),
    Asked("keys", 48_000, 1, 10.0, ""),
    Asked("speech", 8_000, 1, 10.0, "≤ 5"),
    Asked("speech", 8_000, 1, 2.5, ""),
    Asked("speech", 48_000, 1, 10.0, "≤ 5"),
    Asked("level", 8_000, 1, 10.0, ""),
    Asked("level", 48_000, 1, 10.0, ""),
    Asked("all three", 8_000, 1, 10.0, ""),
    Asked("all three", 48_000, 1, 10.0, "≤ 21 (0.1 % of a core)"),
];

/// Audio of one kind, the same every time.
fn audio(kind: &str, hz: u32, seconds: usize) -> Vec<f32> {
    let (mut audio, mut rng, rate) = (vec![0.0; hz as usize * seconds], Rng::new(1), f64::from(hz));
    match kind {
        "noise" => corpus::white(&mut audio, rate, -30.0, &mut rng),
        "keys" => {
            corpus::white(&mut audio, rate, -60.0, &mut rng);
            (0..2 * seconds).for_each(|n| {
                let press = Press::new(n % 16, 0.5 * n as f64 + 0.1, 0.1);
                corpus::press(&mut audio, rate, &press, &mut rng);
            });
        }
        "voices" => {
            let _ = corpus::speech::voice(&mut audio, rate, -20.0, 0.0, seconds as f64, &mut rng);
        }
        _ => {}
    }
    audio
}

/// A detector of one channel, as something that is fed.
type Listener = Box<dyn FnMut(&[f32])>;
/// The ns a sample of another's detector on audio at 8 kHz.
pub type Other<'a> = &'a dyn Fn(&[f32]) -> f64;

fn listener(what: &str, hz: u32, most: usize) -> Listener {
    let rate = Rate::new(hz).expect("a rate");
    let (dtmf, silence) = (DtmfConfig::default(), SilenceConfig::default());
    match what {
        "keys" => {
            let mut dtmf = Dtmf::new(rate, &dtmf);
            Box::new(move |block| dtmf.feed(block, |event| _ = std::hint::black_box(event)))
        }
        "speech" => {
            let mut silence = Silence::new(rate, &silence);
            Box::new(move |block| silence.feed(block, |event| _ = std::hint::black_box(event)))
        }
        "level" => {
            let mut level = Level::default();
            Box::new(move |block| {
                level.add(block);
                std::hint::black_box(&level);
            })
        }
        "nothing" => Box::new(|block| _ = std::hint::black_box(block.len())),
        _ => {
            let (mut ear, mut heard) = (Ear::new(rate, &dtmf, &silence, most), 0);
            Box::new(move |block| {
                heard += block.len() as u64;
                ear.take(block);
                ear.hear(heard, |event| _ = std::hint::black_box(event));
            })
        }
    }
}

/// The least ns a sample and channel of many passes.
fn measure(what: &str, hz: u32, channels: usize, tick_ms: f64, audio: &[f32]) -> f64 {
    let tick = (f64::from(hz) * tick_ms / 1e3) as usize;
    let mut listen: Listener = if channels == 1 { listener(what, hz, tick) } else { together(hz, channels) };
    let pass = |_| {
        let began = Instant::now();
        audio.chunks(tick).for_each(&mut *listen);
        began.elapsed().as_secs_f64()
    };
    let best = (0..PASSES).map(pass).fold(f64::MAX, f64::min);
    1e9 * best / (channels * audio.len()) as f64
}

/// The detectors of keys of many channels, as the pipeline has them: all take, then all hear.
fn together(hz: u32, channels: usize) -> Listener {
    let rate = Rate::new(hz).expect("a rate");
    let mut all = vec![Dtmf::new(rate, &DtmfConfig::default()); channels];
    Box::new(move |block| {
        all.iter_mut().for_each(|dtmf| dtmf.take(block));
        all.iter_mut().for_each(|dtmf| dtmf.hear(|event| _ = std::hint::black_box(event)));
    })
}

/// A line for each of ours, and for spandsp if it is here.
pub fn nanoseconds(spandsp: Option<Other>) -> Vec<Vec<String>> {
    let mut lines = vec![vec!["ns a sample and channel".to_owned(), "asked".to_owned()]];
    lines[0].extend(KINDS.map(str::to_owned));
    let mut first = Vec::new();
    for &Asked(what, hz, channels, tick_ms, asked) in &LINES {
        let costs = KINDS
            .map(|kind| measure(what, hz, channels, tick_ms, &audio(kind, hz, CHANNEL_SECONDS.div_ceil(channels))));
        let many = if channels == 1 { String::new() } else { format!(", {channels} channels") };
        let mut line = vec![format!("{what}, {hz} Hz{many}, ticks of {tick_ms} ms"), asked.to_owned()];
        line.extend(costs.map(|ns| format!("{ns:.2}")));
        lines.push(line);
        first.extend(costs);
    }
    if let Some(spandsp) = spandsp {
        let costs = KINDS.map(|kind| spandsp(&audio(kind, 8_000, CHANNEL_SECONDS)));
        let mut line = vec!["spandsp, 8000 Hz, ticks of 10 ms".to_owned(), String::new()];
        line.extend(costs.map(|ns| format!("{ns:.2}")));
        let mut ratio = vec!["... times ours".to_owned(), String::new()];
        ratio.extend(costs.iter().zip(&first).map(|(theirs, ours)| format!("{:.1}", theirs / ours)));
        lines.extend([line, ratio]);
    }
    lines
}

/// Only hears, for callgrind to count.
pub fn hear(what: &str, hz: u32, kind: &str, seconds: usize) {
    let tick = hz as usize / 100;
    let mut listen = listener(what, hz, tick);
    audio(kind, hz, seconds).chunks(tick).for_each(&mut *listen);
}

/// Instructions that a run of ourselves takes under callgrind.
fn count(what: &str, hz: u32, kind: &str, seconds: usize) -> Option<f64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe().ok()?);
    let output = command.args(["hear", what, &hz.to_string(), kind, &seconds.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok())
}

/// Instructions a sample, by the difference between two lengths less what making the audio takes.
pub fn instructions() -> Vec<Vec<String>> {
    let mut lines = vec![vec!["instructions a sample (callgrind), ticks of 10 ms".to_owned()]];
    lines[0].extend(["noise", "zeros", "voices"].map(str::to_owned));
    for (what, hz) in [("keys", 8_000), ("keys", 48_000), ("speech", 8_000), ("speech", 48_000), ("level", 48_000)] {
        let cost = |kind: &str| {
            let counted = [(what, 2), (what, 6), ("nothing", 2), ("nothing", 6)];
            let [a, b, c, d] = counted.map(|(what, seconds)| count(what, hz, kind, seconds));
            Some(((b? - a?) - (d? - c?)) / f64::from(4 * hz))
        };
        let mut line = vec![format!("{what}, {hz} Hz")];
        line.extend(["noise", "zeros", "voices"].map(|kind| match cost(kind) {
            Some(count) => format!("{count:.1}"),
            None => "valgrind is not here".to_owned(),
        }));
        lines.push(line);
    }
    lines
}
