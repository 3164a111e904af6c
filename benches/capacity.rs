//! What a whole recording costs: `tonearm replay` (detectors, SHA-256 and file included) beside a small C program of
//! well-known libraries (`reference/recorder.c`: libsndfile, speexdsp, spandsp; no digest), in turn, in CPU seconds an
//! hour and channel. The program comes to spandsp's 8 kHz by speexdsp's filter or by plain averaging, which is wrong and
//! the cheapest way there is.
//!
//! `cargo bench --bench capacity` (30 minutes of audio at each rate; `MINUTES=n` for more or less).

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How the C program comes to 8 kHz.
const WAYS: [&str; 2] = ["filter", "average"];
/// Runs of each program; the median is shown.
const RUNS: usize = 5;
/// The kernel counts CPU time in these.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Outcome<()> {
    // `cargo test --benches` runs this, too: then a minute is enough to see that it works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let minutes = std::env::var("MINUTES").ok().and_then(|n| n.parse().ok()).unwrap_or(if is_test { 1 } else { 30 });
    let runs = if is_test { 1 } else { RUNS };
    let folder = tempfile::tempdir()?;
    let reference = build_reference(folder.path());
    if let Err(why) = &reference {
        println!("no reference beside it: {why}");
    }
    println!("{minutes} min of audio, median of {runs}; CPU seconds an hour and channel");
    println!(
        "{:>8} {:>9} {:>10} {:>12} {:>7} {:>13} {:>7}",
        "Hz", "channels", "tonearm", "C, filtered", "ratio", "C, averaging", "ratio"
    );
    for (hz, channels) in [(8_000, 1), (16_000, 1), (48_000, 1), (48_000, 16)] {
        let seconds = if channels > 1 { minutes * 60 / 8 } else { minutes * 60 };
        let wav = folder.path().join(format!("{hz}x{channels}.wav"));
        write_wav(&wav, hz, channels, seconds)?;
        let hours = f64::from(seconds) * f64::from(channels) / 3_600.0;
        let (mut ours, mut theirs) = (Vec::new(), WAYS.map(|_| Vec::new()));
        for run in 0..=runs {
            let out = folder.path().join("out");
            let ours_now = replay(std::slice::from_ref(&wav), seconds, &out, 1)?.0;
            // The first is to warm up.
            if run > 0 {
                ours.push(ours_now / hours);
            }
            for (way, theirs) in WAYS.iter().zip(&mut theirs) {
                let Ok(program) = &reference else { continue };
                let copy = folder.path().join("reference.wav");
                let cpu = cpu_of(Command::new(program).arg(way).arg(&wav).arg(copy))?.0;
                if run > 0 {
                    theirs.push(cpu / hours);
                }
            }
        }
        let (ours, [filtered, averaged]) = (median(&mut ours), theirs.map(|mut theirs| median(&mut theirs)));
        println!(
            "{hz:>8} {channels:>9} {ours:>10.3} {filtered:>12.3} {:>7.2} {averaged:>13.3} {:>7.2}",
            ours / filtered,
            ours / averaged
        );
        if channels == 1 && hz == 48_000 {
            let copies: Vec<PathBuf> = (0..4).map(|i| folder.path().join(format!("copy{i}.wav"))).collect();
            copies.iter().try_for_each(|copy| fs::copy(&wav, copy).map(drop))?;
            let (_, one) = replay(&copies, seconds, &folder.path().join("out"), 1)?;
            let (_, two) = replay(&copies, seconds, &folder.path().join("out"), 2)?;
            println!("         four files on one thread {one:.2} s, on two {two:.2} s: {:.2} times as fast", one / two);
            copies.iter().try_for_each(fs::remove_file)?;
        }
        fs::remove_file(&wav)?;
    }
    Ok(())
}

/// Replays files; CPU and elapsed seconds.
fn replay(files: &[PathBuf], seconds: u32, out: &Path, jobs: usize) -> Outcome<(f64, f64)> {
    let _ = fs::remove_dir_all(out);
    fs::create_dir_all(out)?;
    let request = out.join("request.json");
    let limit = seconds.max(1);
    fs::write(
        &request,
        format!(
            r##"{{"initialSilenceTimeoutInSeconds":{limit},"maxSilenceTimeoutInSeconds":{limit},"maxRecordDurationInSeconds":{limit},"playBeep":false,"stopTones":["#"]}}"##
        ),
    )?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_tonearm"));
    command.arg("replay").arg("--jobs").arg(jobs.to_string()).arg("--request").arg(&request).arg("--out").arg(out);
    cpu_of(command.args(files))
}

/// CPU and elapsed seconds of a program that succeeds.
fn cpu_of(command: &mut Command) -> Outcome<(f64, f64)> {
    let (before, started) = (children_ticks()?, tonearm::clock::now());
    let status = command.stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("{command:?} failed").into());
    }
    Ok(((children_ticks()? - before) / TICKS_PER_SECOND, started.elapsed().as_secs_f64()))
}

/// The CPU time of all children that have been waited for.
fn children_ticks() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    // cutime and cstime are fields 16 and 17 of the line, 13 and 14 after the name.
    Ok(fields[13].parse::<f64>()? + fields[14].parse::<f64>()?)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn build_reference(folder: &Path) -> Result<PathBuf, String> {
    let program = folder.join("recorder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/reference/recorder.c");
    let built = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&program)
        .arg(source)
        .args(["-lsndfile", "-lspandsp", "-lspeexdsp", "-lm"])
        .stderr(Stdio::null())
        .status();
    match built {
        Ok(status) if status.success() => Ok(program),
        _ => {
            Err("cc, libsndfile1-dev, libspeexdsp-dev and libspandsp-dev are needed; `make bench` installs them".into())
        }
    }
}

/// Talk-like bursts over noise, different on every channel, the same every time.
fn write_wav(path: &Path, hz: u32, channels: u16, seconds: u32) -> Outcome<()> {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65_536.0 - 0.5
    };
    let ten_seconds: Vec<i16> = (0..hz * 10)
        .flat_map(|i| (0..channels).map(move |channel| (i, channel)))
        .map(|(i, channel)| {
            let t = i as f32 / hz as f32;
            let voice =
                if (t as u32).is_multiple_of(3) { (t * 1_885.0 + f32::from(channel)).sin() * 8_000.0 } else { 0.0 };
            (voice + noise() * 600.0) as i16
        })
        .collect();
    let spec =
        hound::WavSpec { channels, sample_rate: hz, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for _ in 0..seconds.div_ceil(10) {
        let mut piece = writer.get_i16_writer(ten_seconds.len() as u32);
        ten_seconds.iter().for_each(|sample| piece.write_sample(*sample));
        piece.flush()?;
    }
    writer.finalize()?;
    Ok(())
}
