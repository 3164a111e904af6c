//! The detectors that ours is measured against. Each is skipped, and said to be, if what it needs is not here.

use crate::corpus::{self, HIGH, KEYS, LOW};
use crate::score::Heard;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A sample of 16 bits: the highest and lowest for what lies beyond, 0 for no number.
fn sample(x: &f32) -> i16 {
    (x * 32_768.0) as i16
}

fn bytes(audio: &[f32]) -> Vec<u8> {
    audio.iter().flat_map(|x| sample(x).to_le_bytes()).collect()
}

/// What a program prints when it is given audio.
fn pipe(command: &mut Command, input: Vec<u8>) -> std::io::Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (mut to, mut from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    // Written beside reading: either pipe may fill.
    let writer = std::thread::spawn(move || to.write_all(&input));
    let mut text = String::new();
    from.read_to_string(&mut text)?;
    writer.join().expect("no panic")?;
    child.wait()?;
    Ok(text)
}

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
    /// What it hears in audio at 8 kHz, fed in blocks of `feed` samples, and its least ns a sample of so many passes.
    pub fn run(&self, audio: &[f32], feed: usize, passes: usize) -> (Vec<Heard>, f64) {
        let text = pipe(Command::new(&self.0).args([feed, passes].map(|n| n.to_string())), bytes(audio))
            .expect("what was just compiled runs");
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

/// Whether multimon-ng is installed.
pub fn has_multimon() -> bool {
    Command::new("multimon-ng").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What multimon-ng hears in audio at 8 kHz: it wants 22,050 Hz, and tells keys without times.
pub fn multimon(audio: &[f32]) -> Vec<Heard> {
    let audio: Vec<f32> = audio.iter().map(|x| f32::from(sample(x)) / 32_768.0).collect();
    let audio = corpus::resampled(&audio, 8_000.0, 22_050.0);
    let text = pipe(Command::new("multimon-ng").args(["-q", "-c", "-a", "DTMF", "-t", "raw", "-"]), bytes(&audio));
    let text = text.expect("it was there a moment ago");
    let keys = text.lines().filter_map(|line| line.strip_prefix("DTMF: ")?.chars().next());
    keys.map(|key| Heard { key, onset: f64::NAN, decided: f64::NAN, end: f64::NAN }).collect()
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
        // Quiet blocks cost nothing: they hold no pair that is loud enough.
        let ((row, low), (column, high)) =
            if energy / 205.0 > 1e-4 { (best(LOW), best(HIGH)) } else { ((0, 0.0), (0, 0.0)) };
        let twist = 10.0 * (high / low).log10();
        let key = (low + high > 0.6 * energy && (-9.0..5.0).contains(&twist)).then_some(row * 4 + column);
        if let Some(key) = key
            && last != Some(key)
        {
            let decided = (index + 1) as f64 * 205.0 / 8_000.0;
            heard.push(Heard { key: KEYS[key] as char, onset: f64::NAN, decided, end: f64::NAN });
        }
        last = key;
    }
    heard
}

/// What WebRTC's detector says of every 10 ms of each piece at 8 kHz, as a line of 1 and 0; `None` if it is not here.
pub fn webrtc(pieces: &[&[f32]]) -> Option<Vec<String>> {
    let here = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new(format!("{here}/target/venv/bin/python"));
    let input =
        pieces.iter().flat_map(|audio| [(audio.len() as u32).to_le_bytes().to_vec(), bytes(audio)].concat()).collect();
    let text = pipe(command.arg(format!("{here}/benches/reference/webrtc_vad.py")), input).ok()?;
    Some(text.lines().map(str::to_owned).collect()).filter(|lines: &Vec<String>| !lines.is_empty())
}
