//! What a running daemon costs with one 48 kHz line open, idle and recording, beside `parecord` in the same run; how fast
//! it is ready; how soon a stream's first byte comes. The line hears a virtual card through cpal's PulseAudio host, then a
//! file in real time: the difference is what the host costs.
//!
//! `cargo bench --bench daemon` (needs PulseAudio, `make bench` installs it; `SECONDS=n` for each measurement, default 20)

#[path = "../tests/it/daemon.rs"]
mod daemon;
#[path = "../tests/it/sound.rs"]
mod sound;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use daemon::{Daemon, configure};
use reqwest::Method;
use sound::Sound;
use tonearm::wav::header;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Set where the card is.
const INNER: &str = "TONEARM_BENCH_CARD";
/// The kernel counts CPU time in these.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Outcome<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    if std::env::var_os(INNER).is_none() {
        return with_card();
    }
    let seconds = std::env::var("SECONDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let folder = tempfile::tempdir()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(folder.path(), seconds))
}

/// Runs this program once more, in an environment that names a virtual card.
fn with_card() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/virtual-card.sh");
    if !Command::new(&script).arg("start").arg(folder.path()).status()?.success() {
        println!("no virtual card: is PulseAudio installed?");
        return Ok(());
    }
    let text = std::fs::read_to_string(folder.path().join("env"))?;
    let variables = text.split_whitespace().filter_map(|word| word.split_once('='));
    let inner = Command::new(std::env::current_exe()?).arg("--bench").envs(variables).env(INNER, "1").status();
    Command::new(&script).arg("stop").arg(folder.path()).status()?;
    if inner?.success() { Ok(()) } else { Err("the measurement failed".into()) }
}

async fn measure(folder: &Path, seconds: u64) -> Outcome<()> {
    println!("{seconds} s each, one 48 kHz line; CPU in % of a core");
    println!("{:<22} {:>7} {:>9} {:>12} {:>8}", "", "CPU %", "MiB", "switches/s", "threads");
    let mut reference = Command::new("parecord")
        .args(["--device=vmic", "--rate=48000", "--latency-msec=10", "--file-format=wav"])
        .arg(folder.join("parecord.wav"))
        .spawn()?;
    show("parecord", reference.id(), seconds).await?;
    reference.kill()?;
    reference.wait()?;

    let noise = folder.join("noise.wav");
    Sound::at(48_000).hiss(10_000).write(&noise);
    let config = configure(folder, &[("mic", &format!("wav:{}?loop=true", noise.display()))], "")?;
    let daemon = costs("a file", &config, seconds).await?;
    first_bytes("a file", &daemon).await?;
    daemon.stopped().await?;
    let config = configure(folder, &[("mic", "device:pulse:vmic")], "")?;
    let daemon = costs("a device", &config, seconds).await?;

    first_bytes("a device", &daemon).await?;
    daemon.stopped().await?;

    let mut starts = Vec::new();
    for _ in 0..10 {
        let started = now();
        let daemon = Daemon::with(&config).await?;
        starts.push(started.elapsed().as_secs_f64() * 1_000.0);
        daemon.stopped().await?;
    }
    starts.sort_by(f64::total_cmp);
    println!("exec to ready, warm: p50 {:.1}, max {:.1} ms", starts[5], starts[9]);
    Ok(())
}

/// Shows what a daemon costs that hears `what`.
async fn costs(what: &str, config: &Path, seconds: u64) -> Outcome<Daemon> {
    let daemon = Daemon::with(config).await?;
    // A file is opened by the first who wants it.
    let short = r#"{"playBeep":false,"maxRecordDurationInSeconds":1}"#;
    let operation = daemon.post("/app/calls/mic/record", short).await?;
    daemon.ended("mic", &operation).await?;
    let id = daemon.child.id().ok_or("the daemon ended")?;
    show(&format!("{what}, idle"), id, seconds).await?;
    let long = r##"{"playBeep":false,"initialSilenceTimeoutInSeconds":3600,"maxRecordDurationInSeconds":3600,"stopTones":["#"]}"##;
    daemon.post("/app/calls/mic/record", long).await?;
    show(&format!("{what}, recording"), id, seconds).await?;
    daemon.post("/app/calls/mic/cancelMediaProcessing", "{}").await?;
    Ok(daemon)
}

async fn first_bytes(what: &str, daemon: &Daemon) -> Outcome<()> {
    for (name, tones) in [("without", "[]"), ("with", r##"["#"]"##)] {
        let mut waits = Vec::new();
        for _ in 0..30 {
            waits.push(first_byte(daemon, tones).await?);
        }
        waits.sort_by(f64::total_cmp);
        println!("{what}, POST to first audio byte {name} stop tones: p50 {:.1}, max {:.1} ms", waits[15], waits[29]);
    }
    Ok(())
}

/// Milliseconds from the POST to the first byte of audio, behind the header.
async fn first_byte(daemon: &Daemon, tones: &str) -> Outcome<f64> {
    let request = format!(
        r#"{{"playBeep":false,"streamWhileRecording":true,"initialSilenceTimeoutInSeconds":60,"maxRecordDurationInSeconds":60,"stopTones":{tones}}}"#
    );
    let started = now();
    let operation = daemon.post("/app/calls/mic/record", &request).await?;
    let id = operation["id"].as_str().ok_or("no id")?;
    let (mut bytes, mut waited) = (0, None);
    while waited.is_none() {
        let mut stream = daemon.send(Method::GET, &format!("/recordings/{id}"), None).await?;
        if !stream.status().is_success() {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        while let Some(piece) = stream.chunk().await? {
            bytes += piece.len();
            if bytes > header::MOST_BYTES {
                waited = Some(started.elapsed().as_secs_f64() * 1_000.0);
                break;
            }
        }
    }
    daemon.post("/app/calls/mic/cancelMediaProcessing", "{}").await?;
    waited.ok_or_else(|| "no audio came".into())
}

async fn show(name: &str, process: u32, seconds: u64) -> Outcome<()> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, started) = (usage(process)?, now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (after, elapsed) = (usage(process)?, started.elapsed().as_secs_f64());
    println!(
        "{name:<22} {:>7.2} {:>9.1} {:>12.0} {:>8}",
        (after.ticks - before.ticks) / TICKS_PER_SECOND / elapsed * 100.0,
        after.resident_kib / 1_024.0,
        (after.switches - before.switches) / elapsed,
        after.threads,
    );
    Ok(())
}

struct Usage {
    ticks: f64,
    switches: f64,
    resident_kib: f64,
    threads: usize,
}

/// What the kernel says of a process and all its threads.
fn usage(process: u32) -> Outcome<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let resident_kib = field(&std::fs::read_to_string(format!("/proc/{process}/status"))?, "VmRSS:");
    let (mut switches, mut threads) = (0.0, 0);
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        switches += field(&status, "voluntary_ctxt_switches:") + field(&status, "nonvoluntary_ctxt_switches:");
        threads += 1;
    }
    Ok(Usage { ticks, switches, resident_kib, threads })
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}
