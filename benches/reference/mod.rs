//! The detectors that ours is measured against.

use crate::classes::Heard;
use crate::corpus;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// spandsp's receiver, compiled.
pub struct Spandsp(PathBuf);

/// Compiles it; `None` without a compiler or the library.
pub fn spandsp() -> Option<Spandsp> {
    let program = std::env::temp_dir().join(format!("spandsp-dtmf-{}", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/reference/spandsp_dtmf.c");
    let status =
        Command::new("cc").args(["-O2", source, "-lspandsp", "-o"]).arg(&program).stderr(Stdio::null()).status();
    status.ok()?.success().then_some(Spandsp(program))
}

impl Drop for Spandsp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Spandsp {
    /// What it hears in audio at 8 kHz, fed in blocks of `feed` samples, and its ns a sample.
    pub fn run(&self, audio: &[f32], feed: usize) -> (Vec<Heard>, f64) {
        let bytes: Vec<u8> =
            audio.iter().flat_map(|x| ((x * 32_768.0).clamp(-32_768.0, 32_767.0) as i16).to_le_bytes()).collect();
        let mut child = Command::new(&self.0)
            .arg(feed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program that was just compiled");
        child.stdin.take().expect("piped").write_all(&bytes).expect("it reads everything");
        let mut text = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
        child.wait().expect("it ends");
        let (mut heard, mut ns) = (Vec::new(), f64::NAN);
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("ns", value)) => ns = value.parse().unwrap_or(f64::NAN),
                Some((key, at)) => heard.push(Heard {
                    key: key.chars().next().unwrap_or('?'),
                    onset: f64::NAN,
                    decided: at.parse::<f64>().unwrap_or(f64::NAN) / 8_000.0,
                    end: f64::NAN,
                }),
                None => {}
            }
        }
        (heard, ns)
    }
}

/// The crate `goertzel-filter` as one would use it: blocks of 205 samples, a pair loud enough and dominant, reported
/// when it is new. Its unit of frequency is 4π²·f/fs.
pub fn goertzel(audio: &[f32]) -> Vec<Heard> {
    let mut heard: Vec<Heard> = Vec::new();
    let mut last = None;
    for (index, block) in audio.chunks_exact(205).enumerate() {
        let samples: Vec<f64> = block.iter().map(|&x| f64::from(x)).collect();
        let energy: f64 = samples.iter().map(|x| x * x).sum();
        let power = |hz: f64| {
            let unit = 4.0 * std::f64::consts::PI.powi(2) * hz / 8_000.0;
            goertzel_filter::filter_naive(&samples, unit).last().map_or(0.0, |z| z.norm_sqr()) * 2.0 / 205.0
        };
        let best = |tones: [f64; 4]| {
            let powers = tones.map(power);
            (0..4).map(|n| (n, powers[n])).fold((0, 0.0), |best, one| if one.1 > best.1 { one } else { best })
        };
        let ((row, low), (column, high)) = (best(corpus::LOW), best(corpus::HIGH));
        let twist = 10.0 * (high / low).log10();
        let loud = energy / 205.0 > 1e-4;
        let key = (loud && low + high > 0.6 * energy && (-9.0..5.0).contains(&twist)).then_some(row * 4 + column);
        if let Some(key) = key
            && last != Some(key)
        {
            let decided = (index + 1) as f64 * 205.0 / 8_000.0;
            heard.push(Heard { key: corpus::KEYS[key] as char, onset: f64::NAN, decided, end: f64::NAN });
        }
        last = key;
    }
    heard
}
